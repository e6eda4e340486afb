/*
 * timers: the few deadlines of devices on the one timer that ring 0 gives.
 *
 * Setting one only notes it; timers_commit(), once an exit, tells ring 0 the earliest if that became earlier than what is armed. A
 * deadline that moves away is not withdrawn: the timer then comes once for nothing, which is cheaper than a call for each change.
 */
#ifndef MONITOR_PLATFORM_TIMERS_H
#define MONITOR_PLATFORM_TIMERS_H

#include "abi/types.h"

enum timer_id { TIMER_PIT, TIMER_RTC, TIMER_PM, TIMER_CONSOLE, TIMER_VIRTIO_CONSOLE, TIMER_VIRTIO_BLOCK, TIMERS };

#define TIMER_NEVER (~0ull)

struct timers {
	u64 deadline[TIMERS]; /* TSC; TIMER_NEVER: none */
	u64 armed;            /* what ring 0 was told last; TIMER_NEVER: nothing */
	bool changed;
};

void timers_init(struct timers *t);
void timer_set(struct timers *t, enum timer_id id, u64 tsc);
void timers_commit(struct timers *t);

/* Ring 0's timer has come: it is no longer armed. */
void timers_fired(struct timers *t);

/* Is this one due at `now`? If so it is cleared. */
bool timer_take(struct timers *t, enum timer_id id, u64 now);

#endif
