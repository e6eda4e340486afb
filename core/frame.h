/*
 * frame: the truth about host frames: for each 4 KiB frame its owner, kind, count and stamp.
 *
 *   owner  who may reach its contents         kind   what it is used as
 *   count  how many pmap entries name it      stamp  flush clock at which it last lost a mapping
 *
 * 16 bytes a frame. Kinds change only along the transition table in frame.c; every change goes
 * through frame_become. Views hold no count: settlement covers them (settle.h).
 */
#ifndef CORE_FRAME_H
#define CORE_FRAME_H

#include "core/addr.h"
#include "core/check.h"
#include "core/status.h"

enum frame_kind {
	FRAME_ABSENT = 0, /* no RAM, or the firmware's: never touched */
	FRAME_FREE,       /* in the allocator; no map names it */
	FRAME_IMAGE,      /* Ringmur itself and what it needs from boot on */
	FRAME_BOOT,       /* a boot module, until it has been copied */
	FRAME_POOL,       /* hypervisor bookkeeping, in the pool map */
	FRAME_TABLE,      /* a page table of a view of `owner`, or its pmap; in the pool map */
	FRAME_GUEST,      /* RAM of VM `owner` */
	FRAME_PRIVATE,    /* the VM's private part: monitor, private halves of its vCPUs */
	FRAME_SCRUBBING,  /* taken out of the allocator to be scrubbed */
	FRAME_KINDS
};

typedef u16 owner_t;
enum { OWNER_NONE = 0, OWNER_HYPERVISOR = 1, OWNER_FIRST_VM = 16 };

#define FRAME_DIRTY 0x01 /* may hold what a former owner left */

struct frame {
	owner_t owner;
	u8 kind;  /* enum frame_kind */
	u8 flags; /* FRAME_* */
	u32 count;
	u64 stamp;
};
static_assert(sizeof(struct frame) == 16, "0.4 % of RAM is what the frame table may cost");

struct frame_table {
	struct frame *at; /* indexed by hfn; valid below `limit` */
	u64 limit;
};

static inline struct frame *frame_of(const struct frame_table *t, hfn_t f)
{
	CHECK(f.v < t->limit);
	return &t->at[f.v];
}

/*
 * Moves a frame along one arrow of the transition table. A frame that is becoming free must have
 * count 0. CHECKs on an arrow that does not exist.
 */
void frame_become(struct frame *f, enum frame_kind kind, owner_t owner);
/* The same for `n` frames in a row, at the cost of a compare and a store each where they are alike. */
void frames_become(struct frame *f, u32 n, enum frame_kind kind, owner_t owner);
bool frame_may_become(enum frame_kind from, enum frame_kind to);

/* A pmap entry names `n` frames from `f` on, or no longer does. frames_ref refuses, all of them, when a count is full. */
must_use status frames_ref(struct frame *f, u32 n);
void frames_unref(struct frame *f, u32 n);

#endif
