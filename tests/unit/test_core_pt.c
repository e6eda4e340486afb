/*
 * The page-table engine, seen by the independent MMU: after each change, and between any two instructions of it.
 */
#include "core/bits.h"
#include "sim/check.h"
#include "sim/sim.h"
#include "sim/step.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define OWNER ((owner_t)OWNER_FIRST_VM)
#define RWX ((enum pt_rights)(PT_READ | PT_WRITE | PT_EXEC))
#define AT (5ull << 30)
#define FAR (5ull << 40) /* another entry of the top table */

struct bench {
	struct sim *s;
	struct pt pt;
	struct view view;
	hfn_t block; /* 2 MiB of the guest's */
};

static int setup_with(void **state, const struct pt_format *format)
{
	static struct bench b;
	b = (struct bench){ .s = sim_new(&(struct sim_config){ .seed = 1 }) };
	struct alloc_preparing p = { .first = HFN_NONE };
	b.s->quiet = true;
	status st;
	do
		st = alloc_block_clean(&b.s->alloc, &p, FRAME_GUEST, OWNER, &b.block);
	while (st == AGAIN);
	assert_int_equal(pt_init(&b.pt, format, &b.s->pool, OWNER), OK);
	view_init(&b.view, "test", &b.s->settler.clock);
	*state = &b;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, &fmt_npt);
}

static int setup_host(void **state)
{
	return setup_with(state, &fmt_host);
}

static int teardown(void **state)
{
	sim_free(((struct bench *)*state)->s);
	return 0;
}

static struct mmu_translation look(const struct bench *b, u64 address)
{
	return mmu_walk_from(&b->s->ram, frame_hpa(b->pt.root).v, 4, address);
}

static void drop_all(struct bench *b, u64 address, u64 length)
{
	u64 done = 0;
	SETTLEMENT(debt, &b->s->settler);
	assert_int_equal(pt_drop(&b->pt, &b->view, address, length, 10000, &debt, &done), OK);
	assert_int_equal(done, length);
	settle(&debt);
}

static void test_rights_as_the_processor_reads_them(void **state)
{
	struct bench *b = *state;
	bool npt = b->pt.format == &fmt_npt;
	for (u32 rights = PT_READ; rights < 16; rights += 2) {
		u64 at = AT + rights * PAGE_SIZE;
		hfn_t f = hfn_add(b->block, rights);
		assert_int_equal(pt_map(&b->pt, at, f, 1, (enum pt_rights)rights), OK);
		struct mmu_translation t = look(b, at);
		assert_true(t.present && t.frame == f.v && t.page_shift == PAGE_SHIFT);
		assert_int_equal(t.write, !!(rights & PT_WRITE));
		assert_int_equal(t.exec, !!(rights & PT_EXEC));
		assert_int_equal(t.user, npt || (rights & PT_USER));
	}
	assert_false(look(b, AT).present);
	assert_int_equal(b->pt.tables, 4);
}

static void test_map_twice(void **state)
{
	struct bench *b = *state;
	assert_int_equal(pt_map(&b->pt, AT, b->block, 1, RWX), OK);
	mmu_access(&b->s->ram, frame_hpa(b->pt.root).v, AT, true);
	assert_int_equal(pt_map(&b->pt, AT, b->block, 1, RWX), OK); /* A and D make no difference */
	assert_int_equal(pt_map(&b->pt, AT, hfn_add(b->block, 1), 1, RWX), IN_USE);
	assert_int_equal(pt_map(&b->pt, AT, b->block, 2, RWX), IN_USE);
	status st;
	assert_true(SIM_CHECKS(st = pt_map(&b->pt, AT, hfn_add(b->block, 1), 2, RWX)));
	(void)st;
}

