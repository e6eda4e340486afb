/*
 * ptview: a view that is a page table filled from a pmap: nested tables and the host's window are both this.
 */
#ifndef CORE_PTVIEW_H
#define CORE_PTVIEW_H

#include "core/pmap.h"

struct ptview {
	struct view view;
	struct pt table;
	struct pmap *pmap;
	u64 base;              /* table address of guest-physical 0 (0 in nested tables) */
	u64 span;              /* bytes from there that mirror the pmap; the table may hold the VM's private part elsewhere */
	enum pt_rights rights; /* at most */
};

must_use status ptview_init(struct ptview *v, const char *name, const struct pt_format *format, struct pmap *pmap,
		   struct settler *settler, u64 base, enum pt_rights rights);
/* Resolves a fault at `at`: asks the truth, fills one entry. Takes the pmap's lock. Status as pmap_resolve; a fault that another
 * processor has already resolved is OK. */
must_use status ptview_resolve(struct ptview *v, gpa_t at, enum pmap_access access);
/* Drops [first, first + count) from the view into the debt, which takes the view in any case: another may have dropped there and not
 * settled yet. The pmap's lock is held. As pt_drop. */
must_use status ptview_drop(struct ptview *v, gfn_t first, u64 count, u32 budget, struct settlement *s, u64 *done);
/* Write access goes away in [first, first+count) (dirty logging, sharing). Lock held; the debt takes the view. */
must_use status ptview_protect(struct ptview *v, gfn_t first, u64 count, struct settlement *s);
/* The view's 4 KiB leaves of the 2 MiB around `f` become one, if the truth is one leaf there and they all say the same. Lock held; the table
 * that goes joins the debt. As pt_merge. */
must_use status ptview_merge(struct ptview *v, gfn_t f, struct settlement *s);
must_use status ptview_destroy(struct ptview *v, struct settlement *s); /* in slices: AGAIN */

#endif
