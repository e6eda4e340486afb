/*
 * What firmware hands over: ACPI's tables, well-formed, then cut short and damaged at each byte, as test_boot_tables has it of the loaders'.
 */
#include "tests/unit/boot_reader.h"
#include "x86/boot/acpi.h"

static void seal(u32 at, u32 length, u32 sum_at)
{
	u8 sum = 0;
	page[sum_at] = 0;
	for (u32 i = 0; i < length; i++)
		sum = (u8)(sum + page[at + i]);
	page[sum_at] = (u8)-sum;
	used = (u32)max_u64(used, at + length);
}

static void table(u32 at, const char *signature, u32 length)
{
	memcpy(page + at, signature, 4);
	put(at + 4, length, 4);
	seal(at, length, at + 9);
}

enum { AT_RSDP = 0, AT_ROOT = 64, AT_MADT = 256, AT_FADT = 512, AT_DSDT = 1024 };

static void build_acpi(bool xsdt)
{
	static const u8 s5[] = { 0x08, '_', 'S', '5', '_', 0x12, 0x0a, 0x04, 0x0a, 0x05, 0x0a, 0x05, 0x00, 0x00 };
	clear();
	memcpy(page + AT_DSDT + 60, "_S5_ in a comment", 17);
	memcpy(page + AT_DSDT + 100, s5, sizeof(s5));
	table(AT_DSDT, "DSDT", 120);
	put(AT_FADT + 40, BASE + AT_DSDT, 4);
	put(AT_FADT + 64, 0x604, 4);
	put(AT_FADT + 68, 0x12345, 4); /* no port */
	put(AT_FADT + 76, 0x608, 4);
	put(AT_FADT + 91, 4, 1);
	table(AT_FADT, "FACP", 116);
	u32 at = AT_MADT + 44;
	put(AT_MADT + 36, 0xfee00000, 4);
	static const u8 entries[] = {
		0, 8, 0, 4, 1, 0, 0, 0, /* APIC 4 */
		0, 8, 1, 0, 1, 0, 0, 0, /* APIC 0, the boot processor, second in the list */
		0, 8, 2, 9, 0, 0, 0, 0, /* not enabled */
		9, 16, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, /* x2APIC 256 */
		9, 16, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, /* APIC 4 again */
		1, 12, 2, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0,
		2, 10, 0, 0, 2, 0, 0, 0, 0, 0,
		2, 10, 0, 9, 9, 0, 0, 0, 0xf, 0,
		5, 12, 0, 0, 0, 0, 0xe1, 0xfe, 0, 0, 0, 0,
	};
	memcpy(page + at, entries, sizeof(entries));
	table(AT_MADT, "APIC", 44 + sizeof(entries));
	u32 width = xsdt ? 8 : 4;
	put(AT_ROOT + 36, BASE + AT_MADT, width);
	put(AT_ROOT + 36 + width, BASE + AT_FADT, width);
	table(AT_ROOT, xsdt ? "XSDT" : "RSDT", 36 + 2 * width);
	memcpy(page + AT_RSDP, "RSD PTR ", 8);
	put(AT_RSDP + 15, xsdt ? 2 : 0, 1);
	put(AT_RSDP + (xsdt ? 24 : 16), BASE + AT_ROOT, 4);
	put(AT_RSDP + 20, 36, 4);
	seal(AT_RSDP, 20, AT_RSDP + 8);
	seal(AT_RSDP, 36, AT_RSDP + 32);
}

static status parse_acpi(u32 length, u32 rsdp_bytes)
{
	struct memory m = { page, length };
	struct reader r = { memory_at, &m };
	u8 *rsdp = malloc(rsdp_bytes);
	memcpy(rsdp, page, rsdp_bytes);
	memset(&boot, 0, sizeof(boot));
	status s = acpi_parse(&r, rsdp, rsdp_bytes, 0, &boot);
	free(rsdp);
	return s;
}

