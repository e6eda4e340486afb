/*
 * rtc: see rtc.h. Registers and bits are the MC146818A's; the CMOS places beyond it are a PC's.
 */
#include "monitor/platform/rtc.h"
#include "monitor/lib/bits.h"
#include "monitor/lib/call.h"
#include "monitor/platform/date.h"

enum {
	SECONDS, SECONDS_ALARM, MINUTES, MINUTES_ALARM, HOURS, HOURS_ALARM, WEEKDAY, DAY, MONTH, YEAR, REG_A, REG_B, REG_C, REG_D,
	CMOS_BASE_LOW = 0x15, CMOS_BASE_HIGH, CMOS_EXTENDED_LOW, CMOS_EXTENDED_HIGH,
	CMOS_EXTENDED2_LOW = 0x30, CMOS_EXTENDED2_HIGH, CMOS_CENTURY,
	CMOS_ABOVE_16M_LOW = 0x34, CMOS_ABOVE_16M_HIGH,
	CMOS_ABOVE_4G_LOW = 0x5b, CMOS_ABOVE_4G_MIDDLE, CMOS_ABOVE_4G_HIGH,
};

#define A_UIP 0x80u
#define A_RATE 0x0fu
#define A_DEFAULT 0x26u /* 32768 Hz, 1024 Hz */

#define B_SET 0x80u
#define B_PIE 0x40u
#define B_AIE 0x20u
#define B_UIE 0x10u
#define B_BINARY 0x04u
#define B_24H 0x02u

#define C_IRQF 0x80u
#define C_PF 0x40u
#define C_AF 0x20u
#define C_UF 0x10u

#define D_VALID 0x80u

#define HOUR_PM 0x80u
#define ALARM_ANY 0xc0u
#define INDEX_MASK 0x7fu
#define NO_ALARM (~0ull)
#define UPDATE_TICKS 8u /* UIP rises 244 us before the seconds change */

#define BASE_MEMORY_KIB 639u
#define EXTENDED_MAX_KIB 0xffffu

static void cmos_16(struct rtc *r, u32 low, u64 value)
{
	r->cmos[low] = (u8)value;
	r->cmos[low + 1] = (u8)(value >> 8);
}

/* How a firmware tells old systems the memory's size. */
static void set_memory(struct rtc *r, u64 memory)
{
	u64 low = min_u64(memory, MON_PCI_HOLE), high = memory - low;
	u64 extended = low > MIB ? min_u64((low - MIB) / KIB, EXTENDED_MAX_KIB) : 0;

	cmos_16(r, CMOS_BASE_LOW, BASE_MEMORY_KIB);
	cmos_16(r, CMOS_EXTENDED_LOW, extended);
	cmos_16(r, CMOS_EXTENDED2_LOW, extended);
	cmos_16(r, CMOS_ABOVE_16M_LOW, low > 16 * MIB ? (low - 16 * MIB) / (64 * KIB) : 0);
	cmos_16(r, CMOS_ABOVE_4G_LOW, high / (64 * KIB));
	r->cmos[CMOS_ABOVE_4G_HIGH] = (u8)(high / (64 * KIB) >> 16);
}

void rtc_init(struct rtc *r, struct timers *timers, struct interrupts *interrupts, u64 tsc_khz, u64 wall_clock, u64 memory)
{
	*r = (struct rtc){ .timers = timers, .interrupts = interrupts, .wall_clock = wall_clock };
	clock_init(&r->clock, RTC_HZ, tsc_khz);
	r->cmos[REG_A] = A_DEFAULT;
	r->cmos[REG_B] = B_24H;
	r->cmos[REG_D] = D_VALID;
	set_memory(r, memory);
}

static u64 now(const struct rtc *r) { return clock_ticks(&r->clock, ring0_tsc()); }

static u32 encode(const struct rtc *r, u32 v) { return r->cmos[REG_B] & B_BINARY ? v : v / 10 % 10 << 4 | v % 10; }
static u32 decode(const struct rtc *r, u32 v) { return r->cmos[REG_B] & B_BINARY ? v : (v >> 4) * 10 + (v & 0xf); }

static u32 encode_hour(const struct rtc *r, u32 hour)
{
	if (r->cmos[REG_B] & B_24H)
		return encode(r, hour);
	return encode(r, (hour + 11) % 12 + 1) | (hour >= 12 ? HOUR_PM : 0);
}

