/*
 * test_monitor_rtc: the calendar, the MC146818's registers and its three interrupts.
 */
#include "monitor/host/fake_ring0.h"
#include "monitor/platform/date.h"
#include "monitor/platform/rtc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <time.h>
#include <cmocka.h>

#define LEAP_DAY 1709210096ull /* 2024-02-29 12:34:56, a Thursday */

static struct timers timers;
static struct interrupts interrupts;
static struct rtc rtc;

static int setup(void **state)
{
	(void)state;
	fake_reset(PAGE_SIZE);
	timers_init(&timers);
	pic_init(&interrupts.pic);
	ioapic_init(&interrupts.ioapic);
	rtc_init(&rtc, &timers, &interrupts, FAKE_TSC_KHZ, LEAP_DAY, 0x100000000ull);
	return 0;
}

static u32 get(u8 index)
{
	rtc_write(&rtc, 0, index);
	return rtc_read(&rtc, 1);
}

static void set(u8 index, u8 value)
{
	rtc_write(&rtc, 0, index);
	rtc_write(&rtc, 1, value);
}

static bool line(void) { return (interrupts.ioapic.lines & 1u << IRQ_RTC) != 0; }

/* Shortly after `second` seconds: the tick conversion rounds down. */
static void at(u64 second) { fake.tsc = second * FAKE_SECOND + FAKE_SECOND / 100; }

static void the_calendar_is_the_c_librarys(void **state)
{
	(void)state;
	for (u64 s = 0; s < 8000000000ull; s += 86400 * 3 + 12345) {
		time_t t = (time_t)s;
		struct tm want;
		struct date d;

		gmtime_r(&t, &want);
		date_from_seconds(&d, s);
		assert_int_equal(d.year, want.tm_year + 1900);
		assert_int_equal(d.month, want.tm_mon + 1);
		assert_int_equal(d.day, want.tm_mday);
		assert_int_equal(d.hour, want.tm_hour);
		assert_int_equal(d.minute, want.tm_min);
		assert_int_equal(d.second, want.tm_sec);
		assert_int_equal(d.weekday, want.tm_wday + 1);
		assert_int_equal(date_to_seconds(&d), s);
	}
	assert_int_equal(date_to_seconds(&(struct date){ .year = 1969, .month = 12, .day = 31 }), 0);
}

static void the_time_in_bcd_and_binary(void **state)
{
	(void)state;
	assert_int_equal(get(0), 0x56);
	assert_int_equal(get(2), 0x34);
	assert_int_equal(get(4), 0x12);
	assert_int_equal(get(6), 5);
	assert_int_equal(get(7), 0x29);
	assert_int_equal(get(8), 0x02);
	assert_int_equal(get(9), 0x24);
	assert_int_equal(get(0x32), 0x20);
	set(0x0b, 0x06);
	assert_int_equal(get(0), 56);
	assert_int_equal(get(9), 24);
	set(0x0b, 0x04); /* twelve hours */
	assert_int_equal(get(4), 0x80 | 12);
	at(3600 * 13);
	assert_int_equal(get(4), 1);
	assert_int_equal(get(7), 1); /* March */
}

static void the_time_is_set(void **state)
{
	(void)state;
	set(0x0b, 0x82);
	set(0, 0x58);
	set(2, 0x59);
	set(4, 0x23);
	set(7, 0x31);
	set(8, 0x12);
	set(9, 0x99);
	set(0x32, 0x19);
	at(100); /* it stands still meanwhile */
	assert_int_equal(get(0), 0x58);
	set(0x0b, 0x02);
	assert_int_equal(get(0), 0x58);
	at(102);
	assert_int_equal(get(0), 0x00);
	assert_int_equal(get(9), 0x00);
	assert_int_equal(get(0x32), 0x20);
	set(0, 0x30); /* without SET, one field */
	assert_int_equal(get(0), 0x30);
}

static void uip_warns_of_the_update(void **state)
{
	(void)state;
	at(3);
	assert_int_equal(get(0x0a), 0x26);
	fake.tsc = 4 * FAKE_SECOND - 100000;
	assert_int_equal(get(0x0a), 0xa6);
	set(0x0a, 0xff);
	assert_int_equal(get(0x0a) & 0x7f, 0x7f);
	assert_int_equal(get(0x0d), 0x80);
	set(0x0d, 0);
	assert_int_equal(get(0x0d), 0x80);
}

static void cmos_keeps_and_knows_the_memory(void **state)
{
	(void)state;
	set(0x0f, 0x0a);
	assert_int_equal(get(0x0f), 0x0a);
	assert_int_equal(get(0x15) | get(0x16) << 8, 639);
	assert_int_equal(get(0x17) | get(0x18) << 8, 0xffff);
	assert_int_equal(get(0x34) | get(0x35) << 8, (MON_PCI_HOLE - (16u << 20)) >> 16);
	assert_int_equal(get(0x5b) | get(0x5c) << 8 | get(0x5d) << 16, (1u << 30) >> 16);
	assert_int_equal(rtc_read(&rtc, 0), 0xff);
	rtc_write(&rtc, 0, 0x8f); /* the NMI bit is not part of the index */
	assert_int_equal(rtc_read(&rtc, 1), 0x0a);
}

