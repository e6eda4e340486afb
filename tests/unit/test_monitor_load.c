/*
 * test_monitor_load: the three loaders with images made here: right ones, truncated ones, ones with wild fields, and random ones.
 *
 * The guest's memory is allocated to its exact size, so the sanitizer sees a write beyond it.
 */
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

static int setup(void **state)
{
	(void)state;
	fake_reset(MEMORY);
	memset(image, 0, sizeof(image));
	for (u32 i = 0; i < MODULE_BYTES; i++)
		module_bytes[i] = (u8)(i * 7);
	strcpy(fake.info.cmdline, "console=ttyS0 quiet");
	return 0;
}

static void put16(u32 at, u32 value)
{
	image[at] = (u8)value;
	image[at + 1] = (u8)(value >> 8);
}

static void put32(u32 at, u32 value)
{
	put16(at, value & 0xffff);
	put16(at + 2, value >> 16);
}

static void put64(u32 at, u64 value)
{
	put32(at, (u32)value);
	put32(at + 4, (u32)(value >> 32));
}

static u32 guest32(u64 gpa) { return load_u32(fake.window + gpa); }
static u64 guest64(u64 gpa) { return load_u64(fake.window + gpa); }

/* Give the images to the monitor and let it start. The kernel is copied to a block of its exact size. */
static bool start(u32 size, u32 modules)
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

static void fails(u32 size, u32 modules, const char *why)
{
	fake.log_count = 0;
	fake.log[0] = '\0';
	assert_false(start(size, modules));
	if (strstr(fake.log, why) == NULL)
		fail_msg("\"%s\" is not in: %s", why, fake.log);
}

static void flat_state(u32 entry)
{
	const struct mon_vcpu *v = &fake.vcpu;

	assert_int_equal(v->rip, entry);
	assert_int_equal(v->cr0, 0x11);
	assert_int_equal(v->efer | v->cr3 | v->cr4, 0);
	assert_int_equal(v->rflags, 2);
	assert_int_equal(v->cs.attributes, 0xc9b);
	assert_int_equal(v->ss.attributes, 0xc93);
	assert_int_equal(v->cs.limit, TOP_OF_4G);
	assert_int_equal(v->tr.attributes, 0x8b);
}

/* ---- bzImage ---- */

#define BZ_SETUP (2 * 512u)
#define BZ_SIZE (BZ_SETUP + 4096u)

static void make_bzimage(void)
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

static void a_bzimage_starts(void **state)
{
	u64 params, initrd;

	(void)state;
	make_bzimage();
	assert_true(start(BZ_SIZE, 1));
	flat_state(0x100000);
	assert_memory_equal(fake.window + 0x100000, image + BZ_SETUP, 4096);
	params = fake.vcpu.gpr[MON_RSI];
	assert_memory_equal(fake.window + params + 0x202, "HdrS", 4);
	assert_int_equal(fake.window[params + 0x210], 0xff);
	assert_string_equal((char *)fake.window + guest32(params + 0x228), fake.info.cmdline);
	assert_int_equal(guest64(params + 0x70), ACPI_RSDP);
	assert_int_equal(guest32(params + 0x21c), align_up(MODULE_BYTES, 4));
	initrd = guest32(params + 0x218);
	assert_int_equal(initrd % PAGE_SIZE, 0);
	assert_true(initrd + MODULE_BYTES <= MEMORY && initrd >= 0x1400000);
	assert_memory_equal(fake.window + initrd, module_bytes, MODULE_BYTES);
	assert_int_equal(fake.window[params + 0x1e8], 6);
	assert_int_equal(guest64(params + 0x2d0 + 3 * 20), 0x100000);
	assert_int_equal(guest64(params + 0x2d0 + 3 * 20 + 8), MEMORY - 0x100000);
	assert_int_equal(fake.vcpu.cs.selector, 0x10);
	assert_int_equal(fake.vcpu.ds.selector, 0x18);
	assert_int_equal(fake.vcpu.gdtr.limit, 31);
	assert_int_equal(guest64(fake.vcpu.gdtr.base + 16), 0x00cf9b000000ffffull);
	assert_int_equal(guest32(0x40e) & 0xffff, EBDA >> 4);
}

