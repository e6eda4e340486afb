/*
 * test_monitor_bad_images: what the loaders answer to images that are wrong: every field at its borders, every length, wild and random ones. The
 * sentence names the number that is wrong, or how long the file is.
 */
#include "tests/unit/load_images.h"

#include <stdio.h>

/* ---- fields at their borders: one line a case ---- */

static void make_flat_image(void) { make_flat(0x100000 + MB_AT, 0x100000, 0x102000, 0); }
static void make_mb64(void) { make_elf64(), put_header(0); }
static void make_mb32(void) { make_elf32(), put_header(0); }

static const struct kind { const char *name; void (*make)(void); u32 size; } kinds[] = {
	{ "bzImage", make_bzimage, BZ_SIZE }, { "PVH", make_pvh, ELF_SIZE }, { "Multiboot ELF64", make_mb64, ELF_SIZE },
	{ "Multiboot ELF32", make_mb32, ELF_SIZE }, { "Multiboot flat", make_flat_image, 0x2000 },
};
enum { BZ, PVH, MB64, MB32, FLAT };

#define TOP (1ull << 63)
#define SEGMENT (ELF_PHDRS)     /* of PVH and ELF64 */
#define NOTES (ELF_PHDRS + 56)
#define SEGMENT32 52u
#define FREE "not in free memory"
#define NEITHER "neither a bzImage nor"

