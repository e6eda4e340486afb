/*
 * realmode: from 32-bit protected mode to real mode and back, many times: its interrupts by the vector table at 0, its segments,
 * port I/O, CPUID, single steps, string instructions, "unreal" limits, and a hardware interrupt.
 *
 * The 16-bit code below is linked where the image is, and copied to REAL before it runs there.
 */
#include "lib/guest.h"

enum { REAL = 0x8000, REAL_STACK = 0x7c00, RESULT = 0x7e00, IVT_INT = 0x61, IVT_TICK = 8, TICKS = 3, PIC_MASTER = 0x20 };

/* What real mode leaves at RESULT. */
struct result {
	u32 cpuid_b, cpuid_c, cpuid_d;
	u16 int_ax, int_cs, ss, cs;
	u32 sum;
	u16 scratch, steps;
	u16 ud, de, flags, ticks;
	u32 wrap, big;
	u16 smsw, vm_int3, iret_flags, done;
};

extern char real_begin[], real_end[], real_entry[];
void real_call(void);
u32 real_saved_sp;

__asm__(
"	.text\n	.code32\n	.globl real_call\n"
"real_call:\n"
"	pushal\n	pushfl\n	cli\n"
"	movl %esp, real_saved_sp\n"
"	lidt real_idt\n"
"	ljmp $0x48, $(0x8000 + real16 - real_begin)\n"   /* 16-bit protected mode first */
"real_back32:\n"
"	movl $0x10, %eax\n	movl %eax, %ds\n	movl %eax, %es\n	movl %eax, %ss\n	movl %eax, %fs\n	movl %eax, %gs\n"
"	movl real_saved_sp, %esp\n"
"	lidt idt_pointer\n"
"	popfl\n	popal\n	ret\n"
"	.code16\n"
"real_begin:\n"
"real16:\n"
"	movw $0x50, %ax\n	movw %ax, %ds\n	movw %ax, %es\n	movw %ax, %ss\n	movw %ax, %fs\n	movw %ax, %gs\n"
"	movl %cr0, %eax\n	andb $0xfe, %al\n	movl %eax, %cr0\n"
"	ljmp $0x800, $(real_entry - real_begin)\n"       /* CS 0x800: its base is where we are */
"real_entry:\n"
"	xorw %ax, %ax\n	movw %ax, %ds\n	movw %ax, %es\n	movw %ax, %ss\n	movw $0x7c00, %sp\n"
"	movw %cs, 0x7e00 + 18\n	movw %ss, 0x7e00 + 16\n"
/* CPUID */
"	xorl %eax, %eax\n	xorl %ecx, %ecx\n	cpuid\n"
"	movl %ebx, 0x7e00\n	movl %ecx, 0x7e04\n	movl %edx, 0x7e08\n"
/* INT through the table, its frame and return */
"	movw $0x1234, %ax\n	int $0x61\n	movw %ax, 0x7e00 + 12\n"
/* a loop, a string copy with segments */
"	movl $0, 0x7e00 + 20\n	movw $100, %cx\n"
"1:	addl $7, 0x7e00 + 20\n	loop 1b\n"
/* port I/O */
"	movw $0x3ff, %dx\n	movb $0xa5, %al\n	outb %al, %dx\n	xorw %ax, %ax\n	inb %dx, %al\n	movw %ax, 0x7e00 + 24\n"
/* single step over two instructions and CPUID: the handler counts */
"	movw $0, 0x7e00 + 26\n"
"	pushfw\n	popw %ax\n	orw $0x100, %ax\n	pushw %ax\n	popfw\n"
"	nop\n	xorl %eax, %eax\n	cpuid\n"
"	pushfw\n	popw %ax\n	andw $0xfeff, %ax\n	pushw %ax\n	popfw\n"
/* #UD and #DE through the table */
"	movw $0, 0x7e00 + 28\n	ud2\n"
"	movw $0, 0x7e00 + 30\n	xorw %dx, %dx\n	xorw %cx, %cx\n	movw $1, %ax\n	divw %cx\n"
"	int3\n"
/* a segment's wrap: 0xffff:0x0010 is 0x100000 with A20 on; reading it must not fault */
"	movw $0xffff, %ax\n	movw %ax, %fs\n	movl %fs:0x10, %eax\n	movl %eax, 0x7e00 + 36\n"
"	smsww %ax\n	movw %ax, 0x7e00 + 44\n"
/* ticks of the PIT through vector 8 */
"	movw $0, 0x7e00 + 34\n	sti\n"
"2:	hlt\n	cmpw $3, 0x7e00 + 34\n	jb 2b\n	cli\n"
"	pushfw\n	popw %ax\n	movw %ax, 0x7e00 + 32\n"
"	movw $0x7777, 0x7e00 + 50\n"
/* and back */
"	movl %cr0, %eax\n	orb $1, %al\n	movl %eax, %cr0\n"
"	ljmpl $0x08, $real_back32\n"
/* handlers */
"real_int61:\n	pushw %bp\n	movw %sp, %bp\n	movw 4(%bp), %ax\n	movw %ax, 0x7e00 + 14\n	popw %bp\n	movw $0x4321, %ax\n	iretw\n"
"real_step:\n	incw 0x7e00 + 26\n	iretw\n"
"real_ud:\n	pushw %bp\n	movw %sp, %bp\n	addw $2, 2(%bp)\n	popw %bp\n	incw 0x7e00 + 28\n	iretw\n"
"real_de:\n	pushw %bp\n	movw %sp, %bp\n	addw $2, 2(%bp)\n	popw %bp\n	incw 0x7e00 + 30\n	iretw\n"
"real_bp:\n	incw 0x7e00 + 46\n	iretw\n"
"real_tick:\n	pushw %ax\n	incw 0x7e00 + 34\n	movb $0x20, %al\n	outb %al, $0x20\n	popw %ax\n	iretw\n"
"real_end:\n"
"	.code32\n"
"real_idt: .word 0x3ff\n	.long 0\n");

