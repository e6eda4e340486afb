/*
 * trap: the 256 doors into ring 0.
 *
 * Each door pushes an error code where the processor does not, its vector, and goes one of three ways:
 *   NMI, #DF, #MC    own stacks; GS may be anyone's, so the processor's structure is read from the stack's top
 *   out of ring 3    user.S: the registers go into struct user_regs, and user_run returns
 *   out of ring 0    all registers on the stack as struct trap_frame, trap_kernel() in C, and back
 */
#include "x86/cpu/regs.h"

#define HAS_ERROR_CODE 0x60227d00 /* vectors 8, 10 to 14, 17, 21, 29, 30 */
#define OWN_STACK ((1 << VECTOR_NMI) | (1 << VECTOR_DF) | (1 << VECTOR_MC))
#define DOOR_BYTES 16
#define FRAME_CS 24
#define SEGMENT_RPL 3
#define FRAME_BYTES (22 * 8) /* struct trap_frame */

	.text
	.globl trap_doors
	.balign DOOR_BYTES
trap_doors:
	vector = 0
	.rept 256
	.balign DOOR_BYTES
	.if vector >= 32
	pushq	$0
	.elseif ((HAS_ERROR_CODE >> vector) & 1) == 0
	pushq	$0
	.endif
	pushq	$vector
	.if vector >= 32
	jmp	trap_common
	.elseif (OWN_STACK >> vector) & 1
	jmp	trap_own_stack
	.else
	jmp	trap_common
	.endif
	vector = vector + 1
	.endr

	.macro SAVE_ALL
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
	pushq	%rbx
	pushq	%rbp
	pushq	%rsi
	pushq	%rdi
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	/* AC as well as DF: what was interrupted may have opened the VM's window. */
	pushq	$RFLAGS_ONE
	popfq
	.endm

	.macro RESTORE_ALL
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rdi
	popq	%rsi
	popq	%rbp
	popq	%rbx
	popq	%rdx
	popq	%rcx
	popq	%rax
	addq	$16, %rsp
	.endm

	.balign 16
trap_common:
	testb	$SEGMENT_RPL, FRAME_CS(%rsp)
	jnz	user_trap
	SAVE_ALL
	movq	%rsp, %rdi
	call	trap_kernel
	RESTORE_ALL
	iretq

	.balign 16
trap_own_stack:
	SAVE_ALL
	movl	$MSR_GS_BASE, %ecx
	rdmsr
	movl	%eax, %r12d
	movl	%edx, %r13d
	movl	FRAME_BYTES(%rsp), %eax
	movl	FRAME_BYTES + 4(%rsp), %edx
	wrmsr
	movq	%rsp, %rdi
	call	trap_kernel
	movl	$MSR_GS_BASE, %ecx
	movl	%r12d, %eax
	movl	%r13d, %edx
	wrmsr
	RESTORE_ALL
	iretq

	.section .note.GNU-stack, "", @progbits
