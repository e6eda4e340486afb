/*
 * test_monitor_pit: the 8254's modes, latches and gates, and when it asks for a timer.
 */
#include "monitor/host/fake_ring0.h"
#include "monitor/platform/pit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define CONTROL 3
#define ICW1_USUAL 0x11

static struct timers timers;
static struct interrupts interrupts;
static struct pit pit;

static void pic_mask(u8 mask) { pic_write(&interrupts.pic, 0, 1, mask); }

static int setup(void **state)
{
	(void)state;
	fake_reset(PAGE_SIZE);
	timers_init(&timers);
	pic_init(&interrupts.pic);
	pic_write(&interrupts.pic, 0, 0, ICW1_USUAL);
	pic_write(&interrupts.pic, 0, 1, 0x20);
	pic_write(&interrupts.pic, 0, 1, 4);
	pic_write(&interrupts.pic, 0, 1, 1);
	pic_mask(0xff);
	ioapic_init(&interrupts.ioapic);
	pit_init(&pit, &timers, &interrupts, FAKE_TSC_KHZ);
	return 0;
}

/* The vCPU takes the interrupt and serves it. */
static void take(void)
{
	assert_true(fake.pic_asserted);
	assert_int_equal(fake.pic_vector, 0x20);
	fake.pic_asserted = false;
	pic_acknowledge(&interrupts.pic);
	pic_write(&interrupts.pic, 0, 0, 0x20);
}

/* Move time to the beginning of PIT tick `tick`. */
static void at(u64 tick) { fake.tsc = clock_tsc(&pit.clock, tick); }

static void load(u32 channel, u32 mode, u32 count)
{
	pit_write(&pit, CONTROL, (u8)(channel << 6 | 0x30 | mode << 1));
	pit_write(&pit, channel, (u8)count);
	pit_write(&pit, channel, (u8)(count >> 8));
}

static u32 latched(u32 channel)
{
	u32 low;

	pit_write(&pit, CONTROL, (u8)(channel << 6));
	low = pit_read(&pit, channel);
	return low | pit_read(&pit, channel) << 8;
}

static u32 status(u32 channel)
{
	pit_write(&pit, CONTROL, (u8)(0xe0 | 2u << channel));
	return pit_read(&pit, channel);
}

static bool out2(void) { return (pit_port61_read(&pit) & 0x20) != 0; }

static void time_and_ticks_agree(void **state)
{
	(void)state;
	for (u64 ticks = 1; ticks < 1u << 30; ticks = ticks * 3 + 1) {
		u64 tsc = clock_tsc(&pit.clock, ticks);

		assert_int_equal(clock_ticks(&pit.clock, tsc), ticks);
		assert_int_equal(clock_ticks(&pit.clock, tsc - 1), ticks - 1);
	}
	assert_int_equal(clock_ticks(&pit.clock, 3600 * FAKE_SECOND), 3600ull * PIT_HZ - 1); /* rounded down */
}

/* The first instant of a tick is found in a few steps, however long the machine has run; beyond the TSC's end there is none. */
static void a_clock_that_runs_for_centuries(void **state)
{
	(void)state;
	for (u64 seconds = 1; seconds < 9000000000ull; seconds = seconds * 3 + 7) { /* 285 years */
		u64 ticks = seconds * PIT_HZ + seconds % PIT_HZ, tsc = clock_tsc(&pit.clock, ticks);

		assert_true(clock_ticks(&pit.clock, tsc) >= ticks);
		assert_true(clock_ticks(&pit.clock, tsc - 1) < ticks);
	}
	assert_true(clock_tsc(&pit.clock, 20000000000ull * PIT_HZ) == CLOCK_NEVER);
}

static void mode_0_counts_down_once(void **state)
{
	(void)state;
	load(2, 0, 1000);
	pit_port61_write(&pit, 1);
	assert_false(out2());
	assert_int_equal(latched(2), 1000);
	at(400);
	assert_int_equal(latched(2), 600);
	at(999);
	assert_false(out2());
	at(1000);
	assert_true(out2());
	at(1001);
	assert_int_equal(latched(2), 0xffff);
}

