/* virtio: see virtio.h. */
#include "lib/virtio.h"

#ifdef __x86_64__

enum { ADDRESS = 0xcf8, DATA = 0xcfc, SLOTS = 32, VENDOR = 0x1af4 };
enum { COMMAND = 4, MEMORY_AND_MASTER = 6, BAR0 = 0x10, CAPABILITIES = 0x34, BAR_64 = 4, CAP_VENDOR = 9, CAP_MSIX = 0x11, MSIX_ON = 0x8000 };

/* --- the function ------------------------------------------------------------------------------------- */

static u32 virtio_config(const struct virtio_device *d, unsigned at)
{
	outl(ADDRESS, 0x80000000u | d->slot << 11 | (at & 0xfc));
	return inl(DATA) >> at % 4 * 8;
}

void virtio_config_word(const struct virtio_device *d, unsigned at, u16 value)
{
	outl(ADDRESS, 0x80000000u | d->slot << 11 | (at & 0xfc));
	outw((u16)(DATA + at % 4), value);
}

static volatile u8 *virtio_place(const struct virtio_device *d, unsigned bar, u32 offset)
{
	u32 low = virtio_config(d, BAR0 + bar * 4);
	u64 at = (low & ~15u) | (low & BAR_64 ? (u64)virtio_config(d, BAR0 + bar * 4 + 4) << 32 : 0);

	map_identity(at + offset, at + offset + PAGE_SIZE);
	return (volatile u8 *)(at + offset);
}

bool virtio_find(struct virtio_device *d, u16 type)
{
	for (d->slot = 0; d->slot < SLOTS; d->slot++)
		if (virtio_config(d, 0) == (VENDOR | (u32)type << 16))
			break;
	if (d->slot == SLOTS)
		return false;
	virtio_config_word(d, COMMAND, MEMORY_AND_MASTER);
	for (unsigned at = virtio_config(d, CAPABILITIES) & 0xff, i = 0; at && i < SLOTS; at = virtio_config(d, at + 1) & 0xff, i++) {
		unsigned id = virtio_config(d, at) & 0xff, kind = virtio_config(d, at + 3) & 0xff;

		if (id == CAP_MSIX) {
			u32 table = virtio_config(d, at + 4);
			d->msix = at;
			d->messages = virtio_place(d, table & 7, table & ~7u);
		} else if (id == CAP_VENDOR && kind < CAP_KINDS && !d->part[kind]) {
			d->part[kind] = virtio_place(d, virtio_config(d, at + 4) & 0xff, virtio_config(d, at + 8));
			if (kind == CAP_NOTIFY)
				d->multiplier = virtio_config(d, at + 16);
		}
	}
	return d->part[CAP_COMMON] && d->part[CAP_NOTIFY] && d->part[CAP_ISR] && d->part[CAP_DEVICE] && d->messages;
}

u8 virtio_get8(struct virtio_device *d, unsigned at) { return d->part[CAP_COMMON][at]; }
u16 virtio_get16(struct virtio_device *d, unsigned at) { return *(volatile u16 *)(d->part[CAP_COMMON] + at); }
u32 virtio_get32(struct virtio_device *d, unsigned at) { return *(volatile u32 *)(d->part[CAP_COMMON] + at); }
void virtio_set8(struct virtio_device *d, unsigned at, u8 v) { d->part[CAP_COMMON][at] = v; }
void virtio_set16(struct virtio_device *d, unsigned at, u16 v) { *(volatile u16 *)(d->part[CAP_COMMON] + at) = v; }
void virtio_set32(struct virtio_device *d, unsigned at, u32 v) { *(volatile u32 *)(d->part[CAP_COMMON] + at) = v; }
void virtio_set64(struct virtio_device *d, unsigned at, u64 v) { virtio_set32(d, at, (u32)v), virtio_set32(d, at + 4, (u32)(v >> 32)); }

/* --- the driver --------------------------------------------------------------------------------------- */

