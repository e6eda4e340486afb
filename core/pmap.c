/*
 * pmap: a radix tree of four levels, 512 entries each, over guest frame numbers below 2^36 (48 address bits).
 *
 *   entry = address of a frame | what     what: 0 empty (the whole entry is 0), NODE (levels 4..2), LEAF (levels 2, 1)
 *
 * resolve prepares (frame or block, count, nodes), each step undone if a later one fails; then commits with one store.
 * A node without entries does not exist: it goes back to the pool at once, no view names it.
 */
#include "core/pmap.h"
#include "core/bits.h"
#include "core/settle.h"

#define INDEX_BITS 9u
#define ENTRIES (1u << INDEX_BITS)
#define LEVELS 4u
#define GFN_LIMIT BIT(LEVELS * INDEX_BITS)

#define NODE 1ull
#define LEAF 2ull
#define WHAT (NODE | LEAF)

static u64 frames_in(u8 level)
{
	return 1ull << (INDEX_BITS * (level - 1u));
}

static u64 *node_at(const struct pmap *p, hfn_t node)
{
	return pool_at(p->pool, frame_hpa(node));
}

static hfn_t entry_frame(u64 entry)
{
	return hpa_frame(hpa(entry & ~PAGE_MASK));
}

static u64 make_entry(hfn_t f, u64 what)
{
	return frame_hpa(f).v | what;
}

struct slot {
	u64 *entry;
	u8 level;
};

/* Down to the leaf or hole that covers `f`, never below `level`. */
static struct slot find(const struct pmap *p, gfn_t f, u8 level)
{
	hfn_t node = p->root;
	for (u8 at = LEVELS;; at--) {
		u64 *entry = node_at(p, node) + (f.v / frames_in(at)) % ENTRIES;
		if (at == level || (*entry & WHAT) != NODE)
			return (struct slot){ .entry = entry, .level = at };
		node = entry_frame(*entry);
	}
}

static const struct pmap_range *range_of(const struct pmap *p, gfn_t f)
{
	for (u32 i = 0; i < p->range_count; i++)
		if (f.v - p->range[i].first.v < p->range[i].count)
			return &p->range[i];
	return NULL;
}

