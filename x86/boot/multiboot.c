/*
 * multiboot: both versions, one function per piece. Every field is input: nothing is read that the reader has not given.
 * Pure, builds hosted.
 */
#include "x86/boot/multiboot.h"

#include "core/bits.h"
#include "x86/boot/multiboot_abi.h"
#include "x86/cpu/string.h"

struct parse {
	const struct reader *reader;
	struct boot_info *boot;
	struct loader_info *info;
	const char *error;
};

static bool fail(struct parse *p, const char *error)
{
	p->error = error;
	return false;
}

/* ---- strings ---- */

/* Copies `length` bytes and a NUL. NULL: no room. */
static const char *text_keep(struct parse *p, const char *from, u32 length)
{
	struct loader_info *info = p->info;
	if (length >= BOOT_TEXT_BYTES - info->text_used)
		return NULL;
	char *to = info->text + info->text_used;
	memcpy(to, from, length);
	to[length] = 0;
	info->text_used += length + 1;
	return to;
}

/* A NUL-terminated string at a physical address, kept from its second word on if `skip_name`. */
static bool string_keep(struct parse *p, u64 address, bool skip_name, const char **to)
{
	char line[BOOT_LINE_BYTES];
	u32 length = 0, first = 0;
	for (;; length++) {
		const char *c = reader_at(p->reader, address + length, 1);
		if (!c)
			return fail(p, "the loader's command line does not lie in memory that can be read");
		if (!*c)
			break;
		if (length == BOOT_LINE_BYTES - 1)
			return fail(p, "a command line is longer than 4095 bytes");
		line[length] = *c;
	}
	if (skip_name) {
		while (first < length && line[first] != ' ')
			first++;
		while (first < length && line[first] == ' ')
			first++;
	}
	*to = text_keep(p, line + first, length - first);
	return *to ? true : fail(p, "the command lines together are longer than 16384 bytes");
}

static bool module_add(struct parse *p, u64 first, u64 end, u64 string, bool skip_name)
{
	struct boot_info *boot = p->boot;
	struct boot_module *m = &boot->module[boot->module_count];
	if (boot->module_count == BOOT_MAX_MODULES)
		return fail(p, "there are more than 16 modules");
	if (end < first || !reader_at(p->reader, first, end - first))
		return fail(p, "a module does not lie in memory that can be read");
	*m = (struct boot_module){ hpa(first), end - first, p->info->text };
	if (string && !string_keep(p, string, skip_name, &m->cmdline))
		return false;
	boot->module_count++;
	return true;
}

/* ---- version 1: a fixed structure, of which flags tell what is there ---- */

enum { MB1_MEMORY = 1 << 0, MB1_CMDLINE = 1 << 2, MB1_MODULES = 1 << 3, MB1_MAP = 1 << 6, MB1_LOADER = 1 << 9 };
enum mb1_field {
	MB1_AT_FLAGS = 0, MB1_AT_MEM_LOWER = 4, MB1_AT_MEM_UPPER = 8, MB1_AT_CMDLINE = 16, MB1_AT_MODS_COUNT = 20,
	MB1_AT_MODS = 24, MB1_AT_MAP_LENGTH = 44, MB1_AT_MAP = 48, MB1_AT_LOADER = 64, MB1_BYTES = 68,
};
enum { MB1_MODULE_BYTES = 16, MB1_MAP_ENTRY_LEAST = 20 };
#define KIB 1024ull
#define UPPER_MEMORY 0x100000ull
#define MAP_RAM 1u

static bool mb1_map(struct parse *p, u32 at, u32 length)
{
	u64 end = (u64)at + length;
	for (u64 entry = at; entry + 4 + MB1_MAP_ENTRY_LEAST <= end;) {
		const u8 *e = reader_at(p->reader, entry, 4 + MB1_MAP_ENTRY_LEAST);
		if (!e || get32(e) < MB1_MAP_ENTRY_LEAST)
			return fail(p, "the loader's memory map is damaged");
		raw_map_add(&p->info->map, get64(e + 4), get64(e + 12), get32(e + 20) == MAP_RAM);
		entry += 4ull + get32(e);
	}
	return true;
}

static bool mb1_modules(struct parse *p, u32 at, u32 count)
{
	for (u32 i = 0; i < count; i++) {
		const u8 *m = reader_at(p->reader, (u64)at + (u64)i * MB1_MODULE_BYTES, MB1_MODULE_BYTES);
		if (!m)
			return fail(p, "the loader's list of modules does not lie in memory that can be read");
		if (!module_add(p, get32(m), get32(m + 4), get32(m + 8), true))
			return false;
	}
	return true;
}

static bool mb1_parse(struct parse *p, u64 address)
{
	const u8 *i = reader_at(p->reader, address, MB1_BYTES);
	if (!i)
		return fail(p, "the loader's information does not lie in memory that can be read");
	u32 flags = get32(i + MB1_AT_FLAGS);
	if ((flags & MB1_CMDLINE) && !string_keep(p, get32(i + MB1_AT_CMDLINE), true, &p->boot->cmdline))
		return false;
	if ((flags & MB1_LOADER) && !string_keep(p, get32(i + MB1_AT_LOADER), false, &p->boot->loader))
		return false;
	if ((flags & MB1_MODULES) && !mb1_modules(p, get32(i + MB1_AT_MODS), get32(i + MB1_AT_MODS_COUNT)))
		return false;
	if (flags & MB1_MAP)
		return mb1_map(p, get32(i + MB1_AT_MAP), get32(i + MB1_AT_MAP_LENGTH));
	if (flags & MB1_MEMORY) {
		raw_map_add(&p->info->map, 0, get32(i + MB1_AT_MEM_LOWER) * KIB, true);
		raw_map_add(&p->info->map, UPPER_MEMORY, get32(i + MB1_AT_MEM_UPPER) * KIB, true);
	}
	return true;
}

