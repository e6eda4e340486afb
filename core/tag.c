/*
 * tag: carries out what tag_decide (the table in tag.h) says.
 */
#include "core/tag.h"
#include "core/point.h"

#define TAG_FIRST 1u /* 0 is the host's */

void tagger_init(struct tagger *g, u32 limit, bool flush_by_tag)
{
	CHECK(limit > TAG_FIRST);
	*g = (struct tagger){ .next = TAG_FIRST, .limit = limit, .generation = 1, .flush_by_tag = flush_by_tag };
}

enum tag_action tag_take(struct tagger *g, struct tag *t, u32 cpu, u64 view_generation)
{
	enum tag_action action = tag_decide(g, t, cpu, view_generation);
	if (action == TAG_NEW) {
		if (g->next == g->limit) {
			g->generation++;
			g->next = TAG_FIRST;
			action = TAG_WRAP;
			at_point(POINT_TAG_WRAP);
		}
		t->cpu = cpu;
		t->generation = g->generation;
		t->number = g->next++;
	}
	if (action != TAG_KEEP)
		t->flushed = view_generation;
	return action;
}
