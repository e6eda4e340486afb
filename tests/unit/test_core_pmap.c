/*
 * pmap and the views filled from it: what is promised, what is touched, what comes back; and each allocation failing once.
 *
 * Over 500 lines: one subject, whose tests share their steps.
 */
#include "core/bits.h"
#include "sim/check.h"
#include "sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define OWNER ((owner_t)OWNER_FIRST_VM)

static int setup(void **state)
{
	struct sim *s = sim_new(&(struct sim_config){ .seed = 3 });
	s->quiet = true;
	assert_int_equal(pmap_init(&s->vm[0].pmap, OWNER, &s->pool, &s->alloc), OK);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	sim_free(*state);
	return 0;
}

static struct pmap *pmap_of(void **state)
{
	return &((struct sim *)*state)->vm[0].pmap;
}

static status resolve(struct pmap *p, u64 f, enum pmap_access access, struct pmap_backing *out)
{
	status st;
	do
		st = pmap_resolve(p, gfn(f), access, out);
	while (st == AGAIN);
	return st;
}

static void release_all(struct sim *s, struct pmap *p, u64 first, u64 count)
{
	u64 done;
	status st;
	do {
		SETTLEMENT(debt, &s->settler);
		st = pmap_release(p, gfn(first), count, 7, &debt, &done);
		settle(&debt);
		first += done;
		count -= done;
	} while (st == AGAIN);
	assert_int_equal(st, OK);
}

static void test_ranges(void **state)
{
	struct pmap *p = pmap_of(state);
	assert_int_equal(pmap_add_range(p, gfn(1000), 100, PMAP_EMPTY, false), OK);
	assert_int_equal(pmap_add_range(p, gfn(1100), 1, PMAP_DEVICE, false), OK);
	assert_int_equal(pmap_add_range(p, gfn(0), 1000, PMAP_EMPTY, true), OK);
	assert_int_equal(pmap_add_range(p, gfn(999), 1, PMAP_DEVICE, false), IN_USE);
	assert_int_equal(pmap_add_range(p, gfn(1099), 2, PMAP_DEVICE, false), IN_USE);
	assert_int_equal(pmap_add_range(p, gfn(2000), 10, PMAP_DEVICE, false), OK);
	assert_int_equal(pmap_add_range(p, gfn(1999), 2, PMAP_DEVICE, false), IN_USE);
	assert_int_equal(pmap_add_range(p, gfn(1990), 40, PMAP_DEVICE, false), IN_USE);
	assert_int_equal(pmap_add_range(p, gfn(2000), 1, PMAP_DEVICE, false), IN_USE);
	assert_int_equal(pmap_add_range(p, gfn(5000), 0, PMAP_EMPTY, false), BAD_VALUE);
	assert_int_equal(pmap_add_range(p, gfn(5000), 1, PMAP_PRESENT, false), BAD_VALUE);
	assert_int_equal(pmap_add_range(p, gfn(BIT(36) - 1), 2, PMAP_EMPTY, false), BAD_VALUE);
	assert_int_equal(pmap_add_range(p, gfn(~0ull), 2, PMAP_EMPTY, false), BAD_VALUE);
	assert_int_equal(p->promised, 1100);
	for (u64 i = 4; i < PMAP_RANGES; i++)
		assert_int_equal(pmap_add_range(p, gfn(10000 + i), 1, PMAP_DEVICE, false), OK);
	assert_int_equal(pmap_add_range(p, gfn(20000), 1, PMAP_DEVICE, false), NO_MEMORY);
}

