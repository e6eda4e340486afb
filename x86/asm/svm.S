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
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	pushq	%rdx
	pushq	%rdi
	movq	%rsi, %rax
	clgi
	sti
	vmload	%rax
	movq	1*8(%rdi), %rcx
	movq	2*8(%rdi), %rdx
	movq	3*8(%rdi), %rbx
	movq	5*8(%rdi), %rbp
	movq	6*8(%rdi), %rsi
	movq	8*8(%rdi), %r8
	movq	9*8(%rdi), %r9
	movq	10*8(%rdi), %r10
	movq	11*8(%rdi), %r11
	movq	12*8(%rdi), %r12
	movq	13*8(%rdi), %r13
	movq	14*8(%rdi), %r14
	movq	15*8(%rdi), %r15
	movq	7*8(%rdi), %rdi
	vmrun	%rax
	vmsave	%rax
	xchgq	%rdi, (%rsp)
	movq	%rcx, 1*8(%rdi)
	movq	%rdx, 2*8(%rdi)
	movq	%rbx, 3*8(%rdi)
	movq	%rbp, 5*8(%rdi)
	movq	%rsi, 6*8(%rdi)
	movq	%r8, 8*8(%rdi)
	movq	%r9, 9*8(%rdi)
	movq	%r10, 10*8(%rdi)
	movq	%r11, 11*8(%rdi)
	movq	%r12, 12*8(%rdi)
	movq	%r13, 13*8(%rdi)
	movq	%r14, 14*8(%rdi)
	movq	%r15, 15*8(%rdi)
	popq	%rax
	movq	%rax, 7*8(%rdi)
	popq	%rax
	vmload	%rax
	cli
	stgi
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
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
