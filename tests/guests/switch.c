/*
 * switch: when this machine did not run. It looks at the time stamp counter in the shortest loop that can be written, notes each gap (the last
 * value before it, the first after), and says them when it has enough. Two of these machines on one processor tell, by the notes of
 * both, what a world switch costs (bench/run): from the last look of the one to the first look of the other.
 *
 * One that is told `late` says its notes some time after it has them: the two speak on one line.
 */
#include "lib/guest.h"

enum { NOTES = 160, GAP_LEAST = 50, LATE_MS = 500, ROUND = 6 /* instructions of the loop */ };

static struct { u64 last, first; } note[NOTES];

/* Looks until two looks lie further apart than `least`. */
static inline u64 next_gap(u64 *last, u32 least)
{
	u32 low = (u32)rdtsc(), high, gap;

	__asm__ volatile("1: movl %%eax, %%ecx\n\t"
			 "rdtsc\n\t"
			 "movl %%eax, %2\n\t"
			 "subl %%ecx, %2\n\t"
			 "cmpl %3, %2\n\t"
			 "jb 1b"
			 : "+a"(low), "=&d"(high), "=&r"(gap)
			 : "r"(least)
			 : "ecx", "cc");
	u64 first = (u64)high << 32 | low;
	*last = first - gap;
	return first;
}

GUEST(switch)
{
	bool late = boot.cmdline && ends_with(boot.cmdline, "late");

	for (u32 i = 0; i < NOTES; i++)
		note[i].first = next_gap(&note[i].last, GAP_LEAST);
	for (u64 end = rdtsc() + LATE_MS * tsc_per_ms(); late && rdtsc() < end;)
		relax();
	for (u32 i = 0; i < NOTES; i++)
		say("gap %s %lu %lu\n", late ? "b" : "a", note[i].last, note[i].first);
	say("round %u\n", ROUND);
	check("gaps", true);
	finish();
}
