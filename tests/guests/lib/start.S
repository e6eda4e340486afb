/*
 * start: from the loader's 32-bit protected mode to guest_main, and the way in for every vector.
 *
 * One text for both widths. Entry by Multiboot 1 (EAX its magic, EBX the information) or, where the image has the
 * PVH note, with EBX pointing to the start information: the magic there tells them apart.
 */
	.set MULTIBOOT_HEADER, 0x1badb002
	.set MULTIBOOT_FLAGS, 0x00000003 /* page-aligned modules, memory map wanted */
	.set PVH_NOTE_ENTRY, 18          /* XEN_ELFNOTE_PHYS32_ENTRY */

#ifndef GUEST_PVH
	.section .header, "a"
	.align 4
	.long MULTIBOOT_HEADER, MULTIBOOT_FLAGS, -(MULTIBOOT_HEADER + MULTIBOOT_FLAGS)
#else
	.section .note.pvh, "a", @note
	.align 4
	.long 4, 4, PVH_NOTE_ENTRY
	.asciz "Xen"
	.long start
#endif

	.section .text.start, "ax"
	.code32
	.globl start
start:
	cli
	cld
	movl $stack_top, %esp
	movl %eax, boot_magic
	movl %ebx, boot_info
	/* The loader's interrupt controllers are its own affair: everything masked from here on. */
	movb $0xff, %al
	outb %al, $0x21
	outb %al, $0xa1
	lgdt gdt_pointer_start
#ifdef __x86_64__
	call build_tables
	call enter_long
	ljmp $0x08, $start_wide
#else
	ljmp $0x08, $start_wide
#endif

#ifdef __x86_64__
	/* 4 GiB one to one in 2 MiB pages, for everyone: 4 directories under one pointer table. */
build_tables:
	movl $boot_pd, %edi
	movl $0x87, %eax /* P, W, U, PS */
	movl $2048, %ecx
1:	movl %eax, (%edi)
	movl $0, 4(%edi)
	addl $0x200000, %eax
	addl $8, %edi
	loop 1b
	movl $boot_pdpt, %edi
	movl $boot_pd + 7, %eax
	movl $4, %ecx
2:	movl %eax, (%edi)
	addl $0x1000, %eax
	addl $8, %edi
	loop 2b
	movl $boot_pdpt + 7, boot_pml4
	ret

	/* Paging and long mode on; also what an application processor calls. */
	.globl enter_long
enter_long:
	movl %cr4, %eax
	orl $0x20, %eax /* PAE */
	movl %eax, %cr4
	movl $boot_pml4, %eax
	movl %eax, %cr3
	movl $0xc0000080, %ecx /* EFER: LME */
	rdmsr
	orl $0x100, %eax
	wrmsr
	movl %cr0, %eax
	andl $0x9fffffff, %eax /* CD and NW off */
	orl $0x80000021, %eax  /* PG, NE, PE */
	movl %eax, %cr0
	ret
	.code64
#endif

start_wide:
	movl $0x10, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	xorl %eax, %eax
	movl %eax, %fs
	movl %eax, %gs
#ifdef __x86_64__
	movl $stack_top, %esp
	leaq -8(%rsp), %rsp
	call guest_start
#else
	movl %cr0, %eax
	andl $0x9fffffff, %eax
	orl $0x20, %eax
	movl %eax, %cr0
	call guest_start
#endif
1:	cli
	hlt
	jmp 1b

/* --- vectors ---------------------------------------------------------------------------------------- */

	.altmacro
	.macro stub n
stub_\n:
	.if (\n == 8) || ((\n >= 10) && (\n <= 14)) || (\n == 17) || (\n == 21) || (\n == 29) || (\n == 30)
	.else
	push $0
	.endif
	push $\n
	jmp stub_common
	.endm
	.macro stub_address n
#ifdef __x86_64__
	.quad stub_\n
#else
	.long stub_\n
#endif
	.endm

	.text
	.set i, 0
	.rept 256
	stub %i
	.set i, i + 1
	.endr

	.section .rodata
	.align 8
	.globl stub_table
stub_table:
	.set i, 0
	.rept 256
	stub_address %i
	.set i, i + 1
	.endr

	.text
stub_common:
	cld
#ifdef __x86_64__
	push %rax; push %rcx; push %rdx; push %rbx; push %rbp; push %rsi; push %rdi
	push %r8; push %r9; push %r10; push %r11; push %r12; push %r13; push %r14; push %r15
	movq %rsp, %rdi
	movq %rsp, %rbx
	andq $-16, %rsp
	call trap_arrived
	movq %rbx, %rsp
	pop %r15; pop %r14; pop %r13; pop %r12; pop %r11; pop %r10; pop %r9; pop %r8
	pop %rdi; pop %rsi; pop %rbp; pop %rbx; pop %rdx; pop %rcx; pop %rax
	addq $16, %rsp
	iretq