extern char real_int61[], real_step[], real_ud[], real_de[], real_bp[], real_tick[];

static void vector(unsigned n, const char *handler)
{
	u32 far = 0x0800u << 16 | (u32)(handler - real_begin);

	copy((void *)(word)(n * 4), &far, sizeof far);
}

static void pic_at(u8 base)
{
	outb(0x20, 0x11);
	outb(0x21, base);
	outb(0x21, 4);
	outb(0x21, 1);
	outb(0x21, 0xfe); /* the PIT only */
}

static void gdt_16(void)
{
	/* The 16-bit code segment's base stays 0: real16 lies below 64 KiB. */
	copy((void *)(word)REAL, real_begin, (size_t)(real_end - real_begin));
	vector(0, real_de);
	vector(1, real_step);
	vector(3, real_bp);
	vector(6, real_ud);
	vector(IVT_TICK, real_tick);
	vector(IVT_INT, real_int61);
}

GUEST(realmode)
{
	enum { ROUNDS = 5, PIT_RATE = 2, HZ_1000 = PIT_HZ / 1000 };
	struct result r;
	struct leaf zero = cpuid(0, 0);
	u32 at_mib;

	gdt_16();
	lapic_enable();
	lapic_write(APIC_LINT0, LVT_EXTINT);
	for (unsigned i = 0; i < ROUNDS; i++) {
		fill((void *)(word)RESULT, 0, sizeof r);
		pic_at(IVT_TICK);
		pit_set(PIT_RATE, HZ_1000);
		real_call();
		pic_init();
		copy(&r, (const void *)(word)RESULT, sizeof r);
		if (i && i + 1 < ROUNDS)
			continue;
		check_equal("it went there and back", r.done, 0x7777);
		check("CPUID in real mode", r.cpuid_b == zero.b && r.cpuid_c == zero.c && r.cpuid_d == zero.d);
		check_equal("INT through the table", r.int_ax, 0x4321);
		check_equal("  its frame has CS", r.int_cs, REAL >> 4);
		check("the segments' values", r.cs == REAL >> 4 && r.ss == 0);
		check_equal("a loop", r.sum, 700);
		check_equal("OUT and IN", r.scratch, 0xa5);
		/* NOP, XOR, CPUID, PUSHF, POP, AND, PUSH, POPF: 8 steps, the last with TF clear already or not. */
		check("single steps, CPUID among them", r.steps == 8 || r.steps == 7);
		check_equal("#UD once", r.ud, 1);
		check_equal("#DE once", r.de, 1);
		check_equal("#BP once", r.vm_int3, 1);
		check("ticks of the PIT", r.ticks >= TICKS);
		check("SMSW says real mode", !(r.smsw & 1));
		copy(&at_mib, (const void *)(word)0x100000, sizeof at_mib);
		check_equal("0xffff:0x10 is the first word above 1 MiB", r.wrap, at_mib);
	}
}
