/*
 * virtqueue: see virtqueue.h. Section numbers are those of virtio 1.1.
 */
#include "monitor/virtio/virtqueue.h"
#include "monitor/lib/bits.h"
#include "monitor/lib/string.h"

struct descriptor { /* 2.6.5 */
	u64 address;
	u32 length;
	u16 flags, next;
};
static_assert(sizeof(struct descriptor) == 16, "2.6.5");
#define DESCRIPTOR_NEXT 1u
#define DESCRIPTOR_WRITE 2u
#define DESCRIPTOR_INDIRECT 4u
#define DESCRIPTORS_ALIGNMENT 16u

/* Available ring, 2.6.6: flags, index, ring[size], used_event. Used ring, 2.6.8: flags, index, ring[size], avail_event. */
#define RING_FLAGS 0u
#define RING_INDEX 2u
#define RING_FIRST 4u
#define AVAILABLE_BYTES 2u
#define AVAILABLE_ALIGNMENT 2u
#define AVAILABLE_NO_INTERRUPT 1u
#define USED_BYTES 8u
#define USED_ALIGNMENT 4u
#define EVENT_BYTES 2u

#define CHAIN_BYTES_MAX (4 * GIB) /* 2.6.5 */

/* What a ring holds, read or written once; the driver may be at it on another processor. */
static u16 ring_get(const u8 *at) { return __atomic_load_n((const u16 *)(const void *)at, __ATOMIC_ACQUIRE); }
static void ring_put(u8 *at, u16 value) { __atomic_store_n((u16 *)(void *)at, value, __ATOMIC_RELEASE); }

void virtqueue_reset(struct virtqueue *q)
{
	*q = (struct virtqueue){ .size = VIRTQUEUE_SIZE_MAX, .vector = VIRTQUEUE_NO_VECTOR };
}

static bool broken(struct virtqueue *q)
{
	q->broken = true;
	return false;
}

static u8 *ring(const struct guest_memory *m, u64 gpa, u64 alignment, u64 bytes)
{
	return gpa % alignment == 0 ? guest_ptr(m, gpa, bytes) : NULL;
}

bool virtqueue_enable(struct virtqueue *q, const struct guest_memory *m)
{
	if (q->size == 0 || q->size > VIRTQUEUE_SIZE_MAX || (q->size & (q->size - 1)) != 0)
		return broken(q);
	q->descriptors = ring(m, q->descriptors_at, DESCRIPTORS_ALIGNMENT, sizeof(struct descriptor) * q->size);
	q->available = ring(m, q->available_at, AVAILABLE_ALIGNMENT, RING_FIRST + AVAILABLE_BYTES * q->size + EVENT_BYTES);
	q->used = ring(m, q->used_at, USED_ALIGNMENT, RING_FIRST + USED_BYTES * q->size + EVENT_BYTES);
	if (q->descriptors == NULL || q->available == NULL || q->used == NULL)
		return broken(q);
	q->enabled = true;
	return true;
}

/* ---- taking ---- */

/* Is there more than was taken? If not, the driver is asked to say when there is. */
static bool is_waiting(struct virtqueue *q)
{
	if (ring_get(q->available + RING_INDEX) != q->taken)
		return true;
	if (!q->event_index)
		return false;
	ring_put(q->used + RING_FIRST + USED_BYTES * q->size, q->taken);
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* the wish, then the last look: a driver does the reverse */
	return ring_get(q->available + RING_INDEX) != q->taken;
}

static struct descriptor copy_descriptor(const u8 *table, u32 i)
{
	struct descriptor d;

	__builtin_memcpy(&d, table + sizeof(d) * i, sizeof(d));
	__atomic_signal_fence(__ATOMIC_SEQ_CST); /* the compiler, too, reads it no second time */
	return d;
}

/* One buffer more for the chain; those that the device reads come first (2.6.4.2). */
static bool add_buffer(struct virtqueue_chain *c, const struct guest_memory *m, const struct descriptor *d)
{
	struct virtqueue_span *span = d->flags & DESCRIPTOR_WRITE ? &c->in : &c->out;
	u8 *at = guest_ptr(m, d->address, d->length);

	if (at == NULL || (span == &c->out && c->in.end != 0))
		return false;
	c->buffer[c->count].at = at;
	c->buffer[c->count].length = d->length;
	if (span->end == 0)
		span->buffer = c->count;
	span->end = ++c->count;
	span->left += d->length;
	return c->in.left + c->out.left <= CHAIN_BYTES_MAX;
}

