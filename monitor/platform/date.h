/*
 * date: seconds since 1970 and the Gregorian calendar.
 */
#ifndef MONITOR_PLATFORM_DATE_H
#define MONITOR_PLATFORM_DATE_H

#include "abi/types.h"

struct date {
	u32 year, month, day; /* month and day from 1 */
	u32 hour, minute, second;
	u32 weekday;          /* 1: Sunday */
};

void date_from_seconds(struct date *d, u64 seconds);
u64 date_to_seconds(const struct date *d); /* fields outside their ranges are carried; before 1970: 0 */

#endif
