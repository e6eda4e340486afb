/*
 * Settlement: who is waited for, what is free when; and the race between entering a view and settling it, at every instruction,
 * with the store buffer of the entering processor as late as it may be.
 */
#include "core/bits.h"
#include "sim/check.h"
#include "sim/crew.h"
#include "sim/sim.h"
#include "sim/step.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define OWNER ((owner_t)OWNER_FIRST_VM)
#define OTHER 1u /* the processor that is inside; the settler is 0 */

static struct bench {
	struct sim *s;
	struct view view;
	hfn_t frame;
	u32 kicks, turns, flushes_here;
	bool deaf; /* the first kick is lost */
	u64 pool_frames; /* that are in use at least until everyone has forgotten */
} b;

static void kick(void *context, unsigned cpu)
{
	(void)context;
	assert_int_equal(cpu, OTHER);
	b.kicks++;
}

static void relax(void *context)
{
	(void)context;
	assert_int_equal(frame_of(&b.s->frames, b.frame)->kind, FRAME_GUEST); /* not before everyone has forgotten */
	assert_true(b.s->pool.used_frames >= b.pool_frames);
	if (++b.turns > (b.deaf ? 2 * SETTLE_KICK_AGAIN : 100))
		sim_fail("a settlement waits for ever");
	if (b.deaf ? b.kicks == 2 : b.turns == 3)
		view_flushed(&b.view, OTHER, b.view.generation);
}

static void flush_here(void *context, struct view *v)
{
	(void)context;
	b.flushes_here++;
	view_flushed(v, 0, v->generation);
}

static int setup(void **state)
{
	b = (struct bench){ .s = sim_new(&(struct sim_config){ .seed = 1 }) };
	b.s->quiet = true;
	b.s->env.kick = kick;
	b.s->env.relax = relax;
	b.s->env.flush_here = flush_here;
	view_init(&b.view, "test", &b.s->settler.clock);
	assert_int_equal(alloc_frame(&b.s->alloc, FRAME_GUEST, OWNER, &b.frame), OK);
	*state = &b;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sim_free(b.s);
	return 0;
}

static void owe_the_frame(struct settlement *debt)
{
	settle_stamp(debt, &b.view, frame_of(&b.s->frames, b.frame), 1);
	settle_add_frames(debt, b.frame, 1);
}

static void pay(void)
{
	SETTLEMENT(debt, &b.s->settler);
	u64 came = b.s->alloc.came;
	owe_the_frame(&debt);
	settle(&debt);
	assert_int_equal(b.s->alloc.came, came + 1);
	assert_int_equal(frame_of(&b.s->frames, b.frame)->kind, FRAME_FREE);
	assert_true(frame_of(&b.s->frames, b.frame)->flags & FRAME_DIRTY);
}

static void test_an_unpaid_debt_is_a_bug(void **state)
{
	(void)state;
	struct settlement debt = { .settler = &b.s->settler };
	settlement_close(&debt);
	settle(&debt); /* nothing owed: nothing happens */
	assert_int_equal(b.s->settler.clock.now, 0);
	settle_view(&debt, &b.view);
	assert_true(SIM_CHECKS(settlement_close(&debt)));
	settle(&debt);
	settlement_close(&debt);
	assert_int_equal(b.view.generation, 1);
}

static void test_nobody_inside(void **state)
{
	(void)state;
	pay();
	assert_int_equal(b.kicks + b.turns + b.flushes_here, 0);
	assert_int_equal(b.view.generation, 1);
}

static void test_waits_for_who_is_inside(void **state)
{
	(void)state;
	view_flushed(&b.view, OTHER, view_enter(&b.view, OTHER));
	pay();
	assert_int_equal(b.kicks, 1);
	assert_int_equal(b.turns, 3);
}

static void test_a_lost_kick_comes_again(void **state)
{
	(void)state;
	b.deaf = true;
	view_flushed(&b.view, OTHER, view_enter(&b.view, OTHER));
	pay();
	assert_int_equal(b.kicks, 2);
}

