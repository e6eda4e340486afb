/*
 * timers: see timers.h.
 */
#include "monitor/platform/timers.h"
#include "monitor/lib/call.h"

void timers_init(struct timers *t)
{
	for (u32 i = 0; i < TIMERS; i++)
		t->deadline[i] = TIMER_NEVER;
	t->armed = TIMER_NEVER;
	t->changed = false;
}

void timer_set(struct timers *t, enum timer_id id, u64 tsc)
{
	if (t->deadline[id] == tsc)
		return;
	t->deadline[id] = tsc;
	t->changed = true;
}

void timers_commit(struct timers *t)
{
	u64 first = TIMER_NEVER;

	if (!t->changed)
		return;
	t->changed = false;
	for (u32 i = 0; i < TIMERS; i++)
		if (t->deadline[i] < first)
			first = t->deadline[i];
	if (first >= t->armed)
		return;
	t->armed = first;
	ring0_set_timer(first != 0 ? first : 1); /* 0 would mean none; any past time comes at once */
}

void timers_fired(struct timers *t)
{
	t->armed = TIMER_NEVER;
	t->changed = true;
}

bool timer_take(struct timers *t, enum timer_id id, u64 now)
{
	if (t->deadline[id] > now)
		return false;
	t->deadline[id] = TIMER_NEVER;
	t->changed = true;
	return true;
}
