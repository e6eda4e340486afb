/*
 * Attacks on the truth about a VM's memory: giving it memory fails half way (MV-37), taking it away does (MV-38), and it is split, merged
 * and punctured while processors use it (MV-40). Each allocation fails once; at each marked point another processor looks.
 */
#include "core/bits.h"
#include "sim/crew.h"
#include "sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define OWNER ((owner_t)OWNER_FIRST_VM)
#define RAM (3 * BLOCK_FRAMES)
#define FIRST SIM_RAM_FIRST
#define OTHER 1u      /* the processor that is in guest mode */
#define TURNS 40u     /* of the adversary, each time */
#define MOST_TRIES 64 /* allocations of one operation */

static struct sim *s;
static struct sim_vm *vm;

static void begin(bool small)
{
	s = sim_new(&(struct sim_config){ .seed = 11, .small = small, .flush_by_tag = true });
	vm = &s->vm[0];
	assert_int_equal(sim_vm_start(s, vm, OWNER, RAM), OK);
	sim_enter(s, OTHER, &vm->vcpu[0]);
	s->current = 0;
}

static void end(void)
{
	sim_vm_end(s, vm);
	assert_int_equal(s->pool.used_frames, 0);
	sim_audit(s);
	sim_free(s);
}

/* What the guest has written stays there, whatever was tried. */
static void guest_writes(u64 at, u64 count)
{
	if (!s->cpu[OTHER].running) /* a settlement has asked it out */
		sim_enter(s, OTHER, &vm->vcpu[0]);
	for (u64 i = 0; i < count; i++)
		assert_int_equal(sim_touch(s, OTHER, at + i, true), OK);
	s->current = 0;
}

static void others_look(void)
{
	sim_adversary(s, TURNS);
	sim_judge(s);
	sim_audit(s);
	s->patience = 0;
}

/* ---- MV-37: giving fails half way ---- */

struct sums { u64 resident, promised, tables, view_tables, pool, free; };

static struct sums sums(void)
{
	return (struct sums){ vm->pmap.resident, vm->pmap.promised, vm->pmap.tree.tables, vm->nested.table.tables, s->pool.used_frames,
			      s->alloc.free_frames };
}

static u64 counted(void)
{
	u64 sum = 0;
	for (u64 i = 0; i < s->frames.limit; i++)
		sum += s->frames.at[i].kind == FRAME_GUEST ? s->frames.at[i].count : 0;
	return sum;
}

static status first_touch(u64 at)
{
	status st;
	do
		st = ptview_resolve(&vm->nested, frame_gpa(gfn(at)), PMAP_WRITE);
	while (st == AGAIN);
	return st;
}

/* A failed step leaves all as it was; the one half that may stand is whole by itself: the truth has the frames, the view not yet. */
static void gives_as_a_whole(u64 at, u64 frames)
{
	struct sums before = sums(), now;
	status st = NO_MEMORY;
	u32 failed = 0;
	/* The first allocation is a block's frames: where it fails, one page is given instead, as a whole too. */
	for (s64 n = frames > 1 ? 1 : 0; st != OK; n++) {
		assert_true(n < MOST_TRIES);
		s->alloc.fail_after = n;
		st = first_touch(at);
		s->alloc.fail_after = -1;
		now = sums();
		assert_int_equal(counted(), now.resident);
		assert_true(now.resident == before.resident || now.resident == before.resident + frames);
		if (now.resident == before.resident)
			assert_memory_equal(&now, &before, sizeof now);
		failed += st != OK;
		others_look();
	}
	assert_true(failed > 0);
	assert_int_equal(vm->pmap.resident, before.resident + frames);
}

static void test_mv37_giving_fails_half_way(void **state)
{
	(void)state;
	begin(false);
	gives_as_a_whole(FIRST, BLOCK_FRAMES);
	guest_writes(FIRST, 4);
	others_look();
	end();
	begin(true);
	gives_as_a_whole(FIRST, 1);
	guest_writes(FIRST, 1);
	others_look();
	end();
}

/* The count of one frame in the middle is as high as it goes: none is counted. */
static void test_mv37_one_of_many_cannot_be_counted(void **state)
{
	struct frame frames[BLOCK_FRAMES] = { 0 };
	(void)state;
	for (u32 full = 0; full < BLOCK_FRAMES; full += 73) {
		memset(frames, 0, sizeof frames);
		frames[full].count = UINT32_MAX;
		assert_int_equal(frames_ref(frames, BLOCK_FRAMES), IN_USE);
		for (u32 i = 0; i < BLOCK_FRAMES; i++)
			assert_int_equal(frames[i].count, i == full ? UINT32_MAX : 0);
	}
}

/* ---- MV-38: taking away fails ---- */

/* The page is where it was, as it was; or it is gone, and its frame is free. */
static void taken_or_kept(u64 at, hfn_t was, bool taken)
{
	const struct frame *f = frame_of(&s->frames, was);
	struct pmap_backing now = pmap_look(&vm->pmap, gfn(at));
	assert_int_equal(now.state, taken ? PMAP_EMPTY : PMAP_PRESENT);
	assert_true(taken ? f->kind == FRAME_FREE : now.frame.v == was.v && f->kind == FRAME_GUEST && f->owner == OWNER && f->count == 1);
}

