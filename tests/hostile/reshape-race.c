/*
 * reshape-race: a processor reads and writes all over 2 MiB while another splits, merges and punctures the nested tables under it, and stops
 * in between at each point: it must neither fault, nor wait, nor find anything but what it has written. (MV-40)
 *
 * What ring 0 does of its own accord only, the test build does on order (tests/points).
 */
#include "points.h"

enum { PAGES = 512, WORDS = PAGE_SIZE / sizeof(u64), TIMES = 4, HOLES = 5, TABLE_PAGES = 256 };
#define WHOLE ((volatile u64 *)(64 * MIB))
#define HOLED ((volatile u64 *)(66 * MIB))
#define KEY 0x6b65795f72616365ull

static volatile bool enough;
static volatile u32 passes, wrong, let_go;

static u64 expected(const volatile u64 *block, unsigned page, u64 round)
{
	return KEY ^ (word)block ^ (u64)page << 32 ^ round;
}

static void pass_over(volatile u64 *block, unsigned first, u64 round)
{
	for (unsigned page = first; page < PAGES; page++) {
		volatile u64 *at = block + page * WORDS;
		if (round && *at != expected(block, page, round - 1))
			wrong++;
		*at = expected(block, page, round);
	}
}

/* Goes over both blocks again and again. Finds the other one stopped: once more, then that one goes on. */
static void hammer(void)
{
	bool stopped = false;

	for (u64 round = 0; !enough; round++) {
		pass_over(WHOLE, 0, round);
		pass_over(HOLED, TABLE_PAGES, round);
		passes++;
		if (stopped)
			let_go += points(POINTS_LET_GO, 0, 0) == POINTS_STOPPED;
		stopped = points(POINTS_STATE, 0, 0) == POINTS_STOPPED;
	}
}

static bool one(unsigned point, enum points_command what, const volatile void *at)
{
	stop_at(point, 0);
	u64 answer = points(what, (word)at, 0);

	return points(POINTS_STATE, 0, 0) == POINTS_WENT_ON && answer == 0;
}

static void reshape(void)
{
	static const struct { unsigned point; enum points_command what; const char *name; } steps[] = {
		{ POINT_SPLIT_BUILT, POINTS_SPLIT, "split, before its table is linked" },
		{ POINT_MERGE_JUDGED, POINTS_MERGE, "merged, before the large leaf stands" },
		{ POINT_SPLIT_LINKED, POINTS_SPLIT, "split, its table just linked" },
		{ POINT_MERGE_EXCHANGED, POINTS_MERGE, "merged, the large leaf just there" },
	};
	u32 good[4] = { 0 };

	for (unsigned i = 0; i < TIMES; i++)
		for (unsigned s = 0; s < 4; s++)
			good[s] += one(steps[s].point, steps[s].what, WHOLE);
	for (unsigned s = 0; s < 4; s++)
		check_equal(steps[s].name, good[s], TIMES);
}

/* The first one cuts the large leaves. */
static void punch(void)
{
	static const unsigned at[HOLES] = { POINT_SPLIT_LINKED, POINT_DROP_TAKEN, POINT_RELEASED, POINT_SETTLE_RAISED, POINT_SETTLE_FREE };
	u32 good = 0, empty = 0;

	for (unsigned i = 0; i < HOLES; i++)
		HOLED[i * WORDS] = KEY;
	for (unsigned i = 0; i < HOLES; i++) {
		good += one(at[i], POINTS_PUNCH, HOLED + i * WORDS);
		empty += HOLED[i * WORDS] == 0;
	}
	check_equal("holes are punched", good, HOLES);
	check_equal("  and are empty", empty, HOLES);
}

GUEST(reshape_race)
{
	if (!points_are_there() || !start_others(1, other_main))
		return;
	meanwhile(hammer);
	while (passes < 2)
		relax();
	reshape();
	punch();
	points(POINTS_FORGET, 0, 0);
	check("the other processor was there at each step", let_go == 4 * TIMES + HOLES);
	enough = true;
	check("  comes to an end", is_over());
	check_equal("  and has found what it wrote, always", wrong, 0);
}
