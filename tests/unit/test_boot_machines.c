/*
 * The module `vms`: every word at its borders, comments and blank lines, and that what is wrong is named with its line.
 */
#include "core/bits.h"
#include "x86/boot/machines.h"
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
	bad("vm name=a kernel=vmlinuz disk=memory:65G", "disk=memory:65G", "from 512 bytes to 64G");
	bad("vm name=a kernel=vmlinuz disk=memory:511", "disk=", "512");
	bad("vm name=a kernel=vmlinuz disk=memory:", "disk=", "memory:SIZE");
	bad("vm name=a kernel=vmlinuz disk=nothing", "disk=nothing", "no boot module");
	bad("vm name=a kernel=vmlinuz disk=small", "disk=small", "shorter than a sector");
}

static void wrong_lines(void **state)
{
	(void)state;
	bad("", "vms", "defines no machine");
	bad("# nothing\n\n", "vms", "defines no machine");
	bad("name=a kernel=vmlinuz", "line 1", "begin with `vm `");
	bad("vmname=a", "line 1", "begin with `vm `");
	bad("vm name=a kernel=vmlinuz\nvm name=a kernel=vmlinuz", "line 2", "two machines named a");
	bad("\n\nvm kernel=vmlinuz", "line 3", "needs a name");
	bad("vm name=a", "line 1", "needs a kernel");
	bad("vm name=a kernel=nothing", "kernel=nothing", "no boot module");
	bad("vm name=a kernel=vmlinu", "kernel=vmlinu", "no boot module");
	bad("vm name=a kernel=", "kernel=", "no boot module");
	bad("vm name=a kernel=vmlinuz colour=red", "colour", "there are name mem");
	bad("vm name=a kernel=vmlinuz cmdline=\"open", "line 1", "second quote");
}

static void wrong_values(void **state)
{
	(void)state;
	bad("vm name=a kernel=vmlinuz mem=0", "mem=0", "from 1M");
	bad("vm name=a kernel=vmlinuz mem=512G", "mem=512G", "to 511G");
	bad("vm name=a kernel=vmlinuz vcpus=0", "vcpus=0", "from 1 to 8");
	bad("vm name=a kernel=vmlinuz vcpus=9", "vcpus=9", "from 1 to 8");
	bad("vm name=a kernel=vmlinuz weight=0", "weight=0", "from 1 to 10000");
	bad("vm name=a kernel=vmlinuz weight=10001", "weight=10001", "from 1 to 10000");
	bad("vm name=a kernel=vmlinuz start=maybe", "start=maybe", "yes, no");
	bad("vm name=a kernel=vmlinuz reset=maybe", "reset=maybe", "restart, end");
	bad("vm name=a kernel=vmlinuz mmu=shadow", "mmu=shadow", "auto, nested");
	bad("vm name=a-name-that-is-much-too-long-for-a-name kernel=vmlinuz", "name=", "1 to 31");
	bad("vm name=a kernel=vmlinuz module=data module=data module=data module=data module=data module=data module=data module=data",
	    "module=data", "there can be 7");
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults), cmocka_unit_test(several), cmocka_unit_test(disks), cmocka_unit_test(wrong_lines),
		cmocka_unit_test(wrong_values), cmocka_unit_test(many), cmocka_unit_test(long_texts), cmocka_unit_test(from_options),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
