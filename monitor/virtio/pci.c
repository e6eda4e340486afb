/*
 * pci: see pci.h.
 */
#include "monitor/virtio/pci.h"
#include "monitor/lib/bits.h"
#include "monitor/lib/string.h"

#define VENDOR 0x1af4u
#define DEVICE_FIRST 0x1040u /* + the device type */
#define REVISION_MODERN 1u

enum page { COMMON, ISR, DEVICE, NOTIFY, TABLE, PBA };
#define BAR 0u
#define BAR_SIZE 0x8000u
#define PAGE_OF(offset) ((offset) / PAGE_SIZE)
#define NOTIFY_MULTIPLIER 4u

/* struct virtio_pci_cap, 4.1.4; the last two have more after it. */
#define CAPABILITY_VENDOR 0x09u
enum capability_type { CAP_COMMON = 1, CAP_NOTIFY, CAP_ISR, CAP_DEVICE, CAP_ACCESS };
#define CAP_LENGTH 2u
#define CAP_TYPE   3u
#define CAP_BAR    4u
#define CAP_OFFSET 8u
#define CAP_SIZE  12u
#define CAP_MORE  16u
#define CAP_BYTES 16u
#define CAP_BYTES_MORE 20u

#define ISR_QUEUE 1u
#define ISR_CONFIG 2u

static struct virtio_device *device_of(struct pci_function *f)
{
	static_assert(offsetof(struct virtio_device, function) == 0, "a device begins with its function");
	return (struct virtio_device *)f;
}

/* ---- interrupts ---- */

static void interrupt(struct virtio_device *d, u32 vector, u8 isr)
{
	if (msix_enabled(&d->msix)) {
		msix_send(&d->msix, vector);
		return;
	}
	d->isr |= isr;
	pci_interrupt(d->pci, &d->function, true);
}

void virtio_pci_queue_used(struct virtio_device *d, u32 queue) { interrupt(d, d->queue[queue].vector, ISR_QUEUE); }
void virtio_pci_config_changed(struct virtio_device *d) { interrupt(d, d->config_vector, ISR_CONFIG); }

u8 virtio_pci_isr_take(struct virtio_device *d)
{
	u8 isr = d->isr;

	d->isr = 0;
	pci_interrupt(d->pci, &d->function, false);
	return isr;
}

/* ---- the BAR ---- */

static u64 read_config(const struct virtio_device *d, u64 at, u32 size)
{
	u64 value = 0;

	if (at < VIRTIO_CONFIG_BYTES)
		memcpy(&value, d->config + at, min_u64(size, VIRTIO_CONFIG_BYTES - at));
	return value;
}

static u64 bar_read(struct pci_function *f, u32 bar, u64 offset, u32 size)
{
	struct virtio_device *d = device_of(f);
	u64 at = offset & PAGE_MASK;

	(void)bar;
	switch (PAGE_OF(offset)) {
	case COMMON:
		return virtio_common_read(d, at, size);
	case ISR:
		return at == 0 ? virtio_pci_isr_take(d) : 0;
	case DEVICE:
		return read_config(d, at, size);
	case TABLE:
		return msix_table_read(&d->msix, at, size);
	case PBA:
		return msix_pba_read(&d->msix, at, size);
	default:
		return 0;
	}
}

static void bar_write(struct pci_function *f, u32 bar, u64 offset, u32 size, u64 value)
{
	struct virtio_device *d = device_of(f);
	u64 at = offset & PAGE_MASK;

	(void)bar;
	switch (PAGE_OF(offset)) {
	case COMMON:
		virtio_common_write(d, at, size, value);
		break;
	case NOTIFY:
		if (at / NOTIFY_MULTIPLIER < d->type->queues)
			virtio_work(d);
		break;
	case TABLE:
		msix_table_write(&d->msix, at, size, value);
		break;
	default:
		break;
	}
}

/* ---- configuration space ---- */

