/*
 * apic: the local APIC as memory and, where CPUID has it, as MSRs: IPIs to oneself, priority, the order of EOIs, the timer in
 * its modes, the way from one mode to another; and the I/O APIC with an edge and a level line.
 */
#include "lib/guest.h"

enum {
	LOW = 0x91, MIDDLE = 0xa1, HIGH = 0xb1, CLASS = 0x10, TIMER_VECTOR = 0xc1, LINE_VECTOR = 0x95,
	DIVIDE_1 = 0xb, DIVIDE_2 = 0, DIVIDE_16 = 3, LOGICAL = 1 << 11, FLAT = -1,
};

static volatile u32 count[256], order[16], arrived;
static volatile u32 isr_low, isr_high, irr_seen, ppr_seen;

static void on_any(struct regs *r)
{
	count[r->vector]++;
	if (arrived < 16)
		order[arrived] = (u32)r->vector;
	arrived++;
	lapic_eoi();
}

/* One that was withdrawn between request and acceptance, as raising TPR can do: no EOI. */
static void on_spurious(struct regs *r)
{
	count[r->vector]++;
}

static void forget(void)
{
	for (unsigned i = 0; i < 256; i++)
		count[i] = 0;
	arrived = 0;
}

static void open_briefly(void)
{
	irqs_on();
	for (unsigned i = 0; i < 20; i++)
		relax();
	irqs_off();
}

static void self(u32 vector) { lapic_icr(0, ICR_SELF | vector); }

/* --- what it says about itself ----------------------------------------------------------------------------- */

static void identity(void)
{
	u64 base = rdmsr(MSR_APIC_BASE);
	u32 version = lapic_read(APIC_VERSION);

	check("the base MSR: bootstrap processor, enabled", (base & (APIC_BASE_BSP | APIC_BASE_ENABLE)) == (APIC_BASE_BSP | APIC_BASE_ENABLE));
	check_equal("the base MSR's address", base & PTE_FRAME, LAPIC_ADDRESS);
	check("an integrated APIC's version", (version & 0xff) >= 0x10 && (version & 0xff) < 0x20);
	check("at least 4 local vectors", (version >> 16 & 0xff) >= 3);
	check_equal("the id is CPUID's", lapic_id() & 0xff, cpuid(1, 0).b >> 24);
	check_but_tcg("a reserved bit of the base MSR gives #GP",
	              !wrmsr_safe(MSR_APIC_BASE, base | 1) && !wrmsr_safe(MSR_APIC_BASE, base | 1ull << 60));
	wrmsr(MSR_APIC_BASE, base);
	lapic_write(APIC_SVR, V_SPURIOUS);
	lapic_write(APIC_TIMER, TIMER_VECTOR);
	check_but_tcg("a disabled APIC's local vectors stay masked", lapic_read(APIC_TIMER) & LVT_MASKED);
	lapic_enable();
	lapic_write(APIC_TIMER, LVT_MASKED | TIMER_VECTOR);
}

/* --- IPIs and priority --------------------------------------------------------------------------------------- */

static void ipis(void)
{
	forget();
	self(LOW);
	check("an IPI to oneself is requested", lapic_bit(APIC_IRR, LOW));
	check("  and not taken with IF clear", count[LOW] == 0);
	open_briefly();
	check("  and taken with IF set", count[LOW] == 1 && !lapic_bit(APIC_IRR, LOW));
	lapic_icr(lapic_id(), LOW);
	open_briefly();
	check("an IPI by physical id", count[LOW] == 2);
	if (!lapic_x2()) {
		lapic_write(APIC_DFR, (u32)FLAT);
		lapic_write(APIC_LDR, 1u << 24);
		lapic_icr(1, LOGICAL | LOW);
		open_briefly();
		check("an IPI by logical id", count[LOW] == 3);
		lapic_icr(2, LOGICAL | LOW);
		open_briefly();
		check("an IPI to another logical id stays away", count[LOW] == 3);
	} else {
		lapic_icr(lapic_read(APIC_LDR), LOGICAL | LOW);
		open_briefly();
		check("an IPI by logical id", count[LOW] == 3);
	}
	lapic_icr(0, ICR_ALL | LOW);
	open_briefly();
	check("an IPI to all", count[LOW] == 4);
	lapic_icr(0, ICR_OTHERS | LOW);
	open_briefly();
	check("an IPI to all others stays away", count[LOW] == 4);
	self(LOW);
	self(LOW);
	open_briefly();
	check("two before the first is taken are one", count[LOW] == 5);
}