/* Nothing but the root is left of the table, and a processor is still on it. */
static void test_the_root_of_a_view_waits_too(void **state)
{
	(void)state;
	struct pt table;
	assert_int_equal(pt_init(&table, &fmt_npt, &b.s->pool, OWNER), OK);
	b.pool_frames = b.s->pool.used_frames;
	view_flushed(&b.view, OTHER, view_enter(&b.view, OTHER));
	SETTLEMENT(debt, &b.s->settler);
	assert_int_equal(pt_destroy(&table, &b.view, &debt), OK);
	assert_int_equal(b.s->pool.used_frames, b.pool_frames);
	settle(&debt);
	assert_int_equal(b.kicks, 1);
	assert_int_equal(b.turns, 3);
	assert_int_equal(b.s->pool.used_frames, b.pool_frames - 1);
}

static void test_own_processor(void **state)
{
	(void)state;
	view_flushed(&b.view, 0, view_enter(&b.view, 0));
	assert_int_equal(b.view.cpu[0].inside, VIEW_INSIDE);
	pay();
	assert_int_equal(b.flushes_here, 1);
	assert_int_equal(b.kicks + b.turns, 0);
}

static void test_who_has_left_is_not_asked(void **state)
{
	(void)state;
	view_flushed(&b.view, OTHER, view_enter(&b.view, OTHER));
	view_leave(&b.view, OTHER);
	pay();
	assert_int_equal(b.kicks + b.turns, 0);
	assert_int_equal(view_enter(&b.view, OTHER), 1); /* what it must flush to before it goes on */
}

static void enter_while_freed(enum point point)
{
	if (point == POINT_SETTLE_FREE && b.view.cpu[OTHER].inside == VIEW_OUTSIDE)
		assert_int_equal(view_enter(&b.view, OTHER), 1); /* the new generation; it has not flushed yet */
}

/* The ledger took it for one that had not forgotten, and ended the host. */
static void test_who_enters_when_all_have_forgotten(void **state)
{
	(void)state;
	view_flushed(&b.view, OTHER, view_enter(&b.view, OTHER));
	view_leave(&b.view, OTHER);
	crew_act = enter_while_freed;
	pay();
	crew_act = NULL;
	assert_int_equal(b.view.cpu[OTHER].inside, VIEW_ENTERS);
}

static void test_the_ledger_knows_a_late_stamp(void **state)
{
	(void)state;
	struct settlement debt = { .settler = &b.s->settler };
	owe_the_frame(&debt);
	frame_of(&b.s->frames, b.frame)->stamp += 1;
	assert_true(SIM_CHECKS(settle(&debt)));
}

/* A stamp belongs to the clock, not to the view: another view's settlement does not make it old. */
static void test_stamps_of_two_views(void **state)
{
	(void)state;
	struct view second;
	view_init(&second, "second", &b.s->settler.clock);
	SETTLEMENT(first, &b.s->settler);
	owe_the_frame(&first);
	assert_int_equal(frame_of(&b.s->frames, b.frame)->stamp, 1);
	SETTLEMENT(other, &b.s->settler);
	settle_view(&other, &second);
	settle(&other);
	assert_int_equal(second.generation, 1);
	settle(&first);
	assert_int_equal(b.view.generation, 2);
}

static void test_runs_grow_together(void **state)
{
	(void)state;
	hfn_t f[3];
	SETTLEMENT(debt, &b.s->settler);
	for (u32 i = 0; i < ARRAY_SIZE(f); i++)
		assert_int_equal(alloc_frame(&b.s->alloc, FRAME_GUEST, OWNER, &f[i]), OK);
	for (u32 i = 0; i < ARRAY_SIZE(f); i++)
		settle_add_frames(&debt, f[i], 1);
	assert_int_equal(debt.run_count, 1);
	assert_int_equal(debt.runs[0].count, 3);
	settle(&debt);
	assert_int_equal(frame_of(&b.s->frames, f[2])->kind, FRAME_FREE);
}