static void test_what_a_fault_is_answered(void **state)
{
	struct pmap *p = pmap_of(state);
	struct pmap_backing b;
	assert_int_equal(pmap_add_range(p, gfn(0), 16, PMAP_EMPTY, true), OK);
	assert_int_equal(pmap_add_range(p, gfn(16), 1, PMAP_DEVICE, false), OK);
	assert_int_equal(resolve(p, 3, PMAP_WRITE, &b), DENIED);
	assert_int_equal(p->resident, 0);
	assert_int_equal(resolve(p, 3, PMAP_READ, &b), OK);
	assert_true(b.state == PMAP_PRESENT && b.level == 1 && !b.writable);
	assert_int_equal(resolve(p, 16, PMAP_READ, &b), DEVICE);
	static const u64 nowhere[] = { 17, BIT(36) - 1, BIT(36), BIT(40) - 1, ~0ull >> PAGE_SHIFT, ~0ull };
	for (u32 i = 0; i < ARRAY_SIZE(nowhere); i++) {
		assert_int_equal(resolve(p, nowhere[i], PMAP_READ, &b), BAD_ADDRESS);
		assert_int_equal(pmap_look(p, gfn(nowhere[i])).state, PMAP_NONE);
	}
	assert_int_equal(pmap_look(p, gfn(4)).state, PMAP_EMPTY);
	assert_int_equal(pmap_look(p, gfn(16)).state, PMAP_DEVICE);
}

/* A 2 MiB leaf never sticks out of its range: at the end, at the beginning, over a device's page. */
static void test_large_leaves_stay_inside(void **state)
{
	struct sim *s = *state;
	struct pmap *p = pmap_of(state);
	struct pmap_backing b;
	assert_int_equal(pmap_add_range(p, gfn(100), BLOCK_FRAMES * 2, PMAP_EMPTY, false), OK);
	assert_int_equal(pmap_add_range(p, gfn(BLOCK_FRAMES * 4), BLOCK_FRAMES, PMAP_EMPTY, true), OK);
	assert_int_equal(resolve(p, 200, PMAP_READ, &b), OK);
	assert_int_equal(b.level, 1);
	assert_int_equal(resolve(p, BLOCK_FRAMES * 2 + 1, PMAP_READ, &b), OK);
	assert_int_equal(b.level, 1);
	assert_int_equal(p->resident, 2);
	assert_int_equal(resolve(p, BLOCK_FRAMES + 5, PMAP_READ, &b), OK);
	assert_int_equal(b.level, 2);
	assert_int_equal(b.frame.v % BLOCK_FRAMES, 5);
	assert_int_equal(resolve(p, BLOCK_FRAMES * 4, PMAP_READ, &b), OK);
	assert_int_equal(b.level, 2);
	assert_int_equal(p->resident, 2 + 2 * BLOCK_FRAMES);
	for (u64 f = BLOCK_FRAMES; f < 2 * BLOCK_FRAMES; f++) {
		struct frame *frame = frame_of(&s->frames, pmap_look(p, gfn(f)).frame);
		assert_true(frame->kind == FRAME_GUEST && frame->owner == OWNER && frame->count == 1);
	}
	assert_int_equal(pmap_look(p, gfn(99)).state, PMAP_NONE);
}

static void test_large_only_into_emptiness(void **state)
{
	struct sim *s = *state;
	struct pmap *p = pmap_of(state);
	struct pmap_backing b;
	assert_int_equal(pmap_add_range(p, gfn(0), BLOCK_FRAMES * 2, PMAP_EMPTY, false), OK);
	p->large = false;
	assert_int_equal(resolve(p, 1, PMAP_WRITE, &b), OK);
	p->large = true;
	assert_int_equal(resolve(p, 2, PMAP_WRITE, &b), OK);
	assert_int_equal(b.level, 1);
	release_all(s, p, 0, BLOCK_FRAMES);
	assert_int_equal(p->tree.tables, 1);
	assert_int_equal(resolve(p, 2, PMAP_WRITE, &b), OK);
	assert_int_equal(b.level, 2);
}

static void test_4k_when_no_block_is_whole(void **state)
{
	struct sim *s = *state;
	struct pmap *p = pmap_of(state);
	struct pmap_backing b;
	hfn_t block;
	while (alloc_block_dirty(&s->alloc, FRAME_POOL, OWNER_HYPERVISOR, &block) == OK)
		continue;
	assert_int_equal(pmap_add_range(p, gfn(0), BLOCK_FRAMES, PMAP_EMPTY, false), OK);
	assert_int_equal(resolve(p, 7, PMAP_WRITE, &b), OK);
	assert_int_equal(b.level, 1);
	assert_int_equal(p->resident, 1);
}