/* A split keeps the frames, the rights, A and D of each of the 512 pieces. */
static void test_split_loses_nothing(void **state)
{
	struct bench *b = *state;
	struct pt_slot slot;
	for (u32 i = 0; i < 3; i++) { /* untouched; read; written */
		u64 at = AT + i * BLOCK_SIZE;
		enum pt_rights rights = i == 1 ? (enum pt_rights)(PT_READ | PT_WRITE) : RWX;
		assert_int_equal(pt_map(&b->pt, at, b->block, 2, rights), OK);
		if (i)
			mmu_access(&b->s->ram, frame_hpa(b->pt.root).v, at, i == 2);
		u64 before = *pt_find(&b->pt, at, 2).entry;
		assert_int_equal(pt_reach(&b->pt, at + 7 * PAGE_SIZE, 1, &slot), OK);
		assert_int_equal(slot.what, PT_LEAF);
		for (u32 n = 0; n < BLOCK_FRAMES; n++) {
			struct mmu_translation t = look(b, at + n * PAGE_SIZE);
			assert_true(t.present && t.page_shift == PAGE_SHIFT && t.frame == b->block.v + n);
			assert_int_equal(*t.entry & ~fmt_npt.address, before & ~fmt_npt.address & ~fmt_npt.large);
		}
	}
}

static void test_split_without_memory_changes_nothing(void **state)
{
	struct bench *b = *state;
	struct pt_slot slot;
	assert_int_equal(pt_map(&b->pt, AT, b->block, 2, RWX), OK);
	b->s->alloc.fail_after = 0;
	assert_int_equal(pt_reach(&b->pt, AT, 1, &slot), NO_MEMORY);
	assert_int_equal(look(b, AT).page_shift, BLOCK_SHIFT);
	for (s64 n = 0; n < 3; n++) { /* three tables are missing below the top one */
		u64 used = b->s->pool.used_frames;
		b->s->alloc.fail_after = n;
		assert_int_equal(pt_map(&b->pt, FAR, b->block, 1, RWX), NO_MEMORY);
		assert_int_equal(b->s->pool.used_frames, used);
		assert_int_equal(pt_find(&b->pt, FAR, 1).level, 4);
	}
}

static status merge(struct bench *b, struct settlement *debt) { return pt_merge(&b->pt, &b->view, AT, 2, debt); }

static void map_pieces(struct bench *b, enum pt_rights rights)
{
	for (u32 i = 0; i < BLOCK_FRAMES; i++)
		assert_int_equal(pt_map(&b->pt, AT + i * PAGE_SIZE, hfn_add(b->block, i), 1, rights), OK);
}

/* A of any piece stays; what can be written counts as written, for a processor may still set D in the old table. */
static void test_merge(void **state)
{
	struct bench *b = *state;
	for (u32 i = 0; i < 3; i++) { /* untouched; read; read, and not writable */
		SETTLEMENT(debt, &b->s->settler);
		enum pt_rights rights = i == 2 ? PT_READ : RWX;
		map_pieces(b, rights);
		if (i)
			mmu_access(&b->s->ram, frame_hpa(b->pt.root).v, AT + 5 * PAGE_SIZE, false);
		u64 table = look(b, AT).tables[3] >> PAGE_SHIFT;
		assert_int_equal(merge(b, &debt), OK);
		struct mmu_translation t = look(b, AT + 7 * PAGE_SIZE);
		assert_true(t.present && t.page_shift == BLOCK_SHIFT && t.frame == b->block.v + 7);
		u64 marks = (i ? fmt_npt.accessed : 0) | (rights & PT_WRITE ? fmt_npt.dirty : 0);
		assert_int_equal(*t.entry, pt_leaf(&fmt_npt, b->block, 2, rights) | marks);
		assert_int_equal(b->pt.tables, 3);
		assert_int_equal(merge(b, &debt), NOT_THERE);
		assert_int_equal(frame_of(&b->s->frames, hfn(table))->kind, FRAME_TABLE); /* until it is paid */
		settle(&debt);
		assert_int_equal(frame_of(&b->s->frames, hfn(table))->kind, FRAME_POOL);
		drop_all(b, AT, BLOCK_SIZE);
	}
}

