/*
 * test_monitor_ioapic: the I/O APIC's registers, and the messages it sends.
 */
#include "monitor/host/fake_ring0.h"
#include "monitor/platform/ioapic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define SELECT 0x00
#define WINDOW 0x10
#define EOI 0x40
#define LEVEL 0x8000u
#define MASKED 0x10000u
#define REMOTE_IRR 0x4000u

static struct ioapic apic;

static int setup(void **state)
{
	(void)state;
	fake_reset(PAGE_SIZE);
	ioapic_init(&apic);
	return 0;
}

static u32 get(u32 index)
{
	ioapic_write(&apic, SELECT, 4, index);
	return (u32)ioapic_read(&apic, WINDOW, 4);
}

static void set(u32 index, u32 value)
{
	ioapic_write(&apic, SELECT, 4, index);
	ioapic_write(&apic, WINDOW, 4, value);
}

static void program(u32 pin, u32 low, u32 destination)
{
	set(0x11 + 2 * pin, destination << 24);
	set(0x10 + 2 * pin, low);
}

static void registers(void **state)
{
	(void)state;
	assert_int_equal(get(1), 0x00170020);
	set(1, 0xffffffff);
	assert_int_equal(get(1), 0x00170020);
	set(0, 0xff000000);
	assert_int_equal(get(0), 0x0f000000);
	assert_int_equal(get(2), 0x0f000000);
	assert_int_equal(get(0x10), MASKED);
	assert_int_equal(get(0x3f), 0);
	assert_int_equal(get(0x40), 0); /* no pin 24 */
	assert_int_equal(get(0xff), 0);
	assert_int_equal(ioapic_read(&apic, SELECT, 4), 0xff);
	assert_int_equal(ioapic_read(&apic, 0x20, 4), 0);
	set(0x10, 0xffffffff);
	assert_int_equal(get(0x10), 0x1afff); /* delivery status and remote IRR cannot be written */
	set(0x11, 0xffffffff);
	assert_int_equal(get(0x11), 0xff000000);
}

static void an_edge_is_one_message(void **state)
{
	(void)state;
	program(4, 0x34, 2);
	ioapic_set_pin(&apic, 4, true);
	ioapic_set_pin(&apic, 4, true);
	assert_int_equal(fake.msis, 1);
	assert_int_equal(fake.msi[0].address, 0xfee02000);
	assert_int_equal(fake.msi[0].data, 0x34);
	ioapic_set_pin(&apic, 4, false);
	ioapic_set_pin(&apic, 4, true);
	assert_int_equal(fake.msis, 2);
}

static void an_edge_while_masked_is_lost(void **state)
{
	(void)state;
	program(4, MASKED | 0x34, 0);
	ioapic_set_pin(&apic, 4, true);
	program(4, 0x34, 0);
	assert_int_equal(fake.msis, 0);
}

static void a_level_waits_for_its_eoi(void **state)
{
	(void)state;
	program(9, LEVEL | 0x39, 1);
	ioapic_set_pin(&apic, 9, true);
	assert_int_equal(fake.msis, 1);
	assert_int_equal(fake.msi[0].data, 0xc039);
	assert_int_equal(get(0x10 + 18) & REMOTE_IRR, REMOTE_IRR);
	ioapic_set_pin(&apic, 9, false);
	ioapic_set_pin(&apic, 9, true);
	assert_int_equal(fake.msis, 1); /* not again before the EOI */
	ioapic_eoi(&apic, 0x38);
	assert_int_equal(fake.msis, 1); /* another's */
	ioapic_eoi(&apic, 0x39);
	assert_int_equal(fake.msis, 2); /* the line is still up */
	ioapic_set_pin(&apic, 9, false);
	ioapic_write(&apic, EOI, 4, 0x39);
	assert_int_equal(fake.msis, 2);
	assert_int_equal(get(0x10 + 18) & REMOTE_IRR, 0);
}

static void a_level_while_masked_comes_later(void **state)
{
	(void)state;
	program(9, MASKED | LEVEL | 0x39, 0);
	ioapic_set_pin(&apic, 9, true);
	assert_int_equal(fake.msis, 0);
	program(9, LEVEL | 0x39, 0);
	assert_int_equal(fake.msis, 1);
}

static void to_edge_and_back_clears_remote_irr(void **state)
{
	(void)state;
	program(9, LEVEL | 0x39, 0);
	ioapic_set_pin(&apic, 9, true);
	program(9, MASKED | 0x39, 0);
	assert_int_equal(get(0x10 + 18) & REMOTE_IRR, 0);
	assert_int_equal(fake.msis, 1);
	program(9, LEVEL | 0x39, 0);
	assert_int_equal(fake.msis, 2);
}

static void delivery_modes_and_destinations(void **state)
{
	(void)state;
	program(1, 0x800 | 0x100 | 0x31, 0x0f); /* logical, lowest priority */
	ioapic_set_pin(&apic, 1, true);
	assert_int_equal(fake.msi[0].address, 0xfee0f00c);
	assert_int_equal(fake.msi[0].data, 0x131);
	program(2, 0x400, 0xff); /* NMI */
	ioapic_set_pin(&apic, 2, true);
	assert_int_equal(fake.msi[1].address, 0xfeeff000);
	assert_int_equal(fake.msi[1].data, 0x400);
	program(0, 0x700, 0); /* ExtINT: the PIC speaks for itself */
	ioapic_set_pin(&apic, 0, true);
	assert_int_equal(fake.msis, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(registers, setup),
		cmocka_unit_test_setup(an_edge_is_one_message, setup),
		cmocka_unit_test_setup(an_edge_while_masked_is_lost, setup),
		cmocka_unit_test_setup(a_level_waits_for_its_eoi, setup),
		cmocka_unit_test_setup(a_level_while_masked_comes_later, setup),
		cmocka_unit_test_setup(to_edge_and_back_clears_remote_irr, setup),
		cmocka_unit_test_setup(delivery_modes_and_destinations, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
