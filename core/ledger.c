/*
 * ledger: sums over the frame table, compared with what everyone believes to have.
 */
#include "core/ledger.h"
#include "core/bits.h"

void ledger_add(struct ledger *l, const struct frame_table *frames, hfn_t first, u64 count)
{
	for (u64 i = first.v; i < first.v + count; i++)
		l->kind[frame_of(frames, hfn(i))->kind]++;
}

const char *ledger_against_alloc(const struct ledger *l, const struct alloc *a)
{
	if (l->kind[FRAME_FREE] != a->free_frames)
		return "free frames differ from the allocator's sum";
	if (a->clean_frames > a->free_frames)
		return "more frames are clean than free";
	return NULL;
}

const char *ledger_against_pool(const struct ledger *l, const struct pool *p)
{
	if (l->kind[FRAME_POOL] + l->kind[FRAME_TABLE] != (u64)p->blocks * BLOCK_FRAMES)
		return "pool and table frames differ from the pool's blocks";
	if (l->kind[FRAME_TABLE] > p->used_frames)
		return "more tables than the pool has handed out";
	return NULL;
}