static void test_merge_of_what_does_not_fit(void **state)
{
	struct bench *b = *state;
	SETTLEMENT(debt, &b->s->settler);
	assert_int_equal(merge(b, &debt), NOT_THERE); /* nothing is there */
	map_pieces(b, RWX);
	drop_all(b, AT + 100 * PAGE_SIZE, PAGE_SIZE);
	assert_int_equal(merge(b, &debt), NOT_THERE); /* a hole */
	assert_int_equal(pt_map(&b->pt, AT + 100 * PAGE_SIZE, hfn_add(b->block, 100), 1, PT_READ), OK);
	assert_int_equal(merge(b, &debt), NOT_THERE); /* a piece with fewer rights */
	drop_all(b, AT + 100 * PAGE_SIZE, PAGE_SIZE);
	assert_int_equal(pt_map(&b->pt, AT + 100 * PAGE_SIZE, hfn_add(b->block, 101), 1, RWX), OK);
	assert_int_equal(merge(b, &debt), NOT_THERE); /* another frame */
	drop_all(b, AT, BLOCK_SIZE);
	for (u32 i = 0; i < BLOCK_FRAMES; i++)
		assert_int_equal(pt_map(&b->pt, AT + i * PAGE_SIZE, hfn_add(b->block, i + 1), 1, RWX), OK);
	assert_int_equal(merge(b, &debt), NOT_THERE); /* not aligned */
	drop_all(b, AT, BLOCK_SIZE);
	map_pieces(b, RWX);
	b->pt.keep = 1;
	assert_int_equal(merge(b, &debt), NOT_THERE); /* others link its tables */
	b->pt.keep = 0;
	while (settle_has_room(&debt, 1))
		settle_add_table(&debt, b->block);
	assert_int_equal(merge(b, &debt), AGAIN);
	assert_int_equal(look(b, AT).page_shift, PAGE_SHIFT);
	debt = (struct settlement){ .settler = &b->s->settler };
}

static void test_drop_stamps_and_unlinks(void **state)
{
	struct bench *b = *state;
	u64 done;
	for (u32 n = 0; n < 4; n++)
		assert_int_equal(pt_map(&b->pt, AT + n * PAGE_SIZE, hfn_add(b->block, n), 1, RWX), OK);
	b->s->settler.clock.now = 41;
	SETTLEMENT(debt, &b->s->settler);
	assert_int_equal(pt_drop(&b->pt, &b->view, AT, 3 * PAGE_SIZE, 100, &debt, &done), OK);
	assert_int_equal(done, 3 * PAGE_SIZE);
	for (u32 n = 0; n < 4; n++) {
		assert_int_equal(look(b, AT + n * PAGE_SIZE).present, n == 3);
		assert_int_equal(frame_of(&b->s->frames, hfn_add(b->block, n))->stamp, n == 3 ? 0 : 42);
	}
	assert_int_equal(b->pt.tables, 4);
	assert_int_equal(debt.view_count, 1);
	assert_int_equal(debt.run_count, 0);
	assert_int_equal(pt_drop(&b->pt, &b->view, AT, BLOCK_SIZE, 100, &debt, &done), OK);
	assert_int_equal(b->pt.tables, 1);
	assert_int_equal(debt.run_count, 3);
	for (u32 i = 0; i < debt.run_count; i++) { /* still tables, until the debt is paid */
		assert_true(debt.runs[i].table);
		assert_int_equal(frame_of(&b->s->frames, debt.runs[i].first)->kind, FRAME_TABLE);
		assert_int_equal(frame_of(&b->s->frames, debt.runs[i].first)->stamp, 42);
	}
	settle(&debt);
	assert_int_equal(b->view.generation, 42);
	assert_int_equal(b->s->pool.used_frames, 1);
}

/* Tables that someone else links too outlive what they held, until the end. */
static void test_kept_tables(void **state)
{
	struct bench *b = *state;
	b->pt.keep = 3;
	assert_int_equal(pt_map(&b->pt, AT, b->block, 1, RWX), OK);
	drop_all(b, AT, PAGE_SIZE);
	assert_int_equal(b->pt.tables, 2);
	assert_int_equal(pt_find(&b->pt, AT, 1).level, 3);
	SETTLEMENT(debt, &b->s->settler);
	assert_int_equal(pt_destroy(&b->pt, &b->view, &debt), OK);
	settle(&debt);
	assert_int_equal(b->s->pool.used_frames, 0);
}

static void test_drop_in_slices(void **state)
{
	struct bench *b = *state;
	for (u32 n = 0; n < 40; n++) /* 40 tables of one leaf each */
		assert_int_equal(pt_map(&b->pt, AT + n * BLOCK_SIZE, hfn_add(b->block, n), 1, RWX), OK);
	u64 at = AT, end = AT + 50 * BLOCK_SIZE;
	u32 calls = 0;
	while (at < end) {
		u64 done;
		SETTLEMENT(debt, &b->s->settler);
		status st = pt_drop(&b->pt, &b->view, at, end - at, 3, &debt, &done);
		assert_true(st == (at + done == end ? OK : AGAIN));
		at += done;
		calls++;
		settle(&debt);
	}
	assert_in_range(calls, 10, 50);
	assert_int_equal(b->pt.tables, 1);
}

