/*
 * block: see block.h. A request is a header, data, and a last byte for the status; how they are cut into buffers is the driver's affair.
 */
#include "monitor/virtio/block.h"
#include "monitor/lib/bits.h"

#define DEVICE_BLOCK 2u
#define CLASS_STORAGE_OTHER 0x018000u
#define QUEUE_REQUESTS 0u
#define QUEUES 1u

/* Features and configuration, 5.2.3 and 5.2.4. */
#define F_SEG_MAX 2u
#define F_BLK_SIZE 6u
#define F_FLUSH 9u
#define CONFIG_CAPACITY 0u
#define CONFIG_SEG_MAX 12u
#define CONFIG_BLK_SIZE 20u
#define HEADER_AND_STATUS 2u /* buffers that are not data */

struct header { /* 5.2.6 */
	u32 type, reserved;
	u64 sector;
};
static_assert(sizeof(struct header) == 16, "5.2.6");
enum { TYPE_IN = 0, TYPE_OUT = 1, TYPE_FLUSH = 4, TYPE_GET_ID = 8 };
enum { STATUS_OK, STATUS_IOERR, STATUS_UNSUPP };
#define STATUS_BYTES 1u

#define ID_BYTES 20u
static const char id[ID_BYTES] = "ringmur-disk";

static struct virtio_block *block_of(struct virtio_device *d)
{
	static_assert(offsetof(struct virtio_block, device) == 0, "a block device begins with its device");
	return (struct virtio_block *)d;
}

static bool in_disk(const struct disk *d, u64 sector, u64 bytes)
{
	u64 capacity = d->bytes / DISK_SECTOR;

	return bytes % DISK_SECTOR == 0 && sector <= capacity && bytes / DISK_SECTOR <= capacity - sector;
}

/* What the header asks for, judged: how much is to be carried, or why nothing is. */
static void judge(struct virtio_block *b, const struct header *h)
{
	u64 data = h->type == TYPE_OUT ? b->chain.out.left : b->chain.in.left - STATUS_BYTES;

	b->kind = h->type;
	b->left = b->written = 0;
	b->status = STATUS_OK;
	switch (h->type) {
	case TYPE_IN:
	case TYPE_OUT:
		if (in_disk(&b->disk, h->sector, data)) {
			b->offset = h->sector * DISK_SECTOR;
			b->left = data;
		} else {
			b->status = STATUS_IOERR;
		}
		break;
	case TYPE_FLUSH:
		break;
	case TYPE_GET_ID:
		b->written = virtqueue_write(&b->chain, id, min_u64(ID_BYTES, data));
		break;
	default:
		b->status = STATUS_UNSUPP;
		break;
	}
}

/* The next request; false: there is none. One without a header or a byte for the status cannot be answered. */
static bool begin(struct virtio_block *b)
{
	struct virtqueue *q = &b->device.queue[QUEUE_REQUESTS];
	struct header header;

	if (!virtqueue_take(q, b->device.memory, &b->chain))
		return false;
	if (virtqueue_read(&b->chain, &header, sizeof(header)) != sizeof(header) || b->chain.in.left < STATUS_BYTES) {
		q->broken = true;
		return false;
	}
	judge(b, &header);
	b->busy = true;
	return true;
}

/* Carry data until the budget or the request ends; how many bytes. */
static u64 carry(struct virtio_block *b, u64 budget)
{
	bool reads = b->kind == TYPE_IN;
	struct virtqueue_span *span = reads ? &b->chain.in : &b->chain.out;
	u64 done = 0, part;

	for (u8 *at; (at = virtqueue_piece(&b->chain, span, min_u64(b->left, budget - done), &part)) != NULL; done += part) {
		if (reads)
			disk_read(&b->disk, b->offset, at, part);
		else
			disk_write(&b->disk, b->offset, at, part);
		b->offset += part;
		b->left -= part;
	}
	if (reads)
		b->written += done;
	return done;
}

static void finish(struct virtio_block *b)
{
	struct virtqueue_span *in = &b->chain.in;
	u64 skipped;

	while (in->left > STATUS_BYTES && virtqueue_piece(&b->chain, in, in->left - STATUS_BYTES, &skipped) != NULL)
		; /* data that was not given */
	virtqueue_write(&b->chain, &b->status, STATUS_BYTES);
	virtqueue_give(&b->device.queue[QUEUE_REQUESTS], &b->chain, (u32)(b->written + STATUS_BYTES));
	b->busy = false;
}

static bool work(struct virtio_device *d, u64 budget)
{
	struct virtio_block *b = block_of(d);
	u64 spent = 0;

	while (spent < budget) {
		if (!b->busy && !begin(b))
			return false;
		spent += max_u64(carry(b, budget - spent), VIRTIO_CHAIN_COST);
		if (b->left == 0)
			finish(b);
	}
	return true;
}

static void reset(struct virtio_device *d) { block_of(d)->busy = false; }

static const struct virtio_type type = {
	.id = DEVICE_BLOCK,
	.class = CLASS_STORAGE_OTHER,
	.queues = QUEUES,
	.features = VIRTIO_FEATURE(F_SEG_MAX) | VIRTIO_FEATURE(F_BLK_SIZE) | VIRTIO_FEATURE(F_FLUSH),
	.timer = TIMER_VIRTIO_BLOCK,
	.work = work,
	.reset = reset,
};

static void put(u8 *to, u32 size, u64 value)
{
	for (u32 i = 0; i < size; i++)
		to[i] = (u8)(value >> 8 * i);
}

void virtio_block_init(struct virtio_block *b, const struct virtio_bus *bus, u8 slot, const struct disk *disk)
{
	b->disk = *disk;
	virtio_pci_init(&b->device, &type, bus, slot);
	put(b->device.config + CONFIG_CAPACITY, sizeof(u64), disk->bytes / DISK_SECTOR);
	put(b->device.config + CONFIG_SEG_MAX, sizeof(u32), VIRTQUEUE_SIZE_MAX - HEADER_AND_STATUS);
	put(b->device.config + CONFIG_BLK_SIZE, sizeof(u32), DISK_SECTOR);
}
