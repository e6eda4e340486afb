/*
 * tlb: the adversary. Also entering and leaving, since these decide what is live.
 */
#include "sim/tlb.h"
#include "core/bits.h"

#define MARKS 8u /* words of a frame that a guest marks and looks at */
#define TOUCH_TRIES 1000u

/* ---- forgetting ---- */

static void drop_entries(struct sim *s, unsigned cpu, u32 tag, bool all_guests)
{
	for (u32 i = 0; i < SIM_TLB; i++) {
		struct sim_entry *e = &s->cpu[cpu].tlb[i];
		if (all_guests ? e->tag != SIM_HOST_TAG : e->tag == tag)
			e->valid = false;
	}
	s->flushes++;
}

void sim_tlb_flush(struct sim *s, unsigned cpu, u32 tag)
{
	drop_entries(s, cpu, tag, false);
}

void sim_tlb_flush_guests(struct sim *s, unsigned cpu)
{
	drop_entries(s, cpu, 0, true);
}

/* ---- entering and leaving ---- */

void sim_enter(struct sim *s, unsigned cpu, struct sim_vcpu *vcpu)
{
	struct sim_cpu *c = &s->cpu[cpu];
	CHECK(!c->running);
	c->entering = &vcpu->vm->nested.view;
	u64 generation = view_enter(c->entering, cpu);
	switch (tag_take(&c->tagger, &vcpu->tag, cpu, generation)) {
	case TAG_KEEP:
	case TAG_NEW:
		break;
	case TAG_FLUSH:
		sim_tlb_flush(s, cpu, vcpu->tag.number);
		break;
	case TAG_WRAP:
		sim_tlb_flush_guests(s, cpu);
		s->wraps++;
		break;
	}
	view_flushed(c->entering, cpu, generation);
	c->entering = NULL;
	c->guest_root = frame_hpa(vcpu->vm->nested.table.root).v;
	c->running = vcpu;
}

void sim_leave(struct sim *s, unsigned cpu)
{
	struct sim_cpu *c = &s->cpu[cpu];
	CHECK(c->running);
	struct view *left = &c->running->vm->nested.view;
	c->running = NULL;
	view_leave(left, cpu);
}

void sim_serve(struct sim *s, unsigned cpu)
{
	struct sim_cpu *c = &s->cpu[cpu];
	if (!c->space)
		return;
	struct view *v = &c->space->window.view;
	u64 generation = __atomic_load_n(&v->generation, __ATOMIC_SEQ_CST);
	if (v->cpu[cpu].flushed >= generation)
		return;
	sim_tlb_flush(s, cpu, SIM_HOST_TAG);
	view_flushed(v, cpu, generation);
}

/* Loading CR3 forgets the host's tag. */
void sim_space(struct sim *s, unsigned cpu, struct sim_vm *vm)
{
	struct sim_cpu *c = &s->cpu[cpu];
	struct sim_vm *old = c->space;
	u64 generation = 0;
	CHECK(!c->running);
	if (old == vm) {
		sim_serve(s, cpu);
		return;
	}
	if (vm) {
		c->entering = &vm->window.view;
		generation = view_enter(c->entering, cpu);
		c->entering = NULL;
		c->space_root = frame_hpa(vm->window.table.root).v;
	}
	c->space = vm;
	sim_tlb_flush(s, cpu, SIM_HOST_TAG);
	if (vm)
		view_flushed(&vm->window.view, cpu, generation);
	if (old)
		view_leave(&old->window.view, cpu);
}

/* ---- what a processor would use now ---- */

struct live { /* the translation context of a processor; vm NULL: nothing of a VM */
	struct sim_vm *vm;
	u32 tag;
	u64 root, base; /* of its tables */
	u8 kind;        /* SIM_NESTED, SIM_WINDOW */
};

static struct live live_on(const struct sim_cpu *c)
{
	if (c->running)
		return (struct live){ c->running->vm, c->running->tag.number, c->guest_root, 0, SIM_NESTED };
	if (c->space)
		return (struct live){ c->space, SIM_HOST_TAG, c->space_root, SIM_WINDOW_BASE, SIM_WINDOW };
	return (struct live){ 0 };
}

static u64 mark_of(const struct sim_vm *vm, u64 page)
{
	return vm->key ^ page;
}

static u64 *mark_at(struct sim *s, u64 frame, u32 n)
{
	return (u64 *)(void *)(s->ram.at + (frame << PAGE_SHIFT) + n * (PAGE_SIZE / MARKS));
}

