/*
 * test_timer: one-shot timers on each processor's one hardware timer, with a clock and hardware of the test's own.
 *
 * The text of hv/timer.c is taken in here, since its clock is an instruction. An interrupt comes once for what was armed, or is lost.
 */
#include "core/bits.h"
#include "core/lock.h"
#include "hv/hv.h"
#include "x86/cpu/cpu.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static u64 time_now;
static u32 at_cpu;
#define tsc_now() time_now
#define this_cpu() (&cpus[at_cpu])
#include "hv/timer.c"

#define PROCESSORS 2u
#define TIMERS 6u
#define STEPS 20000u

struct cpu cpus[MAX_CPUS];

/* ---- the hardware ---- */

static struct { u64 deadline; u32 times; } hardware[PROCESSORS]; /* how often it was armed */

void timer_arm(u64 tsc)
{
	hardware[at_cpu].deadline = tsc;
	hardware[at_cpu].times++;
}

/* ---- the timers ---- */

static struct hv_timer timer[TIMERS];
static u32 fired[TIMERS * 4], fired_at[TIMERS * 4], fires; /* which, on which processor, in their order */
static u64 every[TIMERS];                                  /* sets itself again, so much later */

static void on_fire(struct hv_timer *t)
{
	u32 n = (u32)(t - timer);
	assert_int_equal(t->deadline, TIMER_NEVER);
	fired[fires % ARRAY_SIZE(fired)] = n;
	fired_at[fires++ % ARRAY_SIZE(fired)] = at_cpu;
	if (every[n])
		timer_set(t, time_now + every[n]);
}

static void power_on(void)
{
	time_now = at_cpu = fires = 0;
	memset(hardware, 0, sizeof hardware);
	memset(every, 0, sizeof every);
	for (u32 i = 0; i < PROCESSORS; i++) {
		cpus[i].id = i;
		lists[i] = (struct timer_list){ .due = TIMER_NEVER, .slice = TIMER_NEVER, .armed = TIMER_NEVER };
		hardware[i].deadline = TIMER_NEVER;
	}
	for (u32 i = 0; i < TIMERS; i++)
		timer_init(&timer[i], on_fire);
}

static void set(u32 cpu, u32 n, u64 deadline)
{
	at_cpu = cpu;
	timer_set(&timer[n], deadline);
}

/* The interrupt, if it is time; what the scheduler does with it. True: the slice was over. */
static bool interrupt(u32 cpu)
{
	at_cpu = cpu;
	if (hardware[cpu].deadline > time_now)
		return false;
	hardware[cpu].deadline = TIMER_NEVER;
	bool over = timers_run(&cpus[cpu]);
	timers_arm(&cpus[cpu]);
	return over;
}

/* ---- the rules ---- */

static void the_nearest_is_armed(void **state)
{
	(void)state;
	power_on();
	set(0, 0, 300);
	assert_int_equal(hardware[0].deadline, 300);
	set(0, 1, 100);
	assert_int_equal(hardware[0].deadline, 100);
	set(0, 2, 200);
	assert_int_equal(hardware[0].deadline, 100);
	assert_int_equal(hardware[0].times, 2); /* not for one that is later */
	set(0, 2, 200);
	set(0, 2, TIMER_NEVER);
	set(0, 2, TIMER_NEVER);
	assert_int_equal(hardware[0].times, 2);
	set(0, 1, TIMER_NEVER);
	assert_int_equal(hardware[0].deadline, 300);
	set(0, 0, 50); /* the same one, earlier */
	assert_int_equal(hardware[0].deadline, 50);
	set(0, 0, TIMER_NEVER);
	assert_int_equal(hardware[0].deadline, TIMER_NEVER);
	assert_int_equal(hardware[1].times, 0);
}

static void each_fires_in_its_turn(void **state)
{
	(void)state;
	static const u32 order[] = { 3, 1, 2, 0 };
	power_on();
	set(0, 0, 300), set(0, 1, 100), set(0, 2, 100), set(0, 3, 50);
	time_now = 49;
	assert_false(interrupt(0));
	assert_int_equal(fires, 0);
	time_now = 120; /* three are due */
	interrupt(0);
	assert_int_equal(fires, 3);
	assert_int_equal(hardware[0].deadline, 300);
	time_now = 300;
	interrupt(0);
	assert_memory_equal(fired, order, sizeof order);
	assert_int_equal(hardware[0].deadline, TIMER_NEVER);
}

static void one_that_sets_itself_again(void **state)
{
	(void)state;
	power_on();
	every[0] = 100;
	set(0, 0, 100);
	for (u32 i = 1; i <= 5; i++) {
		time_now = 100 * i;
		interrupt(0);
		assert_int_equal(fires, i);
		assert_int_equal(hardware[0].deadline, 100 * (i + 1));
	}
}

