/*
 * fuzz_virtio: a driver that libFuzzer makes up, against console and block device: rings, descriptors, registers, and what happens between.
 *
 * Memory, disk and image are allocations of exactly their size, so the sanitizers see a byte too far. Each access is answered, each entry
 * does a bounded amount of work, and the image stays as it was.
 */
#include "monitor/emulate.h"
#include "tests/fuzz/must.h"
#include "tests/unit/virtio_driver.h"

#include <stdlib.h>

#define MEMORY (256u << 10)
#define DISK (4096u * 4 + 512u)
#define STEP_BYTES 8u
#define BUFFERS 0x30000u
#define QUEUE 16u
#define BAR_BYTES 0x8000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct machine machine;
static struct driver drivers[2];

static u64 address(u8 choice, u16 value)
{
	static const u64 from[] = { BUFFERS, BUFFERS, BUFFERS, 0, MEMORY - 0x8000, DRIVER_MEMORY + 4 * DRIVER_RING_BYTES, MON_PCI_MMIO, ~0ull - 0x7fff };

	return from[choice % 8] + value;
}

/* One descriptor, of the queue's table or, for an indirect one, of what may be its table. */
static void describe(struct ring *r, const u8 *s)
{
	u64 table = s[1] & 0x80 ? BUFFERS : r->descriptors;
	u16 value = (u16)(s[4] | s[5] << 8);
	u32 length = s[6] < 0x80 ? s[6] : (u32)(s[6] & 0x7f) << (s[7] & 31);

	ring_describe(table, s[1] & 15, address(s[2], value), length, s[3] & 7, s[3] >> 4);
}

/* A chain as a driver would make it, then perhaps one field of one descriptor changed. To the block device it is a request. */
static void chain(struct ring *r, const u8 *s)
{
	static const u8 types[] = { 0, 1, 4, 8, 0, 1, 1, 3 };
	u32 count = 1 + (s[1] & 3), reads = s[1] >> 2 & 3, last = s[6] & 4 ? 1 : 16; /* 1: room for a request's status alone */
	struct ring_buffer b[4];
	u64 at;

	ring_put(BUFFERS, 8, types[s[2] & 7]);
	ring_put(BUFFERS + 8, 8, s[2] & 0x80 ? ~0ull >> (s[3] & 63) : s[3] % 40u);
	for (u32 i = 0; i < count; i++)
		b[i] = (struct ring_buffer){ BUFFERS + 0x1000 * i, i == 0 ? 16 : i == 3 ? last : (s[4] & 15) * 256u, i >= reads };
	at = r->descriptors + RING_DESCRIPTOR * ((u32)(ring_chain(r, b, count) + (s[6] & 3)) % r->size);
	if ((s[1] & 0xc0) == 0)
		ring_put(at, 8, address(s[7], (u16)(s[5] << 8)));
	else if ((s[1] & 0xc0) == 0x40)
		ring_put(at + 8, 4, (u32)s[7] << (s[5] & 31));
	else if ((s[1] & 0xc0) == 0x80)
		ring_put(at + 12, 4, (s[7] & 7) | (u32)s[5] << 16);
}

static void event(enum mon_entry_kind kind, const u8 *s)
{
	fake.comm.entry = (struct mon_entry){ .kind = kind };
	if (kind == MON_ENTRY_CONSOLE) {
		fake.comm.entry.console.count = s[2] % (MON_CONSOLE_BYTES + 1);
		memset(fake.comm.entry.console.bytes, s[3], MON_CONSOLE_BYTES);
	}
	fake.tsc += (u64)s[4] << 12;
	fake_enter(&machine);
}

static void start(struct driver *d, u8 how)
{
	u32 msix = driver_capability(d, 0x11, 0);

	driver_features(d, 1ull << 32 | (how & 1 ? 1ull << 29 : 0));
	for (u32 i = 0; i < 2; i++)
		driver_queue(d, i, QUEUE); /* the block device has one: no harm */
	driver_config_put(d, msix + 2, 2, how & 2 ? 0x8000 : 0);
	driver_vector(d, 1, 0xfee00000, 0x31, how >> 2 & 1);
	driver_put(d, VP_STATUS, 1, 15);
}

static void step(const u8 *s)
{
	struct driver *d = &drivers[s[0] >> 7];
	struct ring *r = &d->ring[s[0] >> 6 & 1];
	u32 value = s[4] | (u32)s[5] << 8 | (u32)s[6] << 16 | (u32)s[7] << 24, at = s[2] | (u32)s[3] << 8;

	switch (s[0] % 12) {
	case 0:
	case 1:
	case 2:
		chain(r, s);
		driver_notify(d, s[0] >> 6 & 1);
		break;
	case 3:
		ring_offer(r, s[1] & 31);
		driver_notify(d, s[0] >> 6 & 1);
		break;
	case 4:
		driver_notify(d, s[0] >> 6 & 1);
		break;
	case 5: /* anything in a ring's pages */
		ring_put(r->descriptors + at % (DRIVER_RING_BYTES - 8), 1u << (s[1] & 3), value);
		break;
	case 6:
		driver_put(d, at % 64, 1u << (s[1] & 3), value);
		break;
	case 7:
		driver_mmio(d, d->bar + at % BAR_BYTES, 1u << (s[1] & 3), s[1] >> 2 & 1, value);
		must(fake.answer == FAKE_REPLIED, "an access that is not answered");
		break;
	case 8:
		driver_config_put(d, s[2], (u8)(1u << s[1] % 3), value);
		driver_config(d, s[3], 4);
		break;
	case 9:
		event(s[1] & 1 ? MON_ENTRY_TIMER : MON_ENTRY_CONSOLE, s);
		break;
	case 10:
		describe(r, s);
		break;
	default:
		start(d, s[1]);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static u8 original[DISK];
	u8 *image = NULL;

	if (size == 0)
		return 0;
	fake_reset(MEMORY);
	if (data[0] & 1) {
		image = malloc(DISK);
		must(image != NULL, "no memory for an image");
		for (u32 i = 0; i < DISK; i++)
			image[i] = original[i] = (u8)(i ^ i >> 8);
	}
	fake_disk(DISK, image);
	machine_init(&machine, &fake.info);
	for (u32 i = 0; i < 2; i++) {
		driver_find(&drivers[i], &machine, i ? SLOT_VIRTIO_BLOCK : SLOT_VIRTIO_CONSOLE);
		start(&drivers[i], data[0] >> 1);
	}
	for (size_t at = 1; at + STEP_BYTES <= size; at += STEP_BYTES) {
		u32 calls = fake.console_calls;

		step(data + at);
		/* A step is some tens of entries; none prints more than a turn's bytes. */
		must(fake.console_calls - calls <= 64 * (VIRTIO_TURN_BYTES / CONSOLE_BUFFER + 1), "more is printed than a turn allows");
	}
	must(image == NULL || memcmp(image, original, DISK) == 0, "the image was written");
	free(image);
	return 0;
}

/* The emulator has tests of its own; no step here asks for it. */
enum emulate_result emulate_instruction(const struct emulate_ops *ops, void *context, struct mon_vcpu *cpu, const u8 *bytes,
					u32 length, struct emulate_fault *fault)
{
	(void)ops, (void)context, (void)cpu, (void)bytes, (void)length, (void)fault;
	return EMULATE_UNKNOWN;
}
