/*
 * acpi: find the root, walk it once, look into three tables. Lengths and checksums are checked before a byte is believed.
 * ACPI Specification 6.4: RSDP 5.2.5, headers 5.2.6, FADT 5.2.9, MADT 5.2.12, \_S5 7.4.2. Pure, builds hosted.
 */
#include "x86/boot/acpi.h"

#include "core/bits.h"
#include "x86/cpu/string.h"

enum {
	RSDP_OLD_BYTES = 20, RSDP_AT_REVISION = 15, RSDP_AT_RSDT = 16, RSDP_AT_LENGTH = 20, RSDP_AT_XSDT = 24, RSDP_NEW_BYTES = 36,
	TABLE_HEADER = 36, TABLE_AT_LENGTH = 4,
	FADT_AT_DSDT = 40, FADT_AT_PM1A = 64, FADT_AT_PM1B = 68, FADT_AT_PM_TIMER = 76, FADT_AT_PM_TIMER_LENGTH = 91,
	FADT_LEAST = 92, FADT_AT_X_DSDT = 140, FADT_WITH_X_DSDT = 148,
	MADT_AT_LAPIC = 36, MADT_ENTRIES = 44,
};
#define TABLE_MOST (16u << 20) /* longer is damage */
#define BIOS_AREA 0xe0000u
#define BIOS_AREA_END 0x100000u
#define RSDP_STEP 16u
#define EBDA_SEGMENT_AT 0x40eu
#define EBDA_BYTES 1024u
#define S5_UNKNOWN 0xffffu

u32 acpi_cpus_left_out;

static bool sum_is_zero(const u8 *p, u64 bytes)
{
	u8 sum = 0;
	for (u64 i = 0; i < bytes; i++)
		sum = (u8)(sum + p[i]);
	return sum == 0;
}

/* ---- the root ---- */

static const u8 *rsdp_search(const struct reader *r, u64 first, u64 end, u32 *bytes)
{
	for (u64 at = first; at + RSDP_OLD_BYTES <= end; at += RSDP_STEP) {
		const u8 *p = reader_at(r, at, RSDP_OLD_BYTES);
		if (p && !memcmp(p, "RSD PTR ", 8) && sum_is_zero(p, RSDP_OLD_BYTES)) {
			const u8 *whole = reader_at(r, at, RSDP_NEW_BYTES);
			*bytes = whole ? RSDP_NEW_BYTES : RSDP_OLD_BYTES;
			return whole ? whole : p;
		}
	}
	return NULL;
}

static const u8 *rsdp_find(const struct reader *r, u32 *bytes)
{
	const u8 *segment = reader_at(r, EBDA_SEGMENT_AT, 2);
	u64 ebda = segment ? (u64)get16(segment) << 4 : 0;
	const u8 *found = ebda ? rsdp_search(r, ebda, ebda + EBDA_BYTES, bytes) : NULL;
	return found ? found : rsdp_search(r, BIOS_AREA, BIOS_AREA_END, bytes);
}

/* A whole table with a good checksum, or NULL. */
static const u8 *table_at(const struct reader *r, u64 address, u32 *length)
{
	const u8 *t = address ? reader_at(r, address, TABLE_HEADER) : NULL;
	if (!t)
		return NULL;
	*length = get32(t + TABLE_AT_LENGTH);
	if (*length < TABLE_HEADER || *length > TABLE_MOST || !(t = reader_at(r, address, *length)))
		return NULL;
	return sum_is_zero(t, *length) ? t : NULL;
}

/* ---- MADT ---- */

enum { MADT_LAPIC = 0, MADT_IOAPIC = 1, MADT_OVERRIDE = 2, MADT_LAPIC_ADDRESS = 5, MADT_X2APIC = 9 };
enum { MADT_CPU_ENABLED = 1, MADT_POLARITY_LOW = 3, MADT_TRIGGER_LEVEL = 3 };

static void cpu_add(struct boot_info *boot, u32 apic_id, u32 flags)
{
	if (!(flags & MADT_CPU_ENABLED))
		return;
	for (u32 i = 0; i < boot->cpu_count; i++)
		if (boot->apic_id[i] == apic_id)
			return; /* the boot processor, or one that is listed both ways */
	if (boot->cpu_count == MAX_CPUS)
		acpi_cpus_left_out++;
	else
		boot->apic_id[boot->cpu_count++] = apic_id;
}

static void override_add(struct boot_info *boot, const u8 *e)
{
	u32 flags = get16(e + 8);
	if (boot->override_count == BOOT_MAX_OVERRIDES)
		return;
	boot->override[boot->override_count++] = (__typeof__(boot->override[0])){
		.irq = e[3], .gsi = get32(e + 4), .low = (flags & 3) == MADT_POLARITY_LOW, .level = (flags >> 2 & 3) == MADT_TRIGGER_LEVEL,
	};
}

static void ioapic_add(struct boot_info *boot, const u8 *e)
{
	if (boot->ioapic_count < BOOT_MAX_IOAPICS)
		boot->ioapic[boot->ioapic_count++] = (__typeof__(boot->ioapic[0])){ .id = e[2], .address = get32(e + 4), .gsi_base = get32(e + 8) };
}

static void madt_entry(struct boot_info *boot, const u8 *e, u32 bytes)
{
	switch (e[0]) {
	case MADT_LAPIC:
		if (bytes >= 8)
			cpu_add(boot, e[3], get32(e + 4));
		break;
	case MADT_X2APIC:
		if (bytes >= 16)
			cpu_add(boot, get32(e + 4), get32(e + 8));
		break;
	case MADT_IOAPIC:
		if (bytes >= 12)
			ioapic_add(boot, e);
		break;
	case MADT_OVERRIDE:
		if (bytes >= 10)
			override_add(boot, e);
		break;
	case MADT_LAPIC_ADDRESS:
		if (bytes >= 12)
			boot->lapic_address = get64(e + 4);
		break;
	default:
		break;
	}
}

