/*
 * sched: which vCPU, monitor or keeper runs where. docs/scheduling.md has the rules.
 *
 * Processors are shared among *shares*: each VM is one, the hypervisor's own work another. A share has a queue of what is ready, and a
 * virtual time: the ticks that it has used, scaled by its weight. The least virtual time runs next, for a slice of 2 ms at most. One lock.
 *
 * An entity that is woken while it runs runs again instead of sleeping, so no wake is lost. The registers of the last vCPU stay in a
 * processor until it turns to another vCPU, another VM, or idles; until then that vCPU runs nowhere else.
 */
#include "core/bits.h"
#include "core/lock.h"
#include "hv/hv.h"
#include "x86/asm/insn.h"
#include "x86/boot/boot.h"
#include "x86/cpu/log.h"
#include "x86/mm/mm.h"

#define SLICE_US 2000u
/* How much further ahead a share must be before one that has just become ready takes its processor; how much of what it did not use
 * a share that slept may keep; and how much one that did not. */
#define MARGIN_US 500u
#define CREDIT_US (SLICE_US + 1000u)
#define CLAIM_US 20000u

static struct sched_cpu {
	struct cpu *cpu;
	struct vcpu *loaded;     /* whose registers are in this processor; its own */
	const struct vm *user;   /* whose monitor was the last in ring 3 here; its own */
	struct entity *current;  /* this and the rest under the lock */
	u64 charged;             /* until when `current` has paid */
	struct share *favoured;  /* whose slice it is */
	u64 slice_end;
	_Atomic bool idle;
} per_cpu[MAX_CPUS];

static struct lock lock; /* the queues and the states of all entities */
static struct share *active[VMS_MAX + 1];
static u32 active_count;
static _Atomic u32 queued;
static u64 level; /* of virtual time */
static u64 slice_ticks, margin_ticks, credit_ticks, claim_ticks;

/* Asks a processor to return to the scheduler. */
static void ask(u32 cpu)
{
	cpu_event(&cpus[cpu], CPU_RESCHED);
	if (cpu != this_cpu()->id)
		kick_cpu(cpu);
}

void sched_init(void)
{
	slice_ticks = host_tsc_khz * SLICE_US / 1000;
	margin_ticks = host_tsc_khz * MARGIN_US / 1000;
	credit_ticks = host_tsc_khz * CREDIT_US / 1000;
	claim_ticks = host_tsc_khz * CLAIM_US / 1000;
	for (u32 i = 0; i < MAX_CPUS; i++)
		per_cpu[i].cpu = &cpus[i];
}

void share_init(struct share *s, u64 weight)
{
	*s = (struct share){ .scale = SHARE_SCALE * MACHINE_WEIGHT / weight };
	s->last = &s->first;
}

void entity_init(struct entity *e, enum entity_kind kind, struct vm *vm, struct share *share)
{
	*e = (struct entity){ .kind = kind, .bound = NOWHERE, .vm = vm, .share = share };
}

/* ---- virtual time, lock held ---- */

static void charge(struct sched_cpu *s, u64 now)
{
	struct entity *e = s->current;
	if (!e || now <= s->charged) /* another processor's counter may be a little ahead */
		return;
	u64 ticks = now - s->charged;
	s->charged = now;
	e->ticks += ticks;
	e->share->busy += ticks;
	e->share->vtime += ticks * e->share->scale / SHARE_SCALE;
}

/* What nobody is owed anything behind: the least of the shares that wait, or, where none does, the most of those that run. It never falls. */
static u64 level_of(u64 now)
{
	u64 waits = ~0ull, runs = 0;
	for (u32 i = 0; i < cpu_total; i++)
		charge(&per_cpu[i], now);
	for (u32 i = 0; i < active_count; i++)
		if (active[i]->first)
			waits = min_u64(waits, active[i]->vtime);
		else
			runs = max_u64(runs, active[i]->vtime);
	return level = max_u64(level, waits == ~0ull ? runs : waits);
}

static void raise(struct share *share, u64 now_level, u64 owed)
{
	if (share->vtime + owed < now_level)
		share->vtime = now_level - owed;
}

