/*
 * load_images: images of all kinds that the monitor's loaders take, made field by field, and a guest to load them into.
 *
 * The guest's memory is allocated to its exact size, and each image is copied to a block of its own, so the sanitizer sees what is read or written beyond.
 */
#ifndef TESTS_UNIT_LOAD_IMAGES_H
#define TESTS_UNIT_LOAD_IMAGES_H

#include "monitor/host/fake_ring0.h"
#include "monitor/lib/bits.h"
#include "monitor/load/load.h"
#include "monitor/platform/acpi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define MEMORY (32u << 20)
#define IMAGE_MAX 65536u
#define MODULE_BYTES 5000u
#define TOP_OF_4G 0xffffffffu

static struct machine machine;
static u8 image[IMAGE_MAX], module_bytes[MODULE_BYTES];

static inline int setup(void **state)
{
	(void)state;
	fake_reset(MEMORY);
	memset(image, 0, sizeof(image));
	for (u32 i = 0; i < MODULE_BYTES; i++)
		module_bytes[i] = (u8)(i * 7);
	strcpy(fake.info.cmdline, "console=ttyS0 quiet");
	return 0;
}

static inline void put16(u32 at, u32 value)
{
	image[at] = (u8)value;
	image[at + 1] = (u8)(value >> 8);
}

static inline void put32(u32 at, u32 value)
{
	put16(at, value & 0xffff);
	put16(at + 2, value >> 16);
}

static inline void put64(u32 at, u64 value)
{
	put32(at, (u32)value);
	put32(at + 4, (u32)(value >> 32));
}

static inline u32 guest32(u64 gpa) { return load_u32(fake.window + gpa); }
static inline u64 guest64(u64 gpa) { return load_u64(fake.window + gpa); }

/* Give the images to the monitor and let it start. The kernel is copied to a block of its exact size. */
static inline bool start(u32 size, u32 modules)
{
	u8 *kernel = malloc(size != 0 ? size : 1);

	memcpy(kernel, image, size);
	fake.module[0] = kernel;
	fake.info.module[0].size = size;
	fake.info.module_count = 1 + modules;
	for (u32 i = 1; i <= modules; i++) {
		fake.module[i] = module_bytes;
		fake.info.module[i].size = MODULE_BYTES;
		strcpy(fake.info.module[i].cmdline, i == 1 ? "first one" : "second");
	}
	machine_init(&machine, &fake.info);
	fake.comm.entry = (struct mon_entry){ .kind = MON_ENTRY_START };
	fake.running = fake.ended = fake.vcpu_set = fake.modules_done = false;
	fake_enter(&machine);
	free(kernel);
	assert_true(fake.running != fake.ended);
	if (fake.running) {
		assert_true(fake.vcpu_set && fake.modules_done);
		return true;
	}
	assert_int_equal(fake.end, MON_END_FAILED);
	assert_non_null(strstr(fake.log, "error: "));
	return false;
}

static inline void fails(u32 size, u32 modules, const char *why)
{
	fake.log_count = 0;
	fake.log[0] = '\0';
	assert_false(start(size, modules));
	if (strstr(fake.log, why) == NULL)
		fail_msg("\"%s\" is not in: %s", why, fake.log);
}

/* ---- bzImage ---- */

#define BZ_SETUP (2 * 512u)
#define BZ_SIZE (BZ_SETUP + 4096u)

static inline void make_bzimage(void)
{
	image[0x1f1] = 1;
	put32(0x1f4, 4096 / 16);
	put16(0x1fe, 0xaa55);
	image[0x201] = 0x6a;
	memcpy(image + 0x202, "HdrS", 4);
	put16(0x206, 0x020f);
	image[0x211] = 1;
	put32(0x214, 0x100000);
	put32(0x22c, 0x37ffffff);
	put32(0x238, 2047);
	put64(0x258, 0x1000000);
	put32(0x260, 0x400000);
	for (u32 i = BZ_SETUP; i < BZ_SIZE; i++)
		image[i] = (u8)(i * 3);
}

/* ---- ELF ---- */

#define ELF_PHDRS 64u
#define TEXT_OFFSET 0x1000u
#define TEXT_BYTES 0x800u
#define TEXT_MEMORY 0x2000u
#define TEXT_AT 0x200000u
#define ELF_SIZE (TEXT_OFFSET + TEXT_BYTES)

static inline void put_segment64(u32 i, u32 type, u64 offset, u64 vaddr, u64 paddr, u64 filesz, u64 memsz)
{
	u32 at = ELF_PHDRS + i * 56;

	put32(at, type);
	put64(at + 8, offset);
	put64(at + 16, vaddr);
	put64(at + 24, paddr);
	put64(at + 32, filesz);
	put64(at + 40, memsz);
}

static inline void make_elf64(void)
{
	static const u8 ident[16] = { 0x7f, 'E', 'L', 'F', 2, 1, 1 };

	memset(image, 0, sizeof(image));
	memcpy(image, ident, sizeof(ident));
	put16(16, 2);
	put16(18, 62);
	put64(24, 0xffffffff80200010ull);
	put64(32, ELF_PHDRS);
	put16(54, 56);
	put16(56, 2);
	put_segment64(0, 1, TEXT_OFFSET, 0xffffffff80200000ull, TEXT_AT, TEXT_BYTES, TEXT_MEMORY);
	for (u32 i = 0; i < TEXT_BYTES; i++)
		image[TEXT_OFFSET + i] = (u8)(i * 5 + 1);
}

#define NOTE_AT 0x200u

static inline void make_pvh(void)
{
	make_elf64();
	put_segment64(1, 4, NOTE_AT, 0, 0, 20, 20);
	put32(NOTE_AT, 4);
	put32(NOTE_AT + 4, 4);
	put32(NOTE_AT + 8, 18);
	memcpy(image + NOTE_AT + 12, "Xen", 4);
	put32(NOTE_AT + 16, TEXT_AT + 0x20);
}

static inline void make_elf32(void)
{
	static const u8 ident[16] = { 0x7f, 'E', 'L', 'F', 1, 1, 1 };

	memset(image, 0, sizeof(image));
	memcpy(image, ident, sizeof(ident));
	put16(16, 2);
	put16(18, 3);
	put32(24, TEXT_AT + 4);
	put32(28, 52);
	put16(42, 32);
	put16(44, 1);
	put32(52, 1);
	put32(52 + 4, TEXT_OFFSET);
	put32(52 + 8, TEXT_AT);
	put32(52 + 12, TEXT_AT);
	put32(52 + 16, TEXT_BYTES);
	put32(52 + 20, TEXT_MEMORY);
}

/* ---- Multiboot ---- */

#define MB_AT 0x100u

static inline void put_header(u32 flags)
{
	put32(MB_AT, 0x1badb002);
	put32(MB_AT + 4, flags);
	put32(MB_AT + 8, 0u - 0x1badb002 - flags);
}

static inline void make_flat(u32 header, u32 load, u32 load_end, u32 bss_end)
{
	memset(image, 0x90, IMAGE_MAX);
	put_header(0x10003);
	put32(MB_AT + 12, header);
	put32(MB_AT + 16, load);
	put32(MB_AT + 20, load_end);
	put32(MB_AT + 24, bss_end);
	put32(MB_AT + 28, load + 0x40);
}

#endif
