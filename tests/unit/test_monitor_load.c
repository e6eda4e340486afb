/*
 * test_monitor_load: the three loaders with right images, and what the guest then finds.
 */
#include "tests/unit/load_images.h"

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

static void initrd_stays_below_its_limit(void **state)
{
	(void)state;
	make_bzimage();
	put32(0x22c, 0x17fffff);
	assert_true(start(BZ_SIZE, 1));
	assert_true(guest32(fake.vcpu.gpr[MON_RSI] + 0x218) + MODULE_BYTES <= 0x1800000);
}

/* ---- ELF ---- */

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

/* ---- Multiboot ---- */

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
	(void)state;
	make_elf32();
	put_header(0);
	assert_true(start(ELF_SIZE, 2));
	flat_state(TEXT_AT + 4);
	check_multiboot_info(TEXT_AT + TEXT_MEMORY);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_bzimage_starts, setup),
		cmocka_unit_test_setup(several_modules_are_one_initrd, setup),
		cmocka_unit_test_setup(initrd_stays_below_its_limit, setup),
		cmocka_unit_test_setup(a_pvh_kernel_starts, setup),
		cmocka_unit_test_setup(a_multiboot_elf64_starts, setup),
		cmocka_unit_test_setup(a_multiboot_elf32_starts, setup),
		cmocka_unit_test_setup(a_flat_multiboot_image_starts, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
