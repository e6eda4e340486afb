/*
 * settle: paying what a settlement owes.
 *
 * A frame's stamp is clock + 1, read after its entry was exchanged out: whoever flushes to that generation or a later one began
 * to flush after the entry had gone, so it cannot have cached it again. settle() draws its generation after all of its
 * drops: every stamp in the debt is at most that generation.
 */
#include "core/settle.h"
#include "core/bits.h"

#define FREE_SLICE 64u /* frames between two moments for interrupts */

void settle_view(struct settlement *s, struct view *v)
{
	s->owes = true;
	for (u32 i = 0; i < s->view_count; i++)
		if (s->views[i] == v)
			return;
	CHECK(s->view_count < SETTLE_VIEWS);
	s->views[s->view_count++] = v;
}

void settle_stamp(struct settlement *s, struct view *v, struct frame *f, u32 count)
{
	u64 stamp = __atomic_load_n(&v->clock->now, __ATOMIC_SEQ_CST) + 1;
	for (u32 i = 0; i < count; i++)
		f[i].stamp = stamp;
	settle_view(s, v);
}

static void add_run(struct settlement *s, hfn_t first, u32 count, bool table)
{
	s->owes = true;
	CHECK(s->run_count < SETTLE_RUNS);
	s->runs[s->run_count++] = (struct settle_run){ .first = first, .count = count, .table = table };
}

void settle_add_frames(struct settlement *s, hfn_t first, u32 count)
{
	struct settle_run *last = s->run_count ? &s->runs[s->run_count - 1] : NULL;
	if (last && !last->table && last->first.v + last->count == first.v)
		last->count += count;
	else
		add_run(s, first, count, false);
}

void settle_add_table(struct settlement *s, hfn_t table)
{
	add_run(s, table, 1, true);
}

static void raise_generation(struct view *v, u64 to)
{
	u64 old = __atomic_load_n(&v->generation, __ATOMIC_RELAXED);
	while (old < to && !__atomic_compare_exchange_n(&v->generation, &old, to, false, __ATOMIC_SEQ_CST,
							 __ATOMIC_RELAXED))
		continue;
}

static bool is_older(const struct view *v, unsigned cpu, u64 generation)
{
	return __atomic_load_n(&v->cpu[cpu].flushed, __ATOMIC_ACQUIRE) < generation;
}

/* May the processor still use a translation that left the view before `generation` was drawn? */
static bool may_use(const struct view *v, unsigned cpu, u64 generation)
{
	return __atomic_load_n(&v->cpu[cpu].inside, __ATOMIC_SEQ_CST) != VIEW_OUTSIDE && is_older(v, cpu, generation);
}

/* Does it, although everyone has been waited for? One that is just entering has the new generation to come. */
static bool does_use(const struct view *v, unsigned cpu, u64 generation)
{
	return __atomic_load_n(&v->cpu[cpu].inside, __ATOMIC_SEQ_CST) == VIEW_INSIDE && is_older(v, cpu, generation);
}

static void ask_processors(struct settlement *s, struct view *v, u64 generation)
{
	const struct mem_env *env = s->settler->env;
	unsigned self = env->this_cpu(env->context);
	for (unsigned cpu = 0; cpu < MAX_CPUS; cpu++) {
		if (!may_use(v, cpu, generation))
			continue;
		if (cpu == self)
			env->flush_here(env->context, v);
		else
			env->kick(env->context, cpu);
	}
}

static void wait_for_processors(struct settlement *s, struct view *v, u64 generation)
{
	const struct mem_env *env = s->settler->env;
	for (unsigned cpu = 0; cpu < MAX_CPUS; cpu++)
		for (u32 turns = 1; may_use(v, cpu, generation); turns++) {
			at_point(POINT_SETTLE_WAIT);
			env->relax(env->context);
			if (turns % SETTLE_KICK_AGAIN == 0)
				env->kick(env->context, cpu); /* an emulator may lose one (docs/svm.md) */
		}
}

static u64 highest_stamp(const struct settlement *s)
{
	const struct frame_table *frames = &s->settler->alloc->frames;
	u64 highest = 0;
	for (const struct settle_run *run = s->runs; run < s->runs + s->run_count; run++) {
		CHECK(run->first.v + run->count <= frames->limit);
		for (u32 i = 0; i < run->count; i++)
			highest = max_u64(highest, frames->at[run->first.v + i].stamp);
	}
	return highest;
}

/* The flush ledger: for each view of the debt, no processor can use what the frames lost up to their last stamp. */
static void check_ledger(const struct settlement *s)
{
	u64 highest = highest_stamp(s);
	CHECK(highest <= __atomic_load_n(&s->settler->clock.now, __ATOMIC_RELAXED));
	for (u32 i = 0; i < s->view_count; i++)
		for (unsigned cpu = 0; cpu < MAX_CPUS; cpu++)
			CHECK(!does_use(s->views[i], cpu, highest));
}

static void free_run(const struct settlement *s, const struct settle_run *run)
{
	const struct mem_env *env = s->settler->env;
	at_point(POINT_SETTLE_FREE);
	if (run->table) {
		pool_give(s->settler->pool, run->first);
		return;
	}
	for (u32 done = 0; done < run->count; done += FREE_SLICE) {
		if (done)
			env->breathe(env->context);
		alloc_give_back(s->settler->alloc, hfn_add(run->first, done), (u32)min_u64(run->count - done, FREE_SLICE));
	}
}

void settle(struct settlement *s)
{
	if (!s->owes)
		return;
	at_point(POINT_SETTLE_BEGIN);
	u64 generation = __atomic_add_fetch(&s->settler->clock.now, 1, __ATOMIC_SEQ_CST);
	at_point(POINT_SETTLE_DRAWN);
	for (u32 i = 0; i < s->view_count; i++)
		raise_generation(s->views[i], generation);
	view_fence();
	at_point(POINT_SETTLE_RAISED);
	for (u32 i = 0; i < s->view_count; i++)
		ask_processors(s, s->views[i], generation);
	for (u32 i = 0; i < s->view_count; i++)
		wait_for_processors(s, s->views[i], generation);
	at_point(POINT_SETTLE_FREE);
	check_ledger(s);
	for (u32 i = 0; i < s->run_count; i++)
		free_run(s, &s->runs[i]);
	__atomic_fetch_add(&s->settler->alloc->came, 1, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&s->settler->settled, 1, __ATOMIC_RELAXED);
	s->view_count = s->run_count = 0;
	s->owes = false;
}

void settlement_close(struct settlement *s)
{
	CHECK(!s->owes);
}
