/*
 * frame: the transition table of the frame table, as data.
 *
 *   ABSENT -> FREE IMAGE BOOT           the memory map, once
 *   FREE   -> IMAGE BOOT                what the loader put somewhere
 *   IMAGE, BOOT -> FREE                 boot is over, the module has been copied
 *   FREE   -> SCRUBBING -> FREE         cleaned for nobody in particular
 *   FREE, SCRUBBING -> GUEST PRIVATE    given to a VM; must be clean
 *   GUEST, PRIVATE -> FREE              by settlement, or undone before any view saw it
 *   FREE   -> POOL -> FREE              a block joins the pool (-> FREE: could not be mapped)
 *   POOL   -> POOL TABLE, TABLE -> POOL within the pool: handed out, handed back
 */
#include "core/frame.h"
#include "core/bits.h"

#define TO(kind) BIT(FRAME_##kind)

static const u64 arrows[FRAME_KINDS] = {
	[FRAME_ABSENT] = TO(FREE) | TO(IMAGE) | TO(BOOT),
	[FRAME_FREE] = TO(IMAGE) | TO(BOOT) | TO(SCRUBBING) | TO(GUEST) | TO(PRIVATE) | TO(POOL),
	[FRAME_IMAGE] = TO(FREE),
	[FRAME_BOOT] = TO(FREE),
	[FRAME_POOL] = TO(POOL) | TO(TABLE) | TO(FREE),
	[FRAME_TABLE] = TO(POOL),
	[FRAME_GUEST] = TO(FREE),
	[FRAME_PRIVATE] = TO(FREE),
	[FRAME_SCRUBBING] = TO(FREE) | TO(GUEST) | TO(PRIVATE),
};

/* Kinds whose contents a VM may see: a dirty frame never becomes one. */
#define SEEN_BY_VM (TO(GUEST) | TO(PRIVATE))

bool frame_may_become(enum frame_kind from, enum frame_kind to)
{
	return from < FRAME_KINDS && to < FRAME_KINDS && (arrows[from] & BIT(to));
}

void frame_become(struct frame *f, enum frame_kind kind, owner_t owner)
{
	CHECK(frame_may_become(f->kind, kind));
	CHECK(f->count == 0);
	CHECK((kind == FRAME_FREE) == (owner == OWNER_NONE));
	CHECK(!(SEEN_BY_VM & BIT(kind)) || !(f->flags & FRAME_DIRTY));
	f->kind = (u8)kind;
	f->owner = owner;
}

/* Everything of a frame but its stamp, as one word: what makes a whole block cheap. */
static inline u64 head_of(const struct frame *f)
{
	u64 head;
	__builtin_memcpy(&head, f, sizeof(head));
	return head;
}

void frames_become(struct frame *f, u32 n, enum frame_kind kind, owner_t owner)
{
	u64 before = head_of(f);
	frame_become(f, kind, owner);
	u64 after = head_of(f);
	for (u32 i = 1; i < n; i++) {
		if (__builtin_expect(head_of(f + i) == before, 1))
			__builtin_memcpy(f + i, &after, sizeof(after));
		else
			frame_become(f + i, kind, owner);
	}
}

status frames_ref(struct frame *f, u32 n)
{
	for (u32 i = 0; i < n; i++)
		if (f[i].count == UINT32_MAX)
			return IN_USE;
	for (u32 i = 0; i < n; i++)
		f[i].count++;
	return OK;
}

void frames_unref(struct frame *f, u32 n)
{
	for (u32 i = 0; i < n; i++)
		CHECK(f[i].count-- != 0);
}
