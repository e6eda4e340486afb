/*
 * virtio: a driver for the console and the block device by PCI, small enough to be wrong on purpose.
 */
#ifndef GUEST_VIRTIO_H
#define GUEST_VIRTIO_H

#include "lib/guest.h"

enum { CAP_COMMON = 1, CAP_NOTIFY, CAP_ISR, CAP_DEVICE, CAP_KINDS };
enum { /* offsets in the common structure */
	FEATURE_SELECT = 0, FEATURE = 4, DRIVER_SELECT = 8, DRIVER_FEATURE = 12, STATUS = 20, SELECT = 22, QUEUE_SIZE = 24, QUEUE_VECTOR = 26,
	QUEUE_ENABLE = 28, NOTIFY_OFF = 30, QUEUE_DESC = 32, QUEUE_DRIVER = 40, QUEUE_DEVICE = 48,
};
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8, NEEDS_RESET = 64 };
enum { F_INDIRECT = 28, NEXT = 1, WRITE = 2, INDIRECT = 4, RING = 8, PATIENCE_MS = 2000, SECTOR = 512 };
enum { IN, OUT, FLUSH = 4, GET_ID = 8, NO_TYPE = 99, OK = 0, IOERR, UNSUPP, UNTOUCHED = 0x77 };
enum { TYPE_BLOCK = 0x1042, TYPE_CONSOLE = 0x1043, VIRTIO_VECTOR = V_FREE };

struct virtio_descriptor {
	u64 address;
	u32 length;
	u16 flags, next;
};
struct virtio_request_header {
	u32 type, reserved;
	u64 sector;
};
struct virtio_ring { /* one page each, to be simple */
	volatile struct virtio_descriptor *table;
	volatile u16 *available; /* flags, index, ring */
	volatile u16 *used_index;
	volatile u32 *used; /* id, length, ... */
	u16 seen;
};
struct virtio_device {
	unsigned slot, msix;
	volatile u8 *part[CAP_KINDS], *messages;
	u32 multiplier;
	struct virtio_ring ring[2];
};

/* The function of that type, memory and bus master on, its structures within reach; false: there is none. */
bool virtio_find(struct virtio_device *d, u16 type);
void virtio_config_word(const struct virtio_device *d, unsigned at, u16 value);
u8 virtio_get8(struct virtio_device *d, unsigned at);
u16 virtio_get16(struct virtio_device *d, unsigned at);
u32 virtio_get32(struct virtio_device *d, unsigned at);
void virtio_set8(struct virtio_device *d, unsigned at, u8 v);
void virtio_set16(struct virtio_device *d, unsigned at, u16 v);
void virtio_set32(struct virtio_device *d, unsigned at, u32 v);
void virtio_set64(struct virtio_device *d, unsigned at, u64 v);

/* The statuses that 3.1.1 prescribes, with VERSION_1 as the only feature; queues with message 0, which is VIRTIO_VECTOR. */
bool virtio_start(struct virtio_device *d, unsigned queues);
void virtio_queue(struct virtio_device *d, unsigned i);
void virtio_describe(struct virtio_ring *r, unsigned i, const volatile void *at, u32 length, unsigned flags, unsigned next);
/* Chain 0 to the device. */
void virtio_offer(struct virtio_device *d, unsigned i);
/* The device has given one chain back; its length, or ~0. */
u32 virtio_done(struct virtio_device *d, unsigned i);
/* One request to a block device with so many bytes of data, a page a descriptor; its status, or UNTOUCHED. */
u8 virtio_request(struct virtio_device *d, u32 type, u64 sector, u8 *const pages[], u32 bytes);
u64 virtio_capacity(struct virtio_device *d); /* in sectors */

#endif
