/*
 * test_monitor_virtio: the PCI transport and what all devices share: registers, features, interrupts; and the console.
 */
#include "tests/unit/virtio_driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define MEMORY (8u << 20)
#define BUFFER 0x200000u
#define EVENT_IDX (1ull << 29)
#define MSIX_CONTROL 2u
#define MSIX_ENABLE 0x8000u
#define MSIX_MASK 0x4000u

static struct machine machine;
static struct driver d;

static int setup(void **state)
{
	(void)state;
	fake_reset(MEMORY);
	machine_init(&machine, &fake.info);
	driver_find(&d, &machine, SLOT_VIRTIO_CONSOLE);
	return 0;
}

/* ---- the function ---- */

static void a_modern_function(void **state)
{
	static const struct { u32 type, offset; } structures[] = { { 1, VP_COMMON }, { 3, VP_ISR }, { 4, VP_CONFIG }, { 2, VP_NOTIFY } };
	u32 msix = driver_capability(&d, 0x11, 0);

	(void)state;
	assert_int_equal(driver_config(&d, PCI_VENDOR, 4), 0x10431af4);
	assert_int_equal(driver_config(&d, PCI_REVISION, 1), 1);
	assert_int_equal(driver_config(&d, PCI_STATUS, 2) & 0x10, 0x10);
	assert_int_equal(driver_config(&d, PCI_LINE, 2), 0x010a);
	assert_true(d.bar >= MON_PCI_MMIO && d.bar < MON_PCI_MMIO_END);
	for (u32 i = 0; i < 4; i++) {
		u32 at = driver_capability(&d, 0x09, i);

		assert_int_not_equal(at, 0);
		assert_int_equal(driver_config(&d, at + 3, 1), structures[i].type);
		assert_int_equal(driver_config(&d, at + 4, 1), 0); /* the BAR */
		assert_int_equal(driver_config(&d, at + 8, 4), structures[i].offset);
	}
	assert_int_equal(driver_config(&d, driver_capability(&d, 0x09, 3) + 16, 4), 4);
	assert_int_equal(driver_config(&d, msix + 2, 2), 2); /* three vectors */
	assert_int_equal(driver_config(&d, msix + 4, 4), VP_TABLE);
	assert_int_equal(driver_config(&d, msix + 8, 4), VP_PBA);
	assert_int_equal(driver_get(&d, VP_QUEUES, 2), 2);
}

static void registers_through_configuration_space(void **state)
{
	u32 at = driver_capability(&d, 0x09, 4);

	(void)state;
	assert_int_equal(driver_config(&d, at + 3, 1), 5);
	driver_config_put(&d, at + 4, 1, 0);
	driver_config_put(&d, at + 8, 4, VP_STATUS);
	driver_config_put(&d, at + 12, 4, 1);
	driver_config_put(&d, at + 16, 1, 3);
	assert_int_equal(driver_get(&d, VP_STATUS, 1), 3);
	driver_put(&d, VP_STATUS, 1, 0x80);
	assert_int_equal(driver_config(&d, at + 16, 1), 0x83);
	driver_config_put(&d, at + 8, 4, 0xfffffffc); /* out of the BAR, in lengths that are none, in no BAR: nothing */
	driver_config_put(&d, at + 12, 4, 4);
	driver_config(&d, at + 16, 4);
	driver_config_put(&d, at + 8, 4, VP_STATUS);
	driver_config_put(&d, at + 12, 4, 0);
	driver_config_put(&d, at + 16, 4, 0);
	driver_config_put(&d, at + 12, 4, 1);
	driver_config_put(&d, at + 4, 1, 1);
	driver_config_put(&d, at + 16, 1, 0);
	assert_int_equal(driver_get(&d, VP_STATUS, 1), 0x83);
}

/* ---- the common registers ---- */

