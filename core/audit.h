/*
 * audit: the truth, recomputed from the views and held against what is written down.
 *
 *   frames   each frame's state is legal; allocator and pool agree with the frame table
 *   pmaps    each entry names a frame of its own VM, inside one RAM range; sums agree
 *   views    each leaf is allowed by its pmap (frame and rights); each table is its VM's and stands in one place only
 *   counts   a frame's count is the number of pmap entries that name it; each table of a VM stands in one of its trees, once
 *   ledger   where every frame is adds up
 *
 * Resumable: audit_step does a bounded part, under the lock that guards it, so that it can run beside everything else. What
 * only holds while nothing changes (sums) is compared if nothing did change meanwhile, else counted in `skipped`.
 *
 * Counts are exact without memory for each frame: a sum of what a frame's number is mixed to, over all that names it, is compared with
 * the same sum over the frame table.
 * A finding is our bug, but it is told, not CHECKed: the one who asked decides.
 */
#ifndef CORE_AUDIT_H
#define CORE_AUDIT_H

#include "core/ptview.h"

#define AUDIT_VIEWS 4u
#define AUDIT_VMS 16u

struct audit_vm {
	struct pmap *pmap;
	struct ptview *view[AUDIT_VIEWS];
	u32 view_count; /* at least 1 */
};

struct audit_host {
	struct alloc *alloc;
	struct pool *pool;
	const struct audit_vm *vm;
	u32 vm_count; /* at most AUDIT_VMS, with owners from OWNER_FIRST_VM to OWNER_FIRST_VM + AUDIT_VMS - 1 */
	bool quiet; /* no debt is open, and `vm` names every table that exists: then orphans are findings too */
	owner_t gone;    /* OWNER_NONE, or a VM of which nothing may be left */
	u64 boot_frames; /* of boot modules that somebody still needs: compared when it is quiet and no VM is left */
};

/* `where`: a frame number or a guest frame number, as the sentence says. */
typedef void audit_finding(void *context, const char *what, u64 owner, u64 where);

struct audit_state {
	const struct audit_host *host;
	audit_finding *finding;
	void *context;
	u32 phase, vm, view;
	u64 at;            /* where the phase goes on */
	u8 level;          /* and with a table of which level; 0: the root's */
	u64 sum;           /* of what the phase counts */
	u64 epoch;         /* `changes` of what the phase sums up, when it began */
	u32 left;          /* of the step's budget */
	u64 resident;      /* over all VMs */
	u64 tables, stand; /* the same: tables that are theirs, and that stand in their trees */
	struct audit_sum { u64 epoch, count, named, table, stands; } sums[AUDIT_VMS]; /* by owner: of counts and entries, of tables and where they stand */
	struct { u64 kind[FRAME_KINDS]; } ledger; /* frames: where every one of them is */
	u64 ledger_epoch;
	u64 findings, skipped;
};

void audit_begin(struct audit_state *s, const struct audit_host *host, audit_finding *finding, void *context);
/* About `budget` entries or frames more. false: it is over; s->findings tells. */
bool audit_step(struct audit_state *s, u32 budget);

#endif
