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
#define FRAME_RIP 16
#define FRAME_CS 24
#define FRAME_RSP 40
#define SEGMENT_RPL 3
#define FRAME_BYTES (22 * 8) /* struct trap_frame */

	.text
	.globl trap_doors
	.balign DOOR_BYTES
trap_doors:
	vector = 0
	.rept 256
	.balign DOOR_BYTES
	.if vector >= 32 || (HAS_ERROR_CODE & (1 << (vector & 31))) == 0
	pushq	$0
	.endif
	pushq	$vector
	.if vector < 32 && (OWN_STACK & (1 << (vector & 31)))
	jmp	trap_own_stack
	.else
	jmp	trap_common
	.endif
	vector = vector + 1
	.endr

	/* Below the frame: 15 registers, RAX the first that was pushed. */
	.set SAVED_BYTES, 15 * 8
	.set SAVED_RAX, 14 * 8
	.macro SAVE_ALL
	.irp reg, rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
	pushq	%\reg
	.endr
	/* AC as well as DF: what was interrupted may have opened the VM's window. */
	pushq	$RFLAGS_ONE
	popfq
	.endm

	.macro RESTORE_ALL
	.irp reg, r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax
	popq	%\reg
	.endr
	addq	$16, %rsp
	.endm

	.balign 16
trap_common:
	testb	$SEGMENT_RPL, FRAME_CS(%rsp)
	jnz	user_trap
	SAVE_ALL
	cmpq	$svm_left_guest, SAVED_BYTES + FRAME_RIP(%rsp)
	je	trap_in_switch
	movq	%rsp, %rdi
	call	trap_kernel
	RESTORE_ALL
	iretq

/*
 * GIF is 0 there, so this cannot be; QEMU's TCG with several threads does it (docs/svm.md). GS and TR are still the guest's: its state is
 * saved, the host's loaded, and back again. RAX is the guest's VMCB, the host's lies where svm_switch has pushed it.
 */
	.weak	svm_left_guest /* tests build this file without the switch */
trap_in_switch:
	movq	SAVED_RAX(%rsp), %rax
	vmsave	%rax
	movq	SAVED_BYTES + FRAME_RSP(%rsp), %rcx
	movq	8(%rcx), %rax
	vmload	%rax
	movq	%rsp, %rdi
	call	trap_kernel
	movq	SAVED_RAX(%rsp), %rax
	vmload	%rax
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
