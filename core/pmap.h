/*
 * pmap: the truth about one VM's memory: what backs each guest frame.
 *
 * A tree over guest frame numbers (pt.h), with 2 MiB leaves: its size follows what is touched. All faults of all engines go
 * through pmap_resolve. One lock per VM guards the pmap and the tables of all its views.
 */
#ifndef CORE_PMAP_H
#define CORE_PMAP_H

#include "core/pt.h"

enum pmap_state {
	PMAP_NONE = 0, /* outside of RAM and of every device: reads all ones, writes go nowhere */
	PMAP_EMPTY,    /* RAM never touched: a zeroed frame on first use */
	PMAP_PRESENT,
	PMAP_DEVICE,   /* the monitor (or ring 0, for the local APIC) answers */
	/* room for: SHARED, BALLOONED, COMPRESSED, SWAPPED, LENT */
};

enum pmap_access { PMAP_READ = 1, PMAP_WRITE = 2, PMAP_EXEC = 4 };

#define PMAP_LARGE 2u /* the level of a 2 MiB leaf, the largest */
#define PMAP_RANGES 16u
struct pmap_range {
	gfn_t first;
	u64 count;
	enum pmap_state state; /* PMAP_EMPTY: RAM; PMAP_DEVICE */
	bool read_only;        /* ROM, for RAM ranges: guest writes are DENIED */
};

/* Does the aligned 2 MiB around `f` lie wholly in the range? Rights are a range's: only then may it be one leaf. */
static inline bool pmap_holds_block(const struct pmap_range *r, gfn_t f)
{
	u64 first = f.v & ~(u64)(BLOCK_FRAMES - 1);
	return first >= r->first.v && first + BLOCK_FRAMES <= r->first.v + r->count;
}

struct pmap {
	struct lock lock;
	owner_t owner;
	struct alloc *alloc;
	struct pt tree;           /* what is present */
	struct pmap_range range[PMAP_RANGES]; /* sorted, disjoint: what the machine promises */
	u32 range_count;
	u64 promised, resident;   /* 4 KiB frames; untouched = promised - resident */
	u64 changes;              /* grows with each commit: the auditor's epoch */
	bool large;               /* back by 2 MiB where possible */
	struct alloc_preparing preparing;
};

struct pmap_backing {
	enum pmap_state state;
	hfn_t frame;   /* of the guest frame asked for, if PMAP_PRESENT */
	u8 level;      /* 1: 4 KiB, 2: part of an aligned 2 MiB block of consecutive frames */
	bool writable;
};

must_use status pmap_init(struct pmap *p, owner_t owner, struct pool *pool, struct alloc *alloc);
/* Declares guest frames as RAM or device; ranges must not overlap: IN_USE. */
must_use status pmap_add_range(struct pmap *p, gfn_t first, u64 count, enum pmap_state state, bool read_only);
/* What backs `f`, allocating on first touch. The lock is held. OK, and `out` tells; AGAIN: scrubbing goes on, call
 * again; NO_MEMORY: host is full, nothing changed; BAD_ADDRESS: PMAP_NONE; DEVICE; DENIED: a write to read-only RAM. */
must_use status pmap_resolve(struct pmap *p, gfn_t f, enum pmap_access access, struct pmap_backing *out);
/* The same without allocating or judging access: for auditor, walk and tools. */
struct pmap_backing pmap_look(const struct pmap *p, gfn_t f);
/* The 2 MiB block that is being prepared for it, if there is one, goes back: whoever found no memory may find that. Takes the lock. */
bool pmap_unprepare(struct pmap *p);
/* A contiguous guest range gives up its frames (prepare: splits 2 MiB leaves that stick out, may fail). The frames go
 * into the debt *after* the caller dropped them from every view. At most `budget` entries: AGAIN, *done frames came off. */
must_use status pmap_release(struct pmap *p, gfn_t first, u64 count, u32 budget, struct settlement *s, u64 *done);
/* reshape.c: 512 leaves of 4 KiB around `f` become one of 2 MiB, if their frames are one aligned block and lie in one range. Lock held. As pt_merge. */
must_use status pmap_merge(struct pmap *p, gfn_t f, struct settlement *s);
/* The tree itself, once nothing is resident; what was being prepared goes back. */
void pmap_destroy(struct pmap *p);

#endif
