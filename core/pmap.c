/*
 * pmap: a page table like any other, of a format of its own: four levels of 512 entries over guest frame numbers below 2^36 (48
 * address bits), that no processor walks.
 *
 * resolve prepares (frame or block, count, tables), each step undone if a later one fails; then commits with one store.
 * A table without entries does not exist: it goes into the debt with the last of them.
 */
#include "core/pmap.h"
#include "core/bits.h"

#define GFN_LIMIT BIT(36)

#define PRESENT BIT(0)
#define LARGE   BIT(1)

static const struct pt_format format = {
	.levels = 4,
	.leaf_levels = BIT(1) | BIT(2),
	.present = PRESENT,
	.table = PRESENT,
	.leaf = PRESENT,
	.large = LARGE,
	.address = BITS(51, 12),
};

static struct pt_slot find(const struct pmap *p, gfn_t f) { return pt_find(&p->tree, frame_gpa(f).v, 1); }

static const struct pmap_range *range_of(const struct pmap *p, gfn_t f)
{
	for (u32 i = 0; i < p->range_count; i++)
		if (f.v - p->range[i].first.v < p->range[i].count)
			return &p->range[i];
	return NULL;
}

status pmap_add_range(struct pmap *p, gfn_t first, u64 count, enum pmap_state state, bool read_only)
{
	if (count == 0 || first.v >= GFN_LIMIT || count > GFN_LIMIT - first.v)
		return BAD_VALUE;
	if (state != PMAP_EMPTY && state != PMAP_DEVICE)
		return BAD_VALUE;
	if (p->range_count == PMAP_RANGES)
		return NO_MEMORY;
	u32 at = 0;
	while (at < p->range_count && p->range[at].first.v < first.v)
		at++;
	if (at > 0 && p->range[at - 1].first.v + p->range[at - 1].count > first.v)
		return IN_USE;
	if (at < p->range_count && first.v + count > p->range[at].first.v)
		return IN_USE;
	for (u32 i = p->range_count; i > at; i--)
		p->range[i] = p->range[i - 1];
	p->range[at] = (struct pmap_range){ .first = first, .count = count, .state = state, .read_only = read_only };
	p->range_count++;
	if (state == PMAP_EMPTY)
		p->promised += count;
	p->changes++;
	return OK;
}

/* Prepared: `got` is this VM's, clean, in no map. Makes it what backs the guest frames around `f` at `level`. */
static status back_with(struct pmap *p, gfn_t f, u8 level, hfn_t got)
{
	u32 n = pt_frames(level);
	struct frame *frames = frame_of(&p->alloc->frames, got);
	at_point(POINT_FAULT_BACKED);
	status st = frames_ref(frames, n);
	if (st == OK) {
		st = pt_map(&p->tree, align_down(frame_gpa(f).v, pt_span(level)), got, level, PT_NONE);
		if (st != OK)
			frames_unref(frames, n);
	}
	if (st != OK) {
		alloc_undo(p->alloc, got, n);
		return st;
	}
	p->resident += n;
	p->changes++;
	return OK;
}

static status back(struct pmap *p, const struct pmap_range *r, gfn_t f, u8 hole_level)
{
	hfn_t got;
	if (p->large && hole_level >= PMAP_LARGE && pmap_holds_block(r, f)) {
		status st = alloc_block_clean(p->alloc, &p->preparing, FRAME_GUEST, p->owner, &got);
		if (st == OK)
			return back_with(p, f, PMAP_LARGE, got);
		if (st != NO_MEMORY)
			return st;
	}
	status st = alloc_frame(p->alloc, FRAME_GUEST, p->owner, &got);
	return st == OK ? back_with(p, f, 1, got) : st;
}

static struct pmap_backing backing_at(const struct pmap_range *r, gfn_t f, struct pt_slot slot)
{
	if (slot.what == PT_HOLE)
		return (struct pmap_backing){ .state = r->state, .frame = HFN_NONE, .writable = !r->read_only };
	return (struct pmap_backing){
		.state = PMAP_PRESENT,
		.frame = hfn_add(pt_entry_frame(&format, *slot.entry), f.v % pt_frames(slot.level)),
		.level = slot.level,
		.writable = !r->read_only,
	};
}

status pmap_resolve(struct pmap *p, gfn_t f, enum pmap_access access, struct pmap_backing *out)
{
	const struct pmap_range *r = range_of(p, f);
	if (!r)
		return BAD_ADDRESS;
	if (r->state == PMAP_DEVICE)
		return DEVICE;
	if (r->read_only && (access & PMAP_WRITE))
		return DENIED;
	struct pt_slot slot = find(p, f);
	if (slot.what == PT_HOLE) {
		status st = back(p, r, f, slot.level);
		if (st != OK)
			return st;
		slot = find(p, f);
	}
	*out = backing_at(r, f, slot);
	return OK;
}

bool pmap_unprepare(struct pmap *p)
{
	lock_take(&p->lock);
	bool had = alloc_cancel(p->alloc, &p->preparing);
	lock_give(&p->lock);
	return had;
}

struct pmap_backing pmap_look(const struct pmap *p, gfn_t f)
{
	const struct pmap_range *r = range_of(p, f);
	if (!r)
		return (struct pmap_backing){ .state = PMAP_NONE, .frame = HFN_NONE };
	return backing_at(r, f, find(p, f));
}

/* A leaf has left the tree. */
static void release_leaf(struct pt *tree, hfn_t first, u32 n, struct settlement *s)
{
	struct pmap *p = container_of(tree, struct pmap, tree);
	frames_unref(frame_of(&p->alloc->frames, first), n);
	at_point(POINT_RELEASED);
	settle_add_frames(s, first, n);
	p->resident -= n;
	p->changes++;
}

status pmap_init(struct pmap *p, owner_t owner, struct pool *pool, struct alloc *alloc)
{
	*p = (struct pmap){ .owner = owner, .alloc = alloc, .large = true, .preparing = { .first = HFN_NONE } };
	status st = pt_init(&p->tree, &format, pool, owner);
	p->tree.dropped = release_leaf;
	return st;
}

status pmap_release(struct pmap *p, gfn_t first, u64 count, u32 budget, struct settlement *s, u64 *done)
{
	u64 bytes, length = (min_u64(first.v + count, GFN_LIMIT) - first.v) << PAGE_SHIFT;
	status st = pt_drop(&p->tree, NULL, frame_gpa(first).v, length, budget, s, &bytes);
	*done = bytes >> PAGE_SHIFT;
	return st;
}

void pmap_destroy(struct pmap *p)
{
	alloc_cancel(p->alloc, &p->preparing);
	if (hfn_is_none(p->tree.root))
		return;
	CHECK(p->resident == 0 && p->tree.tables == 1);
	pool_give(p->tree.pool, p->tree.root);
	p->tree.root = HFN_NONE;
	p->tree.tables = 0;
}
