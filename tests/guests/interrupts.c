/*
 * interrupts: when they come, where they say they came from, and what keeps them out: IF, the shadows of STI and MOV SS,
 * priority in the PIC, NMI's own block. The sources are the PIT and the UART through the PIC, and IPIs to oneself.
 */
#include "lib/guest.h"

enum {
	VECTOR = V_FREE, IRQ_PIT = 0, IRQ_UART = 4,
	UART_IER = PORT_COM1 + 1, UART_IIR = PORT_COM1 + 2, UART_MCR = PORT_COM1 + 4, IER_THRE = 2, MCR_OUT2 = 8,
	PIC1 = 0x20, OCW3_IRR = 0x0a, OCW3_ISR = 0x0b,
	HZ_100 = PIT_HZ / 100, PIT_RATE = 2, PIT_ONE_SHOT = 0,
};

static volatile u32 ticks, ipis, nmis, uarts, depth, deepest;
static volatile word seen_ip, seen_flags, seen_cs, seen_sp;

static void note(const struct regs *r)
{
	seen_ip = r->ip;
	seen_flags = r->flags;
	seen_cs = r->cs;
	seen_sp = (word)r;
}

static void on_tick(struct regs *r)
{
	note(r);
	ticks++;
	pic_eoi(IRQ_PIT);
}

static void on_ipi(struct regs *r)
{
	note(r);
	ipis++;
	lapic_eoi();
}

static void post(void)
{
	seen_ip = 0;
	lapic_icr(0, ICR_SELF | VECTOR);
}

/* --- the PIT through the PIC ----------------------------------------------------------------------------- */

static void pit_ticks(void)
{
	enum { WANT = 10, LOW = 2, HIGH = 25 };
	u32 counted;

	handlers[V_PIC + IRQ_PIT] = on_tick;
	pit_set(PIT_RATE, HZ_100);
	pic_mask((u16)~(1u << IRQ_PIT));
	wait_count(&ticks, 1, 200);
	ticks = 0;
	irqs_on();
	delay_us(1000 * 10 * WANT);
	irqs_off();
	counted = ticks;
	if (!check("about 10 ticks in 100 ms", counted >= LOW && counted <= HIGH))
		say("  there were %u\n", counted);
	delay_us(30000);
	check("no tick with IF clear", ticks == counted);
	pic_mask(0xffff);
	irqs_on();
	delay_us(30000);
	irqs_off();
	check("no tick through a masked line", ticks == counted);
}

static void halts(void)
{
	extern char after_halt[];

	pic_mask((u16)~(1u << IRQ_PIT));
	ticks = 0;
	for (unsigned i = 0; i < 5; i++)
		wait_irq();
	/* More than 5 where ticks that were late are made up for. */
	check("HLT wakes for each of 5 ticks", ticks >= 5);
	__asm__ volatile("sti\nhlt\n.globl after_halt\nafter_halt: cli" : : : "memory");
	check_equal("the tick that ends HLT came behind it", seen_ip, (word)after_halt);
	pic_mask(0xffff);
	post();
	__asm__ volatile("movq $771f, expected_ip\nsti\nhlt\n771: cli" : : : "memory");
	check_equal("STI, HLT with an interrupt pending: it comes behind HLT", seen_ip, expected_ip);
}

/* --- shadows ----------------------------------------------------------------------------------------------- */

static void shadows(void)
{
	ipis = 0;
	post();
	__asm__ volatile("sti\ncli\nnop" : : : "memory");
	check("STI, CLI lets nothing in", ipis == 0);
	check("  and it stays pending", lapic_bit(APIC_IRR, VECTOR));
	__asm__ volatile("movq $771f, expected_ip\nsti\nnop\n771: nop\ncli" : : : "memory");
	check_equal("after STI it comes one instruction later", seen_ip, expected_ip);
	check("  the frame has IF set", seen_flags & FLAG_IF);
	post();
	__asm__ volatile("pushfq\norq $0x200, (%%rsp)\nmovq $771f, expected_ip\npopfq\n771: nop\nnop\ncli" : : : "memory", "cc");
	check_equal("after POPF it comes at once", seen_ip, expected_ip);
	post();
	__asm__ volatile("movq %%rsp, %%rax\npushq $0x10\npushq %%rax\npushq $0x202\npushq $8\npushq $771f\n"
	                 "movq $771f, expected_ip\niretq\n771: nop\ncli" : : : "rax", "memory", "cc");
	check_equal("after IRET it comes at once", seen_ip, expected_ip);
	/* IF already set, MOV SS with an interrupt that arrives in its shadow. */
	post();
	__asm__ volatile("movl $0x10, %%ecx\nmovq $771f, expected_ip\nsti\nmovl %%ecx, %%ss\nnop\n771: nop\ncli" : : : "rcx", "memory");
	check("STI, MOV SS: before or after the instruction behind", seen_ip == expected_ip || seen_ip == expected_ip - 1);
	check_equal("each came once", ipis, 4);
}