static void ordering(void)
{
	forget();
	self(LOW);
	self(HIGH);
	self(MIDDLE);
	open_briefly();
	check("three pending come highest first", arrived == 3 && order[0] == HIGH && order[1] == MIDDLE && order[2] == LOW);
}

static void task_priority(void)
{
	forget();
	lapic_write(APIC_TPR, LOW & 0xf0);
	check_equal("PPR is TPR with nothing in service", lapic_read(APIC_PPR), LOW & 0xf0);
	check_equal("CR8 is TPR's class", read_cr8(), LOW >> 4);
	self(LOW);
	open_briefly();
	check("TPR of its class keeps an IPI out", count[LOW] == 0 && lapic_bit(APIC_IRR, LOW));
	self(MIDDLE);
	open_briefly();
	check("  and lets a higher one in", count[MIDDLE] == 1);
	irqs_on();
	lapic_write(APIC_TPR, (LOW & 0xf0) - CLASS);
	for (unsigned i = 0; i < 20; i++)
		relax();
	irqs_off();
	check("lowering TPR lets it in", count[LOW] == 1);
	write_cr8(HIGH >> 4);
	check_equal("TPR follows CR8", lapic_read(APIC_TPR), HIGH & 0xf0);
	self(HIGH);
	open_briefly();
	check("CR8 keeps an IPI out", count[HIGH] == 0);
	__asm__ volatile("sti" : : : "memory");
	write_cr8(0);
	for (unsigned i = 0; i < 20; i++)
		relax();
	irqs_off();
	check("lowering CR8 lets it in", count[HIGH] == 1);
}

/* The low one opens interrupts: the high one preempts it, and an equal-class one does not. */
static void on_low(struct regs *r)
{
	count[r->vector]++;
	ppr_seen = lapic_read(APIC_PPR);
	self(LOW + 1); /* of the same class */
	self(HIGH);
	irqs_on();
	for (unsigned i = 0; i < 20; i++)
		relax();
	irqs_off();
	irr_seen = lapic_bit(APIC_IRR, LOW + 1) && count[LOW + 1] == 0;
	lapic_eoi();
}

static void on_high(struct regs *r)
{
	count[r->vector]++;
	isr_low = lapic_bit(APIC_ISR, LOW);
	isr_high = lapic_bit(APIC_ISR, HIGH);
	lapic_eoi();
	isr_low = isr_low && lapic_bit(APIC_ISR, LOW);
	isr_high = isr_high && !lapic_bit(APIC_ISR, HIGH);
}

static void nesting(void)
{
	forget();
	handlers[LOW] = on_low;
	handlers[HIGH] = on_high;
	self(LOW);
	open_briefly();
	check_equal("PPR is the class in service", ppr_seen & 0xf0, LOW & 0xf0);
	check("a higher class preempts", count[HIGH] == 1);
	check("both are in service then", isr_low);
	check("EOI ends the highest in service", isr_high);
	check("one of the same class waits for EOI", irr_seen);
	check("  and comes then", count[LOW + 1] == 1);
	check("nothing is in service at the end", !lapic_bit(APIC_ISR, LOW) && !lapic_bit(APIC_ISR, HIGH));
	handlers[LOW] = handlers[HIGH] = on_any;
}

/* --- the timer ---------------------------------------------------------------------------------------------- */

static u64 one_shot_takes(u32 divide, u32 initial)
{
	u64 start;

	forget();
	lapic_write(APIC_DIVIDE, divide);
	lapic_write(APIC_TIMER, TIMER_VECTOR);
	start = rdtsc();
	lapic_write(APIC_TIMER_COUNT, initial);
	wait_count(&count[TIMER_VECTOR], 1, 500);
	return rdtsc() - start;
}

/* A register of the APIC's page by an instruction that is no plain move. */
static void string_write(u32 reg, u32 v)
{
	u64 to = LAPIC_ADDRESS + reg;

	__asm__ volatile("stosl" : "+D"(to) : "a"(v) : "memory");
}

