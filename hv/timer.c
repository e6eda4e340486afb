/*
 * timer: one-shot timers on each processor's one hardware timer.
 *
 * A processor's list is sorted; the hardware is armed for its head. A timer follows its owner: setting it elsewhere takes it from
 * the list it was on.
 */
#include "core/lock.h"
#include "hv/hv.h"

static struct timer_list {
	struct lock lock;
	struct hv_timer *first;
	u64 armed;
} lists[MAX_CPUS] = { [0 ... MAX_CPUS - 1] = { .armed = TIMER_NEVER } };

void timer_init(struct hv_timer *t, void (*fire)(struct hv_timer *))
{
	*t = (struct hv_timer){ .deadline = TIMER_NEVER, .fire = fire };
}

static void unlink_timer(struct timer_list *l, struct hv_timer *t)
{
	struct hv_timer **at = &l->first;
	while (*at && *at != t)
		at = &(*at)->next;
	if (*at)
		*at = t->next;
	t->deadline = TIMER_NEVER;
}

static void link_timer(struct timer_list *l, struct hv_timer *t, u64 deadline)
{
	struct hv_timer **at = &l->first;
	while (*at && (*at)->deadline <= deadline)
		at = &(*at)->next;
	t->next = *at;
	t->deadline = deadline;
	*at = t;
}

static void arm_first(struct timer_list *l)
{
	u64 deadline = l->first ? l->first->deadline : TIMER_NEVER;
	if (deadline == l->armed)
		return;
	l->armed = deadline;
	timer_arm(deadline);
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
			arm_first(l);
		lock_give(&old->lock);
	}
	t->cpu = cpu;
	if (deadline == TIMER_NEVER)
		return;
	lock_take(&l->lock);
	link_timer(l, t, deadline);
	arm_first(l);
	lock_give(&l->lock);
}

void timers_run(struct cpu *c)
{
	struct timer_list *l = &lists[c->id];
	for (;;) {
		lock_take(&l->lock);
		struct hv_timer *t = l->first;
		if (!t || t->deadline > tsc_now()) {
			l->armed = TIMER_NEVER; /* it has fired */
			arm_first(l);
			lock_give(&l->lock);
			return;
		}
		l->first = t->next;
		t->deadline = TIMER_NEVER;
		lock_give(&l->lock);
		t->fire(t);
	}
}
