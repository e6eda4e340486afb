/*
 * stacks: what each processor runs on when it cannot trust its own stack, and until it has one.
 *
 * They lie in the image (section .stacks, not zeroed), each above a page that is to be left unmapped: guard_stacks() in
 * boot/start.c does so in the early map, and whoever makes a new map asks stack_is_guard().
 * The word at the top of an interrupt stack names its processor: an NMI may come while GS is ring 3's.
 */
#ifndef X86_CPU_STACKS_H
#define X86_CPU_STACKS_H

#include "x86/cpu/cpu.h"

#define STACK_EARLY_BYTES 0x4000u

struct ist_stack {
	u8 guard[PAGE_SIZE];
	u8 bytes[PAGE_SIZE - 16];
	struct cpu *cpu; /* the stack starts here, downwards */
	u64 unused;
};

struct cpu_stacks {
	struct ist_stack entry; /* RSP0: where ring 3 arrives, for a few words */
	struct ist_stack nmi, double_fault, machine_check;
	u8 guard[PAGE_SIZE];
	u8 early[STACK_EARLY_BYTES];
};
static_assert(sizeof(struct cpu_stacks) % PAGE_SIZE == 0, "guards are whole pages");
static_assert(sizeof(struct ist_stack) == 2 * PAGE_SIZE, "a guard and a stack");
static_assert(offsetof(struct ist_stack, cpu) % 16 == 0, "the processor aligns an interrupt stack to 16");

extern struct cpu_stacks cpu_stacks[MAX_CPUS]; /* those of processors that the machine does not have may be given away */

/* Whether this page of the image is a stack's guard, to be left out of every map. */
bool stack_is_guard(u64 page);

#endif