/* A large leaf is split by a release that cuts it, and each of its frames keeps its count. */
static void test_release_cuts_a_leaf(void **state)
{
	struct sim *s = *state;
	struct pmap *p = pmap_of(state);
	struct pmap_backing b;
	assert_int_equal(pmap_add_range(p, gfn(0), 3 * BLOCK_FRAMES, PMAP_EMPTY, false), OK);
	for (u64 f = 0; f < 3 * BLOCK_FRAMES; f += BLOCK_FRAMES)
		assert_int_equal(resolve(p, f, PMAP_READ, &b), OK);
	hfn_t third = pmap_look(p, gfn(2 * BLOCK_FRAMES)).frame;
	release_all(s, p, 100, 2 * BLOCK_FRAMES);
	assert_int_equal(p->resident, BLOCK_FRAMES);
	for (u64 f = 0; f < 3 * BLOCK_FRAMES; f++) {
		bool kept = f < 100 || f >= 2 * BLOCK_FRAMES + 100;
		assert_int_equal(pmap_look(p, gfn(f)).state, kept ? PMAP_PRESENT : PMAP_EMPTY);
	}
	assert_int_equal(pmap_look(p, gfn(2 * BLOCK_FRAMES + 100)).frame.v, third.v + 100);
	assert_int_equal(frame_of(&s->frames, third)->kind, FRAME_FREE);
	release_all(s, p, 0, BIT(36));
	assert_int_equal(p->resident, 0);
	pmap_destroy(p);
	assert_int_equal(s->pool.used_frames, 0);
}

/* The tree's large leaf at 0, as 512 small ones. */
static void cut(struct pmap *p)
{
	struct pt_slot slot;
	struct pmap_backing b;
	assert_int_equal(resolve(p, 0, PMAP_WRITE, &b), OK);
	assert_int_equal(b.level, 2);
	assert_int_equal(pt_reach(&p->tree, 0, 1, &slot), OK);
	assert_int_equal(pmap_look(p, gfn(0)).level, 1);
}

/* One leaf is one range's: rights are. */
static void test_merge_stays_inside(void **state)
{
	struct sim *s = *state;
	struct pmap *p = pmap_of(state);
	SETTLEMENT(debt, &s->settler);
	assert_int_equal(pmap_add_range(p, gfn(0), BLOCK_FRAMES, PMAP_EMPTY, false), OK);
	assert_int_equal(pmap_merge(p, gfn(0), &debt), NOT_THERE);
	cut(p);
	assert_int_equal(pmap_merge(p, gfn(17), &debt), OK);
	assert_int_equal(pmap_look(p, gfn(3)).level, 2);
	assert_int_equal(p->resident, BLOCK_FRAMES);
	cut(p);
	p->range[0].count /= 2;
	p->promised /= 2;
	assert_int_equal(pmap_add_range(p, gfn(BLOCK_FRAMES / 2), BLOCK_FRAMES / 2, PMAP_EMPTY, true), OK);
	assert_int_equal(pmap_merge(p, gfn(0), &debt), NOT_THERE);
	assert_int_equal(pmap_merge(p, gfn(BLOCK_FRAMES), &debt), NOT_THERE);
	settle(&debt);
	release_all(s, p, 0, BLOCK_FRAMES);
	assert_int_equal(s->pool.used_frames, 1);
}

/* A view's leaf is large where the truth's is: else one fault's rights would be given to what lies beside. */
static void test_a_view_merges_what_the_truth_has(void **state)
{
	struct sim *s = *state;
	struct pmap *p = pmap_of(state);
	struct ptview v;
	SETTLEMENT(debt, &s->settler);
	assert_int_equal(pmap_add_range(p, gfn(0), BLOCK_FRAMES, PMAP_EMPTY, false), OK);
	assert_int_equal(ptview_init(&v, "view", &fmt_npt, p, &s->settler, 0, (enum pt_rights)(PT_READ | PT_WRITE)), OK);
	cut(p);
	for (u64 i = 0; i < BLOCK_FRAMES; i++)
		assert_int_equal(ptview_resolve(&v, frame_gpa(gfn(i)), PMAP_READ), OK);
	assert_int_equal(ptview_merge(&v, gfn(0), &debt), NOT_THERE);
	assert_int_equal(pmap_merge(p, gfn(0), &debt), OK);
	assert_int_equal(ptview_merge(&v, gfn(0), &debt), OK);
	assert_int_equal(pt_find(&v.table, 0, 1).level, 2);
	assert_int_equal(ptview_merge(&v, gfn(0), &debt), NOT_THERE);
	assert_int_equal(ptview_destroy(&v, &debt), OK);
	settle(&debt);
	release_all(s, p, 0, BLOCK_FRAMES);
}

