/*
 * device: see device.h.
 */
#include "monitor/virtio/device.h"
#include "monitor/lib/bits.h"
#include "monitor/lib/call.h"
#include "monitor/lib/log.h"
#include "monitor/lib/string.h"
#include "monitor/virtio/pci.h"

struct common { /* 4.1.4.3 */
	u32 device_feature_select, device_feature, driver_feature_select, driver_feature;
	u16 config_msix_vector, num_queues;
	u8 device_status, config_generation;
	u16 queue_select, queue_size, queue_msix_vector, queue_enable, queue_notify_off;
	u64 queue_desc, queue_driver, queue_device;
};
static_assert(sizeof(struct common) == 56 && offsetof(struct common, queue_desc) == 32, "4.1.4.3");

#define STATUS_ONCE_SET (VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_DRIVER_OK | VIRTIO_FEATURES_OK | VIRTIO_FAILED)
#define HALF_BITS 32u
#define HALVES 2u

/* ---- work ---- */

bool virtio_is_live(const struct virtio_device *d)
{
	return (d->status & (VIRTIO_DRIVER_OK | VIRTIO_NEEDS_RESET)) == VIRTIO_DRIVER_OK && pci_is_master(&d->function);
}

static u64 offered(const struct virtio_device *d) { return d->type->features | VIRTIO_FEATURES_ALL; }

/* A queue of it makes no sense. The driver is told, and nothing is done until it resets the device. */
static void give_up(struct virtio_device *d)
{
	log_line("virtio device %u: its driver broke the rules of a queue; it waits for a reset", (u32)d->type->id);
	d->status |= VIRTIO_NEEDS_RESET;
	if (d->status & VIRTIO_DRIVER_OK)
		virtio_pci_config_changed(d);
}

static bool any_broken(const struct virtio_device *d)
{
	for (u32 i = 0; i < d->type->queues; i++)
		if (d->queue[i].broken)
			return true;
	return false;
}

void virtio_work(struct virtio_device *d)
{
	if (!virtio_is_live(d))
		return;
	if (d->type->work(d, VIRTIO_TURN_BYTES))
		timer_set(d->timers, d->type->timer, ring0_tsc() + d->pause);
	for (u32 i = 0; i < d->type->queues; i++)
		if (virtqueue_interrupts(&d->queue[i]))
			virtio_pci_queue_used(d, i);
	if (any_broken(d))
		give_up(d);
}

void virtio_reset(struct virtio_device *d)
{
	d->status = 0;
	d->accepted = 0;
	d->device_feature_select = d->driver_feature_select = 0;
	d->queue_select = 0;
	d->config_vector = VIRTQUEUE_NO_VECTOR;
	for (u32 i = 0; i < VIRTIO_QUEUES_MAX; i++)
		virtqueue_reset(&d->queue[i]);
	timer_set(d->timers, d->type->timer, TIMER_NEVER);
	d->type->reset(d);
	virtio_pci_isr_take(d);
}

/* ---- the common configuration structure ---- */

static const struct virtqueue *selected(const struct virtio_device *d)
{
	return d->queue_select < d->type->queues ? &d->queue[d->queue_select] : NULL;
}

/* The one that a write is for: where it lies and how large it is does not change while it is in use. */
static struct virtqueue *configurable(struct virtio_device *d)
{
	struct virtqueue *q = d->queue_select < d->type->queues ? &d->queue[d->queue_select] : NULL;

	return q != NULL && !q->enabled ? q : NULL;
}

static u32 half(u64 value, u32 select) { return select < HALVES ? (u32)(value >> select * HALF_BITS) : 0; }

u64 virtio_common_read(const struct virtio_device *d, u64 offset, u32 size)
{
	const struct virtqueue *q = selected(d);
	u64 value = 0;
	struct common c = {
		.device_feature_select = d->device_feature_select,
		.device_feature = half(offered(d), d->device_feature_select),
		.driver_feature_select = d->driver_feature_select,
		.driver_feature = half(d->accepted, d->driver_feature_select),
		.config_msix_vector = d->config_vector,
		.num_queues = (u16)d->type->queues,
		.device_status = d->status,
		.queue_select = d->queue_select,
	};

	if (q != NULL) {
		c.queue_size = q->size;
		c.queue_msix_vector = q->vector;
		c.queue_enable = q->enabled;
		c.queue_notify_off = d->queue_select;
		c.queue_desc = q->descriptors_at;
		c.queue_driver = q->available_at;
		c.queue_device = q->used_at;
	}
	if (offset < sizeof(c))
		memcpy(&value, (const u8 *)&c + offset, min_u64(size, sizeof(c) - offset));
	return value;
}

