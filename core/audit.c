/*
 * audit: phases as a table; each goes on where it stopped, in (vm, view, at).
 *
 * Locks: the pool's and in it the allocator's while frames are compared with their bitmaps; a VM's pmap while its pmap or
 * its views are read. A leaf and the truth behind it are read under one lock: no false finding comes from a change.
 */
#include "core/audit.h"
#include "core/bits.h"

#define LEAF_COST 8u   /* looking up the truth behind a leaf, against looking at a frame */
#define TABLE_COST 2u  /* looking at a table's frame */
#define SEARCH_COST 32u /* searching a table for the tables below it */

static void find_fault(struct audit_state *s, const char *what, u64 owner, u64 where)
{
	s->findings++;
	if (s->finding)
		s->finding(s->context, what, owner, where);
}

static const struct audit_vm *vm_of(const struct audit_state *s) { return &s->host->vm[s->vm]; }

static struct audit_sum *sum_of(struct audit_state *s, owner_t owner)
{
	u32 i = (u32)owner - OWNER_FIRST_VM;
	return i < AUDIT_VMS ? &s->sums[i] : NULL;
}

/* Two sets of frames with the same sum of these are the same set. */
static u64 mixed(u64 frame)
{
	u64 x = (frame + 1) * 0x9e3779b97f4a7c15;
	x = (x ^ x >> 32) * 0xd6e8feb86659fd93;
	return x ^ x >> 29;
}

/* Of all that changes under the pmap's lock, which is taken. */
static u64 epoch_of(const struct audit_vm *v)
{
	lock_take(&v->pmap->lock);
	u64 epoch = v->pmap->changes + v->pmap->tree.changes;
	for (u32 i = 0; i < v->view_count; i++)
		epoch += v->view[i]->table.changes;
	lock_give(&v->pmap->lock);
	return epoch;
}

static bool spend(struct audit_state *s, u32 n)
{
	s->left = s->left > n ? s->left - n : 0;
	return s->left != 0;
}

/* ---- frames ---- */

static const char *pool_fault(const struct frame *f, bool in_pool, bool used)
{
	bool is_pool = f->kind == FRAME_POOL || f->kind == FRAME_TABLE;
	if (is_pool != in_pool)
		return is_pool ? "a pool frame outside of the pool" : "a block of the pool holds a frame of another kind";
	if (in_pool && !used && (f->kind != FRAME_POOL || f->owner != OWNER_HYPERVISOR))
		return "a frame that the pool has not handed out is in use";
	return NULL;
}

static const char *frame_fault(const struct audit_host *h, const struct frame *f, hfn_t at)
{
	bool is_free, is_clean, used;
	alloc_look(h->alloc, at, &is_free, &is_clean);
	bool in_pool = pool_holds(h->pool, at, &used);
	if (f->kind >= FRAME_KINDS)
		return "a frame of no kind";
	if (is_free != (f->kind == FRAME_FREE))
		return "frame table and allocator differ on whether a frame is free";
	if (is_clean && !is_free)
		return "a frame is clean but not free";
	if (is_free && is_clean == (bool)(f->flags & FRAME_DIRTY))
		return "frame table and allocator differ on whether a frame is clean";
	if ((f->kind == FRAME_FREE || f->kind == FRAME_ABSENT) != (f->owner == OWNER_NONE))
		return "a frame's owner does not fit its kind";
	if (f->kind != FRAME_GUEST && f->count != 0)
		return "a frame that is no guest's has a count";
	if (f->kind == FRAME_GUEST && f->owner < OWNER_FIRST_VM)
		return "a guest frame without a VM";
	if (f->kind == FRAME_GUEST && h->quiet && f->count == 0)
		return "a guest frame that nothing names";
	if (f->owner >= OWNER_FIRST_VM && (f->owner == h->gone || (h->quiet && h->vm_count == 0)))
		return "a frame of a VM that is gone";
	return pool_fault(f, in_pool, used);
}