/* May a processor that is there reach the frame? */
static void judge_frame(const struct sim *s, const struct live *l, u64 guest_frame, u64 frame, bool write)
{
	if (frame >= s->frames.limit)
		sim_fail("a translation leads out of RAM");
	const struct frame *f = &s->frames.at[frame];
	if (f->kind != FRAME_GUEST || f->owner != l->vm->pmap.owner)
		sim_fail("VM %u reaches frame %lu, which is of kind %u of %u", l->vm->pmap.owner, (unsigned long)frame,
			 f->kind, f->owner);
	bool refused = write && guest_frame < SIM_GFNS && (l->vm->no_write[guest_frame] & l->kind);
	if (refused && pmap_look(&l->vm->pmap, gfn(guest_frame)).frame.v == frame) /* not one that is on its way out */
		sim_fail("VM %u may still write its frame %lu, which it may not", l->vm->pmap.owner, (unsigned long)guest_frame);
}

/* The access itself: what stands there? */
static void use_frame(struct sim *s, const struct live *l, u64 guest_frame, u64 frame, bool write)
{
	judge_frame(s, l, guest_frame, frame, write);
	for (u32 i = 0; i < MARKS; i++) {
		u64 is = *mark_at(s, frame, i);
		if (is != 0 && is != mark_of(l->vm, guest_frame))
			sim_fail("VM %u finds %016lx in its frame %lu", l->vm->pmap.owner, (unsigned long)is,
				 (unsigned long)guest_frame);
	}
	if (write)
		*mark_at(s, frame, (u32)sim_random(s, MARKS)) = mark_of(l->vm, guest_frame);
	s->uses++;
}

static struct sim_entry *some_slot(struct sim *s, struct sim_cpu *c)
{
	return &c->tlb[sim_random(s, SIM_TLB)];
}

static void keep_page(struct sim *s, struct sim_cpu *c, const struct live *l, u64 address, const struct mmu_translation *t)
{
	u64 pages = 1ull << (t->page_shift - PAGE_SHIFT), page = address >> PAGE_SHIFT;
	*some_slot(s, c) = (struct sim_entry){ .valid = true, .write = t->write, .tag = l->tag, .page = align_down(page, pages),
					       .pages = pages, .frame = align_down(t->frame, pages) };
	s->fills++;
}

static void keep_table(struct sim *s, struct sim_cpu *c, const struct live *l, u64 address, const struct mmu_translation *t,
		       u32 top)
{
	if (t->table_count < 2)
		return;
	u32 i = 1 + (u32)sim_random(s, t->table_count - 1), level = top - i;
	u64 pages = 1ull << (9 * level);
	*some_slot(s, c) = (struct sim_entry){ .valid = true, .table = true, .tag = l->tag, .level = level,
					       .page = align_down(address >> PAGE_SHIFT, pages), .pages = pages,
					       .frame = t->tables[i] >> PAGE_SHIFT };
}

static bool covers(const struct sim_entry *e, u32 tag, u64 address)
{
	return e->valid && e->tag == tag && (address >> PAGE_SHIFT) - e->page < e->pages;
}

static void judge_table(const struct sim *s, const struct live *l, u64 table)
{
	const struct frame *f = &s->frames.at[table];
	if (f->kind != FRAME_TABLE || f->owner != l->vm->pmap.owner)
		sim_fail("VM %u walks through frame %lu, which is of kind %u of %u", l->vm->pmap.owner, (unsigned long)table,
			 f->kind, f->owner);
}

/* A walk goes on from a cached table pointer if there is one and the dice say so. */
static struct mmu_translation walk(struct sim *s, const struct sim_cpu *c, const struct live *l, u64 address, u32 *top)
{
	*top = 4;
	for (u32 i = 0; i < SIM_TLB; i++) {
		const struct sim_entry *e = &c->tlb[i];
		if (!e->table || !covers(e, l->tag, address) || sim_random(s, 2))
			continue;
		judge_table(s, l, e->frame);
		*top = e->level;
		return mmu_walk_from(&s->ram, e->frame << PAGE_SHIFT, e->level, address);
	}
	judge_table(s, l, l->root >> PAGE_SHIFT);
	return mmu_walk_from(&s->ram, l->root, *top, address);
}

static void fill(struct sim *s, struct sim_cpu *c, u64 guest_frame)
{
	struct live l = live_on(c);
	u64 address = l.base + (guest_frame << PAGE_SHIFT);
	u32 top;
	struct mmu_translation t = walk(s, c, &l, address, &top);
	keep_table(s, c, &l, address, &t, top);
	if (t.present)
		keep_page(s, c, &l, address, &t);
}

static void use_some(struct sim *s, struct sim_cpu *c)
{
	struct live l = live_on(c);
	const struct sim_entry *e = some_slot(s, c);
	if (!e->valid || e->table || e->tag != l.tag)
		return;
	u64 part = sim_random(s, e->pages);
	use_frame(s, &l, e->page + part - (l.base >> PAGE_SHIFT), e->frame + part, e->write && sim_random(s, 2));
}

u64 sim_hot(struct sim *s, const struct sim_vm *vm)
{
	u64 at = vm->hot[sim_random(s, SIM_HOT)];
	return at ? at : SIM_RAM_FIRST;
}

