/*
 * work: the steps, and what the test knows of each VM so that it can tell right from wrong.
 */
#include "sim/work.h"
#include "core/bits.h"
#include "sim/crew.h"
#include "sim/kept.h"

#include <stdio.h>
#include <string.h>

#define VMS 3u
#define RAM (2 * BLOCK_FRAMES + 77)                   /* behind it lies a device's page */
#define SEALED_FIRST (SIM_RAM_FIRST + RAM + 1)        /* RAM that is made read-only and writable again */
#define SEALED (BLOCK_FRAMES + 454)                   /* one whole block, and parts of two */
#define GFN_END (SEALED_FIRST + SEALED)
#define BLOCKS (SIM_GFNS / BLOCK_FRAMES)
static_assert(GFN_END < SIM_GFNS && GFN_END / BLOCK_FRAMES > SEALED_FIRST / BLOCK_FRAMES + 1, "a whole block is sealed");

enum life { NONE, STARTING, ALIVE, ENDING };

/* What the test knows of a VM. Between two points nobody else runs: no lock. */
static struct known {
	struct sim_vm *vm;
	enum life life;
	u32 handling; /* processors that may change or fill its nested view: none of them in guest mode */
	u32 users;    /* processors that do anything for it */
	bool on[SIM_VCPUS];
	u32 faulting[BLOCKS], faults[BLOCKS]; /* nested faults that are being resolved; that have begun */
	u32 seals;    /* changes of mind */
} known[VMS];

static struct {
	u32 cpus, steps;
	u32 left;     /* processors whose steps are not done */
	bool fail;    /* allocations do, now and then */
	bool auditing;
} run;

struct work_done work_done;

/* ---- what every processor does between other things ---- */

static void assert_done(status st)
{
	if (st != OK && st != NO_MEMORY)
		sim_fail("a step answers: %s", status_name(st));
}

static void answer_kick(struct sim *s, unsigned cpu)
{
	if (!s->cpu[cpu].kicked)
		return;
	s->cpu[cpu].kicked = false;
	sim_serve(s, cpu);
}

static struct known *known_of(const struct sim *s, const struct sim_vm *vm) { return &known[vm - s->vm]; }

/* With nothing to do it does not stay where a VM ends. */
static void rest(struct sim *s, unsigned cpu)
{
	const struct sim_vm *space = s->cpu[cpu].space;
	answer_kick(s, cpu);
	if (space && known_of(s, space)->life == ENDING)
		sim_space(s, cpu, NULL);
}

static struct known *some_alive(struct sim *s)
{
	struct known *k = &known[sim_random(s, VMS)];
	return k->life == ALIVE ? k : NULL;
}

static u64 some_gfn(struct sim *s, const struct known *k)
{
	if (sim_random(s, 3))
		return sim_hot(s, k->vm);
	return sim_random(s, 2) ? SIM_RAM_FIRST + sim_random(s, RAM) : SEALED_FIRST + sim_random(s, SEALED);
}

/* ---- a vCPU's turn: entry, exit, fault ---- */

static void nested_fault(struct sim *s, unsigned cpu, struct known *k, u64 at, bool write)
{
	u64 block = at / BLOCK_FRAMES;
	status st;
	k->faults[block]++;
	k->faulting[block]++;
	for (u64 i = block * BLOCK_FRAMES; i < (block + 1) * BLOCK_FRAMES; i++)
		if (k->vm->no_write[i] == SIM_NESTED)
			k->vm->no_write[i] = 0; /* protected, not sealed */
	do {
		st = ptview_resolve(&k->vm->nested, frame_gpa(gfn(at)), write ? PMAP_READ | PMAP_WRITE : PMAP_READ);
		answer_kick(s, cpu);
		if (st == NO_MEMORY && pmap_unprepare(&k->vm->pmap))
			st = AGAIN;
	} while (st == AGAIN && k->life == ALIVE);
	k->faulting[block]--;
	if (st != AGAIN && !(st == DENIED && write))
		assert_done(st);
}

static void come_in(struct sim *s, unsigned cpu, struct known *k, u32 vcpu)
{
	sim_enter(s, cpu, &k->vm->vcpu[vcpu]);
	k->handling--;
}

/* false: the VM ends, nobody touches its nested view any more. */
static bool come_out(struct sim *s, unsigned cpu, struct known *k)
{
	sim_leave(s, cpu);
	answer_kick(s, cpu);
	if (k->life != ALIVE)
		return false;
	k->handling++;
	return true;
}

