/*
 * crew: the coroutines, and the dice.
 */
#include "sim/crew.h"
#include "core/bits.h"
#include "sim/check.h"
#include "sim/tlb.h"

#include <sanitizer/common_interface_defs.h>
#include <stdio.h>
#include <ucontext.h>

#define STACK_BYTES (256u << 10)
#define HOME SIM_CPUS   /* where crew_run was called */
#define STUCK 300000u   /* points without anyone getting on */
#define LONG_SLEEP 60u  /* turns of the others */
#define TRACE 64u

static const char *const names[POINTS] = {
	[POINT_LOCK_WAIT] = "lock-wait", [POINT_FENCE] = "fence", [POINT_ENTRY_PUBLISHED] = "entry-published",
	[POINT_ENTRY_COMPARES] = "entry-compares", [POINT_ENTRY_FLUSHED] = "entry-flushed", [POINT_EXIT] = "exit",
	[POINT_TAG_WRAP] = "tag-wrap", [POINT_FAULT_BACKED] = "fault-backed", [POINT_FAULT_RESOLVED] = "fault-resolved",
	[POINT_FAULT_FILLED] = "fault-filled", [POINT_SPLIT_BUILT] = "split-built", [POINT_SPLIT_LINKED] = "split-linked",
	[POINT_MERGE_JUDGED] = "merge-judged", [POINT_MERGE_EXCHANGED] = "merge-exchanged", [POINT_DROP_TAKEN] = "drop-taken",
	[POINT_DROP_UNLINKED] = "drop-unlinked", [POINT_PROTECT_WEAKENED] = "protect-weakened", [POINT_RELEASED] = "released",
	[POINT_DESTROY_ROOT] = "destroy-root", [POINT_SETTLE_BEGIN] = "settle-begin", [POINT_SETTLE_DRAWN] = "settle-drawn",
	[POINT_SETTLE_RAISED] = "settle-raised", [POINT_SETTLE_WAIT] = "settle-wait", [POINT_SETTLE_FREE] = "settle-free",
};

static struct crew {
	struct sim *s;
	void (*program)(struct sim *s, unsigned cpu);
	void (*look)(struct sim *s);
	u32 cpus, left;
	u64 calm;           /* at one point in so many others come between */
	u32 since_progress; /* points */
	struct member {
		ucontext_t context;
		const void *stack;
		size_t stack_bytes;
		void *shadow;    /* AddressSanitizer's, while it does not run */
		bool over;
		u32 asleep;      /* for so many turns of others */
		u32 *buffered;   /* "inside", stored but not visible yet */
	} member[SIM_CPUS + 1];
	struct { unsigned cpu; const char *where; } trace[TRACE];
	u64 traced;
	struct crew_count count[POINTS];
} crew;

void (*crew_act)(enum point point);

static u8 stacks[SIM_CPUS][STACK_BYTES] __attribute__((aligned(PAGE_SIZE)));

const char *crew_point_name(enum point point) { return names[point]; }
struct crew_count crew_counted(enum point point) { return crew.count[point]; }
bool crew_is_running(void) { return crew.s != NULL; }
void crew_gets_on(void) { crew.since_progress = 0; }

static void tell(void)
{
	if (!crew.s)
		return;
	fprintf(stderr, "the last points (processor: point), the latest last:\n");
	for (u64 i = crew.traced > TRACE ? crew.traced - TRACE : 0; i < crew.traced; i++)
		fprintf(stderr, "  %u: %s\n", crew.trace[i % TRACE].cpu, crew.trace[i % TRACE].where);
}

/* ---- coroutines ---- */

static void switch_to(unsigned next)
{
	struct member *from = &crew.member[crew.s->current], *to = &crew.member[next];
	crew.s->current = next;
	__sanitizer_start_switch_fiber(from->over ? NULL : &from->shadow, to->stack, to->stack_bytes);
	swapcontext(&from->context, &to->context);
	__sanitizer_finish_switch_fiber(from->shadow, NULL, NULL);
}

/* Someone who can go on; `self` only if nobody else can, or if it is one of those who may. */
static unsigned choose(unsigned self, bool self_may)
{
	unsigned able[SIM_CPUS], n = 0;
	for (u32 tries = 0; n == 0 && tries < 2; tries++) {
		for (unsigned cpu = 0; cpu < crew.cpus; cpu++) {
			struct member *m = &crew.member[cpu];
			if (m->over || (cpu == self && !self_may))
				continue;
			if (m->asleep && tries == 0)
				m->asleep--;
			else
				able[n++] = cpu;
		}
	}
	return n ? able[sim_random(crew.s, n)] : self;
}

