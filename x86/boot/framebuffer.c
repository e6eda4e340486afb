#include "x86/boot/framebuffer.h"

#include "core/bits.h"
#include "x86/boot/multiboot_abi.h"

#define TEXT_CELL_BYTES 2u
#define LEAST_COLUMNS 40u
#define LEAST_ROWS 3u /* one to write, one blank, one to be read */
#define MOST_LENGTH 0x10000u

/* Whether memory for programs lies in any page of it: then it is not what it says, or would be given away. */
static bool is_in_ram(const struct framebuffer *f, const struct raw_map *map)
{
	u64 first = align_down(f->address, PAGE_SIZE), end = align_up(f->address + framebuffer_bytes(f), PAGE_SIZE);
	for (u32 i = 0; i < map->count; i++)
		if (map->at[i].ram && first < map->at[i].end && end > map->at[i].first)
			return true;
	return false;
}

static bool is_known_kind(const struct framebuffer *f)
{
	return f->type == FRAMEBUFFER_TEXT || (f->type == FRAMEBUFFER_RGB && (f->bits == 24 || f->bits == 32));
}

const char *framebuffer_judge(const struct framebuffer *f, const struct raw_map *map, u32 phys_bits, struct screen *s)
{
	bool text = f->type == FRAMEBUFFER_TEXT;
	u32 pixel_bytes = text ? 0 : f->bits / 8u;
	u64 end;
	if (!is_known_kind(f))
		return "it is neither VGA text nor pixels of 24 or 32 bits";
	if (f->width > MOST_LENGTH || f->height > MOST_LENGTH || framebuffer_bytes(f) > FRAMEBUFFER_MOST ||
	    f->pitch < f->width * (text ? TEXT_CELL_BYTES : pixel_bytes))
		return "its width, height and pitch cannot be";
	if (__builtin_add_overflow(f->address, framebuffer_bytes(f), &end) || end > 1ull << phys_bits)
		return "it lies beyond what the processor can address";
	if (is_in_ram(f, map))
		return "it lies in what the memory map says is memory";
	*s = (struct screen){ .columns = f->width, .rows = f->height, .cell_bytes = TEXT_CELL_BYTES, .row_bytes = f->pitch };
	if (!text)
		*s = (struct screen){ .columns = f->width / GLYPH_WIDTH, .rows = f->height / GLYPH_HEIGHT, .cell_bytes = GLYPH_WIDTH * pixel_bytes,
				      .row_bytes = GLYPH_HEIGHT * f->pitch, .pitch = f->pitch, .pixel_bytes = pixel_bytes };
	return s->columns < LEAST_COLUMNS || s->rows < LEAST_ROWS ? "it is too small" : NULL;
}
