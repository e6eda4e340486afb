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

/* Blocks by how much of them is free and how much of that is clean: each search is the head of a list. */
enum alloc_list {
	PARTIAL_CLEAN, PARTIAL_MIXED, PARTIAL_DIRTY, /* some frames free; all, some, none of them clean */
	WHOLE_CLEAN, WHOLE_MIXED, WHOLE_DIRTY,       /* all 512 free */
	ALLOC_LISTS, ALLOC_NO_LIST = ALLOC_LISTS
};

struct alloc {
	struct lock lock;
	struct frame_table frames;
	struct alloc_block *blocks;
	u64 block_count;
	const struct mem_env *env;
	u64 free_frames, clean_frames; /* now */
	u64 kind[FRAME_KINDS];         /* frames by what they are used as; the pool's, tables included, are all FRAME_POOL */
	u64 changes;                   /* grows with each frame that comes or goes: the auditor's epoch */
	u64 came;                      /* grows when frames come back that somebody had (settled, cancelled, scrubbed): what one who found none waits
					* for, so not with what he takes and gives back himself; by __atomic */
	u32 list[ALLOC_LISTS];         /* heads: block numbers */
	s64 fail_after; /* tests: 0: the next allocation fails, 1: the one after...; -1: none */
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
/* Gives back what is in preparation. false: nothing is. */
bool alloc_cancel(struct alloc *a, struct alloc_preparing *p);

/* For idle processors and boot: scrubs at most 32 KiB of free memory. false: nothing dirty is left. Nothing is held between two
 * calls: no frame is out of reach of a taker for longer than one slice. */
bool alloc_scrub_slice(struct alloc *a);

/* Undo of an allocation: no view and no processor has ever named the frames. They go back as they came, clean or dirty. */
void alloc_undo(struct alloc *a, hfn_t first, u32 count);

/* Settlement's last act, and a boot module's end. Nobody else calls it: tests/lint check the callers. */
void alloc_give_back(struct alloc *a, hfn_t first, u32 count);

/* Counts down fail_after: the pool's takes fail with the rest. */
bool alloc_fails_now(struct alloc *a);
/* Auditor: what the bitmaps say about a frame. */
void alloc_look(const struct alloc *a, hfn_t f, bool *is_free, bool *is_clean);

#endif