/* Nothing outside of the range goes, whatever the range is. */
static void test_drop_is_exact(void **state)
{
	struct bench *b = *state;
	for (u32 round = 0; round < 60; round++) {
		for (u32 i = 0; i < 3; i++)
			assert_int_equal(pt_map(&b->pt, AT + i * BLOCK_SIZE, b->block, 2, RWX), OK);
		u64 first = sim_random(b->s, 3 * BLOCK_FRAMES), count = 1 + sim_random(b->s, 3 * BLOCK_FRAMES - first);
		drop_all(b, AT + (first << PAGE_SHIFT), count << PAGE_SHIFT);
		for (u64 n = 0; n < 3 * BLOCK_FRAMES; n++)
			assert_int_equal(look(b, AT + (n << PAGE_SHIFT)).present, n < first || n >= first + count);
		drop_all(b, AT, 3 * BLOCK_SIZE);
		assert_int_equal(b->pt.tables, 1);
	}
}

static bool count_leaf(void *context, u64 address, u64 entry, u8 level)
{
	(void)entry, (void)level;
	u64 *last = context;
	assert_true(address > *last);
	*last = address;
	return true;
}

static void test_visit_high_addresses(void **state)
{
	struct bench *b = *state;
	u64 high = 0xffffff8000000000ull, last = high - 1;
	assert_int_equal(pt_map(&b->pt, high, b->block, 2, RWX), OK);
	assert_int_equal(pt_map(&b->pt, high + BLOCK_SIZE, b->block, 1, RWX), OK);
	assert_true(pt_visit(&b->pt, high, 4 * BLOCK_SIZE, count_leaf, &last));
	assert_int_equal(last, high + BLOCK_SIZE);
	drop_all(b, high, 2 * BLOCK_SIZE);
	assert_int_equal(b->pt.tables, 1);
}

static void test_destroy(void **state)
{
	struct bench *b = *state;
	for (u32 n = 0; n < 100; n++)
		assert_int_equal(pt_map(&b->pt, n * (AT / 3 & ~(BLOCK_SIZE - 1)) % (1ull << 46), b->block, 2, RWX), OK);
	u32 calls = 0;
	status st;
	do {
		SETTLEMENT(debt, &b->s->settler);
		st = pt_destroy(&b->pt, &b->view, &debt);
		calls++;
		settle(&debt);
	} while (st == AGAIN);
	assert_int_equal(st, OK);
	assert_true(calls > 1);
	assert_int_equal(b->s->pool.used_frames, 0);
}

/* ---- between any two instructions ---- */

struct watch {
	struct bench *b;
	u64 address; /* what must stay translated */
	u64 frame;
	bool write;  /* the other processor writes there all the time */
};

static bool other_processor(void *context, u64 n)
{
	(void)n;
	const struct watch *w = context;
	struct mmu_translation t = w->write ? mmu_access(&w->b->s->ram, frame_hpa(w->b->pt.root).v, w->address, true) :
					      look(w->b, w->address);
	if (!t.present || t.frame != w->frame)
		sim_fail("a translation that nobody took away is gone");
	return true;
}

static void split(void *argument)
{
	const struct watch *w = argument;
	struct pt_slot slot;
	CHECK(pt_reach(&w->b->pt, AT, 1, &slot) == OK);
}

/* Built, then published: at no instruction does the page beside the split lose its translation. */
static void test_split_beside_a_running_processor(void **state)
{
	struct bench *b = *state;
	struct watch w = { b, AT + 300 * PAGE_SIZE, b->block.v + 300, false };
	assert_int_equal(pt_map(&b->pt, AT, b->block, 2, RWX), OK);
	assert_true(step_through(split, &w, other_processor, &w) > 1000);
	assert_int_equal(look(b, AT).page_shift, PAGE_SHIFT);
}

static void merge_back(void *argument)
{
	const struct watch *w = argument;
	struct settlement debt = { .settler = &w->b->s->settler };
	CHECK(merge(w->b, &debt) == OK);
	settle(&debt);
}

