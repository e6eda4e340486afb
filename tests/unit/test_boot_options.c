/*
 * Ringmur's command line: every kind of value at its borders, quoting, and that what is wrong is named.
 */
#include "core/bits.h"
#include "x86/boot/machines.h"
#include "x86/boot/words.h"
#include "x86/cpu/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct options o;
static char error[WORDS_ERROR_BYTES];

static status parse(const char *text)
{
	options_defaults(&o);
	return options_parse(&o, text, error);
}

static void good(const char *text)
{
	if (parse(text) != OK)
		fail_msg("'%s': %s", text, error);
}

/* Refused, and the sentence holds both pieces. */
static void bad(const char *text, const char *name, const char *advice)
{
	assert_int_equal(parse(text), BAD_VALUE);
	if (!strstr(error, name) || !strstr(error, advice))
		fail_msg("'%s': '%s' lacks '%s' or '%s'", text, error, name, advice);
}

static void defaults(void **state)
{
	(void)state;
	good("");
	assert_int_equal(o.console, LINE_COM1);
	assert_int_equal(o.log, LINE_COM2);
	assert_int_equal(o.panic, PANIC_HALT);
	assert_int_equal(o.mem, 1ull << 30);
	assert_int_equal(o.scrub, 512ull << 20);
	assert_int_equal(o.vcpus, 1);
	assert_int_equal(o.cpus, MAX_CPUS);
	assert_int_equal(o.mark_port, 0);
	assert_int_equal(o.hide, 0);
	assert_string_equal(o.name, "guest");
	good("  \t \n ");
}

static void words(void **state)
{
	(void)state;
	good("console=com2 log=none panic=exit operator=no screen=no");
	assert_int_equal(o.console, LINE_COM2);
	assert_int_equal(o.log, LINE_NONE);
	assert_int_equal(o.panic, PANIC_EXIT);
	assert_int_equal(o.operator, ANSWER_NO);
	assert_int_equal(o.screen, SCREEN_NO);
	good("console=none console=com1"); /* the last one wins */
	assert_int_equal(o.console, LINE_COM1);
}

static void amounts(void **state)
{
	(void)state;
	static const struct { const char *text; u64 bytes; } table[] = {
		{ "mem=1M", 1ull << 20 }, { "mem=1024K", 1ull << 20 }, { "mem=1048576", 1ull << 20 }, { "mem=0x100000", 1ull << 20 },
		{ "mem=511G", 511ull << 30 }, { "mem=2g", 2ull << 30 }, { "mem=01G", 1ull << 30 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		good(table[i].text);
		assert_int_equal(o.mem, table[i].bytes);
	}
}

/* ---- bad input ---- */

/* What a number can be: the last that is taken and the first that is not, at both ends; twice as much; and what is no number. */
static void numbers_at_their_borders(void **state)
{
	static const struct { const char *name; u64 least, most; u64 *to; bool bytes; } table[] = {
		{ "mem", 1 << 20, 511ull << 30, &o.mem, true },       { "scrub", 0, 1ull << 52, &o.scrub, true },
		{ "vcpus", 1, MACHINE_VCPUS_MAX, &o.vcpus, false },   { "cpus", 1, MAX_CPUS, &o.cpus, false },
		{ "fail-alloc", 1, UINT32_MAX, &o.fail_alloc, false }, { "probe", 1, UINT32_MAX, &o.probe, false },
		{ "mark-port", 1, 0xffff, &o.mark_port, false },
	};
	static const char *const none[] = { "", "-1", "+1", "many", "1.5", "0x", "0xg", "1 ", "1e3", "K", "1KK", "1KB", "1X", "2**3", "~0",
		"18446744073709551616", "0x10000000000000000", "99999999999999999999999999", "0x1ffffffffffffffff" };
	char text[128];
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		const char *advice = table[i].bytes ? "amount of memory from " : "number from ";
		u64 values[] = { table[i].least, table[i].most, table[i].least - 1, table[i].most + 1, table[i].most * 2, ~0ull, 1ull << 63 };
		for (u32 v = 0; v < ARRAY_SIZE(values); v++) {
			format_text(text, sizeof(text), v & 1 ? "%s=%lu" : "%s=0x%lx", table[i].name, values[v]);
			if (values[v] < table[i].least || values[v] > table[i].most) {
				bad(text, text, advice);
				continue;
			}
			good(text);
			assert_int_equal(*table[i].to, values[v]);
		}
		for (u32 v = 0; v < ARRAY_SIZE(none); v++) {
			format_text(text, sizeof(text), "\"%s=%s\"", table[i].name, none[v]);
			char wrong[96];
			format_text(wrong, sizeof(wrong), "%s=%s: ", table[i].name, none[v]);
			bad(text, wrong, advice);
		}
	}
}