#else
	push %eax; push %ecx; push %edx; push %ebx; push %ebp; push %esi; push %edi
	push %ds; push %es
	movl $0x10, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %esp, %eax
	push %eax
	call trap_arrived
	addl $4, %esp
	pop %es; pop %ds
	pop %edi; pop %esi; pop %ebp; pop %ebx; pop %edx; pop %ecx; pop %eax
	addl $8, %esp
	iret
#endif

/* --- functions under guard ---------------------------------------------------------------------------- */

	/* int guard_call(fn, arg): 0, or what the trap handler put into the accumulator on its way here. */
	.globl guard_call, guard_recover
guard_call:
#ifdef __x86_64__
	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15
	pushfq
	push guard_sp
	movq %rsp, guard_sp
	movq %rdi, %rax
	movq %rsi, %rdi
	andq $-16, %rsp
	call *%rax
	xorl %eax, %eax
guard_recover:
	movl $0x10, %ecx
	movl %ecx, %ds
	movl %ecx, %es
	movl %ecx, %ss
	movq guard_sp, %rsp
	pop guard_sp
	popfq
	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx
	ret
#else
	push %ebx; push %ebp; push %esi; push %edi
	pushfl
	pushl guard_sp
	movl %esp, guard_sp
	movl 28(%esp), %eax
	pushl 32(%esp)
	call *%eax
	xorl %eax, %eax
guard_recover:
	movl $0x10, %ecx
	movl %ecx, %ds
	movl %ecx, %es
	movl %ecx, %ss
	movl guard_sp, %esp
	popl guard_sp
	popfl
	pop %edi; pop %esi; pop %ebp; pop %ebx
	ret
#endif

	/* void user_enter(frame): leaves by IRET through the five words given. `user_arg` is the argument. */
	.globl user_enter, user_return
user_enter:
#ifdef __x86_64__
	movl $0x2b, %eax
	movl %eax, %ds
	movl %eax, %es
	movq %rdi, %rsp
	movq user_arg, %rdi
	iretq
#else
	movl 4(%esp), %esp
	movl $0x2b, %eax
	movl %eax, %ds
	movl %eax, %es
	iret
#endif
user_return:
	int $0x81

/* --- tables --------------------------------------------------------------------------------------------- */

	.data
	.align 16
	.globl gdt
gdt:
	.quad 0
#ifdef __x86_64__
	.quad 0x00af9b000000ffff /* 08 code 64 */
#else
	.quad 0x00cf9b000000ffff /* 08 code 32 */
#endif
	.quad 0x00cf93000000ffff /* 10 data */
	.quad 0x00cf9b000000ffff /* 18 code 32 */
	.quad 0x00cffb000000ffff /* 20 user code 32 */
	.quad 0x00cff3000000ffff /* 28 user data */
#ifdef __x86_64__
	.quad 0x00affb000000ffff /* 30 user code 64 */
#else
	.quad 0x00cffb000000ffff /* 30 user code 32 again */
#endif
	.quad 0, 0               /* 38 the task state, written by traps_init */
	.quad 0x00009b000000ffff /* 48 code 16 */
	.quad 0x000093000000ffff /* 50 data 16 */
	.quad 0x00cf13000000ffff /* 58 data, not present */
	.quad 0x00cf1b000000ffff /* 60 code, not present */
	.quad 0x0040930000000fff /* 68 data, 4 KiB from 0 */
	.quad 0x0040f30000000fff /* 70 user data, 4 KiB from 0 */
gdt_end:
	.globl gdt_pointer
gdt_pointer_start:
gdt_pointer:
	.word gdt_end - gdt - 1
#ifdef __x86_64__
	.quad gdt
#else
	.long gdt
#endif

	.globl boot_magic, boot_info, guard_sp, user_arg
	.align 8
boot_magic: .quad 0 /* in .data: what the image clears must not lose them */
boot_info:  .quad 0
guard_sp:   .quad 0
user_arg:   .quad 0

	.bss
	.align 4096
#ifdef __x86_64__
	.globl boot_pml4
boot_pml4: .skip 4096
boot_pdpt: .skip 4096
boot_pd:   .skip 4 * 4096
#endif
	.skip 32768
stack_top:

	.section .note.GNU-stack, "", @progbits
