/*
 * The truth about host frames: the transition table, counts, and the allocator and pool on top of it.
 */
#include "core/pool.h"
#include "core/bits.h"
#include "sim/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BLOCKS 6u
#define FRAMES (BLOCKS * BLOCK_FRAMES)
#define VM 17

struct host {
	struct frame_table frames;
	u8 *ram;
	void *memory;
	struct mem_env env;
	struct alloc alloc;
	struct pool pool;
	u64 scrubbed;
	u32 largest_scrub;
	bool refuse;
};

static void scrub(void *context, hfn_t first, u32 count)
{
	struct host *h = context;
	memset(h->ram + frame_hpa(first).v, 0, count * PAGE_SIZE);
	h->scrubbed += count;
	h->largest_scrub = count > h->largest_scrub ? count : h->largest_scrub;
}

static bool pool_map(void *context, hfn_t first)
{
	(void)first;
	return !((struct host *)context)->refuse;
}

static int setup(void **state)
{
	struct host *h = calloc(1, sizeof(*h));
	h->frames = (struct frame_table){ calloc(FRAMES, sizeof(struct frame)), FRAMES };
	h->ram = aligned_alloc(PAGE_SIZE, FRAMES * PAGE_SIZE);
	memset(h->ram, 0xaa, FRAMES * PAGE_SIZE);
	for (u64 i = 0; i < FRAMES; i++)
		frame_become(&h->frames.at[i], FRAME_FREE, OWNER_NONE);
	h->memory = calloc(1, alloc_bytes(FRAMES));
	h->env = (struct mem_env){ .scrub = scrub, .pool_map = pool_map, .context = h };
	alloc_init(&h->alloc, h->frames, h->memory, &h->env);
	pool_init(&h->pool, &h->alloc, h->ram);
	*state = h;
	return 0;
}

/* After each test: the allocator's counts by kind are those of the frame table. */
static void expect_counted(const struct host *h)
{
	u64 kind[FRAME_KINDS] = { 0 };
	for (u64 i = 0; i < FRAMES; i++)
		kind[h->frames.at[i].kind == FRAME_TABLE ? FRAME_POOL : h->frames.at[i].kind]++;
	assert_memory_equal(kind, h->alloc.kind, sizeof kind);
}

static int teardown(void **state)
{
	struct host *h = *state;
	expect_counted(h);
	free(h->frames.at);
	free(h->ram);
	free(h->memory);
	free(h);
	return 0;
}

static bool is_zero(const struct host *h, hfn_t f, u64 frames)
{
	const u8 *at = h->ram + frame_hpa(f).v;
	return at[0] == 0 && !memcmp(at, at + 1, frames * PAGE_SIZE - 1);
}

static void test_transitions(void **state)
{
	(void)state;
	assert_true(frame_may_become(FRAME_FREE, FRAME_GUEST));
	assert_false(frame_may_become(FRAME_GUEST, FRAME_POOL));
	assert_false(frame_may_become(FRAME_GUEST, FRAME_GUEST));
	assert_false(frame_may_become(FRAME_TABLE, FRAME_FREE));
	assert_false(frame_may_become(FRAME_ABSENT, FRAME_GUEST));
	for (int k = 0; k < FRAME_KINDS; k++)
		assert_false(frame_may_become((enum frame_kind)k, FRAME_ABSENT));
	assert_false(frame_may_become(FRAME_KINDS, FRAME_FREE));
	struct frame f = { .kind = FRAME_GUEST, .owner = VM };
	assert_true(SIM_CHECKS(frame_become(&f, FRAME_POOL, OWNER_HYPERVISOR)));
	f.count = 1;
	assert_true(SIM_CHECKS(frame_become(&f, FRAME_FREE, OWNER_NONE)));
	f = (struct frame){ .kind = FRAME_FREE, .flags = FRAME_DIRTY };
	assert_true(SIM_CHECKS(frame_become(&f, FRAME_GUEST, VM)));
	assert_true(SIM_CHECKS(frame_become(&f, FRAME_POOL, OWNER_NONE)));
}

