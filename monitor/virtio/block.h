/*
 * block: the virtio block device (virtio 1.x, 5.2): one queue; read, write, flush and identify.
 *
 * A request may be as long as its driver likes: it is carried out piece by piece, over several turns when it is longer than one's
 * budget. Only the request at hand is under way, so requests are done in order and a flush has nothing to wait for.
 */
#ifndef MONITOR_VIRTIO_BLOCK_H
#define MONITOR_VIRTIO_BLOCK_H

#include "monitor/virtio/disk.h"
#include "monitor/virtio/pci.h"

struct virtio_block {
	struct virtio_device device;
	struct disk disk;
	/* The request under way. */
	bool busy;
	u8 status;
	u32 kind;
	u64 offset, left; /* what is still to be carried, in bytes */
	u64 written;      /* into the driver's buffers */
	struct virtqueue_chain chain;
};

/* The disk has bytes. */
void virtio_block_init(struct virtio_block *b, const struct virtio_bus *bus, u8 slot, const struct disk *disk);

#endif