static void features_are_agreed_once(void **state)
{
	(void)state;
	assert_int_equal(driver_get(&d, VP_DEVICE_FEATURE, 4), 0x30000000);
	driver_put(&d, VP_DEVICE_SELECT, 4, 1);
	assert_int_equal(driver_get(&d, VP_DEVICE_FEATURE, 4), 1);
	driver_put(&d, VP_DEVICE_SELECT, 4, 2);
	assert_int_equal(driver_get(&d, VP_DEVICE_FEATURE, 4), 0);
	driver_features(&d, EVENT_IDX); /* not without VERSION_1 */
	assert_int_equal(driver_get(&d, VP_STATUS, 1), 3);
	driver_put(&d, VP_STATUS, 1, 15);
	assert_int_equal(driver_get(&d, VP_STATUS, 1), 3); /* nor DRIVER_OK without features */
	driver_features(&d, 1ull << 32 | 1ull << 40); /* nor with one that is not offered */
	assert_int_equal(driver_get(&d, VP_STATUS, 1), 3);
	driver_features(&d, 1ull << 32);
	assert_int_equal(driver_get(&d, VP_STATUS, 1), 11);
	driver_put(&d, VP_DRIVER_SELECT, 4, 0);
	driver_put(&d, VP_DRIVER_FEATURE, 4, 0x20000000);
	assert_int_equal(driver_get(&d, VP_DRIVER_FEATURE, 4), 0); /* too late */
	driver_put(&d, VP_STATUS, 1, 0x40);
	assert_int_equal(driver_get(&d, VP_STATUS, 1), 11); /* NEEDS_RESET is the device's */
}

static void queues_are_set_up_once(void **state)
{
	(void)state;
	assert_int_equal(driver_get(&d, VP_SIZE, 2), VIRTQUEUE_SIZE_MAX);
	assert_int_equal(driver_get(&d, VP_VECTOR, 2), VIRTQUEUE_NO_VECTOR);
	driver_features(&d, 1ull << 32);
	driver_queue(&d, 1, 16);
	assert_int_equal(driver_get(&d, VP_ENABLE, 4), 0x00010001); /* and notify_off */
	assert_int_equal(driver_get(&d, VP_DEVICE, 8), d.ring[1].used);
	driver_put(&d, VP_SIZE, 2, 32);
	driver_put(&d, VP_DESC, 8, 0);
	driver_put(&d, VP_SIZE, 4, 0); /* no access of a field's size */
	assert_int_equal(driver_get(&d, VP_SIZE, 2), 16);
	assert_int_equal(driver_get(&d, VP_DESC, 8), d.ring[1].descriptors);
	driver_put(&d, VP_VECTOR, 2, 2); /* its interrupt may still be chosen, and taken away */
	assert_int_equal(driver_get(&d, VP_VECTOR, 2), 2);
	driver_put(&d, VP_VECTOR, 2, VIRTQUEUE_NO_VECTOR);
	assert_int_equal(driver_get(&d, VP_VECTOR, 2), VIRTQUEUE_NO_VECTOR);
	driver_put(&d, VP_SELECT, 2, 0);
	driver_put(&d, VP_DRIVER + 4, 4, 0x12345678);
	driver_put(&d, VP_DRIVER, 4, 0x9abcdef0);
	assert_int_equal(driver_get(&d, VP_DRIVER, 8), 0x123456789abcdef0);
	driver_put(&d, VP_VECTOR, 2, 3); /* there are three: 0 to 2 */
	assert_int_equal(driver_get(&d, VP_VECTOR, 2), VIRTQUEUE_NO_VECTOR);
	driver_put(&d, VP_SELECT, 2, 2); /* a queue that is none */
	driver_put(&d, VP_ENABLE, 2, 1);
	assert_int_equal(driver_get(&d, VP_SIZE, 2), 0);
	assert_int_equal(driver_get(&d, 56, 8), 0);
	driver_put(&d, VP_STATUS, 1, 0);
	driver_put(&d, VP_SELECT, 2, 1);
	assert_int_equal(driver_get(&d, VP_ENABLE, 2), 0);
	assert_int_equal(driver_get(&d, VP_STATUS, 1), 0);
}

static void a_ring_nowhere_needs_a_reset(void **state)
{
	(void)state;
	driver_features(&d, 1ull << 32);
	driver_put(&d, VP_DESC, 8, MON_PCI_MMIO);
	driver_put(&d, VP_ENABLE, 2, 1);
	assert_int_equal(driver_get(&d, VP_STATUS, 1), 0x4b);
	assert_int_equal(driver_get(&d, VP_ENABLE, 2), 0);
	driver_queue(&d, 1, 16); /* too late now */
	assert_int_equal(driver_get(&d, VP_ENABLE, 2), 0);
	driver_start(&d, 0, 2);
	assert_int_equal(driver_get(&d, VP_STATUS, 1), 15);
}

/* ---- the console, and interrupts with it ---- */

