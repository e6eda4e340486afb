/*
 * fuzz_monitor: a PC's devices under the accesses and events that libFuzzer makes up, as exits and entries of a guest bring them.
 *
 * The first byte chooses the machine (with or without a disk), then steps of 8 bytes: a port of a device or any port, the I/O APIC or any
 * device memory, an event, an instruction to emulate; each lets time pass. Each access is answered once, with no more bits than were asked
 * for; what the monitor tells ring 0 (the PIC's request, messages, its timer) is legal and bounded; registers that only store give back what
 * was stored.
 */
#include "monitor/host/fake_ring0.h"
#include "monitor/machine.h"
#include "monitor/platform/ports.h"
#include "tests/fuzz/must.h"

#include <stdlib.h>
#include <string.h>

#define DISK 4096u
#define STEP_BYTES 8u
#define STEPS_MOST 400u
#define SHORT_TIME 0x10000u
#define CALLS_MOST 64u  /* messages and timer settings of one step */
#define LINES_MOST (VIRTIO_TURN_BYTES / CONSOLE_BUFFER + 8)
#define MARK_PORT 0x99u
#define REDIRECTIONS 24u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct machine machine;

/* ---- one entry ---- */

static void enter(void)
{
	u32 msis = fake.msis, timers = fake.timer_calls, lines = fake.console_calls;
	fake_enter(&machine);
	must(fake.msis - msis <= CALLS_MOST && fake.timer_calls - timers <= CALLS_MOST, "one entry asks for too much");
	must(fake.console_calls - lines <= LINES_MOST, "one entry prints too much");
	must(!fake.pic_asserted || fake.pic_vector < 256, "the PIC gives no vector");
	must(fake.pic_asserted == machine.interrupts.pic.published, "ring 0 knows another request of the PIC");
	fake.msis = 0;
}

static u64 access(void)
{
	enter();
	must(fake.answer == FAKE_REPLIED || machine.ended, "an access is not answered");
	return fake.value;
}

static u32 in(u16 port, u8 size)
{
	fake.comm.entry = (struct mon_entry){ .kind = MON_ENTRY_IO, .io = { .port = port, .size = size } };
	u64 value = access();
	must(machine.ended || value >> 8 * size == 0, "a port gives more than was asked for");
	return (u32)value;
}

static void out(u16 port, u8 size, u32 value)
{
	fake.comm.entry = (struct mon_entry){ .kind = MON_ENTRY_IO, .io = { .port = port, .size = size, .out = true, .value = value } };
	access();
}

static u64 mmio(u64 address, u8 size, bool write, u64 value)
{
	fake.comm.entry = (struct mon_entry){ .kind = MON_ENTRY_MMIO, .mmio = { .address = address, .size = size, .write = write, .value = value } };
	u64 got = access();
	must(machine.ended || write || size == 8 || got >> 8 * size == 0, "a device gives more than was asked for");
	return got;
}

/* ---- steps ---- */

static u16 some_port(const u8 *s)
{
	static const u16 first[] = { PORT_COM1, PORT_PIC_MASTER, PORT_PIC_SLAVE, PORT_ELCR, PORT_PIT, PORT_SYSTEM_B, PORT_RTC, PORT_PCI_ADDRESS,
				     PORT_PCI_DATA, PM1A_EVENT, PM1A_CONTROL, PM_TIMER, FAST_A20_PORT, KEYBOARD_COMMAND_PORT, PORT_POST,
				     PORT_DEBUG };
	if (s[3] & 0x80)
		return (u16)(s[2] | s[3] << 8);
	return (u16)(first[s[2] % 16] + (s[3] & 7));
}

/* Reads and writes of ports that end the machine are an input's last. */
static void port_step(const u8 *s, u32 value)
{
	u8 size = (u8)(1u << (s[1] & 3) % 3);
	if (s[1] & 8)
		out(some_port(s), size, value);
	else
		in(some_port(s), size);
}

static u64 some_memory(const u8 *s)
{
	u64 at = s[2] | (u32)s[3] << 8;
	switch (s[1] >> 5) {
	case 0: case 1: return MON_IOAPIC + at % PAGE_SIZE;
	case 2: return MON_PCI_MMIO + at;
	case 3: return MON_LAPIC + at % PAGE_SIZE;
	default: return MON_PCI_MMIO + (at << (s[0] >> 3));
	}
}

static void memory_step(const u8 *s, u32 value)
{
	u8 size = (u8)(1u << (s[1] & 3));
	mmio(some_memory(s), size, s[1] & 8, value | (u64)value << 32);
}

/* By index and data, as a guest does. */
static void ioapic_step(const u8 *s, u32 value)
{
	mmio(MON_IOAPIC, 4, true, s[2] % 64);
	if (s[1] & 8)
		mmio(MON_IOAPIC + 0x10, 4, true, value);
	else
		mmio(MON_IOAPIC + 0x10, 4, false, 0);
}

static void config_step(const u8 *s, u32 value)
{
	out(PORT_PCI_ADDRESS, 4, 0x80000000u | (u32)(s[2] & 0x3f) << 11 | (u32)(s[3] & 1) << 8 | (s[3] & 0xfc));
	if (s[1] & 8)
		out(PORT_PCI_DATA, (u8)(1u << (s[1] & 3) % 3), value);
	else
		in(PORT_PCI_DATA, (u8)(1u << (s[1] & 3) % 3));
}

