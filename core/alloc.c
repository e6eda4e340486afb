/*
 * alloc: each 2 MiB block has two bitmaps, free and clean (clean is part of free), and stands in one of six lists by how
 * full both are. A search is the head of a list; a change re-files one block.
 *
 * 1. Whoever scrubs holds the frames as FRAME_SCRUBBING, outside the bitmaps, and no lock.
 * 2. FRAME_DIRTY of a free frame is the complement of its clean bit; only scrub_frames clears it.
 * 3. The lock is a leaf: nothing is called under it.
 * 4. kind[] counts the frame table, and both change under the lock: their sum is always the whole table.
 */
#include "core/alloc.h"
#include "core/bits.h"

#define NO_BLOCK UINT32_MAX
#define BLOCK_WORDS (BLOCK_FRAMES / WORD_BITS)

struct alloc_block {
	u64 free[BLOCK_WORDS], clean[BLOCK_WORDS];
	u32 next, prev;
	u16 free_count, clean_count;
	u32 list; /* enum alloc_list */
};

static u64 blocks_of(u64 limit) { return (limit + BLOCK_FRAMES - 1) / BLOCK_FRAMES; }

u64 alloc_bytes(u64 limit)
{
	return blocks_of(limit) * sizeof(struct alloc_block);
}

static struct alloc_block *block_of(const struct alloc *a, hfn_t f)
{
	CHECK(f.v / BLOCK_FRAMES < a->block_count);
	return &a->blocks[f.v / BLOCK_FRAMES];
}

static hfn_t block_first(const struct alloc *a, const struct alloc_block *b)
{
	return hfn((u64)(b - a->blocks) * BLOCK_FRAMES);
}

static enum alloc_list list_for(const struct alloc_block *b)
{
	if (b->free_count == 0)
		return ALLOC_NO_LIST;
	u32 how_clean = b->clean_count == b->free_count ? 0 : b->clean_count ? 1 : 2;
	return (b->free_count == BLOCK_FRAMES ? WHOLE_CLEAN : PARTIAL_CLEAN) + how_clean;
}

static void list_out(struct alloc *a, struct alloc_block *b)
{
	if (b->list == ALLOC_NO_LIST)
		return;
	if (b->prev == NO_BLOCK)
		a->list[b->list] = b->next;
	else
		a->blocks[b->prev].next = b->next;
	if (b->next != NO_BLOCK)
		a->blocks[b->next].prev = b->prev;
	b->list = ALLOC_NO_LIST;
}

static void refile(struct alloc *a, struct alloc_block *b)
{
	enum alloc_list to = list_for(b);
	if (b->list == to)
		return;
	list_out(a, b);
	if (to == ALLOC_NO_LIST)
		return;
	u32 self = (u32)(b - a->blocks);
	b->prev = NO_BLOCK;
	b->next = a->list[to];
	if (b->next != NO_BLOCK)
		a->blocks[b->next].prev = self;
	a->list[to] = self;
	b->list = to;
}

static u32 index_of(hfn_t f) { return (u32)(f.v % BLOCK_FRAMES); }

static void count_as(struct alloc *a, enum frame_kind from, enum frame_kind to, u32 n)
{
	a->kind[from] -= n;
	a->kind[to] += n;
	a->changes++;
}

/* The first and all others of `n` in a row. */
static struct frame *run_of(const struct alloc *a, hfn_t first, u32 n)
{
	CHECK(first.v + n <= a->frames.limit);
	return &a->frames.at[first.v];
}

/* Frames of one block into the bitmaps, clean or dirty as their flags say. The caller re-files the block. */
static void put_run(struct alloc *a, struct alloc_block *b, hfn_t first, u32 n)
{
	const struct frame *f = run_of(a, first, n);
	u32 at = index_of(first), clean = 0;
	for (u32 i = 0, span; i < n; i += span) {
		u32 bit = (at + i) % WORD_BITS;
		span = (u32)min_u64(n - i, WORD_BITS - bit);
		u64 *word = &b->free[(at + i) / WORD_BITS], mask = ~0ull >> (WORD_BITS - span) << bit;
		CHECK(!(*word & mask));
		*word |= mask;
	}
	for (u32 i = 0; i < n; i++)
		if (!(f[i].flags & FRAME_DIRTY)) {
			map_flip(b->clean, at + i);
			clean++;
		}
	b->free_count = (u16)(b->free_count + n);
	b->clean_count = (u16)(b->clean_count + clean);
	a->free_frames += n;
	a->clean_frames += clean;
	a->changes++;
}

static void pull_frame(struct alloc *a, struct alloc_block *b, hfn_t f)
{
	CHECK(map_has(b->free, index_of(f)));
	map_flip(b->free, index_of(f));
	b->free_count--;
	a->free_frames--;
	a->changes++;
	if (map_has(b->clean, index_of(f))) {
		map_flip(b->clean, index_of(f));
		b->clean_count--;
		a->clean_frames--;
	}
}

