/*
 * disk: the bytes behind a block device: memory, or an image that stays as it is.
 *
 *   store    MON_DISK: zeroed frames of the VM's own, as they are touched
 *   image    a boot module, or nothing
 *   written  a bit for each block of 4 KiB: it is in the store; else it is the image's, or zero
 *
 * So an image is never written and may serve several VMs; only what was written takes frames, and reading takes none.
 */
#ifndef MONITOR_VIRTIO_DISK_H
#define MONITOR_VIRTIO_DISK_H

#include "abi/monitor.h"

#define DISK_SECTOR 512u
#define DISK_BLOCK  4096u

struct disk {
	u8 *store;
	const u8 *image; /* NULL: zeros */
	u8 *written;     /* in the heap, zeroed */
	u64 bytes;       /* a multiple of DISK_SECTOR; 0: there is no disk */
};

void disk_init(struct disk *d, const struct mon_info *info);
/* [offset, offset + length) lies in the disk. */
void disk_read(const struct disk *d, u64 offset, u8 *to, u64 length);
void disk_write(struct disk *d, u64 offset, const u8 *from, u64 length);

#endif
