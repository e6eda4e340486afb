/*
 * pool: frames of the hypervisor, by bitmap within each 2 MiB block. A block that holds nothing can leave; the first stays.
 *
 * The lock is held while a block joins, so env->pool_map must not take from the pool.
 */
#include "core/pool.h"
#include "core/bits.h"

void pool_init(struct pool *p, struct alloc *a, void *base)
{
	*p = (struct pool){ .alloc = a, .base = base };
}

static status grow(struct pool *p)
{
	struct alloc *a = p->alloc;
	hfn_t first;
	if (p->blocks == POOL_MAX_BLOCKS)
		return NO_MEMORY;
	status st = alloc_block_dirty(a, FRAME_POOL, OWNER_HYPERVISOR, &first);
	if (st != OK)
		return st;
	if (!a->env->pool_map(a->env->context, first)) {
		alloc_undo(a, first, BLOCK_FRAMES);
		return NO_MEMORY;
	}
	p->block[p->blocks++].first = first; /* the rest of it is zeros */
	return OK;
}

/* The lock is held. The block with room that joined first, so that used frames stay together. */
static status take_bit(struct pool *p, hfn_t *out)
{
	u32 n = 0;
	while (n < p->blocks && p->block[n].used == BLOCK_FRAMES)
		n++;
	if (n == p->blocks) {
		status st = grow(p);
		if (st != OK)
			return st;
	}
	u32 word = 0;
	while (p->block[n].map[word] == ~0ull)
		word++;
	u32 i = word * WORD_BITS + (u32)__builtin_ctzll(~p->block[n].map[word]);
	map_flip(p->block[n].map, i);
	p->block[n].used++;
	p->used_frames++;
	p->changes++;
	*out = hfn_add(p->block[n].first, i);
	return OK;
}

status pool_take(struct pool *p, enum frame_kind kind, owner_t owner, hfn_t *out)
{
	CHECK(kind == FRAME_POOL || kind == FRAME_TABLE);
	lock_take(&p->lock);
	status st = alloc_fails_now(p->alloc) ? NO_MEMORY : take_bit(p, out);
	if (st == OK) {
		frame_become(frame_of(&p->alloc->frames, *out), kind, owner);
		__builtin_memset(pool_at(p, frame_hpa(*out)), 0, PAGE_SIZE);
	}
	lock_give(&p->lock);
	return st;
}

/* The block that holds the frame; p->blocks: none does. */
static u32 block_of(const struct pool *p, hfn_t f)
{
	u32 n = 0;
	while (n < p->blocks && f.v - p->block[n].first.v >= BLOCK_FRAMES)
		n++;
	return n;
}

void pool_give(struct pool *p, hfn_t f)
{
	lock_take(&p->lock);
	u32 n = block_of(p, f), i = (u32)(f.v % BLOCK_FRAMES);
	CHECK(n < p->blocks && map_has(p->block[n].map, i));
	map_flip(p->block[n].map, i);
	p->block[n].used--;
	p->used_frames--;
	p->changes++;
	frame_become(frame_of(&p->alloc->frames, f), FRAME_POOL, OWNER_HYPERVISOR);
	lock_give(&p->lock);
}

bool pool_leave(struct pool *p, hfn_t *out)
{
	lock_take(&p->lock);
	u32 n = p->blocks - 1;
	while (n && p->block[n].used)
		n--;
	if (n) {
		*out = p->block[n].first;
		p->block[n] = p->block[--p->blocks];
		__builtin_memset(&p->block[p->blocks], 0, sizeof(p->block[0]));
		p->changes++;
	}
	lock_give(&p->lock);
	return n;
}

bool pool_holds(const struct pool *p, hfn_t f, bool *used)
{
	u32 n = block_of(p, f);
	*used = n < p->blocks && map_has(p->block[n].map, (u32)(f.v % BLOCK_FRAMES));
	return n < p->blocks;
}
