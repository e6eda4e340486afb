/*
 * string: memory functions of the freestanding monitor.
 *
 * Eight bytes at a time by REP MOVSQ and REP STOSQ: kernels and initial RAM disks are copied with these, and where instructions
 * are counted each repetition is one.
 */
	.text

	.globl memcpy
	.type memcpy, @function
memcpy:
	mov %rdi, %rax
	mov %rdx, %rcx
	shr $3, %rcx
	rep movsq
	mov %edx, %ecx
	and $7, %ecx
	rep movsb
	ret
	.size memcpy, . - memcpy

	.globl memmove
	.type memmove, @function
memmove:
	mov %rdi, %rcx
	sub %rsi, %rcx
	cmp %rdx, %rcx      /* forward is right unless from < to < from + n */
	jae memcpy
	mov %rdi, %rax
	mov %rdx, %rcx
	lea -1(%rdi, %rdx), %rdi
	lea -1(%rsi, %rdx), %rsi
	std
	rep movsb
	cld
	ret
	.size memmove, . - memmove

	.globl memset
	.type memset, @function
memset:
	mov %rdi, %r8
	movzbl %sil, %eax
	movabs $0x0101010101010101, %rcx
	imul %rcx, %rax
	mov %rdx, %rcx
	shr $3, %rcx
	rep stosq
	mov %edx, %ecx
	and $7, %ecx
	rep stosb
	mov %r8, %rax
	ret
	.size memset, . - memset

	.section .note.GNU-stack, "", @progbits
