/* pit: the interval timer's modes, latches and read-back, against the TSC and against each other. */
#include "lib/guest.h"

enum {
	CHANNEL0 = 0x40, CHANNEL2 = 0x42, COMMAND = 0x43, PORT_B = 0x61, GATE2 = 1, OUT2 = 0x20, LOHI = 0x30, LOW = 0x10, HIGH = 0x20,
	SELECT2 = 0x80, READ_BACK = 0xc0, NO_COUNT = 0x20, NO_STATUS = 0x10, OUT_PIN = 0x80, NULL_COUNT = 0x40,
};

static void command(u8 c) { outb(COMMAND, c); }

static void load2(unsigned mode, u16 count)
{
	command((u8)(SELECT2 | LOHI | mode << 1));
	outb(CHANNEL2, (u8)count);
	outb(CHANNEL2, (u8)(count >> 8));
}

static u16 latch(unsigned channel)
{
	u8 lo;

	command((u8)(channel << 6));
	lo = inb((u16)(CHANNEL0 + channel));
	return (u16)(lo | inb((u16)(CHANNEL0 + channel)) << 8);
}

static void gate2(bool on) { outb(PORT_B, (u8)((inb(PORT_B) & 0xc) | (on ? GATE2 : 0))); }
static bool out2(void) { return inb(PORT_B) & OUT2; }

static bool wait_out2(u32 ms)
{
	u64 until = rdtsc() + tsc_per_ms() * ms;

	while (!out2())
		if (rdtsc() > until)
			return false;
	return true;
}

static void one_shot(void)
{
	enum { MS = 5, COUNT = PIT_HZ * MS / 1000 };
	u64 start, took;
	u16 a, b;

	gate2(true);
	load2(0, 0xffff); /* long enough for a busy host */
	check("mode 0: OUT is low at first", !out2());
	a = latch(2);
	delay_us(200);
	b = latch(2);
	if (!check("mode 0: the count falls", b < a))
		say("  %u, then %u\n", a, b);
	start = rdtsc();
	load2(0, COUNT);
	check("mode 0: OUT rises at the end", wait_out2(100));
	took = rdtsc() - start;
	check("mode 0: not before its time", took >= tsc_per_ms() * MS * 8 / 10);
	load2(0, 0xffff);
	gate2(false);
	delay_us(100);
	a = latch(2);
	delay_us(500);
	check_but_tcg("mode 0: the gate holds the count", latch(2) == a);
	gate2(true);
	delay_us(500);
	check("mode 0: and lets it go on", latch(2) < a);
}

static void rates(void)
{
	unsigned seen_low = 0, seen_high = 0, wrong = 0;

	load2(3, 1000);
	for (u64 until = rdtsc() + tsc_per_ms() * 10; rdtsc() < until;) {
		if (out2())
			seen_high++;
		else
			seen_low++;
	}
	check("mode 3: OUT goes up and down", seen_low > 0 && seen_high > 0);
	load2(2, 1000);
	for (unsigned i = 0; i < 200; i++)
		wrong += latch(2) > 1000;
	check_equal("mode 2: the count stays within its range", wrong, 0);
	load2(3, 1000);
	for (unsigned i = 0; i < 200; i++)
		wrong += latch(2) > 1000;
	check_equal("mode 3: so does it here", wrong, 0);
}

static void access_modes(void)
{
	u16 count;
	u8 lo, status;

	gate2(false);
	command(SELECT2 | LOW);
	outb(CHANNEL2, 0x80);
	gate2(true);
	delay_us(20);
	check("low byte only: it reads one byte", inb(CHANNEL2) <= 0x80 || out2());
	gate2(false);
	load2(2, 0x1234);
	delay_us(20);
	command(SELECT2); /* latch */
	lo = inb(CHANNEL2);
	command(SELECT2); /* a second latch, while the first is half read, is ignored */
	count = (u16)(lo | inb(CHANNEL2) << 8);
	check("a latched count reads low, then high", count <= 0x1234 && count >= 0x1200);
	load2(2, 5000);
	command(READ_BACK | NO_COUNT | 8);
	status = inb(CHANNEL2);
	check_equal("read-back of the status: access and mode", status & 0x3f, LOHI | 2 << 1);
	command(READ_BACK | NO_STATUS | 8);
	lo = inb(CHANNEL2);
	count = (u16)(lo | inb(CHANNEL2) << 8);
	check("read-back of the count", count <= 5000);
	command(READ_BACK | 8);
	status = inb(CHANNEL2);
	lo = inb(CHANNEL2);
	count = (u16)(lo | inb(CHANNEL2) << 8);
	check("read-back of both: the status first", (status & 0x3f) == (LOHI | 2 << 1) && count <= 5000);
}

static volatile u32 ticks;
static void on_tick(struct regs *r)
{
	(void)r;
	ticks++;
	pic_eoi(0);
}

static void channel0(void)
{
	enum { MS = 4, COUNT = PIT_HZ * MS / 1000 };
	u32 seen;

	handlers[V_PIC] = on_tick;
	lapic_enable();
	lapic_write(APIC_LINT0, LVT_EXTINT);
	pit_set(0, 0xffff);
	pic_mask(0xfffe);
	irqs_on();
	delay_us(3000);
	irqs_off();
	ticks = 0;
	pit_set(0, COUNT);
	check("channel 0, mode 0: one interrupt", wait_count(&ticks, 1, 200));
	irqs_on();
	delay_us(1000 * MS * 3);
	irqs_off();
	check("  and no other", ticks == 1);
	for (unsigned mode = 2; mode <= 3; mode++) {
		pit_set(mode, COUNT);
		ticks = 0;
		irqs_on();
		delay_us(1000 * MS * 10);
		irqs_off();
		seen = ticks;
		check(mode == 2 ? "mode 2: about ten in ten periods" : "mode 3: about ten too", seen >= 2 && seen <= 20);
	}
	pic_mask(0xffff);
}

GUEST(pit)
{
	tsc_per_ms();
	one_shot();
	rates();
	access_modes();
	channel0();
}