/* --- where nobody has been ------------------------------------------------------------------------------------- */

#define FRESH(n) (32 * MIB + (n) * 4 * MIB + 3 * PAGE_SIZE)

static void on_software(struct regs *r)
{
	note(r);
	ipis++;
}

/* Below a hypervisor such memory has no frame yet: the delivery of an event ends half-way, or a shadow is left in the middle. */
static void fresh_memory(void)
{
	ipis = 0;
	post();
	__asm__ volatile("movq %%rsp, %%rbx\nmovq %0, %%rsp\nmovq $771f, expected_ip\nsti\nnop\n771: nop\ncli\nmovq %%rbx, %%rsp"
	                 : : "r"(FRESH(0)) : "rbx", "memory", "cc");
	check("an interrupt whose frame goes to untouched memory comes once", ipis == 1 && seen_ip == expected_ip);
	ipis = 0;
	post();
	__asm__ volatile("movq $771f, expected_ip\nsti\nmovb $1, (%0)\n771: nop\ncli" : : "r"(FRESH(1)) : "memory", "cc");
	check("untouched memory in the shadow of STI: the interrupt comes once", ipis == 1);
	/* TCG as the machine below forgets the shadow at VMRUN. */
	remark("  and behind", seen_ip == expected_ip);
	handlers[VECTOR] = on_software;
	ipis = 0;
	__asm__ volatile("movq %%rsp, %%rbx\nmovq %0, %%rsp\nmovq $771f, expected_ip\nint %1\n771: nop\nmovq %%rbx, %%rsp"
	                 : : "r"(FRESH(2)), "i"(VECTOR) : "rbx", "memory", "cc");
	check("INT whose frame goes to untouched memory comes once", ipis == 1 && seen_ip == expected_ip);
	handlers[VECTOR] = on_ipi;
}

static volatile word flags_inside;

static void on_flags(struct regs *r)
{
	(void)r;
	flags_inside = read_flags();
	lapic_eoi();
}

static void gates(void)
{
	handlers[VECTOR] = on_flags;
	post();
	irqs_on();
	irqs_off();
	check("an interrupt gate clears IF", flags_inside && !(flags_inside & FLAG_IF));
	idt_set(VECTOR, stub_table[VECTOR], 0, GATE_TRAP, IST_NONE);
	post();
	irqs_on();
	irqs_off();
	check("a trap gate leaves IF", flags_inside & FLAG_IF);
	idt_set(VECTOR, stub_table[VECTOR], 0, GATE_INTERRUPT, IST_NONE);
	handlers[VECTOR] = on_ipi;
}

/* --- an interrupt out of CPL 3 ------------------------------------------------------------------------------- */

static volatile u32 stop;

static void spin(void *arg)
{
	(void)arg;
	while (!stop)
		relax();
}

static void on_user_tick(struct regs *r)
{
	note(r);
	stop = 1;
	pic_eoi(IRQ_PIT);
}

static void from_user(void)
{
	static u8 stack[4096] __attribute__((aligned(16)));
	word *sp = (word *)(stack + sizeof stack) - 1;
	void user_return(void);

	*sp = (word)user_return;
	stop = 0;
	handlers[V_PIC + IRQ_PIT] = on_user_tick;
	pic_mask((u16)~(1u << IRQ_PIT));
	check("a tick interrupts CPL 3", !guarded_user_at(SEL_UCODE, (word)spin, (word)sp, FLAG_IF));
	check_equal("  the frame's CS", seen_cs, SEL_UCODE);
	check_equal("  the frame lies on the ring-0 stack", seen_sp, ring0_stack_top() - sizeof(struct regs));
	handlers[V_PIC + IRQ_PIT] = on_tick;
	pic_mask(0xffff);
}

/* --- priority in the PIC ----------------------------------------------------------------------------------- */

static volatile u32 uart_inside, isr_inside, irr_inside;

