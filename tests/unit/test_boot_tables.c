/*
 * What loaders hand over: Multiboot 1 and 2, the memory map. First well-formed, then cut short at each byte, then with
 * each byte damaged: a parser may refuse or leave something out, but reads nothing that it was not given (ASan watches). ACPI: test_boot_acpi.
 */
#include "tests/unit/boot_reader.h"
#include "x86/boot/memory_map.h"
#include "x86/boot/multiboot.h"
#include "x86/boot/multiboot_abi.h"
#include "x86/mm/mm.h"

static struct loader_info loader;

static status parse_loader(u32 magic, u32 length, const char **why)
{
	struct memory m = { page, length };
	struct reader r = { memory_at, &m };
	return multiboot_parse(magic, BASE, &r, &boot, &loader, why);
}
/* ---- Multiboot 1 ---- */

static void build_mb1(void)
{
	clear();
	put(0, 1 << 0 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 9, 4);
	put(16, put_text(100, "/boot/ringmur.bin  mem=1G vcpus=2"), 4);
	put(20, 2, 4);
	put(24, BASE + 200, 4);
	put(44, 2 * 24, 4);
	put(48, BASE + 300, 4);
	put(64, put_text(150, "loader"), 4);
	put(200, BASE + 400, 4);
	put(204, BASE + 450, 4);
	put(208, put_text(500, "kernel a b"), 4);
	put(216, BASE + 450, 4);
	put(220, BASE + 450, 4);
	put(224, put_text(520, "only-name"), 4);
	for (u32 i = 0; i < 2; i++) {
		put(300 + 24 * i, 20, 4);
		put(304 + 24 * i, i ? 0x100000 : 0, 8);
		put(312 + 24 * i, i ? 0x700000 : 0x9fc00, 8);
		put(320 + 24 * i, 1, 4);
	}
}

static void multiboot1(void **state)
{
	(void)state;
	const char *why;
	build_mb1();
	assert_int_equal(parse_loader(MULTIBOOT1_MAGIC, used, &why), OK);
	assert_string_equal(boot.cmdline, "mem=1G vcpus=2");
	assert_string_equal(boot.loader, "loader");
	assert_int_equal(boot.module_count, 2);
	assert_int_equal(boot.module[0].first.v, BASE + 400);
	assert_int_equal(boot.module[0].bytes, 50);
	assert_string_equal(boot.module[0].cmdline, "a b");
	assert_string_equal(boot.module[1].cmdline, "");
	assert_int_equal(loader.map.count, 2);
	put(0, 1 << 0, 4); /* no map, no strings, no modules: the two old numbers */
	put(4, 640, 4);
	put(8, 1024, 4);
	assert_int_equal(parse_loader(MULTIBOOT1_MAGIC, used, &why), OK);
	assert_string_equal(boot.cmdline, "");
	assert_int_equal(loader.map.at[1].end, 0x200000);
	put(0, 0, 4);
	assert_int_equal(parse_loader(MULTIBOOT1_MAGIC, used, &why), BAD_VALUE);
	assert_non_null(strstr(why, "no memory map"));
	assert_int_equal(parse_loader(0, used, &why), BAD_VALUE);
	assert_non_null(strstr(why, "Multiboot"));
}

static void too_many_modules(void **state)
{
	(void)state;
	const char *why;
	build_mb1();
	put(20, BOOT_MAX_MODULES + 1, 4);
	put(24, BASE + 600, 4);
	for (u32 i = 0; i <= BOOT_MAX_MODULES; i++)
		put(600 + 16 * i + 8, 0, 8);
	assert_int_equal(parse_loader(MULTIBOOT1_MAGIC, 8192, &why), BAD_VALUE);
	assert_non_null(strstr(why, "module"));
}

static void long_command_line(void **state)
{
	(void)state;
	const char *why;
	build_mb1();
	memset(page + 1000, 'x', BOOT_LINE_BYTES);
	page[1000] = 'n';
	page[1001] = ' ';
	put(16, BASE + 1000, 4);
	put(1000 + BOOT_LINE_BYTES - 1, 0, 1);
	assert_int_equal(parse_loader(MULTIBOOT1_MAGIC, 8192, &why), OK);
	assert_int_equal(strlen(boot.cmdline), BOOT_LINE_BYTES - 3);
	put(1000 + BOOT_LINE_BYTES - 1, 'x', 1);
	assert_int_equal(parse_loader(MULTIBOOT1_MAGIC, 8192, &why), BAD_VALUE);
	assert_non_null(strstr(why, "longer"));
}

