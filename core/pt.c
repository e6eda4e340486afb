/*
 * pt: the engine. All knowledge of bits comes from the format; every entry is classified, then acted on.
 *
 * Stores into a live table:  publish()  a complete chain of tables, or a leaf, into a hole or over a leaf that it splits
 *                            take_out() an entry, by exchange
 *                            pt_merge() (reshape.c) a large leaf over the table whose leaves it unites, by exchange
 * The lock of the pmap behind the view is held by whoever changes; only processors (A and D) write at the same time. Ring 0's own map has no
 * pmap: x86/mm/mm.c tells why it needs none.
 */
#include "core/bits.h"
#include "core/pt_inside.h"

#define MAX_LEVELS 5u
/* What a call may do is a budget of small leaves. A large leaf is work for each of its frames; a table that goes has been looked through. */
#define FRAMES_A_UNIT 16u
#define TABLE_COST 16u
#define DESTROY_SLICE 24u /* of one call of pt_destroy */

static u32 index_of(u64 address, u8 level) { return (u32)(address / pt_span(level)) % ENTRIES; }

static bool publish(u64 *entry, u64 old, u64 new)
{
	return __atomic_compare_exchange_n(entry, &old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

static u64 take_out(u64 *entry) { return __atomic_exchange_n(entry, 0, __ATOMIC_SEQ_CST); }

enum pt_what pt_classify(const struct pt_format *f, u64 entry, u8 level)
{
	if (!(entry & f->present))
		return PT_HOLE;
	if (level == 1 || ((f->leaf_levels & BIT(level)) && (entry & f->large)))
		return PT_LEAF;
	return PT_TABLE;
}

hfn_t pt_entry_frame(const struct pt_format *f, u64 entry)
{
	return hfn((entry & f->address) >> PAGE_SHIFT);
}

u64 pt_leaf(const struct pt_format *f, hfn_t to, u8 level, enum pt_rights rights)
{
	return f->leaf | frame_hpa(to).v | (level > 1 ? f->large : 0) | (rights & PT_WRITE ? f->write : 0) |
	       (rights & PT_EXEC ? 0 : f->no_exec) | (rights & PT_USER ? f->user : 0) | (rights & PT_GLOBAL ? f->global : 0) |
	       (rights & PT_UNCACHED ? f->uncached : 0);
}

enum pt_rights pt_entry_rights(const struct pt_format *f, u64 entry)
{
	return (enum pt_rights)(PT_READ | (entry & f->write ? PT_WRITE : 0) | (entry & f->no_exec ? 0 : PT_EXEC) |
				(entry & f->user ? PT_USER : 0) | (entry & f->global ? PT_GLOBAL : 0) |
				(entry & f->uncached ? PT_UNCACHED : 0));
}

static u64 table_entry(const struct pt *t, hfn_t table) { return t->format->table | frame_hpa(table).v; }

status pt_init(struct pt *t, const struct pt_format *format, struct pool *pool, owner_t owner)
{
	*t = (struct pt){ .format = format, .pool = pool, .owner = owner, .root = HFN_NONE };
	status st = pool_take(pool, FRAME_TABLE, owner, &t->root);
	t->tables = st == OK;
	return st;
}

struct pt_slot pt_find(const struct pt *t, u64 address, u8 level)
{
	hfn_t table = t->root;
	for (u8 at = t->format->levels;; at--) {
		u64 *entry = table_at(t, table) + index_of(address, at);
		u64 value = load(entry);
		enum pt_what what = pt_classify(t->format, value, at);
		if (at == level || what != PT_TABLE)
			return (struct pt_slot){ .entry = entry, .level = at, .what = what };
		table = pt_entry_frame(t->format, value);
	}
}

/* Fills a table, not yet linked, with the pieces of a large leaf: same rights, same A and D. */
static void fill_with_pieces(const struct pt *t, hfn_t table, u64 leaf, u8 leaf_level)
{
	u8 level = (u8)(leaf_level - 1);
	u64 piece = level > 1 ? leaf : leaf & ~t->format->large;
	u64 *entries = table_at(t, table);
	for (u32 i = 0; i < ENTRIES; i++, piece += pt_span(level))
		entries[i] = piece;
}

/*
 * Completes a chain of fresh tables for what `slot` covers, top (chain[0]) to bottom; `old` is what the slot holds. Returns
 * the entry that links it.
 */
static u64 build_chain(const struct pt *t, const hfn_t *chain, u32 n, u64 address, const struct pt_slot *slot, u64 old)
{
	u8 level = slot->level;
	for (u32 i = 0; i < n; i++, level--) {
		if (slot->what == PT_LEAF)
			fill_with_pieces(t, chain[i], old, level);
		u64 *entry = table_at(t, chain[i]) + index_of(address, (u8)(level - 1));
		old = *entry;
		if (i + 1 < n)
			*entry = table_entry(t, chain[i + 1]);
	}
	return table_entry(t, chain[0]);
}

static void give_chain(const struct pt *t, const hfn_t *chain, u32 n)
{
	while (n-- > 0)
		pool_give(t->pool, chain[n]);
}

status pt_reach(struct pt *t, u64 address, u8 level, struct pt_slot *out)
{
	struct pt_slot slot = pt_find(t, address, level);
	u32 missing = (u32)slot.level - level;
	if (missing == 0) {
		*out = slot;
		return OK;
	}
	hfn_t chain[MAX_LEVELS];
	for (u32 n = 0; n < missing; n++) {
		status st = pool_take(t->pool, FRAME_TABLE, t->owner, &chain[n]);
		if (st != OK) {
			give_chain(t, chain, n);
			return st;
		}
	}
	u64 old, link;
	do { /* again if a processor sets A or D in a leaf while it is being split */
		old = load(slot.entry);
		link = build_chain(t, chain, missing, address, &slot, old);
		at_point(POINT_SPLIT_BUILT);
	} while (!publish(slot.entry, old, link));
	at_point(POINT_SPLIT_LINKED);
	t->tables += missing;
	t->changes++;
	*out = pt_find(t, address, level);
	return OK;
}

status pt_map(struct pt *t, u64 address, hfn_t to, u8 level, enum pt_rights rights)
{
	CHECK(t->format->leaf_levels & BIT(level));
	CHECK(to.v % pt_frames(level) == 0 && address % pt_span(level) == 0);
	struct pt_slot slot = pt_find(t, address, level);
	u64 marks = t->format->accessed | t->format->dirty;
	u64 leaf = pt_leaf(t->format, to, level, rights);
	if (slot.what == PT_HOLE) {
		status st = pt_reach(t, address, level, &slot);
		if (st != OK)
			return st;
		CHECK(publish(slot.entry, 0, leaf));
		return OK;
	}
	bool same = slot.what == PT_LEAF && slot.level == level && (load(slot.entry) & ~marks) == leaf;
	return same ? OK : IN_USE;
}

struct drop {
	struct pt *t;
	struct view *view;
	struct settlement *s;
	u64 at, end; /* what is left of the range */
	u32 budget;
};

static void spend(struct drop *d, u32 units)
{
	d->budget -= (u32)min_u64(d->budget, units);
}

static void drop_leaf(struct drop *d, u64 *entry, u8 level)
{
	u64 old = take_out(entry);
	at_point(POINT_DROP_TAKEN);
	hfn_t first = pt_entry_frame(d->t->format, old);
	const struct frame_table *frames = &d->t->pool->alloc->frames;
	if (d->t->dropped)
		d->t->dropped(d->t, first, pt_frames(level), d->s);
	else if (first.v + pt_frames(level) <= frames->limit)
		settle_stamp(d->s, d->view, frame_of(frames, first), pt_frames(level));
	else
		settle_view(d->s, d->view); /* a device's page: in no frame table */
	spend(d, 1 + pt_frames(level) / FRAMES_A_UNIT);
}

#define AT_ONCE 8u
static inline bool any_used(const u64 *e)
{
	return load(e) | load(e + 1) | load(e + 2) | load(e + 3) | load(e + 4) | load(e + 5) | load(e + 6) | load(e + 7);
}

/* The next entry that is not 0: most of most tables is, and walking over them is most of the work. */
static u32 next_used(const u64 *entries, u32 i)
{
	while (i < ENTRIES && !load(&entries[i])) {
		i++;
		while (i % AT_ONCE == 0 && i < ENTRIES && !any_used(entries + i))
			i += AT_ONCE;
	}
	return i;
}

static bool is_empty(const struct pt *t, hfn_t table)
{
	return next_used(table_at(t, table), 0) == ENTRIES;
}

void pt_owe_table(struct pt *t, struct view *v, hfn_t table, struct settlement *s)
{
	if (v)
		settle_stamp(s, v, frame_of(&t->pool->alloc->frames, table), 1);
	settle_add_table(s, table);
	t->tables--;
	t->changes++;
}

static void unlink_table(struct drop *d, u64 *entry)
{
	hfn_t table = pt_entry_frame(d->t->format, take_out(entry));
	at_point(POINT_DROP_UNLINKED);
	pt_owe_table(d->t, d->view, table, d->s);
	spend(d, TABLE_COST);
}

/* Whatever comes next may empty one table of each level: is there room for all of them? */
static bool may_go_on(const struct drop *d) { return d->budget && settle_has_room(d->s, d->t->format->levels); }

/* The part of the range that lies in one table; `base` is where the table begins. Recursion as deep as the format. */
static status drop_in_table(struct drop *d, hfn_t table, u8 level, u64 base)
{
	u64 *entries = table_at(d->t, table);
	u64 table_end = base + ENTRIES * pt_span(level);
	while (d->at < d->end && d->at < table_end) {
		u32 i = index_of(d->at, level), used = next_used(entries, i);
		if (used != i) {
			d->at = min_u64(base + used * pt_span(level), d->end);
			continue;
		}
		u64 *entry = entries + i;
		u64 first = align_down(d->at, pt_span(level)), next = first + pt_span(level);
		u64 value = load(entry);
		enum pt_what what = pt_classify(d->t->format, value, level);
		status st = OK;
		if (what == PT_HOLE) {
			d->at = min_u64(next, d->end);
			continue;
		}
		if (!may_go_on(d))
			return AGAIN;
		if (what == PT_LEAF && (d->at != first || next > d->end)) {
			struct pt_slot slot;
			st = pt_reach(d->t, d->at, (u8)(level - 1), &slot);
		} else if (what == PT_LEAF) {
			drop_leaf(d, entry, level);
			d->at = next;
		} else {
			hfn_t below = pt_entry_frame(d->t->format, value);
			st = drop_in_table(d, below, (u8)(level - 1), first);
			if (st == OK && pt_may_go(d->t, (u8)(level - 1)) && is_empty(d->t, below))
				unlink_table(d, entry);
			if (st == OK)
				spend(d, 1);
		}
		if (st != OK)
			return st;
	}
	return OK;
}

status pt_drop(struct pt *t, struct view *v, u64 address, u64 length, u32 budget, struct settlement *s, u64 *done)
{
	u64 whole = ENTRIES * pt_span(t->format->levels);
	u64 first = address % whole;
	CHECK(length <= whole - first);
	struct drop d = { .t = t, .view = v, .s = s, .at = first, .end = first + length, .budget = budget };
	status st = hfn_is_none(t->root) ? OK : drop_in_table(&d, t->root, t->format->levels, 0); /* one that could not be made has none */
	*done = d.at - first;
	return st;
}

struct visit {
	const struct pt *t;
	u64 at, end, high; /* high: what the caller's addresses have above the table's reach */
	pt_visitor *leaf;
	pt_table_visitor *table;
	u8 from; /* the level of the first table to be told of, which lies at `at` */
	void *context;
};

static bool visit_table(struct visit *v, hfn_t table, u8 level, u64 base)
{
	const u64 *entries = table_at(v->t, table);
	bool before_first = base < v->at || (base == v->at && level > v->from);
	if (v->table && !before_first && !v->table(v->context, table, level, base))
		return false;
	if (!v->leaf && level == 1)
		return true;
	u64 before = v->at > base ? (v->at - base) / pt_span(level) : 0;
	for (u32 i = next_used(entries, (u32)min_u64(before, ENTRIES)); i < ENTRIES; i = next_used(entries, i + 1)) {
		u64 first = base + i * pt_span(level);
		if (first >= v->end)
			break;
		u64 entry = load(&entries[i]);
		switch (pt_classify(v->t->format, entry, level)) {
		case PT_HOLE:
			break;
		case PT_TABLE:
			if (!visit_table(v, pt_entry_frame(v->t->format, entry), (u8)(level - 1), first))
				return false;
			break;
		case PT_LEAF:
			if (v->leaf && !v->leaf(v->context, first | v->high, entry, level))
				return false;
			break;
		}
	}
	return true;
}

bool pt_visit(const struct pt *t, u64 address, u64 length, pt_visitor *visit, void *context)
{
	u64 whole = ENTRIES * pt_span(t->format->levels);
	u64 first = address % whole;
	struct visit v = { .t = t, .at = first, .end = first + length, .high = address - first, .leaf = visit,
			   .context = context };
	return visit_table(&v, t->root, t->format->levels, 0);
}

bool pt_visit_tables(const struct pt *t, u8 level, u64 address, pt_table_visitor *visit, void *context)
{
	struct visit v = { .t = t, .at = address, .from = level, .end = ENTRIES * pt_span(t->format->levels), .table = visit,
			   .context = context };
	return visit_table(&v, t->root, t->format->levels, 0);
}

status pt_destroy(struct pt *t, struct view *v, struct settlement *s)
{
	if (hfn_is_none(t->root))
		return OK;
	t->keep = 0;
	u64 done;
	status st = pt_drop(t, v, 0, ENTRIES * pt_span(t->format->levels), DESTROY_SLICE, s, &done);
	if (st != OK)
		return st;
	if (!settle_has_room(s, 1))
		return AGAIN;
	CHECK(is_empty(t, t->root) && t->tables == 1);
	at_point(POINT_DESTROY_ROOT);
	pt_owe_table(t, v, t->root, s);
	t->root = HFN_NONE;
	return OK;
}
