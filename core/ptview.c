/*
 * ptview: filling a page table from the truth, one fault at a time. What takes out of one that is in use stands in reshape.c.
 */
#include "core/ptview.h"
#include "core/bits.h"

status ptview_init(struct ptview *v, const char *name, const struct pt_format *format, struct pmap *pmap,
		   struct settler *settler, u64 base, enum pt_rights rights)
{
	CHECK(base % BLOCK_SIZE == 0);
	*v = (struct ptview){ .pmap = pmap, .base = base, .rights = rights, .span = pt_span((u8)(format->levels + 1)) - base };
	view_init(&v->view, name, &settler->clock);
	return pt_init(&v->table, format, pmap->tree.pool, pmap->owner);
}

/* A leaf stands there already: another processor was faster, or it lacks a right that the truth gives. */
static void strengthen(struct ptview *v, const struct pt_slot *slot, hfn_t frame, u64 leaf)
{
	const struct pt_format *f = v->table.format;
	u64 old = __atomic_load_n(slot->entry, __ATOMIC_RELAXED), new;
	u64 part = slot->level == PMAP_LARGE ? frame.v % BLOCK_FRAMES : 0;
	CHECK(pt_entry_frame(f, old).v + part == frame.v);
	do
		new = old | (leaf & f->write);
	while (new != old && !__atomic_compare_exchange_n(slot->entry, &old, new, false, __ATOMIC_SEQ_CST,
							    __ATOMIC_RELAXED));
}

static status fill(struct ptview *v, gpa_t at, const struct pmap_backing *b)
{
	u64 address = v->base + align_down(at.v, PAGE_SIZE);
	u32 rights = b->writable ? v->rights : v->rights & ~(u32)PT_WRITE;
	u64 leaf = pt_leaf(v->table.format, b->frame, 1, (enum pt_rights)rights);
	struct pt_slot slot = pt_find(&v->table, address, 1);
	if (slot.what == PT_LEAF) {
		strengthen(v, &slot, b->frame, leaf);
		return OK;
	}
	if (b->level != PMAP_LARGE || slot.level < PMAP_LARGE)
		return pt_map(&v->table, address, b->frame, 1, (enum pt_rights)rights);
	return pt_map(&v->table, align_down(address, BLOCK_SIZE), hfn(align_down(b->frame.v, BLOCK_FRAMES)), PMAP_LARGE,
		      (enum pt_rights)rights);
}

status ptview_resolve(struct ptview *v, gpa_t at, enum pmap_access access)
{
	static_assert((int)PT_READ == PMAP_READ && (int)PT_WRITE == PMAP_WRITE && (int)PT_EXEC == PMAP_EXEC,
		      "an access is judged by the view's rights");
	if ((u32)access & ~(u32)v->rights)
		return DENIED;
	lock_take(&v->pmap->lock);
	struct pmap_backing b;
	status st = pmap_resolve(v->pmap, gpa_frame(at), access, &b);
	at_point(POINT_FAULT_RESOLVED);
	if (st == OK)
		st = fill(v, at, &b);
	at_point(POINT_FAULT_FILLED);
	lock_give(&v->pmap->lock);
	return st;
}

status ptview_destroy(struct ptview *v, struct settlement *s)
{
	return pt_destroy(&v->table, &v->view, s);
}