static void update_interrupt(void **state)
{
	(void)state;
	assert_int_equal(timers.deadline[TIMER_RTC], TIMER_NEVER);
	get(0x0c);
	set(0x0b, 0x12);
	assert_false(line());
	assert_int_equal(timers.deadline[TIMER_RTC], clock_tsc(&rtc.clock, RTC_HZ));
	at(1);
	rtc_update(&rtc);
	assert_true(line());
	assert_int_equal(timers.deadline[TIMER_RTC], TIMER_NEVER); /* none while it is unread */
	assert_int_equal(get(0x0c) & 0x90, 0x90);
	assert_false(line());
	assert_int_equal(get(0x0c), 0);
	assert_int_equal(timers.deadline[TIMER_RTC], clock_tsc(&rtc.clock, 2 * RTC_HZ));
}

static void periodic_interrupt(void **state)
{
	(void)state;
	set(0x0b, 0x42);
	assert_int_equal(timers.deadline[TIMER_RTC], clock_tsc(&rtc.clock, 32)); /* 1024 Hz */
	fake.tsc = timers.deadline[TIMER_RTC];
	rtc_update(&rtc);
	assert_true(line());
	assert_int_equal(get(0x0c), 0xc0);
	fake.tsc = timers.deadline[TIMER_RTC];
	rtc_update(&rtc);
	assert_true(line());
	set(0x0b, 0x02); /* nobody wants to hear of it any more: the line falls, the flag stays */
	assert_false(line());
	assert_int_equal(get(0x0c), 0x40);
	set(0x0b, 0x42);
	set(0x0a, 0x21); /* rate 1 is that of 8: 256 Hz */
	assert_int_equal(timers.deadline[TIMER_RTC], clock_tsc(&rtc.clock, 128));
	set(0x0a, 0x20);
	assert_int_equal(timers.deadline[TIMER_RTC], TIMER_NEVER);
}

static void alarm_interrupt(void **state)
{
	(void)state;
	set(1, 0x05);
	set(3, 0x36);
	set(5, 0x12);
	set(0x0b, 0x22);
	assert_int_equal(timers.deadline[TIMER_RTC], clock_tsc(&rtc.clock, 69ull * RTC_HZ)); /* 12:36:05 */
	at(69);
	rtc_update(&rtc);
	assert_int_equal(get(0x0c) & 0xa0, 0xa0);
	assert_int_equal(timers.deadline[TIMER_RTC], clock_tsc(&rtc.clock, (86400 + 69ull) * RTC_HZ));
	set(5, 0xff); /* every hour */
	assert_int_equal(timers.deadline[TIMER_RTC], clock_tsc(&rtc.clock, (3600 + 69ull) * RTC_HZ));
	set(3, 0xc0);
	assert_int_equal(timers.deadline[TIMER_RTC], clock_tsc(&rtc.clock, (60 + 69ull) * RTC_HZ));
	set(1, 0xff);
	assert_int_equal(timers.deadline[TIMER_RTC], clock_tsc(&rtc.clock, 70ull * RTC_HZ));
	set(1, 0x77); /* what no time shows */
	assert_int_equal(timers.deadline[TIMER_RTC], TIMER_NEVER);
}

/* Seconds that passed before an alarm was set were compared with the former one. */
static void an_alarm_is_for_what_comes(void **state)
{
	(void)state;
	set(1, 0x77); /* never */
	set(3, 0xc0);
	set(5, 0xc0);
	set(0x0b, 0x22);
	at(100); /* 12:36:36 */
	set(1, 0x30);
	assert_int_equal(get(0x0c) & 0x20, 0);
	assert_int_equal(timers.deadline[TIMER_RTC], clock_tsc(&rtc.clock, 154ull * RTC_HZ)); /* 12:37:30 */
	at(154);
	rtc_update(&rtc);
	assert_int_equal(get(0x0c) & 0xa0, 0xa0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_calendar_is_the_c_librarys, setup),
		cmocka_unit_test_setup(the_time_in_bcd_and_binary, setup),
		cmocka_unit_test_setup(the_time_is_set, setup),
		cmocka_unit_test_setup(uip_warns_of_the_update, setup),
		cmocka_unit_test_setup(cmos_keeps_and_knows_the_memory, setup),
		cmocka_unit_test_setup(update_interrupt, setup),
		cmocka_unit_test_setup(periodic_interrupt, setup),
		cmocka_unit_test_setup(alarm_interrupt, setup),
		cmocka_unit_test_setup(an_alarm_is_for_what_comes, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
