/*
 * reshape: what a tree in use loses: entries, the right to write, a table whose leaves become one.
 *
 * Nothing in ring 0 asks for these yet: memory goes back at the end of a VM only, with its whole views. So they are not linked into Ringmur;
 * the tests of core and the build in which a guest may order them (tests/points) are.
 */
#include "core/bits.h"
#include "core/pt_inside.h"
#include "core/ptview.h"

status ptview_drop(struct ptview *v, gfn_t first, u64 count, u32 budget, struct settlement *s, u64 *done)
{
	u64 bytes;
	settle_view(s, &v->view); /* what another has dropped and not settled yet leaves no entry to find */
	status st = pt_drop(&v->table, &v->view, v->base + frame_gpa(first).v, count << PAGE_SHIFT, budget,
			    s, &bytes);
	*done = bytes >> PAGE_SHIFT;
	return st;
}

static void weaken(struct ptview *v, const struct pt_slot *slot, struct settlement *s)
{
	const struct pt_format *f = v->table.format;
	u64 old = __atomic_fetch_and(slot->entry, ~f->write, __ATOMIC_SEQ_CST);
	at_point(POINT_PROTECT_WEAKENED);
	if (old & f->write)
		settle_stamp(s, &v->view, frame_of(&v->pmap->alloc->frames, pt_entry_frame(f, old)), pt_frames(slot->level));
}

status ptview_protect(struct ptview *v, gfn_t first, u64 count, struct settlement *s)
{
	u64 at = v->base + frame_gpa(first).v, end = at + (count << PAGE_SHIFT);
	settle_view(s, &v->view); /* as above */
	while (at < end) {
		struct pt_slot slot = pt_find(&v->table, at, 1);
		u64 span = pt_span(slot.level), start = align_down(at, span);
		if (slot.what == PT_LEAF && (at != start || start + span > end)) {
			status st = pt_reach(&v->table, at, (u8)(slot.level - 1), &slot);
			if (st != OK)
				return st;
			continue;
		}
		if (slot.what == PT_LEAF)
			weaken(v, &slot, s);
		at = start + span;
	}
	return OK;
}

/*
 * The leaf of `level` that says what all leaves of the table say; 0: they do not follow one another, or differ in rights. A processor
 * that has cached the table may set D there until it flushes: what can be written counts as written.
 */
static u64 united(const struct pt *t, hfn_t table, u8 level)
{
	const struct pt_format *f = t->format;
	const u64 *pieces = table_at(t, table);
	u8 below = (u8)(level - 1);
	u64 first = load(&pieces[0]) & ~(f->accessed | f->dirty), marks = first & f->write ? f->dirty : 0;
	if (pt_classify(f, first, below) != PT_LEAF || pt_entry_frame(f, first).v % pt_frames(level) != 0)
		return 0;
	for (u32 i = 0; i < ENTRIES; i++) {
		u64 piece = load(&pieces[i]);
		if ((piece & ~(f->accessed | f->dirty)) != first + i * pt_span(below))
			return 0;
		marks |= piece & (f->accessed | f->dirty);
	}
	return first | f->large | marks;
}

status pt_merge(struct pt *t, struct view *v, u64 address, u8 level, struct settlement *s)
{
	CHECK(t->format->leaf_levels & BIT(level));
	struct pt_slot slot = pt_find(t, address, level);
	if (slot.level != level || slot.what != PT_TABLE || !pt_may_go(t, (u8)(level - 1)))
		return NOT_THERE;
	hfn_t table = pt_entry_frame(t->format, load(slot.entry));
	u64 leaf = united(t, table, level);
	if (!leaf)
		return NOT_THERE;
	if (!settle_has_room(s, 1))
		return AGAIN;
	at_point(POINT_MERGE_JUDGED);
	__atomic_store_n(slot.entry, leaf, __ATOMIC_SEQ_CST); /* all that may change there is the table's A */
	at_point(POINT_MERGE_EXCHANGED);
	pt_owe_table(t, v, table, s);
	return OK;
}

status pmap_merge(struct pmap *p, gfn_t f, struct settlement *s)
{
	const struct pmap_range *r = p->range, *end = p->range + p->range_count;
	while (r < end && !pmap_holds_block(r, f))
		r++;
	if (r == end)
		return NOT_THERE;
	status st = pt_merge(&p->tree, NULL, frame_gpa(f).v, PMAP_LARGE, s);
	if (st == OK)
		p->changes++;
	return st;
}

status ptview_merge(struct ptview *v, gfn_t f, struct settlement *s)
{
	if (pmap_look(v->pmap, f).level != PMAP_LARGE)
		return NOT_THERE;
	return pt_merge(&v->table, &v->view, v->base + frame_gpa(f).v, PMAP_LARGE, s);
}
