/*
 * view: anything made from the truth that can name a frame, and who is inside it.
 *
 * The entry protocol, interrupts off (the mirror image of settle.c):
 *
 *   entry                                settlement
 *   publish "inside"                     drop entries, stamp frames
 *   full fence                           raise generation (full fence)
 *   read generation, compare, flush      look who is inside with an older "flushed": kick, wait
 *   enter                                all have: check the ledger, free
 *
 * Either the settler sees "inside", or the entry sees the new generation; never neither.
 * Generations are drawn from one flush clock, so a frame's stamp compares with those of every view.
 */
#ifndef CORE_VIEW_H
#define CORE_VIEW_H

#include "core/env.h"
#include "core/point.h"

struct flush_clock {
	u64 now; /* this and what follows: by __atomic only */
};

/* Does this processor use translations of the view? */
enum view_presence {
	VIEW_OUTSIDE = 0,
	VIEW_ENTERS, /* it may; `flushed` may be an older entry's, it compares before it uses any */
	VIEW_INSIDE, /* it may, and has forgotten up to `flushed` */
};

struct view_cpu {
	u32 inside;  /* enum view_presence */
	u64 flushed; /* generation of the view up to which it has forgotten */
};

struct view {
	const char *name;
	struct flush_clock *clock;
	u64 generation; /* clock at the last removal or weakening of an entry */
	struct view_cpu cpu[MAX_CPUS];
};

static inline void view_init(struct view *v, const char *name, struct flush_clock *clock)
{
	*v = (struct view){ .name = name, .clock = clock };
}

/* Earlier stores of this processor are visible before anything later is read. */
static inline void view_fence(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	at_point(POINT_FENCE);
}

/* Publishes that this processor enters; returns the generation that it must have flushed to. If that is newer than
 * what its tag or TLB was flushed to, the caller flushes first; then it calls view_flushed. */
static inline u64 view_enter(struct view *v, unsigned cpu)
{
	__atomic_store_n(&v->cpu[cpu].inside, VIEW_ENTERS, __ATOMIC_RELAXED);
	at_point(POINT_ENTRY_PUBLISHED);
	view_fence();
	u64 generation = __atomic_load_n(&v->generation, __ATOMIC_RELAXED);
	at_point(POINT_ENTRY_COMPARES);
	return generation;
}

/* It has forgotten, needed not, or does so with the entry itself: from now on the ledger of flushes counts on it. */
static inline void view_flushed(struct view *v, unsigned cpu, u64 generation)
{
	at_point(POINT_ENTRY_FLUSHED);
	__atomic_store_n(&v->cpu[cpu].flushed, generation, __ATOMIC_RELEASE);
	__atomic_store_n(&v->cpu[cpu].inside, VIEW_INSIDE, __ATOMIC_RELEASE);
}

static inline void view_leave(struct view *v, unsigned cpu)
{
	at_point(POINT_EXIT);
	__atomic_store_n(&v->cpu[cpu].inside, VIEW_OUTSIDE, __ATOMIC_RELEASE);
}

#endif
