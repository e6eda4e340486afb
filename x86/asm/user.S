/*
 * user: into ring 3 and out of it.
 *
 *   u32 user_run(struct user_regs *r)
 *
 * While ring 3 runs, the kernel stack ends (kernel_rsp) in: r, the six registers that C wants back, the return address. Whatever comes
 * out of ring 3 puts its registers into r and returns from user_run on that stack. Interrupts are off in all of this.
 *
 * SYSRET cannot restore RCX and R11 as they were: it is taken when they hold RIP and RFLAGS, as a SYSCALL leaves them. An RIP beyond the
 * lower half would fault in ring 0 with ring 3's stack (Intel's SYSRET) or GS (IRET): it is answered as the #GP that it deserves.
 * 33 instructions in (SYSRET), 33 out (SYSCALL).
 */
#include "x86/cpu/regs.h"
#include "x86/cpu/segments.h"
#include "x86/cpu/user_abi.h"

#define USER_ADDRESS_BITS 47

	.text
	.globl user_run
	.type user_run, @function
	.balign 64
user_run:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	pushq	%rdi
	movq	REGS_RIP(%rdi), %rcx
	movq	%rcx, %rax
	shrq	$USER_ADDRESS_BITS, %rax
	jnz	user_bad_rip
	movq	%rsp, %gs:CPU_KERNEL_RSP
	movq	REGS_RFLAGS(%rdi), %r11
	movq	REGS_RDX(%rdi), %rdx
	movq	REGS_RBX(%rdi), %rbx
	movq	REGS_RBP(%rdi), %rbp
	movq	REGS_RSI(%rdi), %rsi
	movq	REGS_R8(%rdi), %r8
	movq	REGS_R9(%rdi), %r9
	movq	REGS_R10(%rdi), %r10
	movq	REGS_R12(%rdi), %r12
	movq	REGS_R13(%rdi), %r13
	movq	REGS_R14(%rdi), %r14
	movq	REGS_R15(%rdi), %r15
	cmpq	%rcx, REGS_RCX(%rdi)
	jne	user_by_iret
	cmpq	%r11, REGS_R11(%rdi)
	jne	user_by_iret
	movq	REGS_RAX(%rdi), %rax
	movq	REGS_RSP(%rdi), %rsp
	movq	REGS_RDI(%rdi), %rdi
	swapgs
	sysretq

user_by_iret:
	/* The first time RFLAGS may be anything: ring 3 is always interruptible and has no I/O privilege. */
	andq	$~(RFLAGS_IOPL | RFLAGS_VM | RFLAGS_NT), %r11
	orq	$(RFLAGS_IF | RFLAGS_ONE), %r11
	pushq	$(SEGMENT_USER_DATA | SEGMENT_RPL3)
	pushq	REGS_RSP(%rdi)
	pushq	%r11
	pushq	$(SEGMENT_USER_CODE | SEGMENT_RPL3)
	pushq	%rcx
	movq	REGS_R11(%rdi), %r11
	movq	REGS_RCX(%rdi), %rcx
	movq	REGS_RAX(%rdi), %rax
	movq	REGS_RDI(%rdi), %rdi
	swapgs
	iretq

user_bad_rip:
	movq	$0, %gs:CPU_USER_FAULT_CODE
	movq	%rcx, %gs:CPU_USER_FAULT_ADDRESS
	movl	$VECTOR_GP, %eax
	jmp	user_leave
	.size user_run, . - user_run

	.macro STORE_REGS /* all but RAX, RCX, R11 into (%rax) */
	movq	%rdx, REGS_RDX(%rax)
	movq	%rbx, REGS_RBX(%rax)
	movq	%rbp, REGS_RBP(%rax)
	movq	%rsi, REGS_RSI(%rax)
	movq	%rdi, REGS_RDI(%rax)
	movq	%r8, REGS_R8(%rax)
	movq	%r9, REGS_R9(%rax)
	movq	%r10, REGS_R10(%rax)
	movq	%r12, REGS_R12(%rax)
	movq	%r13, REGS_R13(%rax)
	movq	%r14, REGS_R14(%rax)
	movq	%r15, REGS_R15(%rax)
	.endm

/* LSTAR: RCX holds RIP, R11 RFLAGS; SFMASK has cleared the flags. */
	.globl syscall_entry
	.type syscall_entry, @function
	.balign 64
syscall_entry:
	swapgs
	movq	%rsp, %gs:CPU_SCRATCH
	movq	%gs:CPU_KERNEL_RSP, %rsp
	pushq	%rax
	movq	8(%rsp), %rax
	movq	%rcx, REGS_RIP(%rax)
	movq	%rcx, REGS_RCX(%rax)
	movq	%r11, REGS_RFLAGS(%rax)
	movq	%r11, REGS_R11(%rax)
	STORE_REGS
	popq	REGS_RAX(%rax)
	movq	%gs:CPU_SCRATCH, %rcx
	movq	%rcx, REGS_RSP(%rax)
	movl	$USER_EXIT_SYSCALL, %eax
user_leave:
	addq	$8, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret
	.size syscall_entry, . - syscall_entry

/* From trap.S, on the entry stack: vector, error code, RIP, CS, RFLAGS, RSP, SS. */
	.globl user_trap
	.type user_trap, @function
	.balign 64
user_trap:
	swapgs
	pushq	%rax
	movq	%gs:CPU_KERNEL_RSP, %rax
	movq	(%rax), %rax
	movq	%rcx, REGS_RCX(%rax)
	movq	%r11, REGS_R11(%rax)
	STORE_REGS
	popq	REGS_RAX(%rax)
	popq	%rdi
	popq	%gs:CPU_USER_FAULT_CODE
	popq	REGS_RIP(%rax)
	popq	%rcx
	popq	REGS_RFLAGS(%rax)
	popq	REGS_RSP(%rax)
	movq	%gs:CPU_KERNEL_RSP, %rsp
	pushq	$RFLAGS_ONE /* AC, DF and NT are ring 3's */
	popfq
	cmpl	$VECTOR_EXCEPTIONS, %edi
	jae	1f
	movq	%cr2, %rcx
	movq	%rcx, %gs:CPU_USER_FAULT_ADDRESS
	movl	%edi, %eax
	jmp	user_leave
1:	call	interrupt_dispatch
	movl	$USER_EXIT_INTERRUPT, %eax
	jmp	user_leave
	.size user_trap, . - user_trap

	.section .note.GNU-stack, "", @progbits
