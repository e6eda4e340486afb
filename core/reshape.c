/*
 * reshape: what a view in use loses: entries, the right to write, a table whose leaves become one.
 *
 * Nothing in ring 0 asks for these yet: memory goes back at the end of a VM only, with its whole views. So they are not linked into Ringmur;
 * the tests of core and the build in which a guest may order them (tests/points) are.
 */
#include "core/bits.h"
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

status ptview_merge(struct ptview *v, gfn_t f, struct settlement *s)
{
	if (pmap_look(v->pmap, f).level != PMAP_LARGE)
		return NOT_THERE;
	return pt_merge(&v->table, &v->view, v->base + frame_gpa(f).v, PMAP_LARGE, s);
}
