/*
 * kept: what each page of a block was translated to, for each processor that is about to change the block's tables.
 */
#include "sim/kept.h"

static struct kept {
	const struct ptview *view;
	u64 first;
	u64 frame[BLOCK_FRAMES];
	bool present[BLOCK_FRAMES], write[BLOCK_FRAMES];
} kept[SIM_CPUS];

static struct mmu_translation translation(const struct sim *s, const struct ptview *v, u64 gfn)
{
	return mmu_walk_from(&s->ram, frame_hpa(v->table.root).v, 4, v->base + (gfn << PAGE_SHIFT));
}

void kept_begin(struct sim *s, const struct ptview *v, u64 first)
{
	struct kept *k = &kept[s->current];
	for (u32 i = 0; i < BLOCK_FRAMES; i++) {
		struct mmu_translation t = translation(s, v, first + i);
		k->present[i] = t.present;
		k->frame[i] = t.frame;
		k->write[i] = t.write;
	}
	k->first = first;
	k->view = v;
}

static void compare_kept(const struct sim *s, const struct kept *k, u32 i)
{
	struct mmu_translation t = translation(s, k->view, k->first + i);
	if (t.present != k->present[i] || (t.present && (t.frame != k->frame[i] || t.write != k->write[i])))
		sim_fail("a split or merge of the %s view changes guest frame %lu", k->view->view.name, (unsigned long)k->first + i);
}

void kept_end(struct sim *s)
{
	struct kept *k = &kept[s->current];
	for (u32 i = 0; i < BLOCK_FRAMES; i++)
		compare_kept(s, k, i);
	k->view = NULL;
}

void kept_look(struct sim *s)
{
	for (unsigned cpu = 0; cpu < SIM_CPUS; cpu++) {
		if (!kept[cpu].view)
			continue;
		compare_kept(s, &kept[cpu], 0);
		compare_kept(s, &kept[cpu], BLOCK_FRAMES - 1);
		compare_kept(s, &kept[cpu], (u32)sim_random(s, BLOCK_FRAMES));
	}
}