/* ---- the race ---- */

enum { NOT_YET, GO, WAITS, PAID };

static struct race {
	u64 when;         /* the instruction of the entry before which the settlement comes */
	u32 settler;      /* what the settling thread is at */
	bool was_inside, fenced;
	bool happened, entered;
	u64 generation;   /* what the entry found */
} race;

static u32 settler_is_at(void)
{
	return __atomic_load_n(&race.settler, __ATOMIC_SEQ_CST);
}

static void wait_while(u32 a, u32 or_b)
{
	while (settler_is_at() == a || settler_is_at() == or_b)
		sched_yield();
}

static void relax_in_race(void *context)
{
	(void)context;
	__atomic_store_n(&race.settler, WAITS, __ATOMIC_SEQ_CST);
	sched_yield();
}

static void kick_nobody(void *context, unsigned cpu)
{
	(void)context, (void)cpu;
}

static void *settler_thread(void *unused)
{
	(void)unused;
	wait_while(NOT_YET, NOT_YET);
	pay();
	__atomic_store_n(&race.settler, PAID, __ATOMIC_SEQ_CST);
	return NULL;
}

/*
 * The settlement happens here, as far as it goes. A store of the entering processor that no fence has followed may still be in its
 * store buffer: then the settler does not see it.
 */
static bool settle_now(void *context, u64 n)
{
	(void)context;
	u32 *inside = &b.view.cpu[OTHER].inside;
	race.fenced |= race.was_inside && step_is_fence(step_last());
	race.was_inside = *inside;
	if (n < race.when)
		return true;
	bool in_buffer = race.was_inside && !race.fenced;
	if (in_buffer)
		__atomic_store_n(inside, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&race.settler, GO, __ATOMIC_SEQ_CST);
	wait_while(GO, GO);
	if (in_buffer)
		__atomic_store_n(inside, 1, __ATOMIC_SEQ_CST);
	race.happened = true;
	return false;
}

static void enter(void *unused)
{
	(void)unused;
	race.generation = view_enter(&b.view, OTHER);
}

static void race_at(u64 when)
{
	pthread_t thread;
	race = (struct race){ .when = when };
	b.s->env.kick = kick_nobody;
	b.s->env.relax = relax_in_race;
	assert_int_equal(pthread_create(&thread, NULL, settler_thread, NULL), 0);
	step_through(enter, NULL, settle_now, NULL);
	/* Its tag was flushed to generation 0: it flushes now if the entry told it so, and not otherwise. */
	if (race.happened && race.generation == 0 && settler_is_at() == PAID)
		sim_fail("instruction %lu: the frame is free, the processor enters and was not told", (unsigned long)when);
	if (!race.happened)
		__atomic_store_n(&race.settler, GO, __ATOMIC_SEQ_CST);
	while (settler_is_at() != PAID) { /* kicked: it leaves and comes back */
		view_flushed(&b.view, OTHER, view_enter(&b.view, OTHER));
		sched_yield();
	}
	pthread_join(thread, NULL);
}

static void test_entry_against_settlement(void **state)
{
	u64 when = 0;
	do {
		race_at(when++);
		teardown(state);
		setup(state);
	} while (race.happened);
	assert_in_range(when, 10, 1000);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_an_unpaid_debt_is_a_bug),
		TEST(test_nobody_inside),
		TEST(test_waits_for_who_is_inside), TEST(test_a_lost_kick_comes_again),
		TEST(test_the_root_of_a_view_waits_too),
		TEST(test_own_processor),
		TEST(test_who_has_left_is_not_asked),
		TEST(test_who_enters_when_all_have_forgotten),
		TEST(test_the_ledger_knows_a_late_stamp),
		TEST(test_stamps_of_two_views),
		TEST(test_runs_grow_together),
		TEST(test_entry_against_settlement),
	};
	alarm(60);
	return cmocka_run_group_tests_name("settlement", tests, NULL, NULL);
}
