/*
 * emulate: one guest instruction, carried out in software.
 *
 * Ring 0 hands over what its small decoder does not take: string I/O, REP, and any instruction whose operand is a device.
 * emulate_instruction() decodes the bytes, does the accesses through `ops`, and leaves the registers after the instruction in `cpu`.
 *
 *   bytes ──decode──> operands ──ops.read / ops.write (linear)──> RAM, or a device: ops.mmio_* (guest-physical)
 *                              └─ops.in / ops.out (port)
 *
 * Rules
 * 1. The emulator knows no guest memory and no device: all goes through `ops`. It allocates nothing and keeps nothing between calls.
 * 2. Linear addresses are formed here (segment base, address size, limit and canonical checks: #GP, #SS); translation and rights
 *    are the business of `ops` (ring 0 walks the guest's tables).
 * 3. Faults leave `cpu` as before the instruction; of a REP, as after the iterations that were completed (RIP still at it).
 * 4. A REP does at most EMULATE_BATCH iterations a call; with more to do it answers DONE with RIP unchanged, so that the vCPU can
 *    take interrupts in between and exits again.
 * 5. Advance of RIP is done here, cut to the width of the code segment; the interrupt shadow, RF and TF are ring 0's.
 */
#ifndef MONITOR_EMULATE_H
#define MONITOR_EMULATE_H

#include "abi/monitor.h"
#include "abi/types.h"

#define EMULATE_BATCH      64u /* iterations of a REP in one call */
#define EMULATE_ACCESS_MAX 64u /* bytes of one ops.read or ops.write */

/* An exception to deliver. */
struct emulate_fault {
	u32 vector;
	bool has_error;
	u32 error;
	u64 cr2; /* #PF only */
};

enum emulate_access {
	EMULATE_ACCESS_DONE,
	EMULATE_ACCESS_FAULT,  /* *fault is filled */
	EMULATE_ACCESS_DEVICE, /* nothing was done: *gpa is a device's; use mmio_read, mmio_write. The access did not cross a page */
	EMULATE_ACCESS_NOWHERE, /* neither RAM nor device: reads are all ones, writes are lost */
};

/* Where the accesses go. `context` is passed through. An access of `length` bytes is all or nothing. */
struct emulate_ops {
	/* Linear memory, with the rights of the vCPU (its CPL). */
	enum emulate_access (*read)(void *context, u64 gva, void *to, u32 length, u64 *gpa, struct emulate_fault *fault);
	enum emulate_access (*write)(void *context, u64 gva, const void *from, u32 length, u64 *gpa,
				     struct emulate_fault *fault);
	/* The instruction's own bytes beyond those that ring 0 fetched. DEVICE does not occur. */
	enum emulate_access (*fetch)(void *context, u64 gva, void *to, u32 length, struct emulate_fault *fault);
	/* Devices: size 1, 2, 4 or 8; the value in the low bytes. */
	u64 (*mmio_read)(void *context, u64 gpa, u32 size);
	void (*mmio_write)(void *context, u64 gpa, u32 size, u64 value);
	/* Ports: size 1, 2 or 4. */
	u32 (*in)(void *context, u16 port, u32 size);
	void (*out)(void *context, u16 port, u32 size, u32 value);
	/* Is that what the processor has judged before the exit? The instruction may have become another one since. NULL: it is. */
	bool (*port_judged)(void *context, u16 port, u32 size, bool out);
};

enum emulate_result {
	EMULATE_DONE,    /* cpu is the state after it (or part of a REP): MON_EMULATED */
	EMULATE_RETRY,   /* nothing was changed, run the instruction again: MON_EMULATE_RETRY */
	EMULATE_FAULT,   /* deliver *fault; cpu as rule 3 says: if it changed (REP), MON_SET_VCPU, then MON_EMULATE_FAULT */
	EMULATE_UNKNOWN, /* valid or not, it is none that can be carried out here; nothing was changed */
};

/* Carry out the instruction at cpu->rip, whose first `length` bytes (0 to 15) ring 0 has fetched. */
enum emulate_result emulate_instruction(const struct emulate_ops *ops, void *context, struct mon_vcpu *cpu, const u8 *bytes,
					u32 length, struct emulate_fault *fault);

#endif
