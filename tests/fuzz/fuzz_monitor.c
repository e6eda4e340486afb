/*
 * fuzz_monitor: the monitor against what libFuzzer makes up: a guest's image, or a guest's accesses and the events among them.
 *
 * The first byte chooses. The guest's memory and the image are allocations of exactly their size. Each access is answered exactly
 * once unless it ended the VM.
 */
#include "monitor/emulate.h"
#include "monitor/host/fake_ring0.h"
#include "monitor/machine.h"

#include <stdlib.h>
#include <string.h>

#define MEMORY (4u << 20)
#define STEP_BYTES 8u
#define SHORT_TIME 0x10000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct machine machine;

static void must(bool right)
{
	if (!right)
		abort();
}

static void load(const u8 *data, size_t size)
{
	static const u8 module[100] = { 1 };
	u8 *image = malloc(size ? size : 1);

	must(image != NULL);
	memcpy(image, data, size);
	fake.module[0] = image;
	fake.module[1] = module;
	fake.info.module[0].size = size;
	fake.info.module[1].size = sizeof(module);
	fake.info.module_count = 2;
	fake.comm.entry = (struct mon_entry){ .kind = MON_ENTRY_START };
	fake_enter(&machine);
	must(fake.running != fake.ended);
	free(image);
}

/* One step: kind, size and direction; port or offset; value. */
static void step(const u8 *s)
{
	u32 value = s[4] | (u32)s[5] << 8 | (u32)s[6] << 16 | (u32)s[7] << 24;
	u16 port = (u16)(s[2] | s[3] << 8);
	struct mon_entry *e = &fake.comm.entry;

	*e = (struct mon_entry){ .kind = s[0] % (MON_ENTRY_KINDS + 1) };
	fake.tsc += s[1] & 0x80 ? (u64)value * value : SHORT_TIME;
	switch (e->kind) {
	case MON_ENTRY_START:
	case MON_ENTRY_EMULATE: /* not here */
		e->kind = MON_ENTRY_IO;
		/* fall through */
	case MON_ENTRY_IO:
		e->io.port = port;
		e->io.size = s[1] & 7;
		e->io.out = s[1] >> 3 & 1;
		e->io.value = value;
		break;
	case MON_ENTRY_MMIO:
		e->mmio.address = MON_IOAPIC + port;
		e->mmio.size = s[1] & 15;
		e->mmio.write = s[1] >> 4 & 1;
		e->mmio.value = value;
		break;
	case MON_ENTRY_EOI:
		e->eoi.vector = value;
		break;
	case MON_ENTRY_CONSOLE:
		e->console.count = value % (MON_CONSOLE_BYTES + 1);
		break;
	default:
		break;
	}
	fake_enter(&machine);
	if (e->kind == MON_ENTRY_IO || e->kind == MON_ENTRY_MMIO)
		must(fake.answer == FAKE_REPLIED || machine.ended);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	fake_reset(data[0] & 1 ? MEMORY : PAGE_SIZE); /* devices touch none */
	fake.info.mark_port = data[0] & 2 ? 0x99 : 0;
	machine_init(&machine, &fake.info);
	if (data[0] & 1) {
		load(data + 1, size - 1);
		return 0;
	}
	for (size_t at = 1; at + STEP_BYTES <= size && !machine.ended; at += STEP_BYTES)
		step(data + at);
	return 0;
}

/* The emulator has tests of its own; no step here asks for it. */
enum emulate_result emulate_instruction(const struct emulate_ops *ops, void *context, struct mon_vcpu *cpu, const u8 *bytes,
					u32 length, struct emulate_fault *fault)
{
	(void)ops, (void)context, (void)cpu, (void)bytes, (void)length, (void)fault;
	return EMULATE_UNKNOWN;
}