/* Each of them is short enough. */
static void long_command_lines_together(void **state)
{
	(void)state;
	const char *why;
	u32 length = BOOT_TEXT_BYTES / BOOT_MAX_MODULES - 1; /* a blank that goes, and a NUL that comes: as many as there may be fill it */
	build_mb1();
	put(0, 1 << 3 | 1 << 6, 4); /* no other strings */
	put(20, BOOT_MAX_MODULES, 4);
	put(24, BASE + 600, 4);
	memset(page + 1000, 'x', length);
	put(1000 + length, 0, 1);
	page[1000] = ' '; /* no name, one word */
	for (u32 i = 0; i < BOOT_MAX_MODULES; i++) {
		put(600 + 16 * i, BASE, 4);
		put(600 + 16 * i + 4, BASE, 4);
		put(600 + 16 * i + 8, BASE + 1000, 4);
	}
	assert_int_equal(parse_loader(MULTIBOOT1_MAGIC, 8192, &why), OK);
	assert_int_equal(strlen(boot.module[BOOT_MAX_MODULES - 1].cmdline), length - 1);
	memset(page + 1000 + length, 'x', 4);
	put(1000 + length + 4, 0, 1);
	assert_int_equal(parse_loader(MULTIBOOT1_MAGIC, 8192, &why), BAD_VALUE);
	assert_non_null(strstr(why, "together"));
}

/* ---- Multiboot 2 ---- */

static u32 tag(u32 at, u32 type, u32 bytes)
{
	put(at, type, 4);
	put(at + 4, bytes, 4);
	return (u32)align_up(at + bytes, 8);
}

static void build_mb2(void)
{
	clear();
	u32 at = 8;
	put_text(at + 8, "mem=1G name=x");
	at = tag(at, 1, 8 + 14);
	put(at + 8, BASE + 16, 4);
	put(at + 12, BASE + 64, 4);
	put_text(at + 16, "console=ttyS0 \"a b\"");
	at = tag(at, 3, 16 + 20);
	put(at + 8, 24, 4);
	put(at + 16, 0x100000, 8);
	put(at + 24, 0x700000, 8);
	put(at + 32, 1, 4);
	put(at + 40, 0xf0000, 8);
	put(at + 48, 0x10000, 8);
	put(at + 56, 2, 4);
	at = tag(at, 6, 16 + 48);
	memcpy(page + at + 8, "RSD PTR old.........", 20);
	at = tag(at, 14, 28);
	memcpy(page + at + 8, "RSD PTR new.........................", 36);
	at = tag(at, 15, 44);
	put(at + 8, 0xfd000000, 8);
	put(at + 16, 5120, 4);
	put(at + 20, 1280, 4);
	put(at + 24, 800, 4);
	put(at + 28, 32, 1);
	put(at + 29, 1, 1);
	at = tag(at, 8, 38);
	at = tag(at, 77, 9); /* one that nobody knows */
	at = tag(at, 0, 8);
	put(0, at, 4);
}

static void multiboot2(void **state)
{
	(void)state;
	const char *why;
	build_mb2();
	assert_int_equal(parse_loader(MULTIBOOT2_MAGIC, used, &why), OK);
	assert_string_equal(boot.cmdline, "mem=1G name=x");
	assert_int_equal(boot.module_count, 1);
	assert_int_equal(boot.module[0].bytes, 48);
	assert_string_equal(boot.module[0].cmdline, "console=ttyS0 \"a b\"");
	assert_int_equal(loader.map.count, 2);
	assert_true(loader.map.at[0].ram && !loader.map.at[1].ram);
	assert_int_equal(loader.rsdp_bytes, 36);
	assert_memory_equal(loader.rsdp, "RSD PTR new", 11);
	const struct framebuffer *f = &loader.framebuffer;
	assert_int_equal(f->address, 0xfd000000);
	assert_true(f->pitch == 5120 && f->width == 1280 && f->height == 800 && f->bits == 32 && f->type == FRAMEBUFFER_RGB);
	clear();
	put(0, tag(8, 0, 8), 4); /* no tag but the last */
	assert_int_equal(parse_loader(MULTIBOOT2_MAGIC, used, &why), BAD_VALUE);
	assert_non_null(strstr(why, "no memory map"));
	assert_int_equal(parse_loader(MULTIBOOT2_MAGIC + 1, used, &why), BAD_VALUE);
	assert_non_null(strstr(why, "not a Multiboot loader"));
	build_mb1(); /* what an earlier loader said is forgotten */
	assert_int_equal(parse_loader(MULTIBOOT1_MAGIC, used, &why), OK);
	assert_int_equal(f->width, 0);
}

