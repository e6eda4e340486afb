/*
 * test_lapic_posts: posters on other processors while the owner looks: each vector that is posted is seen, each time.
 */
#define _GNU_SOURCE 1 /* REG_EFL */
#include "tests/unit/lapic_fixture.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <ucontext.h>

#define POSTERS 2u /* their vectors lie side by side, in the same words */
#define POSTS   5000u
#define SPINS   2000u
#define STUCK   5 /* seconds without anything to deliver, while a poster waits: one was lost */

struct poster { struct lapic *l; u32 first, taken; bool finished, give_up; };

static void *post_all(void *argument)
{
	struct poster *p = argument;

	for (u32 k = 0; k < POSTS && !__atomic_load_n(&p->give_up, __ATOMIC_ACQUIRE); k++) {
		u32 spins = 0;

		lapic_post(p->l, (u8)(p->first + k % 32 * POSTERS), k & 1);
		while (__atomic_load_n(&p->taken, __ATOMIC_ACQUIRE) == k && !__atomic_load_n(&p->give_up, __ATOMIC_ACQUIRE))
			if (++spins % SPINS == 0)
				sched_yield(); /* there may be fewer processors than threads */
	}
	__atomic_store_n(&p->finished, true, __ATOMIC_RELEASE);
	return NULL;
}

static bool all_finished(struct poster poster[POSTERS])
{
	bool all = true;

	for (u32 i = 0; i < POSTERS; i++)
		all &= __atomic_load_n(&poster[i].finished, __ATOMIC_ACQUIRE);
	return all;
}

static void test_posts_are_never_lost(void **unused)
{
	static struct poster poster[POSTERS];
	struct lapic l = fresh(0, true);
	pthread_t thread[POSTERS];
	time_t last = time(NULL);
	u32 spins = 0;

	(void)unused;
	for (u32 i = 0; i < POSTERS; i++) {
		poster[i] = (struct poster){ .l = &l, .first = 0x40 + i };
		assert_int_equal(pthread_create(&thread[i], NULL, post_all, &poster[i]), 0);
	}
	while (!all_finished(poster) && time(NULL) - last < STUCK) {
		int v = lapic_deliverable(&l);

		if (v < 0) {
			if (++spins % SPINS == 0)
				sched_yield();
			continue;
		}
		lapic_accept(&l, v);
		lapic_write(&l, EOI, 4, 0, 0);
		__atomic_fetch_add(&poster[(u32)v % POSTERS].taken, 1, __ATOMIC_RELEASE);
		last = time(NULL);
	}
	for (u32 i = 0; i < POSTERS; i++) {
		__atomic_store_n(&poster[i].give_up, true, __ATOMIC_RELEASE);
		pthread_join(thread[i], NULL);
		assert_int_equal(poster[i].taken, POSTS);
	}
	assert_int_equal(lapic_highest(&l), LAPIC_NO_VECTOR);
}

/*
 * ---- every interleaving, by single steps: one side is stopped behind its n-th instruction, the other runs there, for every n ----
 */

#define TRAP_FLAG  0x100u
#define STEPS_MAX  100000u

static struct { struct lapic *l; u32 at, count; void (*other)(void); u32 delivered[256]; } stepping;

/* A trap is slow: behind the point that matters it runs on without. */
static void on_step(int signal, siginfo_t *info, void *context)
{
	ucontext_t *u = context;

	(void)signal, (void)info;
	if (++stepping.count != stepping.at)
		return;
	stepping.other();
	u->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
}

static void step_through(void (*one)(void))
{
	stepping.count = 0;
	__builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() | TRAP_FLAG);
	one();
	__builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() & ~(u64)TRAP_FLAG);
}

static void owner_takes_all(void)
{
	for (int v; (v = lapic_deliverable(stepping.l)) >= 0;) {
		lapic_accept(stepping.l, v);
		lapic_write(stepping.l, EOI, 4, 0, 0);
		stepping.delivered[v]++;
	}
}

static void owner_looks(void) { (void)lapic_highest(stepping.l); }
static void post_61(void) { lapic_post(stepping.l, 0x61, false); }
static void post_62(void) { lapic_post(stepping.l, 0x62, false); }

static void interleave(void (*one)(void), void (*other)(void), u32 of_61, u32 of_62)
{
	for (stepping.at = 1; stepping.at < STEPS_MAX; stepping.at++) {
		struct lapic l = fresh(0, true);

		stepping.l = &l;
		stepping.other = other;
		memset(stepping.delivered, 0, sizeof(stepping.delivered));
		if (of_61 && one != post_61)
			post_61();
		step_through(one);
		owner_takes_all();
		if (stepping.count < stepping.at)
			break;
		assert_int_equal(stepping.delivered[0x61], of_61);
		assert_int_equal(stepping.delivered[0x62], of_62);
		assert_int_equal(l.look, 0);
	}
	assert_in_range(stepping.at, 20, STEPS_MAX - 1); /* it did step */
}

static void test_every_interleaving_of_a_post(void **unused)
{
	struct sigaction action = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO }, before;

	(void)unused;
	assert_int_equal(sigaction(SIGTRAP, &action, &before), 0);
	interleave(post_61, owner_takes_all, 1, 0);
	interleave(post_61, post_62, 1, 1);
	interleave(owner_looks, post_62, 1, 1);
	sigaction(SIGTRAP, &before, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_posts_are_never_lost),
		cmocka_unit_test(test_every_interleaving_of_a_post),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
