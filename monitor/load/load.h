/*
 * load: the guest's kernel and modules into its memory, and vCPU 0 to the kernel's entry.
 *
 * What the image is shows in its content: a Linux bzImage, an ELF with a PVH note, or a Multiboot 1 header in the first 8 KiB. Everything
 * in an image is hostile: each field is checked before it is used, and nothing is written but through guest_ptr().
 */
#ifndef MONITOR_LOAD_LOAD_H
#define MONITOR_LOAD_LOAD_H

#include "monitor/load/place.h"
#include "monitor/machine.h"

struct loader {
	const struct guest_memory *memory;
	const struct mon_info *info;
	const u8 *image; /* module 0 */
	u64 size;
	struct placement place;
	struct mon_vcpu cpu; /* what vCPU 0 will start with */
};

/* Load all and set up vCPU 0 (not yet running). False: a sentence in the log says why. */
bool load_guest(struct machine *m, const struct mon_info *info);

/* The three kinds. `is`: is this image of the kind at all? `load`: false after log_line(). */
bool bzimage_is(const struct loader *l);
bool bzimage_load(struct loader *l);
bool pvh_is(const struct loader *l);
bool pvh_load(struct loader *l);
bool multiboot_is(const struct loader *l);
bool multiboot_load(struct loader *l);

/* ---- what they share ---- */

#define LOAD_BLOCKS 0x10000ull /* information blocks and strings lie from here up, below 640 KiB when there is room */

/* Little-endian fields of an image; the caller has checked the bounds. */
u16 load_u16(const u8 *at);
u32 load_u32(const u8 *at);
u64 load_u64(const u8 *at);

/* Copy into RAM that was claimed; all of it must be RAM (checked again). */
bool load_copy(struct loader *l, u64 gpa, const void *from, u64 size);

/* Put a block or a NUL-terminated string into low memory; its address, or PLACE_NONE. */
u64 load_block(struct loader *l, const void *from, u64 size);
u64 load_string(struct loader *l, const char *text);

/* Put a module at the lowest place from `from` up, or, with from 0, at the highest; its address or PLACE_NONE after log_line(). */
u64 load_module(struct loader *l, u32 index, u64 from);

/* vCPU 0 as all three protocols want it: 32-bit flat protected mode, paging off, interrupts off. */
void load_flat_cpu(struct loader *l, u16 code_selector, u16 data_selector, u32 entry);

#endif
