/*
 * place: see place.h.
 */
#include "monitor/load/place.h"
#include "monitor/lib/bits.h"

static bool take(struct placement *p, u64 base, u64 end)
{
	if (p->count == PLACE_MAX)
		return false;
	p->taken[p->count++] = (struct memory_extent){ base, end };
	return true;
}

void place_init(struct placement *p, const struct guest_memory *memory)
{
	p->memory = memory;
	p->count = 0;
	take(p, BIOS_DATA, BIOS_DATA_END);
	take(p, LOW_RAM_END, FIRMWARE_END);
}

/* One that overlaps [base, end), or NULL. */
static const struct memory_extent *in_the_way(const struct placement *p, u64 base, u64 end)
{
	for (u32 i = 0; i < p->count; i++)
		if (base < p->taken[i].end && p->taken[i].base < end)
			return &p->taken[i];
	return NULL;
}

bool place_claim(struct placement *p, u64 base, u64 size)
{
	if (guest_ptr(p->memory, base, size) == NULL || in_the_way(p, base, base + size) != NULL)
		return false;
	return take(p, base, base + size);
}

u64 place_low(struct placement *p, u64 size, u64 align, u64 from, u64 limit)
{
	const struct memory_extent *other;
	u64 base = align_up(max_u64(from, PAGE_SIZE), align);

	limit = min_u64(limit, p->memory->low_end);
	for (;;) {
		if (base > limit || size > limit - base)
			return PLACE_NONE;
		other = in_the_way(p, base, base + size);
		if (other == NULL)
			return take(p, base, base + size) ? base : PLACE_NONE;
		base = align_up(other->end, align);
	}
}

u64 place_high(struct placement *p, u64 size, u64 align, u64 limit)
{
	const struct memory_extent *other;
	u64 end = min_u64(limit, p->memory->low_end), base;

	for (;;) {
		if (size > end)
			return PLACE_NONE;
		base = align_down(end - size, align);
		if (base < PAGE_SIZE)
			return PLACE_NONE;
		other = in_the_way(p, base, base + size);
		if (other == NULL)
			return take(p, base, base + size) ? base : PLACE_NONE;
		end = other->base;
	}
}