/* ---- version 2: a list of tags, each with its type and size, eight-byte aligned ---- */

enum mb2_tag {
	MB2_END = 0, MB2_CMDLINE = 1, MB2_LOADER = 2, MB2_MODULE = 3, MB2_MAP = 6, MB2_FRAMEBUFFER = 8, MB2_RSDP_OLD = 14,
	MB2_RSDP_NEW = 15,
};
enum { MB2_HEADER = 8, MB2_TAG_HEADER = 8, MB2_MODULE_LEAST = 17, MB2_MAP_HEADER = 16, MB2_MAP_ENTRY_LEAST = 24, MB2_FRAMEBUFFER_LEAST = 31, MB2_ALIGN = 8 };

static bool mb2_map(struct parse *p, const u8 *tag, u32 bytes)
{
	u32 entry = bytes >= MB2_MAP_HEADER ? get32(tag + 8) : 0;
	if (entry < MB2_MAP_ENTRY_LEAST)
		return fail(p, "the loader's memory map is damaged");
	for (u64 at = MB2_MAP_HEADER; at + entry <= bytes; at += entry)
		raw_map_add(&p->info->map, get64(tag + at), get64(tag + at + 8), get32(tag + at + 16) == MAP_RAM);
	return true;
}

/* One cut short is none: a start does not need a display. */
static void mb2_framebuffer(struct framebuffer *f, const u8 *tag, u32 bytes)
{
	if (bytes >= MB2_FRAMEBUFFER_LEAST)
		*f = (struct framebuffer){ .address = get64(tag + 8), .pitch = get32(tag + 16), .width = get32(tag + 20),
					   .height = get32(tag + 24), .bits = tag[28], .type = tag[29] };
}

static bool mb2_tag(struct parse *p, u64 address, const u8 *tag, u32 bytes)
{
	switch (get32(tag)) {
	case MB2_CMDLINE:
		return string_keep(p, address + MB2_TAG_HEADER, false, &p->boot->cmdline);
	case MB2_LOADER:
		return string_keep(p, address + MB2_TAG_HEADER, false, &p->boot->loader);
	case MB2_MODULE:
		if (bytes < MB2_MODULE_LEAST)
			return fail(p, "the loader's list of modules is damaged");
		return module_add(p, get32(tag + 8), get32(tag + 12), address + 16, false);
	case MB2_MAP:
		return mb2_map(p, tag, bytes);
	case MB2_FRAMEBUFFER:
		mb2_framebuffer(&p->info->framebuffer, tag, bytes);
		return true;
	case MB2_RSDP_OLD:
	case MB2_RSDP_NEW:
		/* The newer, longer one wins wherever it stands. */
		if (bytes - MB2_TAG_HEADER > p->info->rsdp_bytes) {
			p->info->rsdp_bytes = (u32)min_u64(bytes - MB2_TAG_HEADER, RSDP_BYTES);
			memcpy(p->info->rsdp, tag + MB2_TAG_HEADER, p->info->rsdp_bytes);
		}
		return true;
	default:
		return true;
	}
}

static bool mb2_parse(struct parse *p, u64 address)
{
	const u8 *header = reader_at(p->reader, address, MB2_HEADER);
	u64 end = header ? address + get32(header) : 0;
	for (u64 at = address + MB2_HEADER; at + MB2_TAG_HEADER <= end;) {
		const u8 *tag = reader_at(p->reader, at, MB2_TAG_HEADER);
		u32 bytes = tag ? get32(tag + 4) : 0;
		if (bytes < MB2_TAG_HEADER || at + bytes > end || !(tag = reader_at(p->reader, at, bytes)))
			break;
		if (get32(tag) == MB2_END)
			return true;
		if (!mb2_tag(p, at, tag, bytes))
			return false;
		at += align_up(bytes, MB2_ALIGN);
	}
	return fail(p, "the loader's information is damaged");
}

status multiboot_parse(u32 magic, u64 address, const struct reader *reader, struct boot_info *boot, struct loader_info *info,
		       const char **error)
{
	struct parse p = { reader, boot, info, NULL };
	bool good = false;
	info->text[0] = 0; /* where strings that are not given lie: constants of ours go when the start does */
	info->text_used = 1;
	boot->cmdline = boot->loader = info->text;
	boot->module_count = 0;
	info->map.count = info->map.lost = info->rsdp_bytes = 0;
	info->framebuffer = (struct framebuffer){ 0 };
	if (magic == MULTIBOOT1_MAGIC)
		good = mb1_parse(&p, address);
	else if (magic == MULTIBOOT2_MAGIC)
		good = mb2_parse(&p, address);
	else
		fail(&p, "the loader is not a Multiboot loader: use GRUB's multiboot2 command or QEMU's -kernel");
	if (good && !info->map.count)
		good = fail(&p, "the loader gave no memory map");
	*error = p.error;
	return good ? OK : BAD_VALUE;
}