/* Some pages of a large leaf are to go, and there is no table for the rest of them: in one view, the other, or the truth. */
static status take_away(u64 at, u64 count)
{
	hfn_t was[BLOCK_FRAMES];
	for (u64 i = 0; i < BLOCK_FRAMES; i++)
		was[i] = pmap_look(&vm->pmap, gfn(FIRST + i)).frame;
	status st = sim_release(s, vm, at, count, 1000);
	s->alloc.fail_after = -1;
	assert_true(st == OK || st == NO_MEMORY);
	for (u64 i = 0; i < BLOCK_FRAMES; i++)
		taken_or_kept(FIRST + i, was[i], st == OK && FIRST + i - at < count);
	others_look();
	guest_writes(FIRST, 3); /* it still has them, and finds there what it wrote */
	return st;
}

static void test_mv38_taking_away_fails(void **state)
{
	status st = NO_MEMORY;
	s64 n = 0;
	(void)state;
	for (; st != OK; n++) {
		u64 at = FIRST + 100 + 50 * (u64)n;
		begin(false);
		guest_writes(FIRST, 3);
		guest_writes(at, 8);
		sim_space(s, 2, vm);
		assert_int_equal(sim_touch_window(s, 2, at, true), OK); /* in the other view as well */
		s->current = 0;
		s->alloc.fail_after = n;
		st = take_away(at, 5);
		if (st != OK)
			assert_int_equal(take_away(at, 5), OK);
		end();
	}
	assert_int_equal(n, 4); /* three tables were wanted, and each of them was missing once */
}

/* ---- MV-40: split, merged and punctured under a processor that runs ---- */

static struct { u64 first, hole, holes; struct mmu_translation was[BLOCK_FRAMES]; u32 looked; } block;

static struct mmu_translation translation(u64 at)
{
	return mmu_walk_from(&s->ram, frame_hpa(vm->nested.table.root).v, 4, at << PAGE_SHIFT);
}

/* As a processor would walk now: each page leads where it led, with the same rights; a hole leads there or nowhere. */
static void walk_all(enum point point)
{
	(void)point;
	if (hfn_is_none(vm->nested.table.root))
		return;
	for (u64 i = 0; i < BLOCK_FRAMES; i++) {
		struct mmu_translation now = translation(block.first + i), *was = &block.was[i];
		if (i - block.hole < block.holes && !now.present)
			continue;
		if (!now.present || now.frame != was->frame || now.write != was->write || now.exec != was->exec)
			sim_fail("page %lu of the block leads elsewhere", (unsigned long)i);
	}
	block.looked++;
	sim_adversary(s, 4);
	sim_judge(s);
}

static void watch_block(u64 first, u64 hole, u64 holes)
{
	block.first = first;
	block.hole = hole;
	block.holes = holes;
	block.looked = 0;
	for (u64 i = 0; i < BLOCK_FRAMES; i++)
		block.was[i] = translation(first + i);
	crew_act = walk_all;
}

static void watched(u32 least)
{
	crew_act = NULL;
	assert_true(block.looked >= least);
	others_look();
}

static void split_view(u64 at)
{
	struct pt_slot slot;
	assert_int_equal(pt_reach(&vm->nested.table, at << PAGE_SHIFT, 1, &slot), OK);
}

static void merge_view(u64 at)
{
	SETTLEMENT(debt, &s->settler);
	s->patience = 0;
	assert_int_equal(ptview_merge(&vm->nested, gfn(at), &debt), OK);
	settle(&debt);
}

static void test_mv40_reshaped_while_in_use(void **state)
{
	(void)state;
	begin(false);
	guest_writes(FIRST, BLOCK_FRAMES);
	for (u32 i = 0; i < 8; i++) {
		watch_block(FIRST, 0, 0);
		split_view(FIRST + i * 60);
		watched(2);
		watch_block(FIRST, 0, 0);
		merge_view(FIRST + i);
		watched(4);
		guest_writes(FIRST + i * 50, 3);
	}
	end();
}

static void test_mv40_punctured_while_in_use(void **state)
{
	(void)state;
	begin(false);
	guest_writes(FIRST, BLOCK_FRAMES);
	for (u64 hole = 3; hole + 20 < BLOCK_FRAMES; hole += 101) {
		watch_block(FIRST, hole, 17);
		assert_int_equal(sim_release(s, vm, FIRST + hole, 17, 1000), OK);
		watched(6);
		assert_false(translation(FIRST + hole).present);
		assert_true(translation(FIRST + hole + 17).present);
		assert_false(sim_usable(s, vm, FIRST + hole, false));
		guest_writes(FIRST + hole, 17);
	}
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mv37_giving_fails_half_way),
		cmocka_unit_test(test_mv37_one_of_many_cannot_be_counted),
		cmocka_unit_test(test_mv38_taking_away_fails),
		cmocka_unit_test(test_mv40_reshaped_while_in_use),
		cmocka_unit_test(test_mv40_punctured_while_in_use),
	};
	alarm(100);
	return cmocka_run_group_tests_name("attacks on the truth about memory", tests, NULL, NULL);
}
