/* rtc: the clock runs, in BCD and in binary, its update flag keeps a reader safe, its periodic interrupt comes by line 8. */
#include "lib/guest.h"

enum {
	INDEX = 0x70, DATA = 0x71, SECONDS = 0, MINUTES = 2, HOURS = 4, DAY = 7, MONTH = 8, YEAR = 9, A = 10, B = 11, C = 12, D = 13,
	A_UPDATING = 0x80, B_SET = 0x80, B_PERIODIC = 0x40, B_BINARY = 4, B_24H = 2, C_PERIODIC = 0x40, D_VALID = 0x80, SPARE = 0x70,
};

static u8 get(u8 reg)
{
	outb(INDEX, reg);
	return inb(DATA);
}

static void put(u8 reg, u8 v)
{
	outb(INDEX, reg);
	outb(DATA, v);
}

static bool is_bcd(u8 v) { return (v & 0xf) < 10 && v >> 4 < 10; }
static u8 from_bcd(u8 v) { return (u8)((v >> 4) * 10 + (v & 0xf)); }

static void wait_quiet(void)
{
	for (unsigned i = 0; i < 1000000 && (get(A) & A_UPDATING); i++)
		relax();
}

static void runs(void)
{
	u64 until = rdtsc() + tsc_per_ms() * 2500, first = 0;
	u8 was, next;

	wait_quiet();
	was = get(SECONDS);
	while ((next = get(SECONDS)) == was && rdtsc() < until)
		relax();
	first = rdtsc();
	check("a second passes", next != was);
	was = next;
	while ((next = get(SECONDS)) == was && rdtsc() < until)
		relax();
	check("another one too", next != was);
	/* Generous: the TSC's pace was measured in 10 ms on a busy host. */
	check("it lasts about a second", rdtsc() - first > tsc_per_ms() * 500 && rdtsc() - first < tsc_per_ms() * 2000);
}

static void formats(void)
{
	u8 b = get(B), bcd_minutes, binary_minutes, bcd_year, binary_year;

	put(B, (u8)((b & ~B_BINARY) | B_24H));
	wait_quiet();
	bcd_minutes = get(MINUTES);
	bcd_year = get(YEAR);
	check("in BCD all fields are BCD", is_bcd(bcd_minutes) && is_bcd(bcd_year) && is_bcd(get(SECONDS)) && is_bcd(get(HOURS)) &&
	      is_bcd(get(DAY)) && is_bcd(get(MONTH)));
	check("they are in range", from_bcd(get(SECONDS)) < 60 && from_bcd(bcd_minutes) < 60 && from_bcd(get(HOURS)) < 24 &&
	      from_bcd(get(DAY)) >= 1 && from_bcd(get(DAY)) <= 31 && from_bcd(get(MONTH)) >= 1 && from_bcd(get(MONTH)) <= 12);
	put(B, (u8)(b | B_BINARY | B_24H));
	wait_quiet();
	binary_minutes = get(MINUTES);
	binary_year = get(YEAR);
	check("in binary the year is the same", binary_year == from_bcd(bcd_year));
	check("  and the minutes, or one more", binary_minutes == from_bcd(bcd_minutes) || binary_minutes == (from_bcd(bcd_minutes) + 1) % 60);
	put(B, b);
	check("the battery is good", get(D) & D_VALID);
	check("register B reads back", get(B) == b);
}

static void memory(void)
{
	u8 was = get(SPARE);

	put(SPARE, 0x5a);
	check("a spare byte is kept", get(SPARE) == 0x5a);
	put(SPARE, 0xa5);
	check("  another value too", get(SPARE) == 0xa5);
	put(SPARE, was);
	outb(INDEX, 0x80 | SECONDS);
	check("the NMI bit of the index is no part of it", is_bcd(inb(DATA)) || inb(DATA) < 60);
	outb(INDEX, 0);
}

static volatile u32 ticks, causes;

static void on_tick(struct regs *r)
{
	(void)r;
	ticks++;
	causes |= get(C);
	pic_eoi(8);
}

static void periodic(void)
{
	enum { RATE_1024 = 0x26, RATE_OFF = 0x20 };
	u8 b = get(B), a = get(A);
	u32 seen;

	handlers[V_PIC + 8] = on_tick;
	lapic_enable();
	lapic_write(APIC_LINT0, LVT_EXTINT);
	get(C);
	put(A, RATE_1024);
	put(B, (u8)(b | B_PERIODIC));
	pic_mask((u16)~(1u << 8 | 1u << 2));
	irqs_on();
	delay_us(100000);
	irqs_off();
	seen = ticks;
	if (!check("the periodic interrupt of 1024 Hz comes", seen >= 5 && seen <= 250))
		say("  %u times in 100 ms\n", seen);
	check("register C names it", causes & C_PERIODIC);
	put(B, b);
	put(A, a);
	get(C);
	irqs_on();
	delay_us(5000);
	irqs_off();
	seen = ticks;
	irqs_on();
	delay_us(10000);
	irqs_off();
	check("and stops", ticks == seen);
	pic_mask(0xffff);
}

GUEST(rtc)
{
	tsc_per_ms();
	formats();
	memory();
	periodic();
	runs();
}
