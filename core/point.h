/*
 * point: places in core between two steps that other processors may come between, each with a name.
 *
 * In ring 0 a point is nothing, not one instruction. A build that wants to act there defines AT_POINT (by -include of its own header):
 * the fake machine lets another processor go on (sim/at_point.h), so that an interleaving is an input of a test.
 *
 * A name tells what has been done already and what has not.
 */
#ifndef CORE_POINT_H
#define CORE_POINT_H

enum point {
	POINT_LOCK_WAIT,       /* a ticket is drawn, another holds the lock */
	POINT_FENCE,           /* a full fence: this processor's stores are visible */
	/* entry and exit: view.h, tag.c */
	POINT_ENTRY_PUBLISHED, /* "inside" is stored, perhaps not visible yet */
	POINT_ENTRY_COMPARES,  /* the view's generation is read, nothing is flushed */
	POINT_ENTRY_FLUSHED,   /* this processor has forgotten, "flushed" is not published */
	POINT_EXIT,            /* the view is not used any more, "inside" still stands */
	POINT_TAG_WRAP,        /* tags begin again, nothing is flushed */
	/* faults: pmap.c, ptview.c */
	POINT_FAULT_BACKED,    /* a frame is the VM's, nothing names it */
	POINT_FAULT_RESOLVED,  /* the truth has answered, the view is not filled */
	POINT_FAULT_FILLED,
	/* splits and merges: pt.c */
	POINT_SPLIT_BUILT,     /* the tables are complete, nothing links them */
	POINT_SPLIT_LINKED,
	POINT_MERGE_JUDGED,    /* all pieces fit together, the table is still linked */
	POINT_MERGE_EXCHANGED, /* the large leaf stands, the table is not stamped */
	/* what leaves a view or the truth: pt.c, ptview.c, pmap.c */
	POINT_DROP_TAKEN,      /* the entry is out, its frames are not stamped */
	POINT_DROP_UNLINKED,   /* the same for a table */
	POINT_PROTECT_WEAKENED,/* the right is gone, the frames are not stamped */
	POINT_RELEASED,        /* the truth does not name the frames any more */
	POINT_DESTROY_ROOT,    /* the view is empty, its root still there */
	/* settlement: settle.c */
	POINT_SETTLE_BEGIN,    /* all drops are done, no generation is drawn */
	POINT_SETTLE_DRAWN,    /* no view has been raised to it */
	POINT_SETTLE_RAISED,   /* nobody has been asked */
	POINT_SETTLE_WAIT,     /* a processor has not forgotten yet */
	POINT_SETTLE_FREE,     /* everyone has forgotten, a run of frames is not free yet */
	POINTS,                /* as many does the fake machine go through with several processors (sim/crew.h) */
	/* guest walks: gwalk.c */
	POINT_WALK_JUDGED = POINTS, /* the access is allowed, A and D are not set */
	POINTS_END
};

#ifndef AT_POINT
#define AT_POINT(point) ((void)(point))
#endif

static inline void at_point(enum point point) { AT_POINT(point); }

#endif