/* Something of `share` has been woken: what it did not use while it slept, or did not want, is not saved up; nor what others did not want. */
static void admit(struct share *share, u64 now)
{
	u64 from = level_of(now);
	raise(share, from, share->active ? claim_ticks : credit_ticks);
	for (u32 i = 0; !queued && i < active_count; i++)
		raise(active[i], from, claim_ticks);
	if (!share->active)
		active[active_count++] = share;
	share->active = true;
}

static void deactivate(struct share *share)
{
	u32 i = 0;
	while (active[i] != share)
		i++;
	active[i] = active[--active_count];
	share->active = false;
	if (!queued)
		level = max_u64(level, share->vtime);
}

/* ---- the queues, lock held ---- */

/* A monitor goes before its VM's vCPUs: they wait for it. */
static void enqueue(struct entity *e, u64 now)
{
	struct share *share = e->share;
	bool first = e->kind == ENTITY_MONITOR;
	e->state = ENTITY_QUEUED;
	e->queued_at = now;
	e->next = first ? share->first : NULL;
	if (!share->first || !first)
		*share->last = e, share->last = &e->next;
	else
		share->first = e;
	queued++;
}

static inline u32 bound_to(const struct entity *e)
{
	return __atomic_load_n(&e->bound, __ATOMIC_ACQUIRE);
}

/* Where the first entity that may run here hangs; NULL: none. */
static inline struct entity **runnable(struct share *share, u32 cpu)
{
	for (struct entity **at = &share->first; *at; at = &(*at)->next) {
		u32 bound = bound_to(*at);
		if (bound == NOWHERE || bound == cpu)
			return at;
	}
	return NULL;
}

/* The share that has used least; but one keeps its slice as long as it is not far ahead. */
static struct entity **choose(struct sched_cpu *s, u64 now)
{
	struct share *best = NULL;
	struct entity **at = NULL, **candidate;
	u32 cpu = s->cpu->id;
	for (u32 i = 0; i < active_count; i++)
		if ((!best || active[i]->vtime < best->vtime) && (candidate = runnable(active[i], cpu))) {
			best = active[i];
			at = candidate;
		}
	if (!best || best == s->favoured)
		return at;
	if (s->favoured && now < s->slice_end && s->favoured->vtime < best->vtime + margin_ticks &&
	    (candidate = runnable(s->favoured, cpu)))
		return candidate;
	s->favoured = best;
	s->slice_end = 0;
	return at;
}

static struct entity *dequeue(struct sched_cpu *s, u64 now)
{
	struct entity **at = choose(s, now);
	if (!at)
		return NULL;
	struct entity *e = *at;
	*at = e->next;
	if (e->share->last == &e->next)
		e->share->last = at;
	queued--;
	e->share->running++;
	e->state = ENTITY_RUNNING;
	e->cpu = s->cpu->id;
	e->turns++;
	e->waited += now - min_u64(now, e->queued_at);
	s->current = e;
	s->charged = now;
	if (now >= s->slice_end)
		s->slice_end = now + slice_ticks;
	return e;
}

/* ---- waking ---- */

/* Where no processor is idle: the one whose share has used most, if it is far ahead or does not know yet that others wait. */
static u32 processor_to_take(const struct entity *e)
{
	u32 most = NOWHERE;
	for (u32 i = 0; i < cpu_total; i++)
		if (per_cpu[i].current && (most == NOWHERE || per_cpu[i].current->share->vtime > per_cpu[most].current->share->vtime))
			most = i;
	if (most == NOWHERE)
		return e->cpu;
	if (per_cpu[most].current->share->vtime > e->share->vtime + margin_ticks || !timer_slicing(most))
		return most;
	return NOWHERE;
}

static void ask_processor(const struct entity *e)
{
	u32 cpu = bound_to(e);
	for (u32 i = 0; i < cpu_total && cpu == NOWHERE; i++)
		if (per_cpu[i].idle)
			cpu = i;
	if (cpu == NOWHERE)
		cpu = processor_to_take(e);
	if (cpu == NOWHERE)
		return;
	per_cpu[cpu].idle = false; /* the next that is woken asks another one */
	ask(cpu);
}

