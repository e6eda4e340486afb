/*
 * user: the numbers that asm/user.S and boot.S stand on.
 */
#include "core/check.h"
#include "x86/asm/insn.h"
#include "x86/cpu/stacks.h"
#include "x86/cpu/user_abi.h"

#define SAME(name, member) static_assert(name == offsetof(struct user_regs, member), #member)
SAME(REGS_RAX, rax); SAME(REGS_RCX, rcx); SAME(REGS_RDX, rdx); SAME(REGS_RBX, rbx); SAME(REGS_RBP, rbp); SAME(REGS_RSI, rsi);
SAME(REGS_RDI, rdi); SAME(REGS_R8, r8); SAME(REGS_R9, r9); SAME(REGS_R10, r10); SAME(REGS_R11, r11); SAME(REGS_R12, r12);
SAME(REGS_R13, r13); SAME(REGS_R14, r14); SAME(REGS_R15, r15); SAME(REGS_RIP, rip); SAME(REGS_RFLAGS, rflags); SAME(REGS_RSP, rsp);
static_assert(CPU_KERNEL_RSP == offsetof(struct cpu, kernel_rsp), "kernel_rsp");
static_assert(CPU_SCRATCH == offsetof(struct cpu, scratch), "scratch");
static_assert(CPU_USER_FAULT_CODE == offsetof(struct cpu, user_fault_code), "user_fault_code");
static_assert(CPU_USER_FAULT_ADDRESS == offsetof(struct cpu, user_fault_address), "user_fault_address");
static_assert((int)USER_EXIT_SYSCALL == (int)USER_SYSCALL && (int)USER_EXIT_INTERRUPT == (int)USER_INTERRUPT, "exits");
static_assert(CPU_STACKS_BYTES == sizeof(struct cpu_stacks) && offsetof(struct cpu_stacks, early) + STACK_EARLY_BYTES == CPU_STACKS_BYTES,
	      "the early stack");

void interrupts_take(void) { sti_nop_cli(); }
void cpu_idle(void) { sti_hlt_cli(); }
