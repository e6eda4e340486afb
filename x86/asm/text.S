/*
 * text: strings, for the options alone.
 */
	.text

	.macro FUNCTION name
	.globl \name
	.type \name, @function
	.balign 16
\name:
	.endm

FUNCTION strlen
	xorl	%eax, %eax
1:	cmpb	$0, (%rdi, %rax)
	je	2f
	incq	%rax
	jmp	1b
2:	ret
	.size strlen, . - strlen

/* strcmp: strncmp without an end. */
FUNCTION strcmp
	movq	$-1, %rdx
	jmp	strncmp
	.size strcmp, . - strcmp

FUNCTION strncmp
	movq	%rdx, %r8
1:	testq	%r8, %r8
	jz	3f
	decq	%r8
	movzbl	(%rdi), %eax
	movzbl	(%rsi), %ecx
	incq	%rdi
	incq	%rsi
	testl	%eax, %eax
	jz	2f
	cmpl	%ecx, %eax
	je	1b
2:	subl	%ecx, %eax
	ret
3:	xorl	%eax, %eax
	ret
	.size strncmp, . - strncmp

	.section .note.GNU-stack, "", @progbits
