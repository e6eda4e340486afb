/*
 * test_program: the program that `monitor=` names, every field at its borders: it is loaded as a plain loader would, or refused as no program.
 */
#include "tests/unit/program_world.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define TEXT_AT 0x200u   /* in the file */
#define TEXT_BYTES 0x1800u
#define DATA_AT (TEXT_AT + TEXT_BYTES)
#define DATA_BYTES 0x123u
#define DATA_PLACE (MON_TEXT + 0x3010)
#define DATA_MEMORY 0x2345u
#define FILE_BYTES (DATA_AT + DATA_BYTES)
#define END (MON_TEXT + PROGRAM_BYTES)
#define TOP (1ull << 63)

static u8 file[FILE_BYTES];

static void make(void)
{
	Elf64_Ehdr e = { .e_ident = "\177ELF\2\1\1", .e_type = ET_EXEC, .e_machine = EM_X86_64, .e_entry = MON_TEXT + 16, .e_phoff = sizeof e,
			 .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 3 };
	Elf64_Phdr p[3] = {
		{ .p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_offset = TEXT_AT, .p_vaddr = MON_TEXT, .p_filesz = TEXT_BYTES, .p_memsz = TEXT_BYTES },
		{ .p_type = PT_NOTE, .p_vaddr = ~0ull, .p_memsz = ~0ull },
		{ .p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_offset = DATA_AT, .p_vaddr = DATA_PLACE, .p_filesz = DATA_BYTES, .p_memsz = DATA_MEMORY },
	};
	for (u32 i = 0; i < sizeof file; i++)
		file[i] = (u8)(i * 37 + 1);
	memcpy(file, &e, sizeof e);
	memcpy(file + sizeof e, p, sizeof p);
}

/* As the plain loader says, wherever in its first frame the file begins. */
static bool loads(u64 length)
{
	static const u32 offsets[] = { 0, 1, 0xff0, 0xfff };
	bool good = false;
	for (u32 i = 0; i < sizeof offsets / sizeof *offsets; i++) {
		const char *why = load(file, length, offsets[i], PROGRAM_PAGES);
		good = want(file, length);
		assert_int_equal(loaded, good);
		if (good)
			assert_true(same_pages());
		else
			assert_non_null(strstr(why, "is no program"));
	}
	return good;
}

static void whole(void **state)
{
	(void)state;
	make();
	assert_true(loads(FILE_BYTES));
	assert_int_equal(pages[0].rights, PT_READ | PT_USER | PT_EXEC);
	assert_int_equal(pages[3].rights, PT_READ | PT_USER | PT_WRITE);
	assert_int_equal(pages[3].bytes[0x10], file[DATA_AT]);
	assert_false(pages[2].mapped || pages[6].mapped);
}

#define EHDR(field) offsetof(Elf64_Ehdr, field), sizeof(((Elf64_Ehdr *)0)->field)
#define PHDR(n, field) sizeof(Elf64_Ehdr) + (n) * sizeof(Elf64_Phdr) + offsetof(Elf64_Phdr, field), sizeof(((Elf64_Phdr *)0)->field)

static const struct { size_t at, bytes; u64 value; bool good; } borders[] = {
	{ 0, 4, 0x464c457e, false }, { EI_CLASS, 1, ELFCLASS32, false }, { EHDR(e_type), ET_DYN, false }, { EHDR(e_machine), EM_386, false },
	{ EHDR(e_phnum), 0, false }, { EHDR(e_phnum), 1, true }, { EHDR(e_phnum), 9, false }, { EHDR(e_phnum), 0xffff, false },
	{ EHDR(e_phentsize), 55, false }, { EHDR(e_phentsize), 0, false },
	{ EHDR(e_phoff), FILE_BYTES - 3 * sizeof(Elf64_Phdr) + 1, false }, { EHDR(e_phoff), FILE_BYTES, false }, { EHDR(e_phoff), TOP, false },
	{ EHDR(e_phoff), ~0ull, false }, { EHDR(e_phoff), ~0ull - 3 * sizeof(Elf64_Phdr) + 1, false },
	{ EHDR(e_entry), MON_TEXT - 1, false }, { EHDR(e_entry), MON_TEXT, true }, { EHDR(e_entry), END - 1, true }, { EHDR(e_entry), END, false },
	{ EHDR(e_entry), 0, false }, { EHDR(e_entry), ~0ull, false },
	{ PHDR(0, p_vaddr), MON_TEXT - 1, false }, { PHDR(0, p_vaddr), MON_TEXT + 0x1800, true }, { PHDR(0, p_vaddr), MON_TEXT + 0x1801, false },
	{ PHDR(0, p_vaddr), 0, false }, { PHDR(0, p_vaddr), ~0ull, false },
	{ PHDR(0, p_offset), TEXT_AT + DATA_BYTES, true }, { PHDR(0, p_offset), TEXT_AT + DATA_BYTES + 1, false }, { PHDR(0, p_offset), TOP, false },
	{ PHDR(0, p_offset), ~0ull, false }, { PHDR(0, p_offset), ~0ull - TEXT_BYTES + 1, false },
	{ PHDR(0, p_filesz), TEXT_BYTES + 1, false }, { PHDR(0, p_filesz), 0, true }, { PHDR(0, p_filesz), ~0ull, false },
	{ PHDR(0, p_memsz), TEXT_BYTES - 1, false }, { PHDR(0, p_memsz), 0x3000, true }, { PHDR(0, p_memsz), 0x3001, false },
	{ PHDR(0, p_memsz), 0, true }, { PHDR(0, p_memsz), ~0ull, false },
	{ PHDR(2, p_vaddr), MON_TEXT + 0x2000, true }, { PHDR(2, p_vaddr), MON_TEXT + 0x1fff, false },
	{ PHDR(2, p_vaddr), END - DATA_MEMORY, true }, { PHDR(2, p_vaddr), END - DATA_MEMORY + 1, false }, { PHDR(2, p_vaddr), END, false },
	{ PHDR(2, p_memsz), END - DATA_PLACE, true }, { PHDR(2, p_memsz), END - DATA_PLACE + 1, false },
	{ PHDR(2, p_memsz), MON_TEXT - DATA_PLACE, false }, { PHDR(2, p_memsz), ~0ull, false },
	{ PHDR(2, p_filesz), DATA_BYTES + 1, false },
};

static void at_borders(void **state)
{
	(void)state;
	for (u32 i = 0; i < sizeof borders / sizeof *borders; i++) {
		make();
		memcpy(file + borders[i].at, &borders[i].value, borders[i].bytes);
		if (loads(FILE_BYTES) != borders[i].good)
			fail_msg("%lx at %lx", borders[i].value, borders[i].at);
	}
}

static void cut_short(void **state)
{
	(void)state;
	make();
	for (u64 length = 0; length < FILE_BYTES; length += length < 300 ? 1 : 97)
		assert_false(loads(length));
}

/* At each page: it is told, and nothing of the program runs. */
static void without_memory(void **state)
{
	(void)state;
	make();
	for (u32 frames = 0; frames < 5; frames++) {
		assert_non_null(strstr(load(file, FILE_BYTES, 0, frames), "no memory"));
		assert_false(loaded);
	}
	load(file, FILE_BYTES, 0, 5);
	assert_true(loaded);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole), cmocka_unit_test(at_borders), cmocka_unit_test(cut_short), cmocka_unit_test(without_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
