/*
 * lock: a ticket lock. The order in which locks are taken is the table in docs/core.md.
 *
 * Ring 0 runs with interrupts off, so a holder is never interrupted by another taker on its
 * own processor. Whoever waits for a lock while it may owe an answer to a settler must not
 * exist: a settler holds no lock that a flush handler takes.
 */
#ifndef CORE_LOCK_H
#define CORE_LOCK_H

#include "abi/types.h"
#include "core/point.h"

struct lock {
	u32 next, serving; /* by __atomic only */
};

static inline void lock_take(struct lock *l)
{
	u32 mine = __atomic_fetch_add(&l->next, 1, __ATOMIC_RELAXED);
	while (__atomic_load_n(&l->serving, __ATOMIC_ACQUIRE) != mine) {
		__builtin_ia32_pause();
		at_point(POINT_LOCK_WAIT);
	}
}

static inline void lock_give(struct lock *l)
{
	__atomic_store_n(&l->serving, l->serving + 1, __ATOMIC_RELEASE);
}

#endif
