/*
 * test_monitor_machine: the maps of ports and device memory, entries and their answers, endings; and a hammer on all of it. PCI: test_monitor_pci.
 */
#include "tests/unit/machine_world.h"

static void nobody_reads_as_ones(void **state)
{
	(void)state;
	assert_int_equal(in(0x1234, 1), 0xff);
	assert_int_equal(in(0x2f8, 2), 0xffff);
	assert_int_equal(in(0xffff, 4), 0xffffffff);
	assert_int_equal(in(0x60, 1), 0xff); /* no keyboard controller */
	assert_int_equal(in(0x64, 1), 0);    /* but nothing to wait for: a reset is asked for there */
	out(0x1234, 4, 5);
	assert_int_equal(fake.answer, FAKE_REPLIED);
	assert_int_equal(mmio(0xd0000000, 8, false, 0), ~0ull);
	assert_int_equal(mmio(0xfec00fff, 4, false, 0), 0xffffffff); /* across the end */
	mmio(0xd0000000, 4, true, 1);
	assert_int_equal(fake.answer, FAKE_REPLIED);
	assert_int_equal(in(0x80, 3), 0xffffffff); /* a size that is none */
	assert_int_equal(mmio(MON_IOAPIC, 0, false, 0), ~0ull);
}

static void wide_accesses_are_taken_apart(void **state)
{
	(void)state;
	out(PORT_RTC, 2, 0xab11); /* index 11h, then ABh into it */
	out(PORT_RTC, 1, 0x11);
	assert_int_equal(in(PORT_RTC + 1, 1), 0xab);
	out(PORT_COM1 + 3, 1, 0x80);
	out(PORT_COM1, 2, 0x1234);
	assert_int_equal(in(PORT_COM1, 2), 0x1234);
	assert_int_equal(in(PORT_PIC_MASTER + 1, 4), 0xffffffff); /* runs past the PIC into nothing */
}

static void console_and_input(void **state)
{
	(void)state;
	out(PORT_DEBUG, 1, 'd');
	assert_int_equal(in(PORT_DEBUG, 1), 0xe9);
	out(PORT_COM1, 1, 'u');
	assert_int_equal(fake.console_calls, 0);
	assert_int_equal(fake.timer, FAKE_SECOND / CONSOLE_DELAY_HZ); /* before the vCPU was let go */
	fake.tsc = fake.timer;
	event(MON_ENTRY_TIMER);
	assert_string_equal(fake.console, "du");
	fake.comm.entry = (struct mon_entry){ .kind = MON_ENTRY_CONSOLE };
	fake.comm.entry.console.count = 3;
	memcpy(fake.comm.entry.console.bytes, "abc", 3);
	fake_enter(&machine);
	assert_int_equal(in(PORT_COM1, 1), 'a');
	fake.comm.entry = (struct mon_entry){ .kind = MON_ENTRY_CONSOLE };
	fake.comm.entry.console.count = 0xffffffff; /* ring 0 would not, but no byte beyond the entry is read */
	fake_enter(&machine);
}

static void a_console_byte_costs_one_call(void **state)
{
	u32 timers;

	(void)state;
	out(PORT_COM1, 1, 'a');
	timers = fake.timer_calls;
	for (u32 i = 0; i < 100; i++) {
		assert_int_equal(in(PORT_COM1 + 5, 1), 0x60);
		out(PORT_COM1, 1, 'b');
	}
	out(PORT_COM1, 1, '\n');
	out(PORT_COM1, 1, 'c');
	assert_int_equal(fake.timer_calls, timers); /* the next line does not arm it again */
	assert_int_equal(fake.console_calls, 1);
}

static void endings(void **state)
{
	(void)state;
	out(PORT_DEBUG, 1, 'x');
	out(PORT_TEST_EXIT, 4, 0x107);
	assert_true(fake.ended);
	assert_int_equal(fake.end, MON_END_TEST);
	assert_int_equal(fake.end_code, 7);
	assert_string_equal(fake.console, "x"); /* what was written before is out */
	assert_int_equal(fake.answer, FAKE_NOTHING);

	setup(state);
	out(PM1A_CONTROL, 2, 0x3 << 10 | 0x2000); /* another sleep state: nothing */
	assert_false(fake.ended);
	out(PM1A_CONTROL, 2, PM_S5_TYPE << 10 | 0x2000);
	assert_true(fake.ended);
	assert_int_equal(fake.end, MON_END_POWER_OFF);

	setup(state);
	out(PM1A_CONTROL, 1, 0);
	out(PM1A_CONTROL + 1, 1, PM_S5_TYPE << 2 | 0x20); /* by bytes */
	assert_int_equal(fake.end, MON_END_POWER_OFF);
	assert_true(fake.ended);
}

