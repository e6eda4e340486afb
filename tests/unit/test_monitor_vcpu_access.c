/*
 * test_monitor_vcpu_access: EMULATE entries from the bytes to the answer: the emulator between ring 0's calls and the devices.
 */
#include "monitor/host/fake_ring0.h"
#include "monitor/lib/bits.h"
#include "monitor/machine.h"
#include "monitor/platform/ports.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#define MEMORY (4u << 20)
#define CODE 0x1000u
#define DATA 0x2000u
#define CODE_64 0x0a9bu /* long mode code segment */
#define VECTOR_UD 6
#define VECTOR_PF 14

static struct machine machine;
static struct mon_vcpu cpu;
/* What the processor has judged before the exit; as many bytes of a port: 0, none. */
static struct { u16 port, bytes; bool write; } judged;
static u64 lapic_at; /* what ring 0 says */

static int setup(void **state)
{
	const struct mon_segment flat = { 0x10, 0xc93, ~0u, 0 };

	(void)state;
	judged.bytes = 0;
	lapic_at = MON_LAPIC;
	fake_reset(MEMORY);
	machine_init(&machine, &fake.info);
	cpu = (struct mon_vcpu){
		.rip = CODE,
		.rflags = 2,
		.cr0 = 0x80000011,
		.cr4 = 0x20,
		.efer = 0x500,
		.cs = { 0x08, CODE_64, ~0u, 0 },
		.ds = flat, .es = flat, .ss = flat, .fs = flat, .gs = flat,
	};
	return 0;
}

static void emulate(const char *bytes, u16 length)
{
	fake.comm.entry = (struct mon_entry){ .kind = MON_ENTRY_EMULATE };
	fake.comm.entry.emulate.length = length;
	fake.comm.entry.emulate.lapic = lapic_at;
	fake.comm.entry.emulate.is_mmio = !judged.bytes;
	fake.comm.entry.emulate.port = judged.port;
	fake.comm.entry.emulate.port_bytes = judged.bytes;
	fake.comm.entry.emulate.write = judged.write;
	memcpy(fake.comm.entry.emulate.bytes, bytes, length);
	memcpy(fake.window + CODE, bytes, length);
	fake.comm.vcpu = cpu;
	fake.vcpu_set = false;
	fake_enter(&machine);
	if (fake.vcpu_set)
		cpu = fake.vcpu;
}

static void exit_by_port(u16 port, u16 bytes, bool write)
{
	judged.port = port;
	judged.bytes = bytes;
	judged.write = write;
	cpu.gpr[MON_RDX] = port;
}

static void string_output(void **state)
{
	(void)state;
	exit_by_port(PORT_DEBUG, 1, true);
	memcpy(fake.window + DATA, "hello\n", 6);
	cpu.gpr[MON_RSI] = DATA;
	cpu.gpr[MON_RCX] = 6;
	emulate("\xf3\x6e", 2); /* rep outsb */
	assert_int_equal(fake.answer, FAKE_EMULATED);
	assert_string_equal(fake.console, "hello\n");
	assert_int_equal(cpu.gpr[MON_RCX], 0);
	assert_int_equal(cpu.gpr[MON_RSI], DATA + 6);
	assert_int_equal(cpu.rip, CODE + 2);
}

static void string_input(void **state)
{
	(void)state;
	cpu.gpr[MON_RDI] = DATA;
	cpu.gpr[MON_RCX] = 3;
	exit_by_port(PORT_DEBUG, 1, false);
	emulate("\xf3\x6c", 2); /* rep insb */
	assert_int_equal(fake.answer, FAKE_EMULATED);
	assert_memory_equal(fake.window + DATA, "\xe9\xe9\xe9\0", 4);
}

static void memory_of_a_device(void **state)
{
	(void)state;
	cpu.gpr[MON_RDI] = MON_IOAPIC;
	cpu.gpr[MON_RAX] = 0x1;
	emulate("\x09\x07", 2); /* or [rdi], eax: a read and a write */
	assert_int_equal(fake.answer, FAKE_EMULATED);
	assert_int_equal(machine.interrupts.ioapic.select, 1);
	assert_int_equal(cpu.rip, CODE + 2);
	cpu.rip = CODE;
	cpu.gpr[MON_RSI] = MON_IOAPIC + 0x10;
	cpu.gpr[MON_RDI] = DATA;
	emulate("\xa5", 1); /* movsd from the device to memory */
	assert_int_equal(fake.answer, FAKE_EMULATED);
	assert_memory_equal(fake.window + DATA, "\x20\x00\x17\x00", 4);
}

static void an_end_is_not_answered(void **state)
{
	(void)state;
	fake.window[DATA] = 9;
	cpu.gpr[MON_RSI] = DATA;
	cpu.gpr[MON_RCX] = 2;
	exit_by_port(PORT_TEST_EXIT, 1, true);
	emulate("\xf3\x6e", 2);
	assert_true(fake.ended);
	assert_int_equal(fake.end_code, 9);
	assert_int_equal(fake.answer, FAKE_NOTHING);
}

