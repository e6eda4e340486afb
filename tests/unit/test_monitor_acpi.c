/*
 * test_monitor_acpi: the tables as an operating system walks them, and the guest's memory as it is told.
 */
#include "monitor/host/fake_ring0.h"
#include "monitor/platform/acpi.h"
#include "monitor/platform/pm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#define MEMORY (4u << 20)
#define HEADER 36u

static struct guest_memory memory;

static int setup(void **state)
{
	(void)state;
	fake_reset(MEMORY);
	guest_memory_init(&memory, fake.window, MEMORY);
	return 0;
}

static u32 u32_at(u64 gpa)
{
	u32 value;

	memcpy(&value, fake.window + gpa, sizeof(value));
	return value;
}

static u64 u64_at(u64 gpa) { return u32_at(gpa) | (u64)u32_at(gpa + 4) << 32; }

static u8 sum(u64 gpa, u32 length)
{
	u32 total = 0;

	for (u32 i = 0; i < length; i++)
		total += fake.window[gpa + i];
	return (u8)total;
}

/* A table with a header: inside the firmware's area, named, and its bytes sum up to zero. Its length. */
static u32 check_table(u64 gpa, const char *signature)
{
	u32 length = u32_at(gpa + 4);

	assert_true(gpa >= FIRMWARE && gpa + length <= FIRMWARE_END && length >= HEADER);
	assert_memory_equal(fake.window + gpa, signature, 4);
	assert_int_equal(sum(gpa, length), 0);
	return length;
}

static void tables_can_be_walked(void **state)
{
	u64 xsdt, rsdt, fadt, madt;

	(void)state;
	assert_true(acpi_install(&memory, 1));
	assert_memory_equal(fake.window + ACPI_RSDP, "RSD PTR ", 8);
	assert_int_equal(sum(ACPI_RSDP, 20), 0);
	assert_int_equal(sum(ACPI_RSDP, 36), 0);
	assert_int_equal(fake.window[ACPI_RSDP + 15], 2);
	rsdt = u32_at(ACPI_RSDP + 16);
	xsdt = u64_at(ACPI_RSDP + 24);
	assert_int_equal(check_table(xsdt, "XSDT"), HEADER + 16);
	assert_int_equal(check_table(rsdt, "RSDT"), HEADER + 8);
	fadt = u64_at(xsdt + HEADER);
	madt = u64_at(xsdt + HEADER + 8);
	assert_int_equal(u32_at(rsdt + HEADER), fadt);
	assert_int_equal(u32_at(rsdt + HEADER + 4), madt);
	assert_int_equal(check_table(fadt, "FACP"), 268);
	check_table(madt, "APIC");
	check_table(u32_at(fadt + 40), "DSDT");
	assert_int_equal(u64_at(fadt + 140), u32_at(fadt + 40));
	assert_memory_equal(fake.window + u32_at(fadt + 36), "FACS", 4);
	assert_int_equal(u32_at(fadt + 36) % 64, 0);
}

static void the_fadt_names_our_ports(void **state)
{
	u64 fadt;

	(void)state;
	assert_true(acpi_install(&memory, 1));
	fadt = u64_at(u64_at(ACPI_RSDP + 24) + HEADER);
	assert_int_equal(u32_at(fadt + 48), 0); /* no SMI command: ACPI is always on */
	assert_int_equal(u32_at(fadt + 56), PM1A_EVENT);
	assert_int_equal(u32_at(fadt + 64), PM1A_CONTROL);
	assert_int_equal(u32_at(fadt + 76), PM_TIMER);
	assert_int_equal(fake.window[fadt + 109] & 2, 0); /* no 8042 */
	assert_int_equal(u32_at(fadt + 112) & 1u << 10, 1u << 10);
	assert_int_equal(u32_at(fadt + 112) & 3u << 4, 2u << 4); /* a fixed power button, no sleep button */
	assert_int_equal(u64_at(fadt + 120), RESET_PORT);
	assert_int_equal(fake.window[fadt + 128], RESET_VALUE);
}

