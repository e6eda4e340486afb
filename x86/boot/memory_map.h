/*
 * memory_map: from the firmware's list, in any order and overlapping, to one that is sorted, disjoint and made of whole pages.
 */
#ifndef X86_BOOT_MEMORY_MAP_H
#define X86_BOOT_MEMORY_MAP_H

#include "core/status.h"
#include "x86/boot/boot.h"

#define RAW_RANGES 128u
#define EARLY_LIMIT    (4ull << 30) /* what the early map reaches */
#define HIGH_ALIAS     (1ull << 30) /* of that much it has a second mapping, at IMAGE_BASE */
#define LOW_MEMORY_END 0x100000ull  /* stays with the firmware and the start of processors */

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

/* Where the early map shows it, 0: nowhere. By the second mapping as far as that goes: under UEFI GRUB puts modules at address 0, which is no NULL there. */
u64 early_address(u64 address, u64 bytes);
/* Modules below LOW_MEMORY_END get other places: what is there is given to nobody. `move` copies. false: no room. */
must_use bool memory_map_lift(struct boot_info *boot, void (*move)(u64 to, u64 from, u64 bytes));
/* A module whose pages are not all RAM, or are the image's or another module's too; NULL: each has its own. */
const struct boot_module *memory_map_misplaced(const struct boot_info *boot);
/* What a module's first and last page hold besides it is somebody's former data, and a monitor may see those pages: calls `clear` for it. */
void memory_map_trim(const struct boot_info *boot, void (*clear)(u64 first, u64 bytes));
/* RAM from LOW_MEMORY_END to `limit`, from a multiple of 2 MiB on, that neither the image nor a module has; 0: there is none so large. */
u64 memory_map_free_block(const struct boot_info *boot, u64 bytes, u64 limit);

#endif
