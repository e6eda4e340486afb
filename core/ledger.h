/*
 * ledger: where every frame is.
 *
 *   a VM:      resident + untouched = promised
 *   the host:  VMs (guest, private) + tables + pool + free (scrubbing included) + image + boot = installed
 *
 * Counted from the frame table itself, in slices; the allocator's, the pool's and the pmaps' own sums must agree.
 */
#ifndef CORE_LEDGER_H
#define CORE_LEDGER_H

#include "core/pool.h"

struct ledger { /* frames of 4 KiB */
	u64 kind[FRAME_KINDS];
};

void ledger_add(struct ledger *l, const struct frame_table *frames, hfn_t first, u64 count);

/* NULL when the sums agree, else the sentence that does not hold. */
const char *ledger_against_alloc(const struct ledger *l, const struct alloc *a);
const char *ledger_against_pool(const struct ledger *l, const struct pool *p);

#endif