static void write_feature(struct virtio_device *d, u32 value)
{
	u32 shift = d->driver_feature_select * HALF_BITS;

	if ((d->status & VIRTIO_FEATURES_OK) == 0 && d->driver_feature_select < HALVES)
		d->accepted = (d->accepted & ~(0xffffffffull << shift)) | (u64)value << shift;
}

static void accept_features(struct virtio_device *d)
{
	for (u32 i = 0; i < d->type->queues; i++)
		d->queue[i].event_index = (d->accepted & VIRTIO_FEATURE(VIRTIO_F_EVENT_IDX)) != 0;
}

/* Zero resets. Other bits come to stay; FEATURES_OK only if the driver's choice can be (3.1.1). */
static void write_status(struct virtio_device *d, u8 value)
{
	bool agreed = (d->accepted & ~offered(d)) == 0 && (d->accepted & VIRTIO_FEATURE(VIRTIO_F_VERSION_1)) != 0;
	u8 was = d->status;

	if (value == 0) {
		virtio_reset(d);
		return;
	}
	if (!agreed)
		value &= (u8)~VIRTIO_FEATURES_OK;
	if ((was & VIRTIO_FEATURES_OK) == 0 && (value & VIRTIO_FEATURES_OK) != 0)
		accept_features(d);
	if (((was | value) & VIRTIO_FEATURES_OK) == 0)
		value &= (u8)~VIRTIO_DRIVER_OK;
	d->status |= value & STATUS_ONCE_SET;
	if ((was & VIRTIO_DRIVER_OK) == 0)
		virtio_work(d); /* buffers may wait already */
}

static u16 write_vector(const struct virtio_device *d, u64 value)
{
	return value < d->msix.vectors ? (u16)value : VIRTQUEUE_NO_VECTOR;
}

static void write_enable(struct virtio_device *d, struct virtqueue *q, u64 value)
{
	if (value == 1 && (d->status & VIRTIO_NEEDS_RESET) == 0 && !virtqueue_enable(q, d->memory))
		give_up(d);
}

static void write_queue(struct virtio_device *d, struct virtqueue *q, u64 offset, u64 value)
{
	switch (offset) {
	case offsetof(struct common, queue_size):
		q->size = (u16)value;
		break;
	case offsetof(struct common, queue_enable):
		write_enable(d, q, value);
		break;
	case offsetof(struct common, queue_desc):
		q->descriptors_at = value;
		break;
	case offsetof(struct common, queue_driver):
		q->available_at = value;
		break;
	case offsetof(struct common, queue_device):
		q->used_at = value;
		break;
	default: /* queue_notify_off: read-only */
		break;
	}
}

static void write_field(struct virtio_device *d, u64 offset, u64 value)
{
	struct virtqueue *q = configurable(d);

	switch (offset) {
	case offsetof(struct common, device_feature_select):
		d->device_feature_select = (u32)value;
		break;
	case offsetof(struct common, driver_feature_select):
		d->driver_feature_select = (u32)value;
		break;
	case offsetof(struct common, driver_feature):
		write_feature(d, (u32)value);
		break;
	case offsetof(struct common, config_msix_vector):
		d->config_vector = write_vector(d, value);
		break;
	case offsetof(struct common, device_status):
		write_status(d, (u8)value);
		break;
	case offsetof(struct common, queue_select):
		d->queue_select = (u16)value;
		break;
	case offsetof(struct common, queue_msix_vector): /* an enabled queue's too: some drivers share out the vectors last */
		if (d->queue_select < d->type->queues)
			d->queue[d->queue_select].vector = write_vector(d, value);
		break;
	default:
		if (q != NULL)
			write_queue(d, q, offset, value);
		break;
	}
}

/* The field that begins at this offset: its size, or 0. */
static u32 field_size(u64 offset)
{
	if (offset < offsetof(struct common, config_msix_vector))
		return offset % sizeof(u32) == 0 ? sizeof(u32) : 0;
	if (offset == offsetof(struct common, device_status) || offset == offsetof(struct common, config_generation))
		return sizeof(u8);
	if (offset < offsetof(struct common, queue_desc))
		return offset % sizeof(u16) == 0 ? sizeof(u16) : 0;
	return offset < sizeof(struct common) && offset % sizeof(u64) == 0 ? sizeof(u64) : 0;
}

/* Fields are written whole, those of 64 bits also by halves (4.1.3.1). */
void virtio_common_write(struct virtio_device *d, u64 offset, u32 size, u64 value)
{
	u64 whole = align_down(offset, sizeof(u64));

	if (size == field_size(offset)) {
		write_field(d, offset, value & all_ones(size));
	} else if (size == sizeof(u32) && offset % size == 0 && field_size(whole) == sizeof(u64)) {
		u64 before = virtio_common_read(d, whole, sizeof(u64));
		u32 shift = (u32)(offset - whole) * 8;

		write_field(d, whole, (before & ~(all_ones(size) << shift)) | (value & all_ones(size)) << shift);
	}
}
