/*
 * user_abi: what asm/user.S and asm/boot.S know of C structures. cpu/user.c asserts each number.
 */
#ifndef X86_CPU_USER_ABI_H
#define X86_CPU_USER_ABI_H

#define CPU_KERNEL_RSP 8
#define CPU_SCRATCH 16
#define CPU_USER_FAULT_CODE 40
#define CPU_USER_FAULT_ADDRESS 48

#define REGS_RAX 0
#define REGS_RCX 8
#define REGS_RDX 16
#define REGS_RBX 24
#define REGS_RBP 32
#define REGS_RSI 40
#define REGS_RDI 48
#define REGS_R8 56
#define REGS_R9 64
#define REGS_R10 72
#define REGS_R11 80
#define REGS_R12 88
#define REGS_R13 96
#define REGS_R14 104
#define REGS_R15 112
#define REGS_RIP 120
#define REGS_RFLAGS 128
#define REGS_RSP 136

#define CPU_STACKS_BYTES 0xd000 /* the early stack is the last of struct cpu_stacks */

#define USER_EXIT_SYSCALL 0x100
#define USER_EXIT_INTERRUPT 0x101

#endif