static void print(const char *text)
{
	struct ring_buffer b = { BUFFER, (u32)strlen(text), false };

	memcpy(fake.window + BUFFER, text, b.length);
	ring_chain(&d.ring[1], &b, 1);
	driver_notify(&d, 1);
}

static void it_prints(void **state)
{
	static const struct ring_buffer split[] = { { BUFFER, 2, false }, { BUFFER + 0x100, 5, false } };

	(void)state;
	driver_start(&d, 0, 2);
	print("hello\n");
	assert_string_equal(fake.console, "hello\n");
	assert_int_equal(ring_used(&d.ring[1]), 1);
	assert_int_equal(ring_used_length(&d.ring[1], 0), 0);
	memcpy(fake.window + BUFFER, "wo", 2);
	memcpy(fake.window + BUFFER + 0x100, "rld!\n", 5);
	ring_chain(&d.ring[1], split, 2);
	driver_notify(&d, 1);
	assert_string_equal(fake.console, "hello\nworld!\n");
}

static void what_waits_at_the_start_is_seen(void **state)
{
	static const struct ring_buffer b = { BUFFER, 3, false };

	(void)state;
	driver_features(&d, 1ull << 32);
	driver_queue(&d, 1, 16);
	memcpy(fake.window + BUFFER, "up\n", 3);
	ring_chain(&d.ring[1], &b, 1);
	driver_notify(&d, 1); /* not before DRIVER_OK */
	assert_int_equal(ring_used(&d.ring[1]), 0);
	driver_put(&d, VP_STATUS, 1, 15);
	assert_string_equal(fake.console, "up\n");
}

