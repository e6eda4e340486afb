/*
 * memory: see memory.h.
 */
#include "monitor/memory.h"
#include "monitor/lib/bits.h"

void guest_memory_init(struct guest_memory *m, u8 *window, u64 bytes)
{
	m->window = window;
	m->low_end = min_u64(bytes, MON_PCI_HOLE);
	m->high_end = MON_PCI_HOLE_END + (bytes - m->low_end);
}

void *guest_ptr(const struct guest_memory *m, u64 gpa, u64 length)
{
	u64 end = gpa + length;

	if (end < gpa)
		return NULL;
	if (end <= m->low_end || (gpa >= MON_PCI_HOLE_END && end <= m->high_end))
		return m->window + gpa;
	return NULL;
}

u32 guest_memory_map(const struct guest_memory *m, struct memory_range map[MEMORY_MAP_MAX])
{
	u32 n = 0;

	map[n++] = (struct memory_range){ 0, LOW_RAM_END, MEMORY_RAM };
	map[n++] = (struct memory_range){ EBDA, EBDA_END - EBDA, MEMORY_RESERVED };
	map[n++] = (struct memory_range){ FIRMWARE, FIRMWARE_END - FIRMWARE, MEMORY_RESERVED };
	if (m->low_end > FIRMWARE_END)
		map[n++] = (struct memory_range){ FIRMWARE_END, m->low_end - FIRMWARE_END, MEMORY_RAM };
	map[n++] = (struct memory_range){ MON_IOAPIC, PAGE_SIZE, MEMORY_RESERVED };
	map[n++] = (struct memory_range){ MON_LAPIC, PAGE_SIZE, MEMORY_RESERVED };
	if (m->high_end > MON_PCI_HOLE_END)
		map[n++] = (struct memory_range){ MON_PCI_HOLE_END, m->high_end - MON_PCI_HOLE_END, MEMORY_RAM };
	return n;
}
