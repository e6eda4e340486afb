/*
 * The module `vms`: every word at its borders, comments and blank lines, and that what is wrong is named with its line.
 */
#include "core/bits.h"
#include "x86/boot/machines.h"
#include "x86/boot/reader.h"
#include "x86/cpu/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct boot_info boot = {
	.module_count = 4,
	.module = { { .cmdline = "vmlinuz quiet", .bytes = 8 << 20 }, { .cmdline = "userland", .bytes = 1 << 20 },
		    { .cmdline = "data", .bytes = 1000 }, { .cmdline = "small", .bytes = 511 } },
};
static struct machine_definition m[MACHINES_MAX];
static u32 count;
static char error[WORDS_ERROR_BYTES];

/* Without a NUL behind it, so that a read too far is seen. */
static status parse(const char *text)
{
	size_t length = strlen(text);
	char *copy = malloc(length ? length : 1);
	assert_non_null(copy);
	memcpy(copy, text, length);
	status r = machines_parse(copy, length, &boot, m, &count, error);
	free(copy);
	return r;
}

static void good(const char *text, u32 wanted)
{
	if (parse(text) != OK)
		fail_msg("'%s': %s", text, error);
	assert_int_equal(count, wanted);
}

static void bad(const char *text, const char *where, const char *advice)
{
	assert_int_equal(parse(text), BAD_VALUE);
	if (!strstr(error, where) || !strstr(error, advice))
		fail_msg("'%s': '%s' lacks '%s' or '%s'", text, error, where, advice);
}

static void defaults(void **state)
{
	(void)state;
	good("vm name=web kernel=vmlinuz", 1);
	assert_string_equal(m[0].name, "web");
	assert_int_equal(m[0].memory, 1ull << 30);
	assert_int_equal(m[0].vcpus, 1);
	assert_int_equal(m[0].weight, MACHINE_WEIGHT);
	assert_int_equal(m[0].kernel, 0);
	assert_int_equal(m[0].modules.count, 0);
	assert_int_equal(m[0].disk.kind, MON_DISK_NONE);
	assert_int_equal(m[0].monitor, MODULE_NONE);
	assert_int_equal(m[0].start, START_YES);
	assert_int_equal(m[0].reset, RESET_RESTART);
	assert_string_equal(m[0].cmdline, "");
}

static void several(void **state)
{
	(void)state;
	good("# two\n\n  vm name=a kernel=vmlinuz initrd=userland cmdline=\"x # y\" # a comment\r\n"
	     "vm\tname=b mem=2G vcpus=8 weight=10000 kernel=vmlinuz module=userland module=data disk=memory:64M mmu=nested start=no reset=end\n", 2);
	assert_string_equal(m[0].cmdline, "x # y");
	assert_int_equal(m[0].modules.count, 1);
	assert_int_equal(m[0].modules.at[0], 1);
	assert_int_equal(m[1].memory, 2ull << 30);
	assert_int_equal(m[1].modules.at[1], 2);
	assert_int_equal(m[1].disk.kind, MON_DISK_MEMORY);
	assert_int_equal(m[1].disk.bytes, 64 << 20);
	assert_int_equal(m[1].start, START_NO);
	assert_int_equal(m[1].reset, RESET_END);
}

static void disks(void **state)
{
	(void)state;
	good("vm name=a kernel=vmlinuz disk=data", 1);
	assert_int_equal(m[0].disk.kind, MON_DISK_IMAGE);
	assert_int_equal(m[0].disk.module, 2);
	assert_int_equal(m[0].disk.bytes, 512); /* whole sectors only */
	good("vm name=a kernel=vmlinuz disk=memory:1025", 1);
	assert_int_equal(m[0].disk.bytes, 1024);
	good("vm name=a kernel=vmlinuz disk=memory:64G", 1);
	good("vm name=a kernel=vmlinuz disk=memory:512", 1);
	assert_int_equal(m[0].disk.bytes, 512);
}

/* ---- bad input ---- */

#define MACHINE "vm name=a kernel=vmlinuz "
#define SEVEN(word) word " " word " " word " " word " " word " " word " " word " "