static u32 decode_hour(const struct rtc *r, u32 value)
{
	if (r->cmos[REG_B] & B_24H)
		return decode(r, value);
	return decode(r, value & ~HOUR_PM) % 12 + (value & HOUR_PM ? 12 : 0);
}

/* Put the time of `ticks` into the registers. */
static void store_time(struct rtc *r, u64 ticks)
{
	struct date d;

	date_from_seconds(&d, r->wall_clock + ticks / RTC_HZ);
	r->cmos[SECONDS] = (u8)encode(r, d.second);
	r->cmos[MINUTES] = (u8)encode(r, d.minute);
	r->cmos[HOURS] = (u8)encode_hour(r, d.hour);
	r->cmos[WEEKDAY] = (u8)d.weekday;
	r->cmos[DAY] = (u8)encode(r, d.day);
	r->cmos[MONTH] = (u8)encode(r, d.month);
	r->cmos[YEAR] = (u8)encode(r, d.year % 100);
	r->cmos[CMOS_CENTURY] = (u8)encode(r, d.year / 100);
}

/* Take the time from the registers: they hold what was written, the rest as it was. */
static void load_time(struct rtc *r, u64 ticks)
{
	struct date d = {
		.second = decode(r, r->cmos[SECONDS]),
		.minute = decode(r, r->cmos[MINUTES]),
		.hour = decode_hour(r, r->cmos[HOURS]),
		.day = decode(r, r->cmos[DAY]),
		.month = decode(r, r->cmos[MONTH]),
		.year = decode(r, r->cmos[CMOS_CENTURY]) * 100 + decode(r, r->cmos[YEAR]),
	};

	r->wall_clock = date_to_seconds(&d) - ticks / RTC_HZ;
}

static bool is_halted(const struct rtc *r) { return (r->cmos[REG_B] & B_SET) != 0; }

/* Ticks between periodic interrupts; 0: none. Rates 1 and 2 are those of 8 and 9. */
static u64 period(const struct rtc *r)
{
	u32 rate = r->cmos[REG_A] & A_RATE;

	if (rate == 0)
		return 0;
	return 1ull << ((rate < 3 ? rate + 7 : rate) - 1);
}

static bool alarm_field(const struct rtc *r, u32 alarm, u32 value)
{
	u32 wanted = r->cmos[alarm];

	return (wanted & ALARM_ANY) == ALARM_ANY || wanted == value;
}

/* Can the fields match any time at all? A guest may write what no time ever shows. */
static bool alarm_possible(const struct rtc *r)
{
	bool second = false, minute = false, hour = false;

	for (u32 i = 0; i < 60; i++) {
		second |= alarm_field(r, SECONDS_ALARM, encode(r, i));
		minute |= alarm_field(r, MINUTES_ALARM, encode(r, i));
		hour |= i < 24 && alarm_field(r, HOURS_ALARM, encode_hour(r, i));
	}
	return second && minute && hour;
}

/* The first second after `second` (both counted from tick 0) at which the alarm rings; NO_ALARM: never. A few hundred steps at most. */
static u64 next_alarm(const struct rtc *r, u64 second)
{
	u64 wall = r->wall_clock + second + 1;

	if (!alarm_possible(r))
		return NO_ALARM;
	while (!alarm_field(r, HOURS_ALARM, encode_hour(r, (u32)(wall / 3600 % 24))))
		wall = (wall / 3600 + 1) * 3600;
	while (!alarm_field(r, MINUTES_ALARM, encode(r, (u32)(wall / 60 % 60))) ||
	       !alarm_field(r, SECONDS_ALARM, encode(r, (u32)(wall % 60)))) {
		bool minute = alarm_field(r, MINUTES_ALARM, encode(r, (u32)(wall / 60 % 60)));

		wall = minute ? wall + 1 : (wall / 60 + 1) * 60;
		while (!alarm_field(r, HOURS_ALARM, encode_hour(r, (u32)(wall / 3600 % 24))))
			wall = (wall / 3600 + 1) * 3600;
	}
	return wall - r->wall_clock;
}