static void not_without_the_bus(void **state)
{
	(void)state;
	driver_start(&d, 0, 2);
	driver_config_put(&d, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	print("later\n");
	assert_int_equal(ring_used(&d.ring[1]), 0);
	driver_config_put(&d, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_string_equal(fake.console, "later\n");
}

static void the_pin(void **state)
{
	(void)state;
	driver_start(&d, 0, 2);
	print("x\n");
	assert_int_equal(machine.interrupts.ioapic.lines, 1u << 18);
	assert_int_equal(machine.interrupts.pic.chip[1].lines, 4); /* line 10 */
	assert_int_equal(driver_get(&d, VP_ISR, 1), 1);
	assert_int_equal(machine.interrupts.ioapic.lines, 0);
	assert_int_equal(driver_get(&d, VP_ISR, 1), 0);
	print("y\n");
	driver_put(&d, VP_STATUS, 1, 0); /* a reset lowers it */
	assert_int_equal(machine.interrupts.ioapic.lines, 0);
	driver_start(&d, 0, 2);
	print("z\n");
	driver_config_put(&d, driver_capability(&d, 0x11, 0) + MSIX_CONTROL, 2, MSIX_ENABLE); /* and so do messages */
	assert_int_equal(machine.interrupts.ioapic.lines, 0);
	assert_int_equal(fake.msis, 0);
}

static void messages(void **state)
{
	u32 msix = driver_capability(&d, 0x11, 0);

	(void)state;
	driver_start(&d, 0, 2);
	driver_config_put(&d, msix + MSIX_CONTROL, 2, MSIX_ENABLE);
	driver_vector(&d, 2, 0xfee01000, 0x55, 0);
	print("a\n");
	assert_int_equal(fake.msis, 1);
	assert_int_equal(fake.msi[0].address, 0xfee01000);
	assert_int_equal(fake.msi[0].data, 0x55);
	assert_int_equal(machine.interrupts.ioapic.lines, 0);
	assert_int_equal(driver_get(&d, VP_ISR, 1), 0);
	driver_vector(&d, 2, 0xfee01000, 0x56, 1); /* masked: pending */
	print("b\n");
	print("c\n");
	assert_int_equal(fake.msis, 1);
	assert_int_equal(driver_get(&d, VP_PBA, 8), 4);
	driver_put(&d, VP_TABLE + 2 * 16 + 12, 4, 0);
	assert_int_equal(fake.msis, 2);
	assert_int_equal(fake.msi[1].data, 0x56);
	assert_int_equal(driver_get(&d, VP_PBA, 8), 0);
	driver_config_put(&d, msix + MSIX_CONTROL, 2, MSIX_ENABLE | MSIX_MASK); /* all of them */
	print("d\n");
	assert_int_equal(fake.msis, 2);
	driver_config_put(&d, msix + MSIX_CONTROL, 2, MSIX_ENABLE);
	assert_int_equal(fake.msis, 3);
	assert_int_equal(driver_config(&d, msix + MSIX_CONTROL, 2), MSIX_ENABLE | 2);
}

static void the_message_table(void **state)
{
	(void)state;
	assert_int_equal(driver_get(&d, VP_TABLE + 12, 4), 1); /* masked at first */
	driver_put(&d, VP_TABLE + 16, 8, 0x1234567812345678);
	driver_put(&d, VP_TABLE + 24, 8, 0xffffffff00000077);
	assert_int_equal(driver_get(&d, VP_TABLE + 20, 4), 0x12345678);
	assert_int_equal(driver_get(&d, VP_TABLE + 24, 8), 0x100000077); /* only the mask can be written there */
	driver_put(&d, VP_TABLE + 2, 4, 0xffffffff); /* neither across fields, nor narrow, nor beyond */
	driver_put(&d, VP_TABLE + 4, 8, ~0ull);
	driver_put(&d, VP_TABLE, 2, 0xffff);
	driver_put(&d, VP_TABLE + 3 * 16, 4, 1);
	assert_int_equal(driver_get(&d, VP_TABLE, 8), 0);
	assert_int_equal(driver_get(&d, VP_TABLE + 3 * 16, 8), 0);
	driver_put(&d, VP_PBA, 8, 7);
	assert_int_equal(driver_get(&d, VP_PBA, 4), 0);
	assert_int_equal(driver_get(&d, VP_PBA + 0xff8, 8), 0);
}

static void a_broken_queue_is_told(void **state)
{
	u32 msix = driver_capability(&d, 0x11, 0);

	(void)state;
	driver_features(&d, 1ull << 32);
	driver_put(&d, VP_CONFIG_VECTOR, 2, 0);
	driver_queue(&d, 1, 16);
	driver_config_put(&d, msix + MSIX_CONTROL, 2, MSIX_ENABLE);
	driver_vector(&d, 0, 0xfee00000, 0x60, 0);
	driver_put(&d, VP_STATUS, 1, 15);
	ring_describe(d.ring[1].descriptors, 0, MEMORY, 4, 0, 0);
	ring_offer(&d.ring[1], 0);
	driver_notify(&d, 1);
	assert_int_equal(driver_get(&d, VP_STATUS, 1), 0x4f);
	assert_int_equal(fake.msis, 1);
	assert_int_equal(fake.msi[0].data, 0x60);
	driver_notify(&d, 1);
	assert_int_equal(fake.msis, 1);
	driver_start(&d, 0, 2); /* as new */
	print("again\n");
	assert_string_equal(fake.console, "again\n");
}

/* A driver may name all its memory as one line to print: a turn has an end, and others come between. */
static void a_long_line_takes_turns(void **state)
{
	static const struct ring_buffer b = { 0, 1 << 20, false };
	u32 turns = 0;

	(void)state;
	driver_start(&d, 0, 2);
	memset(fake.window, '\n', 1 << 16);
	ring_chain(&d.ring[1], &b, 1);
	driver_notify(&d, 1);
	while (ring_used(&d.ring[1]) == 0) {
		u64 before = fake.tsc;

		assert_true(turns++ < 100);
		assert_true(driver_timer(&d));
		assert_true(turns > 1 || fake.tsc > before); /* a pause */
	}
	assert_int_equal(turns, (1 << 20) / VIRTIO_TURN_BYTES - 1);
	assert_true(fake.console_calls <= (1 << 20) / CONSOLE_BUFFER + 1); /* whatever the lines are */
}

static void nor_do_many_empty_ones_take_long(void **state)
{
	static const struct ring_buffer b = { BUFFER, 0, false };

	(void)state;
	driver_features(&d, 1ull << 32);
	driver_queue(&d, 1, 128);
	driver_put(&d, VP_STATUS, 1, 15);
	for (u32 i = 0; i < 128; i++)
		ring_chain(&d.ring[1], &b, 1);
	driver_notify(&d, 1);
	assert_int_equal(ring_used(&d.ring[1]), VIRTIO_TURN_BYTES / VIRTIO_CHAIN_COST);
	assert_true(driver_timer(&d));
	assert_int_equal(ring_used(&d.ring[1]), 128);
}

/* A reset in the middle of a request forgets it. */
static void a_reset_amid_a_line(void **state)
{
	static const struct ring_buffer b = { 0, 1 << 20, false };

	(void)state;
	driver_start(&d, 0, 2);
	ring_chain(&d.ring[1], &b, 1);
	driver_notify(&d, 1);
	driver_put(&d, VP_STATUS, 1, 0);
	while (driver_timer(&d))
		;
	assert_int_equal(ring_used(&d.ring[1]), 0);
	driver_start(&d, 0, 2);
	print("fresh\n");
	assert_int_equal(ring_used(&d.ring[1]), 1);
}

static void type_in(const char *text)
{
	fake.comm.entry = (struct mon_entry){ .kind = MON_ENTRY_CONSOLE };
	fake.comm.entry.console.count = (u32)strlen(text);
	memcpy(fake.comm.entry.console.bytes, text, strlen(text));
	fake_enter(&machine);
}

static void input_goes_where_the_guest_printed_last(void **state)
{
	static const struct ring_buffer b[2] = { { BUFFER + 0x1000, 4, true }, { BUFFER + 0x2000, 64, true } };

	(void)state;
	driver_start(&d, 0, 2);
	type_in("u"); /* nothing printed yet: COM1 */
	assert_int_equal(driver_port(&d, PORT_COM1, 1, false, 0), 'u');
	print("$ ");
	type_in("abcdef"); /* no buffers yet: they wait */
	ring_chain(&d.ring[0], &b[0], 1);
	ring_chain(&d.ring[0], &b[1], 1);
	driver_notify(&d, 0);
	assert_int_equal(ring_used(&d.ring[0]), 2);
	assert_int_equal(ring_used_length(&d.ring[0], 0), 4);
	assert_int_equal(ring_used_length(&d.ring[0], 1), 2);
	assert_memory_equal(fake.window + BUFFER + 0x1000, "abcd", 5);
	assert_memory_equal(fake.window + BUFFER + 0x2000, "ef", 3);
	ring_chain(&d.ring[0], &b[0], 1);
	type_in("g");
	assert_int_equal(fake.window[BUFFER + 0x1000], 'g');
	driver_port(&d, PORT_COM1, 1, true, 'x');
	type_in("v");
	assert_int_equal(driver_port(&d, PORT_COM1, 1, false, 0), 'v');
	print("$ ");
	driver_put(&d, VP_STATUS, 1, 0); /* nobody drives it any more */
	type_in("w");
	assert_int_equal(driver_port(&d, PORT_COM1, 1, false, 0), 'w');
}

static void a_full_backlog_loses_what_comes_last(void **state)
{
	static const struct ring_buffer b = { BUFFER, 4096, true };
	char line[MON_CONSOLE_BYTES] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde";

	(void)state;
	driver_start(&d, 0, 2);
	print("$ ");
	for (u32 i = 0; i < 40; i++)
		type_in(line);
	for (u32 i = 0; i < 4; i++)
		ring_chain(&d.ring[0], &b, 1);
	driver_notify(&d, 0);
	assert_int_equal(ring_used_length(&d.ring[0], 0), VIRTIO_CONSOLE_BACKLOG);
	assert_int_equal(ring_used(&d.ring[0]), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_modern_function, setup),
		cmocka_unit_test_setup(registers_through_configuration_space, setup),
		cmocka_unit_test_setup(features_are_agreed_once, setup),
		cmocka_unit_test_setup(queues_are_set_up_once, setup),
		cmocka_unit_test_setup(a_ring_nowhere_needs_a_reset, setup),
		cmocka_unit_test_setup(it_prints, setup),
		cmocka_unit_test_setup(what_waits_at_the_start_is_seen, setup),
		cmocka_unit_test_setup(not_without_the_bus, setup),
		cmocka_unit_test_setup(the_pin, setup),
		cmocka_unit_test_setup(messages, setup),
		cmocka_unit_test_setup(the_message_table, setup),
		cmocka_unit_test_setup(a_broken_queue_is_told, setup),
		cmocka_unit_test_setup(a_long_line_takes_turns, setup),
		cmocka_unit_test_setup(nor_do_many_empty_ones_take_long, setup),
		cmocka_unit_test_setup(a_reset_amid_a_line, setup),
		cmocka_unit_test_setup(input_goes_where_the_guest_printed_last, setup),
		cmocka_unit_test_setup(a_full_backlog_loses_what_comes_last, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