/* Until the guest's turn is over, the VM ends, or it faults; true: it is in guest mode still. */
static bool guest_steps(struct sim *s, unsigned cpu, struct known *k, u32 vcpu)
{
	for (u32 n = 1 + (u32)sim_random(s, 16); n > 0; n--) {
		u64 at = some_gfn(s, k);
		bool write = sim_random(s, 2), faults = false;
		crew_pause("guest");
		if (!s->cpu[cpu].kicked && sim_random(s, 8)) {
			faults = !sim_access(s, cpu, at, write);
			if (!faults)
				continue;
		}
		if (!come_out(s, cpu, k))
			return false;
		if (faults)
			nested_fault(s, cpu, k, at, write);
		come_in(s, cpu, k, vcpu);
	}
	return true;
}

static void vcpu_turn(struct sim *s, unsigned cpu)
{
	struct known *k = some_alive(s);
	u32 vcpu = (u32)sim_random(s, SIM_VCPUS);
	if (!k || k->on[vcpu])
		return;
	k->on[vcpu] = true;
	work_done.migrations += k->vm->vcpu[vcpu].tag.generation != 0 && k->vm->vcpu[vcpu].tag.cpu != cpu;
	k->users++;
	k->handling++;
	sim_space(s, cpu, k->vm);
	come_in(s, cpu, k, vcpu);
	if (guest_steps(s, cpu, k, vcpu))
		sim_leave(s, cpu);
	k->on[vcpu] = false;
	k->users--;
}

/* ---- the monitor, or ring 0, in the VM's space: its nested view may be gone already ---- */

static void monitor_turn(struct sim *s, unsigned cpu)
{
	struct known *k = some_alive(s);
	if (!k)
		return;
	k->users++;
	sim_space(s, cpu, k->vm);
	for (u32 n = 1 + (u32)sim_random(s, 8); n > 0; n--) {
		u64 at = some_gfn(s, k);
		bool write = sim_random(s, 2);
		status st = OK;
		crew_pause("monitor");
		answer_kick(s, cpu);
		if (!sim_access(s, cpu, at, write))
			st = ptview_resolve(&k->vm->window, frame_gpa(gfn(at)), write ? PMAP_READ | PMAP_WRITE : PMAP_READ);
		if (st != AGAIN && st != DENIED)
			assert_done(st);
	}
	k->users--;
}

/* ---- work on a VM's memory, from any processor ---- */

static struct known *begin_work(struct sim *s)
{
	struct known *k = some_alive(s);
	if (k) {
		k->users++;
		k->handling++;
	}
	return k;
}

static void end_work(struct known *k)
{
	k->users--;
	k->handling--;
}

static void release(struct sim *s, unsigned cpu)
{
	static const u64 lengths[] = { 1, 1, 2, 16, 100, BLOCK_FRAMES, BLOCK_FRAMES + 3 };
	struct known *k = begin_work(s);
	(void)cpu;
	if (!k)
		return;
	u64 count = lengths[sim_random(s, ARRAY_SIZE(lengths))], first = some_gfn(s, k);
	if (count == BLOCK_FRAMES)
		first = align_down(first, BLOCK_FRAMES);
	count = min_u64(count, GFN_END - first);
	assert_done(sim_release(s, k->vm, first, count, sim_random(s, 2) ? 1000 : 1 + (u32)sim_random(s, 20)));
	end_work(k);
}

static void forbid(struct sim_vm *vm, u64 first, u64 count, u8 views, bool yes)
{
	for (u64 i = first; i < first + count; i++)
		vm->no_write[i] = (u8)(yes ? vm->no_write[i] | views : vm->no_write[i] & ~views);
}

/* Write access goes from the nested view until the guest's next fault there. */
static void protect(struct sim *s, unsigned cpu)
{
	struct known *k = begin_work(s);
	(void)cpu;
	if (!k)
		return;
	u64 first = some_gfn(s, k), count = 1 + sim_random(s, min_u64(600, GFN_END - first));
	u32 faults[BLOCKS];
	SETTLEMENT(debt, &s->settler);
	lock_take(&k->vm->pmap.lock);
	for (u32 b = 0; b < BLOCKS; b++)
		faults[b] = k->faults[b] - (k->faulting[b] != 0); /* one that is under way may give the right back */
	status st = ptview_protect(&k->vm->nested, gfn(first), count, &debt);
	lock_give(&k->vm->pmap.lock);
	assert_done(st);
	settle(&debt);
	for (u64 i = first; i < first + count && st == OK; i++)
		if (k->faults[i / BLOCK_FRAMES] == faults[i / BLOCK_FRAMES])
			forbid(k->vm, i, 1, SIM_NESTED, true);
	work_done.protects += st == OK;
	end_work(k);
}

