/* acpi: finding tables, reading the MADT, and the way to S5, as any system would: RSDP, RSDT, FADT, DSDT. */
#include "guest.h"

enum {
	BDA_EBDA = 0x40e, EBDA_SEARCH = 1024, ROM_START = 0xe0000, ROM_END = 0x100000, RSDP_LENGTH = 20, RSDP_STEP = 16,
	FADT_SMI_COMMAND = 48, FADT_ACPI_ENABLE = 52, FADT_PM1A_CONTROL = 64, FADT_PM1B_CONTROL = 68, FADT_DSDT = 40,
	PM1_SCI_ENABLE = 1, PM1_SLEEP_TYPE = 10, PM1_SLEEP_ENABLE = 1 << 13,
	AML_PACKAGE = 0x12, AML_BYTE = 0x0a, AML_ZERO = 0, AML_ONE = 1,
	MADT_LAPIC_ADDRESS = 36, MADT_FLAGS = 40, MADT_ENTRIES = 44, MADT_PCAT = 1,
	MADT_LAPIC = 0, MADT_IOAPIC = 1, MADT_OVERRIDE = 2, MADT_X2APIC = 9,
};

struct rsdp {
	char signature[8];
	u8 checksum;
	char oem[6];
	u8 revision;
	u32 rsdt;
};

static bool sum_is_zero(const void *p, size_t n)
{
	const u8 *b = p;
	u8 sum = 0;

	for (size_t i = 0; i < n; i++)
		sum = (u8)(sum + b[i]);
	return sum == 0;
}

static const struct rsdp *search(u32 from, u32 to)
{
	for (u32 at = from; at + RSDP_LENGTH <= to; at += RSDP_STEP) {
		const struct rsdp *r = (const void *)(word)at;
		if (same(r->signature, "RSD PTR ", 8) && sum_is_zero(r, RSDP_LENGTH))
			return r;
	}
	return NULL;
}

static const struct rsdp *find_rsdp(void)
{
	const struct rsdp *r = NULL;
	u32 ebda = 0;

	if (boot.rsdp)
		return (const void *)(word)boot.rsdp;
	copy(&ebda, (const void *)(word)BDA_EBDA, sizeof(u16)); /* a segment */
	ebda <<= 4;
	if (ebda >= 0x400 && ebda < 0xa0000)
		r = search(ebda, ebda + EBDA_SEARCH);
	return r ? r : search(ROM_START, ROM_END);
}

const struct acpi_header *acpi_find(const char *signature)
{
	const struct rsdp *rsdp = find_rsdp();
	const struct acpi_header *rsdt;
	const u32 *entry;

	if (!rsdp)
		return NULL;
	rsdt = (const void *)(word)rsdp->rsdt;
	entry = (const u32 *)(rsdt + 1);
	for (u32 n = (rsdt->length - (u32)sizeof *rsdt) / 4; n--; entry++) {
		const struct acpi_header *t = (const void *)(word)*entry;
		if (same(t->signature, signature, 4))
			return sum_is_zero(t, t->length) ? t : NULL;
	}
	return NULL;
}

static u32 field(const struct acpi_header *t, u32 at)
{
	u32 v;

	copy(&v, (const u8 *)t + at, sizeof v);
	return v;
}

/* One integer of a package, in the forms that fit SLP_TYP; moves *at past it. */
static u8 small_integer(const u8 **at)
{
	u8 op = *(*at)++;

	return op == AML_BYTE ? *(*at)++ : op;
}

static bool find_s5(const struct acpi_header *dsdt, u8 *type_a, u8 *type_b)
{
	const u8 *b = (const u8 *)dsdt;

	for (u32 i = sizeof *dsdt; i + 12 < dsdt->length; i++) {
		const u8 *at = b + i + 5;
		if (!same(b + i, "_S5_", 4) || b[i + 4] != AML_PACKAGE)
			continue;
		at += 1 + (*at >> 6); /* the package's length, in 1 to 4 bytes */
		at++;                 /* how many elements */
		*type_a = small_integer(&at);
		*type_b = small_integer(&at);
		return true;
	}
	return false;
}

bool acpi_power_off(void)
{
	const struct acpi_header *fadt = acpi_find("FACP");
	u16 a, b;
	u8 type_a, type_b;

	if (!fadt || !find_s5((const void *)(word)field(fadt, FADT_DSDT), &type_a, &type_b))
		return false;
	a = (u16)field(fadt, FADT_PM1A_CONTROL);
	b = (u16)field(fadt, FADT_PM1B_CONTROL);
	if (!a)
		return false;
	if (!(inw(a) & PM1_SCI_ENABLE) && field(fadt, FADT_SMI_COMMAND)) {
		outb((u16)field(fadt, FADT_SMI_COMMAND), (u8)field(fadt, FADT_ACPI_ENABLE));
		for (unsigned i = 0; i < 1000 && !(inw(a) & PM1_SCI_ENABLE); i++)
			relax();
	}
	outw(a, (u16)(type_a << PM1_SLEEP_TYPE | PM1_SLEEP_ENABLE));
	if (b)
		outw(b, (u16)(type_b << PM1_SLEEP_TYPE | PM1_SLEEP_ENABLE));
	return false;
}

static void read_entry(struct platform *p, const u8 *e)
{
	enum { ENABLED = 1, PROCESSORS = sizeof p->apic_id / sizeof p->apic_id[0] };

	if (e[0] == MADT_LAPIC && (e[4] & ENABLED) && p->processors < PROCESSORS)
		p->apic_id[p->processors++] = e[3];
	if (e[0] == MADT_X2APIC && (e[8] & ENABLED) && p->processors < PROCESSORS)
		copy(&p->apic_id[p->processors++], e + 4, 4);
	if (e[0] == MADT_IOAPIC && !p->ioapic) {
		copy(&p->ioapic, e + 4, 4);
		copy(&p->ioapic_gsi, e + 8, 4);
	}
	if (e[0] == MADT_OVERRIDE && e[3] < 16) {
		copy(&p->gsi_of_irq[e[3]], e + 4, 4);
		copy(&p->irq_flags[e[3]], e + 8, 2);
	}
}

const struct platform *platform(void)
{
	static struct platform p;
	static bool known;
	const struct acpi_header *madt;

	if (known)
		return &p;
	known = true;
	for (unsigned i = 0; i < 16; i++)
		p.gsi_of_irq[i] = i;
	madt = acpi_find("APIC");
	if (!madt)
		return &p;
	p.has_madt = true;
	p.lapic = field(madt, MADT_LAPIC_ADDRESS);
	p.has_pic = field(madt, MADT_FLAGS) & MADT_PCAT;
	for (u32 at = MADT_ENTRIES; at + 2 <= madt->length; at += ((const u8 *)madt)[at + 1]) {
		read_entry(&p, (const u8 *)madt + at);
		if (((const u8 *)madt)[at + 1] < 2)
			break;
	}
	return &p;
}