/* Every length, and every byte with every bit: whatever is answered, nothing outside is read and the lists stay in their bounds. */
static void damage_loader(u32 magic, void (*build)(void))
{
	const char *why;
	build();
	u32 whole = used;
	for (u32 length = 0; length <= whole; length++) {
		status s = parse_loader(magic, length, &why);
		assert_true(s == OK || (s == BAD_VALUE && why && *why));
		forget_copies();
	}
	for (u32 at = 0; at < whole; at++) {
		for (u32 bit = 0; bit < 8; bit++) {
			page[at] ^= (u8)(1u << bit);
			status s = parse_loader(magic, whole, &why);
			assert_true(s == OK || (s == BAD_VALUE && why && *why));
			assert_true(boot.module_count <= BOOT_MAX_MODULES && loader.map.count <= RAW_RANGES && loader.rsdp_bytes <= RSDP_BYTES);
			page[at] ^= (u8)(1u << bit);
			forget_copies();
		}
	}
}

static void damaged_multiboot1(void **state) { (void)state; damage_loader(MULTIBOOT1_MAGIC, build_mb1); }
static void damaged_multiboot2(void **state) { (void)state; damage_loader(MULTIBOOT2_MAGIC, build_mb2); }

/* ---- the memory map ---- */

static struct raw_map raw;

static void is_range(u32 i, u64 first, u64 end, bool ram)
{
	assert_true(i < boot.range_count);
	assert_int_equal(boot.range[i].first.v, first);
	assert_int_equal(boot.range[i].first.v + boot.range[i].bytes, end);
	assert_int_equal(boot.range[i].ram, ram);
}

static void map_overlaps(void **state)
{
	(void)state;
	raw = (struct raw_map){ 0 };
	raw_map_add(&raw, 0x100000, 0x700000, true);
	raw_map_add(&raw, 0, 0x9fc00, true);          /* out of order, not whole pages */
	raw_map_add(&raw, 0x200800, 0x100, false);    /* reserved inside RAM: its whole page */
	raw_map_add(&raw, 0x600000, 0x800000, true);  /* RAM twice */
	raw_map_add(&raw, 0xd00000, 0x200000, false); /* reserved over RAM's end */
	raw_map_add(&raw, 0x300000, 0, false);
	assert_int_equal(memory_map_resolve(&raw, 40, &boot), 0);
	assert_int_equal(boot.range_count, 6);
	is_range(0, 0, 0x1000, false);
	is_range(1, 0x1000, 0x9f000, true);
	is_range(2, 0x100000, 0x200000, true);
	is_range(3, 0x200000, 0x201000, false);
	is_range(4, 0x201000, 0xd00000, true);
	is_range(5, 0xd00000, 0xf00000, false);
	assert_int_equal(memory_map_low_page(&boot), 0x8000);
}

static void map_borders(void **state)
{
	(void)state;
	raw = (struct raw_map){ 0 };
	raw_map_add(&raw, 0xfff, 0x1001, true);              /* one page inside */
	raw_map_add(&raw, 0x5001, 0xffe, true);              /* none */
	raw_map_add(&raw, ~0ull - 0x1800, 0x1000, true);     /* at the end of all addresses */
	raw_map_add(&raw, ~0ull - 0x800, 0x10000, false);    /* over it */
	raw_map_add(&raw, 0xff0000000ull, 0x20000000, true); /* over what the processor can address */
	assert_int_equal(memory_map_resolve(&raw, 36, &boot), 0);
	assert_int_equal(boot.range_count, 3);
	is_range(1, 0x1000, 0x2000, true);
	is_range(2, 0xff0000000ull, 0x1000000000ull, true);
	assert_int_equal(memory_map_low_page(&boot), 0x1000);
	raw = (struct raw_map){ 0 };
	raw_map_add(&raw, 0x100000, 0x100000, true);
	memory_map_resolve(&raw, 40, &boot);
	assert_int_equal(memory_map_low_page(&boot), 0);
}