/* The truth itself changes: a range is read-only from now on, in every view; or writable again. */
static void seal(struct sim *s, unsigned cpu)
{
	struct known *k = begin_work(s);
	(void)cpu;
	if (!k)
		return;
	struct pmap *p = &k->vm->pmap;
	SETTLEMENT(debt, &s->settler);
	lock_take(&p->lock);
	struct pmap_range *r = &p->range[p->range_count - 1];
	CHECK(r->first.v == SEALED_FIRST);
	u32 mine = ++k->seals;
	status st = NO_MEMORY;
	forbid(k->vm, SEALED_FIRST, SEALED, SIM_NESTED | SIM_WINDOW, false);
	r->read_only = !r->read_only;
	if (r->read_only) {
		st = ptview_protect(&k->vm->nested, r->first, r->count, &debt);
		if (st == OK)
			st = ptview_protect(&k->vm->window, r->first, r->count, &debt);
		r->read_only = st == OK;
	}
	lock_give(&p->lock);
	settle(&debt);
	if (st == OK && mine == k->seals)
		forbid(k->vm, SEALED_FIRST, SEALED, SIM_NESTED | SIM_WINDOW, true);
	work_done.seals += st == OK;
	end_work(k);
}

enum reshape { SPLIT_TRUTH, SPLIT_VIEW, MERGE_TRUTH, MERGE_VIEW };

static status reshape_locked(struct known *k, struct ptview *v, u64 first, enum reshape how, struct settlement *debt)
{
	struct pt_slot slot;
	switch (how) {
	case SPLIT_TRUTH:
		return pt_reach(&k->vm->pmap.tree, first << PAGE_SHIFT, 1, &slot);
	case SPLIT_VIEW:
		return pt_reach(&v->table, v->base + (first << PAGE_SHIFT), 1, &slot);
	case MERGE_TRUTH:
		return pmap_merge(&k->vm->pmap, gfn(first), debt);
	case MERGE_VIEW:
		return ptview_merge(v, gfn(first), debt);
	}
	return BAD_VALUE;
}

/* To whoever runs on the view, and whoever fills it, it makes no difference. */
static void reshape(struct sim *s, struct known *k, struct ptview *v, u64 first, enum reshape how)
{
	SETTLEMENT(debt, &s->settler);
	lock_take(&k->vm->pmap.lock);
	kept_begin(s, v, first);
	status st = reshape_locked(k, v, first, how, &debt);
	kept_end(s);
	lock_give(&k->vm->pmap.lock);
	settle(&debt);
	bool split = how == SPLIT_TRUTH || how == SPLIT_VIEW;
	if (split || st != NOT_THERE)
		assert_done(st);
	*(split ? &work_done.splits : &work_done.merges) += st == OK;
}

static void split_and_merge(struct sim *s, unsigned cpu)
{
	struct known *k = begin_work(s);
	(void)cpu;
	if (!k)
		return;
	struct ptview *v = sim_random(s, 2) ? &k->vm->nested : &k->vm->window;
	u64 first = align_down(some_gfn(s, k), BLOCK_FRAMES);
	bool truth = sim_random(s, 4) == 0, merge = sim_random(s, 3) != 0;
	if (!merge || sim_random(s, 2))
		reshape(s, k, v, first, truth ? SPLIT_TRUTH : SPLIT_VIEW);
	if (merge) {
		crew_pause("split");
		reshape(s, k, v, first, MERGE_TRUTH);
		reshape(s, k, v, first, MERGE_VIEW);
	}
	end_work(k);
}

static void scrub(struct sim *s, unsigned cpu)
{
	(void)cpu;
	for (u32 i = 0; i < 8 && alloc_scrub_slice(&s->alloc); i++)
		continue;
}

/* Beside everything else, in slices. */
static void audit(struct sim *s, unsigned cpu)
{
	struct known *k = run.auditing || sim_random(s, 8) ? NULL : some_alive(s);
	(void)cpu;
	if (!k)
		return;
	run.auditing = true;
	k->users++;
	struct audit_vm vm = { &k->vm->pmap, { &k->vm->nested, &k->vm->window }, 2 };
	struct audit_host host = { .alloc = &s->alloc, .pool = &s->pool, .vm = &vm, .vm_count = 1 };
	struct audit_state state;
	audit_begin(&state, &host, sim_finding, NULL);
	while (audit_step(&state, 2048))
		crew_pause("audit");
	if (state.findings)
		sim_fail("the audit beside everything else has findings");
	work_done.audits++;
	k->users--;
	run.auditing = false;
}

