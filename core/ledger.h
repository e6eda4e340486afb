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

#include "core/pmap.h"

struct ledger { /* frames of 4 KiB */
	u64 kind[FRAME_KINDS];
};

struct ledger_vm {
	u64 promised, resident, untouched;
};

void ledger_add(struct ledger *l, const struct frame_table *frames, hfn_t first, u64 count);
u64 ledger_installed(const struct ledger *l);
struct ledger_vm ledger_of_vm(const struct pmap *p);

/* NULL when the sums agree, else the sentence that does not hold. `resident` is the sum over all VMs. */
const char *ledger_against_alloc(const struct ledger *l, const struct alloc *a);
const char *ledger_against_pool(const struct ledger *l, const struct pool *p);
const char *ledger_against_vms(const struct ledger *l, u64 resident);

#endif