/* Where every frame is: what allocator and pool say, against the sums over the frame table. */
static const char *ledger_fault(const struct audit_host *h, const u64 *kind)
{
	for (u32 k = 0; k < FRAME_KINDS; k++) {
		u64 found = k == FRAME_TABLE ? 0 : k == FRAME_POOL ? kind[k] + kind[FRAME_TABLE] : kind[k];
		if (found != h->alloc->kind[k])
			return "frames of a kind differ from the allocator's count of them";
	}
	if (kind[FRAME_FREE] != h->alloc->free_frames)
		return "free frames differ from the allocator's sum";
	if (h->alloc->clean_frames > h->alloc->free_frames)
		return "more frames are clean than free";
	if (kind[FRAME_POOL] + kind[FRAME_TABLE] != (u64)h->pool->blocks * BLOCK_FRAMES)
		return "pool and table frames differ from the pool's blocks";
	if (h->quiet && h->vm_count == 0 && kind[FRAME_BOOT] != h->boot_frames)
		return "frames of boot modules differ from those that are needed";
	return kind[FRAME_TABLE] > h->pool->used_frames ? "more tables than the pool has handed out" : NULL;
}

static void add_frame(struct audit_state *s, const struct frame *f, u64 at)
{
	struct audit_sum *sum = sum_of(s, f->owner);
	s->ledger.kind[f->kind]++;
	s->tables += f->kind == FRAME_TABLE && f->owner >= OWNER_FIRST_VM;
	if (sum && f->kind == FRAME_GUEST)
		sum->count += f->count * mixed(at);
	else if (sum && f->kind == FRAME_TABLE)
		sum->table += mixed(at);
}

static bool step_frames(struct audit_state *s)
{
	const struct audit_host *h = s->host;
	const struct frame_table *frames = &h->alloc->frames;
	for (u32 i = 0; s->at == 0 && i < h->vm_count; i++)
		sum_of(s, h->vm[i].pmap->owner)->epoch = epoch_of(&h->vm[i]);
	lock_take(&h->pool->lock);
	lock_take(&h->alloc->lock);
	u64 epoch = h->alloc->changes + h->pool->changes;
	if (s->at == 0)
		s->ledger_epoch = epoch;
	u64 end = min_u64(s->at + s->left, frames->limit);
	for (u64 i = s->at; i < end; i++) {
		const struct frame *f = frame_of(frames, hfn(i));
		const char *fault = frame_fault(h, f, hfn(i));
		if (fault)
			find_fault(s, fault, f->owner, i);
		else
			add_frame(s, f, i);
	}
	bool same = s->ledger_epoch == epoch;
	if (end == frames->limit && same) {
		const char *fault = ledger_fault(h, s->ledger.kind);
		if (fault)
			find_fault(s, fault, OWNER_NONE, 0);
	} else if (end == frames->limit) {
		s->skipped++;
	}
	lock_give(&h->alloc->lock);
	lock_give(&h->pool->lock);
	spend(s, (u32)(end - s->at));
	s->at = end;
	return end < frames->limit;
}

/* ---- pmaps ---- */

static bool inside_one_range(const struct pmap *p, gfn_t first, u64 count)
{
	for (u32 i = 0; i < p->range_count; i++) {
		const struct pmap_range *r = &p->range[i];
		if (r->state == PMAP_EMPTY && first.v >= r->first.v && first.v + count <= r->first.v + r->count)
			return true;
	}
	return false;
}

static void audit_backed(struct audit_state *s, const struct pmap *p, hfn_t at)
{
	const struct frame *f = frame_of(&p->alloc->frames, at);
	if (f->kind != FRAME_GUEST || f->owner != p->owner)
		find_fault(s, "a pmap names a frame of someone else", p->owner, at.v);
	else if (f->count == 0)
		find_fault(s, "a pmap names a frame whose count is 0", p->owner, at.v);
	sum_of(s, p->owner)->named += mixed(at.v);
	s->sum++;
}

/* A step may end in the middle of a large leaf: then `at` does. */
static bool audit_backing(void *context, u64 address, u64 entry, u8 level)
{
	struct audit_state *s = context;
	const struct pmap *p = vm_of(s)->pmap;
	hfn_t frame = pt_entry_frame(p->tree.format, entry);
	u32 frames = pt_frames(level), i = s->at > address ? (u32)((s->at - address) >> PAGE_SHIFT) : 0;
	if (i == 0 && s->left && !inside_one_range(p, gpa_frame(gpa(address)), frames))
		find_fault(s, "a guest frame is backed outside of RAM", p->owner, gpa_frame(gpa(address)).v);
	for (; i < frames && s->left; i++, spend(s, 1))
		audit_backed(s, p, hfn_add(frame, i));
	s->at = address + ((u64)i << PAGE_SHIFT);
	return i == frames;
}

