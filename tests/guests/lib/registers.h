/*
 * registers: all registers of a processor that a key can be put into: written, read, compared, and looked at for what a processor has at its start.
 */
#ifndef GUEST_REGISTERS_H
#define GUEST_REGISTERS_H

#include "lib/fx.h"

enum { GPRS = 14, MSRS = 13 };

struct registers {
	struct fx fx;
	u8 ymm[XMM][32] __attribute__((aligned(32)));
	u64 bounds[8], bounds_table, pkru;
	u64 xcr0, msr[MSRS], aux, dr[8], cr0, cr2, cr4, cr8, gpr[GPRS];
} __attribute__((aligned(64)));

/* What this processor has, switched on in CR4. */
void registers_enable(void);
void registers_read(struct registers *r); /* all but the general ones */
/* One of two sets of keys. */
void registers_fill(struct registers *r, unsigned who);
void registers_load(const struct registers *r);
/* How many kinds differ; *first: the first of them, if it was NULL. */
unsigned registers_compare(const struct registers *want, const struct registers *got, const char *volatile *first);
/* Checks that it is what a processor has after a reset. */
void registers_check_initial(const struct registers *r);
/* One halt, or some time spinning, with keys in all general registers but RSP and RAX; what they are afterwards. */
void registers_halt(const struct registers *want, struct registers *got);
void registers_spin(const struct registers *want, struct registers *got);

#endif
