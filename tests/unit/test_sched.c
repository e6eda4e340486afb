/*
 * test_sched: the scheduler with a clock and processors of the test's own: who runs where and how long, in steps of 50 us (docs/scheduling.md).
 *
 * The text of hv/sched.c is taken in here, since its clock is an instruction. One tick is one microsecond.
 */
#include "core/bits.h"
#include "core/lock.h"
#include "hv/hv.h"
#include "x86/asm/insn.h"
#include "x86/boot/boot.h"
#include "x86/cpu/log.h"
#include "x86/mm/mm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static u64 time_now;
static u32 at_cpu;
#define tsc_now() time_now
#define this_cpu() (&cpus[at_cpu])
#define clear_user_segments() (void)0
#include "hv/sched.c"

#define STEP 50u
#define SECOND 1000000u
#define PROCESSORS 2u
#define MACHINES 4u
#define VCPUS 3u

/* What an entity does: it computes for `burst` and sleeps for `sleep`; without a burst it computes for ever. */
struct habit { u64 burst, sleep, left, wake_at, slept; };
struct host { struct entity *e; u64 slice_at; };

static struct vm machine[MACHINES];
static struct vcpu_private halves[MACHINES][VCPUS];
static struct habit vcpu_habit[MACHINES][VCPUS], monitor_habit[MACHINES];
static struct host host[PROCESSORS];
static u64 turns_of[PROCESSORS]; /* that began there */

struct cpu cpus[MAX_CPUS];
u32 cpu_total, vm_count; /* no VM: nothing is scrubbed */
u64 host_tsc_khz = 1000;
struct mm mm;

/* ---- what is around it ---- */

void kick_cpu(u32 id) { cpu_event(&cpus[id], CPU_KICK); }
void timers_arm(const struct cpu *c) { host[c->id].slice_at = 0; }
void timer_slice(const struct cpu *c, u64 end) { host[c->id].slice_at = end; }
bool timer_slicing(u32 cpu) { return host[cpu].slice_at; }
bool timers_run(const struct cpu *c) { return host[c->id].slice_at && time_now >= host[c->id].slice_at; }
void vcpu_timer_changed(struct vcpu *v) { v->timer.cpu = at_cpu; }
void space_link(struct cpu *c, struct space *s) { (void)c, (void)s; }
void backend_load(struct guest_cpu *g) { (void)g; }
void backend_unload(struct guest_cpu *g) { (void)g; }
void backend_save(struct guest_cpu *g) { (void)g; }
void backend_clear_extended(void) { }
enum turn vcpu_turn(struct cpu *c, struct entity *e) { (void)c, (void)e; return TURN_YIELD; }
enum turn monitor_turn(struct cpu *c, struct entity *e) { (void)c, (void)e; return TURN_YIELD; }
enum turn keeper_turn(struct cpu *c, struct entity *e) { (void)c, (void)e; return TURN_YIELD; }
enum turn operator_turn(struct cpu *c, struct entity *e) { (void)c, (void)e; return TURN_YIELD; }
void cpu_idle(void) { }
void interrupts_take(void) { }
u32 console_read(void *bytes, u32 room) { (void)bytes, (void)room; return 0; }
void operator_input(const u8 *bytes, u32 count) { (void)bytes, (void)count; }
void vm_starve(struct vm *vm, u64 came_at) { (void)vm, (void)came_at; }
void vms_feed(void) { }
_Noreturn void panic(const char *format, ...) { (void)format; fail(); __builtin_unreachable(); }

/* ---- the world ---- */

static struct habit *habit_of(struct entity *e)
{
	size_t m = (size_t)(e->vm - machine);
	return e->kind == ENTITY_MONITOR ? &monitor_habit[m] : &vcpu_habit[m][vcpu_of(e)->id];
}