static void several_modules_are_one_initrd(void **state)
{
	u64 params, initrd;

	(void)state;
	make_bzimage();
	assert_true(start(BZ_SIZE, 3));
	params = fake.vcpu.gpr[MON_RSI];
	initrd = guest32(params + 0x218);
	assert_int_equal(guest32(params + 0x21c), 3 * align_up(MODULE_BYTES, 4));
	assert_memory_equal(fake.window + initrd + 2 * align_up(MODULE_BYTES, 4), module_bytes, MODULE_BYTES);
}

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

static void initrd_stays_below_its_limit(void **state)
{
	(void)state;
	make_bzimage();
	put32(0x22c, 0x17fffff);
	assert_true(start(BZ_SIZE, 1));
	assert_true(guest32(fake.vcpu.gpr[MON_RSI] + 0x218) + MODULE_BYTES <= 0x1800000);
}

/* ---- ELF ---- */

#define ELF_PHDRS 64u
#define TEXT_OFFSET 0x1000u
#define TEXT_BYTES 0x800u
#define TEXT_MEMORY 0x2000u
#define TEXT_AT 0x200000u
#define ELF_SIZE (TEXT_OFFSET + TEXT_BYTES)

static void put_segment64(u32 i, u32 type, u64 offset, u64 vaddr, u64 paddr, u64 filesz, u64 memsz)
{
	u32 at = ELF_PHDRS + i * 56;

	put32(at, type);
	put64(at + 8, offset);
	put64(at + 16, vaddr);
	put64(at + 24, paddr);
	put64(at + 32, filesz);
	put64(at + 40, memsz);
}

static void make_elf64(void)
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

static void make_pvh(void)
{
	make_elf64();
	put_segment64(1, 4, NOTE_AT, 0, 0, 20, 20);
	put32(NOTE_AT, 4);
	put32(NOTE_AT + 4, 4);
	put32(NOTE_AT + 8, 18);
	memcpy(image + NOTE_AT + 12, "Xen", 4);
	put32(NOTE_AT + 16, TEXT_AT + 0x20);
}

static void a_pvh_kernel_starts(void **state)
{
	u64 info, module, map;

	(void)state;
	make_pvh();
	assert_true(start(ELF_SIZE, 2));
	flat_state(TEXT_AT + 0x20);
	assert_memory_equal(fake.window + TEXT_AT, image + TEXT_OFFSET, TEXT_BYTES);
	info = fake.vcpu.gpr[MON_RBX];
	assert_int_equal(guest32(info), 0x336ec578);
	assert_int_equal(guest32(info + 4), 1);
	assert_int_equal(guest32(info + 12), 2);
	module = guest64(info + 16);
	assert_memory_equal(fake.window + guest64(module), module_bytes, MODULE_BYTES);
	assert_int_equal(guest64(module + 8), MODULE_BYTES);
	assert_string_equal((char *)fake.window + guest64(module + 32 + 16), "second");
	assert_string_equal((char *)fake.window + guest64(info + 24), fake.info.cmdline);
	assert_int_equal(guest64(info + 32), ACPI_RSDP);
	map = guest64(info + 40);
	assert_int_equal(guest32(info + 48), 6);
	assert_int_equal(guest64(map + 3 * 24 + 8), MEMORY - 0x100000);
}

