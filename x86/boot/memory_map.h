/*
 * memory_map: from the firmware's list, in any order and overlapping, to one that is sorted, disjoint and made of whole pages.
 */
#ifndef X86_BOOT_MEMORY_MAP_H
#define X86_BOOT_MEMORY_MAP_H

#include "x86/boot/boot.h"

#define RAW_RANGES 128u

struct raw_map {
	u32 count;
	u32 lost; /* entries for which there was no room */
	struct { u64 first, end; bool ram; } at[RAW_RANGES];
};

/* One entry of the firmware; empty ones and those beyond the address space are clipped. */
void raw_map_add(struct raw_map *map, u64 first, u64 bytes, bool ram);

/*
 * Fills boot->range. Where entries overlap, not-RAM wins; RAM shrinks to whole pages, not-RAM grows to them; nothing lies at or above
 * 1 << phys_bits; page 0 is never RAM. If there are too many ranges, first the not-RAM ones are left out, then the highest RAM.
 * Returns how many pages of RAM were left out.
 */
u64 memory_map_resolve(const struct raw_map *map, u32 phys_bits, struct boot_info *boot);

/* A page of RAM below 1 MiB that processors can start in; 0: there is none. */
u64 memory_map_low_page(const struct boot_info *boot);

#endif