static void resets(void **state)
{
	static const struct { u16 port; u8 value; bool resets; } ways[] = {
		{ 0xcf9, 0x02, false }, { 0xcf9, 0x06, true }, { 0x92, 0x02, false }, { 0x92, 0x01, true },
		{ 0x64, 0xfe, true },   { 0x64, 0xff, false }, { 0x64, 0xd1, false },
	};

	for (u32 i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		setup(state);
		out(ways[i].port, 1, ways[i].value);
		assert_int_equal(fake.ended, ways[i].resets);
		if (ways[i].resets)
			assert_int_equal(fake.end, MON_END_RESET);
	}
	setup(state);
	out(0xcf9, 1, 0x02);
	assert_int_equal(in(0xcf9, 1), 0x02);
	out(0x92, 1, 0x02);
	assert_int_equal(in(0x92, 1), 0x02);
	assert_int_equal(in(0xcf8, 4), 0);
}

static void marks(void **state)
{
	(void)state;
	fake.info.mark_port = MARK_PORT;
	machine_init(&machine, &fake.info);
	out(MARK_PORT, 4, 0x12345678);
	assert_int_equal(fake.marks, 1);
	assert_int_equal(fake.mark, 0x12345678);
	out(0, 1, 1); /* port 0 is no mark when there is none */
	assert_int_equal(fake.marks, 1);
	fake.info.mark_port = 0;
	machine_init(&machine, &fake.info);
	out(0, 1, 1);
	assert_int_equal(fake.marks, 1);
}

static void post_and_system_ports(void **state)
{
	(void)state;
	out(PORT_POST, 1, 0x5a);
	assert_int_equal(in(PORT_POST, 1), 0x5a);
	assert_int_equal((in(PORT_SYSTEM_B, 1) ^ in(PORT_SYSTEM_B, 1)) & 0x10, 0x10);
}

static void pm_timer_and_its_interrupt(void **state)
{
	(void)state;
	fake.tsc = FAKE_SECOND + 100;
	assert_int_equal(in(PM_TIMER, 4), PM_TIMER_HZ);
	assert_int_equal(in(PM_TIMER + 1, 1), PM_TIMER_HZ >> 8 & 0xff);
	assert_int_equal(in(PM1A_CONTROL, 2), 1);
	out(PM1A_EVENT + 2, 2, 1);
	assert_int_equal(in(PM1A_EVENT + 2, 2), 1);
	assert_int_equal(fake.timer, clock_tsc(&machine.pm.clock, 1ull << 31));
	fake.tsc = fake.timer;
	event(MON_ENTRY_TIMER);
	assert_int_equal(machine.interrupts.ioapic.lines & 1u << IRQ_SCI, 1u << IRQ_SCI);
	assert_int_equal(in(PM1A_EVENT, 2), 1);
	out(PM1A_EVENT, 1, 1);
	assert_int_equal(in(PM1A_EVENT, 4), 0x00010000);
	assert_int_equal(machine.interrupts.ioapic.lines & 1u << IRQ_SCI, 0);
}

static void the_power_button(void **state)
{
	(void)state;
	mmio(MON_IOAPIC, 4, true, 0x10 + 2 * IRQ_SCI);
	mmio(MON_IOAPIC + 0x10, 4, true, 0x8031); /* level, as the FADT and MADT say */
	event(MON_ENTRY_POWER_BUTTON);
	assert_int_equal(in(PM1A_EVENT, 2), 0x0100);
	assert_int_equal(fake.msis, 0); /* not enabled */
	out(PM1A_EVENT + 2, 2, 0x0100);
	assert_int_equal(fake.msis, 1);
	assert_int_equal(fake.msi[0].data & 0xff, 0x31);
	out(PM1A_EVENT, 2, 0x0100);
	assert_int_equal(in(PM1A_EVENT, 2), 0);
	assert_int_equal(machine.interrupts.ioapic.lines & 1u << IRQ_SCI, 0);
	ioapic_eoi(&machine.interrupts.ioapic, 0x31);
	assert_int_equal(fake.msis, 1);
	event(MON_ENTRY_POWER_BUTTON);
	assert_int_equal(fake.msis, 2);
}

static void ioapic_by_its_entries(void **state)
{
	(void)state;
	mmio(MON_IOAPIC, 4, true, 1);
	assert_int_equal(mmio(MON_IOAPIC + 0x10, 4, false, 0), 0x00170020);
	mmio(MON_IOAPIC, 4, true, 0x10 + 2 * IRQ_COM1);
	mmio(MON_IOAPIC + 0x10, 4, true, 0x8035);
	out(PORT_COM1 + 4, 1, 8);
	out(PORT_COM1 + 1, 1, 2);
	assert_int_equal(fake.msis, 1);
	fake.comm.entry = (struct mon_entry){ .kind = MON_ENTRY_EOI };
	fake.comm.entry.eoi.vector = 0x35;
	fake_enter(&machine);
	assert_int_equal(fake.msis, 2);
}