/* ---- lives ---- */

static void start(struct sim *s, struct known *k)
{
	*k = (struct known){ .vm = k->vm, .life = STARTING };
	status st = sim_vm_start(s, k->vm, (owner_t)(OWNER_FIRST_VM + (k->vm - s->vm)), RAM);
	if (st == OK && pmap_add_range(&k->vm->pmap, gfn(SEALED_FIRST), SEALED, PMAP_EMPTY, false) != OK)
		sim_fail("the second range of RAM is refused");
	assert_done(st);
	k->life = st == OK ? ALIVE : NONE;
	work_done.starts += st == OK;
}

static bool someone_is_in(const struct sim *s, const struct sim_vm *vm)
{
	for (unsigned cpu = 0; cpu < SIM_CPUS; cpu++)
		if (s->cpu[cpu].space == vm || vm->window.view.cpu[cpu].inside)
			return true;
	return false;
}

static void wait_while_handled(struct sim *s, unsigned cpu, const struct known *k)
{
	while (k->handling) {
		rest(s, cpu);
		crew_wait("end: exits are handled");
	}
}

static void wait_while_used(struct sim *s, unsigned cpu, const struct known *k)
{
	while (k->users || someone_is_in(s, k->vm)) {
		rest(s, cpu);
		crew_wait("end: the space is in use");
	}
}

/* Nobody enters or fills the nested view any more; who is in guest mode in it is waited for by settlement alone. */
static void end(struct sim *s, unsigned cpu, struct known *k)
{
	struct sim_vm *vm = k->vm;
	bool large = vm->pmap.large;
	k->life = ENDING;
	sim_space(s, cpu, NULL);
	wait_while_handled(s, cpu, k);
	sim_destroy_view(s, &vm->nested);
	wait_while_used(s, cpu, k);
	sim_destroy_view(s, &vm->window);
	status st = sim_release(s, vm, SIM_RAM_FIRST, GFN_END - SIM_RAM_FIRST, 64);
	if (st != OK)
		sim_fail("the end of a VM answers: %s", status_name(st));
	pmap_destroy(&vm->pmap);
	memset(vm, 0, sizeof(*vm));
	vm->pmap.large = large;
	k->life = NONE;
	work_done.ends++;
}

static void start_or_end(struct sim *s, unsigned cpu)
{
	struct known *k = &known[sim_random(s, VMS)];
	if (k->life == NONE)
		start(s, k);
	else if (k->life == ALIVE && sim_random(s, 6) == 0)
		end(s, cpu, k);
}

/* ---- programs ---- */

static void (*const steps[])(struct sim *s, unsigned cpu) = {
	vcpu_turn, vcpu_turn, vcpu_turn, vcpu_turn, monitor_turn, release, protect, seal, split_and_merge, split_and_merge, scrub, audit,
	start_or_end,
};

/* Its work is done: it answers until everyone's is. */
static void be_there(struct sim *s, unsigned cpu)
{
	run.left--;
	while (run.left) {
		rest(s, cpu);
		crew_wait("rests");
	}
}

static void work(struct sim *s, unsigned cpu)
{
	for (u32 i = 0; i < run.steps; i++) {
		if (run.fail && sim_random(s, 4) == 0)
			s->alloc.fail_after = (s64)sim_random(s, 6);
		rest(s, cpu);
		steps[sim_random(s, ARRAY_SIZE(steps))](s, cpu);
		crew_gets_on();
	}
	be_there(s, cpu);
}

static void end_all(struct sim *s, unsigned cpu)
{
	for (u32 i = 0; i < VMS && cpu == 0; i++)
		if (known[i].life == ALIVE)
			end(s, cpu, &known[i]);
	be_there(s, cpu);
}

static void run_round(struct sim *s, u32 steps_each, void (*program)(struct sim *s, unsigned cpu))
{
	run.steps = steps_each;
	run.left = run.cpus;
	crew_run(s, run.cpus, program, kept_look);
	work_done.rounds++;
}

void work_begin(struct sim *s, u32 cpus, bool fail)
{
	CHECK(cpus <= SIM_CPUS);
	run.cpus = cpus;
	run.fail = fail;
	run.auditing = false;
	for (u32 i = 0; i < VMS; i++)
		known[i] = (struct known){ .vm = &s->vm[i] };
}

void work_round(struct sim *s, u32 steps_each)
{
	run_round(s, steps_each, work);
}

void work_end(struct sim *s)
{
	s->alloc.fail_after = -1;
	run_round(s, 0, end_all);
}
