/*
 * protect-race: one processor keeps writing to a page by the translation that it has; another takes away write access to it, as sharing and
 * logging do. Once that is settled the page must not change any more until the writer has faulted and been given the right again. (MV-49)
 */
#include "points.h"

enum { TIMES = 20 };
static volatile u64 *page;
static volatile bool enough;

static void keep_writing(void)
{
	while (!enough)
		(*page)++;
}

static bool goes_on(void)
{
	u64 before = *page;

	for (unsigned i = 0; i < POLLS; i++)
		if (*page != before)
			return true;
	return false;
}

GUEST(protect_race)
{
	u32 went_on = 0, answers[POINTS_REFUSED + 1] = { 0 };

	page = page_alloc();
	if (!points_are_there() || !start_others(1, other_main))
		return;
	meanwhile(keep_writing);
	for (unsigned i = 0; i < TIMES; i++) {
		went_on += goes_on();
		stop_at(HV_POINT_EXIT, 1);
		answers[points(POINTS_PROTECT, (word)page, 0)]++;
		points(POINTS_FORGET, 0, 0);
		points(POINTS_LET_GO, 0, 0);
	}
	check_equal("it writes before and after", went_on, TIMES);
	check_equal("nothing is written while the page is protected", answers[POINTS_CHANGED], 0);
	check_equal("  which was looked at", answers[POINTS_STABLE], TIMES);
	enough = true;
	check("the writer comes to an end", is_over());
}