/* One line a case: what follows a right beginning; what is wrong in it, which the sentence must hold; what would be right, which too. */
static const struct { const char *words, *wrong, *right; } refused_words[] = {
	{ "name=", "name=:", "1 to 31" }, { "name=a-name-that-is-much-too-long-for-a-name", "name=a-name-that-is-much-too-long-for-a-name", "1 to 31" },
	{ "name=12345678901234567890123456789012", "name=12345678901234567890123456789012", "1 to 31" },
	{ "\"name=a b\"", "name=a b", "without blanks" }, { "name=a/b", "name=a/b", "holds no /" }, { "name", "name", "name=..." },
	{ "mem=0", "mem=0:", "from 1M to 511G" }, { "mem=1", "mem=1:", "from 1M to 511G" }, { "mem=1023K", "mem=1023K", "from 1M to 511G" },
	{ "mem=512G", "mem=512G", "from 1M to 511G" }, { "mem=1P", "mem=1P", "from 1M to 511G" }, { "mem=", "mem=:", "from 1M to 511G" },
	{ "mem=9223372036854775808", "mem=9223372036854775808", "from 1M to 511G" }, { "mem=8388608T", "mem=8388608T", "from 1M to 511G" },
	{ "mem=18446744073709551616", "mem=18446744073709551616", "from 1M to 511G" }, { "mem", "mem", "mem=..." },
	{ "vcpus=0", "vcpus=0", "from 1 to 8" }, { "vcpus=9", "vcpus=9", "from 1 to 8" }, { "vcpus=4294967297", "vcpus=4294967297", "from 1 to 8" },
	{ "vcpus=9223372036854775808", "vcpus=9223372036854775808", "from 1 to 8" }, { "vcpus=two", "vcpus=two", "from 1 to 8" },
	{ "vcpus=1K", "vcpus=1K", "from 1 to 8" }, { "vcpus", "vcpus", "vcpus=..." },
	{ "weight=0", "weight=0", "from 1 to 10000" }, { "weight=10001", "weight=10001", "from 1 to 10000" },
	{ "weight=-1", "weight=-1", "from 1 to 10000" }, { "weight", "weight", "weight=..." },
	{ "start=maybe", "start=maybe", "yes, no" }, { "start=", "start=:", "yes, no" }, { "start=yes,no", "start=yes,no", "yes, no" },
	{ "reset=maybe", "reset=maybe", "restart, end" }, { "reset=RESTART", "reset=RESTART", "restart, end" },
	{ "mmu=shadow", "mmu=shadow", "auto, nested" }, { "mmu=", "mmu=:", "auto, nested" },
	{ "kernel=nothing", "kernel=nothing", "there are: vmlinuz userland data small" }, { "kernel=vmlinu", "kernel=vmlinu:", "there are: vmlinuz" },
	{ "kernel=vmlinuzz", "kernel=vmlinuzz:", "there are: vmlinuz" }, { "kernel=quiet", "kernel=quiet", "there are: vmlinuz" },
	{ "kernel=", "kernel=:", "there are: vmlinuz" }, { "kernel", "kernel", "kernel=..." },
	{ "initrd=nothing", "initrd=nothing", "there are: vmlinuz" }, { "module=nothing", "module=nothing", "there are: vmlinuz" },
	{ "monitor=nothing", "monitor=nothing", "there are: vmlinuz" }, { "monitor=", "monitor=:", "there are: vmlinuz" },
	{ SEVEN("module=data") "module=small", "module=small", "there can be 7" }, { SEVEN("initrd=data") "module=small", "module=small", "there can be 7" },
	{ SEVEN("module=data") "initrd=small", "initrd=small", "there can be 7" },
	{ "disk=nothing", "disk=nothing", "memory:64M" }, { "disk=", "disk=:", "1 to 31" }, { "disk=small", "disk=small", "sector of 512 bytes" },
	{ "disk=memory:", "disk=memory::", "memory:SIZE" }, { "disk=memory:0", "disk=memory:0", "from 512 bytes to 64G" },
	{ "disk=memory:511", "disk=memory:511", "from 512 bytes to 64G" }, { "disk=memory:65G", "disk=memory:65G", "from 512 bytes to 64G" },
	{ "disk=memory:68719476737", "disk=memory:68719476737", "from 512 bytes to 64G" }, { "disk=memory:1M1", "disk=memory:1M1", "memory:64M" },
	{ "disk=memory:9223372036854775808", "disk=memory:9223372036854775808", "from 512 bytes to 64G" },
	{ "disk=Memory:64M", "disk=Memory:64M", "memory:64M" },
	{ "colour=red", "no option colour;", "there are name mem vcpus weight kernel" }, { "=red", "no option ;", "there are name mem" },
	{ "cmdline=\"open", "cmdline=open", "second quote" }, { "cmdline", "cmdline", "cmdline=..." },
};