/* The value at that place of that kind; NULL: it starts; else what the sentence says, and the number that it names (NULL: the file's length). */
static const struct { u32 kind, at, bytes; u64 value; const char *why, *named; } borders[] = {
	{ BZ, 0x1f1, 1, 1, NULL, NULL },                  { BZ, 0x1f1, 1, 0, "cut short", NULL }, /* 0 is 4 */
	{ BZ, 0x1f1, 1, 8, "cut short", NULL },           { BZ, 0x1f1, 1, 9, "cut short", NULL },        { BZ, 0x1f1, 1, 255, "cut short", NULL },
	{ BZ, 0x1f4, 4, 256, NULL, NULL },                { BZ, 0x1f4, 4, 257, "cut short", NULL },      { BZ, 0x1f4, 4, 0, NULL, NULL },
	{ BZ, 0x1f4, 4, 0xffffffff, "cut short", NULL },  { BZ, 0x1f4, 4, 0x80000000, "cut short", NULL },
	{ BZ, 0x1fe, 2, 0xaa54, NEITHER, NULL },          { BZ, 0x202, 4, 0x53726449, NEITHER, NULL },
	{ BZ, 0x206, 2, 0x0206, NULL, NULL },             { BZ, 0x206, 2, 0x0205, "2.06 or later", "2.5" }, { BZ, 0x206, 2, 0, "2.06 or later", "0.0" },
	{ BZ, 0x206, 2, 0xffff, NULL, NULL },             { BZ, 0x211, 1, 0, "2.06 or later", "2.15" },
	{ BZ, 0x238, 4, 19, NULL, NULL },                 { BZ, 0x238, 4, 18, "command line of 18 bytes", "19" }, { BZ, 0x238, 4, 0, "command line", "19" },
	{ BZ, 0x260, 4, 0x1000000, NULL, NULL },          { BZ, 0x260, 4, 0x1000001, "needs the memory", "2000001" },
	{ BZ, 0x260, 4, 0xffffffff, "needs the memory", "100ffffff" },
	{ BZ, 0x258, 8, 0x1c00000, NULL, NULL },          { BZ, 0x258, 8, 0x1c00001, "needs the memory", "2000001" },
	{ BZ, 0x258, 8, 0, "needs the memory", "from 0 " }, { BZ, 0x258, 8, TOP, "needs the memory", "32 MiB" },
	{ BZ, 0x258, 8, ~0ull, "needs the memory", "32 MiB" },
	{ BZ, 0x214, 4, 0, "needs the memory", "from 0 " }, { BZ, 0x214, 4, 0xfffff000, "needs the memory", "100000000" },
	{ BZ, 0x214, 4, 0x9f000, "needs the memory", "9f000" },
	{ PVH, 4, 1, 0, NEITHER, NULL },                  { PVH, 4, 1, 3, NEITHER, NULL },               { PVH, 5, 1, 2, NEITHER, NULL },
	{ PVH, 18, 2, 0, NEITHER, NULL },                 { PVH, 18, 2, 183, NEITHER, NULL },
	{ PVH, 32, 8, ELF_SIZE - 111, NEITHER, NULL },    { PVH, 32, 8, ELF_SIZE, NEITHER, NULL },       { PVH, 32, 8, TOP, NEITHER, NULL },
	{ PVH, 32, 8, ~0ull, NEITHER, NULL },             { PVH, 54, 2, 55, NEITHER, NULL },             { PVH, 54, 2, 0, NEITHER, NULL },
	{ PVH, 54, 2, 0xffff, NEITHER, NULL },            { PVH, 56, 2, 0, NEITHER, NULL },              { PVH, 56, 2, 1, NEITHER, NULL },
	{ PVH, 56, 2, 0xffff, NEITHER, NULL },
	{ PVH, SEGMENT + 8, 8, TEXT_OFFSET - 1, NULL, NULL }, { PVH, SEGMENT + 8, 8, TEXT_OFFSET + 1, "segment 0, 800 bytes at 1001", NULL },
	{ PVH, SEGMENT + 8, 8, ELF_SIZE, "is not in its file", NULL }, { PVH, SEGMENT + 8, 8, TOP, "is not in its file", "8000000000000000" },
	{ PVH, SEGMENT + 8, 8, ~0ull, "is not in its file", "ffffffffffffffff" },
	{ PVH, SEGMENT + 24, 8, MEMORY - TEXT_MEMORY, NULL, NULL }, { PVH, SEGMENT + 24, 8, MEMORY - TEXT_MEMORY + 1, FREE, "1ffe001" },
	{ PVH, SEGMENT + 24, 8, 0, FREE, "at 0," },       { PVH, SEGMENT + 24, 8, 0xa0000, FREE, "a0000" }, { PVH, SEGMENT + 24, 8, 0xfe000, FREE, "fe000" },
	{ PVH, SEGMENT + 24, 8, 0x100000, NULL, NULL },   { PVH, SEGMENT + 24, 8, TOP, FREE, "8000000000000000" },
	{ PVH, SEGMENT + 24, 8, ~0ull, FREE, "ffffffffffffffff" },
	{ PVH, SEGMENT + 32, 8, TEXT_BYTES + 1, "is not in its file", "801 bytes" }, { PVH, SEGMENT + 32, 8, TOP, "is not in its file", NULL },
	{ PVH, SEGMENT + 32, 8, ~0ull, "is not in its file", NULL }, { PVH, SEGMENT + 32, 8, 0, NULL, NULL },
	{ PVH, SEGMENT + 40, 8, TEXT_BYTES, NULL, NULL }, { PVH, SEGMENT + 40, 8, TEXT_BYTES - 1, "must not be fewer", "7ff" },
	{ PVH, SEGMENT + 40, 8, MEMORY - TEXT_AT, NULL, NULL }, { PVH, SEGMENT + 40, 8, MEMORY - TEXT_AT + 1, FREE, "1e00001" },
	{ PVH, SEGMENT + 40, 8, TOP, FREE, "8000000000000000" }, { PVH, SEGMENT + 40, 8, ~0ull, FREE, "ffffffffffffffff" },
	{ PVH, SEGMENT + 40, 8, 0, "type LOAD", NULL },
	{ PVH, NOTES + 32, 8, 19, NEITHER, NULL },        { PVH, NOTES + 32, 8, ~0ull, NEITHER, NULL },  { PVH, NOTES + 8, 8, ELF_SIZE - 19, NEITHER, NULL },
	{ PVH, NOTES + 8, 8, ~0ull, NEITHER, NULL },
	{ PVH, NOTE_AT + 16, 4, MEMORY - 1, NULL, NULL }, { PVH, NOTE_AT + 16, 4, MEMORY, "PVH entry", "2000000" },
	{ PVH, NOTE_AT + 16, 4, 0xffffffff, "PVH entry", "ffffffff" },
	{ MB64, 24, 8, 0xffffffff, NULL, NULL },          { MB64, 24, 8, 0x100000000, "must be below", "100000000" }, { MB64, 24, 8, TOP, "must be below", "8000000000000000" },
	{ MB64, 4, 1, 0, "neither ELF", NULL },           { MB64, SEGMENT, 4, 2, "type LOAD", NULL },
	{ MB32, 28, 4, ELF_SIZE - 31, "neither ELF", NULL }, { MB32, 28, 4, 0xffffffff, "neither ELF", NULL }, { MB32, 42, 2, 31, "neither ELF", NULL },
	{ MB32, SEGMENT32 + 4, 4, TEXT_OFFSET + 1, "is not in its file", NULL }, { MB32, SEGMENT32 + 4, 4, 0xffffffff, "is not in its file", "ffffffff" },
	{ MB32, SEGMENT32 + 12, 4, MEMORY - TEXT_MEMORY, NULL, NULL }, { MB32, SEGMENT32 + 12, 4, MEMORY - TEXT_MEMORY + 1, FREE, "1ffe001" },
	{ MB32, SEGMENT32 + 16, 4, 0xffffffff, "is not in its file", "ffffffff" }, { MB32, SEGMENT32 + 20, 4, 0xffffffff, FREE, "ffffffff" },
	{ FLAT, MB_AT + 12, 4, 0x100000 + MB_AT + 1, "before its file", "100101" }, { FLAT, MB_AT + 12, 4, 0xfffff, "before its file", "fffff" },
	{ FLAT, MB_AT + 12, 4, 0xffffffff, "before its file", "ffffffff" }, { FLAT, MB_AT + 12, 4, 0, "before its file", "header 0" },
	{ FLAT, MB_AT + 16, 4, 0x100001, NULL, NULL }, { FLAT, MB_AT + 16, 4, 0xfffff, "before its file", "fffff" }, { FLAT, MB_AT + 16, 4, 0xffffffff, "before its file", "ffffffff" },
	{ FLAT, MB_AT + 20, 4, 0x102001, "more than its file", "102001" }, { FLAT, MB_AT + 20, 4, 0xfffff, "more than its file", "fffff" },
	{ FLAT, MB_AT + 20, 4, 1, "more than its file", "to 1," }, { FLAT, MB_AT + 20, 4, 0xffffffff, "more than its file", "ffffffff" },
	{ FLAT, MB_AT + 20, 4, 0, NULL, NULL },           { FLAT, MB_AT + 20, 4, 0x100000, FREE, " 0 bytes" }, { FLAT, MB_AT + 20, 4, 0x100001, NULL, NULL },
	{ FLAT, MB_AT + 24, 4, MEMORY, NULL, NULL },      { FLAT, MB_AT + 24, 4, MEMORY + 1, FREE, "1f00001" }, { FLAT, MB_AT + 24, 4, 0xffffffff, FREE, "ffefffff" },
};

