/*
 * pool: the hypervisor's own memory. Grows by 2 MiB blocks, each mapped with one leaf at base + hpa in the pool
 * map that all processors share; hands out zeroed 4 KiB frames. A pool frame's bytes are reached by pool_at: no map of
 * all memory exists, a guest's frame is not there.
 */
#ifndef CORE_POOL_H
#define CORE_POOL_H

#include "core/alloc.h"

#define POOL_MAX_BLOCKS 256u

struct pool {
	struct lock lock;
	struct alloc *alloc;
	u8 *base; /* where hpa 0 would be mapped */
	struct {
		hfn_t first;
		u32 used;
		u64 map[BLOCK_FRAMES / 64]; /* bit set: handed out */
	} block[POOL_MAX_BLOCKS];
	u32 blocks;
	u64 used_frames;
	u64 changes; /* grows with each frame that comes or goes: the auditor's epoch, with the allocator's */
};

void pool_init(struct pool *p, struct alloc *a, void *base);
static inline void *pool_at(const struct pool *p, hpa_t a) { return p->base + a.v; }
static inline hpa_t pool_hpa(const struct pool *p, const void *at) { return hpa((u64)((const u8 *)at - p->base)); }

/* kind is FRAME_POOL or FRAME_TABLE; the frame is zeroed. */
must_use status pool_take(struct pool *p, enum frame_kind kind, owner_t owner, hfn_t *out);
/* A table that a view linked comes back only through settlement; bookkeeping of the hypervisor directly. Goes back dirty. */
void pool_give(struct pool *p, hfn_t f);
/* A block of which nothing is handed out is no longer the pool's; its frames are FRAME_POOL still. The caller takes it out of the map, makes
 * every processor forget that, and gives it back. false: there is none but the first. */
bool pool_leave(struct pool *p, hfn_t *out);
/* Auditor: whether a block of the pool holds the frame, and whether it is handed out. */
bool pool_holds(const struct pool *p, hfn_t f, bool *used);

#endif
