/*
 * even: processors that only spin share what is beneath them evenly: no exit, no interrupt of their own moves them. tests/boot/even.sh gives
 * it more than the host has.
 */
#include "lib/guest.h"

enum { MS = 4000, ROUND = 10000, MOST = 8 };

static volatile u64 rounds[MOST];
static volatile bool over;
static unsigned processors;

static void begin(unsigned n)
{
	processors = n;
	tsc_per_ms();
}

static void work(void)
{
	u32 self = lapic_id() % MOST;
	u64 until = rdtsc() + tsc_per_ms() * MS;

	while (!over) {
		for (volatile u32 i = 0; i < ROUND; i++)
			;
		rounds[self]++;
		if (rdtsc() > until)
			over = true;
	}
}

GUEST(even)
{
	u64 least = ~0ull, most = 0;

	on_every_processor(work, begin);
	for (unsigned i = 0; i < processors; i++) {
		say("# processor %u: %lu rounds\n", i, rounds[i]);
		least = rounds[i] < least ? rounds[i] : least;
		most = rounds[i] > most ? rounds[i] : most;
	}
	check("nobody had a quarter more than another", most * 4 <= least * 5);
}