/* A sentence on the kernel that holds what is wrong. */
static void is_told(const char *title, u32 size, const char *why, const char *named)
{
	char length[32];

	snprintf(length, sizeof(length), "%u bytes", size);
	named = named ? named : length;
	if (!strstr(fake.log, "error: the kernel") || !strstr(fake.log, why) || !strstr(fake.log, named))
		fail_msg("%s: '%s' or '%s' is not in: %s", title, why, named, fake.log);
}

static bool tried(u32 size)
{
	fake.log_count = 0;
	fake.log[0] = 0;
	return start(size, 0);
}

static void fields_at_their_borders(void **state)
{
	char title[96];

	for (u32 i = 0; i < sizeof(borders) / sizeof(borders[0]); i++) {
		const struct kind *k = &kinds[borders[i].kind];

		setup(state);
		k->make();
		for (u32 b = 0; b < borders[i].bytes; b++)
			image[borders[i].at + b] = (u8)(borders[i].value >> 8 * b);
		snprintf(title, sizeof(title), "%s, %llx at %x", k->name, (unsigned long long)borders[i].value, borders[i].at);
		bool started = tried(k->size);
		if (started != !borders[i].why)
			fail_msg("%s: it %s; %s", title, started ? "starts" : "does not start", fake.log);
		if (!started)
			is_told(title, k->size, borders[i].why, borders[i].named);
	}
}

/* However much is missing: it is refused, and the sentence tells how much there is. The last paragraph of a bzImage need not be full. */
static void cut_at_every_byte(void **state)
{
	for (u32 i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		u32 whole = kinds[i].size - (i == BZ ? 15 : 0);

		setup(state);
		kinds[i].make();
		assert_true(tried(whole));
		for (u32 size = 0; size < whole; size += size >= 0x400 && size + 64 < whole ? 31 : 1) {
			if (tried(size))
				fail_msg("%s starts with %u bytes of %u", kinds[i].name, size, whole);
			is_told(kinds[i].name, size, "the kernel", NULL);
		}
	}
}