static void what_is_unknown_is_undefined(void **state)
{
	(void)state;
	emulate("\x0f\x0b", 2); /* ud2 */
	assert_int_equal(fake.answer, FAKE_FAULTED);
	assert_int_equal(fake.fault_vector, VECTOR_UD);
	assert_int_equal(fake.fault_error & MON_HAS_ERROR, 0);
}

/* ring 0 answers with a page fault: it is delivered with its address, and what was done of a REP stays. */
static void a_fault_is_delivered(void **state)
{
	(void)state;
	fake.gva_fault_at = DATA + 2;
	cpu.gpr[MON_RSI] = DATA;
	cpu.gpr[MON_RCX] = 6;
	exit_by_port(PORT_DEBUG, 1, true);
	emulate("\xf3\x6e", 2);
	assert_int_equal(fake.answer, FAKE_FAULTED);
	assert_int_equal(fake.fault_vector, VECTOR_PF);
	assert_int_equal(fake.fault_error, MON_HAS_ERROR | 4);
	assert_int_equal(fake.fault_cr2, DATA + 2);
	assert_int_equal(cpu.gpr[MON_RCX], 4);
	assert_int_equal(cpu.rip, CODE);
}

/*
 * MV-45: between the exit and here another vCPU has written another instruction: a port, a width or a direction that the processor has not
 * judged is not used, and the guest runs again as if nothing had happened.
 */
static void another_port_than_judged(void **state)
{
	static const struct { u16 port, bytes; bool write; const char *code; u16 length; } was[] = {
		{ 0, 0, true, "\xe6\xe9", 2 },           /* a device's page; OUT to a port */
		{ PORT_COM1, 1, true, "\xe6\xe9", 2 },   /* another port */
		{ PORT_COM1, 1, true, "\xee", 1 },       /* the port in DX is not it */
		{ PORT_DEBUG, 1, true, "\xe7\xe9", 2 },  /* OUT of four bytes */
		{ PORT_DEBUG, 1, false, "\xe6\xe9", 2 }, /* the exit was an IN */
		{ PORT_DEBUG, 1, true, "\xe4\xe9", 2 },  /* the exit was an OUT */
		{ PORT_DEBUG, 1, true, "\xf3\x6f", 2 },  /* REP OUTSD */
		{ PORT_DEBUG, 1, true, "\xf3\x6c", 2 },  /* REP INSB */
		{ 0, 0, false, "\xf3\x6c", 2 },
	};
	(void)state;
	for (u32 i = 0; i < sizeof was / sizeof was[0]; i++) {
		struct mon_vcpu before;
		setup(state);
		cpu.gpr[MON_RSI] = cpu.gpr[MON_RDI] = DATA;
		cpu.gpr[MON_RCX] = 4;
		exit_by_port(was[i].port, was[i].bytes, was[i].write);
		cpu.gpr[MON_RDX] = PORT_DEBUG;
		before = cpu;
		emulate(was[i].code, was[i].length);
		assert_int_equal(fake.answer, FAKE_RETRIED);
		assert_int_equal(fake.console_count, 0);
		assert_memory_equal(&cpu, &before, sizeof cpu);
		assert_memory_equal(fake.window + DATA, "\0\0\0\0", 4);
	}
}

/* Wherever the guest has moved its page; where it was is nobody's memory then. */
static void the_local_apic_is_where_ring_0_says(void **state)
{
	static const u64 places[] = { MON_LAPIC, 0xfe900000, 0x300000000ull, MON_NO_PAGE };

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(places); i++) {
		lapic_at = places[i];
		for (u32 k = 0; k + 1 < ARRAY_SIZE(places); k++) {
			cpu.rip = CODE;
			cpu.gpr[MON_RDI] = places[k] + 0xf0;
			cpu.gpr[MON_RAX] = 0x100;
			fake.lapic_writes = 0;
			emulate("\x09\x07", 2); /* or [rdi], eax */
			assert_int_equal(fake.answer, FAKE_EMULATED);
			assert_int_equal(fake.lapic_writes, places[k] == lapic_at);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(string_output, setup),
		cmocka_unit_test_setup(string_input, setup),
		cmocka_unit_test_setup(memory_of_a_device, setup),
		cmocka_unit_test_setup(the_local_apic_is_where_ring_0_says, setup),
		cmocka_unit_test_setup(an_end_is_not_answered, setup),
		cmocka_unit_test_setup(what_is_unknown_is_undefined, setup),
		cmocka_unit_test_setup(a_fault_is_delivered, setup),
		cmocka_unit_test_setup(another_port_than_judged, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