static void test_release_without_memory(void **state)
{
	struct sim *s = *state;
	struct pmap *p = pmap_of(state);
	struct pmap_backing b;
	u64 done;
	assert_int_equal(pmap_add_range(p, gfn(0), BLOCK_FRAMES, PMAP_EMPTY, false), OK);
	assert_int_equal(resolve(p, 0, PMAP_READ, &b), OK);
	SETTLEMENT(debt, &s->settler);
	s->alloc.fail_after = 0;
	assert_int_equal(pmap_release(p, gfn(0), 5, 100, &debt, &done), NO_MEMORY);
	assert_int_equal(done, 0);
	assert_false(debt.owes);
	assert_int_equal(pmap_look(p, gfn(0)).level, 2);
}

static void test_destroy_gives_back_what_is_prepared(void **state)
{
	struct sim *s = *state;
	struct pmap *p = pmap_of(state);
	struct pmap_backing b;
	u64 before = s->alloc.free_frames;
	assert_int_equal(pmap_add_range(p, gfn(0), BLOCK_FRAMES, PMAP_EMPTY, false), OK);
	assert_int_equal(pmap_resolve(p, gfn(0), PMAP_READ, &b), AGAIN);
	assert_int_equal(s->alloc.free_frames, before - BLOCK_FRAMES);
	pmap_destroy(p);
	assert_int_equal(s->alloc.free_frames, before);
}

static bool remember(void *context, u64 address, u64 entry, u8 level)
{
	u64 *next = context;
	assert_true(address >= *next && entry);
	*next = address + pt_span(level);
	return true;
}

/* The host's last block is in this machine's own hand, half prepared, and something else of it wants one frame: it gets one of those. */
static void test_a_block_in_hand_is_not_withheld(void **state)
{
	struct sim *s = *state;
	struct pmap *p = pmap_of(state);
	struct pmap_backing b;
	hfn_t f, block = HFN_NONE;
	assert_int_equal(pmap_add_range(p, gfn(0), 2 * BLOCK_FRAMES, PMAP_EMPTY, false), OK);
	assert_int_equal(pmap_add_range(p, gfn(4 * BLOCK_FRAMES), 1, PMAP_EMPTY, false), OK); /* no place for a block */
	assert_int_equal(resolve(p, 0, PMAP_READ, &b), OK); /* its tables are there */
	while (alloc_block_dirty(&s->alloc, FRAME_POOL, OWNER_HYPERVISOR, &block) == OK)
		continue;
	while (alloc_frame(&s->alloc, FRAME_GUEST, OWNER, &f) == OK)
		continue;
	alloc_give_back(&s->alloc, block, BLOCK_FRAMES);
	assert_int_equal(pmap_resolve(p, gfn(BLOCK_FRAMES), PMAP_READ, &b), AGAIN);
	assert_int_equal(s->alloc.free_frames, 0);
	assert_int_equal(pmap_resolve(p, gfn(4 * BLOCK_FRAMES), PMAP_READ, &b), NO_MEMORY);
	assert_true(pmap_unprepare(p)); /* as who found none does before he waits */
	assert_false(pmap_unprepare(p));
	assert_int_equal(pmap_resolve(p, gfn(4 * BLOCK_FRAMES), PMAP_READ, &b), OK);
	assert_int_equal(resolve(p, BLOCK_FRAMES, PMAP_READ, &b), OK);
}

