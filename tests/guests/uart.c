/* uart: the 16550's registers, its loopback and its transmit interrupt. What it says meanwhile goes through the same port. */
#include "lib/guest.h"

enum {
	DATA = PORT_COM1, IER = PORT_COM1 + 1, IIR = PORT_COM1 + 2, LCR = PORT_COM1 + 3, MCR = PORT_COM1 + 4, LSR = PORT_COM1 + 5,
	MSR = PORT_COM1 + 6, SCRATCH = PORT_COM1 + 7,
	LCR_8N1 = 3, LCR_DIVISOR = 0x80, LSR_READY = 1, LSR_OVERRUN = 2, LSR_EMPTY = 0x20, LSR_IDLE = 0x40,
	FCR_ON = 1, FCR_CLEAR = 6, IIR_NONE = 1, IIR_THRE = 2, IIR_DATA = 4, IIR_FIFO = 0xc0,
	MCR_DTR = 1, MCR_RTS = 2, MCR_OUT1 = 4, MCR_OUT2 = 8, MCR_LOOP = 16, MSR_CTS = 16, MSR_DSR = 32, MSR_RI = 64, MSR_DCD = 128,
	IER_DATA = 1, IER_THRE = 2, IRQ = 4, DEPTH = 16,
};

static void settle(void)
{
	for (unsigned i = 0; i < 1000000 && !(inb(LSR) & LSR_IDLE); i++)
		relax();
}

static bool ready(void)
{
	u64 until = rdtsc() + tsc_per_ms() * 50;

	while (!(inb(LSR) & LSR_READY))
		if (rdtsc() > until)
			return false;
	return true;
}

static void registers(void)
{
	u8 lcr, low, high, got_low, got_high;
	bool kept = true;

	for (unsigned v = 0; v < 256; v += 5) {
		outb(SCRATCH, (u8)v);
		kept = kept && inb(SCRATCH) == v;
	}
	check("the scratch register", kept);
	settle();
	lcr = inb(LCR);
	outb(LCR, (u8)(lcr | LCR_DIVISOR));
	low = inb(DATA);
	high = inb(IER);
	outb(DATA, 0x34);
	outb(IER, 0x12);
	got_low = inb(DATA);
	got_high = inb(IER);
	outb(DATA, low ? low : 1);
	outb(IER, high);
	outb(LCR, LCR_8N1);
	check("the divisor behind its latch", got_low == 0x34 && got_high == 0x12);
	check_equal("the line control", inb(LCR), LCR_8N1);
	check_equal("the interrupt enables' upper bits", inb(IER) & 0xf0, 0);
	settle();
	check("idle: transmitter empty", (inb(LSR) & (LSR_EMPTY | LSR_IDLE)) == (LSR_EMPTY | LSR_IDLE));
}

static void loopback(void)
{
	unsigned right = 0;
	u8 a, b, c, d, mcr = inb(MCR), overrun;

	settle();
	outb(IIR, FCR_ON | FCR_CLEAR);
	outb(MCR, MCR_LOOP);
	a = inb(MSR) & 0xf0;
	outb(MCR, MCR_LOOP | MCR_DTR | MCR_OUT1);
	b = inb(MSR) & 0xf0;
	outb(MCR, MCR_LOOP | MCR_RTS | MCR_OUT2);
	c = inb(MSR) & 0xf0;
	for (unsigned i = 0; i < DEPTH; i++) {
		outb(DATA, (u8)(0x40 + i));
		settle();
	}
	d = inb(IIR) & IIR_FIFO;
	for (unsigned i = 0; i < DEPTH; i++)
		right += ready() && inb(DATA) == 0x40 + i;
	overrun = inb(LSR);
	outb(MCR, mcr);
	outb(IIR, FCR_ON | FCR_CLEAR);
	check_equal("loopback: modem status 0", a, 0);
	check_equal("loopback: DTR is DSR, OUT1 is RI", b, MSR_DSR | MSR_RI);
	check_equal("loopback: RTS is CTS, OUT2 is DCD", c, MSR_CTS | MSR_DCD);
	check_equal("the FIFO says it is on", d, IIR_FIFO);
	check_equal("loopback: 16 bytes through the FIFO", right, DEPTH);
	check("nothing is left, nothing was lost", !(overrun & (LSR_READY | LSR_OVERRUN)));
}

static void fifo_clear(void)
{
	u8 with, without;

	settle();
	outb(MCR, MCR_LOOP);
	outb(IIR, FCR_ON | FCR_CLEAR);
	outb(DATA, 0x55);
	settle();
	ready();
	with = inb(LSR) & LSR_READY;
	outb(IIR, FCR_ON | FCR_CLEAR);
	without = inb(LSR) & LSR_READY;
	outb(MCR, 0);
	check("a byte is there, and clearing the FIFO takes it", with && !without);
}

static volatile u32 interrupts, last_cause;

static void on_uart(struct regs *r)
{
	(void)r;
	interrupts++;
	last_cause = inb(IIR) & 0xf;
	pic_eoi(IRQ);
}

static void transmit_interrupt(void)
{
	bool first, second;
	u32 why;
	u8 after;

	settle();
	handlers[V_PIC + IRQ] = on_uart;
	lapic_enable();
	lapic_write(APIC_LINT0, LVT_EXTINT);
	pic_mask((u16)~(1u << IRQ));
	check_equal("no interrupt is pending", inb(IIR) & 0xf, IIR_NONE);
	outb(MCR, MCR_OUT2 | MCR_DTR | MCR_RTS);
	/* Nothing may be said while the interrupt is enabled: it would come from that. */
	outb(IER, IER_THRE);
	first = wait_count(&interrupts, 1, 100);
	why = last_cause;
	after = inb(IIR) & 0xf;
	outb(DATA, '#');
	second = wait_count(&interrupts, 2, 200);
	outb(IER, 0);
	settle();
	check("enabling THRE brings an interrupt", first);
	check_equal("  IIR says why", why, IIR_THRE);
	check_equal("  and reading it took it back", after, IIR_NONE);
	check("so does a byte that has left", second && last_cause == IIR_THRE);
	outb(DATA, '\n');
	irqs_on();
	delay_us(5000);
	irqs_off();
	check("and none with it disabled", interrupts == 2);
	pic_mask(0xffff);
}

GUEST(uart)
{
	tsc_per_ms();
	registers();
	loopback();
	fifo_clear();
	transmit_interrupt();
}