static void test_counts_do_not_wrap(void **state)
{
	(void)state;
	struct frame f = { .kind = FRAME_GUEST, .owner = VM, .count = UINT32_MAX };
	assert_int_equal(frames_ref(&f, 1), IN_USE);
	assert_int_equal(f.count, UINT32_MAX);
	f.count = 0;
	assert_true(SIM_CHECKS(frames_unref(&f, 1)));
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(status_name(NO_MEMORY), "no memory");
	assert_string_equal(status_name((status)99), "unknown status");
}

static void test_a_frame_is_scrubbed_once(void **state)
{
	struct host *h = *state;
	hfn_t f;
	assert_int_equal(alloc_frame(&h->alloc, FRAME_GUEST, VM, &f), OK);
	assert_true(is_zero(h, f, 1));
	assert_int_equal(h->scrubbed, 1);
	assert_int_equal(frame_of(&h->frames, f)->owner, VM);
	alloc_undo(&h->alloc, f, 1); /* nobody has seen it: it is still clean */
	assert_int_equal(alloc_frame(&h->alloc, FRAME_GUEST, VM, &f), OK);
	assert_int_equal(h->scrubbed, 1);
	h->ram[frame_hpa(f).v] = 1;
	alloc_give_back(&h->alloc, f, 1);
	assert_int_equal(h->alloc.clean_frames, 0);
	assert_int_equal(alloc_frame(&h->alloc, FRAME_GUEST, VM, &f), OK);
	assert_true(is_zero(h, f, 1));
	assert_int_equal(h->scrubbed, 2);
}

/* Free and in the bitmaps, whatever the frame table says: it does not come back a second time. */
static void test_none_comes_back_twice(void **state)
{
	struct host *h = *state;
	hfn_t f;
	assert_int_equal(alloc_frame(&h->alloc, FRAME_GUEST, VM, &f), OK);
	alloc_give_back(&h->alloc, f, 1);
	const struct alloc before = h->alloc;
	struct frame *forged = frame_of(&h->frames, f);
	assert_true(SIM_CHECKS(alloc_give_back(&h->alloc, f, 1)));
	h->alloc = before;
	*forged = (struct frame){ .kind = FRAME_GUEST, .owner = VM };
	assert_true(SIM_CHECKS(alloc_give_back(&h->alloc, f, 1)));
	h->alloc = before;
}

static void test_all_of_it_and_no_more(void **state)
{
	struct host *h = *state;
	hfn_t f;
	for (u64 i = 0; i < FRAMES; i++)
		assert_int_equal(alloc_frame(&h->alloc, FRAME_GUEST, VM, &f), OK);
	assert_int_equal(alloc_frame(&h->alloc, FRAME_GUEST, VM, &f), NO_MEMORY);
	assert_int_equal(h->alloc.free_frames, 0);
	for (u64 i = 0; i < FRAMES; i++) {
		assert_int_equal(h->frames.at[i].kind, FRAME_GUEST);
		alloc_give_back(&h->alloc, hfn(i), 1);
	}
	assert_int_equal(h->alloc.free_frames, FRAMES);
	struct alloc_preparing p = { .first = HFN_NONE };
	assert_int_equal(alloc_block_clean(&h->alloc, &p, FRAME_GUEST, VM, &f), AGAIN); /* whole blocks again */
	alloc_cancel(&h->alloc, &p);
	assert_int_equal(h->alloc.free_frames, FRAMES);
}

static void test_block_in_slices(void **state)
{
	struct host *h = *state;
	struct alloc_preparing p = { .first = HFN_NONE };
	hfn_t f = HFN_NONE;
	u32 calls = 0;
	while (alloc_block_clean(&h->alloc, &p, FRAME_GUEST, VM, &f) == AGAIN)
		calls++;
	assert_int_equal(calls + 1, BLOCK_FRAMES / SCRUB_SLICE_FRAMES);
	assert_int_equal(h->largest_scrub, SCRUB_SLICE_FRAMES);
	assert_int_equal(f.v % BLOCK_FRAMES, 0);
	assert_true(is_zero(h, f, BLOCK_FRAMES));
	assert_true(hfn_is_none(p.first));
}