/* The window of VIRTIO_PCI_CAP_PCI_CFG (4.1.4.8): data registers that stand for a place in the BAR. */
static bool through_window(const struct virtio_device *d, u32 offset, u32 *at, u32 *size)
{
	const struct pci_function *f = &d->function;

	*at = (u32)pci_get(f, d->access_at + CAP_OFFSET, 4);
	*size = (u32)pci_get(f, d->access_at + CAP_SIZE, 4);
	return offset == d->access_at + CAP_MORE && f->config[d->access_at + CAP_BAR] == BAR &&
	       (*size == 1 || *size == 2 || *size == 4) && *at % *size == 0 && *at <= BAR_SIZE - *size;
}

static void config_reading(struct pci_function *f, u32 offset, u32 size)
{
	struct virtio_device *d = device_of(f);
	u32 at, length;

	(void)size;
	if (through_window(d, offset, &at, &length))
		pci_put(f, offset, length, bar_read(f, BAR, at, length));
}

static void config_written(struct pci_function *f, u32 offset, u32 size)
{
	struct virtio_device *d = device_of(f);
	u32 at, length;

	(void)size;
	if (through_window(d, offset, &at, &length))
		bar_write(f, BAR, at, length, pci_get(f, offset, length));
	if (msix_enabled(&d->msix))
		virtio_pci_isr_take(d); /* the pin is not for this driver */
	msix_update(&d->msix);
	if (offset == PCI_COMMAND)
		virtio_work(d); /* it may have become a master */
}

static u32 add_capability(struct pci_function *f, enum capability_type type, u32 bytes, u32 offset, u32 size)
{
	u32 at = pci_add_capability(f, CAPABILITY_VENDOR, bytes);

	f->config[at + CAP_LENGTH] = (u8)bytes;
	f->config[at + CAP_TYPE] = (u8)type;
	f->config[at + CAP_BAR] = BAR;
	pci_put(f, at + CAP_OFFSET, 4, offset);
	pci_put(f, at + CAP_SIZE, 4, size);
	return at;
}

static void add_capabilities(struct virtio_device *d)
{
	struct pci_function *f = &d->function;
	u32 notify;

	add_capability(f, CAP_COMMON, CAP_BYTES, COMMON * PAGE_SIZE, PAGE_SIZE);
	add_capability(f, CAP_ISR, CAP_BYTES, ISR * PAGE_SIZE, PAGE_SIZE);
	add_capability(f, CAP_DEVICE, CAP_BYTES, DEVICE * PAGE_SIZE, PAGE_SIZE);
	notify = add_capability(f, CAP_NOTIFY, CAP_BYTES_MORE, NOTIFY * PAGE_SIZE, PAGE_SIZE);
	pci_put(f, notify + CAP_MORE, 4, NOTIFY_MULTIPLIER);
	d->access_at = add_capability(f, CAP_ACCESS, CAP_BYTES_MORE, 0, 0);
	for (u32 i = CAP_BAR; i < CAP_BYTES_MORE; i++)
		f->writable[d->access_at + i] = i == CAP_BAR || i >= CAP_OFFSET ? 0xff : 0;
	msix_init(&d->msix, f, d->type->queues + 1, BAR, TABLE * PAGE_SIZE, PBA * PAGE_SIZE);
}

void virtio_pci_init(struct virtio_device *d, const struct virtio_type *type, const struct virtio_bus *bus, u8 slot)
{
	const struct pci_identity id = {
		.vendor = VENDOR,
		.device = (u16)(DEVICE_FIRST + type->id),
		.class = type->class,
		.revision = REVISION_MODERN,
		.subsystem_vendor = VENDOR,
		.subsystem = (u16)(DEVICE_FIRST + type->id),
	};

	*d = (struct virtio_device){ .type = type, .pci = bus->pci, .timers = bus->timers, .memory = bus->memory };
	d->pause = bus->tsc_khz * 1000 / VIRTIO_PAUSES_A_SECOND;
	pci_function_init(&d->function, slot, 0, &id);
	pci_bar_init(&d->function, BAR, PCI_BAR_MEMORY32, BAR_SIZE);
	d->function.config[PCI_PIN] = PCI_PIN_A;
	d->function.read = bar_read;
	d->function.write = bar_write;
	d->function.reading = config_reading;
	d->function.written = config_written;
	add_capabilities(d);
	virtio_reset(d);
	pci_add(bus->pci, &d->function);
	pci_place(bus->pci, &d->function);
}