static void test_visit_in_order(void **state)
{
	struct pmap *p = pmap_of(state);
	struct pmap_backing b;
	static const u64 touched[] = { BIT(30), 5, 700, BIT(20) + 3 };
	assert_int_equal(pmap_add_range(p, gfn(0), BIT(31), PMAP_EMPTY, false), OK);
	for (u32 i = 0; i < ARRAY_SIZE(touched); i++)
		assert_int_equal(resolve(p, touched[i], PMAP_READ, &b), OK);
	u64 next = 0;
	assert_true(pt_visit(&p->tree, 0, BIT(48), remember, &next));
	assert_int_equal(next, frame_gpa(gfn(BIT(30) + BLOCK_FRAMES)).v);
}

/* ---- every allocation fails once ---- */

struct sums {
	u64 resident, nodes, tables, pool, free;
};

static struct sums sums_of(const struct sim *s)
{
	const struct sim_vm *vm = &s->vm[0];
	return (struct sums){ vm->pmap.resident, vm->pmap.tree.tables, vm->nested.table.tables + vm->window.table.tables,
			      s->pool.used_frames, s->alloc.free_frames };
}

static status one_touch(struct sim *s, u64 f)
{
	status st;
	do
		st = ptview_resolve(&s->vm[0].nested, frame_gpa(gfn(f)), PMAP_WRITE);
	while (st == AGAIN);
	return st;
}

static void fail_each_allocation(bool small)
{
	struct sim *s = sim_new(&(struct sim_config){ .seed = 3, .small = small });
	struct sim_vm *vm = &s->vm[0];
	status st = NO_MEMORY;
	for (s64 n = 0; st != OK; n++) { /* a VM's beginning */
		s->alloc.fail_after = n;
		st = sim_vm_start(s, vm, OWNER, 3 * BLOCK_FRAMES);
		if (st != OK)
			assert_int_equal(s->pool.used_frames, 0);
		sim_audit(s);
	}
	s->alloc.fail_after = -1;
	for (u64 f = SIM_RAM_FIRST; f < SIM_RAM_FIRST + 3 * BLOCK_FRAMES; f += 300) {
		u32 failed = 0;
		st = NO_MEMORY;
		/* A first touch. When it is the block that fails (the first allocation), 4 KiB will do: every other time not that. */
		for (s64 n = small ? 0 : f / 300 % 2; st != OK; n++) {
			struct sums before = sums_of(s);
			s->alloc.fail_after = n;
			st = one_touch(s, f);
			s->alloc.fail_after = -1;
			struct sums after = sums_of(s);
			if (st != OK && after.resident == before.resident) /* else only the view's table was missing */
				assert_memory_equal(&before.resident, &after.resident, 3 * sizeof(u64));
			failed += st != OK;
			sim_audit(s);
		}
		assert_true(failed > 0 || !small);
	}
	st = NO_MEMORY;
	for (s64 n = 0; st != OK; n++) { /* a release that cuts leaves */
		s->alloc.fail_after = n;
		st = sim_release(s, vm, SIM_RAM_FIRST + 10, 2 * BLOCK_FRAMES, 50);
		s->alloc.fail_after = -1;
		sim_audit(s);
	}
	sim_vm_end(s, vm);
	sim_audit(s);
	assert_int_equal(s->pool.used_frames, 0);
	sim_free(s);
}

static void test_each_allocation_fails_once(void **state)
{
	(void)state;
	fail_each_allocation(false);
	fail_each_allocation(true);
}

/* ---- views ---- */