static void first_steps(void)
{
	const void *bottom;
	size_t bytes;
	unsigned self = crew.s->current;
	__sanitizer_finish_switch_fiber(NULL, &bottom, &bytes);
	if (!crew.member[HOME].stack) {
		crew.member[HOME].stack = bottom;
		crew.member[HOME].stack_bytes = bytes;
	}
	crew.program(crew.s, self);
	crew.member[self].over = true;
	switch_to(--crew.left ? choose(self, false) : HOME);
}

void crew_run(struct sim *s, u32 cpus, void (*program)(struct sim *s, unsigned cpu), void (*look)(struct sim *s))
{
	CHECK(cpus > 0 && cpus <= SIM_CPUS && !crew.s);
	crew.s = s;
	crew.program = program;
	crew.look = look;
	crew.cpus = crew.left = cpus;
	crew.calm = 1 + sim_random(s, 6);
	crew.since_progress = 0;
	crew.member[HOME] = (struct member){ 0 };
	sim_check.tell = tell;
	for (unsigned cpu = 0; cpu < cpus; cpu++) {
		struct member *m = &crew.member[cpu];
		*m = (struct member){ .stack = stacks[cpu], .stack_bytes = STACK_BYTES };
		getcontext(&m->context);
		m->context.uc_stack.ss_sp = stacks[cpu];
		m->context.uc_stack.ss_size = STACK_BYTES;
		makecontext(&m->context, first_steps, 0);
	}
	s->current = HOME;
	switch_to((unsigned)sim_random(s, cpus));
	s->current = 0;
	crew.s = NULL;
}

/* ---- points ---- */

/* The store of "inside" reaches memory. */
static void empty_store_buffer(struct member *m)
{
	if (m->buffered)
		*m->buffered = VIEW_ENTERS;
	m->buffered = NULL;
}

static void hold_back_inside(struct member *m, struct sim_cpu *c, unsigned cpu)
{
	u32 *inside = c->entering ? &c->entering->cpu[cpu].inside : NULL;
	if (!inside || !*inside || sim_random(crew.s, 2))
		return;
	*inside = VIEW_OUTSIDE;
	m->buffered = inside;
}

/* Between these points no fence and no locked instruction stands but the one that has a point of its own. */
static bool may_stay_buffered(unsigned point)
{
	return point == POINT_ENTRY_COMPARES || point == POINT_TAG_WRAP;
}

/* Passed once for each of many pages, or again and again: at some of them. */
static bool is_frequent(unsigned point)
{
	return point == POINT_LOCK_WAIT || point == POINT_DROP_TAKEN || point == POINT_PROTECT_WEAKENED || point == POINT_RELEASED;
}

static void whoever_looks(void)
{
	sim_adversary(crew.s, 1);
	sim_judge(crew.s);
	if (crew.look)
		crew.look(crew.s);
}

static bool others_go_on(const char *where, bool must)
{
	struct sim *s = crew.s;
	unsigned self = s->current;
	crew.trace[crew.traced % TRACE].cpu = self;
	crew.trace[crew.traced++ % TRACE].where = where;
	if (++crew.since_progress > STUCK)
		sim_fail("nobody gets on: each processor waits for another");
	if (!must && sim_random(s, crew.calm))
		return false;
	if (!must && sim_random(s, 12) == 0)
		crew.member[self].asleep = 1 + (u32)sim_random(s, LONG_SLEEP);
	unsigned next = choose(self, !must && !crew.member[self].asleep);
	if (next == self)
		return false;
	switch_to(next);
	return true;
}

void sim_at_point(unsigned point)
{
	if (!crew.s) {
		if (crew_act)
			crew_act((enum point)point);
		return;
	}
	unsigned cpu = crew.s->current;
	struct member *m = &crew.member[cpu];
	if (point == POINT_ENTRY_PUBLISHED)
		hold_back_inside(m, &crew.s->cpu[cpu], cpu);
	else if (!may_stay_buffered(point))
		empty_store_buffer(m);
	crew.count[point].passed++;
	if (!is_frequent(point) || sim_random(crew.s, 8) == 0)
		whoever_looks();
	crew.count[point].between += others_go_on(names[point], point == POINT_LOCK_WAIT);
}

void crew_pause(const char *where)
{
	if (!crew.s)
		return;
	whoever_looks();
	others_go_on(where, false);
}

void crew_wait(const char *where)
{
	CHECK(crew.s);
	others_go_on(where, true);
}
