/*
 * virtio_driver: a driver for virtio over PCI, by accesses to a whole machine's ports and memory as a guest's exits bring them.
 */
#ifndef TESTS_VIRTIO_DRIVER_H
#define TESTS_VIRTIO_DRIVER_H

#include "monitor/machine.h"
#include "monitor/platform/ports.h"
#include "tests/unit/virtio_ring.h"

enum { /* virtio_pci_common_cfg */
	VP_DEVICE_SELECT = 0, VP_DEVICE_FEATURE = 4, VP_DRIVER_SELECT = 8, VP_DRIVER_FEATURE = 12, VP_CONFIG_VECTOR = 16, VP_QUEUES = 18,
	VP_STATUS = 20, VP_GENERATION = 21, VP_SELECT = 22, VP_SIZE = 24, VP_VECTOR = 26, VP_ENABLE = 28, VP_NOTIFY_OFF = 30,
	VP_DESC = 32, VP_DRIVER = 40, VP_DEVICE = 48,
};
enum { VP_COMMON = 0, VP_ISR = 0x1000, VP_CONFIG = 0x2000, VP_NOTIFY = 0x3000, VP_TABLE = 0x4000, VP_PBA = 0x5000 };
enum { DRIVER_MEMORY = 1 << 16, DRIVER_RING_BYTES = 0x4000, DRIVER_QUEUE = 64 };

struct driver {
	struct machine *machine;
	u32 slot;
	u64 bar;
	struct ring ring[2];
};

static inline u64 driver_mmio(struct driver *d, u64 address, u32 size, bool write, u64 value)
{
	fake.comm.entry = (struct mon_entry){ .kind = MON_ENTRY_MMIO };
	fake.comm.entry.mmio.address = address;
	fake.comm.entry.mmio.size = (u8)size;
	fake.comm.entry.mmio.write = write;
	fake.comm.entry.mmio.value = value;
	fake_enter(d->machine);
	return fake.value;
}

static inline u64 driver_get(struct driver *d, u64 offset, u32 size) { return driver_mmio(d, d->bar + offset, size, false, 0); }
static inline void driver_put(struct driver *d, u64 offset, u32 size, u64 v) { driver_mmio(d, d->bar + offset, size, true, v); }

static inline u64 driver_port(struct driver *d, u16 port, u8 size, bool out, u32 value)
{
	fake.comm.entry = (struct mon_entry){ .kind = MON_ENTRY_IO };
	fake.comm.entry.io.port = port;
	fake.comm.entry.io.size = size;
	fake.comm.entry.io.out = out;
	fake.comm.entry.io.value = value;
	fake_enter(d->machine);
	return fake.value;
}

/* A register of the function's configuration space. */
static inline u32 driver_config(struct driver *d, u32 at, u8 size)
{
	driver_port(d, PORT_PCI_ADDRESS, 4, true, 0x80000000u | d->slot << 11 | (at & 0xfc));
	return (u32)driver_port(d, (u16)(PORT_PCI_DATA + at % 4), size, false, 0);
}

static inline void driver_config_put(struct driver *d, u32 at, u8 size, u32 value)
{
	driver_port(d, PORT_PCI_ADDRESS, 4, true, 0x80000000u | d->slot << 11 | (at & 0xfc));
	driver_port(d, (u16)(PORT_PCI_DATA + at % 4), size, true, value);
}

/* The capability number `nth` of this id, or 0. */
static inline u32 driver_capability(struct driver *d, u32 id, u32 nth)
{
	for (u32 at = driver_config(d, PCI_CAPABILITIES, 1), i = 0; at != 0 && i < 32; at = driver_config(d, at + 1, 1), i++)
		if (driver_config(d, at, 1) == id && nth-- == 0)
			return at;
	return 0;
}

static inline void driver_find(struct driver *d, struct machine *m, u32 slot)
{
	*d = (struct driver){ .machine = m, .slot = slot };
	d->bar = driver_config(d, PCI_BAR0, 4) & ~15u;
	driver_config_put(d, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static inline void driver_features(struct driver *d, u64 features)
{
	driver_put(d, VP_STATUS, 1, 0);
	driver_put(d, VP_STATUS, 1, 3);
	for (u32 half = 0; half < 2; half++) {
		driver_put(d, VP_DRIVER_SELECT, 4, half);
		driver_put(d, VP_DRIVER_FEATURE, 4, (u32)(features >> 32 * half));
	}
	driver_put(d, VP_STATUS, 1, 11);
}

/* Queue i, with vector i + 1, in memory of its own. */
static inline void driver_queue(struct driver *d, u32 i, u16 size)
{
	u64 at = DRIVER_MEMORY + (d->slot * 2 + i) * DRIVER_RING_BYTES;

	d->ring[i] = (struct ring){ .descriptors = at, .available = at + 0x1000, .used = at + 0x2000, .size = size };
	memset(fake.window + at, 0, DRIVER_RING_BYTES);
	driver_put(d, VP_SELECT, 2, i);
	driver_put(d, VP_SIZE, 2, size);
	driver_put(d, VP_VECTOR, 2, i + 1);
	driver_put(d, VP_DESC, 4, (u32)at);
	driver_put(d, VP_DESC + 4, 4, 0);
	driver_put(d, VP_DRIVER, 8, at + 0x1000);
	driver_put(d, VP_DEVICE, 8, at + 0x2000);
	driver_put(d, VP_ENABLE, 2, 1);
}

static inline void driver_start(struct driver *d, u64 features, u32 queues)
{
	driver_features(d, features | 1ull << 32);
	for (u32 i = 0; i < queues; i++)
		driver_queue(d, i, DRIVER_QUEUE);
	driver_put(d, VP_STATUS, 1, 15);
}

static inline void driver_notify(struct driver *d, u32 queue) { driver_put(d, VP_NOTIFY + 4 * queue, 2, queue); }

/* The armed timer comes; false: none is armed. */
static inline bool driver_timer(struct driver *d)
{
	u64 due = fake.timer;

	fake.timer = 0;
	if (due == 0)
		return false;
	fake.tsc = due > fake.tsc ? due : fake.tsc;
	fake.comm.entry = (struct mon_entry){ .kind = MON_ENTRY_TIMER };
	fake_enter(d->machine);
	return true;
}

static inline void driver_vector(struct driver *d, u32 vector, u32 address, u32 data, u32 control)
{
	u64 at = VP_TABLE + 16 * vector;

	driver_put(d, at, 4, address);
	driver_put(d, at + 4, 4, 0);
	driver_put(d, at + 8, 4, data);
	driver_put(d, at + 12, 4, control);
}

#endif
