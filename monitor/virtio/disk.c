/*
 * disk: see disk.h.
 */
#include "monitor/virtio/disk.h"
#include "monitor/lib/bits.h"
#include "monitor/lib/call.h"
#include "monitor/lib/string.h"

static_assert(MON_DISK_MAX / DISK_BLOCK / 8 <= MON_HEAP_SIZE, "the bits of the largest disk fit into the heap");

void disk_init(struct disk *d, const struct mon_info *info)
{
	const struct mon_disk *told = &info->disk;

	*d = (struct disk){ .store = ring0_disk(), .written = ring0_heap() };
	if (told->kind == MON_DISK_IMAGE)
		d->image = ring0_module(told->module);
	if (told->kind == MON_DISK_IMAGE || told->kind == MON_DISK_MEMORY)
		d->bytes = align_down(min_u64(told->bytes, MON_DISK_MAX), DISK_SECTOR);
}

static bool is_written(const struct disk *d, u64 block) { return (d->written[block / 8] & BIT(block % 8)) != 0; }

/* How much of the access lies in its first block. */
static u64 first_part(u64 offset, u64 length) { return min_u64(length, DISK_BLOCK - offset % DISK_BLOCK); }

void disk_read(const struct disk *d, u64 offset, u8 *to, u64 length)
{
	for (u64 part; length != 0; offset += part, to += part, length -= part) {
		part = first_part(offset, length);
		if (is_written(d, offset / DISK_BLOCK))
			memcpy(to, d->store + offset, part);
		else if (d->image != NULL)
			memcpy(to, d->image + offset, part);
		else
			memset(to, 0, part);
	}
}

/* Before a block's first write: what of it stays comes from the image. */
static void take_over(struct disk *d, u64 block, bool whole)
{
	u64 at = block * DISK_BLOCK;

	if (d->image != NULL && !whole)
		memcpy(d->store + at, d->image + at, min_u64(DISK_BLOCK, d->bytes - at));
	d->written[block / 8] |= (u8)BIT(block % 8);
}

void disk_write(struct disk *d, u64 offset, const u8 *from, u64 length)
{
	for (u64 part; length != 0; offset += part, from += part, length -= part) {
		u64 block = offset / DISK_BLOCK;

		part = first_part(offset, length);
		if (!is_written(d, block))
			take_over(d, block, part == DISK_BLOCK);
		memcpy(d->store + offset, from, part);
	}
}