status pmap_init(struct pmap *p, owner_t owner, struct pool *pool, struct alloc *alloc)
{
	*p = (struct pmap){ .owner = owner, .pool = pool, .alloc = alloc, .frames = alloc->frames, .nodes = 1,
			    .large = true, .preparing = { .first = HFN_NONE } };
	return pool_take(pool, FRAME_POOL, owner, &p->root);
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

/* Makes the nodes from `from` (an empty entry) down to `level`, all or none, and links them by one store. */
static status make_nodes(struct pmap *p, gfn_t f, struct slot from, u8 level, struct slot *out)
{
	hfn_t chain[LEVELS];
	u32 missing = (u32)from.level - level;
	for (u32 n = 0; n < missing; n++) {
		status st = pool_take(p->pool, FRAME_POOL, p->owner, &chain[n]);
		if (st != OK) {
			while (n-- > 0)
				pool_give(p->pool, chain[n]);
			return st;
		}
	}
	for (u32 n = 0; n + 1 < missing; n++) {
		u8 at = (u8)(from.level - 1 - n);
		node_at(p, chain[n])[(f.v / frames_in(at)) % ENTRIES] = make_entry(chain[n + 1], NODE);
	}
	if (missing)
		*from.entry = make_entry(chain[0], NODE);
	p->nodes += missing;
	*out = find(p, f, level);
	return OK;
}

static status ref_frames(struct pmap *p, hfn_t first, u64 n)
{
	struct frame *f = frame_of(&p->frames, first);
	for (u64 i = 0; i < n; i++) {
		status st = frame_ref(&f[i]);
		if (st != OK) {
			while (i-- > 0)
				frame_unref(&f[i]);
			return st;
		}
	}
	return OK;
}

static void unref_frames(struct pmap *p, hfn_t first, u64 n)
{
	struct frame *f = frame_of(&p->frames, first);
	for (u64 i = 0; i < n; i++)
		frame_unref(&f[i]);
}

/* Prepared: `got` is this VM's, clean, in no map. Makes it what backs the guest frames around `f` at `level`. */
static status back_with(struct pmap *p, gfn_t f, struct slot hole, u8 level, hfn_t got)
{
	struct slot slot;
	status st = ref_frames(p, got, frames_in(level));
	if (st == OK) {
		st = make_nodes(p, f, hole, level, &slot);
		if (st != OK)
			unref_frames(p, got, frames_in(level));
	}
	if (st != OK) {
		alloc_undo(p->alloc, got, (u32)frames_in(level));
		return st;
	}
	*slot.entry = make_entry(got, LEAF);
	p->resident += frames_in(level);
	p->changes++;
	return OK;
}

/* May the aligned 2 MiB around `f` be one leaf: wholly RAM of one range, and nothing there yet? */
static bool may_be_large(const struct pmap *p, const struct pmap_range *r, gfn_t f, struct slot hole)
{
	u64 first = align_down(f.v, BLOCK_FRAMES);
	return p->large && hole.level >= 2 && first >= r->first.v && first + BLOCK_FRAMES <= r->first.v + r->count;
}

static status back(struct pmap *p, const struct pmap_range *r, gfn_t f, struct slot hole)
{
	hfn_t got;
	if (may_be_large(p, r, f, hole)) {
		status st = alloc_block_clean(p->alloc, &p->preparing, FRAME_GUEST, p->owner, &got);
		if (st == OK)
			return back_with(p, f, hole, 2, got);
		if (st != NO_MEMORY)
			return st;
	}
	status st = alloc_frame(p->alloc, FRAME_GUEST, p->owner, &got);
	return st == OK ? back_with(p, f, hole, 1, got) : st;
}

static struct pmap_backing backing_at(const struct pmap_range *r, gfn_t f, struct slot slot)
{
	if ((*slot.entry & WHAT) != LEAF)
		return (struct pmap_backing){ .state = r->state, .frame = HFN_NONE, .writable = !r->read_only };
	return (struct pmap_backing){
		.state = PMAP_PRESENT,
		.frame = hfn_add(entry_frame(*slot.entry), f.v % frames_in(slot.level)),
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
	struct slot slot = find(p, f, 1);
	if (*slot.entry == 0) {
		status st = back(p, r, f, slot);
		if (st != OK)
			return st;
		slot = find(p, f, 1);
	}
	*out = backing_at(r, f, slot);
	return OK;
}

struct pmap_backing pmap_look(const struct pmap *p, gfn_t f)
{
	const struct pmap_range *r = range_of(p, f);
	if (!r)
		return (struct pmap_backing){ .state = PMAP_NONE, .frame = HFN_NONE };
	return backing_at(r, f, find(p, f, 1));
}

/* A 2 MiB leaf becomes a node of 512: the same frames, the same counts. */
static status split(struct pmap *p, struct slot large)
{
	hfn_t node;
	status st = pool_take(p->pool, FRAME_POOL, p->owner, &node);
	if (st != OK)
		return st;
	for (u32 i = 0; i < ENTRIES; i++)
		node_at(p, node)[i] = make_entry(hfn_add(entry_frame(*large.entry), i), LEAF);
	*large.entry = make_entry(node, NODE);
	p->nodes++;
	return OK;
}

static bool is_empty(const struct pmap *p, hfn_t node)
{
	for (u32 i = 0; i < ENTRIES; i++)
		if (node_at(p, node)[i])
			return false;
	return true;
}

/* Nodes on the way to `f` that have no entry left go back to the pool, from below. */
static void prune(struct pmap *p, gfn_t f)
{
	for (u8 level = 2; level <= LEVELS; level++) {
		struct slot slot = find(p, f, level);
		if (slot.level != level || (*slot.entry & WHAT) != NODE)
			continue;
		hfn_t node = entry_frame(*slot.entry);
		if (!is_empty(p, node))
			return;
		*slot.entry = 0;
		pool_give(p->pool, node);
		p->nodes--;
	}
}

static void release_leaf(struct pmap *p, struct slot slot, struct settlement *s)
{
	hfn_t first = entry_frame(*slot.entry);
	*slot.entry = 0;
	unref_frames(p, first, frames_in(slot.level));
	settle_add_frames(s, first, (u32)frames_in(slot.level));
	p->resident -= frames_in(slot.level);
	p->changes++;
}

status pmap_release(struct pmap *p, gfn_t first, u64 count, u32 budget, struct settlement *s, u64 *done)
{
	u64 at = first.v, end = min_u64(first.v + count, GFN_LIMIT);
	status st = OK;
	while (at < end) {
		struct slot slot = find(p, gfn(at), 1);
		u64 start = align_down(at, frames_in(slot.level)), next = start + frames_in(slot.level);
		bool leaf = *slot.entry != 0;
		if (leaf && (budget == 0 || !settle_has_room(s, 1))) {
			st = AGAIN;
			break;
		}
		if (leaf && (at != start || next > end)) {
			st = split(p, slot);
			if (st != OK)
				break;
			continue;
		}
		if (leaf) {
			release_leaf(p, slot, s);
			budget--;
		}
		at = min_u64(next, end);
		if (at % BLOCK_FRAMES == 0)
			prune(p, gfn(at - 1));
	}
	if (at > first.v)
		prune(p, gfn(at - 1));
	*done = at - first.v;
	return st;
}

void pmap_destroy(struct pmap *p)
{
	CHECK(p->resident == 0 && p->nodes == 1);
	alloc_cancel(p->alloc, &p->preparing);
	pool_give(p->pool, p->root);
	p->root = HFN_NONE;
	p->nodes = 0;
}

struct visit {
	const struct pmap *p;
	bool (*leaf)(void *context, gfn_t first, hfn_t frame, u32 frames);
	bool (*node)(void *context, hfn_t node);
	void *context;
	u64 at, end;
};

static bool visit_node(const struct visit *v, hfn_t node, u8 level, u64 base)
{
	CHECK(level > 0);
	if (v->node && !v->node(v->context, node))
		return false;
	for (u32 i = 0; i < ENTRIES; i++) {
		u64 entry = node_at(v->p, node)[i], first = base + i * frames_in(level);
		if (!entry || first + frames_in(level) <= v->at || first >= v->end)
			continue;
		bool go_on = (entry & WHAT) == NODE ?
			visit_node(v, entry_frame(entry), (u8)(level - 1), first) :
			!v->leaf || v->leaf(v->context, gfn(first), entry_frame(entry), (u32)frames_in(level));
		if (!go_on)
			return false;
	}
	return true;
}

bool pmap_visit(const struct pmap *p, bool (*visit)(void *context, gfn_t first, hfn_t frame, u32 frames), void *context)
{
	return pmap_visit_part(p, gfn(0), GFN_LIMIT, visit, context);
}

bool pmap_visit_part(const struct pmap *p, gfn_t first, u64 count,
		     bool (*visit)(void *context, gfn_t first, hfn_t frame, u32 frames), void *context)
{
	struct visit v = { .p = p, .leaf = visit, .context = context, .at = first.v, .end = first.v + count };
	return visit_node(&v, p->root, LEVELS, 0);
}

bool pmap_visit_nodes(const struct pmap *p, bool (*visit)(void *context, hfn_t node), void *context)
{
	struct visit v = { .p = p, .node = visit, .context = context, .end = GFN_LIMIT };
	return visit_node(&v, p->root, LEVELS, 0);
}
