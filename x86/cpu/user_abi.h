/*
 * user_abi: what asm/user.S and asm/boot.S know of C structures. cpu/user.c asserts each number.
 */
#ifndef X86_CPU_USER_ABI_H
#define X86_CPU_USER_ABI_H

#define CPU_KERNEL_RSP 8
#define CPU_SCRATCH 16
#define CPU_USER_FAULT_CODE 40
#define CPU_USER_FAULT_ADDRESS 48

#define CPU_STACKS_BYTES 0xd000 /* the early stack is the last of struct cpu_stacks */

#define USER_EXIT_SYSCALL 0x100
#define USER_EXIT_INTERRUPT 0x101

#endif