static void map_too_long(void **state)
{
	(void)state;
	raw = (struct raw_map){ 0 };
	for (u64 i = 0; i < 50; i++) {
		raw_map_add(&raw, 0x100000 + i * 0x10000, 0x4000, true);
		raw_map_add(&raw, 0x108000 + i * 0x10000, 0x4000, false);
	}
	assert_int_equal(memory_map_resolve(&raw, 40, &boot), 0); /* without the reserved ones they fit */
	assert_int_equal(boot.range_count, 50);
	for (u64 i = 50; i < 80; i++)
		raw_map_add(&raw, 0x100000 + i * 0x10000, 0x4000, true);
	assert_int_equal(raw.lost, 2);
	assert_int_equal(memory_map_resolve(&raw, 40, &boot), (50 + 28 - BOOT_MAX_RANGES) * 4);
	assert_int_equal(boot.range_count, BOOT_MAX_RANGES);
}

/* Where something can be put: above 1 MiB, below 4 GiB, beside the image and the modules. */
static void map_free_blocks(void **state)
{
	(void)state;
	raw = (struct raw_map){ 0 };
	raw_map_add(&raw, 0, 0x9f000, true);
	raw_map_add(&raw, 0x100000, 0xb00000, true);
	raw_map_add(&raw, 0xffc00000, 0x800000, true); /* to both sides of 4 GiB */
	assert_int_equal(memory_map_resolve(&raw, 40, &boot), 0);
	boot.image_first = hpa(0x200000);
	boot.image_end = hpa(0x4d3000);
	boot.module_count = 2;
	boot.module[0] = (struct boot_module){ hpa(0), 0x7980, "" };
	boot.module[1] = (struct boot_module){ hpa(0x7ff000), 0x1001, "" };
	static const struct { u64 bytes, at; } table[] = {
		{ 1, 0x600000 }, { 0x1ff000, 0x600000 }, { 0x1ff001, 0xa00000 }, { 0x200000, 0xa00000 }, { 0x200001, 0xffc00000 },
		{ 0x400000, 0xffc00000 }, { 0x400001, 0 }, { ~0ull, 0 },
	};
	for (u32 i = 0; i < ARRAY_SIZE(table); i++)
		assert_int_equal(memory_map_free_block(&boot, table[i].bytes, EARLY_LIMIT), table[i].at);
	assert_int_equal(memory_map_free_block(&boot, 0x800000, 1ull << 39), 0xffc00000);
	boot.module[1].bytes = 1;
	assert_int_equal(memory_map_free_block(&boot, 0x1ff001, EARLY_LIMIT), 0x800000);
	boot.module_count = 1;
	assert_int_equal(memory_map_free_block(&boot, 0x1ff001, EARLY_LIMIT), 0x600000);
	boot.module[0] = (struct boot_module){ hpa(0x5ff000), 0x1001, "" }; /* its last byte is where the block would begin */
	assert_int_equal(memory_map_free_block(&boot, 1, EARLY_LIMIT), 0x800000);
	boot.module[0].bytes = 0x1000;
	assert_int_equal(memory_map_free_block(&boot, 1, EARLY_LIMIT), 0x600000);
}

static u64 moved[3];
static u32 moves;
static void note_move(u64 to, u64 from, u64 bytes)
{
	assert_int_equal(from, moves ? 0x9f000 : 0);
	assert_int_equal(bytes, 0x1000);
	moved[moves++] = to;
}

