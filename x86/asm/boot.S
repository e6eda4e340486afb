/*
 * boot: from the loader's 32-bit world to boot_start() in C, in long mode at the linked addresses.
 *
 *   boot_entry   the boot processor, from Multiboot 1 or 2: EAX magic, EBX the loader's information
 *   smp_entry    any other processor: 16-bit code that smp.c copies to a page below 1 MiB (SIPI starts it there)
 *
 * Both end in the same tables: 0 .. 4 GiB mapped to themselves by 2 MiB pages, and the first GiB once more at IMAGE_BASE.
 */
#include "x86/boot/multiboot_abi.h"
#include "x86/cpu/regs.h"
#include "x86/cpu/segments.h"
#include "x86/cpu/user_abi.h"

#define IMAGE_BASE 0xffffffff80000000
#define PHYS(symbol) ((symbol) - IMAGE_BASE)

#define ENTRY_TABLE 0x003 /* present, writable */
#define ENTRY_LARGE 0x083 /* and a 2 MiB page */
#define EARLY_PAGES 2048  /* of 2 MiB: 4 GiB */
#define HIGH_SLOT 510     /* of the last table: IMAGE_BASE */

#define CPUID_EXT_MAX 0x80000000
#define CPUID_EXT_FEATURES 0x80000001
#define CPUID_EXT_LM (1 << 29)

#define LSR_OFFSET 5
#define COM1 0x3f8
#define COM2 0x2f8

/* ---- what loaders look for ---- */

	.section .multiboot, "ax"
	.balign 8
multiboot1:
	.long	MULTIBOOT1_HEADER_MAGIC
	.long	MULTIBOOT1_HEADER_FLAGS
	.long	-(MULTIBOOT1_HEADER_MAGIC + MULTIBOOT1_HEADER_FLAGS)
	.long	PHYS(multiboot1), PHYS(image_start), PHYS(load_end), PHYS(image_end), PHYS(boot_entry)

	.balign 8
multiboot2:
	.long	MULTIBOOT2_HEADER_MAGIC
	.long	0 /* 32-bit protected mode */
	.long	multiboot2_end - multiboot2
	.long	-(MULTIBOOT2_HEADER_MAGIC + (multiboot2_end - multiboot2))
	.balign 8
	.short	MULTIBOOT2_HEADER_ADDRESS, 0
	.long	24, PHYS(multiboot2), PHYS(image_start), PHYS(load_end), PHYS(image_end)
	.balign 8
	.short	MULTIBOOT2_HEADER_ENTRY, 0
	.long	12, PHYS(boot_entry)
	.balign 8
	.short	MULTIBOOT2_HEADER_FRAMEBUFFER, MULTIBOOT2_HEADER_OPTIONAL
	.long	20, 0, 0, 32 /* of any size; pixels of 32 bits, rather than others */
	.balign 8
	.short	MULTIBOOT2_HEADER_ALIGN, 0
	.long	8
	.balign 8
	.short	MULTIBOOT2_HEADER_END, 0
	.long	8
multiboot2_end:

/* ---- the boot processor ---- */

	.text
	.code32
	.globl boot_entry
boot_entry:
	cli
	cld
	movl	%eax, %ebp
	movl	%ebx, %esi
	movl	$PHYS(bss_start), %edi
	movl	$PHYS(bss_end), %ecx
	subl	%edi, %ecx
	shrl	$2, %ecx
	xorl	%eax, %eax
	rep stosl
	movl	$PHYS(cpu_stacks + CPU_STACKS_BYTES), %esp
	call	check_long_mode
	call	fill_tables
	call	enter_long_mode
	lgdt	PHYS(boot_gdt_pointer)
	ljmp	$SEGMENT_KERNEL_CODE, $PHYS(boot_low)

/* Clobbers EAX, EBX, ECX, EDX; does not return to what cannot run us. */
check_long_mode:
	movl	$CPUID_EXT_MAX, %eax
	cpuid
	cmpl	$CPUID_EXT_FEATURES, %eax
	jb	1f
	movl	$CPUID_EXT_FEATURES, %eax
	cpuid
	testl	$CPUID_EXT_LM, %edx
	jz	1f
	ret
1:	movw	$COM1, %dx
	call	complain
	movw	$COM2, %dx
	call	complain
2:	hlt
	jmp	2b

/* Writes the sentence to the 16550 at DX; a port that never gets ready costs a bounded number of looks. */
complain:
	movl	$PHYS(no_long_mode), %esi
	movl	$0x100000, %ecx
1:	movb	(%esi), %bl
	testb	%bl, %bl
	jz	3f
	addw	$LSR_OFFSET, %dx
