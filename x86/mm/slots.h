/*
 * slots: short private windows of one processor on a free frame, or on a frame on its way between owners.
 *
 * A slot lies in the processor's own part of the address space: no other processor can have cached it, so a local INVLPG suffices.
 */
#ifndef X86_MM_SLOTS_H
#define X86_MM_SLOTS_H

#include "core/env.h"

#define SLOT_COUNT 16u /* the first SCRUB_SLICE_FRAMES are for scrubbing */

void *slot_map(u32 slot, hfn_t frame);
void slot_unmap(u32 slot);
/* Zeroes up to SCRUB_SLICE_FRAMES consecutive frames. */
void slots_scrub(hfn_t first, u32 count);
/* Counted for `stats`: frames zeroed through slots since boot, all processors. */
extern u64 slots_scrubbed, slots_scrub_ticks; /* and what it took, in TSC ticks */

#endif
