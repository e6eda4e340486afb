/* test_lapic_timer: the local APIC's timer in its three modes. */
#include "tests/unit/lapic_fixture.h"

static void test_timer_one_shot(void **unused)
{
	struct lapic l = fresh(0, true);

	(void)unused;
	lapic_write(&l, LVT_TIMER, 4, 0x40, 0);
	lapic_write(&l, DIVIDE, 4, 0x3, 0); /* by 16 */
	lapic_write(&l, INITIAL, 4, 1000, 5000);
	assert_int_equal(lapic_deadline(&l), 5000 + 16000);
	assert_int_equal(lapic_read(&l, CURRENT, 4, 5000 + 160), 990);
	lapic_timer(&l, 20999);
	assert_int_equal(lapic_deliverable(&l), LAPIC_NO_VECTOR);
	lapic_timer(&l, 21000);
	assert_int_equal(lapic_deliverable(&l), 0x40);
	assert_int_equal(lapic_deadline(&l), LAPIC_NO_DEADLINE);
	assert_int_equal(lapic_read(&l, CURRENT, 4, 30000), 0);
	lapic_accept(&l, 0x40);
	lapic_timer(&l, 100000);
	assert_int_equal(lapic_highest(&l), LAPIC_NO_VECTOR); /* once */
	lapic_write(&l, INITIAL, 4, 1000, 200000);
	lapic_write(&l, INITIAL, 4, 0, 200100); /* stops it */
	assert_int_equal(lapic_deadline(&l), LAPIC_NO_DEADLINE);
}

static void test_timer_periodic(void **unused)
{
	struct lapic l = fresh(0, true);

	(void)unused;
	lapic_write(&l, DIVIDE, 4, DIVIDE_BY_1, 0);
	lapic_write(&l, LVT_TIMER, 4, PERIODIC | 0x41, 0);
	lapic_write(&l, INITIAL, 4, 100000, 0);
	lapic_timer(&l, 350000); /* rounds that were missed come as one */
	assert_int_equal(lapic_deliverable(&l), 0x41);
	assert_int_equal(lapic_deadline(&l), 400000);
	assert_int_equal(lapic_read(&l, CURRENT, 4, 350000), 50000);
	lapic_write(&l, LVT_TIMER, 4, MASKED | PERIODIC | 0x41, 360000);
	assert_int_equal(lapic_deadline(&l), LAPIC_NO_DEADLINE);
	lapic_write(&l, LVT_TIMER, 4, PERIODIC | 0x41, 777000); /* the phase is kept */
	assert_int_equal(lapic_deadline(&l), 800000);
	lapic_write(&l, LVT_TIMER, 4, 0x41, 790000); /* as one-shot: this round still ends */
	assert_int_equal(lapic_deadline(&l), 800000);
	lapic_timer(&l, 800000);
	lapic_write(&l, LVT_TIMER, 4, PERIODIC | 0x41, 900000); /* it has run out: still */
	assert_int_equal(lapic_deadline(&l), LAPIC_NO_DEADLINE);
	assert_int_equal(lapic_read(&l, CURRENT, 4, 900000), 0);
	lapic_write(&l, INITIAL, 4, 1, 1000000); /* a period too short for the host is stretched */
	assert_true(lapic_deadline(&l) >= 1000000 + 10000);
}

static void test_timer_divide(void **unused)
{
	static const struct { u32 reg, by; } divisors[] = { { 0, 2 }, { 1, 4 }, { 2, 8 }, { 3, 16 }, { 8, 32 }, { 9, 64 }, { 0xa, 128 }, { 0xb, 1 } };
	struct lapic l = fresh(0, true);

	(void)unused;
	lapic_write(&l, LVT_TIMER, 4, 0x40, 0);
	for (u32 i = 0; i < sizeof(divisors) / sizeof(divisors[0]); i++) {
		lapic_write(&l, DIVIDE, 4, divisors[i].reg, 0);
		lapic_write(&l, INITIAL, 4, 1000, 0);
		assert_int_equal(lapic_deadline(&l), 1000 * divisors[i].by);
	}
	lapic_write(&l, DIVIDE, 4, 3, 400); /* the last ran undivided: 600 are left, now by 16 */
	assert_int_equal(lapic_read(&l, CURRENT, 4, 400), 600);
	assert_int_equal(lapic_deadline(&l), 400 + 600 * 16);
	lapic_tsc_moved(&l, 1000000, 1000400);
	assert_int_equal(lapic_deadline(&l), 1000400 + 600 * 16);
}

static void test_timer_deadline(void **unused)
{
	struct lapic l = fresh_x2(0);
	u64 v;

	(void)unused;
	assert_int_equal(lapic_write_msr(&l, LAPIC_MSR_TSC_DEADLINE, 500, 0), OK); /* not in this mode: ignored */
	assert_int_equal(lapic_deadline(&l), LAPIC_NO_DEADLINE);
	assert_int_equal(wr(&l, LVT_TIMER, DEADLINE | 0x42), OK);
	assert_int_equal(lapic_write_msr(&l, LAPIC_MSR_TSC_DEADLINE, 500, 0), OK);
	assert_int_equal(lapic_deadline(&l), 500);
	assert_int_equal(lapic_read_msr(&l, LAPIC_MSR_TSC_DEADLINE, 499, &v), OK);
	assert_int_equal(v, 500);
	assert_int_equal(wr(&l, INITIAL, 77), OK); /* ignored in this mode */
	assert_int_equal(lapic_read_msr(&l, msr_of(INITIAL), 0, &v), OK);
	assert_int_equal(v, 0);
	assert_int_equal(lapic_read_msr(&l, LAPIC_MSR_TSC_DEADLINE, 500, &v), OK); /* it fires, and disarms itself */
	assert_int_equal(v, 0);
	assert_int_equal(lapic_deliverable(&l), 0x42);
	assert_int_equal(lapic_write_msr(&l, LAPIC_MSR_TSC_DEADLINE, 900, 600), OK);
	assert_int_equal(wr(&l, LVT_TIMER, 0x42), OK); /* another mode disarms */
	assert_int_equal(lapic_deadline(&l), LAPIC_NO_DEADLINE);
	assert_int_equal(wr(&l, LVT_TIMER, DEADLINE | MASKED | 0x43), OK);
	assert_int_equal(lapic_write_msr(&l, LAPIC_MSR_TSC_DEADLINE, 1000, 600), OK);
	lapic_accept(&l, 0x42);
	lapic_timer(&l, 1000); /* masked: no interrupt */
	assert_int_equal(lapic_highest(&l), LAPIC_NO_VECTOR);
	assert_int_equal(l.timer.deadline, 0);
}

static void test_timer_illegal_vector(void **unused)
{
	struct lapic l = fresh(0, true);

	(void)unused;
	lapic_write(&l, LVT_TIMER, 4, 0x07, 0);
	lapic_write(&l, INITIAL, 4, 10, 0);
	lapic_timer(&l, 1000000);
	assert_int_equal(lapic_highest(&l), LAPIC_NO_VECTOR);
	lapic_write(&l, ESR, 4, 0, 0);
	assert_int_equal(reg(&l, ESR), 0x40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_timer_one_shot),
		cmocka_unit_test(test_timer_periodic),
		cmocka_unit_test(test_timer_divide),
		cmocka_unit_test(test_timer_deadline),
		cmocka_unit_test(test_timer_illegal_vector),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