static void the_gate_stops_mode_0(void **state)
{
	(void)state;
	pit_port61_write(&pit, 1);
	load(2, 0, 1000);
	at(300);
	pit_port61_write(&pit, 2); /* gate off, speaker on */
	assert_int_equal(pit_port61_read(&pit) & 3, 2);
	at(5000);
	assert_int_equal(latched(2), 700);
	pit_port61_write(&pit, 1);
	at(5100);
	assert_int_equal(latched(2), 600);
	at(5699);
	assert_false(out2());
	at(5700);
	assert_true(out2());
}

static void mode_1_waits_for_the_gate(void **state)
{
	(void)state;
	load(2, 1, 100);
	assert_true(out2());
	at(50);
	assert_true(out2());
	pit_port61_write(&pit, 1);
	assert_false(out2());
	at(149);
	assert_false(out2());
	at(150);
	assert_true(out2());
}

static void modes_2_and_3_repeat(void **state)
{
	(void)state;
	pit_port61_write(&pit, 1);
	load(2, 2, 10);
	at(9);
	assert_false(out2());
	assert_int_equal(latched(2), 1);
	at(10);
	assert_true(out2());
	assert_int_equal(latched(2), 10);
	load(2, 3, 10);
	at(14);
	assert_true(out2());
	at(15);
	assert_false(out2());
	at(20);
	assert_true(out2());
	load(2, 7, 10); /* the same as 3 */
	assert_int_equal(status(2) & 0x0e, 0x06);
}

static void modes_4_and_5_strobe(void **state)
{
	(void)state;
	pit_port61_write(&pit, 1);
	load(2, 4, 10);
	assert_true(out2());
	at(10);
	assert_false(out2());
	at(11);
	assert_true(out2());
	pit_port61_write(&pit, 0);
	load(2, 5, 10);
	at(30);
	pit_port61_write(&pit, 1);
	at(40);
	assert_false(out2());
	at(41);
	assert_true(out2());
}

static void zero_is_the_largest_and_bcd_is_decimal(void **state)
{
	(void)state;
	load(2, 0, 0);
	pit_port61_write(&pit, 1);
	at(1);
	assert_int_equal(latched(2), 0xffff);
	at(65535);
	assert_false(out2());
	at(65536);
	assert_true(out2());
	pit_write(&pit, CONTROL, 0xb1);
	pit_write(&pit, 2, 0x00);
	pit_write(&pit, 2, 0x10); /* 1000 */
	at(65536 + 1);
	assert_int_equal(latched(2), 0x0999);
}

static void byte_accesses(void **state)
{
	(void)state;
	pit_write(&pit, CONTROL, 0x90); /* channel 2, low byte, mode 0 */
	pit_write(&pit, 2, 200);
	pit_port61_write(&pit, 1);
	assert_int_equal(pit_read(&pit, 2), 200);
	assert_int_equal(pit_read(&pit, 2), 200);
	pit_write(&pit, CONTROL, 0xa0); /* high byte */
	pit_write(&pit, 2, 2);
	assert_int_equal(pit_read(&pit, 2), 2);
	load(2, 0, 0x1234);
	assert_int_equal(pit_read(&pit, 2), 0x34);
	assert_int_equal(pit_read(&pit, 2), 0x12);
	assert_int_equal(pit_read(&pit, CONTROL), 0xff);
}

static void latches_hold(void **state)
{
	(void)state;
	pit_port61_write(&pit, 1);
	load(2, 0, 1000);
	pit_write(&pit, CONTROL, 0xc8); /* read back count and status of channel 2 */
	at(500);
	pit_write(&pit, CONTROL, 0x80); /* a second latch changes nothing */
	assert_int_equal(pit_read(&pit, 2), 0x30);
	assert_int_equal(pit_read(&pit, 2), 1000 & 0xff);
	assert_int_equal(pit_read(&pit, 2), 1000 >> 8);
	at(1000);
	assert_int_equal(status(2), 0xb0);
	pit_write(&pit, CONTROL, 0xb0);
	assert_int_equal(status(2) & 0x40, 0x40); /* null count */
}

