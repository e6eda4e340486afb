/*
 * tag: ASIDs by generation. A world switch flushes nothing; a tag is used again only after the processor has flushed them all.
 *
 * Each processor hands out its tags in order; when they are used up it flushes once (all tags) and starts a new generation. A vCPU
 * keeps its tag while it stays on the processor, the generation has not passed, and its nested view has not lost entries since:
 *
 *   same cpu | same tag generation | flushed >= view generation | flush by ASID | what to do
 *   ---------+---------------------+----------------------------+---------------+----------
 *      no    |         -           |             -              |       -       | TAG_NEW
 *      yes   |         no          |             -              |       -       | TAG_NEW
 *      yes   |         yes         |            yes             |       -       | TAG_KEEP
 *      yes   |         yes         |            no              |      yes      | TAG_FLUSH
 *      yes   |         yes         |            no              |      no       | TAG_NEW
 *
 * TAG_NEW that finds no tag left becomes TAG_WRAP: flush all, then tag 1 (0 is the host's).
 */
#ifndef CORE_TAG_H
#define CORE_TAG_H

#include "abi/types.h"
#include "core/check.h"

struct tagger { /* one per processor */
	u32 next, limit; /* tags 1 .. limit-1 */
	u64 generation;  /* starts at 1: a zeroed tag is never live */
	bool flush_by_tag;
};

struct tag { /* one per vCPU */
	u32 cpu;        /* on which processor it was given */
	u32 number;     /* ASID, never 0 */
	u64 generation; /* of that processor's tagger; 0: none */
	u64 flushed;    /* generation of the view that the tag is flushed to */
};

enum tag_action { TAG_KEEP, TAG_FLUSH, TAG_NEW, TAG_WRAP };

/* What is cached under it must not be used any more: the next entry takes a new one. */
static inline void tag_forget(struct tag *t) { t->generation = 0; }

void tagger_init(struct tagger *g, u32 limit, bool flush_by_tag);

static inline enum tag_action tag_decide(const struct tagger *g, const struct tag *t, u32 cpu, u64 view_generation)
{
	if (t->cpu != cpu || t->generation != g->generation)
		return TAG_NEW;
	if (t->flushed >= view_generation)
		return TAG_KEEP;
	return g->flush_by_tag ? TAG_FLUSH : TAG_NEW;
}

/* Carries the decision out; returns what the entry must flush: TAG_KEEP and TAG_NEW nothing, TAG_FLUSH this tag, TAG_WRAP all. */
enum tag_action tag_take(struct tagger *g, struct tag *t, u32 cpu, u64 view_generation);

#endif