/* ---- more than one field ---- */

static void bad_bzimages(void **state)
{
	(void)state;
	make_bzimage();
	put16(0x206, 0x0205);
	fails(BZ_SIZE, 0, "2.06 or later");
	make_bzimage();
	fails(BZ_SIZE - 16, 0, "cut short");
	fails(BZ_SETUP, 0, "cut short");
	image[0x1f1] = 200;
	fails(BZ_SIZE, 0, "cut short");
	make_bzimage();
	put32(0x260, MEMORY);
	fails(BZ_SIZE, 0, "needs the memory");
	make_bzimage();
	put64(0x258, ~0ull - 100);
	fails(BZ_SIZE, 0, "needs the memory");
	make_bzimage();
	put32(0x214, 0xfffff000);
	fails(BZ_SIZE, 0, "needs the memory");
	make_bzimage();
	put32(0x214, 0xf0000); /* over the ACPI tables */
	fails(BZ_SIZE, 0, "needs the memory");
	make_bzimage();
	put32(0x238, 5);
	fails(BZ_SIZE, 0, "command line");
	make_bzimage();
	put32(0x22c, 0x1fff); /* less than that is free */
	fails(BZ_SIZE, 1, "initial RAM disk");
}


static void bad_elf_files(void **state)
{
	(void)state;
	make_pvh();
	put_segment64(0, 1, TEXT_OFFSET, 0, TEXT_AT, TEXT_BYTES + 1, TEXT_MEMORY);
	fails(ELF_SIZE, 0, "is not in its file");
	put_segment64(0, 1, ~0ull - 4, 0, TEXT_AT, 100, TEXT_MEMORY);
	fails(ELF_SIZE, 0, "is not in its file");
	put_segment64(0, 1, TEXT_OFFSET, 0, TEXT_AT, 100, 99);
	fails(ELF_SIZE, 0, "must not be fewer");
	put_segment64(0, 1, TEXT_OFFSET, 0, MEMORY - 100, 100, 101);
	fails(ELF_SIZE, 0, "not in free memory");
	put_segment64(0, 1, TEXT_OFFSET, 0, ~0ull - 10, 100, TEXT_MEMORY);
	fails(ELF_SIZE, 0, "not in free memory");
	put_segment64(0, 1, TEXT_OFFSET, 0, TEXT_AT, 100, ~0ull);
	fails(ELF_SIZE, 0, "not in free memory");
	put_segment64(0, 1, TEXT_OFFSET, 0, 0xdff80, 100, 0x100); /* into the ACPI tables */
	fails(ELF_SIZE, 0, "not in free memory");
	make_pvh();
	put_segment64(2, 1, TEXT_OFFSET, 0, TEXT_AT + TEXT_MEMORY - 1, 16, 16); /* over the first */
	put16(56, 3);
	fails(ELF_SIZE, 0, "not in free memory");
	make_pvh();
	put_segment64(0, 7, 0, 0, 0, 0, 0);
	fails(ELF_SIZE, 0, "nothing to load");
	make_pvh();
	put32(NOTE_AT + 16, MEMORY);
	fails(ELF_SIZE, 0, "PVH entry");
	make_pvh();
	put16(56, 0xffff); /* more program headers than file */
	fails(ELF_SIZE, 0, "neither a bzImage");
	make_pvh();
	put64(32, ~0ull - 8);
	fails(ELF_SIZE, 0, "neither a bzImage");
}

static void wild_notes(void **state)
{
	static const u32 sizes[] = { 0, 1, 3, 5, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff };

	(void)state;
	for (u32 i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		make_pvh();
		put32(NOTE_AT, sizes[i]);
		fails(ELF_SIZE, 0, "neither a bzImage");
		make_pvh();
		put32(NOTE_AT + 4, sizes[i]);
		start(ELF_SIZE, 0); /* 5 is a size that will do */
	}
	make_pvh();
	put_segment64(1, 4, ELF_SIZE - 8, 0, 0, 20, 20);
	fails(ELF_SIZE, 0, "neither a bzImage");
}


