#include "x86/cpu/screen.h"

#define RING_BYTES 4096u /* a power of two */
#define WHITE_ON_BLACK 7u
enum { FIRST_GLYPH = ' ', LAST_GLYPH = '~', COLOURS = 3 };

extern const u8 font[LAST_GLYPH - FIRST_GLYPH + 1][GLYPH_HEIGHT]; /* tools/make-font */

struct screen screen;

static char ring[RING_BYTES];
/* Bytes that were put into the ring and taken out; where the next one goes; how much of the line below is not yet blank. */
static u32 in, out, column, row, old_cells;

/* Of a pixel of 32 bits the fourth byte means nothing. */
static void draw(u32 x, u32 y, char c)
{
	u8 *at = screen.at + y * screen.row_bytes + x * screen.cell_bytes;
	if (!screen.pixel_bytes)
		at[0] = (u8)c, at[1] = WHITE_ON_BLACK;
	for (u32 line = 0; screen.pixel_bytes && line < GLYPH_HEIGHT; line++, at += screen.pitch)
		for (u32 i = 0; i < GLYPH_WIDTH; i++)
			__builtin_memcpy(at + i * screen.pixel_bytes, font[c - FIRST_GLYPH][line] & 0x80u >> i ? "\xff\xff\xff" : "\0\0", COLOURS);
}

/* The line that it comes to was blanked when the one above it began. */
static void show(char c)
{
	if (c == '\n' || column >= screen.columns) {
		column = 0;
		row = (row + 1) % screen.rows;
		old_cells = screen.columns;
	}
	if (c != '\n')
		draw(column++, row, c < FIRST_GLYPH || c > LAST_GLYPH ? '?' : c);
}

bool screen_step(u32 cells)
{
	for (; cells && (old_cells || out != in); cells--)
		if (old_cells)
			draw(--old_cells, (row + 1) % screen.rows, ' ');
		else
			show(ring[out++ % RING_BYTES]);
	return !cells;
}

void screen_add(const char *text, u32 length)
{
	for (u32 i = 0; screen.columns && i < length; i++)
		ring[in++ % RING_BYTES] = text[i];
	if (in - out > RING_BYTES)
		out = in - RING_BYTES; /* what nobody has drawn in time is lost here; the serial line has it */
	while (!screen.later && screen_step(~0u))
		;
}