static void the_timer_follows_the_mask(void **state)
{
	(void)state;
	out(0x43, 1, 0x34);
	out(0x40, 1, 0);
	out(0x40, 1, 0x10);
	assert_int_equal(fake.timer_calls, 0); /* nobody would see it */
	out(0x21, 1, 0xfe);
	assert_int_equal(fake.timer_calls, 1);
	fake.tsc = fake.timer;
	event(MON_ENTRY_TIMER);
	assert_true(fake.pic_asserted);
	assert_int_equal(fake.pic_vector, 0x08);
	event(MON_ENTRY_PIC_ACK);
	assert_int_equal(machine.interrupts.pic.chip[0].isr, 1);
	assert_int_equal(fake.timer_calls, 2); /* the next period */
}

/* A guest that polls with interrupts off must not find a stale one when it turns them on. */
static void a_served_device_withdraws_its_request(void **state)
{
	(void)state;
	out(0x21, 1, 0xef);
	out(PORT_COM1 + 4, 1, 8);
	out(PORT_COM1 + 1, 1, 2);
	assert_true(fake.pic_asserted);
	assert_int_equal(fake.pic_vector, 0x0c);
	assert_int_equal(in(PORT_COM1 + 2, 1), 0x02);
	assert_false(fake.pic_asserted);
}

static void unknown_entries_change_nothing(void **state)
{
	(void)state;
	event(MON_ENTRY_NONE);
	event((enum mon_entry_kind)77);
	event(MON_ENTRY_KINDS);
	assert_int_equal(fake.answer, FAKE_NOTHING);
	assert_false(fake.ended);
}

static u64 random_state = 0x9e3779b97f4a7c15ull;

static u64 random_u64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static const u16 hot_ports[] = { 0x20, 0x21, 0xa0, 0xa1, 0x40, 0x41, 0x42, 0x43, 0x61, 0x70, 0x71, 0x3f8, 0x3f9, 0x3fa,
				 0x3fb, 0x3fc, 0x3fd, 0x3fe, 0x4d0, 0x4d1, 0xcf8, 0xcfc, 0xcfd, 0xcfe, 0x600, 0x602, 0x608 };

/* One random entry; whatever it is, an exit is answered exactly once unless the VM is over. */
static void blow(void)
{
	u64 r = random_u64(), value = random_u64();
	u8 size = (u8)(1u << (r >> 8) % 3);
	u16 port = r & 1 ? hot_ports[(r >> 16) % (sizeof(hot_ports) / sizeof(hot_ports[0]))] : (u16)(r >> 16);

	switch ((r >> 1) % 16) {
	case 0:
		fake.comm.entry.kind = MON_ENTRY_TIMER;
		break;
	case 1:
		fake.comm.entry.kind = MON_ENTRY_PIC_ACK;
		break;
	case 2:
		fake.comm.entry = (struct mon_entry){ .kind = MON_ENTRY_EOI, .eoi.vector = value & 0xff };
		break;
	case 3:
		fake.comm.entry = (struct mon_entry){ .kind = MON_ENTRY_CONSOLE };
		fake.comm.entry.console.count = (u32)(value % 65);
		break;
	case 4:
	case 5:
		mmio((r & 32 ? MON_IOAPIC : MON_IOAPIC + 0x10) + (r & 64 ? value % 5000 : 0), (u8)(1u << (r >> 8) % 4), r & 128,
		     r & 256 ? value % 64 : value);
		assert_int_equal(fake.answer, FAKE_REPLIED);
		return;
	default:
		io(port, size, (r & 1024) != 0, (u32)value);
		assert_true(fake.answer == FAKE_REPLIED || machine.ended);
		return;
	}
	fake_enter(&machine);
}

static void hammer(void **state)
{
	u32 endings_seen = 0;

	for (u32 i = 0; i < 400000; i++) {
		fake.tsc += random_u64() % 1000000;
		if (i % 1000 == 0)
			fake.tsc += random_u64() % (100 * FAKE_SECOND);
		blow();
		assert_true(machine.uart.fifo_count <= UART_FIFO && machine.uart.backlog_count <= UART_BACKLOG);
		assert_true(machine.console.count < CONSOLE_BUFFER);
		if (machine.ended) {
			u64 tsc = fake.tsc;

			endings_seen++;
			setup(state);
			fake.tsc = tsc;
		}
	}
	assert_true(endings_seen < 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nobody_reads_as_ones, setup),
		cmocka_unit_test_setup(wide_accesses_are_taken_apart, setup),
		cmocka_unit_test_setup(console_and_input, setup),
		cmocka_unit_test_setup(a_console_byte_costs_one_call, setup),
		cmocka_unit_test_setup(endings, setup),
		cmocka_unit_test_setup(resets, setup),
		cmocka_unit_test_setup(marks, setup),
		cmocka_unit_test_setup(post_and_system_ports, setup),
		cmocka_unit_test_setup(pm_timer_and_its_interrupt, setup),
		cmocka_unit_test_setup(the_power_button, setup),
		cmocka_unit_test_setup(ioapic_by_its_entries, setup),
		cmocka_unit_test_setup(the_timer_follows_the_mask, setup),
		cmocka_unit_test_setup(a_served_device_withdraws_its_request, setup),
		cmocka_unit_test_setup(unknown_entries_change_nothing, setup),
		cmocka_unit_test_setup(hammer, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