static void wrong_words(void **state)
{
	char text[512];
	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(refused_words); i++) {
		format_text(text, sizeof(text), "# the machines\n\n" MACHINE "%s\nvm what comes after it", refused_words[i].words);
		bad(text, refused_words[i].wrong, refused_words[i].right);
		if (!strstr(error, "vms, line 3: "))
			fail_msg("'%s' names no line", error);
	}
}

/* The same for whole texts. */
static const struct { const char *text, *wrong, *right; } refused_texts[] = {
	{ "", "vms: ", "vm name=web" }, { "# nothing\n\n", "vms: ", "vm name=web" }, { "\n", "vms: ", "vm name=web" },
	{ " \t\r\n", "vms: ", "vm name=web" }, { "#vm name=a kernel=vmlinuz", "vms: ", "vm name=web" },
	{ "name=a kernel=vmlinuz", "line 1: it begins with `name=a`", "begin with `vm `" }, { "vmname=a", "`vmname=a`", "begin with `vm `" },
	{ "vm", "`vm`", "vm name=web" }, { "VM name=a", "`VM`", "begin with `vm `" }, { "\"vm\" name=a", "`\"vm\"`", "begin with `vm `" },
	{ "vm ", "line 1", "name=..." }, { "\n\nvm kernel=vmlinuz", "line 3", "name=..." }, { "vm name=a", "machine a", "kernel=" },
	{ MACHINE "\n" MACHINE, "line 2: name=a", "each needs its own" },
	{ "vm name=b kernel=vmlinuz\n" MACHINE "\n" MACHINE, "line 3: name=a", "each needs its own" },
	{ MACHINE "\nvm name=b kernel=vmlinuz mem=0", "line 2: mem=0", "from 1M" },
};

static void wrong_texts(void **state)
{
	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(refused_texts); i++)
		bad(refused_texts[i].text, refused_texts[i].wrong, refused_texts[i].right);
}

static void at_the_borders(void **state)
{
	(void)state;
	good(MACHINE "mem=1M vcpus=1 weight=1", 1);
	assert_int_equal(m[0].memory, 1 << 20);
	good(MACHINE "mem=511G vcpus=8 weight=10000 " SEVEN("module=small"), 1);
	assert_int_equal(m[0].memory, 511ull << 30);
	assert_int_equal(m[0].vcpus, MACHINE_VCPUS_MAX);
	assert_int_equal(m[0].modules.count, 7);
	good("vm name=a name=b kernel=data mem=2G kernel=vmlinuz mem=1G", 1); /* of two equal words the last one holds */
	assert_string_equal(m[0].name, "b");
	assert_int_equal(m[0].kernel, 0);
	assert_int_equal(m[0].memory, 1 << 30);
}

static void many(void **state)
{
	char text[64 * (MACHINES_MAX + 1)] = "", line[64];
	(void)state;
	for (u32 i = 0; i <= MACHINES_MAX; i++) {
		format_text(line, sizeof(line), "vm name=m%u kernel=vmlinuz\n", i);
		strcat(text, line);
		if (i + 1 == MACHINES_MAX)
			good(text, MACHINES_MAX);
	}
	bad(text, "line 17", "there can be 16 machines");
}

static void long_texts(void **state)
{
	static char text[8192];
	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	memcpy(text, "vm name=", 8);
	bad(text, "line 1", "longer than 4095 bytes");
	memset(text, 0, sizeof(text));
	format_text(text, sizeof(text), "vm name=a kernel=vmlinuz cmdline=");
	memset(text + strlen(text), 'b', MON_CMDLINE_MAX - 1);
	good(text, 1);
	assert_int_equal(strlen(m[0].cmdline), MON_CMDLINE_MAX - 1);
	strcat(text, "b");
	bad(text, "cmdline=", "longer than 2047 bytes");
	assert_int_equal(machines_parse("vm name=a\0kernel=vmlinuz", 24, &boot, m, &count, error), BAD_VALUE);
	assert_non_null(strstr(error, "byte 0"));
}

static void from_options(void **state)
{
	struct options o;
	(void)state;
	options_defaults(&o);
	machines_from_options(&o, &boot, m, &count);
	assert_int_equal(count, 1);
	assert_string_equal(m[0].name, "guest");
	assert_string_equal(m[0].cmdline, "vmlinuz quiet");
	assert_int_equal(m[0].kernel, 0);
	assert_int_equal(m[0].modules.count, 3);
	assert_int_equal(m[0].reset, RESET_END);
}

/* ---- what the loader has brought as a whole ---- */

