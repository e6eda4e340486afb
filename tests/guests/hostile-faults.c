/*
 * hostile-faults: page faults without end. The first processor faults in its own tables; every one walks over all RAM, then over the holes
 * of the physical space where no device answers, each access a nested fault; and changes mappings, so that nothing stays cached.
 */
#include "lib/guest.h"

#define HOLE   0xd0000000ull
#define WINDOW 0x200000000ull
enum { HOLE_PAGES = 64, LOW_END = 16 << 20, FAULTS = 64 };

static u64 top;

static void touch_nothing(void *arg)
{
	(void)arg;
	*(volatile u8 *)(WINDOW - PAGE_SIZE) = 1;
}

static void begin(unsigned n)
{
	for (unsigned i = 0; i < boot.ranges; i++)
		if (boot.range[i].type == RANGE_RAM && boot.range[i].base + boot.range[i].size <= 4 * GIB)
			top = boot.range[i].base + boot.range[i].size;
	map(WINDOW, LOW_END, PTE_P | PTE_W, 1);
	say("hostile-faults: %u processors\n", n);
}

static void storm(void)
{
	static volatile u32 first;
	bool faults = __atomic_fetch_add(&first, 1, __ATOMIC_SEQ_CST) == 0; /* the guard has one stack */

	for (u64 at = LOW_END;; at = at + PAGE_SIZE < top ? at + PAGE_SIZE : LOW_END) {
		*(volatile u64 *)at = at;
		(void)*(volatile u8 *)(HOLE + at / PAGE_SIZE % HOLE_PAGES * PAGE_SIZE);
		if (!faults)
			continue;
		map(WINDOW, at, PTE_P | PTE_W, 1);
		*(volatile u64 *)WINDOW = at;
		for (unsigned i = 0; i < FAULTS; i++)
			guarded(touch_nothing, NULL);
	}
}

GUEST(hostile_faults)
{
	on_every_processor(storm, begin);
}
