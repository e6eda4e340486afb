/*
 * virtqueue: the split virtqueue of virtio 1.x (2.7): what a driver hands to a device and gets back, all of it in guest memory.
 *
 *   descriptor table   address, length, flags, next          driver: fills
 *   available ring     heads of chains, index                driver: fills, device: takes
 *   used ring          heads and bytes written, index        device: gives
 *
 * Everything here is the guest's and may change while it is read: each value is copied once and then judged. Rings are looked up when
 * the queue is enabled, buffers when their chain is taken, by guest_ptr(). A chain has at most as many buffers as the queue has
 * descriptors, whatever they point to, and at most 4 GiB. A queue that breaks a rule is *broken*: nothing is taken from it until the
 * device is reset.
 */
#ifndef MONITOR_VIRTIO_VIRTQUEUE_H
#define MONITOR_VIRTIO_VIRTQUEUE_H

#include "monitor/memory.h"

#define VIRTQUEUE_SIZE_MAX 128u
#define VIRTQUEUE_NO_VECTOR 0xffffu

struct virtqueue {
	u64 descriptors_at, available_at, used_at; /* guest-physical, as the driver wrote them */
	u16 size;           /* a power of two when enabled */
	u16 vector;         /* of MSI-X, or VIRTQUEUE_NO_VECTOR */
	bool enabled, broken;
	bool event_index;   /* VIRTIO_F_EVENT_IDX was accepted */
	u16 taken, given;   /* free-running indices */
	u16 told;           /* `given` when the driver was last thought of being interrupted */
	u8 *descriptors, *available, *used;
};

/* One direction of a chain: its buffers, and how far they have been used up. */
struct virtqueue_span {
	u32 buffer, end; /* indices into the chain's buffers */
	u32 offset;      /* in the first of them */
	u64 left;        /* bytes */
};

struct virtqueue_chain {
	u16 head;
	u32 count;
	struct virtqueue_span in, out; /* as the driver sees it: `out` is for the device to read, `in` to write */
	struct { u8 *at; u32 length; } buffer[VIRTQUEUE_SIZE_MAX];
};

void virtqueue_reset(struct virtqueue *q);

/* From the addresses and size that the driver wrote: false, and broken, if they are not rings in RAM. */
bool virtqueue_enable(struct virtqueue *q, const struct guest_memory *m);

/* The next chain, if there is one. False: none, or broken. */
bool virtqueue_take(struct virtqueue *q, const struct guest_memory *m, struct virtqueue_chain *chain);
/* Back to the driver with so many bytes written. */
void virtqueue_give(struct virtqueue *q, const struct virtqueue_chain *chain, u32 written);
/* Does the driver want to be interrupted for what was given since the last question? */
bool virtqueue_interrupts(struct virtqueue *q);

/* The next bytes of a span that lie together, at most `most`; how many is in *length. NULL at its end. */
u8 *virtqueue_piece(const struct virtqueue_chain *chain, struct virtqueue_span *span, u64 most, u64 *length);
/* Copy from or to the next bytes of a span; how many there were. */
u64 virtqueue_read(struct virtqueue_chain *chain, void *to, u64 length);
u64 virtqueue_write(struct virtqueue_chain *chain, const void *from, u64 length);

#endif
