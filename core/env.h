/*
 * env: the outside, as core sees it. One const table; x86/ gives one, sim/ the other.
 */
#ifndef CORE_ENV_H
#define CORE_ENV_H

#include "core/addr.h"

#define MAX_CPUS 32u
#define SCRUB_SLICE_FRAMES 8u /* at most 32 KiB between two preemption points */

struct view;

struct mem_env {
	/* Zeroes `count` (at most SCRUB_SLICE_FRAMES) free frames through a private mapping. */
	void (*scrub)(void *context, hfn_t first, u32 count);
	/* The 2 MiB block at `first` joins the pool: map it at pool base + hpa. Needs no flush. The pool's
	 * lock is held: it takes nothing from the pool.
	 * false: could not be mapped, nothing changed. */
	bool (*pool_map)(void *context, hfn_t first);
	/* Makes processor `cpu` leave the guest and look at the views it is inside. */
	void (*kick)(void *context, unsigned cpu);
	/* One turn of waiting for other processors: serve what they ask of this one. */
	void (*relax)(void *context);
	/* A moment in which this processor's interrupts may come: nothing is held, a long piece of work goes on afterwards. */
	void (*breathe)(void *context);
	/* This processor forgets whatever it caches of `view`, then publishes it. */
	void (*flush_here)(void *context, struct view *view);
	/* The processor that runs this. */
	unsigned (*this_cpu)(void *context);
	void *context;
};

#endif
