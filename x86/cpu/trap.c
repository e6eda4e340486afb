/*
 * trap: the exceptions of ring 0.
 *
 *   exception in ring 0:  has its instruction a fix-up (asm/access.h)?  resume there  :  panic
 *   NMI:                  is somebody panicking?  stop  :  logged, once
 *   interrupt:            irq/ handles it
 */
#include "x86/cpu/trap.h"

#include "x86/asm/insn.h"
#include "x86/cpu/log.h"
#include "x86/cpu/panic.h"
#include "x86/cpu/regs.h"
#include "x86/cpu/stacks.h"
#include "x86/irq/irq.h"

struct cpu cpus[MAX_CPUS];
u32 cpu_total;
struct cpu_stacks cpu_stacks[MAX_CPUS] __attribute__((section(".stacks"), aligned(4096)));

struct extable_entry { u64 fault, fixup; };
extern const struct extable_entry extable_start[], extable_end[];
extern const u8 svm_left_guest[] __attribute__((weak)); /* tests build this file without the switch */

bool stack_is_guard(u64 page)
{
	u64 first = (u64)cpu_stacks;
	if (page < first || page >= first + sizeof(cpu_stacks))
		return false;
	u64 offset = (page - first) % sizeof(struct cpu_stacks);
	return offset % sizeof(struct ist_stack) == 0 && offset <= offsetof(struct cpu_stacks, guard);
}

static bool fix_up(struct trap_frame *frame)
{
	u64 count = ((u64)extable_end - (u64)extable_start) / sizeof(struct extable_entry);
	for (u64 i = 0; i < count; i++) {
		if (extable_start[i].fault != frame->rip)
			continue;
		struct cpu *c = this_cpu();
		c->fixup.vector = frame->vector;
		c->fixup.code = frame->error;
		c->fixup.address = read_cr2();
		frame->rip = extable_start[i].fixup;
		return true;
	}
	return false;
}

void trap_kernel(struct trap_frame *frame)
{
	if (frame->vector >= VECTOR_EXCEPTIONS)
		interrupt_dispatch((u32)frame->vector);
	else if (frame->vector == VECTOR_NMI)
		panic_nmi();
	else if (frame->vector == VECTOR_DB && frame->rip == (u64)svm_left_guest)
		return; /* the step of a guest that exits under TF is left over in Bochs (docs/svm.md) */
	else if (frame->vector == VECTOR_DF || frame->vector == VECTOR_MC || !fix_up(frame))
		panic_trap(frame);
}
