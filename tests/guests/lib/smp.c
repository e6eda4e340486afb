/* smp: the way of another processor from INIT and SIPI to a function in long mode. */
#include "guest.h"

#ifdef __x86_64__

enum { TRAMPOLINE = AP_PAGE << 12, AP_STACK = 8192, APS = 7, INIT_US = 10000, SIPIS = 2, SIPI_PATIENCE_MS = 100 };

static u8 stacks[APS][AP_STACK] __attribute__((aligned(16)));
static unsigned used;
extern char ap_begin[], ap_end[];
u32 ap_stack;
void (*volatile ap_function)(void);

__asm__(".text\n.code16\n"
        "ap_begin:\n	cli\n	xorw %ax, %ax\n	movw %ax, %ds\n"
        "	lgdtl 0x8000 + ap_gdt - ap_begin\n"
        "	movl %cr0, %eax\n	orb $1, %al\n	movl %eax, %cr0\n"
        "	ljmpl $0x18, $ap_32\n"
        "	.align 4\n"
        "ap_gdt: .word 0x77\n	.long gdt\n"
        "ap_end:\n"
        ".code32\n"
        "ap_32:	movl $0x10, %eax\n	movl %eax, %ds\n	movl %eax, %es\n	movl %eax, %ss\n"
        "	movl ap_stack, %esp\n	call enter_long\n	ljmp $0x08, $ap_64\n"
        ".code64\n"
        "ap_64:	xorl %ebp, %ebp\n	call *ap_function\n"
        "1:	cli\n	hlt\n	jmp 1b\n");

bool ap_start(u32 id, void (*function)(void), const volatile u32 *started)
{
	u32 before = *started;

	if (used == APS)
		return false;
	copy((void *)(word)TRAMPOLINE, ap_begin, (size_t)(ap_end - ap_begin));
	ap_stack = (u32)(word)stacks[used++] + AP_STACK;
	ap_function = function;
	lapic_icr(id, ICR_INIT | ICR_LEVEL);
	delay_us(INIT_US);
	for (unsigned i = 0; i < SIPIS && *started == before; i++) {
		lapic_icr(id, ICR_STARTUP | AP_PAGE);
		for (unsigned wait = 0; wait < SIPI_PATIENCE_MS && *started == before; wait++)
			delay_us(1000);
	}
	return *started != before;
}

static volatile u32 here, go;
static void (*everyone_does)(void);

static void arrive(void)
{
	traps_load();
	lapic_enable();
	__atomic_fetch_add(&here, 1, __ATOMIC_SEQ_CST);
	while (!go)
		relax();
	everyone_does();
}

void on_every_processor(void (*function)(void), void (*before)(unsigned processors))
{
	const struct platform *p = platform();
	u32 self;
	unsigned processors = 1;

	everyone_does = function;
	lapic_enable();
	self = lapic_id();
	for (unsigned i = 0; i < p->processors && processors <= APS; i++)
		if (p->apic_id[i] != self)
			processors += ap_start(p->apic_id[i], arrive, &here);
	before(processors);
	go = 1;
	function();
}

#endif