static void make(u32 processors)
{
	memset(per_cpu, 0, sizeof per_cpu);
	memset(host, 0, sizeof host);
	memset(vcpu_habit, 0, sizeof vcpu_habit);
	memset(monitor_habit, 0, sizeof monitor_habit);
	memset(turns_of, 0, sizeof turns_of);
	queued = 0;
	active_count = 0;
	level = time_now = 0;
	cpu_total = processors;
	for (u32 i = 0; i < PROCESSORS; i++)
		cpus[i] = (struct cpu){ .id = i };
	sched_init();
	for (u32 m = 0; m < MACHINES; m++) {
		struct vm *vm = &machine[m];
		memset(vm, 0, sizeof *vm);
		vm->state = VM_RUNNING;
		vm->vcpus = VCPUS;
		share_init(&vm->share, MACHINE_WEIGHT);
		entity_init(&vm->monitor.entity, ENTITY_MONITOR, vm, &vm->share);
		for (u32 i = 0; i < VCPUS; i++) {
			vm->vcpu[i].id = i;
			vm->vcpu[i].p = &halves[m][i];
			entity_init(&vm->vcpu[i].entity, ENTITY_VCPU, vm, &vm->share);
		}
	}
}

static void turn_over(u32 i, enum turn turn)
{
	struct sched_cpu *s = &per_cpu[i];
	s->idle = false;
	host[i].e = next_turn(s, host[i].e, turn);
	if (host[i].e) {
		(void)run_entity(s, host[i].e);
		turns_of[i]++;
	} else {
		idle(s);
		s->idle = true;
	}
}

/* Whether what runs there goes to sleep now. */
static bool computes_to_its_end(struct entity *e)
{
	struct habit *h = habit_of(e);
	if (!h->burst || (h->left -= STEP))
		return false;
	h->left = h->burst;
	h->wake_at = h->sleep ? time_now + h->sleep : 0;
	return true;
}

static void processor(u32 i)
{
	at_cpu = i;
	if (host[i].slice_at && time_now >= host[i].slice_at)
		cpus[i].events |= CPU_TIMER;
	bool over = cpus[i].events && sched_events(&cpus[i]);
	if (!host[i].e)
		turn_over(i, TURN_SLEEP);
	else if (computes_to_its_end(host[i].e))
		turn_over(i, TURN_SLEEP);
	else if (over)
		turn_over(i, TURN_YIELD);
}

static void wake_due(struct entity *e)
{
	struct habit *h = habit_of(e);
	if (!h->wake_at || time_now < h->wake_at)
		return;
	h->wake_at = 0;
	sched_wake(e);
}

static void pass(u64 time)
{
	for (u64 end = time_now + time; time_now < end;) {
		time_now += STEP;
		at_cpu = 0;
		for (u32 m = 0; m < MACHINES; m++) {
			wake_due(&machine[m].monitor.entity);
			for (u32 v = 0; v < VCPUS; v++)
				wake_due(&machine[m].vcpu[v].entity);
		}
		for (u32 i = 0; i < cpu_total; i++)
			processor(i);
	}
}

static struct entity *vcpu(u32 m, u32 v) { return &machine[m].vcpu[v].entity; }

static void begins(u32 m, u32 v, u64 burst, u64 sleep)
{
	vcpu_habit[m][v] = (struct habit){ .burst = burst, .sleep = sleep, .left = burst };
	at_cpu = 0;
	sched_wake(vcpu(m, v));
}

/* What each machine had of the processors over some time, in parts of a thousand of one. */
static void shares(u64 time, u32 had[MACHINES])
{
	u64 before[MACHINES];
	for (u32 m = 0; m < MACHINES; m++)
		before[m] = machine[m].share.busy;
	pass(time);
	for (u32 m = 0; m < MACHINES; m++)
		had[m] = (u32)((machine[m].share.busy - before[m]) * 1000 / time);
}

static void near(u32 had, u32 wanted)
{
	assert_in_range(had, wanted - wanted / 20, wanted + wanted / 20);
}

/* ---- the rules ---- */

