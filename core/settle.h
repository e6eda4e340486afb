/*
 * settle: how a frame changes hands: drop, stamp, flush, free.
 *
 *   SETTLEMENT(s, settler);              debt that must be paid before the scope ends
 *   ptview_drop(view, range, &s);        entries go, by exchange; frames are stamped; emptied tables join the debt
 *   settle_add_frames(&s, first, n);     what left the truth joins the debt
 *   settle(&s);                          raise generations, make every processor forget, then free
 *
 * 1. Nothing else in the program frees a guest frame or a page table of a view.
 * 2. Leaving the scope of a settlement that owes something is a CHECK.
 * 3. A settler holds no lock that a flush handler takes, and serves flush requests itself while it waits.
 */
#ifndef CORE_SETTLE_H
#define CORE_SETTLE_H

#include "core/alloc.h"
#include "core/pool.h"
#include "core/view.h"

#define SETTLE_RUNS 64u
#define SETTLE_VIEWS 4u
#define SETTLE_KICK_AGAIN 0x10000u /* turns of waiting */

struct settler { /* what every settlement of the host shares */
	struct flush_clock clock;
	struct alloc *alloc;
	struct pool *pool;
	const struct mem_env *env;
	u64 settled; /* how many: what tests look at */
};

struct settle_run {
	hfn_t first;
	u32 count;
	bool table; /* goes back to the pool, not to the allocator */
};

struct settlement {
	struct settler *settler;
	struct view *views[SETTLE_VIEWS];
	u32 view_count;
	u32 run_count;
	struct settle_run runs[SETTLE_RUNS];
	bool owes;
};

void settlement_close(struct settlement *s); /* the cleanup: CHECKs that nothing is owed */
#define SETTLEMENT(name, by) \
	struct settlement name __attribute__((cleanup(settlement_close))) = { .settler = (by) }

/* An entry of `v` that named `count` frames from `f` on has been removed or weakened, whoever caused it. Called after the exchange that did it. */
void settle_stamp(struct settlement *s, struct view *v, struct frame *f, u32 count);
/* The view joins the debt without a frame (an entry was weakened). */
void settle_view(struct settlement *s, struct view *v);
/* Room for that many more runs? Callers that may need more settle in slices. */
static inline bool settle_has_room(const struct settlement *s, u32 runs) { return s->run_count + runs <= SETTLE_RUNS; }
void settle_add_frames(struct settlement *s, hfn_t first, u32 count);
void settle_add_table(struct settlement *s, hfn_t table);
/* Pays: afterwards no processor can use a translation that was dropped, and the frames are free (dirty). */
void settle(struct settlement *s);

#endif