static void channel_0_interrupts_when_seen(void **state)
{
	(void)state;
	load(0, 2, 1000);
	assert_int_equal(timers.deadline[TIMER_PIT], TIMER_NEVER); /* masked everywhere: no timer */
	at(2500);
	pit_update(&pit);
	pic_mask(0xfe);
	take(); /* the edge that the masked controller kept */
	assert_false(fake.pic_asserted);
	pit_update(&pit);
	assert_int_equal(timers.deadline[TIMER_PIT], clock_tsc(&pit.clock, 3000));
	at(3000);
	pit_update(&pit);
	take();
	assert_int_equal(timers.deadline[TIMER_PIT], clock_tsc(&pit.clock, 4000));
}

static void one_shot_interrupts_once(void **state)
{
	(void)state;
	pic_mask(0xfe);
	load(0, 0, 1000);
	assert_false(fake.pic_asserted);
	assert_int_equal(timers.deadline[TIMER_PIT], clock_tsc(&pit.clock, 1000));
	at(1000);
	pit_update(&pit);
	assert_int_equal(timers.deadline[TIMER_PIT], TIMER_NEVER);
	take();
	at(100000);
	pit_update(&pit);
	assert_false(fake.pic_asserted);
	load(0, 4, 50); /* the strobe's rising edge, one tick after its end */
	assert_int_equal(timers.deadline[TIMER_PIT], clock_tsc(&pit.clock, 100051));
}

static void through_the_ioapic_too(void **state)
{
	(void)state;
	ioapic_write(&interrupts.ioapic, 0, 4, 0x14);
	ioapic_write(&interrupts.ioapic, 0x10, 4, 0x30);
	load(0, 3, 1000);
	assert_int_equal(timers.deadline[TIMER_PIT], clock_tsc(&pit.clock, 1000));
	fake.msis = 0;
	at(1000);
	pit_update(&pit);
	assert_int_equal(fake.msis, 1);
	assert_int_equal(fake.msi[0].data, 0x30);
}

/* As a PC's firmware leaves it. */
static void channel_0_runs_from_the_start(void **state)
{
	(void)state;
	assert_int_equal(timers.deadline[TIMER_PIT], TIMER_NEVER); /* nobody sees it */
	at(100);
	assert_true(latched(0) < 65536 - 100);
	pic_mask(0xfe);
	pit_update(&pit);
	assert_int_equal(timers.deadline[TIMER_PIT], clock_tsc(&pit.clock, 65536));
	at(65536);
	pit_update(&pit);
	take();
	assert_int_equal(timers.deadline[TIMER_PIT], clock_tsc(&pit.clock, 2 * 65536));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(time_and_ticks_agree, setup),
		cmocka_unit_test_setup(a_clock_that_runs_for_centuries, setup),
		cmocka_unit_test_setup(mode_0_counts_down_once, setup),
		cmocka_unit_test_setup(the_gate_stops_mode_0, setup),
		cmocka_unit_test_setup(mode_1_waits_for_the_gate, setup),
		cmocka_unit_test_setup(modes_2_and_3_repeat, setup),
		cmocka_unit_test_setup(modes_4_and_5_strobe, setup),
		cmocka_unit_test_setup(zero_is_the_largest_and_bcd_is_decimal, setup),
		cmocka_unit_test_setup(byte_accesses, setup),
		cmocka_unit_test_setup(latches_hold, setup),
		cmocka_unit_test_setup(channel_0_interrupts_when_seen, setup),
		cmocka_unit_test_setup(channel_0_runs_from_the_start, setup),
		cmocka_unit_test_setup(one_shot_interrupts_once, setup),
		cmocka_unit_test_setup(through_the_ioapic_too, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