static void the_madt_lists_every_processor(void **state)
{
	u64 madt;
	u32 length, cpus = 0, ioapics = 0, overrides = 0;

	(void)state;
	assert_true(acpi_install(&memory, 5));
	madt = u64_at(u64_at(ACPI_RSDP + 24) + HEADER + 8);
	length = check_table(madt, "APIC");
	for (u32 at = HEADER + 8; at < length; at += fake.window[madt + at + 1]) {
		const u8 *e = fake.window + madt + at;

		assert_true(e[1] >= 6 && at + e[1] <= length);
		if (e[0] == 0)
			assert_int_equal(e[3], cpus++);
		else if (e[0] == 1)
			ioapics++, assert_int_equal(u32_at(madt + at + 4), MON_IOAPIC);
		else if (e[0] == 2)
			overrides++;
	}
	assert_int_equal(cpus, 5);
	assert_int_equal(ioapics, 1);
	assert_int_equal(overrides, 2);
	assert_true(acpi_install(&memory, 255));
	assert_false(acpi_install(&memory, 256));
}

static void guest_ptr_knows_the_bounds(void **state)
{
	struct guest_memory m;
	u8 *window = fake.window;

	(void)state;
	assert_ptr_equal(guest_ptr(&memory, 0, MEMORY), window);
	assert_ptr_equal(guest_ptr(&memory, MEMORY - 1, 1), window + MEMORY - 1);
	assert_null(guest_ptr(&memory, MEMORY - 1, 2));
	assert_null(guest_ptr(&memory, 0, MEMORY + 1ull));
	assert_null(guest_ptr(&memory, MEMORY, 1));
	assert_null(guest_ptr(&memory, ~0ull, 1));
	assert_null(guest_ptr(&memory, 16, ~0ull - 8));
	assert_null(guest_ptr(&memory, MON_PCI_HOLE_END, 1));
	guest_memory_init(&m, window, 5ull << 30);
	assert_non_null(guest_ptr(&m, MON_PCI_HOLE - 8, 8));
	assert_null(guest_ptr(&m, MON_PCI_HOLE - 8, 9));
	assert_null(guest_ptr(&m, MON_PCI_HOLE, 1));
	assert_null(guest_ptr(&m, MON_PCI_HOLE_END - 1, 1));
	assert_null(guest_ptr(&m, MON_PCI_HOLE_END - 1, 2));
	assert_non_null(guest_ptr(&m, MON_PCI_HOLE_END, 2ull << 30));
	assert_null(guest_ptr(&m, MON_PCI_HOLE_END, (2ull << 30) + 1));
	assert_null(guest_ptr(&m, 0, 1ull << 33)); /* across the hole */
}

static void the_memory_map_is_whole(void **state)
{
	static const u64 sizes[] = { 4ull << 20, 64ull << 20, 3ull << 30, 5ull << 30, 64ull << 30 };

	(void)state;
	for (u32 i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct memory_range map[MEMORY_MAP_MAX];
		struct guest_memory m;
		u64 ram = 0, end = 0;
		u32 count;

		guest_memory_init(&m, fake.window, sizes[i]);
		count = guest_memory_map(&m, map);
		assert_true(count <= MEMORY_MAP_MAX);
		for (u32 k = 0; k < count; k++) {
			assert_true(map[k].base >= end && map[k].size != 0);
			end = map[k].base + map[k].size;
			if (map[k].type != MEMORY_RAM)
				continue;
			assert_non_null(guest_ptr(&m, map[k].base, map[k].size));
			ram += map[k].size;
		}
		assert_int_equal(ram, sizes[i] - (FIRMWARE_END - LOW_RAM_END));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(tables_can_be_walked, setup),
		cmocka_unit_test_setup(the_fadt_names_our_ports, setup),
		cmocka_unit_test_setup(the_madt_lists_every_processor, setup),
		cmocka_unit_test_setup(guest_ptr_knows_the_bounds, setup),
		cmocka_unit_test_setup(the_memory_map_is_whole, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
