/*
 * work: what the processors of a crew do with three VMs, each with a nested view and a window: vCPUs enter, fault, move to another
 * processor; monitors look through the window; ranges are released, protected, made read-only and writable again, split, merged; VMs end
 * and begin again under the same owner; everything is audited beside all that.
 *
 *   - A VM's frames are judged by sim_judge and by their marks at every point.
 *   - What was protected cannot be written until the guest has faulted there; what is read-only not at all.
 *   - While a view's block is split or merged, each page of it stays where it was, with its rights, at every point.
 */
#ifndef SIM_WORK_H
#define SIM_WORK_H

#include "sim/sim.h"

extern struct work_done { u64 rounds, starts, ends, merges, splits, seals, protects, audits, migrations; } work_done; /* by all runs */

/* No VM is alive yet. `fail`: allocations do, now and then. */
void work_begin(struct sim *s, u32 cpus, bool fail);
/* Each processor does that many steps; then nothing is under way. */
void work_round(struct sim *s, u32 steps_each);
/* All VMs end. */
void work_end(struct sim *s);

#endif