static const void *lies_there(void *context, u64 address, u64 bytes)
{
	const char *text = context;
	return address == PAGE_SIZE && bytes == strlen(text) ? text : NULL;
}

static const char *read_from(const char *text, u32 modules, struct options *o)
{
	const struct reader reader = { lies_there, (void *)text };
	struct boot_info loaded = { .module_count = modules };
	char names[BOOT_MAX_MODULES][16];
	for (u32 i = 0; i < modules; i++) {
		format_text(names[i], sizeof names[i], i == 1 ? "vms" : "kernel%u", i);
		loaded.module[i] = (struct boot_module){ .first = hpa(PAGE_SIZE), .bytes = 100, .cmdline = names[i] };
	}
	loaded.module[1].bytes = strlen(text);
	return machines_read(&reader, &loaded, o);
}

static void read_refuses(const char *text, u32 modules, const char *wanted)
{
	struct options o = { .operator = ANSWER_AUTO };
	const char *why = read_from(text, modules, &o);
	if (!why || !strstr(why, wanted))
		fail_msg("'%s' lacks '%s'", why ? why : "nothing", wanted);
}

static void read_as_a_whole(void **state)
{
	static const char text[] = "vm name=a kernel=kernel0\nvm name=b kernel=kernel2\n";
	struct options o = { .operator = ANSWER_AUTO };
	(void)state;
	assert_null(read_from(text, 3, &o));
	assert_int_equal(machine_count, 2);
	assert_int_equal(machines[1].kernel, 2);
	assert_int_equal(o.operator, ANSWER_YES); /* who defines machines wants to talk of them */
	o.operator = ANSWER_NO;
	assert_null(read_from(text, BOOT_MAX_MODULES, &o));
	assert_int_equal(o.operator, ANSWER_NO);
	read_refuses("", 0, "no kernel was given: the first boot module");
	read_refuses("vm name=a kernel=kernel0 kernel=nothing", 3, "vms, line 1: kernel=nothing");
	read_refuses("# none", 3, "vms: it defines no machine");
}

static const void *lies_nowhere(void *context, u64 address, u64 bytes)
{
	(void)context, (void)address, (void)bytes;
	return NULL;
}

static void read_two_of_a_name(void **state)
{
	const struct reader nowhere = { lies_nowhere, NULL };
	struct options o = { .operator = ANSWER_AUTO };
	struct boot_info loaded = { .module_count = 4, .module = { { .cmdline = "vms" }, { .cmdline = "vmlinuz" }, { .cmdline = "vmlinuz2" }, { .cmdline = "" } } };
	(void)state;
	assert_string_equal(machines_read(&nowhere, &loaded, &o), "the module vms does not lie in memory that can be read");
	loaded.module[2].cmdline = "vmlinuz quiet";
	assert_string_equal(machines_read(&nowhere, &loaded, &o), "two boot modules are called vmlinuz; each needs its own name");
	loaded.module[2].cmdline = "vms";
	assert_string_equal(machines_read(&nowhere, &loaded, &o), "two boot modules are called vms; each needs its own name");
}

static void read_what_is_not_there(void **state)
{
	const struct reader nowhere = { lies_nowhere, NULL };
	struct options o = { .operator = ANSWER_AUTO };
	struct boot_info loaded = { .module_count = 1, .module = { { .first = hpa(PAGE_SIZE), .bytes = 8, .cmdline = "vms" } } };
	(void)state;
	assert_string_equal(machines_read(&nowhere, &loaded, &o), "the module vms does not lie in memory that can be read");
	loaded.module_count = MON_MAX_MODULES + 1; /* none of them defines machines */
	for (u32 i = 0; i <= MON_MAX_MODULES; i++)
		loaded.module[i].cmdline = "kernel";
	assert_string_equal(machines_read(&nowhere, &loaded, &o), "there are more than 8 boot modules");
	loaded.module_count--;
	assert_null(machines_read(&nowhere, &loaded, &o));
	assert_true(machine_count == 1 && machines[0].modules.count == MON_MAX_MODULES - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults), cmocka_unit_test(several), cmocka_unit_test(disks), cmocka_unit_test(wrong_words),
		cmocka_unit_test(wrong_texts), cmocka_unit_test(at_the_borders), cmocka_unit_test(many), cmocka_unit_test(read_two_of_a_name), cmocka_unit_test(long_texts), cmocka_unit_test(from_options),
		cmocka_unit_test(read_as_a_whole), cmocka_unit_test(read_what_is_not_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
