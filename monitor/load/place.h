/*
 * place: who has which piece of low RAM while a guest is being loaded.
 *
 * An image claims what its headers say; what we choose the place of (modules, information blocks) goes where nothing else is. The
 * firmware's data, the display's window and the first page are taken from the start.
 */
#ifndef MONITOR_LOAD_PLACE_H
#define MONITOR_LOAD_PLACE_H

#include "monitor/memory.h"

#define PLACE_MAX 96u
#define PLACE_NONE 0ull /* never the answer of a search: the first page is taken */

#define BIOS_DATA     0x400ull
#define BIOS_DATA_END 0x500ull

struct placement {
	const struct guest_memory *memory;
	u32 count;
	struct memory_extent {
		u64 base, end;
	} taken[PLACE_MAX];
};

void place_init(struct placement *p, const struct guest_memory *memory);

/* Take [base, base + size); false unless all of it is RAM that nobody has. */
bool place_claim(struct placement *p, u64 base, u64 size);

/* Find and take `size` bytes at a multiple of `align` (a power of two) in [from, limit): the lowest, or the highest. */
u64 place_low(struct placement *p, u64 size, u64 align, u64 from, u64 limit);
u64 place_high(struct placement *p, u64 size, u64 align, u64 limit);

#endif
