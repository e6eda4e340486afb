/*
 * The whole core on two to four processors at once (sim/crew.h), which do all that core is for (sim/work.h): random interleavings,
 * with many tags and few, a full host, allocations that fail; an adversary in every TLB.
 *
 * A run is a seed: `test_core_interleave NAME SEED` runs that one again, `test_core_interleave NAME 0 COUNT` so many of them.
 */
#include "core/bits.h"
#include "sim/crew.h"
#include "sim/work.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SEEDS 8u      /* of each kind */
#define ROUNDS 60u    /* of each seed */
#define STEPS 6u      /* of each processor in a round; then nothing is under way */
#define AUDIT_EACH 4u /* rounds */
#define PATIENCE 110u /* seconds, for all */
#define OFTEN 20u     /* else it was not tried */

struct kind {
	const char *name;
	u32 cpus, tags;
	bool flush_by_tag, small, fail;
	u64 frames;
};

static const struct kind kinds[] = {
	{ .name = "two", .cpus = 2, .tags = 16, .flush_by_tag = true },
	{ .name = "three", .cpus = 3, .tags = 16 },
	{ .name = "four", .cpus = 4, .tags = 16, .flush_by_tag = true },
	{ .name = "few-tags", .cpus = 4, .tags = 4 },
	{ .name = "small-leaves", .cpus = 4, .tags = 4, .flush_by_tag = true, .small = true },
	{ .name = "no-memory", .cpus = 4, .tags = 16, .flush_by_tag = true, .frames = 6 * BLOCK_FRAMES, .fail = true },
};

static void run_seed(const struct kind *k, u64 seed)
{
	struct sim_config c = { .seed = seed, .tags = k->tags, .flush_by_tag = k->flush_by_tag, .small = k->small, .frames = k->frames };
	struct sim *s = sim_new(&c);
	u64 home = s->alloc.free_frames;
	fprintf(stderr, "%s %lu\n", k->name, (unsigned long)seed);
	work_begin(s, k->cpus, k->fail);
	for (u32 i = 0; i < ROUNDS; i++) {
		work_round(s, STEPS);
		if (i % AUDIT_EACH == 0)
			sim_audit(s);
	}
	work_end(s);
	sim_audit(s);
	assert_int_equal(s->pool.used_frames, 0);
	assert_int_equal(s->alloc.free_frames + s->pool.blocks * BLOCK_FRAMES, home);
	assert_true(k->tags > 4 || s->wraps > OFTEN);
	sim_free(s);
}

static u64 only_seed, seed_count; /* from the command line; 0: SEEDS of them, from 1 on */

static void test_kind(void **state)
{
	const struct kind *k = *state;
	u64 first = only_seed ? only_seed : 1, count = only_seed ? 1 : seed_count ? seed_count : SEEDS;
	for (u64 seed = first; seed < first + count; seed++)
		run_seed(k, seed);
}

/* Points that nobody passes, or where nobody comes between, show nothing. */
static void test_all_was_tried(void **state)
{
	(void)state;
	for (u32 i = 0; i < POINTS; i++) {
		struct crew_count c = crew_counted((enum point)i);
		printf("%-18s passed %8lu, others between %8lu\n", crew_point_name((enum point)i), (unsigned long)c.passed,
		       (unsigned long)c.between);
		if (c.between < OFTEN)
			fail_msg("hardly ever anyone comes between at %s", crew_point_name((enum point)i));
	}
	const struct work_done *d = &work_done;
	printf("%lu rounds; VMs started %lu, ended %lu; migrations %lu, merges %lu, splits %lu, seals %lu, protections %lu, audits %lu\n",
	       d->rounds, d->starts, d->ends, d->migrations, d->merges, d->splits, d->seals, d->protects, d->audits);
	assert_true(d->ends > OFTEN && d->migrations > OFTEN && d->merges > OFTEN && d->splits > OFTEN);
	assert_true(d->seals > OFTEN && d->protects > OFTEN && d->audits > OFTEN);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[ARRAY_SIZE(kinds) + 1];
	u32 n = 0;
	for (u32 i = 0; i < ARRAY_SIZE(kinds); i++)
		if (argc < 2 || !strcmp(argv[1], kinds[i].name))
			tests[n++] = (struct CMUnitTest){ kinds[i].name, test_kind, NULL, NULL, (void *)(uintptr_t)&kinds[i] };
	if (n == 0) {
		fprintf(stderr, "no kind of run is named '%s'\n", argv[1]);
		return EXIT_FAILURE;
	}
	only_seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
	seed_count = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
	if (argc < 2)
		tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_all_was_tried);
	if (!seed_count)
		alarm(PATIENCE);
	return _cmocka_run_group_tests("core on several processors at once", tests, n, NULL, NULL);
}