2:	inb	%dx, %al
	testb	$0x20, %al
	loopz	2b
	subw	$LSR_OFFSET, %dx
	movb	%bl, %al
	outb	%al, %dx
	incl	%esi
	jmp	1b
3:	ret

fill_tables:
	movl	$PHYS(boot_pd), %edi
	movl	$ENTRY_LARGE, %eax
	movl	$EARLY_PAGES, %ecx
1:	movl	%eax, (%edi)
	addl	$8, %edi
	addl	$1 << 21, %eax
	loop	1b
	movl	$PHYS(boot_pd) + ENTRY_TABLE, %eax
	movl	%eax, PHYS(boot_pdpt_high) + HIGH_SLOT * 8
	movl	$PHYS(boot_pdpt_low), %edi
	movl	$4, %ecx
2:	movl	%eax, (%edi)
	addl	$8, %edi
	addl	$4096, %eax
	loop	2b
	movl	$PHYS(boot_pdpt_low) + ENTRY_TABLE, PHYS(boot_pml4)
	movl	$PHYS(boot_pdpt_high) + ENTRY_TABLE, PHYS(boot_pml4) + 511 * 8
	ret

/* Clobbers EAX, ECX, EDX. After it the processor is in compatibility mode. */
enter_long_mode:
	movl	$CR4_PAE, %eax
	movl	%eax, %cr4
	movl	$PHYS(boot_pml4), %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$EFER_LME, %eax
	wrmsr
	movl	$(CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE), %eax
	movl	%eax, %cr0
	ret

	.code64
boot_low:
	movabsq	$boot_high, %rax
	jmp	*%rax

	.text
boot_high:
	lgdt	boot_gdt_pointer_high(%rip)
	movl	$SEGMENT_KERNEL_DATA, %eax
	movl	%eax, %ss
	movl	%eax, %ds
	movl	%eax, %es
	movq	$cpu_stacks + CPU_STACKS_BYTES, %rsp
	movl	%ebp, %edi
	movl	%esi, %esi
	xorl	%ebp, %ebp
	call	boot_start
	ud2

/* ---- the other processors ---- */

	.section .rodata
	.globl smp_entry, smp_entry_end
	.code16
smp_entry:
	cli
	cld
	movw	%cs, %ax
	movw	%ax, %ds
	lgdtl	smp_gdt_pointer - smp_entry
	movl	%cr0, %eax
	orb	$CR0_PE, %al
	movl	%eax, %cr0
	ljmpl	$SEGMENT_EARLY_CODE32, $PHYS(smp_protected)
smp_gdt_pointer:
	.short	boot_gdt_end - boot_gdt - 1
	.long	PHYS(boot_gdt)
smp_entry_end:

	.text
	.code32
smp_protected:
	movl	$SEGMENT_KERNEL_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %ss
	movl	$PHYS(boot_smp_stack_top), %esp
	call	enter_long_mode
	ljmp	$SEGMENT_KERNEL_CODE, $PHYS(smp_low)

	.code64
smp_low:
	movabsq	$smp_high, %rax
	jmp	*%rax
smp_high:
	lgdt	boot_gdt_pointer_high(%rip)
	movl	$SEGMENT_KERNEL_DATA, %eax
	movl	%eax, %ss
	movl	%eax, %ds
	movl	%eax, %es
	movq	smp_stack(%rip), %rsp
	movq	smp_cpu(%rip), %rdi
	xorl	%ebp, %ebp
	call	smp_arrive
	ud2

/* ---- data ---- */

	.section .rodata
no_long_mode:
	.asciz	"error: Ringmur needs a 64-bit processor, and this one has no long mode\n"
	.balign 8
boot_gdt:
	.quad	0
	.quad	DESCRIPTOR_KERNEL_CODE
	.quad	DESCRIPTOR_KERNEL_DATA
	.quad	DESCRIPTOR_EARLY_CODE32
boot_gdt_end:
boot_gdt_pointer:
	.short	boot_gdt_end - boot_gdt - 1
	.quad	PHYS(boot_gdt)
boot_gdt_pointer_high:
	.short	boot_gdt_end - boot_gdt - 1
	.quad	boot_gdt

	.bss
	.balign 4096
	.globl boot_pml4, boot_pd
boot_pml4:
	.skip	4096
boot_pdpt_low:
	.skip	4096
boot_pdpt_high:
	.skip	4096
boot_pd:
	.skip	4 * 4096
	.balign 16
	.skip	64
boot_smp_stack_top: /* for two calls before the processor's own stack */

	.section .note.GNU-stack, "", @progbits