/* One line a case: the text; what is wrong in it, which the sentence must hold; what would be right, which it must hold too. */
static const struct { const char *text, *wrong, *right; } refused[] = {
	/* one of several words */
	{ "console=com9", "console=com9", "com1, com2, none" },
	{ "console=", "console=: ", "com1, com2, none" },
	{ "console=com11", "console=com11", "com1, com2, none" },
	{ "console=com", "console=com:", "com1, com2, none" },
	{ "console=COM1", "console=COM1", "com1, com2, none" },
	{ "console=com1,com2", "console=com1,com2", "com1, com2, none" },
	{ "console=com1 console=com3", "console=com3", "com1, com2, none" },
	{ "log=stdout", "log=stdout", "com1, com2, none" },
	{ "panic=reboot", "panic=reboot", "halt, exit" },
	{ "operator=maybe", "operator=maybe", "auto, no, yes" },
	{ "screen=auto", "screen=auto", "yes, no" },
	/* words without a value */
	{ "console", "console", "console=..." }, { "log", "log", "log=..." }, { "panic", "panic", "panic=..." }, { "mem", "mem", "mem=..." },
	{ "scrub", "scrub", "scrub=..." }, { "vcpus", "vcpus", "vcpus=..." }, { "cpus", "cpus", "cpus=..." },
	{ "fail-alloc", "fail-alloc", "fail-alloc=..." }, { "probe", "probe", "probe=..." }, { "mark-port", "mark-port", "mark-port=..." },
	{ "name", "name", "name=..." }, { "operator", "operator", "operator=..." }, { "screen", "screen", "screen=..." },
	{ "hide", "hide", "hide=..." },
	/* amounts in a wrong unit, beside those of numbers_at_their_borders */
	{ "mem=1MB", "mem=1MB", "from 1M to 511G, such as 512M" }, { "mem=1 M", "mem=1:", "from 1M to 511G" },
	{ "mem=1023K", "mem=1023K", "from 1M to 511G" }, { "mem=512G", "mem=512G", "from 1M to 511G" },
	{ "mem=1T", "mem=1T", "from 1M to 511G" }, { "mem=16777216T", "mem=16777216T", "from 1M to 511G" },
	{ "mem=17179869185G", "mem=17179869185G", "from 1M to 511G" }, { "mem=18446744074783293440", "mem=18446744074783293440", "from 1M" },
	{ "scrub=4097T", "scrub=4097T", "from 0 to 4096T" },
	{ "vcpus=1K", "vcpus=1K", "from 1 to 8" }, { "cpus=two", "cpus=two", "from 1 to 32" },
	{ "mark-port=0x10000", "mark-port=0x10000", "from 1 to 65535" },
	/* names */
	{ "name=12345678901234567890123456789012", "name=12345678901234567890123456789012", "1 to 31" },
	{ "name=", "name=:", "1 to 31" }, { "\"name=a b\"", "name=a b", "without blanks" }, { "\"name=a\tb\"", "name=a\tb", "without blanks" },
	{ "name=caf\xc3\xa9", "name=caf\xc3\xa9", "1 to 31" }, { "name=a\x7f", "name=a\x7f", "1 to 31" }, { "name=\x01", "name=\x01", "1 to 31" },
	/* features */
	{ "hide=nri", "hide=nri:", "svm npt nrip " }, { "hide=nripx", "hide=nripx:", "rdtscp" }, { "hide=NPT", "hide=NPT:", "rdtscp" },
	{ "hide=nrip,,npt", "hide=:", "parted by commas" }, { "hide=,", "hide=:", "parted by commas" },
	{ "hide=npt,frob,nrip", "hide=frob:", "parted by commas" }, { "hide=npt;nrip", "hide=npt;nrip:", "parted by commas" },
	/* what is no option */
	{ "frobnicate=1", "frobnicate", "console log panic mem" }, { "=1", "no option ;", "console log" }, { "=", "no option ;", "console log" },
	{ "mem=1G memory=2G", "memory;", "console log" }, { "Mem=1G", "Mem;", "console log" }, { "me=1G", "me;", "console log" },
	{ "mem =1G", "mem", "mem=..." }, { "\"\"", "no option ;", "console log" }, { "--mem=1G", "--mem;", "console log" },
	/* quotes */
	{ "\"mem=2G", "mem=2G", "second quote" }, { "mem=2G\"", "mem=2G", "second quote" }, { "\"", "the option ", "second quote" },
	{ "name=\"a b\"", "name=a b", "without blanks" }, { "name=a\"b\"\"", "name=ab", "second quote" },
};

