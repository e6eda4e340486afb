/*
 * svm: the world switch.
 *
 *   void svm_switch(u64 *gpr, u64 guest_vmcb, u64 host_vmcb)
 *
 * GIF is 0 from CLGI to STGI, so nothing is taken half-way. IF is 1 over VMRUN, because with V_INTR_MASKING the host's IF decides whether
 * a physical interrupt ends the guest (APM vol. 2, 15.21.1), and 0 again before STGI, so that the interrupt stays pending until
 * interrupts_take(). RAX and RSP of the guest live in its VMCB; `gpr` is indexed by enum mon_gpr.
 */
	.text
	.globl svm_switch
	.type svm_switch, @function
	.balign 64
svm_switch:
	.irp reg, rbx, rbp, r12, r13, r14, r15, rdx, rdi
	pushq	%\reg
	.endr
	movq	%rsi, %rax
	clgi
	sti
	vmload	%rax
	movq	1*8(%rdi), %rcx
	movq	2*8(%rdi), %rdx
	movq	3*8(%rdi), %rbx
	movq	5*8(%rdi), %rbp
	movq	6*8(%rdi), %rsi
	.irp n, 8, 9, 10, 11, 12, 13, 14, 15
	movq	\n*8(%rdi), %r\n
	.endr
	movq	7*8(%rdi), %rdi
	vmrun	%rax
	.globl svm_left_guest
svm_left_guest:
	vmsave	%rax
	xchgq	%rdi, (%rsp)
	movq	%rcx, 1*8(%rdi)
	movq	%rdx, 2*8(%rdi)
	movq	%rbx, 3*8(%rdi)
	movq	%rbp, 5*8(%rdi)
	movq	%rsi, 6*8(%rdi)
	.irp n, 8, 9, 10, 11, 12, 13, 14, 15
	movq	%r\n, \n*8(%rdi)
	.endr
	popq	%rax
	movq	%rax, 7*8(%rdi)
	popq	%rax
	vmload	%rax
	cli
	stgi
	.irp reg, r15, r14, r13, r12, rbp, rbx
	popq	%\reg
	.endr
	ret
	.size svm_switch, . - svm_switch

/* _Noreturn void stack_switch(u64 top, void (*run)(void)): goes on with `run` on another stack. */
	.globl stack_switch
	.type stack_switch, @function
stack_switch:
	movq	%rdi, %rsp
	xorl	%ebp, %ebp
	call	*%rsi
	ud2
	.size stack_switch, . - stack_switch
	.section .note.GNU-stack, "", @progbits