static void by_string(u32 ms10)
{
	if (lapic_x2())
		return;
	forget();
	lapic_write(APIC_DIVIDE, DIVIDE_1);
	lapic_write(APIC_TIMER, TIMER_VECTOR);
	string_write(APIC_TIMER_COUNT, ms10 / 5);
	/* Spinning: no other exit may bring it. */
	irqs_on();
	for (u64 until = rdtsc() + tsc_per_ms() * 300; !count[TIMER_VECTOR] && rdtsc() < until;)
		;
	irqs_off();
	check_equal("a timer set by STOS fires", count[TIMER_VECTOR], 1);
}

/* The initial count for about 10 ms at divide 1. */
static u32 count_per_10ms(void)
{
	u32 left;

	lapic_write(APIC_DIVIDE, DIVIDE_1);
	lapic_write(APIC_TIMER, LVT_MASKED | TIMER_VECTOR);
	lapic_write(APIC_TIMER_COUNT, 0xffffffffu);
	delay_us(10000);
	left = lapic_read(APIC_TIMER_NOW);
	lapic_write(APIC_TIMER_COUNT, 0);
	return 0xffffffffu - left;
}

static void timer(void)
{
	u32 ms10 = count_per_10ms(), a, b;

	by_string(ms10);
	u64 took, took16;

	say("# the timer counts %u in 10 ms\n", ms10);
	check("the timer counts", ms10 > 1000);
	took = one_shot_takes(DIVIDE_1, ms10);
	check("a one-shot comes once", count[TIMER_VECTOR] == 1);
	check("  not before its time", took + took / 4 >= tsc_per_ms() * 10);
	check_equal("  its count ends at 0", lapic_read(APIC_TIMER_NOW), 0);
	irqs_on();
	delay_us(25000);
	irqs_off();
	check("  and not again", count[TIMER_VECTOR] == 1);
	took16 = one_shot_takes(DIVIDE_16, ms10 / 8);
	check("an eighth of the count, divided by 16, takes twice as long", count[TIMER_VECTOR] == 1 && took16 + took16 / 4 >= tsc_per_ms() * 20);
	lapic_write(APIC_TIMER, LVT_MASKED | TIMER_VECTOR);
	lapic_write(APIC_DIVIDE, DIVIDE_1);
	lapic_write(APIC_TIMER_COUNT, 0xffffffffu);
	a = lapic_read(APIC_TIMER_NOW);
	delay_us(100);
	b = lapic_read(APIC_TIMER_NOW);
	check("the current count falls", b < a);
	check_equal("the initial count reads back", lapic_read(APIC_TIMER_COUNT), 0xffffffffu);
	lapic_write(APIC_TIMER_COUNT, 0);
	check_equal("a count of 0 stops it", lapic_read(APIC_TIMER_NOW), 0);
	forget();
	lapic_write(APIC_TIMER_COUNT, ms10 / 100);
	delay_us(1000);
	open_briefly();
	check("a masked timer stays silent", count[TIMER_VECTOR] == 0);
}

static void periodic(void)
{
	u32 ms10 = count_per_10ms(), seen;

	forget();
	lapic_write(APIC_DIVIDE, DIVIDE_1);
	lapic_write(APIC_TIMER, LVT_PERIODIC | TIMER_VECTOR);
	lapic_write(APIC_TIMER_COUNT, ms10 / 2);
	irqs_on();
	delay_us(52000);
	irqs_off();
	seen = count[TIMER_VECTOR];
	if (!check("a periodic timer of 5 ms comes about 10 times in 52 ms", seen >= 2 && seen <= 20))
		say("  it came %u times\n", seen);
	check("  and counts on", lapic_read(APIC_TIMER_NOW) != 0);
	lapic_write(APIC_TIMER_COUNT, 0);
	open_briefly();
	seen = count[TIMER_VECTOR];
	irqs_on();
	delay_us(12000);
	irqs_off();
	check("  until it is stopped", count[TIMER_VECTOR] == seen);
	lapic_write(APIC_TIMER, LVT_MASKED | TIMER_VECTOR);
}