/* All 512 at once. */
static void pull_block(struct alloc *a, struct alloc_block *b)
{
	CHECK(b->free_count == BLOCK_FRAMES);
	a->free_frames -= BLOCK_FRAMES;
	a->clean_frames -= b->clean_count;
	a->changes++;
	__builtin_memset(b->free, 0, sizeof(b->free));
	__builtin_memset(b->clean, 0, sizeof(b->clean));
	b->free_count = b->clean_count = 0;
	refile(a, b);
}

void alloc_init(struct alloc *a, struct frame_table frames, void *memory, const struct mem_env *env)
{
	*a = (struct alloc){ .frames = frames, .blocks = memory, .block_count = blocks_of(frames.limit), .env = env,
			     .fail_after = -1 };
	for (u32 l = 0; l < ALLOC_LISTS; l++)
		a->list[l] = NO_BLOCK;
	for (u64 n = a->block_count; n-- > 0;) {
		struct alloc_block *b = &a->blocks[n];
		b->list = ALLOC_NO_LIST;
		u64 first = n * BLOCK_FRAMES, end = min_u64(first + BLOCK_FRAMES, frames.limit);
		for (u64 i = first; i < end; i++) {
			a->kind[frames.at[i].kind]++;
			if (frames.at[i].kind != FRAME_FREE)
				continue;
			frames.at[i].flags |= FRAME_DIRTY;
			put_run(a, b, hfn(i), 1);
		}
		refile(a, b);
	}
}

bool alloc_fails_now(struct alloc *a)
{
	return __builtin_expect(a->fail_after >= 0, 0) && a->fail_after-- == 0;
}

static struct alloc_block *first_of(const struct alloc *a, const u8 *order, u32 n)
{
	for (u32 i = 0; i < n; i++)
		if (a->list[order[i]] != NO_BLOCK)
			return &a->blocks[a->list[order[i]]];
	return NULL;
}

static hfn_t first_bit(const struct alloc *a, const struct alloc_block *b, const u64 *yes, const u64 *no)
{
	for (u32 w = 0;; w++) {
		CHECK(w < BLOCK_WORDS); /* else the block is in the wrong list */
		u64 bits = no ? yes[w] & ~no[w] : yes[w];
		if (bits)
			return hfn_add(block_first(a, b), w * WORD_BITS + (u32)__builtin_ctzll(bits));
	}
}

/* Frames in hand (SCRUBBING, in no map) become clean. */
static void scrub_frames(struct alloc *a, hfn_t first, u32 count)
{
	a->env->scrub(a->env->context, first, count);
	for (u32 i = 0; i < count; i++)
		frame_of(&a->frames, hfn_add(first, i))->flags &= (u8)~FRAME_DIRTY;
}

/* Searches, best first. Whole clean blocks are broken last, and nothing is scrubbed while there are any. */
static const u8 frame_order[] = { PARTIAL_CLEAN, PARTIAL_MIXED, WHOLE_MIXED, WHOLE_CLEAN, PARTIAL_DIRTY, WHOLE_DIRTY };
static const u8 block_for_vm[] = { WHOLE_CLEAN, WHOLE_MIXED, WHOLE_DIRTY };
static const u8 block_for_pool[] = { WHOLE_DIRTY, WHOLE_MIXED, WHOLE_CLEAN };
static const u8 idle_order[] = { WHOLE_MIXED, WHOLE_DIRTY, PARTIAL_MIXED, PARTIAL_DIRTY };
#define FIRST_OF(a, order) first_of(a, order, ARRAY_SIZE(order))

/* Frames in hand have been scrubbed for this taker. */
static void hand_over(struct alloc *a, hfn_t first, u32 count, enum frame_kind kind, owner_t owner)
{
	lock_take(&a->lock);
	frames_become(frame_of(&a->frames, first), count, kind, owner);
	count_as(a, FRAME_SCRUBBING, kind, count);
	lock_give(&a->lock);
}

status alloc_frame(struct alloc *a, enum frame_kind kind, owner_t owner, hfn_t *out)
{
	bool clean = false;
	lock_take(&a->lock);
	struct alloc_block *b = alloc_fails_now(a) ? NULL : FIRST_OF(a, frame_order);
	if (b) {
		clean = b->clean_count != 0;
		*out = first_bit(a, b, clean ? b->clean : b->free, NULL);
		pull_frame(a, b, *out);
		refile(a, b);
		frame_become(frame_of(&a->frames, *out), clean ? kind : FRAME_SCRUBBING, clean ? owner : OWNER_HYPERVISOR);
		count_as(a, FRAME_FREE, clean ? kind : FRAME_SCRUBBING, 1);
	}
	lock_give(&a->lock);
	if (!b)
		return NO_MEMORY;
	if (!clean) {
		scrub_frames(a, *out, 1);
		hand_over(a, *out, 1, kind, owner);
	}
	return OK;
}

