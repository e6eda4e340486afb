/*
 * The log on the screen: what is written stands there, glyph by glyph, in VGA's text and in pixels of 24 and 32 bits; lines go round with a
 * blank one after the newest; after the start it is drawn in pieces. The display's memory ends where it must (ASan watches).
 */
#include "core/bits.h"
#include "x86/boot/framebuffer.h"
#include "x86/boot/multiboot_abi.h"
#include "x86/cpu/screen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COLUMNS 8u
#define ROWS 4u
#define PADDING 20u /* bytes of a line of pixels that show nothing */
#define GLYPHS ('~' - ' ' + 1)

/* In place of the real one: no two alike, blank is blank, both halves and first and last rows are in use. */
u8 font[GLYPHS][GLYPH_HEIGHT];
static u8 *memory;
static size_t memory_bytes;

static void make_font(void)
{
	for (u32 c = 1; c < GLYPHS; c++)
		for (u32 line = 0; line < GLYPH_HEIGHT; line++)
			font[c][line] = (u8)(c * 37 + line * 11 + (line ? 0 : 0x81));
}

/* A display as the start has cleared it. The place where the next line goes stays what it was: lines are found by their words. */
static void open_screen(u32 pixel_bytes)
{
	free(memory);
	u32 pitch = pixel_bytes ? COLUMNS * GLYPH_WIDTH * pixel_bytes + PADDING : COLUMNS * 2;
	memory_bytes = (size_t)pitch * ROWS * (pixel_bytes ? GLYPH_HEIGHT : 1);
	memory = malloc(memory_bytes);
	assert_non_null(memory);
	for (size_t i = 0; i < memory_bytes; i++)
		memory[i] = pixel_bytes ? 0 : i & 1 ? 7 : ' ';
	screen = (struct screen){ .at = memory, .columns = COLUMNS, .rows = ROWS, .cell_bytes = pixel_bytes ? pixel_bytes * GLYPH_WIDTH : 2,
				  .row_bytes = pixel_bytes ? pitch * GLYPH_HEIGHT : pitch, .pitch = pitch, .pixel_bytes = pixel_bytes };
}

static bool has_glyph(u32 x, u32 y, u32 glyph)
{
	u32 n = screen.pixel_bytes;
	for (u32 line = 0; line < GLYPH_HEIGHT; line++)
		for (u32 i = 0; i < GLYPH_WIDTH * n; i++) {
			if (i % n == 3)
				continue; /* of 32 bits the last 8 mean nothing */
			const u8 *at = memory + (y * GLYPH_HEIGHT + line) * screen.pitch + x * GLYPH_WIDTH * n + i;
			if (*at != (font[glyph][line] >> (7 - i / n) & 1 ? 0xff : 0))
				return false;
		}
	return true;
}

/* What stands at a place: 0 for no character at all. */
static char seen(u32 x, u32 y)
{
	if (!screen.pixel_bytes) {
		const u8 *cell = memory + y * screen.row_bytes + x * 2;
		return cell[0] && cell[1] == 7 ? (char)cell[0] : 0;
	}
	for (u32 g = 0; g < GLYPHS; g++)
		if (has_glyph(x, y, g))
			return (char)(' ' + g);
	return 0;
}

static const char *row_text(u32 y)
{
	static char text[COLUMNS + 1];
	for (u32 x = 0; x < COLUMNS; x++)
		text[x] = seen(x, y % ROWS);
	return text;
}

static void add(const char *text) { screen_add(text, (u32)strlen(text)); }

/* The line in which it stands; it must be there, and alone. */
static u32 row_of(const char *text)
{
	u32 found = ROWS;
	for (u32 y = 0; y < ROWS; y++)
		if (strcmp(row_text(y), text) == 0) {
			assert_int_equal(found, ROWS);
			found = y;
		}
	if (found == ROWS)
		fail_msg("no line says '%s'", text);
	return found;
}

static const u32 kinds[] = { 0, 3, 4 };

static void lines_stand_there(void **state)
{
	(void)state;
	for (u32 k = 0; k < ARRAY_SIZE(kinds); k++) {
		open_screen(kinds[k]);
		add("\none\ntwo ~\n");
		u32 y = row_of("one     ");
		assert_string_equal(row_text(y + 1), "two ~   ");
		assert_string_equal(row_text(y + 2), "        ");
	}
}

