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

/* Places in struct user_regs, in its order, which cpu/user.c asserts: REGS_rax and so on. */
	offset = 0
	.irp reg, rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15, rip, rflags, rsp
	REGS_\reg = offset
	offset = offset + 8
	.endr

	.text
	.globl user_run
	.type user_run, @function
	.balign 64
user_run:
	.irp reg, rbx, rbp, r12, r13, r14, r15, rdi
	pushq	%\reg
	.endr
	movq	REGS_rip(%rdi), %rcx
	movq	%rcx, %rax
	shrq	$USER_ADDRESS_BITS, %rax
	jnz	user_bad_rip
	movq	%rsp, %gs:CPU_KERNEL_RSP
	movq	REGS_rflags(%rdi), %r11
	.irp reg, rdx, rbx, rbp, rsi, r8, r9, r10, r12, r13, r14, r15
	movq	REGS_\reg(%rdi), %\reg
	.endr
	cmpq	%rcx, REGS_rcx(%rdi)
	jne	user_by_iret
	cmpq	%r11, REGS_r11(%rdi)
	jne	user_by_iret
	movq	REGS_rax(%rdi), %rax
	movq	REGS_rsp(%rdi), %rsp
	movq	REGS_rdi(%rdi), %rdi
	swapgs
	sysretq

user_by_iret:
	/* The first time RFLAGS may be anything: ring 3 is always interruptible and has no I/O privilege. */
	andq	$~(RFLAGS_IOPL | RFLAGS_VM | RFLAGS_NT), %r11
	orq	$(RFLAGS_IF | RFLAGS_ONE), %r11
	pushq	$(SEGMENT_USER_DATA | SEGMENT_RPL3)
	pushq	REGS_rsp(%rdi)
	pushq	%r11
	pushq	$(SEGMENT_USER_CODE | SEGMENT_RPL3)
	pushq	%rcx
	movq	REGS_r11(%rdi), %r11
	movq	REGS_rcx(%rdi), %rcx
	movq	REGS_rax(%rdi), %rax
	movq	REGS_rdi(%rdi), %rdi
	swapgs
	iretq

user_bad_rip:
	movq	$0, %gs:CPU_USER_FAULT_CODE
	movq	%rcx, %gs:CPU_USER_FAULT_ADDRESS
	movl	$VECTOR_GP, %eax
	jmp	user_leave
	.size user_run, . - user_run

	.macro STORE_REGS /* all but RAX, RCX, R11 into (%rax) */
	.irp reg, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r12, r13, r14, r15
	movq	%\reg, REGS_\reg(%rax)
	.endr
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
	movq	%rcx, REGS_rip(%rax)
	movq	%rcx, REGS_rcx(%rax)
	movq	%r11, REGS_rflags(%rax)
	movq	%r11, REGS_r11(%rax)
	STORE_REGS
	popq	REGS_rax(%rax)
	movq	%gs:CPU_SCRATCH, %rcx
	movq	%rcx, REGS_rsp(%rax)
	movl	$USER_EXIT_SYSCALL, %eax
user_leave:
	addq	$8, %rsp
	.irp reg, r15, r14, r13, r12, rbp, rbx
	popq	%\reg
	.endr
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
	movq	%rcx, REGS_rcx(%rax)
	movq	%r11, REGS_r11(%rax)
	STORE_REGS
	popq	REGS_rax(%rax)
	popq	%rdi
	popq	%gs:CPU_USER_FAULT_CODE
	popq	REGS_rip(%rax)
	popq	%rcx
	popq	REGS_rflags(%rax)
	popq	REGS_rsp(%rax)
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
