/*
 * fuzz_boot: what loaders, firmware and people hand over, made up by libFuzzer: Multiboot 1 and 2, ACPI, lines of `vms`, the command line.
 * The first byte chooses the parser, the rest is memory from BASE on, or the text.
 *
 * A read gives a copy of exactly the bytes asked for, so that the address sanitizer sees one more.
 */
#include <stdlib.h>
#include <string.h>

#include "x86/boot/acpi.h"
#include "x86/boot/multiboot.h"
#include "x86/boot/multiboot_abi.h"
#include "x86/boot/machines.h"

#define BASE 0x1000u
#define COPIES 4096u /* a parser that asks for more gets no more */
#define PHYS_BITS 40u

struct memory { const u8 *bytes; u64 length; void *copies[COPIES]; u32 count; };

static void fuzz_machines(const u8 *bytes, size_t length)
{
	static struct machine_definition at[MACHINES_MAX];
	static const struct boot_info boot = { .module_count = 2, .module = { { .cmdline = "kernel", .bytes = 1 << 20 },
									      { .cmdline = "disk x", .bytes = 1 << 20 } } };
	char error[WORDS_ERROR_BYTES] = "";
	u32 count;
	status r = machines_parse((const char *)bytes, length, &boot, at, &count, error);
	if ((r == OK) == !!error[0] || count > MACHINES_MAX || (r == OK && !count))
		abort();
	for (u32 i = 0; i < count; i++)
		if (at[i].kernel >= boot.module_count || !at[i].name[0] || at[i].modules.count > MODULES_MOST || !at[i].vcpus || !at[i].weight ||
		    at[i].memory < 1 << 20 || at[i].disk.bytes % 512 || !memchr(at[i].cmdline, 0, sizeof(at[i].cmdline)))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const void *memory_at(void *context, u64 address, u64 bytes)
{
	struct memory *m = context;
	if (address < BASE || address - BASE > m->length || bytes > m->length - (address - BASE) || m->count == COPIES)
		return NULL;
	void *copy = malloc(bytes ? bytes : 1);
	if (!copy)
		abort();
	memcpy(copy, m->bytes + (address - BASE), bytes);
	m->copies[m->count++] = copy;
	return copy;
}

static void check_boot(const struct boot_info *boot)
{
	u64 last = 0;
	if (boot->range_count > BOOT_MAX_RANGES || boot->module_count > BOOT_MAX_MODULES || boot->cpu_count > MAX_CPUS)
		abort();
	for (u32 i = 0; i < boot->range_count; last = boot->range[i].first.v + boot->range[i].bytes, i++)
		if (boot->range[i].first.v < last || !boot->range[i].bytes || ((boot->range[i].first.v | boot->range[i].bytes) & PAGE_MASK))
			abort();
}

static void fuzz_loader(u32 magic, const struct reader *reader)
{
	static struct boot_info boot;
	static struct loader_info info;
	const char *why = NULL;
	memset(&boot, 0, sizeof(boot));
	if (multiboot_parse(magic, BASE, reader, &boot, &info, &why) == OK)
		memory_map_resolve(&info.map, PHYS_BITS, &boot);
	else if (!why)
		abort();
	check_boot(&boot);
}

/* The byte at `sum` makes those of [at, at + bytes) sum up to 0: a fuzzer finds that too seldom. */
static void mend_sum(u8 *at, size_t bytes, size_t sum)
{
	u8 all = 0;
	for (size_t i = 0; i < bytes; i++)
		all = (u8)(all + at[i]);
	at[sum] = (u8)(at[sum] - all);
}

static void fuzz_acpi(u8 *bytes, size_t length, const struct reader *reader)
{
	struct boot_info boot = { 0 };
	u32 rsdp = length < RSDP_BYTES ? (u32)length : RSDP_BYTES;
	if (rsdp == RSDP_BYTES) {
		mend_sum(bytes, 20, 8);
		mend_sum(bytes, RSDP_BYTES, 32);
	}
	for (u32 at = 0; at + 36 <= length; at += 4) {
		u32 table = get32(bytes + at + 4);
		if (memcmp(bytes + at, "RSDT", 4) && memcmp(bytes + at, "XSDT", 4) && memcmp(bytes + at, "APIC", 4) &&
		    memcmp(bytes + at, "FACP", 4) && memcmp(bytes + at, "DSDT", 4))
			continue;
		mend_sum(bytes + at, table < length - at ? table : length - at, 9);
	}
	if (acpi_parse(reader, bytes, rsdp, 0, &boot) == OK && !boot.cpu_count)
		abort();
	check_boot(&boot);
}

#define MOST_SCRUB (1ull << 52)

/* A bit for each feature that has a name, and no other. */
static u64 known_features(void)
{
	u32 n = 0, offset;
	while (option_feature(n, &offset))
		n++;
	return (1ull << n) - 1;
}

static void check_options(const struct options *o)
{
	if (o->mem < 1 << 20 || o->mem > 511ull << 30 || !o->vcpus || o->vcpus > MACHINE_VCPUS_MAX || !o->cpus || o->cpus > MAX_CPUS ||
	    o->mark_port > 0xffff || o->console > LINE_NONE || o->log > LINE_NONE || o->panic > PANIC_EXIT || o->operator > ANSWER_YES ||
	    o->screen > SCREEN_NO || o->scrub > MOST_SCRUB || o->fail_alloc > UINT32_MAX || o->probe > UINT32_MAX || o->hide & ~known_features() ||
	    !memchr(o->name, 0, sizeof(o->name)))
		abort();
}

/* The last of two equal words wins: all of it twice says the same. */
static void fuzz_options(const u8 *bytes, size_t length)
{
	struct options once, twice;
	char error[WORDS_ERROR_BYTES], *text = malloc(2 * length + 2);
	if (!text)
		abort();
	memcpy(text, bytes, length);
	text[length] = 0;
	length = strlen(text);
	memset(&once, 0, sizeof(once));
	options_defaults(&once);
	twice = once;
	status st = options_parse(&once, text, error);
	if ((st == OK) != !error[0])
		abort();
	check_options(&once);
	text[length] = ' ';
	memcpy(text + length + 1, text, length);
	text[2 * length + 1] = 0;
	if (st == OK && (options_parse(&twice, text, error) != OK || memcmp(&once, &twice, sizeof(once)) != 0))
		abort();
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct memory m;
	const struct reader reader = { memory_at, &m };
	if (!size)
		return 0;
	u8 *bytes = malloc(size);
	if (!bytes)
		abort();
	memcpy(bytes, data + 1, size - 1);
	m.bytes = bytes;
	m.length = size - 1;
	switch (data[0] % 5) {
	case 0: fuzz_loader(MULTIBOOT1_MAGIC, &reader); break;
	case 1: fuzz_loader(MULTIBOOT2_MAGIC, &reader); break;
	case 2: fuzz_acpi(bytes, size - 1, &reader); break;
	case 3: fuzz_machines(bytes, size - 1); break;
	default: fuzz_options(bytes, size - 1);
	}
	while (m.count)
		free(m.copies[--m.count]);
	free(bytes);
	return 0;
}