/* Make up the flags for the time since they were last made up. */
static void make_flags(struct rtc *r, u64 ticks)
{
	u64 p = period(r), second = ticks / RTC_HZ, seen = r->seen / RTC_HZ;
	u8 *c = &r->cmos[REG_C];

	if (p != 0 && ticks / p != r->seen / p)
		*c |= C_PF;
	if (second != seen && !is_halted(r)) {
		*c |= C_UF;
		if (next_alarm(r, seen) <= second)
			*c |= C_AF;
	}
	r->seen = ticks;
	*c = (u8)((*c & ~C_IRQF) | (*c & r->cmos[REG_B] & (C_PF | C_AF | C_UF) ? C_IRQF : 0));
	irq_set(r->interrupts, IRQ_RTC, (*c & C_IRQF) != 0);
}

static u64 alarm_ticks(const struct rtc *r, u64 second)
{
	u64 alarm = next_alarm(r, second);

	return alarm == NO_ALARM ? TIMER_NEVER : alarm * RTC_HZ;
}

/* When the next enabled interrupt is due; nothing is armed for one that is still unread. */
static void arm(struct rtc *r)
{
	u32 b = r->cmos[REG_B];
	u64 next = TIMER_NEVER, second = r->seen / RTC_HZ, p = period(r);

	if ((r->cmos[REG_C] & C_IRQF) == 0) {
		if ((b & B_PIE) && p != 0)
			next = (r->seen / p + 1) * p;
		if ((b & B_UIE) && !(b & B_SET))
			next = min_u64(next, (second + 1) * RTC_HZ);
		if ((b & B_AIE) && !(b & B_SET))
			next = min_u64(next, alarm_ticks(r, second));
	}
	timer_set(r->timers, TIMER_RTC, next == TIMER_NEVER ? TIMER_NEVER : clock_tsc(&r->clock, next));
}

void rtc_update(struct rtc *r)
{
	make_flags(r, now(r));
	arm(r);
}

static u32 read_c(struct rtc *r)
{
	u32 value;

	make_flags(r, now(r));
	value = r->cmos[REG_C];
	r->cmos[REG_C] = 0;
	irq_set(r->interrupts, IRQ_RTC, false);
	arm(r);
	return value;
}

static u32 read_a(const struct rtc *r)
{
	bool updating = now(r) % RTC_HZ >= RTC_HZ - UPDATE_TICKS && !is_halted(r);

	return r->cmos[REG_A] | (updating ? A_UIP : 0);
}

static bool is_time(u32 index)
{
	return index == SECONDS || index == MINUTES || index == HOURS || (index >= WEEKDAY && index <= YEAR) || index == CMOS_CENTURY;
}

u32 rtc_read(struct rtc *r, u32 offset)
{
	if (offset == 0) /* the index cannot be read */
		return 0xff;
	if (r->index == REG_A)
		return read_a(r);
	if (r->index == REG_C)
		return read_c(r);
	if (is_time(r->index) && !is_halted(r))
		store_time(r, now(r));
	return r->cmos[r->index];
}

static void write_b(struct rtc *r, u8 value)
{
	u64 ticks = now(r);
	bool was_halted = is_halted(r);

	if (!was_halted && (value & B_SET)) {
		store_time(r, ticks);
		value &= (u8)~B_UIE; /* as the chip does */
	}
	r->cmos[REG_B] = value;
	if (was_halted && !(value & B_SET))
		load_time(r, ticks);
	make_flags(r, ticks);
	arm(r);
}

static void write_time(struct rtc *r, u8 value)
{
	u64 ticks = now(r);

	if (!is_halted(r))
		store_time(r, ticks);
	r->cmos[r->index] = value;
	if (!is_halted(r))
		load_time(r, ticks);
	rtc_update(r);
}

void rtc_write(struct rtc *r, u32 offset, u8 value)
{
	if (offset == 0) {
		r->index = value & INDEX_MASK; /* bit 7 masks NMI, of which there is none */
		return;
	}
	if (r->index == REG_C || r->index == REG_D)
		return;
	make_flags(r, now(r)); /* what has passed is judged by what stood there */
	if (r->index == REG_B) {
		write_b(r, value);
	} else if (is_time(r->index)) {
		write_time(r, value);
	} else {
		r->cmos[r->index] = r->index == REG_A ? value & (u8)~A_UIP : value;
		if (r->index == REG_A || r->index <= HOURS_ALARM)
			rtc_update(r);
	}
}