static void rtc_step(const u8 *s)
{
	out(PORT_RTC, 1, s[2] & 0x7f);
	if (s[1] & 8)
		out(PORT_RTC + 1, 1, s[4]);
	else
		in(PORT_RTC + 1, 1);
}

static void event_step(const u8 *s, u32 value)
{
	static const enum mon_entry_kind kinds[] = { MON_ENTRY_TIMER, MON_ENTRY_TIMER, MON_ENTRY_EOI, MON_ENTRY_PIC_ACK, MON_ENTRY_CONSOLE,
						     MON_ENTRY_POWER_BUTTON, MON_ENTRY_NONE, MON_ENTRY_KINDS };
	struct mon_entry *e = &fake.comm.entry;
	*e = (struct mon_entry){ .kind = kinds[s[1] & 7] };
	if (e->kind == MON_ENTRY_EOI)
		e->eoi.vector = value;
	if (e->kind == MON_ENTRY_PIC_ACK)
		fake.pic_asserted = false; /* ring 0 has given it to the vCPU */
	if (e->kind == MON_ENTRY_CONSOLE) {
		e->console.count = value % (MON_CONSOLE_BYTES + 1);
		memset(e->console.bytes, s[7], MON_CONSOLE_BYTES);
	}
	enter();
}

/* Of string I/O and odd instructions: the first bytes, at any port or place. */
static void emulate_step(const u8 *s)
{
	const struct mon_segment flat = { 0x10, 0xc93, ~0u, 0 };
	struct mon_vcpu *c = &fake.comm.vcpu;
	*c = (struct mon_vcpu){ .cr0 = 1, .rflags = 2, .rip = 0x100, .cs = { 8, 0xc9b, ~0u, 0 }, .ds = flat, .es = flat, .ss = flat, .fs = flat,
				.gs = flat };
	for (u32 i = 0; i < MON_GPRS; i++)
		c->gpr[i] = i & 1 ? MON_IOAPIC + (s[2] & 0x1f) : 0x200u + s[3];
	c->gpr[MON_RDX] = some_port(s);
	c->gpr[MON_RCX] = s[1] & 63;
	fake.comm.entry = (struct mon_entry){ .kind = MON_ENTRY_EMULATE, .emulate = { .length = 4, .lapic = MON_LAPIC } };
	memcpy(fake.comm.entry.emulate.bytes, s + 4, 4);
	enter();
	must(fake.answer != FAKE_NOTHING && fake.answer != FAKE_REPLIED, "an instruction is not answered");
}

/* What only stores gives back what was stored. */
static void stored_step(const u8 *s, u32 value)
{
	u32 pin = s[2] % REDIRECTIONS, where = 0x40 + s[3] % 0x3fu; /* of the clock's memory, above what has a meaning */
	switch (s[1] & 3) {
	case 0:
		out(PORT_POST, 1, value & 0xff);
		must(in(PORT_POST, 1) == (value & 0xff), "port 80h has lost its byte");
		break;
	case 1:
		out(PORT_PCI_ADDRESS, 4, value);
		must(in(PORT_PCI_ADDRESS, 4) == (value & 0x80fffffc), "CF8h has lost its address");
		break;
	case 2:
		mmio(MON_IOAPIC, 4, true, 0x11 + 2 * pin);
		mmio(MON_IOAPIC + 0x10, 4, true, value);
		must((u32)mmio(MON_IOAPIC + 0x10, 4, false, 0) == (value & 0xff000000), "a redirection has lost its destination");
		break;
	default:
		out(PORT_RTC, 1, where);
		out(PORT_RTC + 1, 1, value & 0xff);
		out(PORT_RTC, 1, where);
		must(in(PORT_RTC + 1, 1) == (value & 0xff), "the clock's memory has lost a byte");
	}
}

static void step(const u8 *s)
{
	u32 value = s[4] | (u32)s[5] << 8 | (u32)s[6] << 16 | (u32)s[7] << 24;
	fake.tsc += s[1] & 0x10 ? (u64)value * value : SHORT_TIME;
	switch (s[0] % 12) {
	case 0: case 1: case 2: case 3: port_step(s, value); break;
	case 4: memory_step(s, value); break;
	case 5: ioapic_step(s, value); break;
	case 6: config_step(s, value); break;
	case 7: rtc_step(s); break;
	case 8: case 9: event_step(s, value); break;
	case 10: emulate_step(s); break;
	default: stored_step(s, value);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	fake_reset(PAGE_SIZE * 2); /* the devices touch little of it */
	fake.info.mark_port = data[0] & 2 ? MARK_PORT : 0;
	fake.info.wall_clock = (u64)data[0] << 26;
	if (data[0] & 1)
		fake_disk(DISK, NULL);
	machine_init(&machine, &fake.info);
	for (size_t at = 1, n = 0; at + STEP_BYTES <= size && n < STEPS_MOST && !machine.ended; at += STEP_BYTES, n++)
		step(data + at);
	return 0;
}
