/*
 * Ringmur's command line: every kind of value at its borders, quoting, and that what is wrong is named.
 */
#include "core/bits.h"
#include "x86/boot/options.h"
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
	good("console=com2 log=none panic=exit");
	assert_int_equal(o.console, LINE_COM2);
	assert_int_equal(o.log, LINE_NONE);
	assert_int_equal(o.panic, PANIC_EXIT);
	good("console=none console=com1"); /* the last one wins */
	assert_int_equal(o.console, LINE_COM1);
	bad("console=com9", "console=com9", "com1, com2, none");
	bad("console=", "console=", "com1, com2, none");
	bad("console=com11", "console=com11", "com1");
	bad("panic=reboot", "panic=reboot", "halt, exit");
	bad("log", "log", "needs a value");
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
	static const char *const refused[] = {
		"mem=0", "mem=0G", "mem=", "mem=G", "mem=-1", "mem=1X", "mem=1MB", "mem=1 M", "mem=1023K", "mem=512G", "mem=16777216T",
		"mem=18446744073709551615", "mem=18446744073709551616", "mem=99999999999999999999999999", "mem=0x", "mem=0x1ffffffffffffffff",
		"mem=17179869185G", "mem=1.5G", "mem=18446744074783293440", "mem=0x10000000040000000",
	};
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		bad(refused[i], "mem=", i == 7 ? "1M" : "from 1M to 511G");
	good("scrub=0");
	assert_int_equal(o.scrub, 0);
}

static void numbers(void **state)
{
	(void)state;
	good("vcpus=32 cpus=1 mark-port=0xffff");
	assert_int_equal(o.vcpus, 32);
	assert_int_equal(o.cpus, 1);
	assert_int_equal(o.mark_port, 0xffff);
	bad("vcpus=0", "vcpus=0", "from 1 to 32");
	bad("vcpus=33", "vcpus=33", "from 1 to 32");
	bad("vcpus=2K", "vcpus=2K", "from 1 to 32");
	bad("vcpus=", "vcpus=", "from 1 to 32");
	bad("cpus=two", "cpus=two", "number");
	bad("mark-port=0x10000", "mark-port=0x10000", "65535");
}

static void names(void **state)
{
	(void)state;
	good("name=web-1");
	assert_string_equal(o.name, "web-1");
	good("name=1234567890123456789012345678901");
	assert_int_equal(strlen(o.name), WORD_NAME_BYTES - 1);
	bad("name=12345678901234567890123456789012", "name=", "1 to 31");
	bad("name=", "name=", "1 to 31");
	bad("\"name=a b\"", "name=a b", "without blanks");
	bad("name=caf\xc3\xa9", "name=", "1 to 31");
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
	bad("hide=nri", "hide=nri", "no such feature");
	bad("hide=nrip,,npt", "hide=,npt", "no such feature");
	bad("hide=npt,nripx", "nripx", "no such feature");
}

static void unknown(void **state)
{
	(void)state;
	bad("frobnicate=1", "frobnicate", "mark-port");
	bad("mem", "mem", "needs a value");
	bad("=1", "no option", "console");
	bad("mem=1G memory=2G", "no option memory", "mem");
	assert_int_equal(o.mem, 1ull << 30);
}

static void quotes(void **state)
{
	(void)state;
	good("\"mem=2G\" name=\"a\"b\"c\"");
	assert_int_equal(o.mem, 2ull << 30);
	assert_string_equal(o.name, "abc");
	bad("\"mem=2G", "mem=2G", "second quote");
	bad("name=\"a b\"", "a b", "without blanks");
	bad("\"\"", "no option", "console");
}

static void long_lines(void **state)
{
	(void)state;
	char line[4097];
	memset(line, ' ', sizeof(line));
	memcpy(line + 4090, "vcpus=3", 7);
	line[4096] = 0;
	bad(line, "vcpus=", "from 1 to 32");
	memcpy(line + 4089, "vcpus=3", 8);
	good(line);
	assert_int_equal(o.vcpus, 3);
	memset(line, 'a', sizeof(line));
	line[4096] = 0;
	bad(line, "aaaa", "too long");
	memset(line, 'a', WORD_MOST - 1);
	line[WORD_MOST - 1] = 0;
	bad(line, "aaaa", "no option");
	line[WORD_MOST - 1] = 'a';
	line[WORD_MOST] = 0;
	bad(line, "aaaa", "too long");
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
		cmocka_unit_test(defaults), cmocka_unit_test(words), cmocka_unit_test(amounts), cmocka_unit_test(numbers),
		cmocka_unit_test(names), cmocka_unit_test(features_hidden), cmocka_unit_test(unknown), cmocka_unit_test(quotes),
		cmocka_unit_test(long_lines), cmocka_unit_test(formats),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