static void deadline(void)
{
	u64 at;

	if (!HAS_DEADLINE) {
		skip("TSC deadline", "CPUID does not have it");
		return;
	}
	forget();
	lapic_write(APIC_TIMER, LVT_DEADLINE | TIMER_VECTOR);
	at = rdtsc() + tsc_per_ms() * 5;
	wrmsr(MSR_TSC_DEADLINE, at);
	check_equal("the deadline reads back", rdmsr(MSR_TSC_DEADLINE), at);
	check("the deadline's interrupt comes", wait_count(&count[TIMER_VECTOR], 1, 500));
	check("  not before", rdtsc() >= at);
	check_equal("  and then the MSR is 0", rdmsr(MSR_TSC_DEADLINE), 0);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() - 1000);
	check("a deadline in the past comes at once", wait_count(&count[TIMER_VECTOR], 2, 50));
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + tsc_per_ms() * 5);
	wrmsr(MSR_TSC_DEADLINE, 0);
	irqs_on();
	delay_us(8000);
	irqs_off();
	check("a deadline of 0 disarms", count[TIMER_VECTOR] == 2);
	check_equal("no current count in this mode", lapic_read(APIC_TIMER_NOW), 0);
	lapic_write(APIC_TIMER, LVT_MASKED | TIMER_VECTOR);
	wrmsr(MSR_TSC_DEADLINE, 1);
	check_equal("in another mode the MSR stays 0", rdmsr(MSR_TSC_DEADLINE), 0);
}

/* What holds in both modes. */
static void in_this_mode(void)
{
	ipis();
	ordering();
	task_priority();
	nesting();
	timer();
	periodic();
	deadline();
}

/* --- x2APIC ---------------------------------------------------------------------------------------------------- */

enum { X2_ID = 0x802, X2_DFR = 0x80e, X2_EOI = 0x80b, X2_ICR_HIGH = 0x831, X2_SELF = 0x83f, X2_LDR = 0x80d };

static void x2apic(void)
{
	u64 base = rdmsr(MSR_APIC_BASE), v;

	if (!HAS_X2APIC) {
		skip("x2APIC", "CPUID does not have it");
		check_but_tcg("  and then the mode cannot be set", !wrmsr_safe(MSR_APIC_BASE, base | APIC_BASE_X2));
		return;
	}
	check("the MSRs give #GP in xAPIC mode", !rdmsr_safe(X2_ID, &v));
	check("EXTD without EN gives #GP", !wrmsr_safe(MSR_APIC_BASE, (base & ~(u64)APIC_BASE_ENABLE) | APIC_BASE_X2));
	check("xAPIC to x2APIC", wrmsr_safe(MSR_APIC_BASE, base | APIC_BASE_X2));
	check_equal("the id MSR is CPUID's", rdmsr(X2_ID), cpuid(1, 0).b >> 24);
	check_equal("LDR comes from the id", rdmsr(X2_LDR), (rdmsr(X2_ID) >> 4) << 16 | 1u << (rdmsr(X2_ID) & 15));
	check("DFR does not exist", !rdmsr_safe(X2_DFR, &v) && !wrmsr_safe(X2_DFR, 0));
	check("ICR's high half does not exist", !rdmsr_safe(X2_ICR_HIGH, &v));
	check("the id is read-only", !wrmsr_safe(X2_ID, 0));
	check("EOI takes 0 only", !wrmsr_safe(X2_EOI, 1) && wrmsr_safe(X2_EOI, 0));
	check("x2APIC back to xAPIC gives #GP", !wrmsr_safe(MSR_APIC_BASE, base));
	lapic_enable();
	forget();
	wrmsr(X2_SELF, LOW);
	open_briefly();
	check("the self-IPI MSR", count[LOW] == 1);
	in_this_mode();
	check("x2APIC to disabled", wrmsr_safe(MSR_APIC_BASE, base & ~(u64)(APIC_BASE_ENABLE | APIC_BASE_X2)));
	check("CPUID's APIC bit is clear then", !feature(1, IN_D, 9));
	check("disabled to x2APIC gives #GP", !wrmsr_safe(MSR_APIC_BASE, base | APIC_BASE_X2));
	check("disabled to xAPIC", wrmsr_safe(MSR_APIC_BASE, base));
	lapic_enable();
	forget();
	self(LOW);
	open_briefly();
	check("and it works again", count[LOW] == 1);
}

/* --- I/O APIC ----------------------------------------------------------------------------------------------------- */

enum {
	IOAPIC_ID = 0, IOAPIC_VERSION = 1, IOAPIC_ENTRY = 0x10, ENTRY_MASKED = 1 << 16, ENTRY_LEVEL = 1 << 15, ENTRY_REMOTE = 1 << 14,
	IRQ_PIT = 0, IRQ_UART = 4, PIT_RATE = 2, HZ_100 = PIT_HZ / 100,
	UART_IER = PORT_COM1 + 1, UART_IIR = PORT_COM1 + 2, UART_MCR = PORT_COM1 + 4, IER_THRE = 2, MCR_OUT2 = 8,
};