static void test_merge_beside_a_running_processor(void **state)
{
	struct bench *b = *state;
	struct watch w = { b, AT + 300 * PAGE_SIZE, b->block.v + 300, false };
	map_pieces(b, RWX);
	assert_true(step_through(merge_back, &w, other_processor, &w) > 1000);
	assert_int_equal(look(b, AT).page_shift, BLOCK_SHIFT);
}

struct late_write {
	struct watch w;
	u64 when;
	bool written;
};

static bool write_once(void *context, u64 n)
{
	struct late_write *l = context;
	if (n < l->when)
		return true;
	mmu_access(&l->w.b->s->ram, frame_hpa(l->w.b->pt.root).v, l->w.address, true);
	l->written = true;
	return false;
}

/* A processor writes at some instruction of the split: its D is found afterwards, wherever it fell. */
static void test_no_dirty_bit_is_lost(void **state)
{
	struct bench *b = *state;
	struct late_write l = { { b, AT + 9 * PAGE_SIZE, 0, true }, 0, true };
	for (l.when = 0; l.written; l.when += 97 + l.when / 8) {
		l.written = false;
		assert_int_equal(pt_map(&b->pt, AT, b->block, 2, RWX), OK);
		step_through(split, &l.w, write_once, &l);
		struct mmu_translation t = look(b, l.w.address);
		assert_true(t.present);
		if (l.written)
			assert_int_equal(*t.entry & (fmt_npt.accessed | fmt_npt.dirty), fmt_npt.accessed | fmt_npt.dirty);
		drop_all(b, AT, BLOCK_SIZE);
	}
	assert_true(l.when > 2000);
}

struct other_settlement {
	struct bench *b;
	u64 when, flushed;
	bool cached, happened, too_late;
};

/* Another settlement of the same view raises the clock; a processor flushes to that, and caches what it then still finds. */
static bool settle_beside(void *context, u64 n)
{
	struct other_settlement *o = context;
	if (n < o->when)
		return true;
	o->flushed = ++o->b->s->settler.clock.now;
	o->cached = look(o->b, AT).present;
	o->too_late = !o->cached && frame_of(&o->b->s->frames, o->b->block)->stamp != 0;
	o->happened = true;
	return false;
}

static void drop_one(void *argument)
{
	const struct other_settlement *o = argument;
	struct bench *b = o->b;
	u64 done;
	struct settlement debt = { .settler = &b->s->settler };
	CHECK(pt_drop(&b->pt, &b->view, AT, PAGE_SIZE, 1, &debt, &done) == OK);
	settle(&debt);
}

/* The stamp is read after the entry has gone: no flush that lies before it can pass for one that lies behind it. */
static void test_stamp_after_exchange(void **state)
{
	struct bench *b = *state;
	struct other_settlement o = { .b = b };
	assert_int_equal(pt_map(&b->pt, AT + PAGE_SIZE, b->block, 1, RWX), OK); /* the tables stay */
	for (; !o.too_late; o.when += 9) {
		frame_of(&b->s->frames, b->block)->stamp = 0;
		o.happened = false;
		assert_int_equal(pt_map(&b->pt, AT, b->block, 1, RWX), OK);
		step_through(drop_one, &o, settle_beside, &o);
		assert_true(o.happened);
		assert_false(o.cached && o.flushed >= frame_of(&b->s->frames, b->block)->stamp);
	}
	assert_true(o.when > 100);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define TEST_HOST(f) cmocka_unit_test_setup_teardown(f, setup_host, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_rights_as_the_processor_reads_them),
		TEST_HOST(test_rights_as_the_processor_reads_them),
		TEST(test_map_twice),
		TEST(test_split_loses_nothing),
		TEST(test_split_without_memory_changes_nothing),
		TEST(test_merge),
		TEST(test_merge_of_what_does_not_fit),
		TEST(test_drop_stamps_and_unlinks),
		TEST(test_kept_tables),
		TEST(test_drop_in_slices),
		TEST(test_drop_is_exact),
		TEST_HOST(test_visit_high_addresses),
		TEST(test_destroy),
		TEST(test_split_beside_a_running_processor),
		TEST(test_merge_beside_a_running_processor),
		TEST(test_no_dirty_bit_is_lost),
		TEST(test_stamp_after_exchange),
	};
	alarm(60);
	return cmocka_run_group_tests_name("page tables", tests, NULL, NULL);
}
