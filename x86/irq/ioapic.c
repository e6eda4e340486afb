/*
 * ioapic: device lines to vectors. All is masked but the console's line. 82093AA datasheet, ch. 3.
 */
#include "x86/irq/irq.h"

#define REGISTER_SELECT 0u /* in u32 */
#define REGISTER_WINDOW 4u
enum { IOAPIC_VERSION = 1, IOAPIC_REDIRECTION = 0x10 };
#define REDIRECT_MASKED 0x10000u
#define REDIRECT_LEVEL  0x8000u
#define REDIRECT_LOW    0x2000u
#define DESTINATION_SHIFT 24u
#define EARLY_LIMIT (1ull << 32)

static struct { volatile u32 *base; u32 gsi_base, inputs; } ioapics[BOOT_MAX_IOAPICS];
static u32 count;

static u32 ioapic_read(u32 i, u32 r)
{
	ioapics[i].base[REGISTER_SELECT] = r;
	return ioapics[i].base[REGISTER_WINDOW];
}

static void ioapic_write(u32 i, u32 r, u32 value)
{
	ioapics[i].base[REGISTER_SELECT] = r;
	ioapics[i].base[REGISTER_WINDOW] = value;
}

void ioapic_init(const struct boot_info *boot)
{
	for (u32 i = 0; i < boot->ioapic_count && boot->ioapic[i].address < EARLY_LIMIT; i++) {
		ioapics[i].base = early_at(hpa(boot->ioapic[i].address));
		ioapics[i].gsi_base = boot->ioapic[i].gsi_base;
		ioapics[i].inputs = (ioapic_read(i, IOAPIC_VERSION) >> 16 & 0xff) + 1;
		for (u32 n = 0; n < ioapics[i].inputs; n++)
			ioapic_write(i, IOAPIC_REDIRECTION + 2 * n, REDIRECT_MASKED);
		count = i + 1;
	}
}

void ioapic_set_base(u32 index, void *mapped)
{
	if (index < count)
		ioapics[index].base = mapped;
}

bool ioapic_route_isa(const struct boot_info *boot, u32 irq, u32 vector, u32 to_apic_id)
{
	u32 gsi = irq, mode = 0;
	for (u32 i = 0; i < boot->override_count; i++) {
		if (boot->override[i].irq == irq) {
			gsi = boot->override[i].gsi;
			mode = (boot->override[i].low ? REDIRECT_LOW : 0) | (boot->override[i].level ? REDIRECT_LEVEL : 0);
		}
	}
	for (u32 i = 0; i < count; i++) {
		u32 n = gsi - ioapics[i].gsi_base;
		if (gsi < ioapics[i].gsi_base || n >= ioapics[i].inputs)
			continue;
		ioapic_write(i, IOAPIC_REDIRECTION + 2 * n + 1, to_apic_id << DESTINATION_SHIFT);
		ioapic_write(i, IOAPIC_REDIRECTION + 2 * n, vector | mode);
		return true;
	}
	return false;
}
