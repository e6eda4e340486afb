/*
 * tlb: what a processor remembers. Used by sim.c; tests go through sim.h.
 */
#ifndef SIM_TLB_H
#define SIM_TLB_H

#include "sim/sim.h"

/* Forgets all that carries the tag. */
void sim_tlb_flush(struct sim *s, unsigned cpu, u32 tag);
/* Forgets all guests' tags. */
void sim_tlb_flush_guests(struct sim *s, unsigned cpu);

#endif
