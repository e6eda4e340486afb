/*
 * rtc: MC146818 through ports 0x70 and 0x71. Two equal readings with no update under way make one that is whole.
 */
#include "x86/boot/start.h"

#include "core/bits.h"
#include "x86/asm/insn.h"
#include "x86/cpu/string.h"

enum { RTC_INDEX = 0x70, RTC_DATA = 0x71 };
enum { RTC_SECOND = 0, RTC_MINUTE = 2, RTC_HOUR = 4, RTC_DAY = 7, RTC_MONTH = 8, RTC_YEAR = 9, RTC_A = 10, RTC_B = 11 };
enum { A_UPDATING = 0x80, B_24_HOURS = 2, B_BINARY = 4, HOUR_PM = 0x80 };
#define UPDATE_LOOKS 100000u
#define ATTEMPTS 5u
#define CENTURY_BORDER 70u /* 70 to 99: 19xx */

struct date { u8 second, minute, hour, day, month, year; };

static u8 rtc_register(u8 r)
{
	out8(RTC_INDEX, r);
	return in8(RTC_DATA);
}

static struct date read_once(void)
{
	for (u32 i = 0; (rtc_register(RTC_A) & A_UPDATING) && i < UPDATE_LOOKS; i++)
		pause();
	return (struct date){ rtc_register(RTC_SECOND), rtc_register(RTC_MINUTE), rtc_register(RTC_HOUR), rtc_register(RTC_DAY),
			      rtc_register(RTC_MONTH), rtc_register(RTC_YEAR) };
}

static u8 from_bcd(u8 v) { return (u8)((v >> 4) * 10 + (v & 15)); }

static struct date plain(struct date d)
{
	u8 b = rtc_register(RTC_B);
	bool pm = !(b & B_24_HOURS) && (d.hour & HOUR_PM);
	d.hour &= (u8)~HOUR_PM;
	if (!(b & B_BINARY))
		d = (struct date){ from_bcd(d.second), from_bcd(d.minute), from_bcd(d.hour), from_bcd(d.day), from_bcd(d.month),
				   from_bcd(d.year) };
	if (!(b & B_24_HOURS))
		d.hour = (u8)(d.hour % 12 + (pm ? 12 : 0));
	return d;
}

/* Days from 1970-01-01 to the first of the month. */
static u64 days_before(u64 year, u32 month)
{
	static const u16 before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
	/* From 1970 to 2069 each fourth year is a leap year. */
	return (year - 1970) * 365 + (year - 1969) / 4 + before[month - 1] + (year % 4 == 0 && month > 2);
}

u64 rtc_read(void)
{
	struct date a = read_once();
	for (u32 i = 0; i < ATTEMPTS; i++) {
		struct date b = read_once();
		bool same = !memcmp(&a, &b, sizeof(a));
		a = b;
		if (same)
			break;
	}
	a = plain(a);
	if (a.month < 1 || a.month > 12 || a.day < 1 || a.day > 31 || a.hour > 23 || a.minute > 59 || a.second > 60)
		return 0;
	u64 year = a.year + (a.year < CENTURY_BORDER ? 2000u : 1900u);
	return ((days_before(year, a.month) + a.day - 1) * 24 + a.hour) * 3600 + a.minute * 60u + a.second;
}