static void what_is_no_character(void **state)
{
	(void)state;
	for (u32 k = 0; k < ARRAY_SIZE(kinds); k++) {
		open_screen(kinds[k]);
		add("\n\x01\x1f\x7f\x80\xff|\r\n");
		(void)row_of("?????|? ");
	}
}

/* Written over and over, from every line on: always the newest three, and a blank one. */
static void lines_go_round(void **state)
{
	(void)state;
	char text[3][16];
	for (u32 k = 0; k < ARRAY_SIZE(kinds); k++) {
		open_screen(kinds[k]);
		for (u32 n = 0; n < 3 * ROWS; n++) {
			snprintf(text[n % 3], sizeof(text[0]), "%-8u", 100000 + n);
			add(text[n % 3]);
			u32 y = row_of(text[n % 3]);
			assert_string_equal(row_text(y + 1), "        ");
			if (n >= 2) {
				assert_string_equal(row_text(y + ROWS - 1), text[(n + 2) % 3]);
				assert_string_equal(row_text(y + ROWS - 2), text[(n + 1) % 3]);
			}
			add("\n");
		}
	}
}

static void long_lines(void **state)
{
	(void)state;
	open_screen(4);
	add("\n12345678\nx\n"); /* as long as the screen is wide: no line is wasted */
	u32 y = row_of("12345678");
	assert_string_equal(row_text(y + 1), "x       ");
	add("abcdefghijk\n");
	y = row_of("abcdefgh");
	assert_string_equal(row_text(y + 1), "ijk     ");
}

static u32 characters(void)
{
	u32 count = 0;
	for (u32 y = 0; y < ROWS; y++)
		for (u32 x = 0; x < COLUMNS; x++)
			count += seen(x, y) > ' ';
	return count;
}

static void later_in_pieces(void **state)
{
	(void)state;
	open_screen(4);
	add("\n");
	screen.later = true;
	add("abcdefg");
	assert_int_equal(characters(), 0);
	for (u32 n = 1; n <= 7; n++) {
		assert_true(screen_step(1));
		assert_int_equal(characters(), n);
	}
	assert_false(screen_step(1));
	add("\nhi");
	assert_true(screen_step(1 + COLUMNS + 1)); /* the line's end, the next one made blank, one letter */
	assert_int_equal(characters(), 8);
	assert_false(screen_step(100));
	assert_int_equal(characters(), 9);
}

/* Nobody draws: the newest is kept, the rest is lost. */
static void too_much_for_the_ring(void **state)
{
	(void)state;
	open_screen(0);
	screen.later = true;
	for (u32 i = 0; i < 5000; i++)
		add("lost\n");
	add("\nthe last\n\nof all");
	while (screen_step(3))
		;
	u32 y = row_of("of all  ");
	assert_string_equal(row_text(y + ROWS - 2), "the last");
}

static void without_a_screen(void **state)
{
	(void)state;
	screen = (struct screen){ 0 };
	add("nothing\n");
	assert_false(screen_step(1));
}

/* ---- which display will do ---- */

static struct raw_map map;

struct judged { struct framebuffer f; u32 columns, rows; const char *why; };
#define RGB FRAMEBUFFER_RGB
#define TEXT FRAMEBUFFER_TEXT