static void madt_parse(struct boot_info *boot, const u8 *t, u32 length)
{
	if (length < MADT_ENTRIES)
		return;
	boot->lapic_address = get32(t + MADT_AT_LAPIC);
	for (u32 at = MADT_ENTRIES; at + 2 <= length;) {
		u32 bytes = t[at + 1];
		if (bytes < 2 || at + bytes > length)
			break;
		madt_entry(boot, t + at, bytes);
		at += bytes;
	}
}

/* ---- FADT and \_S5 ---- */

enum { AML_NAME = 0x08, AML_ROOT = '\\', AML_PACKAGE = 0x12, AML_BYTE = 0x0a, AML_ZERO = 0x00, AML_ONE = 0x01 };

/* SLP_TYP from Name(_S5_, Package(){ SLP_TYPa, ... }); S5_UNKNOWN if it is not such a name. `at` is behind "_S5_". */
static u16 s5_value(const u8 *t, u32 length, u32 at)
{
	/* PackageOp, PkgLength (1 to 4 bytes, the top two bits of the first tell how many follow), NumElements, first element */
	if (at + 2 >= length || t[at] != AML_PACKAGE)
		return S5_UNKNOWN;
	at += 1u + 1u + (t[at + 1] >> 6);
	if (at + 1 >= length || !t[at])
		return S5_UNKNOWN;
	at++;
	if (t[at] == AML_ZERO || t[at] == AML_ONE)
		return t[at];
	if (t[at] == AML_BYTE && at + 1 < length)
		return t[at + 1] & 7;
	return S5_UNKNOWN;
}

/* Searches the DSDT's bytes for the name: running AML for one number would be out of proportion. */
static u16 s5_search(const u8 *t, u32 length)
{
	for (u32 at = TABLE_HEADER + 2; at + 4 <= length; at++) {
		if (memcmp(t + at, "_S5_", 4) != 0)
			continue;
		if (t[at - 1] != AML_NAME && !(t[at - 1] == AML_ROOT && t[at - 2] == AML_NAME))
			continue;
		u16 value = s5_value(t, length, at + 4);
		if (value != S5_UNKNOWN)
			return value;
	}
	return S5_UNKNOWN;
}

static u16 port_of(const u8 *field) { return get32(field) <= 0xffff ? (u16)get32(field) : 0; }

static void fadt_parse(const struct reader *r, struct boot_info *boot, const u8 *t, u32 length)
{
	u32 dsdt_length;
	u64 dsdt_address;
	if (length < FADT_LEAST)
		return;
	boot->pm1a_control = port_of(t + FADT_AT_PM1A);
	boot->pm1b_control = port_of(t + FADT_AT_PM1B);
	boot->pm_timer_port = t[FADT_AT_PM_TIMER_LENGTH] == 4 ? port_of(t + FADT_AT_PM_TIMER) : 0;
	dsdt_address = length >= FADT_WITH_X_DSDT ? get64(t + FADT_AT_X_DSDT) : 0;
	const u8 *dsdt = table_at(r, dsdt_address ? dsdt_address : get32(t + FADT_AT_DSDT), &dsdt_length);
	if (dsdt && !memcmp(dsdt, "DSDT", 4))
		boot->slp_typ_s5 = s5_search(dsdt, dsdt_length);
}

/* ---- the walk ---- */

static void walk(const struct reader *r, const u8 *root, u32 length, u32 width, struct boot_info *boot)
{
	for (u32 at = TABLE_HEADER; at + width <= length; at += width) {
		u32 bytes;
		const u8 *t = table_at(r, width == 8 ? get64(root + at) : get32(root + at), &bytes);
		if (t && !memcmp(t, "APIC", 4))
			madt_parse(boot, t, bytes);
		else if (t && !memcmp(t, "FACP", 4))
			fadt_parse(r, boot, t, bytes);
	}
}

status acpi_parse(const struct reader *r, const u8 *rsdp, u32 rsdp_bytes, u32 boot_apic_id, struct boot_info *boot)
{
	u32 length;
	const u8 *root = NULL;
	boot->cpu_count = 1;
	boot->apic_id[0] = boot_apic_id;
	boot->ioapic_count = boot->override_count = 0;
	boot->slp_typ_s5 = S5_UNKNOWN;
	boot->pm1a_control = boot->pm1b_control = boot->pm_timer_port = 0;
	acpi_cpus_left_out = 0;
	if (!rsdp || rsdp_bytes < RSDP_OLD_BYTES || !sum_is_zero(rsdp, RSDP_OLD_BYTES))
		rsdp = rsdp_find(r, &rsdp_bytes);
	if (!rsdp)
		return NOT_THERE;
	if (rsdp[RSDP_AT_REVISION] >= 2 && rsdp_bytes >= RSDP_NEW_BYTES && sum_is_zero(rsdp, RSDP_NEW_BYTES)) {
		root = table_at(r, get64(rsdp + RSDP_AT_XSDT), &length);
		if (root && !memcmp(root, "XSDT", 4)) {
			walk(r, root, length, 8, boot);
			return OK;
		}
	}
	root = table_at(r, get32(rsdp + RSDP_AT_RSDT), &length);
	if (!root || memcmp(root, "RSDT", 4) != 0)
		return BAD_VALUE;
	walk(r, root, length, 4, boot);
	return OK;
}