static void wake(struct entity *e, bool here)
{
	lock_take(&lock);
	if (e->state == ENTITY_SLEEPING) {
		u64 now = tsc_now();
		if (!e->share->active || (!e->share->first && active_count > 1))
			admit(e->share, now);
		enqueue(e, now);
		if (!here)
			ask_processor(e);
	} else if (e->state == ENTITY_RUNNING) {
		e->again = true;
		if (e->cpu != this_cpu()->id)
			kick_cpu(e->cpu);
	}
	lock_give(&lock);
}

void sched_wake(struct entity *e) { wake(e, false); }
void sched_wake_here(struct entity *e) { wake(e, true); }

void sched_yield_to(struct entity *e)
{
	lock_take(&lock);
	struct share *share = e->share;
	struct entity **at = &share->first;
	while (*at && *at != e)
		at = &(*at)->next;
	if (*at && at != &share->first) {
		*at = e->next;
		if (share->last == &e->next)
			share->last = at;
		e->next = share->first;
		share->first = e;
	}
	lock_give(&lock);
}

u64 sched_ticks(const struct cpu *c)
{
	const struct sched_cpu *s = &per_cpu[c->id];
	return s->current->ticks + (tsc_now() - s->charged);
}

/* ---- one processor ---- */

static __attribute__((noinline)) void read_console(void)
{
	u8 bytes[MON_CONSOLE_BYTES];
	for (u32 count; (count = console_read(bytes, sizeof bytes)) != 0;)
		operator_input(bytes, count);
}

/* The time of a slice has come. false: another one has begun since, or nobody waits. */
static bool slice_over(const struct sched_cpu *s)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* who enqueues meanwhile finds that this one is not slicing, and asks it */
	if (!queued)
		return false;
	if (tsc_now() >= s->slice_end)
		return true;
	timer_slice(s->cpu, s->slice_end);
	return false;
}

bool sched_events(struct cpu *c)
{
	u32 events = __atomic_exchange_n(&c->events, 0, __ATOMIC_SEQ_CST);
	bool over = events & CPU_TIMER && timers_run(c) && slice_over(&per_cpu[c->id]);
	if (events & CPU_TIMER && !over)
		timers_arm(c); /* else whoever is next does */
	if (events & CPU_CONSOLE)
		read_console();
	if (events & CPU_STARVED && c->space)
		vm_starve(container_of(c->space, struct vm, space), c->starved_at);
	return over || (events | c->events) & CPU_RESCHED;
}

/* One that waits has become free to run anywhere: a processor that idles, or does not know yet that others wait, is to look. */
static __attribute__((noinline)) void offer(const struct sched_cpu *s)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	u32 cpu = NOWHERE;
	for (u32 i = 0; i < cpu_total; i++)
		if (i != s->cpu->id && (per_cpu[i].idle || (cpu == NOWHERE && !timer_slicing(i))))
			cpu = i;
	if (cpu != NOWHERE)
		ask(cpu);
}

/* Its registers are in memory: it may run elsewhere. */
static void release(struct sched_cpu *s)
{
	const struct entity *e = &s->loaded->entity;
	__atomic_store_n(&s->loaded->entity.bound, NOWHERE, __ATOMIC_RELEASE);
	s->loaded = NULL;
	if (cpu_total > 1 && e->state == ENTITY_QUEUED)
		offer(s);
}

static void sched_unload(struct cpu *c)
{
	struct sched_cpu *s = &per_cpu[c->id];
	if (!s->loaded)
		return;
	backend_unload(s->loaded->g); /* its VM's space is still linked in */
	release(s);
}

static void load(struct sched_cpu *s, struct vcpu *v)
{
	CHECK(bound_to(&v->entity) == NOWHERE);
	backend_load(v->g);
	s->loaded = v;
	__atomic_store_n(&v->entity.bound, s->cpu->id, __ATOMIC_RELAXED);
}

/* From one vCPU to the next: what the one left is replaced by what the other left, and nobody runs in between. */
static void take_over_vcpu(struct sched_cpu *s, struct vcpu *v)
{
	if (s->loaded != v) {
		if (s->loaded) {
			backend_save(s->loaded->g);
			release(s);
		}
		space_link(s->cpu, &v->entity.vm->space);
		load(s, v);
	}
	if (v->timer.cpu != s->cpu->id)
		vcpu_timer_changed(v);
}