/* Cancelled half-way: what has been cleaned stays clean, and is not cleaned again. */
static void test_cancel_keeps_the_work(void **state)
{
	struct host *h = *state;
	struct alloc_preparing p = { .first = HFN_NONE };
	hfn_t f;
	assert_int_equal(alloc_block_clean(&h->alloc, &p, FRAME_GUEST, VM, &f), AGAIN);
	assert_int_equal(h->alloc.free_frames, FRAMES - BLOCK_FRAMES);
	alloc_cancel(&h->alloc, &p);
	assert_int_equal(h->alloc.free_frames, FRAMES);
	assert_int_equal(h->alloc.clean_frames, SCRUB_SLICE_FRAMES);
	while (alloc_block_clean(&h->alloc, &p, FRAME_GUEST, VM, &f) == AGAIN)
		continue;
	assert_int_equal(h->scrubbed, BLOCK_FRAMES);
}

static void test_idle_scrubs_everything(void **state)
{
	struct host *h = *state;
	struct alloc_preparing p = { .first = HFN_NONE };
	u64 slices = 0;
	hfn_t f;
	while (alloc_scrub_slice(&h->alloc))
		slices++;
	assert_int_equal(slices, FRAMES / SCRUB_SLICE_FRAMES);
	assert_int_equal(h->alloc.clean_frames, FRAMES);
	assert_int_equal(alloc_block_clean(&h->alloc, &p, FRAME_GUEST, VM, &f), OK);
	assert_int_equal(h->scrubbed, FRAMES);
	/* Single frames leave whole clean blocks alone as long as they can. */
	hfn_t g;
	assert_int_equal(alloc_frame(&h->alloc, FRAME_GUEST, VM, &f), OK);
	assert_int_equal(alloc_frame(&h->alloc, FRAME_GUEST, VM, &g), OK);
	assert_int_equal(f.v / BLOCK_FRAMES, g.v / BLOCK_FRAMES);
}

static void test_failure_by_count(void **state)
{
	struct host *h = *state;
	hfn_t f;
	h->alloc.fail_after = 1;
	assert_int_equal(alloc_frame(&h->alloc, FRAME_GUEST, VM, &f), OK);
	assert_int_equal(alloc_frame(&h->alloc, FRAME_GUEST, VM, &f), NO_MEMORY);
	assert_int_equal(alloc_frame(&h->alloc, FRAME_GUEST, VM, &f), OK);
}

static void test_pool_zeroes_and_takes_back(void **state)
{
	struct host *h = *state;
	hfn_t f, g;
	assert_int_equal(pool_take(&h->pool, FRAME_TABLE, VM, &f), OK);
	assert_true(is_zero(h, f, 1));
	memset(pool_at(&h->pool, frame_hpa(f)), 0x55, PAGE_SIZE);
	assert_int_equal(pool_hpa(&h->pool, pool_at(&h->pool, frame_hpa(f))).v, frame_hpa(f).v);
	pool_give(&h->pool, f);
	assert_int_equal(pool_take(&h->pool, FRAME_POOL, OWNER_HYPERVISOR, &g), OK);
	assert_int_equal(f.v, g.v);
	assert_true(is_zero(h, g, 1));
	pool_give(&h->pool, g);
	assert_true(SIM_CHECKS(pool_give(&h->pool, g)));
}

static void test_pool_cannot_grow(void **state)
{
	struct host *h = *state;
	hfn_t f;
	h->refuse = true;
	assert_int_equal(pool_take(&h->pool, FRAME_TABLE, VM, &f), NO_MEMORY);
	assert_int_equal(h->alloc.free_frames, FRAMES);
	assert_int_equal(h->alloc.clean_frames, 0);
	h->refuse = false;
	for (u32 i = 0; i < FRAMES; i++)
		assert_int_equal(pool_take(&h->pool, FRAME_TABLE, VM, &f), OK);
	assert_int_equal(pool_take(&h->pool, FRAME_TABLE, VM, &f), NO_MEMORY);
}