static void keep_hot(struct sim *s, struct sim_vm *vm, u64 guest_frame)
{
	vm->hot[sim_random(s, SIM_HOT)] = guest_frame;
}

void sim_adversary(struct sim *s, u32 turns)
{
	while (!s->quiet && turns-- > 0) {
		struct sim_cpu *c = &s->cpu[sim_random(s, SIM_CPUS)];
		struct live l = live_on(c);
		if (!l.vm)
			continue;
		if (sim_random(s, 2))
			fill(s, c, sim_random(s, 4) ? sim_hot(s, l.vm) : SIM_RAM_FIRST + sim_random(s, l.vm->ram));
		for (u32 i = 0; i < 4; i++)
			use_some(s, c);
	}
}

void sim_judge(struct sim *s)
{
	for (unsigned cpu = 0; cpu < SIM_CPUS; cpu++) {
		struct live l = live_on(&s->cpu[cpu]);
		for (u32 i = 0; i < SIM_TLB && l.vm; i++) {
			const struct sim_entry *e = &s->cpu[cpu].tlb[i];
			if (!e->valid || e->tag != l.tag || e->table)
				continue;
			u64 part = sim_random(s, e->pages);
			judge_frame(s, &l, e->page + part - (l.base >> PAGE_SHIFT), e->frame + part, e->write);
		}
	}
}

bool sim_usable_on(const struct sim *s, unsigned cpu, const struct sim_vm *vm, u64 guest_frame, bool write)
{
	struct live l = live_on(&s->cpu[cpu]);
	for (u32 i = 0; i < SIM_TLB && l.vm == vm; i++) {
		const struct sim_entry *e = &s->cpu[cpu].tlb[i];
		if (!e->table && covers(e, l.tag, l.base + (guest_frame << PAGE_SHIFT)) && (e->write || !write))
			return true;
	}
	return false;
}

bool sim_usable(const struct sim *s, const struct sim_vm *vm, u64 guest_frame, bool write)
{
	for (unsigned cpu = 0; cpu < SIM_CPUS; cpu++)
		if (sim_usable_on(s, cpu, vm, guest_frame, write))
			return true;
	return false;
}

/* ---- what software does on purpose ---- */

bool sim_access(struct sim *s, unsigned cpu, u64 guest_frame, bool write)
{
	struct sim_cpu *c = &s->cpu[cpu];
	struct live l = live_on(c);
	u64 address = l.base + (guest_frame << PAGE_SHIFT);
	keep_hot(s, l.vm, guest_frame);
	for (u32 i = 0; i < SIM_TLB; i++) {
		const struct sim_entry *e = &c->tlb[i];
		if (e->table || !covers(e, l.tag, address) || (write && !e->write) || sim_random(s, 2))
			continue;
		use_frame(s, &l, guest_frame, e->frame + (address >> PAGE_SHIFT) - e->page, write);
		return true;
	}
	struct mmu_translation t = mmu_access(&s->ram, l.root, address, write);
	if (!t.present || (write && !t.write))
		return false;
	keep_page(s, c, &l, address, &t);
	use_frame(s, &l, guest_frame, t.frame, write);
	return true;
}

static status resolve(struct sim *s, unsigned cpu, struct ptview *v, u64 guest_frame, bool write)
{
	s->current = cpu;
	status st;
	u32 tries = 0;
	do {
		st = ptview_resolve(v, frame_gpa(gfn(guest_frame)), write ? PMAP_READ | PMAP_WRITE : PMAP_READ);
		if (++tries > TOUCH_TRIES)
			sim_fail("a fault is never resolved");
	} while (st == AGAIN);
	return st;
}

status sim_touch(struct sim *s, unsigned cpu, u64 guest_frame, bool write)
{
	struct sim_vcpu *vcpu = s->cpu[cpu].running;
	for (u32 tries = 0; !sim_access(s, cpu, guest_frame, write); tries++) {
		sim_leave(s, cpu);
		status st = resolve(s, cpu, &vcpu->vm->nested, guest_frame, write);
		sim_enter(s, cpu, vcpu);
		if (st != OK)
			return st;
		if (tries > TOUCH_TRIES)
			sim_fail("a resolved fault comes back");
	}
	return OK;
}

status sim_touch_window(struct sim *s, unsigned cpu, u64 guest_frame, bool write)
{
	CHECK(!s->cpu[cpu].running && s->cpu[cpu].space);
	for (u32 tries = 0; !sim_access(s, cpu, guest_frame, write); tries++) {
		status st = resolve(s, cpu, &s->cpu[cpu].space->window, guest_frame, write);
		if (st != OK)
			return st;
		if (tries > TOUCH_TRIES)
			sim_fail("a resolved fault comes back");
	}
	return OK;
}