void virtio_queue(struct virtio_device *d, unsigned i)
{
	struct virtio_ring *r = &d->ring[i];
	u8 *used = page_alloc();

	r->table = page_alloc();
	r->available = page_alloc();
	r->used_index = (volatile u16 *)(used + 2);
	r->used = (volatile u32 *)(used + 4);
	r->seen = 0;
	virtio_set16(d, SELECT, (u16)i);
	virtio_set16(d, QUEUE_SIZE, RING);
	virtio_set16(d, QUEUE_VECTOR, 0);
	virtio_set64(d, QUEUE_DESC, (u64)r->table);
	virtio_set64(d, QUEUE_DRIVER, (u64)r->available);
	virtio_set64(d, QUEUE_DEVICE, (u64)used);
	virtio_set16(d, QUEUE_ENABLE, 1);
}

bool virtio_start(struct virtio_device *d, unsigned queues)
{
	volatile u32 *message = (volatile u32 *)d->messages;

	virtio_set8(d, STATUS, 0);
	virtio_set8(d, STATUS, ACKNOWLEDGE | DRIVER);
	virtio_set32(d, DRIVER_SELECT, 0);
	virtio_set32(d, DRIVER_FEATURE, 0);
	virtio_set32(d, DRIVER_SELECT, 1);
	virtio_set32(d, DRIVER_FEATURE, 1);
	virtio_set8(d, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	if (!(virtio_get8(d, STATUS) & FEATURES_OK))
		return false;
	virtio_config_word(d, d->msix + 2, MSIX_ON);
	message[0] = LAPIC_ADDRESS | lapic_read(APIC_ID) >> 24 << 12;
	message[1] = 0;
	message[2] = VIRTIO_VECTOR;
	message[3] = 0;
	for (unsigned i = 0; i < queues; i++)
		virtio_queue(d, i);
	virtio_set8(d, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	return virtio_get8(d, STATUS) == (ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
}

void virtio_describe(struct virtio_ring *r, unsigned i, const volatile void *at, u32 length, unsigned flags, unsigned next)
{
	r->table[i].address = (u64)at;
	r->table[i].length = length;
	r->table[i].flags = (u16)flags;
	r->table[i].next = (u16)next;
}

void virtio_offer(struct virtio_device *d, unsigned i)
{
	struct virtio_ring *r = &d->ring[i];

	r->available[2 + r->available[1] % RING] = 0;
	r->available[1]++;
	virtio_set16(d, SELECT, (u16)i);
	*(volatile u16 *)(d->part[CAP_NOTIFY] + virtio_get16(d, NOTIFY_OFF) * d->multiplier) = (u16)i;
}

u32 virtio_done(struct virtio_device *d, unsigned i)
{
	struct virtio_ring *r = &d->ring[i];

	for (unsigned ms = 0; *r->used_index == r->seen && ms < PATIENCE_MS; ms++)
		delay_us(1000);
	return *r->used_index == r->seen ? ~0u : r->used[r->seen++ % RING * 2 + 1];
}

/* --- the block device --------------------------------------------------------------------------------- */

u8 virtio_request(struct virtio_device *d, u32 type, u64 sector, u8 *const pages[], u32 bytes)
{
	static struct virtio_request_header header;
	static volatile u8 status;
	struct virtio_ring *r = &d->ring[0];
	unsigned n = 0;

	header.type = type;
	header.sector = sector;
	status = UNTOUCHED;
	virtio_describe(r, n, &header, sizeof(header), NEXT, n + 1);
	for (u32 at = 0; at < bytes; at += PAGE_SIZE) {
		u32 part = bytes - at < PAGE_SIZE ? bytes - at : PAGE_SIZE;
		n++;
		virtio_describe(r, n, pages[at / PAGE_SIZE], part, NEXT | (type == OUT ? 0 : WRITE), n + 1);
	}
	n++;
	virtio_describe(r, n, &status, 1, WRITE, 0);
	virtio_offer(d, 0);
	virtio_done(d, 0);
	return status;
}

u64 virtio_capacity(struct virtio_device *d)
{
	volatile u32 *at = (volatile u32 *)d->part[CAP_DEVICE];

	return at[0] | (u64)at[1] << 32;
}

#endif