/* Write access goes for exactly those frames, D stays in the entry, and comes back by a fault alone. */
static void test_protect(void **state)
{
	(void)state;
	struct sim *s = sim_new(&(struct sim_config){ .seed = 3 });
	struct sim_vm *vm = &s->vm[0];
	assert_int_equal(sim_vm_start(s, vm, OWNER, 2 * BLOCK_FRAMES), OK);
	sim_space(s, 0, vm);
	sim_enter(s, 0, &vm->vcpu[0]);
	assert_int_equal(sim_touch(s, 0, SIM_RAM_FIRST + 9, true), OK);
	s->current = 1;
	{
		SETTLEMENT(debt, &s->settler);
		assert_int_equal(ptview_protect(&vm->nested, gfn(SIM_RAM_FIRST + 9), 2, &debt), OK);
		settle(&debt);
	}
	u64 root = frame_hpa(vm->nested.table.root).v;
	for (u64 n = 0; n < BLOCK_FRAMES; n++) {
		struct mmu_translation t = mmu_walk_from(&s->ram, root, 4, (SIM_RAM_FIRST + n) << PAGE_SHIFT);
		assert_true(t.present && (*t.entry & fmt_npt.dirty));
		assert_int_equal(t.write, n != 9 && n != 10);
	}
	assert_false(sim_usable(s, vm, SIM_RAM_FIRST + 9, true));
	if (!s->cpu[0].running)
		sim_enter(s, 0, &vm->vcpu[0]);
	assert_int_equal(sim_touch(s, 0, SIM_RAM_FIRST + 9, true), OK);
	sim_audit(s);
	sim_vm_end(s, vm);
	sim_free(s);
}

/* ---- debts that overlap: what one has taken out and not settled, another finds gone already ---- */

/* A guest on processor 0 has used the frame, and can write it; processor 1 does what follows. */
static struct sim *with_a_guest(struct sim_vm **vm, u64 at)
{
	struct sim *s = sim_new(&(struct sim_config){ .seed = 3 });
	*vm = &s->vm[0];
	s->quiet = true;
	assert_int_equal(sim_vm_start(s, *vm, OWNER, 2 * BLOCK_FRAMES), OK);
	sim_enter(s, 0, &(*vm)->vcpu[0]);
	assert_int_equal(sim_touch(s, 0, at, true), OK);
	assert_true(sim_usable(s, *vm, at, true));
	s->current = 1;
	return s;
}

static void test_release_of_what_another_has_dropped(void **state)
{
	(void)state;
	struct sim_vm *vm;
	u64 at = SIM_RAM_FIRST + 9, done;
	struct sim *s = with_a_guest(&vm, at);
	SETTLEMENT(debt, &s->settler);
	assert_int_equal(ptview_drop(&vm->nested, gfn(at), 1, 10, &debt, &done), OK);
	hfn_t frame = pmap_look(&vm->pmap, gfn(at)).frame;
	assert_int_equal(sim_release(s, vm, at, 1, 10), OK);
	assert_int_equal(frame_of(&s->frames, frame)->kind, FRAME_FREE);
	assert_false(sim_usable(s, vm, at, false));
	settle(&debt);
	sim_vm_end(s, vm);
	sim_free(s);
}

static void test_protect_what_another_has_protected(void **state)
{
	(void)state;
	struct sim_vm *vm;
	u64 at = SIM_RAM_FIRST + 9;
	struct sim *s = with_a_guest(&vm, at);
	SETTLEMENT(first, &s->settler);
	SETTLEMENT(second, &s->settler);
	assert_int_equal(ptview_protect(&vm->nested, gfn(at), 1, &first), OK);
	assert_int_equal(ptview_protect(&vm->nested, gfn(at), 1, &second), OK);
	settle(&second);
	assert_false(sim_usable(s, vm, at, true));
	settle(&first);
	sim_vm_end(s, vm);
	sim_free(s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_ranges),
		TEST(test_what_a_fault_is_answered),
		TEST(test_large_leaves_stay_inside),
		TEST(test_large_only_into_emptiness),
		TEST(test_4k_when_no_block_is_whole),
		TEST(test_release_cuts_a_leaf),
		TEST(test_merge_stays_inside),
		TEST(test_a_view_merges_what_the_truth_has),
		TEST(test_release_without_memory),
		TEST(test_destroy_gives_back_what_is_prepared),
		TEST(test_a_block_in_hand_is_not_withheld),
		TEST(test_visit_in_order),
		cmocka_unit_test(test_each_allocation_fails_once),
		cmocka_unit_test(test_protect),
		cmocka_unit_test(test_release_of_what_another_has_dropped),
		cmocka_unit_test(test_protect_what_another_has_protected),
	};
	alarm(60);
	return cmocka_run_group_tests_name("what backs a guest frame", tests, NULL, NULL);
}