/* Its old processor is interrupted for nothing, once. */
static void it_follows_its_owner(void **state)
{
	(void)state;
	power_on();
	set(0, 0, 100), set(0, 1, 150);
	set(1, 0, 200);
	assert_int_equal(hardware[1].deadline, 200);
	assert_int_equal(hardware[0].deadline, 100);
	time_now = 100;
	interrupt(0);
	assert_int_equal(fires, 0);
	assert_int_equal(hardware[0].deadline, 150);
	set(0, 0, 200); /* back, for the same moment */
	time_now = 200;
	interrupt(1);
	assert_int_equal(fires, 0);
	interrupt(0);
	assert_int_equal(fires, 2);
	assert_int_equal(fired_at[1], 0);
	set(0, 2, 300);
	set(1, 2, TIMER_NEVER); /* from elsewhere */
	time_now = 300;
	interrupt(0), interrupt(1);
	assert_int_equal(fires, 2);
}

static void slices(void **state)
{
	(void)state;
	power_on();
	set(0, 0, 300);
	assert_false(timer_slicing(0));
	timer_slice(&cpus[0], 200);
	assert_true(timer_slicing(0));
	assert_int_equal(hardware[0].deadline, 200);
	timer_slice(&cpus[0], 100); /* one that has not ended yet stays */
	assert_int_equal(hardware[0].deadline, 200);
	time_now = 200;
	assert_true(interrupt(0));
	assert_false(timer_slicing(0));
	assert_int_equal(fires, 0);
	timer_slice(&cpus[0], 400);
	time_now = 300;
	assert_false(interrupt(0));
	assert_int_equal(fires, 1);
	assert_int_equal(hardware[0].deadline, 400);
}

/* What should have come is armed again, and nothing else is: each costs a write to the local APIC. */
static void a_lost_one_is_armed_again(void **state)
{
	(void)state;
	power_on();
	timers_arm_late(&cpus[0]);
	set(0, 0, 100), set(0, 1, 500);
	set(1, 2, 100);
	at_cpu = 0;
	time_now = 100;
	timers_arm_late(&cpus[0]); /* it may be on its way */
	assert_int_equal(hardware[0].times, 1);
	hardware[0].deadline = hardware[1].deadline = TIMER_NEVER; /* both lost */
	time_now = 101;
	timers_arm(&cpus[0]); /* it knows nothing of that */
	assert_int_equal(hardware[0].times, 1);
	timers_arm_late(&cpus[0]);
	assert_int_equal(hardware[0].times, 2);
	assert_int_equal(hardware[0].deadline, 100);
	assert_int_equal(hardware[1].times, 1);
	interrupt(0);
	assert_int_equal(fires, 1);
	assert_int_equal(hardware[0].deadline, 500);
	timers_arm_late(&cpus[0]);
	assert_int_equal(hardware[0].times, 3);
	timer_slice(&cpus[0], 200);
	time_now = 201;
	hardware[0].deadline = TIMER_NEVER; /* the end of a slice */
	timers_arm_late(&cpus[0]);
	assert_true(interrupt(0));
}

/* ---- the same by dice, against a table: what is set fires once, on the processor where it was set last, at its time ---- */

static struct { u64 deadline; u32 cpu; } model[TIMERS];

static void hardware_is_early_enough(void)
{
	for (u32 i = 0; i < TIMERS; i++) {
		assert_int_equal(timer[i].deadline, model[i].deadline);
		if (model[i].deadline != TIMER_NEVER)
			assert_true(hardware[model[i].cpu].deadline <= model[i].deadline);
	}
}

static void look_at_fires(u32 cpu)
{
	u64 last = 0;
	for (u32 k = 0; k < fires; k++) {
		u32 n = fired[k];
		assert_int_equal(fired_at[k], cpu);
		assert_int_equal(model[n].cpu, cpu);
		assert_in_range(model[n].deadline, last, time_now);
		last = model[n].deadline;
		model[n].deadline = TIMER_NEVER;
	}
	for (u32 i = 0; i < TIMERS; i++)
		assert_true(model[i].deadline > time_now || model[i].cpu != cpu);
	fires = 0;
}

static void by_dice(void **state)
{
	(void)state;
	srand(1);
	power_on();
	for (u32 i = 0; i < TIMERS; i++)
		model[i].deadline = TIMER_NEVER;
	for (u32 i = 0; i < STEPS; i++) {
		u32 n = (u32)rand() % TIMERS, cpu = (u32)rand() % PROCESSORS;
		u64 deadline = rand() % 4 ? time_now + 1 + (u64)rand() % 50 : TIMER_NEVER;
		set(cpu, n, deadline);
		model[n].deadline = deadline;
		model[n].cpu = cpu;
		hardware_is_early_enough();
		time_now += (u64)rand() % 10;
		for (u32 c = 0; c < PROCESSORS; c++) {
			if (rand() % 8 == 0 && hardware[c].deadline < time_now) {
				hardware[c].deadline = TIMER_NEVER; /* lost, until the next window */
				at_cpu = c;
				timers_arm_late(&cpus[c]);
			}
			interrupt(c);
			look_at_fires(c);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_nearest_is_armed), cmocka_unit_test(each_fires_in_its_turn), cmocka_unit_test(one_that_sets_itself_again),
		cmocka_unit_test(it_follows_its_owner), cmocka_unit_test(slices), cmocka_unit_test(a_lost_one_is_armed_again),
		cmocka_unit_test(by_dice),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
