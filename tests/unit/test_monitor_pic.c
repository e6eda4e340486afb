/*
 * test_monitor_pic: the two 8259A, command by command, and what ring 0 is told.
 */
#include "monitor/host/fake_ring0.h"
#include "monitor/platform/pic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define ICW1_USUAL 0x11
#define EOI 0x20
#define READ_IRR 0x0a
#define READ_ISR 0x0b
#define POLL 0x0c

static struct pic pic;

/* Accesses of vCPU 0, which waits meanwhile. */
static void guest_write(u32 chip, u32 offset, u8 value)
{
	pic.taker_stopped = true;
	pic_write(&pic, chip, offset, value);
	pic.taker_stopped = false;
}

static u32 guest_read(u32 chip, u32 offset)
{
	u32 value;

	pic.taker_stopped = true;
	value = pic_read(&pic, chip, offset);
	pic.taker_stopped = false;
	return value;
}

static void program(u32 chip, u8 base, u8 icw3, u8 icw4)
{
	guest_write(chip, 0, ICW1_USUAL);
	guest_write(chip, 1, base);
	guest_write(chip, 1, icw3);
	guest_write(chip, 1, icw4);
}

static int setup(void **state)
{
	(void)state;
	fake_reset(PAGE_SIZE);
	pic_init(&pic);
	program(0, 0x20, 4, 1);
	program(1, 0x28, 2, 1);
	return 0;
}

static void pulse(u32 line)
{
	pic_set_line(&pic, line, false);
	pic_set_line(&pic, line, true);
}

static u32 isr(u32 chip)
{
	guest_write(chip, 0, READ_ISR);
	return guest_read(chip, 0);
}

static u32 irr(u32 chip)
{
	guest_write(chip, 0, READ_IRR);
	return guest_read(chip, 0);
}

static void take(u32 vector)
{
	assert_true(fake.pic_asserted);
	assert_int_equal(fake.pic_vector, vector);
	fake.pic_asserted = false;
	pic_acknowledge(&pic);
}

static void an_edge_is_one_request(void **state)
{
	(void)state;
	pulse(4);
	take(0x24);
	assert_false(fake.pic_asserted);
	assert_int_equal(isr(0), 0x10);
	assert_int_equal(irr(0), 0);
	guest_write(0, 0, EOI);
	assert_int_equal(isr(0), 0);
	assert_false(fake.pic_asserted); /* still high, but no new edge */
	pulse(4);
	take(0x24);
}

static void a_level_asks_again(void **state)
{
	(void)state;
	pic_elcr_write(&pic, 1, 0x02);
	assert_int_equal(pic_elcr_read(&pic, 1), 0x02);
	pic_elcr_write(&pic, 0, 0xff);
	assert_int_equal(pic_elcr_read(&pic, 0), 0xf8); /* timer, keyboard and cascade stay edges */
	pic_set_line(&pic, 9, true);
	take(0x29);
	guest_write(1, 0, EOI);
	guest_write(0, 0, EOI);
	take(0x29);
	pic_set_line(&pic, 9, false);
	guest_write(1, 0, EOI);
	guest_write(0, 0, EOI);
	assert_false(fake.pic_asserted);
}

static void priority_is_kept(void **state)
{
	(void)state;
	pulse(4);
	take(0x24);
	pulse(6); /* lower: waits for the EOI */
	assert_false(fake.pic_asserted);
	pulse(3); /* higher: at once */
	take(0x23);
	assert_int_equal(isr(0), 0x18);
	guest_write(0, 0, EOI); /* of the highest in service, 3 */
	assert_int_equal(isr(0), 0x10);
	assert_false(fake.pic_asserted);
	guest_write(0, 0, EOI);
	take(0x26);
}

static void the_slave_stands_at_input_2(void **state)
{
	(void)state;
	pulse(14);
	take(0x2e);
	assert_int_equal(isr(0), 0x04);
	assert_int_equal(isr(1), 0x40);
	pulse(4); /* below the cascade */
	assert_false(fake.pic_asserted);
	guest_write(1, 0, EOI);
	guest_write(0, 0, EOI);
	take(0x24);
}

static void the_mask_holds_and_lets_go(void **state)
{
	(void)state;
	guest_write(0, 1, 0x10);
	assert_int_equal(guest_read(0, 1), 0x10);
	assert_true(pic_masked(&pic, 4));
	pulse(4);
	assert_false(fake.pic_asserted);
	assert_int_equal(irr(0), 0x10);
	guest_write(0, 1, 0);
	take(0x24);
	guest_write(0, 1, 0x04);
	assert_true(pic_masked(&pic, 12));
	assert_false(pic_masked(&pic, 5));
}

static void published_stays_until_taken(void **state)
{
	(void)state;
	pulse(4);
	assert_int_equal(fake.pic_vector, 0x24);
	pulse(3); /* from outside: does not replace what a vCPU may be taking now */
	assert_int_equal(fake.pic_vector, 0x24);
	take(0x24);
	take(0x23); /* and comes next, as it is higher */
	assert_int_equal(isr(0), 0x18);
}

static void a_vcpu_that_masks_withdraws(void **state)
{
	(void)state;
	pulse(4);
	assert_true(fake.pic_asserted);
	guest_write(0, 1, 0xff);
	assert_false(fake.pic_asserted);
	guest_write(0, 1, 0);
	assert_true(fake.pic_asserted);
	pic_write(&pic, 0, 1, 0xff); /* another vCPU's access: the first may be taking it now */
	assert_true(fake.pic_asserted);
	take(0x24);
}