static void bad_multiboot_images(void **state)
{
	(void)state;
	make_flat(0x100000 + MB_AT, 0x100000, 0x100000 + 0x2001, 0);
	fails(0x2000, 0, "more than its file");
	make_flat(0x100000 + MB_AT, 0x100000, 0xfff00, 0);
	fails(0x2000, 0, "more than its file");
	make_flat(0x100000, 0x100001, 0, 0);
	fails(0x2000, 0, "before its file");
	make_flat(0x100000 + MB_AT + 1, 0x100000, 0, 0);
	fails(0x2000, 0, "before its file");
	make_flat(MEMORY - 0x1fff + MB_AT, MEMORY - 0x1fff, 0, 0);
	fails(0x2000, 0, "not in free memory");
	make_flat(0x100000 + MB_AT, 0x100000, 0, MEMORY + 1);
	fails(0x2000, 0, "not in free memory");
	make_flat(0xfffff000 + MB_AT, 0xfffff000, 0, 0);
	fails(0x2000, 0, "not in free memory");
	make_flat(0xe0000 + MB_AT, 0xe0000, 0, 0);
	fails(0x2000, 0, "not in free memory");
	make_flat(0x100000 + MB_AT, 0x100000, 0, 0);
	fails(MB_AT + 31, 0, "cut short");
	make_elf64();
	put_header(0x8);
	fails(ELF_SIZE, 0, "unknown features");
	memset(image, 0, sizeof(image));
	put_header(0);
	fails(ELF_SIZE, 0, "neither ELF nor has it address fields");
	put32(MB_AT + 8, 0);
	fails(ELF_SIZE, 0, "neither a bzImage");
	make_elf64();
	put_header(0);
	put_segment64(0, 1, TEXT_OFFSET, 0xffffffff80200000ull, TEXT_AT, TEXT_BYTES, MEMORY - TEXT_AT);
	fails(ELF_SIZE, 1, "module 1");
	put_segment64(0, 1, TEXT_OFFSET, TEXT_AT, TEXT_AT, TEXT_BYTES, TEXT_MEMORY);
	fails(ELF_SIZE, 0, "above 4 GiB");
}

static void no_kernel_and_no_memory(void **state)
{
	(void)state;
	fails(0, 0, "neither a bzImage");
	fails(1, 0, "neither a bzImage");
	make_bzimage();
	fake.info.memory = 1u << 20;
	fails(BZ_SIZE, 0, "memory: 1048576 bytes");
	fake.info.memory = MEMORY;
	fake.info.module_count = 0;
	machine_init(&machine, &fake.info);
	fake.comm.entry = (struct mon_entry){ .kind = MON_ENTRY_START };
	fake.ended = false;
	fake_enter(&machine);
	assert_true(fake.ended);
	assert_non_null(strstr(fake.log, "no kernel"));
}

/* Each right image, cut at every length and with random bytes in its headers: an answer, and nothing outside the guest's memory. */
static void hostile_images(void **state)
{
	u32 random = 12345;

	for (u32 kind = 0; kind < 4; kind++) {
		u32 size = kind == 0 ? BZ_SIZE : ELF_SIZE;

		for (u32 round = 0; round < 250; round++) {
			u32 cut = size;

			setup(state);
			if (kind == 0)
				make_bzimage();
			else if (kind == 1)
				make_pvh();
			else if (kind == 2)
				make_elf64(), put_header(0);
			else
				make_flat(0x100000 + MB_AT, 0x100000, 0, 0);
			for (u32 i = 0; i < 1 + round % 3; i++) {
				random = random * 1664525 + 1013904223;
				/* Bytes of interest: the setup header, or the ELF, note and Multiboot headers. */
				image[(kind == 0 ? 0x1f1 + (random >> 8) % 0x80 : (random >> 8) % 0x220)] =
					random & 1 ? 0xff : (u8)(random >> 24);
			}
			if (round % 4 == 0)
				cut = (random >> 4) % size;
			start(cut, round % 3);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_at_their_borders), cmocka_unit_test(cut_at_every_byte),
		cmocka_unit_test_setup(bad_bzimages, setup), cmocka_unit_test_setup(bad_elf_files, setup),
		cmocka_unit_test_setup(wild_notes, setup), cmocka_unit_test_setup(bad_multiboot_images, setup),
		cmocka_unit_test_setup(no_kernel_and_no_memory, setup), cmocka_unit_test_setup(hostile_images, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