/* What is left of a tree, leaf by leaf; false: not all of it. */
static bool visit_rest(struct audit_state *s, const struct pt *t, pt_visitor *leaf)
{
	return hfn_is_none(t->root) || pt_visit(t, s->at, pt_span((u8)(t->format->levels + 1)) - s->at, leaf, s);
}

static bool step_pmap(struct audit_state *s)
{
	struct pmap *p = vm_of(s)->pmap;
	lock_take(&p->lock);
	if (s->at == 0)
		s->epoch = p->changes;
	bool over = visit_rest(s, &p->tree, audit_backing);
	if (over && s->epoch != p->changes)
		s->skipped++;
	else if (over && s->sum != p->resident)
		find_fault(s, "a pmap's entries differ from what is resident", p->owner, s->sum);
	if (over && p->resident > p->promised)
		find_fault(s, "more is resident than was promised", p->owner, p->resident);
	if (over)
		s->resident += p->resident;
	lock_give(&p->lock);
	return !over;
}

/* A frame of the pool that stands in a tree of this VM. */
static bool audit_table(void *context, hfn_t at, u8 level, u64 address)
{
	struct audit_state *s = context;
	const struct audit_host *h = s->host;
	owner_t owner = vm_of(s)->pmap->owner;
	bool used;
	const struct frame *f = frame_of(&h->alloc->frames, at);
	if (s->left == 0) {
		s->at = address;
		s->level = level;
		return false;
	}
	if (f->kind != FRAME_TABLE || f->owner != owner || !pool_holds(h->pool, at, &used) || !used)
		find_fault(s, "a tree stands on a frame that is not its own", owner, at.v);
	sum_of(s, owner)->stands += mixed(at.v);
	s->sum++;
	s->stand++;
	spend(s, level > 1 ? SEARCH_COST : TABLE_COST);
	return true;
}

static bool audit_tree(struct audit_state *s, const struct pt *t)
{
	struct pmap *p = vm_of(s)->pmap;
	lock_take(&p->lock);
	if (s->at == 0 && !s->level)
		s->epoch = t->changes;
	/* A tree that was never made has no format either. */
	bool over = hfn_is_none(t->root) || pt_visit_tables(t, s->level ? s->level : t->format->levels, s->at, audit_table, s);
	if (over && s->sum != t->tables && s->epoch == t->changes)
		find_fault(s, "a tree has another number of tables than it says", p->owner, s->sum);
	else if (over && s->sum != t->tables)
		s->skipped++;
	lock_give(&p->lock);
	return !over;
}

static bool step_tree(struct audit_state *s) { return audit_tree(s, &vm_of(s)->pmap->tree); }

/* ---- views ---- */

/* Beside the window: the VM's own private frames, and what all may read. */
static const char *private_fault(const struct ptview *v, u64 address, u64 entry, u8 level)
{
	const struct pt_format *format = v->table.format;
	hfn_t at = pt_entry_frame(format, entry);
	if (level != 1 || at.v >= v->pmap->alloc->frames.limit)
		return "a private leaf names what is no frame";
	if (pt_entry_rights(format, entry) & PT_USER && address >> 47 & 1)
		return "ring 3 may reach ring 0's part";
	const struct frame *f = frame_of(&v->pmap->alloc->frames, at);
	bool shared = f->kind == FRAME_IMAGE || f->kind == FRAME_BOOT;
	if (shared && !(pt_entry_rights(format, entry) & PT_WRITE))
		return NULL;
	return f->kind == FRAME_PRIVATE && f->owner == v->pmap->owner ? NULL : "a private leaf names what is not the VM's";
}

