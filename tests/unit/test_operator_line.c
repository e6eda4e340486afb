/*
 * The operator's line and a VM's scroll-back: bytes in, bytes out. What stands on the screen is followed by a terminal of one line.
 */
#include "hv/operator/line.h"
#include "hv/operator/scroll.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char screen[4096]; /* all that was written, as a terminal shows it: backspace moves, CR is dropped */
static u32 cursor, bells;

static void show(void *context, const char *text, u32 length)
{
	(void)context;
	for (u32 i = 0; i < length; i++) {
		if (text[i] == '\b')
			cursor--;
		else if (text[i] == '\a')
			bells++;
		else if (text[i] != '\r')
			screen[cursor++] = text[i];
		assert_true(cursor < sizeof screen);
	}
}

static const char *candidate(const char *text, u32 n)
{
	static const char *const commands[] = { "pause", "power-off", "list" }, *const machines[] = { "web", "web-two", "db" };
	const char *const *of = strchr(text, ' ') ? machines : commands;
	return n < 3 ? of[n] : NULL;
}

static const struct say to = { .write = show };
static struct line line;

static int setup(void **state)
{
	(void)state;
	line = (struct line){ .to = &to, .prompt = "> ", .candidate = candidate };
	memset(screen, 0, sizeof screen);
	cursor = bells = 0;
	line_begin(&line);
	return 0;
}

/* Types; how many lines were entered, the last is in `text`. */
static char last[LINE_BYTES];
static u32 type(const char *bytes)
{
	u32 entered = 0;
	for (; *bytes; bytes++)
		if (line_type(&line, (u8)*bytes)) {
			entered++;
			memcpy(last, line.text, sizeof last);
			line_begin(&line);
		}
	return entered;
}

static void expect_line(const char *text)
{
	assert_string_equal(line.text, text);
	assert_int_equal(line.length, strlen(text));
}

/* The screen's last line, up to the cursor. */
static void expect_shown(const char *text)
{
	u32 from = cursor;
	while (from && screen[from - 1] != '\n')
		from--;
	screen[cursor] = 0;
	assert_string_equal(screen + from, text);
}

static void entering(void **state)
{
	(void)state;
	assert_int_equal(type("list\r"), 1);
	assert_string_equal(last, "list");
	expect_shown("> ");
	assert_int_equal(type("list\n"), 1);
	assert_int_equal(type("a\r\nb\r\n"), 2); /* CR LF is one end of line */
	assert_string_equal(last, "b");
	assert_int_equal(type("\n\n\r\r"), 4);
	assert_string_equal(last, "");
}

static void editing(void **state)
{
	(void)state;
	type("ab\x7f\x08\x08\x08");
	expect_line("");
	type("walk web  two \x17");
	expect_line("walk web  ");
	type("\x17");
	expect_line("walk ");
	type("\x15");
	expect_line("");
	type("\x17x\x01\x02\x1dy");
	expect_line("xy");
	expect_shown("> xy");
	type("\x03");
	expect_line("");
	expect_shown("> ");
	type("li\x0c");
	expect_line("li");
	expect_shown("> li\033[H\033[2J> li");
}

static void too_long(void **state)
{
	(void)state;
	for (u32 i = 0; i < 2 * LINE_BYTES; i++)
		type("x");
	assert_int_equal(line.length, LINE_BYTES - 1);
	assert_int_equal(bells, LINE_BYTES + 1);
	assert_int_equal(line.text[LINE_BYTES - 1], 0);
	type("\x15");
	expect_line("");
}

