/*
 * virtio_ring: the driver's side of a split virtqueue in the fake VM's memory, as plain as can be: tests fill in what they like, right or wrong.
 */
#ifndef TESTS_VIRTIO_RING_H
#define TESTS_VIRTIO_RING_H

#include "monitor/host/fake_ring0.h"

#include <string.h>

enum { RING_NEXT = 1, RING_WRITE = 2, RING_INDIRECT = 4, RING_DESCRIPTOR = 16 };

struct ring {
	u64 descriptors, available, used;
	u16 size;
	u16 free;  /* the next descriptor that ring_chain() uses */
	u16 seen;  /* used elements that ring_done() has taken */
};

static inline void ring_put(u64 gpa, u32 size, u64 value) { memcpy(fake.window + gpa, &value, size); }

static inline u64 ring_get(u64 gpa, u32 size)
{
	u64 value = 0;

	memcpy(&value, fake.window + gpa, size);
	return value;
}

/* Entry i of a table of descriptors, the queue's or an indirect one. */
static inline void ring_describe(u64 table, u32 i, u64 address, u32 length, u32 flags, u32 next)
{
	u64 at = table + RING_DESCRIPTOR * i;

	ring_put(at, 8, address);
	ring_put(at + 8, 4, length);
	ring_put(at + 12, 2, flags);
	ring_put(at + 14, 2, next);
}

static inline void ring_offer(const struct ring *r, u16 head)
{
	u16 index = (u16)ring_get(r->available + 2, 2);

	ring_put(r->available + 4 + 2u * (index % r->size), 2, head);
	ring_put(r->available + 2, 2, (u16)(index + 1));
}

struct ring_buffer {
	u64 at;
	u32 length;
	bool write; /* for the device */
};

/* A chain of these buffers, described and offered; its head. */
static inline u16 ring_chain(struct ring *r, const struct ring_buffer *b, u32 count)
{
	u16 head = (u16)(r->free % r->size);

	for (u32 i = 0; i < count; i++) {
		u32 flags = (b[i].write ? RING_WRITE : 0) | (i + 1 < count ? RING_NEXT : 0);

		ring_describe(r->descriptors, (u32)(head + i) % r->size, b[i].at, b[i].length, flags, (u32)(head + i + 1) % r->size);
	}
	r->free = (u16)(head + count);
	ring_offer(r, head);
	return head;
}

static inline u16 ring_used(const struct ring *r) { return (u16)ring_get(r->used + 2, 2); }
static inline u32 ring_used_head(const struct ring *r, u16 i) { return (u32)ring_get(r->used + 4 + 8u * (i % r->size), 4); }
static inline u32 ring_used_length(const struct ring *r, u16 i) { return (u32)ring_get(r->used + 8 + 8u * (i % r->size), 4); }

#endif