/* The first whole block in that order leaves the allocator and becomes `kind`. */
static status take_block(struct alloc *a, const u8 *order, u32 n, enum frame_kind kind, owner_t owner, hfn_t *out)
{
	lock_take(&a->lock);
	struct alloc_block *b = alloc_fails_now(a) ? NULL : first_of(a, order, n);
	if (b) {
		pull_block(a, b);
		*out = block_first(a, b);
		frames_become(frame_of(&a->frames, *out), BLOCK_FRAMES, kind, owner);
		count_as(a, FRAME_FREE, kind, BLOCK_FRAMES);
	}
	lock_give(&a->lock);
	return b ? OK : NO_MEMORY;
}

status alloc_block_dirty(struct alloc *a, enum frame_kind kind, owner_t owner, hfn_t *out)
{
	return take_block(a, block_for_pool, ARRAY_SIZE(block_for_pool), kind, owner, out);
}

/* Up to one slice of what is dirty in the block, from p->done on. */
static void scrub_slice(struct alloc *a, struct alloc_preparing *p)
{
	u32 left = SCRUB_SLICE_FRAMES;
	while (p->done < BLOCK_FRAMES && left) {
		u32 n = 0;
		while (p->done + n < BLOCK_FRAMES && n < left &&
		       (frame_of(&a->frames, hfn_add(p->first, p->done + n))->flags & FRAME_DIRTY))
			n++;
		if (n)
			scrub_frames(a, hfn_add(p->first, p->done), n);
		left -= n;
		p->done += n ? n : 1;
	}
}

status alloc_block_clean(struct alloc *a, struct alloc_preparing *p, enum frame_kind kind, owner_t owner, hfn_t *out)
{
	if (hfn_is_none(p->first)) {
		status st = take_block(a, block_for_vm, ARRAY_SIZE(block_for_vm), FRAME_SCRUBBING, OWNER_HYPERVISOR, &p->first);
		if (st != OK)
			return st;
		p->done = 0;
	}
	scrub_slice(a, p);
	if (p->done < BLOCK_FRAMES)
		return AGAIN;
	hand_over(a, p->first, BLOCK_FRAMES, kind, owner);
	*out = p->first;
	p->first = HFN_NONE;
	return OK;
}

/* Each as clean or dirty as its flag says. */
void alloc_undo(struct alloc *a, hfn_t first, u32 count)
{
	lock_take(&a->lock);
	while (count) {
		struct alloc_block *b = block_of(a, first);
		u32 n = (u32)min_u64(count, BLOCK_FRAMES - first.v % BLOCK_FRAMES);
		struct frame *f = run_of(a, first, n);
		for (u32 i = 0; i < n; i++)
			a->kind[f[i].kind]--;
		a->kind[FRAME_FREE] += n;
		frames_become(f, n, FRAME_FREE, OWNER_NONE);
		put_run(a, b, first, n);
		refile(a, b);
		first = hfn_add(first, n);
		count -= n;
	}
	lock_give(&a->lock);
}

static void come_back(struct alloc *a, hfn_t first, u32 count)
{
	alloc_undo(a, first, count);
	__atomic_fetch_add(&a->came, 1, __ATOMIC_SEQ_CST);
}

bool alloc_cancel(struct alloc *a, struct alloc_preparing *p)
{
	if (hfn_is_none(p->first))
		return false;
	come_back(a, p->first, BLOCK_FRAMES);
	*p = (struct alloc_preparing){ .first = HFN_NONE };
	return true;
}

bool alloc_scrub_slice(struct alloc *a)
{
	lock_take(&a->lock);
	struct alloc_block *b = FIRST_OF(a, idle_order);
	if (!b) {
		lock_give(&a->lock);
		return false;
	}
	hfn_t first = first_bit(a, b, b->free, b->clean);
	u32 n = 0;
	while (n < SCRUB_SLICE_FRAMES) {
		u32 i = index_of(first) + n;
		if (i >= BLOCK_FRAMES || !map_has(b->free, i) || map_has(b->clean, i))
			break;
		pull_frame(a, b, hfn_add(first, n));
		n++;
	}
	refile(a, b);
	frames_become(frame_of(&a->frames, first), n, FRAME_SCRUBBING, OWNER_HYPERVISOR);
	count_as(a, FRAME_FREE, FRAME_SCRUBBING, n);
	lock_give(&a->lock);
	scrub_frames(a, first, n);
	come_back(a, first, n);
	return true;
}

void alloc_give_back(struct alloc *a, hfn_t first, u32 count)
{
	struct frame *f = run_of(a, first, count);
	for (u32 i = 0; i < count; i++)
		f[i].flags |= FRAME_DIRTY;
	alloc_undo(a, first, count);
}

void alloc_look(const struct alloc *a, hfn_t f, bool *is_free, bool *is_clean)
{
	const struct alloc_block *b = block_of(a, f);
	*is_free = map_has(b->free, index_of(f));
	*is_clean = map_has(b->clean, index_of(f));
}
