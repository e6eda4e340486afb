/* machine_world.h: a monitor's machine over a ring 0 that only remembers, and accesses to its ports and device memory. */
#ifndef TESTS_MACHINE_WORLD_H
#define TESTS_MACHINE_WORLD_H

#include "monitor/host/fake_ring0.h"
#include "monitor/machine.h"
#include "monitor/platform/ports.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#define MEMORY (8u << 20)
#define MARK_PORT 0x3fau /* even where a device is */

static struct machine machine;

static inline int setup(void **state)
{
	(void)state;
	fake_reset(MEMORY);
	fake.info.mark_port = 0;
	machine_init(&machine, &fake.info);
	return 0;
}

static inline u64 io(u16 port, u8 size, bool out, u32 value)
{
	fake.comm.entry = (struct mon_entry){ .kind = MON_ENTRY_IO };
	fake.comm.entry.io.port = port;
	fake.comm.entry.io.size = size;
	fake.comm.entry.io.out = out;
	fake.comm.entry.io.value = value;
	fake_enter(&machine);
	return fake.value;
}

static inline u32 in(u16 port, u8 size) { return (u32)io(port, size, false, 0); }
static inline void out(u16 port, u8 size, u32 value) { io(port, size, true, value); }

static inline u64 mmio(u64 address, u8 size, bool write, u64 value)
{
	fake.comm.entry = (struct mon_entry){ .kind = MON_ENTRY_MMIO };
	fake.comm.entry.mmio.address = address;
	fake.comm.entry.mmio.size = size;
	fake.comm.entry.mmio.write = write;
	fake.comm.entry.mmio.value = value;
	fake_enter(&machine);
	return fake.value;
}

static inline void event(enum mon_entry_kind kind)
{
	fake.comm.entry.kind = kind;
	fake_enter(&machine);
}

#endif