static const char *leaf_fault(const struct ptview *v, u64 address, u64 entry, u8 level)
{
	const struct pt_format *format = v->table.format;
	if (address - v->base >= v->span)
		return private_fault(v, address, entry, level);
	gfn_t first = gpa_frame(gpa(address - v->base));
	u32 frames = pt_frames(level);
	enum pt_rights rights = pt_entry_rights(format, entry);
	for (u32 i = 0; i < frames; i++) {
		struct pmap_backing b = pmap_look(v->pmap, gfn_add(first, i));
		if (b.state != PMAP_PRESENT)
			return "a view names a frame where the truth has none";
		if (b.frame.v != pt_entry_frame(format, entry).v + i)
			return "a view names another frame than the truth";
		if ((u32)rights & ~(u32)v->rights)
			return "a leaf gives more rights than its view may";
		if ((rights & PT_WRITE) && !b.writable)
			return "a view lets write what the truth does not";
		if (i == 0 && b.level == 2 && frames > 1)
			return NULL; /* the truth is one leaf as well: the rest follows */
	}
	return NULL;
}

static bool audit_leaf(void *context, u64 address, u64 entry, u8 level)
{
	struct audit_state *s = context;
	const struct ptview *v = vm_of(s)->view[s->view];
	if (s->left == 0) {
		s->at = address;
		return false;
	}
	const char *fault = leaf_fault(v, address, entry, level);
	if (fault)
		find_fault(s, fault, v->pmap->owner, pt_entry_frame(v->table.format, entry).v);
	spend(s, LEAF_COST);
	return true;
}

static bool step_leaves(struct audit_state *s)
{
	const struct ptview *v = vm_of(s)->view[s->view];
	lock_take(&v->pmap->lock);
	bool over = visit_rest(s, &v->table, audit_leaf);
	lock_give(&v->pmap->lock);
	return !over;
}

static bool step_tables(struct audit_state *s) { return audit_tree(s, &vm_of(s)->view[s->view]->table); }

/* ---- counts, ledger ---- */

/* Tables that a tree has left stay the VM's until that is settled: they are compared only if no debt is open. */
static bool step_counts(struct audit_state *s)
{
	owner_t owner = vm_of(s)->pmap->owner;
	const struct audit_sum *sum = sum_of(s, owner);
	if (sum->epoch != epoch_of(vm_of(s)))
		s->skipped++;
	else if (sum->count != sum->named)
		find_fault(s, "frames' counts differ from the entries that name them", owner, 0);
	else if (s->host->quiet && sum->table != sum->stands)
		find_fault(s, "a table stands in no tree, or in two places", owner, 0);
	return false;
}

static bool step_ledger(struct audit_state *s)
{
	if (s->host->quiet && s->ledger.kind[FRAME_GUEST] != s->resident)
		find_fault(s, "guest frames differ from what is resident in all VMs", OWNER_NONE, s->resident);
	if (s->host->quiet && s->tables != s->stand)
		find_fault(s, "tables differ from those that stand in a tree of a VM", OWNER_NONE, s->tables);
	return false;
}

enum audit_scope { ONCE, PER_VM, PER_VIEW };

static const struct {
	bool (*step)(struct audit_state *s); /* true: there is more of it */
	enum audit_scope scope;
} phases[] = {
	{ step_frames, ONCE },     { step_pmap, PER_VM },    { step_tree, PER_VM },  { step_leaves, PER_VIEW },
	{ step_tables, PER_VIEW }, { step_counts, PER_VM },  { step_ledger, ONCE },
};

void audit_begin(struct audit_state *s, const struct audit_host *host, audit_finding *finding, void *context)
{
	*s = (struct audit_state){ .host = host, .finding = finding, .context = context };
}

static void next_object(struct audit_state *s)
{
	s->at = s->sum = s->level = 0;
	if (phases[s->phase].scope == PER_VIEW && s->view + 1 < vm_of(s)->view_count) {
		s->view++;
	} else {
		s->view = 0;
		s->vm++;
	}
}

bool audit_step(struct audit_state *s, u32 budget)
{
	s->left = budget;
	while (s->left && s->phase < ARRAY_SIZE(phases)) {
		if (s->vm == (phases[s->phase].scope == ONCE ? 1 : s->host->vm_count)) {
			s->phase++;
			s->vm = 0;
			continue;
		}
		if (!phases[s->phase].step(s))
			next_object(s);
		if (phases[s->phase].scope != ONCE)
			s->left = 0; /* a tree, or what is left of one, is a step of its own */
	}
	return s->phase < ARRAY_SIZE(phases);
}
