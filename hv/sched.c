/*
 * sched: which vCPU or monitor runs where. docs/scheduling.md has the rules.
 *
 * One queue, first in first out, one lock. An entity that is woken while it runs runs again instead of sleeping, so no wake is lost. The
 * registers of the last vCPU stay in a processor until it turns to another vCPU, another VM, or idles; until then that vCPU runs nowhere else.
 */
#include "core/lock.h"
#include "hv/hv.h"
#include "x86/asm/insn.h"
#include "x86/boot/boot.h"
#include "x86/cpu/log.h"
#include "x86/mm/mm.h"

#define SLICE_MS 2u

static struct sched_cpu {
	struct cpu *cpu;
	struct vcpu *loaded;   /* whose registers are in this processor */
	struct hv_timer slice;
	_Atomic bool idle;
} per_cpu[MAX_CPUS];

static struct lock lock; /* the queue and the states of all entities */
static struct entity *queue_first, **queue_last = &queue_first;
static _Atomic u32 queued;

/* Asks a processor to return to the scheduler. */
static void ask(u32 cpu)
{
	__atomic_fetch_or(&cpus[cpu].events, CPU_RESCHED, __ATOMIC_SEQ_CST);
	if (cpu != this_cpu()->id)
		kick_cpu(cpu);
}

static void slice_fired(struct hv_timer *t)
{
	(void)t;
	if (queued)
		ask(this_cpu()->id);
}

void sched_init(void)
{
	for (u32 i = 0; i < MAX_CPUS; i++) {
		per_cpu[i].cpu = &cpus[i];
		timer_init(&per_cpu[i].slice, slice_fired);
	}
}

/* ---- the queue, lock held ---- */

static void enqueue(struct entity *e)
{
	e->state = ENTITY_QUEUED;
	e->next = NULL;
	*queue_last = e;
	queue_last = &e->next;
	queued++;
}

/* The processor that holds the entity's registers, or MAX_CPUS. */
static u32 bound_to(const struct entity *e)
{
	if (e->kind == ENTITY_VCPU)
		for (u32 i = 0; i < cpu_total; i++)
			if (per_cpu[i].loaded && &per_cpu[i].loaded->entity == e)
				return i;
	return MAX_CPUS;
}

static struct entity *dequeue(u32 cpu)
{
	for (struct entity **at = &queue_first; *at; at = &(*at)->next) {
		struct entity *e = *at;
		u32 bound = bound_to(e);
		if (bound != MAX_CPUS && bound != cpu)
			continue;
		*at = e->next;
		if (queue_last == &e->next)
			queue_last = at;
		queued--;
		e->state = ENTITY_RUNNING;
		e->cpu = cpu;
		e->turns++;
		return e;
	}
	return NULL;
}

/* ---- waking ---- */

static void ask_processor(struct entity *e)
{
	u32 bound = bound_to(e);
	for (u32 i = 0; i < cpu_total && bound == MAX_CPUS; i++)
		if (per_cpu[i].idle)
			bound = i;
	if (bound == MAX_CPUS)
		bound = e->cpu;
	ask(bound);
}

static void wake(struct entity *e, bool here)
{
	lock_take(&lock);
	if (e->state == ENTITY_SLEEPING) {
		enqueue(e);
		if (!here)
			ask_processor(e);
	} else if (e->state == ENTITY_RUNNING) {
		e->again = true;
		if (e->cpu != this_cpu()->id)
			kick_cpu(e->cpu);
	}
	lock_give(&lock);
}

void sched_wake(struct entity *e)
{
	wake(e, false);
}

void sched_wake_here(struct entity *e)
{
	wake(e, true);
}

/* ---- one processor ---- */

bool sched_events(struct cpu *c)
{
	u32 events = __atomic_exchange_n(&c->events, 0, __ATOMIC_SEQ_CST);
	if (events & CPU_TIMER)
		timers_run(c);
	if (events & CPU_CONSOLE) {
		u8 bytes[MON_CONSOLE_BYTES];
		for (u32 count; (count = console_read(bytes, sizeof bytes)) != 0;)
			if (vms[0].state == VM_RUNNING)
				monitor_post_console(&vms[0], bytes, count);
	}
	return (events | c->events) & CPU_RESCHED;
}

void sched_unload(struct cpu *c)
{
	struct sched_cpu *s = &per_cpu[c->id];
	if (!s->loaded)
		return;
	backend_unload(s->loaded->g); /* its VM's space is still linked in */
	lock_take(&lock);
	s->loaded = NULL;
	lock_give(&lock);
}

/* Gives the processor to `e`'s VM, and to its vCPU. */
static void take_over(struct sched_cpu *s, struct entity *e)
{
	struct cpu *c = s->cpu;
	struct vcpu *v = e->kind == ENTITY_VCPU ? vcpu_of(e) : NULL;
	if (s->loaded && (s->loaded->entity.vm != e->vm || (v && s->loaded != v)))
		sched_unload(c);
	space_link(c, &e->vm->space);
	if (!v)
		return;
	if (s->loaded != v) {
		backend_load(v->g);
		lock_take(&lock);
		s->loaded = v;
		lock_give(&lock);
	}
	if (v->timer.cpu != c->id)
		vcpu_timer_changed(v);
}

static void begin_slice(struct sched_cpu *s)
{
	if (queued && s->slice.deadline == TIMER_NEVER)
		timer_set(&s->slice, tsc_now() + SLICE_MS * host_tsc_khz);
}

static void end_turn(struct entity *e, enum turn turn)
{
	lock_take(&lock);
	if (turn == TURN_YIELD || e->again)
		enqueue(e);
	else
		e->state = ENTITY_SLEEPING;
	e->again = false;
	lock_give(&lock);
}

static void run_entity(struct sched_cpu *s, struct entity *e)
{
	struct cpu *c = s->cpu;
	begin_slice(s);
	if (e->vm->state == VM_RUNNING) {
		take_over(s, e);
		end_turn(e, e->kind == ENTITY_VCPU ? vcpu_turn(c, vcpu_of(e)) : monitor_turn(c, e->vm));
	} else {
		end_turn(e, TURN_SLEEP);
	}
}

/* One processor at a time, and none before the first VM is there: they would only queue for the allocator. */
static bool scrub_idly(void)
{
	static u32 busy;
	bool more = false;
	if (vms[0].state == VM_NONE || __atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE))
		return false;
	more = alloc_scrub_slice(&mm.alloc);
	__atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
	return more;
}

/* Nothing to run: forget the last VM, clean memory, sleep. */
static void idle(struct sched_cpu *s)
{
	struct cpu *c = s->cpu;
	sched_unload(c);
	space_link(c, NULL);
	if (vms_reap(c) || scrub_idly()) {
		interrupts_take();
		return;
	}
	s->idle = true;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!queued && !c->events)
		cpu_idle();
	s->idle = false;
}

_Noreturn void sched_loop(void)
{
	struct sched_cpu *s = &per_cpu[this_cpu()->id];
	for (;;) {
		if (s->cpu->events)
			(void)sched_events(s->cpu);
		lock_take(&lock);
		struct entity *e = dequeue(s->cpu->id);
		lock_give(&lock);
		if (e)
			run_entity(s, e);
		else
			idle(s);
	}
}
