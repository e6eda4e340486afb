/*
 * clock: time in the units of devices, from the TSC. Multiplications only: no division on the way of an exit.
 */
#ifndef MONITOR_PLATFORM_CLOCK_H
#define MONITOR_PLATFORM_CLOCK_H

#include "abi/types.h"

struct clock {
	u32 hz;        /* of the device; less than the TSC's */
	u64 tsc_hz;
	u64 ticks_per_tsc; /* a fraction, times 2^64 */
};

void clock_init(struct clock *c, u32 hz, u64 tsc_khz);

/* Whole ticks from TSC 0 to `tsc`. */
u64 clock_ticks(const struct clock *c, u64 tsc);

/* The first TSC value at which clock_ticks() gives `ticks` or more; CLOCK_NEVER if the TSC does not come to that. */
#define CLOCK_NEVER (~0ull)
u64 clock_tsc(const struct clock *c, u64 ticks);

#endif
