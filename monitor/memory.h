/*
 * memory: the VM's RAM as the monitor reaches it, and the map of it that guests are told.
 *
 *   0 ......... low_end  (at most MON_PCI_HOLE)         4 GiB ......... high_end
 *
 * Every address that a guest or an image gives goes through guest_ptr(); nothing else makes pointers into the window.
 */
#ifndef MONITOR_MEMORY_H
#define MONITOR_MEMORY_H

#include "abi/monitor.h"

struct guest_memory {
	u8 *window;    /* guest-physical 0 */
	u64 low_end;   /* RAM is [0, low_end) ... */
	u64 high_end;  /* ... and [4 GiB, high_end); 4 GiB if there is none */
};

void guest_memory_init(struct guest_memory *m, u8 *window, u64 bytes);

/* The place of [gpa, gpa + length), or NULL unless all of it is RAM. */
void *guest_ptr(const struct guest_memory *m, u64 gpa, u64 length);

/* Fixed places below 1 MiB. All of it is RAM to us; guests are told what a PC would tell them. */
#define LOW_RAM_END   0x9fc00ull /* then the EBDA, 1 KiB */
#define EBDA          LOW_RAM_END
#define EBDA_END      0xa0000ull
#define FIRMWARE      0xe0000ull /* ACPI tables; told as reserved up to 1 MiB */
#define FIRMWARE_END  0x100000ull

enum memory_type { MEMORY_RAM = 1, MEMORY_RESERVED = 2 }; /* the numbers of E820, Multiboot and PVH are the same */

struct memory_range {
	u64 base, size;
	enum memory_type type;
};

#define MEMORY_MAP_MAX 8u

/* Fill map with the ranges in ascending order; how many. */
u32 guest_memory_map(const struct guest_memory *m, struct memory_range map[MEMORY_MAP_MAX]);

#endif