static void bad_elf_files(void **state)
{
	(void)state;
	make_pvh();
	put_segment64(0, 1, TEXT_OFFSET, 0, TEXT_AT, TEXT_BYTES + 1, TEXT_MEMORY);
	fails(ELF_SIZE, 0, "outside its file");
	put_segment64(0, 1, ~0ull - 4, 0, TEXT_AT, 100, TEXT_MEMORY);
	fails(ELF_SIZE, 0, "outside its file");
	put_segment64(0, 1, TEXT_OFFSET, 0, TEXT_AT, 100, 99);
	fails(ELF_SIZE, 0, "outside its file");
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

/* ---- Multiboot ---- */

#define MB_AT 0x100u

static void put_header(u32 flags)
{
	put32(MB_AT, 0x1badb002);
	put32(MB_AT + 4, flags);
	put32(MB_AT + 8, 0u - 0x1badb002 - flags);
}

static void check_multiboot_info(u64 image_end)
{
	u64 info = fake.vcpu.gpr[MON_RBX], modules, map;

	assert_int_equal(fake.vcpu.gpr[MON_RAX], 0x2badb002);
	assert_int_equal(guest32(info), 0x24d);
	assert_int_equal(guest32(info + 4), 639);
	assert_int_equal(guest32(info + 8), (MEMORY - 0x100000) >> 10);
	assert_string_equal((char *)fake.window + guest32(info + 16), fake.info.cmdline);
	assert_int_equal(guest32(info + 20), 2);
	modules = guest32(info + 24);
	assert_int_equal(guest32(modules) % PAGE_SIZE, 0);
	assert_true(guest32(modules) >= image_end && guest32(modules + 16) >= guest32(modules + 4));
	assert_int_equal(guest32(modules + 4) - guest32(modules), MODULE_BYTES);
	assert_memory_equal(fake.window + guest32(modules + 16), module_bytes, MODULE_BYTES);
	assert_string_equal((char *)fake.window + guest32(modules + 8), "first one");
	assert_int_equal(guest32(info + 44), 6 * 24);
	map = guest32(info + 48);
	assert_int_equal(guest32(map), 20);
	assert_int_equal(guest32(map + 20), 1);
	assert_string_equal((char *)fake.window + guest32(info + 64), "Ringmur");
}

static void a_multiboot_elf64_starts(void **state)
{
	(void)state;
	make_elf64();
	put_header(3);
	assert_true(start(ELF_SIZE, 2));
	flat_state(TEXT_AT + 0x10); /* the linear entry, made physical */
	assert_memory_equal(fake.window + TEXT_AT, image + TEXT_OFFSET, TEXT_BYTES);
	check_multiboot_info(TEXT_AT + TEXT_MEMORY);
}

static void a_multiboot_elf32_starts(void **state)
{
	static const u8 ident[16] = { 0x7f, 'E', 'L', 'F', 1, 1, 1 };

	(void)state;
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
	put_header(0);
	assert_true(start(ELF_SIZE, 2));
	flat_state(TEXT_AT + 4);
	check_multiboot_info(TEXT_AT + TEXT_MEMORY);
}

static void make_flat(u32 header, u32 load, u32 load_end, u32 bss_end)
{
	memset(image, 0x90, IMAGE_MAX);
	put_header(0x10003);
	put32(MB_AT + 12, header);
	put32(MB_AT + 16, load);
	put32(MB_AT + 20, load_end);
	put32(MB_AT + 24, bss_end);
	put32(MB_AT + 28, load + 0x40);
}

static void a_flat_multiboot_image_starts(void **state)
{
	(void)state;
	make_flat(0x100000 + MB_AT - 0x80, 0x100000, 0x101000, 0x108000);
	assert_true(start(0x2000, 2));
	flat_state(0x100040);
	assert_memory_equal(fake.window + 0x100000, image + 0x80, 0x1000);
	assert_int_equal(fake.window[0x101000], 0);
	check_multiboot_info(0x108000);
	make_flat(0x100000 + MB_AT, 0x100000, 0, 0);
	assert_true(start(0x2000, 2));
	check_multiboot_info(0x102000);
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
		cmocka_unit_test_setup(a_bzimage_starts, setup),
		cmocka_unit_test_setup(several_modules_are_one_initrd, setup),
		cmocka_unit_test_setup(bad_bzimages, setup),
		cmocka_unit_test_setup(initrd_stays_below_its_limit, setup),
		cmocka_unit_test_setup(a_pvh_kernel_starts, setup),
		cmocka_unit_test_setup(bad_elf_files, setup),
		cmocka_unit_test_setup(wild_notes, setup),
		cmocka_unit_test_setup(a_multiboot_elf64_starts, setup),
		cmocka_unit_test_setup(a_multiboot_elf32_starts, setup),
		cmocka_unit_test_setup(a_flat_multiboot_image_starts, setup),
		cmocka_unit_test_setup(bad_multiboot_images, setup),
		cmocka_unit_test_setup(no_kernel_and_no_memory, setup),
		cmocka_unit_test_setup(hostile_images, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