static void by_weight(void **state)
{
	(void)state;
	u32 had[MACHINES];
	make(2);
	for (u32 m = 0; m < 3; m++)
		begins(m, 0, 0, 0);
	shares(2 * SECOND, had);
	near(had[0], 667), near(had[1], 667), near(had[2], 667);
	make(1);
	share_init(&machine[1].share, 3 * MACHINE_WEIGHT);
	begins(0, 0, 0, 0), begins(1, 0, 0, 0);
	shares(2 * SECOND, had);
	near(had[0], 250), near(had[1], 750);
	make(1); /* two of one machine are one share */
	begins(0, 0, 0, 0), begins(0, 1, 0, 0), begins(1, 0, 0, 0);
	shares(2 * SECOND, had);
	near(had[0], 500), near(had[1], 500);
	near((u32)(vcpu(0, 0)->ticks * 1000 / vcpu(0, 1)->ticks), 1000);
}

static void a_slice_is_two_milliseconds(void **state)
{
	(void)state;
	make(1);
	begins(0, 0, 0, 0);
	pass(SECOND);
	assert_int_equal(turns_of[0], 1); /* alone: nothing ends its turn */
	begins(1, 0, 0, 0);
	pass(SECOND);
	assert_in_range(turns_of[0], 400, 502);
}

/* Half a millisecond behind is enough, and needed, to take a processor from who has it. */
static void who_wakes_is_served_soon(void **state)
{
	(void)state;
	make(1);
	begins(0, 0, 0, 0), begins(1, 0, 100, 5000);
	pass(SECOND);
	assert_in_range(vcpu(1, 0)->turns, 190, 200);
	assert_in_range(vcpu(1, 0)->waited / vcpu(1, 0)->turns, 0, 2 * STEP);
}

/* Each part of its own third, though one sleeps half of the time. */
static void who_sleeps_a_little_loses_nothing(void **state)
{
	(void)state;
	u32 had[MACHINES];
	make(1);
	begins(0, 0, 0, 0), begins(1, 0, 0, 0), begins(2, 0, 100, 100);
	shares(SECOND, had);
	near(had[0], 333), near(had[1], 333), near(had[2], 333);
}

/* Who wakes and is hardly behind waits for the end of a slice. */
static void but_does_not_disturb(void **state)
{
	(void)state;
	make(1);
	begins(0, 0, 0, 0), begins(1, 0, 0, 0), begins(2, 0, 1000, 500);
	pass(SECOND);
	assert_in_range(vcpu(0, 0)->turns + vcpu(1, 0)->turns, 300, 350);
}

static void but_saves_nothing_up(void **state)
{
	(void)state;
	u32 had[MACHINES];
	make(1);
	begins(0, 0, 0, 0), begins(1, 0, 1000, 0); /* one sleeps after a while, */
	pass(SECOND);
	begins(1, 0, 0, 0);                         /* and comes back for ever */
	shares(20000, had);
	assert_in_range(had[0], 350, 500);          /* 3 ms of these 20 are its lead */
	shares(SECOND, had);
	near(had[0], 500);
}

static void what_nobody_wanted_is_not_held_against(void **state)
{
	(void)state;
	u32 had[MACHINES];
	make(2);
	begins(0, 0, 0, 0), begins(1, 0, 1000, 1000); /* both have what they want */
	pass(2 * SECOND);
	begins(1, 0, 0, 0), begins(2, 0, 0, 0);
	shares(SECOND, had);
	near(had[0], 667), near(had[1], 667), near(had[2], 667);
	make(2);
	share_init(&machine[0].share, 2 * MACHINE_WEIGHT);
	begins(0, 0, 0, 0), begins(1, 0, 0, 0); /* a processor each, at half the price for one of them */
	pass(2 * SECOND);
	begins(2, 0, 0, 0);
	shares(SECOND, had);
	near(had[0], 1000), near(had[1], 500), near(had[2], 500);
}