/* Under UEFI GRUB puts modules where the start of processors is, from address 0 on: they can be read, and are moved. */
static void map_low_modules(void **state)
{
	(void)state;
	raw = (struct raw_map){ 0 };
	raw_map_add(&raw, 0, 0xa0000, true);
	raw_map_add(&raw, 0x100000, 0xb00000, true);
	assert_int_equal(memory_map_resolve(&raw, 40, &boot), 0);
	boot.image_first = hpa(0x200000);
	boot.image_end = hpa(0x400000);
	boot.module_count = 4;
	boot.module[0] = (struct boot_module){ hpa(0), 0x1000, "" };
	boot.module[1] = (struct boot_module){ hpa(0x100000), 0x1000, "" };
	boot.module[2] = (struct boot_module){ hpa(0x9f000), 0x1000, "" };
	boot.module[3] = (struct boot_module){ hpa(0), 0, "" };
	assert_true(memory_map_lift(&boot, note_move));
	assert_int_equal(moves, 2);
	assert_int_equal(moved[0], 0x400000);
	assert_int_equal(moved[1], 0x600000);
	assert_int_equal(boot.module[0].first.v, 0x400000);
	assert_int_equal(boot.module[1].first.v, 0x100000);
	assert_int_equal(boot.module[2].first.v, 0x600000);
	boot.module[0] = (struct boot_module){ hpa(0), 0xb00000, "" };
	assert_false(memory_map_lift(&boot, note_move));
}

/* Each module has pages of its own, which are RAM. */
static void misplaced_modules(void **state)
{
	(void)state;
	raw = (struct raw_map){ 0 };
	raw_map_add(&raw, 0x100000, 0xb00000, true);
	raw_map_add(&raw, 0xc00800, 0x100000, true); /* its first page is none */
	assert_int_equal(memory_map_resolve(&raw, 40, &boot), 0);
	boot.image_first = hpa(0x200000);
	boot.image_end = hpa(0x400800);
	static const struct { u64 first, bytes; bool good; } table[] = {
		{ 0x700000, 0x1000, true }, { 0x703123, 0x5, true }, { 0x100000, 0x100000, true }, { 0x401000, 0x2ff000, true },
		{ 0xbff000, 0x1000, true }, { 0xbff000, 0x1001, false }, { 0xc00800, 0x10, false }, { 0xc01000, 0x10, true },
		{ 0x0ff000, 0x1001, false }, { 0x40000000, 1, false }, { 0x40000000, 0, true },
		{ 0x1ff000, 0x1001, false }, { 0x400000, 0x1000, false }, { 0x400fff, 1, false }, /* the image's pages */
		{ 0x701800, 0x800, false }, { 0x702fff, 2, false }, { 0x701fff, 1, false }, { 0x6ff000, 0x1001, true },
		{ 0x6ff000, 0x2001, false }, { 0x701800, 0, true }, /* the module's before it */
	};
	for (u32 i = 0; i < ARRAY_SIZE(table); i++) {
		boot.module_count = 3;
		boot.module[0] = (struct boot_module){ hpa(0x700000), 0, "" }; /* has no page that others could take */
		boot.module[1] = (struct boot_module){ hpa(0x701800), 0x1000, "" };
		boot.module[2] = (struct boot_module){ hpa(table[i].first), table[i].bytes, "" };
		assert_ptr_equal(memory_map_misplaced(&boot), table[i].good ? NULL : &boot.module[2]);
	}
}

static u8 page_bytes[4 * PAGE_SIZE];
static void clear_bytes(u64 first, u64 bytes)
{
	assert_true(first >= 0x700000 && first - 0x700000 + bytes <= sizeof page_bytes);
	memset(page_bytes + (first - 0x700000), 0, bytes);
}

static void nothing_beside_a_module(void **state)
{
	(void)state;
	boot.module_count = 3;
	boot.module[0] = (struct boot_module){ hpa(0x700123), 0x1001, "" };
	boot.module[1] = (struct boot_module){ hpa(0x702000), 0x1000, "" };
	boot.module[2] = (struct boot_module){ hpa(0x703800), 0, "" };
	memset(page_bytes, 0xd1, sizeof page_bytes);
	memory_map_trim(&boot, clear_bytes);
	for (u32 i = 0; i < sizeof page_bytes; i++) {
		bool module = (i >= 0x123 && i < 0x123 + 0x1001) || i >= 0x2000;
		assert_int_equal(page_bytes[i], module ? 0xd1 : 0);
	}
}