static u8 pic_read(u8 what)
{
	outb(PIC1, what);
	return inb(PIC1);
}

static void on_uart(struct regs *r)
{
	(void)r;
	uarts++;
	outb(UART_IER, 0);
	inb(UART_IIR);
	pic_eoi(IRQ_UART);
}

/* The tick's handler opens interrupts while its own line is in service: the UART's lower one has to wait. */
static void on_long_tick(struct regs *r)
{
	(void)r;
	ticks++;
	pic_mask(0xffff & ~(1u << IRQ_PIT | 1u << IRQ_UART));
	outb(UART_MCR, MCR_OUT2);
	outb(UART_IER, IER_THRE);
	irqs_on();
	delay_us(2000);
	irqs_off();
	isr_inside = pic_read(OCW3_ISR);
	irr_inside = pic_read(OCW3_IRR);
	uart_inside = uarts;
	pic_mask((u16)~(1u << IRQ_UART));
	pic_eoi(IRQ_PIT);
}

static void pic_priority(void)
{
	handlers[V_PIC + IRQ_PIT] = on_long_tick;
	handlers[V_PIC + IRQ_UART] = on_uart;
	ticks = uarts = 0;
	pit_set(PIT_ONE_SHOT, HZ_100);
	pic_mask((u16)~(1u << IRQ_PIT));
	check("a one-shot tick came", wait_count(&ticks, 1, 200));
	check("the PIC says IRQ 0 is in service", isr_inside == 1);
	check("the PIC says IRQ 4 is requested", irr_inside & 1 << IRQ_UART);
	check("IRQ 4 waits for the end of IRQ 0", uart_inside == 0);
	check("IRQ 4 comes after it", wait_count(&uarts, 1, 200) && uarts == 1);
	check("nothing is in service", pic_read(OCW3_ISR) == 0);
	pic_mask(0xffff);
	handlers[V_PIC + IRQ_PIT] = on_tick;
}

/* A line that falls before it was taken: its own interrupt or a spurious IRQ 7 may come, no other. */
static volatile u32 others;

static void on_other(struct regs *r)
{
	if (r->vector != V_PIC + 7)
		others++;
	else if (pic_read(OCW3_ISR) & 1 << 7)
		pic_eoi(7);
}

static void dropped_line(void)
{
	for (unsigned i = 0; i < 16; i++)
		if (i != IRQ_UART)
			handlers[V_PIC + i] = on_other;
	uarts = 0;
	pic_mask((u16)~(1u << IRQ_UART | 1u << 7));
	outb(UART_MCR, MCR_OUT2);
	outb(UART_IER, IER_THRE);
	outb(UART_IER, 0);
	inb(UART_IIR);
	irqs_on();
	delay_us(1000);
	irqs_off();
	check("a line that fell brings itself, IRQ 7 or nothing", others == 0 && uarts <= 1);
	pic_mask(0xffff);
}

/* --- NMI ----------------------------------------------------------------------------------------------------- */

static void send_nmi(void)
{
	lapic_icr(lapic_x2() ? lapic_read(APIC_ID) : lapic_read(APIC_ID) >> 24, ICR_NMI);
}

static volatile word nmi_ip[3];

static void on_nmi(struct regs *r)
{
	note(r);
	depth++;
	if (depth > deepest)
		deepest = depth;
	if (nmis < 3)
		nmi_ip[nmis] = r->ip;
	if (++nmis == 2)
		send_nmi(); /* comes after this handler's IRET, not inside */
	delay_us(50);
	depth--;
}

static void nmi(void)
{
	handlers[V_NMI] = on_nmi;
	send_nmi();
	check("an NMI to oneself comes with IF clear", wait_change(&nmis, 0, 100));
	send_nmi();
	wait_change(&nmis, 2, 100);
	if (!check("an NMI inside an NMI comes after its IRET", nmis == 3 && deepest == 1))
		say("  %u came, %u deep\n", nmis, deepest);
	check_equal("  at once", nmi_ip[2], nmi_ip[1]);
	handlers[V_NMI] = NULL;
}

GUEST(interrupts)
{
	handlers[VECTOR] = on_ipi;
	lapic_enable();
	lapic_write(APIC_LINT0, LVT_EXTINT);
	tsc_per_ms();
	pit_ticks();
	halts();
	shadows();
	fresh_memory();
	gates();
	from_user();
	pic_priority();
	dropped_line();
	nmi();
}