static void a_vcpu_that_serves_the_device_withdraws(void **state)
{
	(void)state;
	pulse(4);
	assert_true(fake.pic_asserted);
	pic.taker_stopped = true;
	pic_set_line(&pic, 4, false);
	pic.taker_stopped = false;
	assert_false(fake.pic_asserted);
}

static void specific_eoi_and_rotation(void **state)
{
	(void)state;
	pulse(4);
	take(0x24);
	pulse(3);
	take(0x23);
	guest_write(0, 0, 0x64); /* specific EOI of 4 */
	assert_int_equal(isr(0), 0x08);
	guest_write(0, 0, 0xe3); /* specific EOI of 3, which becomes the lowest */
	assert_int_equal(isr(0), 0);
	guest_write(0, 1, 0xff);
	pulse(3);
	pulse(5);
	guest_write(0, 1, 0);
	take(0x25);
	guest_write(0, 0, 0xa0); /* EOI and rotate: 5 is the lowest now */
	assert_true(fake.pic_asserted);
	take(0x23);
	guest_write(0, 0, 0xc7); /* set priority: as after initialisation */
	assert_int_equal(pic.chip[0].lowest, 7);
}

static void automatic_eoi(void **state)
{
	(void)state;
	program(0, 0x20, 4, 3);
	pulse(4);
	take(0x24);
	assert_int_equal(isr(0), 0);
	guest_write(0, 0, 0x80); /* rotate on automatic EOI */
	pulse(4);
	take(0x24);
	assert_int_equal(pic.chip[0].lowest, 4);
	guest_write(0, 0, 0x00);
	assert_false(pic.chip[0].rotate_auto);
}

static void special_mask_lets_lower_ones_in(void **state)
{
	(void)state;
	pulse(3);
	take(0x23);
	pulse(6);
	assert_false(fake.pic_asserted);
	guest_write(0, 1, 0x08);
	guest_write(0, 0, 0x68); /* ESMM, SMM */
	take(0x26);
	guest_write(0, 0, 0x20); /* ends that one, not the masked one that is above it */
	assert_int_equal(isr(0), 0x08);
	guest_write(0, 0, 0x48);
	assert_false(pic.chip[0].special_mask);
}

static void special_nesting_lets_the_slave_in_again(void **state)
{
	(void)state;
	program(0, 0x20, 4, 0x11);
	pulse(12);
	take(0x2c);
	pulse(9); /* higher within the slave */
	take(0x29);
	assert_int_equal(isr(1), 0x12);
}

static void polling_is_an_inta(void **state)
{
	(void)state;
	guest_write(0, 0, POLL);
	assert_int_equal(guest_read(0, 0), 0);
	pulse(5);
	guest_write(0, 0, POLL);
	assert_int_equal(guest_read(0, 0), 0x85);
	assert_int_equal(isr(0), 0x20);
	assert_false(fake.pic_asserted);
}

static void initialisation_forgets(void **state)
{
	(void)state;
	pulse(4);
	take(0x24);
	guest_write(0, 1, 0x55);
	guest_write(0, 0, ICW1_USUAL);
	pulse(3);
	assert_false(fake.pic_asserted); /* in the midst of it */
	guest_write(0, 1, 0x37);     /* base: low bits are not its */
	guest_write(0, 1, 4);
	guest_write(0, 1, 1);
	assert_int_equal(guest_read(0, 1), 0);
	assert_int_equal(isr(0), 0);
	take(0x33);
	guest_write(0, 0, 0x12); /* single, no ICW4 */
	guest_write(0, 1, 0x40);
	guest_write(0, 1, 0xaa); /* already the mask */
	assert_int_equal(guest_read(0, 1), 0xaa);
}

static void a_gone_request_is_still_served(void **state)
{
	(void)state;
	pic_elcr_write(&pic, 0, 0x20);
	pic_set_line(&pic, 5, true);
	pic_set_line(&pic, 5, false); /* the vCPU may have it already */
	take(0x25);
	assert_int_equal(isr(0), 0x20);
	assert_false(fake.pic_asserted);
	pic_acknowledge(&pic); /* and one for nothing changes nothing */
	assert_int_equal(isr(0), 0x20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_edge_is_one_request, setup),
		cmocka_unit_test_setup(a_level_asks_again, setup),
		cmocka_unit_test_setup(priority_is_kept, setup),
		cmocka_unit_test_setup(the_slave_stands_at_input_2, setup),
		cmocka_unit_test_setup(the_mask_holds_and_lets_go, setup),
		cmocka_unit_test_setup(published_stays_until_taken, setup),
		cmocka_unit_test_setup(a_vcpu_that_masks_withdraws, setup),
		cmocka_unit_test_setup(a_vcpu_that_serves_the_device_withdraws, setup),
		cmocka_unit_test_setup(specific_eoi_and_rotation, setup),
		cmocka_unit_test_setup(automatic_eoi, setup),
		cmocka_unit_test_setup(special_mask_lets_lower_ones_in, setup),
		cmocka_unit_test_setup(special_nesting_lets_the_slave_in_again, setup),
		cmocka_unit_test_setup(polling_is_an_inta, setup),
		cmocka_unit_test_setup(initialisation_forgets, setup),
		cmocka_unit_test_setup(a_gone_request_is_still_served, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
