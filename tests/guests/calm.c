/*
 * calm: a well-behaved neighbour. Each processor counts in a loop and leaves the machine alone; what it says when a byte is typed shows how
 * much of a processor it got: `calm N: C loops in M ms`, the N-th answer; both since the last one.
 */
#include "lib/guest.h"

enum { ROUND = 100000, LOOK_MS = 20 };

static volatile u64 loops;
static unsigned processors;

static void count(void)
{
	for (;;) {
		for (volatile u32 i = 0; i < ROUND; i++)
			;
		__atomic_fetch_add(&loops, ROUND, __ATOMIC_RELAXED);
	}
}

static void answer(void)
{
	u64 per_ms = tsc_per_ms(), began = rdtsc(), looked = began, from = loops;
	unsigned answers = 0;

	for (;;) {
		for (volatile u32 i = 0; i < ROUND; i++)
			;
		__atomic_fetch_add(&loops, ROUND, __ATOMIC_RELAXED);
		u64 now = rdtsc(), done = loops;
		if (now - looked < LOOK_MS * per_ms)
			continue;
		looked = now;
		if (typed() < 0)
			continue;
		say("calm %u: %lu loops in %lu ms\n", ++answers, done - from, (now - began) / per_ms);
		began = now;
		from = done;
	}
}

static void begin(unsigned n)
{
	processors = n;
	tsc_per_ms();
	say("calm: %u processors\n", n);
}

static void work(void)
{
	static volatile u32 arrived;

	/* The first of them answers; on_every_processor calls it last on the processor that started the others. */
	if (__atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST) == processors)
		answer();
	count();
}

GUEST(calm)
{
	on_every_processor(work, begin);
}