/*
 * Gives the processor to `e`'s VM, and to its vCPU; or to the hypervisor, in the neutral space. Ring 3 may load segments and use SSE, though
 * no honest monitor does: the next one must not find what another VM's has left there.
 */
static void take_over(struct sched_cpu *s, struct entity *e)
{
	bool neutral = e->kind != ENTITY_MONITOR;
	if (e->kind == ENTITY_VCPU) {
		take_over_vcpu(s, vcpu_of(e));
		return;
	}
	if (s->loaded && (neutral || s->loaded->entity.vm != e->vm))
		sched_unload(s->cpu);
	space_link(s->cpu, neutral ? NULL : &e->vm->space);
	if (neutral || s->user == e->vm)
		return;
	s->user = e->vm;
	clear_user_segments();
	if (!s->loaded)
		backend_clear_extended();
}

static void end_turn(struct sched_cpu *s, struct entity *e, enum turn turn, u64 now)
{
	charge(s, now);
	s->current = NULL;
	e->share->running--;
	if (turn == TURN_YIELD || e->again)
		enqueue(e, now);
	else
		e->state = ENTITY_SLEEPING;
	e->again = false;
	if (!e->share->running && !e->share->first)
		deactivate(e->share);
}

static enum turn (*const turns[ENTITY_KINDS])(struct cpu *c, struct entity *e) = {
	[ENTITY_VCPU] = vcpu_turn, [ENTITY_MONITOR] = monitor_turn, [ENTITY_KEEPER] = keeper_turn, [ENTITY_OPERATOR] = operator_turn,
};

/* A VM's space is there only while it runs; its keeper and the operator need none. */
static bool has_place(const struct entity *e)
{
	return e->kind == ENTITY_KEEPER || e->kind == ENTITY_OPERATOR || e->vm->state == VM_RUNNING;
}

static enum turn run_entity(struct sched_cpu *s, struct entity *e)
{
	if (queued)
		timer_slice(s->cpu, s->slice_end);
	else
		timers_arm(s->cpu);
	if (!has_place(e))
		return TURN_SLEEP;
	take_over(s, e);
	return turns[e->kind](s->cpu, e);
}

u32 sched_scrubs;

/* One processor at a time, and none before the first VM is there: they would only queue for the allocator. */
static bool scrub_idly(void)
{
	bool dirty = mm.alloc.free_frames != mm.alloc.clean_frames;
	if (!dirty || !vm_count || __atomic_exchange_n(&sched_scrubs, 1, __ATOMIC_SEQ_CST))
		return false;
	bool more = alloc_scrub_slice(&mm.alloc);
	__atomic_store_n(&sched_scrubs, 0, __ATOMIC_SEQ_CST);
	vms_feed(); /* who looked meanwhile found less, and may have been told to wait for this */
	return more;
}

/* Nothing to run: forget the last VM, clean memory, sleep. */
static void idle(struct sched_cpu *s)
{
	struct cpu *c = s->cpu;
	timers_arm(c);
	sched_unload(c);
	space_link(c, NULL);
	if (scrub_idly()) {
		interrupts_take();
		return;
	}
	s->idle = true;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!queued && !c->events)
		cpu_idle();
	else
		interrupts_take(); /* what is queued may be bound to another */
	s->idle = false;
}

/* One turn is over, the next begins: under one lock. NULL: nothing is ready. */
static struct entity *next_turn(struct sched_cpu *s, struct entity *e, enum turn turn)
{
	lock_take(&lock);
	u64 now = tsc_now();
	if (e)
		end_turn(s, e, turn, now);
	e = dequeue(s, now);
	lock_give(&lock);
	return e;
}

_Noreturn void sched_loop(void)
{
	struct sched_cpu *s = &per_cpu[this_cpu()->id];
	struct entity *e = NULL;
	enum turn turn = TURN_SLEEP;
	for (;;) {
		if (s->cpu->events)
			(void)sched_events(s->cpu);
		e = next_turn(s, e, turn);
		if (e)
			turn = run_entity(s, e);
		else
			idle(s);
	}
}
