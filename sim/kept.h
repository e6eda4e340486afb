/*
 * kept: a split and a merge take nothing away, at no moment: each page of the block stays where it was, with its rights.
 */
#ifndef SIM_KEPT_H
#define SIM_KEPT_H

#include "sim/sim.h"

/* The current processor holds the lock of the view's pmap from here to kept_end. */
void kept_begin(struct sim *s, const struct ptview *v, u64 first);
void kept_end(struct sim *s);
/* At each point: some pages of each block. */
void kept_look(struct sim *s);

#endif