static void acpi_good(void **state)
{
	(void)state;
	for (u32 xsdt = 0; xsdt < 2; xsdt++) {
		build_acpi(xsdt);
		assert_int_equal(parse_acpi(used, xsdt ? 36 : 20), OK);
		assert_int_equal(boot.cpu_count, 3);
		assert_int_equal(boot.apic_id[0], 0);
		assert_int_equal(boot.apic_id[1], 4);
		assert_int_equal(boot.apic_id[2], 256);
		assert_int_equal(boot.lapic_address, 0xfee10000);
		assert_int_equal(boot.ioapic_count, 1);
		assert_int_equal(boot.ioapic[0].address, 0xfec00000);
		assert_int_equal(boot.override_count, 2);
		assert_int_equal(boot.override[0].gsi, 2);
		assert_true(boot.override[1].low && boot.override[1].level && !boot.override[0].low);
		assert_int_equal(boot.pm1a_control, 0x604);
		assert_int_equal(boot.pm1b_control, 0);
		assert_int_equal(boot.pm_timer_port, 0x608);
		assert_int_equal(boot.slp_typ_s5, 5);
	}
}

static void acpi_checksums(void **state)
{
	(void)state;
	build_acpi(true);
	page[AT_MADT + 50] ^= 1; /* a damaged MADT is as one that is absent */
	assert_int_equal(parse_acpi(used, 36), OK);
	assert_int_equal(boot.cpu_count, 1);
	assert_int_equal(boot.slp_typ_s5, 5);
	page[AT_DSDT + 70] ^= 1;
	assert_int_equal(parse_acpi(used, 36), OK);
	assert_int_equal(boot.slp_typ_s5, 0xffff);
	page[AT_ROOT + 20] ^= 1;
	assert_int_equal(parse_acpi(used, 36), BAD_VALUE);
	page[AT_RSDP + 12] ^= 1;
	assert_int_equal(parse_acpi(used, 36), NOT_THERE);
}

static void acpi_many_processors(void **state)
{
	(void)state;
	build_acpi(false);
	for (u32 i = 0; i < 40; i++) {
		u8 entry[8] = { 0, 8, (u8)i, (u8)i, 1 };
		memcpy(page + 4096 + 44 + 8 * i, entry, 8);
	}
	table(4096, "APIC", 44 + 8 * 40);
	put(AT_ROOT + 36, BASE + 4096, 4);
	table(AT_ROOT, "RSDT", 44);
	assert_int_equal(parse_acpi(used, 20), OK);
	assert_int_equal(boot.cpu_count, MAX_CPUS);
	assert_int_equal(acpi_cpus_left_out, 8);
}

static void is_sane(status s)
{
	assert_true(s == OK || s == NOT_THERE || s == BAD_VALUE);
	assert_true(boot.cpu_count >= 1 && boot.cpu_count <= MAX_CPUS && boot.ioapic_count <= BOOT_MAX_IOAPICS);
	assert_true(boot.override_count <= BOOT_MAX_OVERRIDES);
	forget_copies();
}

/* Damaged in each bit, with its checksum made right again where there is one, so that the damage is looked at. */
static void acpi_damaged(void **state)
{
	(void)state;
	static const struct { u32 at, length; } tables[] = {
		{ AT_ROOT, 52 }, { AT_MADT, 138 }, { AT_FADT, 116 }, { AT_DSDT, 120 },
	};
	build_acpi(true);
	for (u32 length = 0; length <= used; length++)
		is_sane(parse_acpi(length, 36));
	for (u32 t = 0; t < ARRAY_SIZE(tables); t++) {
		for (u32 bit = 0; bit < tables[t].length * 8; bit++) {
			build_acpi(true);
			page[tables[t].at + bit / 8] ^= (u8)(1u << bit % 8);
			u32 length = (u32)min_u64(get32(page + tables[t].at + 4), 1000);
			seal(tables[t].at, length, tables[t].at + 9);
			is_sane(parse_acpi(used, 36));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(acpi_good),
		cmocka_unit_test(acpi_checksums),
		cmocka_unit_test(acpi_many_processors),
		cmocka_unit_test(acpi_damaged),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	forget_copies();
	return failed;
}
