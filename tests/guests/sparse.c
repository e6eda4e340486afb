/*
 * sparse: writes one sector in each 2 MiB of its disk: as many tables as frames, for who keeps the disk.
 */
#include "lib/virtio.h"

enum { APART = (2 << 20) / SECTOR };

GUEST(sparse)
{
	static struct virtio_device block;
	u8 *page = page_alloc();
	u64 sectors, wrong = 0;

	if (!virtio_find(&block, TYPE_BLOCK) || !virtio_start(&block, 1)) {
		check("there is a disk", false);
		return;
	}
	sectors = virtio_capacity(&block);
	for (u64 at = 0; at < sectors; at += APART) {
		*(volatile u64 *)page = at + 1;
		wrong += virtio_request(&block, OUT, at, &page, SECTOR) != OK;
	}
	check_equal("each write was done", wrong, 0);
	for (u64 at = 0; at < sectors; at += APART)
		wrong += virtio_request(&block, IN, at, &page, SECTOR) != OK || *(volatile u64 *)page != at + 1;
	check_equal("each sector reads back", wrong, 0);
}
