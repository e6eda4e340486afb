#include "hv/operator/scroll.h"

#include "core/bits.h"

void scroll_add(struct scroll *s, const void *bytes, u32 count)
{
	for (u32 i = 0; i < count; i++)
		s->bytes[s->written++ % SCROLL_BYTES] = ((const u8 *)bytes)[i];
}

u64 scroll_last(const struct scroll *s, u32 lines, u32 most)
{
	u64 first = s->written - min_u64(s->written, min_u64(most, SCROLL_BYTES)), at = s->written;
	for (u32 seen = 0; at > first; at--)
		if (s->bytes[(at - 1) % SCROLL_BYTES] == '\n' && seen++ == lines)
			return at;
	/* Not in the middle of a line, unless there is no other. */
	for (u64 i = at; at && i < s->written; i++)
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
