#include "hv/operator/scroll.h"

#include "core/bits.h"

#define LONG_LINE 512u

void scroll_add(struct scroll *s, const void *bytes, u32 count)
{
	for (u32 i = 0; i < count; i++)
		s->bytes[s->written++ % SCROLL_BYTES] = ((const u8 *)bytes)[i];
}

u64 scroll_last(const struct scroll *s, u32 lines, u32 most)
{
	u64 first = s->written - min_u64(s->written, min_u64(most, SCROLL_BYTES)), at = s->written;
	u32 place = (u32)(at % SCROLL_BYTES), seen = 0;
	for (; at > first; at--) {
		place = place ? place - 1 : SCROLL_BYTES - 1;
		if (s->bytes[place] == '\n' && seen++ == lines)
			return at;
	}
	/* Not in the middle of a line, unless it is a very long one. */
	for (u64 i = at; at && i < min_u64(s->written, at + LONG_LINE); i++)
		if (s->bytes[i % SCROLL_BYTES] == '\n')
			return i + 1;
	return at;
}

u32 scroll_read(const struct scroll *s, u64 *at, void *to, u32 room)
{
	u64 from = s->written - min_u64(s->written - *at, SCROLL_BYTES);
	u32 count = (u32)min_u64(room, s->written - from);
	for (u32 i = 0; i < count; i++)
		((u8 *)to)[i] = s->bytes[(from + i) % SCROLL_BYTES];
	*at = from + count;
	return count;
}
