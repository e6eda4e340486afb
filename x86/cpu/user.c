/*
 * user: the numbers that asm/user.S and boot.S stand on.
 */
#include "core/check.h"
#include "x86/asm/insn.h"
#include "x86/cpu/stacks.h"
#include "x86/cpu/user_abi.h"

#define PLACE(number, member) static_assert(offsetof(struct user_regs, member) == 8 * (number), #member)
PLACE(0, rax); PLACE(1, rcx); PLACE(2, rdx); PLACE(3, rbx); PLACE(4, rbp); PLACE(5, rsi); PLACE(6, rdi); PLACE(7, r8); PLACE(8, r9);
PLACE(9, r10); PLACE(10, r11); PLACE(11, r12); PLACE(12, r13); PLACE(13, r14); PLACE(14, r15); PLACE(15, rip); PLACE(16, rflags);
PLACE(17, rsp);
static_assert(CPU_KERNEL_RSP == offsetof(struct cpu, kernel_rsp), "kernel_rsp");
static_assert(CPU_SCRATCH == offsetof(struct cpu, scratch), "scratch");
static_assert(CPU_USER_FAULT_CODE == offsetof(struct cpu, user_fault_code), "user_fault_code");
static_assert(CPU_USER_FAULT_ADDRESS == offsetof(struct cpu, user_fault_address), "user_fault_address");
static_assert((int)USER_EXIT_SYSCALL == (int)USER_SYSCALL && (int)USER_EXIT_INTERRUPT == (int)USER_INTERRUPT, "exits");
static_assert(CPU_STACKS_BYTES == sizeof(struct cpu_stacks) && offsetof(struct cpu_stacks, early) + STACK_EARLY_BYTES == CPU_STACKS_BYTES,
	      "the early stack");

void interrupts_take(void) { sti_nop_cli(); }
void cpu_idle(void) { sti_hlt_cli(); }
