/*
 * Tags: the table of tag.h row by row; then, over random entries, that no tag is ever in two hands without a flush between.
 */
#include "core/bits.h"
#include "core/tag.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_the_table(void **state)
{
	(void)state;
	static const struct {
		bool same_cpu, same_generation, flushed, by_tag;
		enum tag_action action;
	} row[] = {
		{ false, true, true, true, TAG_NEW },   { false, true, true, false, TAG_NEW },
		{ false, false, false, true, TAG_NEW }, { true, false, true, true, TAG_NEW },
		{ true, false, true, false, TAG_NEW },  { true, true, true, true, TAG_KEEP },
		{ true, true, true, false, TAG_KEEP },  { true, true, false, true, TAG_FLUSH },
		{ true, true, false, false, TAG_NEW },
	};
	for (u32 i = 0; i < ARRAY_SIZE(row); i++) {
		struct tagger g;
		tagger_init(&g, 16, row[i].by_tag);
		g.generation = 5;
		struct tag t = { .cpu = row[i].same_cpu ? 2 : 3, .number = 7, .generation = row[i].same_generation ? 5 : 4,
				 .flushed = row[i].flushed ? 100 : 99 };
		assert_int_equal(tag_decide(&g, &t, 2, 100), row[i].action);
	}
}

static void test_a_zeroed_tag_is_not_live(void **state)
{
	(void)state;
	struct tagger g;
	struct tag t = { .number = 0 };
	tagger_init(&g, 4, true);
	assert_int_equal(tag_take(&g, &t, 0, 0), TAG_NEW);
	assert_int_equal(t.number, 1);
	assert_int_equal(tag_take(&g, &t, 0, 0), TAG_KEEP);
	assert_int_equal(tag_take(&g, &t, 0, 3), TAG_FLUSH);
	assert_int_equal(t.flushed, 3);
	assert_int_equal(tag_take(&g, &t, 0, 3), TAG_KEEP);
}

#define CPUS 3u
#define VCPUS 40u

struct cached { /* what a processor's TLB may hold under one tag */
	int vcpu; /* -1: nothing */
	u64 generation; /* of the view, when it was flushed last */
};

static void run(u32 limit, bool by_tag, u64 seed)
{
	struct tagger g[CPUS];
	struct tag tags[VCPUS] = { 0 };
	struct cached tlb[CPUS][64];
	u64 view = 1, wraps = 0;
	memset(tlb, 0xff, sizeof(tlb)); /* -1 everywhere */
	for (u32 i = 0; i < CPUS; i++)
		tagger_init(&g[i], limit, by_tag);
	for (u32 i = 0; i < 20000; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		u32 v = (u32)(seed >> 33) % VCPUS, cpu = (u32)(seed >> 43) % CPUS;
		if ((seed >> 55) % 8 == 0)
			view++;
		enum tag_action action = tag_take(&g[cpu], &tags[v], cpu, view);
		assert_in_range(tags[v].number, 1, limit - 1);
		struct cached *c = &tlb[cpu][tags[v].number];
		if (action == TAG_WRAP) {
			memset(tlb[cpu], 0xff, sizeof(tlb[cpu]));
			wraps++;
		}
		if (action == TAG_FLUSH)
			c->vcpu = -1;
		if (c->vcpu != -1) { /* then it must be ours, from this processor, and as new as the view */
			assert_int_equal(c->vcpu, v);
			assert_int_equal(c->generation, view);
		}
		*c = (struct cached){ (int)v, view };
	}
	assert_true(wraps > 10);
}

static void test_no_tag_in_two_hands(void **state)
{
	(void)state;
	for (u64 seed = 1; seed < 6; seed++) {
		run(2, seed & 1, seed);
		run(16, seed & 1, seed + 10);
		run(64, seed & 1, seed + 20);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_table),
		cmocka_unit_test(test_a_zeroed_tag_is_not_live),
		cmocka_unit_test(test_no_tag_in_two_hands),
	};
	return cmocka_run_group_tests_name("tags", tests, NULL, NULL);
}
