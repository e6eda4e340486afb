/*
 * string: the functions that compilers call by themselves. Words first, then the last few bytes.
 */
	.text

	.macro FUNCTION name
	.globl \name
	.type \name, @function
	.balign 16
\name:
	.endm

FUNCTION memcpy
	movq	%rdi, %rax
	movq	%rdx, %rcx
	shrq	$3, %rcx
	rep movsq
	movl	%edx, %ecx
	andl	$7, %ecx
	rep movsb
	ret
	.size memcpy, . - memcpy

/* Downwards only where the destination begins inside the source. */
FUNCTION memmove
	movq	%rdi, %rcx
	subq	%rsi, %rcx
	cmpq	%rdx, %rcx
	jae	memcpy
	movq	%rdi, %rax
	leaq	-1(%rdi, %rdx), %rdi
	leaq	-1(%rsi, %rdx), %rsi
	movq	%rdx, %rcx
	std
	rep movsb
	cld
	ret
	.size memmove, . - memmove

FUNCTION memset
	movq	%rdi, %r8
	movzbl	%sil, %eax
	movabsq	$0x0101010101010101, %rcx
	imulq	%rcx, %rax
	movq	%rdx, %rcx
	shrq	$3, %rcx
	rep stosq
	movl	%edx, %ecx
	andl	$7, %ecx
	rep stosb
	movq	%r8, %rax
	ret
	.size memset, . - memset

FUNCTION memcmp
	movq	%rdx, %rcx
	xorl	%eax, %eax
	cmpq	%rax, %rax /* equal, if there is nothing to compare */
	repe cmpsb
	je	1f
	movzbl	-1(%rdi), %eax
	movzbl	-1(%rsi), %ecx
	subl	%eax, %ecx
	movl	%ecx, %eax
	negl	%eax
1:	ret
	.size memcmp, . - memcmp

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