static volatile u32 *ioapic;

static u32 io_read(u32 reg)
{
	ioapic[0] = reg;
	return ioapic[4];
}

static void io_write(u32 reg, u32 v)
{
	ioapic[0] = reg;
	ioapic[4] = v;
}

static void route(u32 pin, u32 low)
{
	io_write(IOAPIC_ENTRY + 2 * pin, ENTRY_MASKED);
	io_write(IOAPIC_ENTRY + 2 * pin + 1, lapic_id() << 24);
	io_write(IOAPIC_ENTRY + 2 * pin, low);
}

static volatile u32 remote_seen, line_pin;

/* The first time the line is left high: EOI must bring the interrupt again. */
static void on_level(struct regs *r)
{
	count[r->vector]++;
	remote_seen |= io_read(IOAPIC_ENTRY + 2 * line_pin) & ENTRY_REMOTE;
	if (count[r->vector] >= 3) {
		outb(UART_IER, 0);
		inb(UART_IIR);
	}
	lapic_eoi();
}

static void uart_raise(void)
{
	outb(UART_MCR, MCR_OUT2);
	outb(UART_IER, 0);
	outb(UART_IER, IER_THRE);
}

static void io_apic(void)
{
	const struct platform *p = platform();
	u32 pit_pin = p->gsi_of_irq[IRQ_PIT] - p->ioapic_gsi, pins;

	if (!check("the MADT names an I/O APIC", p->ioapic != 0))
		return;
	ioapic = (volatile u32 *)(word)p->ioapic;
	pins = (io_read(IOAPIC_VERSION) >> 16 & 0xff) + 1;
	check("it has 24 pins or more", pins >= 24 && pins <= 240);
	say("# the PIT is at pin %u\n", pit_pin);
	route(pit_pin, ENTRY_MASKED | LINE_VECTOR);
	check_equal("an entry reads back", io_read(IOAPIC_ENTRY + 2 * pit_pin) & 0x1ffff, ENTRY_MASKED | LINE_VECTOR);
	pit_set(PIT_RATE, HZ_100);
	forget();
	irqs_on();
	delay_us(30000);
	irqs_off();
	check("a masked pin stays silent", count[LINE_VECTOR] == 0);
	route(pit_pin, LINE_VECTOR);
	check("the PIT's edges come", wait_count(&count[LINE_VECTOR], 5, 500));
	check("  in edge mode TMR is clear", !lapic_bit(APIC_TMR, LINE_VECTOR));
	route(pit_pin, ENTRY_MASKED);
	line_pin = p->gsi_of_irq[IRQ_UART] - p->ioapic_gsi;
	forget();
	route(line_pin, LINE_VECTOR);
	uart_raise();
	irqs_on();
	delay_us(1000);
	irqs_off();
	check("an edge from the UART comes once, its line left high", count[LINE_VECTOR] == 1);
	outb(UART_IER, 0);
	inb(UART_IIR);
	forget();
	handlers[LINE_VECTOR] = on_level;
	route(line_pin, ENTRY_LEVEL | LINE_VECTOR);
	uart_raise();
	check("a level that stays comes again after each EOI", wait_count(&count[LINE_VECTOR], 3, 200));
	irqs_on();
	delay_us(1000);
	irqs_off();
	check("  until it falls", count[LINE_VECTOR] == 3);
	check("  remote IRR is set while in service", remote_seen != 0);
	check("  and clear afterwards", !(io_read(IOAPIC_ENTRY + 2 * line_pin) & ENTRY_REMOTE));
	route(line_pin, ENTRY_MASKED);
}

GUEST(apic)
{
	static const u8 vectors[] = { LOW, LOW + 1, MIDDLE, HIGH, TIMER_VECTOR, LINE_VECTOR };

	for (unsigned i = 0; i < sizeof vectors; i++)
		handlers[vectors[i]] = on_any;
	handlers[V_SPURIOUS] = on_spurious;
	lapic_enable();
	lapic_write(APIC_LINT0, LVT_MASKED);
	tsc_per_ms();
	identity();
	in_this_mode();
	io_apic();
	x2apic();
}
