/*
 * alloc: free frames, by 2 MiB block, clean and dirty kept apart.
 *
 * Free frames are in no map. A frame comes back dirty and is scrubbed exactly once before anyone
 * sees it: by idle processors (alloc_scrub_slice), or by the taker in slices (alloc_take_block).
 * Only settlement, and the undo of an allocation that no view ever saw, give frames back.
 */
#ifndef CORE_ALLOC_H
#define CORE_ALLOC_H

#include "core/env.h"
#include "core/frame.h"
#include "core/lock.h"

struct alloc_block; /* one per 2 MiB of address space, alloc.c */

struct alloc {
	struct lock lock;
	struct frame_table frames;
	struct alloc_block *blocks;
	u64 block_count;
	const struct mem_env *env;
	u64 free_frames, clean_frames; /* now */
	u64 scrubbed_frames;           /* since boot */
	u32 full_clean, full_dirty, partial; /* list heads: block numbers */
	s64 fail_after; /* tests: the n-th allocation from now fails; -1: never */
};

/* Bytes of bookkeeping that alloc_init needs for a frame table of `limit` frames. */
u64 alloc_bytes(u64 limit);
/* `memory` is zeroed, 8-aligned, alloc_bytes(frames.limit) long, and stays the allocator's. All frames are
 * whatever the frame table says; those that are FRAME_FREE go in as dirty. */
void alloc_init(struct alloc *a, struct frame_table frames, void *memory, const struct mem_env *env);

/* One clean 4 KiB frame for `owner`. Scrubs one itself when there is no clean one. */
must_use status alloc_frame(struct alloc *a, enum frame_kind kind, owner_t owner, hfn_t *out);
/* One 2 MiB-aligned block of 512 frames, contents undefined (dirty): for the pool, which clears what it hands out. */
must_use status alloc_block_dirty(struct alloc *a, enum frame_kind kind, owner_t owner, hfn_t *out);

/* A block being prepared for a taker: lives in the pmap, survives from one call to the next. */
struct alloc_preparing {
	hfn_t first; /* HFN_NONE: nothing in preparation */
	u32 done;    /* frames scrubbed so far */
};
/* One clean 2 MiB block. AGAIN: 32 KiB more have been scrubbed, call again. NO_MEMORY: no whole block is free
 * (4 KiB frames may be). */
must_use status alloc_block_clean(struct alloc *a, struct alloc_preparing *p, enum frame_kind kind, owner_t owner,
			 hfn_t *out);
void alloc_cancel(struct alloc *a, struct alloc_preparing *p);

/* For idle processors and boot: scrubs at most 32 KiB of free memory. false: nothing dirty is left. */
bool alloc_scrub_slice(struct alloc *a, struct alloc_preparing *p);

/* Undo of an allocation: no view and no processor has ever named the frames. They go back as clean. */
void alloc_undo(struct alloc *a, hfn_t first, u32 count);

/* Settlement's last act, and a boot module's end. Nobody else calls it: tests/lint check the callers. */
void alloc_give_back(struct alloc *a, hfn_t first, u32 count);

#endif
