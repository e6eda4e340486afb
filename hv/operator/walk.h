/*
 * walk: one translation, drawn step by step: the guest's own tables, what the truth says about the page, the nested tables.
 *
 * It only looks: no A or D bit, no frame, no table comes of it. Guest tables are read through `read`, under the pmap's lock, and only where a
 * frame is present; an untouched page reads as zeros, as it would for the guest.
 */
#ifndef HV_OPERATOR_WALK_H
#define HV_OPERATOR_WALK_H

#include "core/gwalk.h"
#include "core/ptview.h"
#include "hv/operator/say.h"

struct walk {
	const struct say *to;
	struct ptview *nested; /* and with it the pmap */
	/* `size` bytes (4 or 8) of a frame that the pmap names; the pmap's lock is held. */
	u64 (*read)(void *context, hfn_t frame, u32 offset, u32 size);
	void *context;
};

void walk_virtual(const struct walk *w, const struct gwalk_mode *mode, gva_t at);
void walk_physical(const struct walk *w, gpa_t at);

#endif
