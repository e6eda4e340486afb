/*
 * timer: one-shot timers on each processor's one hardware timer.
 *
 * A processor's list is sorted. The hardware is armed for its head or the end of the slice, whichever comes first; a slice has no timer of its
 * own, because it ends at each switch between two VMs. A timer follows its owner: setting it elsewhere takes it from the list it was on.
 *
 * Only a processor itself adds to its list and arms its hardware: what others do can make `due` later, never earlier, so it reads `due`
 * without the lock and is at worst interrupted for nothing.
 */
#include "core/bits.h"
#include "core/lock.h"
#include "hv/hv.h"

static struct timer_list {
	struct lock lock;
	struct hv_timer *first;
	u64 due;   /* the first one's deadline */
	u64 slice; /* when it ends; TIMER_NEVER: nobody waits for it */
	u64 armed;
} lists[MAX_CPUS] = { [0 ... MAX_CPUS - 1] = { .due = TIMER_NEVER, .slice = TIMER_NEVER, .armed = TIMER_NEVER } };

void timer_init(struct hv_timer *t, void (*fire)(struct hv_timer *))
{
	*t = (struct hv_timer){ .deadline = TIMER_NEVER, .fire = fire };
}

static void note_first(struct timer_list *l)
{
	l->due = l->first ? l->first->deadline : TIMER_NEVER;
}

static void unlink_timer(struct timer_list *l, struct hv_timer *t)
{
	struct hv_timer **at = &l->first;
	while (*at && *at != t)
		at = &(*at)->next;
	if (*at)
		*at = t->next;
	t->deadline = TIMER_NEVER;
	note_first(l);
}

static void link_timer(struct timer_list *l, struct hv_timer *t, u64 deadline)
{
	struct hv_timer **at = &l->first;
	while (*at && (*at)->deadline <= deadline)
		at = &(*at)->next;
	t->next = *at;
	t->deadline = deadline;
	*at = t;
	note_first(l);
}

static void arm(struct timer_list *l)
{
	u64 deadline = min_u64(l->due, l->slice);
	if (deadline == l->armed)
		return;
	l->armed = deadline;
	timer_arm(deadline);
}

void timers_arm(const struct cpu *c)
{
	arm(&lists[c->id]);
}

void timers_arm_late(const struct cpu *c)
{
	u64 armed = lists[c->id].armed;
	if (armed < tsc_now())
		timer_arm(armed);
}

void timer_slice(const struct cpu *c, u64 end)
{
	struct timer_list *l = &lists[c->id];
	if (l->slice == TIMER_NEVER)
		l->slice = end;
	arm(l);
}

bool timer_slicing(u32 cpu)
{
	return lists[cpu].slice != TIMER_NEVER;
}

void timer_set(struct hv_timer *t, u64 deadline)
{
	u32 cpu = this_cpu()->id;
	struct timer_list *l = &lists[cpu];
	if (t->deadline == deadline && (t->cpu == cpu || deadline == TIMER_NEVER))
		return;
	if (t->deadline != TIMER_NEVER) {
		struct timer_list *old = &lists[t->cpu];
		lock_take(&old->lock);
		unlink_timer(old, t);
		if (old == l && deadline == TIMER_NEVER)
			arm(l);
		lock_give(&old->lock);
	}
	t->cpu = cpu;
	if (deadline == TIMER_NEVER)
		return;
	lock_take(&l->lock);
	link_timer(l, t, deadline);
	arm(l);
	lock_give(&l->lock);
}

static __attribute__((noinline)) void fire_due(struct timer_list *l, u64 now)
{
	struct hv_timer *t;
	do {
		void (*fire)(struct hv_timer *) = NULL;
		lock_take(&l->lock);
		t = l->due <= now ? l->first : NULL;
		if (t) {
			unlink_timer(l, t);
			fire = t->fire; /* its owner may be gone as soon as the lock is */
		}
		lock_give(&l->lock);
		if (t)
			fire(t);
	} while (t);
}

bool timers_run(const struct cpu *c)
{
	struct timer_list *l = &lists[c->id];
	u64 now = tsc_now();
	bool over = l->slice <= now;
	if (over)
		l->slice = TIMER_NEVER;
	l->armed = TIMER_NEVER; /* it has fired */
	if (l->due <= now)
		fire_due(l, now);
	return over;
}