/* Who wakes two in a row asks two. */
static void each_idle_processor_is_asked(void **state)
{
	(void)state;
	make(2);
	pass(STEP);
	sched_wake(vcpu(0, 0)), sched_wake(vcpu(0, 1));
	assert_true(cpus[0].events & CPU_RESCHED);
	assert_true(cpus[1].events & CPU_RESCHED);
}

static void no_wake_is_lost(void **state)
{
	(void)state;
	make(1);
	begins(0, 0, 1000, 0);
	pass(500);
	assert_int_equal(vcpu(0, 0)->state, ENTITY_RUNNING);
	sched_wake(vcpu(0, 0));
	pass(600);
	assert_int_equal(vcpu(0, 0)->state, ENTITY_RUNNING); /* again, */
	pass(1000);
	assert_int_equal(vcpu(0, 0)->state, ENTITY_SLEEPING); /* but once */
	assert_int_equal(vcpu(0, 0)->turns, 2);
}

/* vCPUs wait for their monitor, and pay for it. */
static void monitors_go_first(void **state)
{
	(void)state;
	struct entity *monitor = &machine[0].monitor.entity;
	make(1);
	begins(1, 0, 0, 0);
	pass(STEP);
	begins(0, 0, 0, 0), begins(0, 1, 0, 0);
	sched_wake(monitor);
	assert_ptr_equal(machine[0].share.first, monitor);
	pass(SECOND);
	near((u32)(vcpu(1, 0)->ticks * 1000 / SECOND), 500);
	near((u32)(monitor->ticks * 1000 / SECOND), 500); /* it computes on, and they wait on */
}

static void one_that_is_yielded_to_is_next(void **state)
{
	(void)state;
	make(1);
	begins(1, 0, 0, 0);
	pass(STEP);
	for (u32 v = 0; v < VCPUS; v++)
		begins(0, v, 0, 0);
	assert_ptr_equal(machine[0].share.first, vcpu(0, 0));
	sched_yield_to(vcpu(0, 2));
	assert_ptr_equal(machine[0].share.first, vcpu(0, 2));
	sched_yield_to(vcpu(0, 2));
	sched_yield_to(vcpu(1, 0)); /* it runs: nothing to do */
	pass(SECOND);
	for (u32 v = 0; v < VCPUS; v++)
		assert_true(vcpu(0, v)->ticks > SECOND / 8);
}

/* Its registers are in one processor: it runs there or waits, until that one has turned to another. */
static void bound_where_its_registers_are(void **state)
{
	(void)state;
	make(2);
	begins(0, 0, 0, 0), begins(1, 0, 1000, 3000);
	pass(SECOND);
	u32 at = vcpu(0, 0)->cpu;
	assert_int_equal(vcpu(0, 0)->bound, at);
	assert_int_equal(vcpu(0, 0)->turns, 1); /* the other comes and goes elsewhere */
	assert_int_equal(vcpu(1, 0)->cpu, 1 - at);
	begins(2, 0, 0, 0);
	pass(SECOND);
	assert_true(vcpu(0, 0)->ticks + vcpu(2, 0)->ticks > 2 * SECOND + SECOND / 2);
	for (u32 i = 0; i < PROCESSORS; i++)
		if (host[i].e)
			assert_int_equal(host[i].e->bound, i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_weight), cmocka_unit_test(a_slice_is_two_milliseconds), cmocka_unit_test(who_wakes_is_served_soon),
		cmocka_unit_test(who_sleeps_a_little_loses_nothing),
		cmocka_unit_test(but_does_not_disturb), cmocka_unit_test(but_saves_nothing_up), cmocka_unit_test(what_nobody_wanted_is_not_held_against),
		cmocka_unit_test(each_idle_processor_is_asked),
		cmocka_unit_test(no_wake_is_lost), cmocka_unit_test(monitors_go_first), cmocka_unit_test(one_that_is_yielded_to_is_next),
		cmocka_unit_test(bound_where_its_registers_are),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