/* From here on the chain goes on in a table of its own (2.6.5.3): no second one in it, and nothing after it. */
static const u8 *enter_indirect(const struct guest_memory *m, const struct descriptor *d, u32 *entries)
{
	*entries = d->length / (u32)sizeof(*d);
	if (*entries == 0 || d->length % sizeof(*d) != 0 || (d->flags & DESCRIPTOR_NEXT) != 0)
		return NULL;
	return guest_ptr(m, d->address, d->length);
}

static bool follow(const struct virtqueue *q, const struct guest_memory *m, struct virtqueue_chain *c)
{
	const u8 *table = q->descriptors;
	u32 entries = q->size, next = c->head;
	bool indirect = false;

	while (c->count < q->size && next < entries) {
		struct descriptor d = copy_descriptor(table, next);

		if (d.flags & DESCRIPTOR_INDIRECT) {
			table = indirect ? NULL : enter_indirect(m, &d, &entries);
			if (table == NULL)
				return false;
			indirect = true;
			next = 0;
			continue;
		}
		if (!add_buffer(c, m, &d))
			return false;
		if ((d.flags & DESCRIPTOR_NEXT) == 0)
			return true;
		next = d.next;
	}
	return false; /* longer than the queue, or out of its table */
}

bool virtqueue_take(struct virtqueue *q, const struct guest_memory *m, struct virtqueue_chain *chain)
{
	if (!q->enabled || q->broken || !is_waiting(q))
		return false;
	if ((u16)(ring_get(q->available + RING_INDEX) - q->taken) > q->size)
		return broken(q);
	chain->head = ring_get(q->available + RING_FIRST + AVAILABLE_BYTES * (q->taken % q->size));
	chain->count = 0;
	chain->in = chain->out = (struct virtqueue_span){ 0 };
	if (!follow(q, m, chain))
		return broken(q);
	q->taken++;
	return true;
}

/* ---- giving ---- */

void virtqueue_give(struct virtqueue *q, const struct virtqueue_chain *chain, u32 written)
{
	u32 element[2] = { chain->head, written };

	__builtin_memcpy(q->used + RING_FIRST + USED_BYTES * (q->given % q->size), element, sizeof(element));
	q->given++;
	ring_put(q->used + RING_INDEX, q->given); /* after the element and the buffers */
}

bool virtqueue_interrupts(struct virtqueue *q)
{
	u16 before = q->told, event;

	if (!q->enabled || q->given == before)
		return false;
	q->told = q->given;
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* the used index, then the wish: a driver does the reverse */
	if (!q->event_index)
		return (ring_get(q->available + RING_FLAGS) & AVAILABLE_NO_INTERRUPT) == 0;
	event = ring_get(q->available + RING_FIRST + AVAILABLE_BYTES * q->size);
	return (u16)(q->given - event - 1) < (u16)(q->given - before); /* 2.6.7.2: the index passed it */
}

/* ---- the bytes of a chain ---- */

u8 *virtqueue_piece(const struct virtqueue_chain *chain, struct virtqueue_span *span, u64 most, u64 *length)
{
	u8 *at;

	while (span->buffer < span->end && span->offset == chain->buffer[span->buffer].length) {
		span->buffer++;
		span->offset = 0;
	}
	if (span->buffer == span->end || most == 0)
		return NULL;
	at = chain->buffer[span->buffer].at + span->offset;
	*length = min_u64(most, chain->buffer[span->buffer].length - span->offset);
	span->offset += (u32)*length;
	span->left -= *length;
	return at;
}

u64 virtqueue_read(struct virtqueue_chain *chain, void *to, u64 length)
{
	u64 done = 0, part;

	for (u8 *at; (at = virtqueue_piece(chain, &chain->out, length - done, &part)) != NULL; done += part)
		memcpy((u8 *)to + done, at, part);
	return done;
}

u64 virtqueue_write(struct virtqueue_chain *chain, const void *from, u64 length)
{
	u64 done = 0, part;

	for (u8 *at; (at = virtqueue_piece(chain, &chain->in, length - done, &part)) != NULL; done += part)
		memcpy(at, (const u8 *)from + done, part);
	return done;
}