/* A block that holds nothing leaves, but for the first; others stay what they are. */
static void test_pool_shrinks(void **state)
{
	struct host *h = *state;
	static hfn_t f[3 * BLOCK_FRAMES];
	hfn_t left;
	bool used;
	for (u32 i = 0; i < ARRAY_SIZE(f); i++)
		assert_int_equal(pool_take(&h->pool, FRAME_TABLE, VM, &f[i]), OK);
	assert_false(pool_leave(&h->pool, &left));
	for (u32 i = 0; i < BLOCK_FRAMES; i++)
		pool_give(&h->pool, f[BLOCK_FRAMES + i]);
	assert_true(pool_leave(&h->pool, &left));
	assert_int_equal(left.v, align_down(f[BLOCK_FRAMES].v, BLOCK_FRAMES));
	assert_false(pool_holds(&h->pool, left, &used));
	assert_true(pool_holds(&h->pool, f[2 * BLOCK_FRAMES], &used) && used);
	assert_int_equal(frame_of(&h->frames, left)->kind, FRAME_POOL);
	alloc_give_back(&h->alloc, left, BLOCK_FRAMES);
	assert_int_equal(h->alloc.free_frames, FRAMES - 2 * BLOCK_FRAMES);
	for (u32 i = 0; i < BLOCK_FRAMES; i++)
		pool_give(&h->pool, f[i]); /* the first: it stays */
	assert_false(pool_leave(&h->pool, &left));
	for (u32 i = 0; i < BLOCK_FRAMES; i++)
		pool_give(&h->pool, f[2 * BLOCK_FRAMES + i]);
	assert_true(pool_leave(&h->pool, &left));
	assert_false(pool_leave(&h->pool, &left));
	for (u32 i = 0; i < 2 * BLOCK_FRAMES; i++)
		assert_int_equal(pool_take(&h->pool, FRAME_TABLE, VM, &f[i]), OK);
	assert_int_equal(h->pool.blocks, 2);
	alloc_give_back(&h->alloc, left, BLOCK_FRAMES);
}

/* Who found no memory waits for this count, which what he himself took and gave back must not change (settling does: test_core_settle). */
static void test_what_came_is_counted(void **state)
{
	struct host *h = *state;
	struct alloc_preparing p = { .first = HFN_NONE };
	hfn_t f;
	assert_int_equal(pool_take(&h->pool, FRAME_TABLE, VM, &f), OK);
	pool_give(&h->pool, f);
	assert_int_equal(alloc_frame(&h->alloc, FRAME_GUEST, VM, &f), OK);
	alloc_undo(&h->alloc, f, 1);
	assert_int_equal(alloc_block_clean(&h->alloc, &p, FRAME_GUEST, VM, &f), AGAIN);
	assert_int_equal(h->alloc.came, 0);
	alloc_cancel(&h->alloc, &p);
	assert_int_equal(h->alloc.came, 1);
	assert_true(alloc_scrub_slice(&h->alloc));
	assert_int_equal(h->alloc.came, 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transitions),
		cmocka_unit_test(test_counts_do_not_wrap),
		cmocka_unit_test(test_names),
		TEST(test_a_frame_is_scrubbed_once),
		TEST(test_none_comes_back_twice),
		TEST(test_all_of_it_and_no_more),
		TEST(test_block_in_slices),
		TEST(test_cancel_keeps_the_work),
		TEST(test_idle_scrubs_everything),
		TEST(test_failure_by_count),
		TEST(test_pool_zeroes_and_takes_back),
		TEST(test_pool_cannot_grow),
		TEST(test_pool_shrinks),
		TEST(test_what_came_is_counted),
	};
	return cmocka_run_group_tests_name("frames, allocator, pool", tests, NULL, NULL);
}