static void history(void **state)
{
	(void)state;
	type("\033[A");
	assert_int_equal(bells, 1);
	type("one\rtwo\rtwo\r\rthree\r");
	type("\033[A");
	expect_line("three");
	type("\033[A\033[A");
	expect_line("one"); /* the same line twice, and nothing, are kept once and not at all */
	type("\033[A");
	assert_int_equal(bells, 2);
	type("\033[B");
	expect_line("two");
	type("\033[B\033[B");
	expect_line("");
	type("\033[B");
	assert_int_equal(bells, 3);
	type("\033[A\r");
	assert_string_equal(last, "three");
	for (char c[] = "a\r"; c[0] < 'a' + 2 * (char)LINE_PAST; c[0]++)
		type(c);
	for (u32 i = 0; i < LINE_PAST; i++)
		type("\033[A");
	expect_line((char[]){ 'a' + (char)LINE_PAST, 0 });
	type("\033[1;5C\033[3~z"); /* other keys of a terminal do nothing, though '~' is a letter of ours */
	assert_int_equal(line.length, 2);
}

static void completing(void **state)
{
	(void)state;
	type("l\t");
	expect_line("list ");
	type("\x15p\t");
	expect_line("p");
	assert_non_null(strstr(screen, "pause  power-off  \n"));
	expect_shown("> p");
	type("o\tw\t"); /* what web and web-two have in common */
	expect_line("power-off web");
	assert_int_equal(bells, 0);
	type("-\t");
	expect_line("power-off web-two ");
	type("\x17x\t");
	expect_line("power-off x");
	assert_int_equal(bells, 1);
}

/* ---- scroll-back ---- */

static struct scroll ring;

static void write_ring(const char *text)
{
	scroll_add(&ring, text, (u32)strlen(text));
}

static void expect_last(u32 lines, u32 most, const char *text)
{
	u8 got[SCROLL_BYTES];
	u64 at = scroll_last(&ring, lines, most);
	u32 count = scroll_read(&ring, &at, got, sizeof got);
	assert_int_equal(count, strlen(text));
	assert_memory_equal(got, text, count);
}

static void last_lines(void **state)
{
	(void)state;
	memset(&ring, 0, sizeof ring);
	expect_last(3, 100, "");
	write_ring("login: ");
	expect_last(3, 100, "login: ");
	write_ring("root\na\nb\nc\n# ");
	expect_last(2, 100, "b\nc\n# ");
	expect_last(99, 100, "login: root\na\nb\nc\n# ");
	expect_last(99, 5, "c\n# "); /* not in the middle of a line */
	expect_last(99, 1, " ");
	expect_last(0, 100, "# ");
}

/* Whatever was written, in pieces of any size: what is read is the end of it. */
static void any_size(void **state)
{
	static u8 all[8 * SCROLL_BYTES], got[SCROLL_BYTES];
	u32 length = 0;
	(void)state;
	memset(&ring, 0, sizeof ring);
	srand(3);
	while (length < sizeof all - 3000) {
		u32 n = (u32)rand() % 3000;
		for (u32 i = 0; i < n; i++)
			all[length + i] = (u8)(rand() % 40 ? 'a' + rand() % 26 : '\n');
		scroll_add(&ring, all + length, n);
		length += n;
		u64 at = scroll_last(&ring, 24, 4096), end = at;
		u32 count = 0, piece;
		while ((piece = scroll_read(&ring, &end, got + count, 1 + (u32)rand() % 256)) != 0)
			count += piece;
		assert_true(count <= 4096 && at + count == length && end == length);
		assert_memory_equal(got, all + at, count);
		assert_true(at == 0 || all[at - 1] == '\n' || !memchr(got, '\n', count));
	}
	u64 oldest = 5;
	assert_int_equal(scroll_read(&ring, &oldest, got, sizeof got), SCROLL_BYTES);
	assert_memory_equal(got, all + length - SCROLL_BYTES, SCROLL_BYTES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(entering, setup), cmocka_unit_test_setup(editing, setup), cmocka_unit_test_setup(too_long, setup),
		cmocka_unit_test_setup(history, setup), cmocka_unit_test_setup(completing, setup),
		cmocka_unit_test(last_lines), cmocka_unit_test(any_size),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