/* An entry that is not RAM counts also where the list has no room for it. */
static void map_overflows(void **state)
{
	(void)state;
	raw = (struct raw_map){ 0 };
	for (u64 i = 0; i < RAW_RANGES; i++)
		raw_map_add(&raw, 0x100000 + i * 0x10000, 0x10000, true);
	raw_map_add(&raw, 0x148000, 0x1000, false);
	raw_map_add(&raw, 0x9000000, 0x1000, true);
	assert_int_equal(raw.lost, 2);
	assert_int_equal(memory_map_resolve(&raw, 40, &boot), 0);
	assert_int_equal(boot.range_count, 3); /* page 0 first */
	assert_true(boot.range[1].ram && boot.range[1].first.v == 0x100000 && boot.range[1].bytes == 0x40000);
	assert_true(boot.range[2].ram && boot.range[2].first.v == 0x150000);
}

static void early_addresses(void **state)
{
	static const struct { u64 at, bytes, seen; } table[] = {
		{ 0, 0, IMAGE_BASE }, { 0, 1, IMAGE_BASE }, { 0x1000, 8, IMAGE_BASE + 0x1000 }, { 0, 1ull << 30, IMAGE_BASE },
		{ (1ull << 30) - 8, 8, IMAGE_BASE + (1ull << 30) - 8 }, { (1ull << 30) - 8, 9, (1ull << 30) - 8 }, { 0, (1ull << 30) + 1, 0 },
		{ 1ull << 31, 1, 1ull << 31 }, { (1ull << 32) - 1, 1, (1ull << 32) - 1 }, { (1ull << 32) - 1, 2, 0 }, { 1ull << 32, 0, 0 },
		{ 1, 1ull << 32, 0 }, { ~0ull, 1, 0 }, { 4096, ~0ull, 0 },
	};
	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(table); i++)
		assert_int_equal(early_address(table[i].at, table[i].bytes), table[i].seen);
}

/* Random maps against a map of pages. */
static void map_random(void **state)
{
	(void)state;
	enum { PAGES = 64 };
	srand(1);
	for (u32 round = 0; round < 3000; round++) {
		u8 wanted[PAGES] = { 0 };
		raw = (struct raw_map){ 0 };
		for (u32 n = (u32)rand() % 8; n; n--) {
			u64 first = (u64)(rand() % (PAGES * 4)) * 1024, end = first + (u64)(rand() % 64) * 1024;
			bool ram = rand() & 1;
			raw_map_add(&raw, first, end - first, ram);
			for (u64 p = 0; p < PAGES && end > first; p++) {
				bool whole = first <= p * PAGE_SIZE && end >= (p + 1) * PAGE_SIZE;
				bool part = first < (p + 1) * PAGE_SIZE && end > p * PAGE_SIZE;
				if (ram ? whole && wanted[p] != 2 : part)
					wanted[p] = ram ? 1 : 2;
			}
		}
		wanted[0] = 2;
		memory_map_resolve(&raw, 40, &boot);
		u64 last = 0;
		for (u32 i = 0; i < boot.range_count; i++) {
			const struct boot_range *r = &boot.range[i];
			assert_true(r->first.v >= last && r->bytes && !((r->first.v | r->bytes) & PAGE_MASK));
			last = r->first.v + r->bytes;
			for (u64 p = r->first.v >> PAGE_SHIFT; p < last >> PAGE_SHIFT && p < PAGES; p++) {
				assert_int_equal(wanted[p], r->ram ? 1 : 2);
				wanted[p] = 0;
			}
		}
		for (u32 p = 0; p < PAGES; p++)
			assert_int_equal(wanted[p], 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(multiboot1),
		cmocka_unit_test(too_many_modules),
		cmocka_unit_test(long_command_line),
		cmocka_unit_test(long_command_lines_together),
		cmocka_unit_test(multiboot2),
		cmocka_unit_test(damaged_multiboot1),
		cmocka_unit_test(damaged_multiboot2),
		cmocka_unit_test(map_overlaps),
		cmocka_unit_test(map_borders),
		cmocka_unit_test(map_too_long),
		cmocka_unit_test(map_free_blocks),
		cmocka_unit_test(map_low_modules),
		cmocka_unit_test(misplaced_modules),
		cmocka_unit_test(nothing_beside_a_module),
		cmocka_unit_test(map_overflows),
		cmocka_unit_test(early_addresses),
		cmocka_unit_test(map_random),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	forget_copies();
	return failed;
}
