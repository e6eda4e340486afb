/*
 * rtc: the MC146818 clock and the CMOS memory behind ports 70h and 71h.
 *
 * The time is computed from the TSC when asked for; only an enabled interrupt keeps a timer. Flags of register C are made up when it
 * is read, from the times that have passed since.
 */
#ifndef MONITOR_PLATFORM_RTC_H
#define MONITOR_PLATFORM_RTC_H

#include "monitor/platform/clock.h"
#include "monitor/platform/irq.h"
#include "monitor/platform/timers.h"

#define CMOS_BYTES 128u
#define RTC_HZ 32768u

struct rtc {
	struct clock clock;
	struct timers *timers;
	struct interrupts *interrupts;
	u64 wall_clock; /* seconds since 1970 at tick 0, as the guest has set it */
	u64 seen;       /* ticks up to which flags have been made up */
	u8 index;
	u8 cmos[CMOS_BYTES];
};

void rtc_init(struct rtc *r, struct timers *timers, struct interrupts *interrupts, u64 tsc_khz, u64 wall_clock, u64 memory);
u32 rtc_read(struct rtc *r, u32 offset);
void rtc_write(struct rtc *r, u32 offset, u8 value);
void rtc_update(struct rtc *r); /* its timer has come */

#endif
