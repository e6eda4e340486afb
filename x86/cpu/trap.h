/*
 * trap: what ring 0 does when something comes that it did not call.
 */
#ifndef X86_CPU_TRAP_H
#define X86_CPU_TRAP_H

#include "x86/cpu/cpu.h"

/* As asm/trap.S pushes it. */
struct trap_frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	u64 vector, error;
	u64 rip, cs, rflags, rsp, ss;
};

/* From asm/trap.S: any vector out of ring 0, and NMI, #DF and #MC from anywhere. */
void trap_kernel(struct trap_frame *frame);

#endif