static void judge(void **state)
{
	(void)state;
	static const struct judged table[] = {
		{ { 0xb8000, 160, 80, 25, 16, TEXT }, 80, 25, NULL },
		{ { 0xfd000000, 1280 * 4, 1280, 800, 32, RGB }, 160, 50, NULL },
		{ { 0xfd000000, 1024 * 3, 1024, 768, 24, RGB }, 128, 48, NULL },
		{ { 0xfd000000, 1366 * 4 + 8, 1366, 768, 32, RGB }, 170, 48, NULL },
		{ { 0x4000000000, 1024 * 4, 1024, 768, 32, RGB }, 128, 48, NULL }, /* above 4 GiB */
		{ { 0xfd000000, 320 * 4, 320, 48, 32, RGB }, 40, 3, NULL },        /* the smallest */
		{ { 0xfd000000, 319 * 4, 319, 48, 32, RGB }, 0, 0, "too small" },
		{ { 0xfd000000, 320 * 4, 320, 47, 32, RGB }, 0, 0, "too small" },
		{ { 0xb8000, 160, 80, 2, 16, TEXT }, 0, 0, "too small" },
		{ { 0xfd000000, 640, 640, 480, 8, 0 }, 0, 0, "neither" },          /* a palette */
		{ { 0xfd000000, 1280, 640, 480, 16, RGB }, 0, 0, "neither" },
		{ { 0xfd000000, 640 * 4, 640, 480, 32, 3 }, 0, 0, "neither" },
		{ { 0xfd000000, 640 * 4 - 1, 640, 480, 32, RGB }, 0, 0, "pitch" },
		{ { 0xb8000, 159, 80, 25, 16, TEXT }, 0, 0, "pitch" },
		{ { 0x4000000000, 0x40000, 0x10000, 0xff8, 32, RGB }, 8192, 255, NULL }, /* 2 MiB less than 1 GiB */
		{ { 0x4000000000, 0x40000, 0x10000, 0xff9, 32, RGB }, 0, 0, "pitch" },
		{ { 0xfd000000, 0xffffffff, 0x10001, 1, 32, RGB }, 0, 0, "pitch" },
		{ { 0xfd000000, 0x40000004, 0x40000001, 0xffffffff, 32, RGB }, 0, 0, "pitch" },
		{ { 0x10000000000 - 0x12c000, 640 * 4, 640, 480, 32, RGB }, 80, 30, NULL }, /* up to what 40 bits reach */
		{ { 0x10000000000 - 0x12bfff, 640 * 4, 640, 480, 32, RGB }, 0, 0, "beyond" },
		{ { 0xffffffffffff0000, 640 * 4, 640, 480, 32, RGB }, 0, 0, "beyond" },
		{ { 0x1000000, 640 * 4, 640, 480, 32, RGB }, 0, 0, "memory map" },           /* all of it in memory */
		{ { 0x7ff0000, 640 * 4, 640, 480, 32, RGB }, 0, 0, "memory map" },           /* its first pages */
		{ { 0x100000000 - 0x12b001, 640 * 4, 640, 480, 32, RGB }, 0, 0, "memory map" }, /* its last page */
		{ { 0x100000000 - 0x12c000, 640 * 4, 640, 480, 32, RGB }, 80, 30, NULL },    /* just below */
		{ { 0x8000000, 640 * 4, 640, 480, 32, RGB }, 80, 30, NULL },                  /* just above */
		{ { 0x7ffffff, 640 * 4, 640, 480, 32, RGB }, 0, 0, "memory map" },
	};
	map.count = map.lost = 0;
	raw_map_add(&map, 0, 0x9fc00, true);
	raw_map_add(&map, 0x100000, 0x7f00000, true);
	raw_map_add(&map, 0xfd000000, 0x1000000, false);
	raw_map_add(&map, 0x100000000, 0x40000000, true);
	for (u32 i = 0; i < ARRAY_SIZE(table); i++) {
		struct screen s = { 0 };
		const char *why = framebuffer_judge(&table[i].f, &map, 40, &s);
		if (!why != !table[i].why || (why && !strstr(why, table[i].why)))
			fail_msg("case %u: '%s' and not '%s'", i, why ? why : "fine", table[i].why ? table[i].why : "fine");
		if (!why && (s.columns != table[i].columns || s.rows != table[i].rows || s.later ||
			     (u64)s.rows * s.row_bytes > framebuffer_bytes(&table[i].f) || s.columns * s.cell_bytes > table[i].f.pitch))
			fail_msg("case %u: %u columns of %u lines", i, s.columns, s.rows);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_stand_there), cmocka_unit_test(what_is_no_character), cmocka_unit_test(lines_go_round),
		cmocka_unit_test(long_lines), cmocka_unit_test(later_in_pieces), cmocka_unit_test(too_much_for_the_ring),
		cmocka_unit_test(without_a_screen), cmocka_unit_test(judge),
	};
	make_font();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	free(memory);
	return failed;
}