static void table_of_refusals(void **state)
{
	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(refused); i++)
		bad(refused[i].text, refused[i].wrong, refused[i].right);
}

/* The first mistake is what is told, and what stood before it holds. */
static void the_first_mistake(void **state)
{
	(void)state;
	bad("mem=2G vcpus=0 cpus=0", "vcpus=0", "from 1");
	assert_int_equal(o.mem, 2ull << 30);
	assert_int_equal(o.vcpus, 1);
}

static void names(void **state)
{
	(void)state;
	good("name=web-1");
	assert_string_equal(o.name, "web-1");
	good("name=1234567890123456789012345678901");
	assert_int_equal(strlen(o.name), WORD_NAME_BYTES - 1);
	good("name=!~"); /* the first and the last character */
}

static u64 feature_bit(const char *name)
{
	u32 offset;
	for (u32 i = 0; option_feature(i, &offset); i++)
		if (!strcmp(option_feature(i, &offset), name))
			return BIT(i);
	fail_msg("no feature %s", name);
	return 0;
}

static void features_hidden(void **state)
{
	(void)state;
	good("hide=nrip,npt,decode-assist");
	assert_int_equal(o.hide, feature_bit("nrip") | feature_bit("npt") | feature_bit("decode-assist"));
	good("hide=");
	assert_int_equal(o.hide, 0);
	good("hide=nx,");
	assert_int_equal(o.hide, feature_bit("nx"));
}

/* Each name that the table has is one that can be hidden, alone and with all others. */
static void every_feature(void **state)
{
	char text[512] = "hide=";
	u32 offset, count = 0;
	(void)state;
	for (; option_feature(count, &offset); count++) {
		char one[64];
		format_text(one, sizeof(one), "hide=%s", option_feature(count, &offset));
		good(one);
		assert_int_equal(o.hide, BIT(count));
		strcat(strcat(text, count ? "," : ""), option_feature(count, &offset));
	}
	good(text);
	assert_int_equal(o.hide, BIT(count) - 1);
	bad("hide=x", "hide=x", option_feature(count - 1, &offset)); /* the sentence has room for all of them */
}

static void quotes(void **state)
{
	(void)state;
	good("\"mem=2G\" name=\"a\"b\"c\"");
	assert_int_equal(o.mem, 2ull << 30);
	assert_string_equal(o.name, "abc");
}

static void long_lines(void **state)
{
	(void)state;
	char line[4097];
	memset(line, ' ', sizeof(line));
	memcpy(line + 4090, "vcpus=3", 7);
	line[4096] = 0;
	bad(line, "vcpus=", "from 1 to 8");
	memcpy(line + 4089, "vcpus=3", 8);
	good(line);
	assert_int_equal(o.vcpus, 3);
	memset(line, 'a', sizeof(line));
	line[4096] = 0;
	bad(line, "aaaa", "it can have 2303 bytes");
	memset(line, 'a', WORD_MOST - 1);
	line[WORD_MOST - 1] = 0;
	bad(line, "aaaa", "no option");
	line[WORD_MOST - 1] = 'a';
	line[WORD_MOST] = 0;
	bad(line, "aaaa", "it can have 2303 bytes");
	line[0] = '"'; /* one more that does not count */
	line[WORD_MOST] = '"';
	line[WORD_MOST + 1] = 0;
	bad(line, "aaaa", "no option");
}

static void formats(void **state)
{
	(void)state;
	char text[64];
	const char *volatile none = NULL;
	assert_int_equal(format_text(text, sizeof(text), "%s|%5d|%5u|%05x|%lx|%c|%%", "a", -12, 7u, 0xabu, ~0ul, 'z'), 40);
	assert_string_equal(text, "a|  -12|    7|000ab|ffffffffffffffff|z|%");
	assert_int_equal(format_text(text, 5, "%s", "abcdefgh"), 4);
	assert_string_equal(text, "abcd");
	format_text(text, sizeof(text), "%06d|%ld|%s", -42, (long)INT64_MIN, none);
	assert_string_equal(text, "-00042|-9223372036854775808|(none)");
	format_text(text, sizeof(text), "%lu", 18446744073709551615ul);
	assert_string_equal(text, "18446744073709551615");
	assert_int_equal(format_text(text, 1, "abc"), 0);
	assert_int_equal(format_text(text, 0, "abc"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults), cmocka_unit_test(words), cmocka_unit_test(amounts), cmocka_unit_test(numbers_at_their_borders),
		cmocka_unit_test(table_of_refusals), cmocka_unit_test(the_first_mistake), cmocka_unit_test(names),
		cmocka_unit_test(features_hidden), cmocka_unit_test(every_feature), cmocka_unit_test(quotes),
		cmocka_unit_test(long_lines), cmocka_unit_test(formats),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
