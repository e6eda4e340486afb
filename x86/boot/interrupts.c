/*
 * interrupts: the controllers as ring 0 wants them. All is masked but this processor's own and the console's line, so nobody needs the
 * I/O APICs (82093AA datasheet, ch. 3) later.
 */
#include "x86/irq/irq.h"

#include "x86/asm/insn.h"
#include "x86/boot/start.h"
#include "x86/cpu/regs.h"

#define SPURIOUS_ENABLE 0x100u

#define REGISTER_SELECT 0u /* in u32 */
#define REGISTER_WINDOW 4u
enum { IOAPIC_VERSION = 1, IOAPIC_REDIRECTION = 0x10 };
#define REDIRECT_MASKED 0x10000u
#define REDIRECT_LEVEL  0x8000u
#define REDIRECT_LOW    0x2000u
#define DESTINATION_SHIFT 24u
#define EARLY_LIMIT (1ull << 32)

/* ---- I/O APICs ---- */

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

bool ioapic_route_isa(const struct boot_info *boot, u32 irq, u32 vector)
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
		ioapic_write(i, IOAPIC_REDIRECTION + 2 * n + 1, boot->apic_id[0] << DESTINATION_SHIFT);
		ioapic_write(i, IOAPIC_REDIRECTION + 2 * n, vector | mode);
		return true;
	}
	return false;
}

/* ---- the 8259s: moved out of the exceptions' way and masked ---- */

enum { PIC1 = 0x20, PIC2 = 0xa0, PIC_DATA = 1, ICW1_INIT = 0x11, ICW4_8086 = 1, PIC_SLAVE_LINE = 2, PIC_MASK_ALL = 0xff };

void pic_disable(void)
{
	out8(PIC1, ICW1_INIT);
	out8(PIC2, ICW1_INIT);
	out8(PIC1 + PIC_DATA, VECTOR_PIC);
	out8(PIC2 + PIC_DATA, VECTOR_PIC + 8);
	out8(PIC1 + PIC_DATA, 1 << PIC_SLAVE_LINE);
	out8(PIC2 + PIC_DATA, PIC_SLAVE_LINE);
	out8(PIC1 + PIC_DATA, ICW4_8086);
	out8(PIC2 + PIC_DATA, ICW4_8086);
	out8(PIC1 + PIC_DATA, PIC_MASK_ALL);
	out8(PIC2 + PIC_DATA, PIC_MASK_ALL);
}

/* ---- the local APIC ---- */

static void apic_enable(void)
{
	u64 msr = rdmsr(MSR_APIC_BASE);
	u64 wanted = msr | APIC_BASE_ENABLE | (apic_x2 ? APIC_BASE_X2APIC : 0u);
	/* From off to x2APIC leads through xAPIC only. */
	if (!(msr & APIC_BASE_ENABLE))
		wrmsr(MSR_APIC_BASE, msr | APIC_BASE_ENABLE);
	if (wanted != msr)
		wrmsr(MSR_APIC_BASE, wanted);
}

void apic_init_cpu(u64 lapic_address)
{
	bool first = this_cpu()->id == 0;
	if (first) {
		apic_x2 = features.x2apic || (rdmsr(MSR_APIC_BASE) & APIC_BASE_X2APIC);
		apic_set_base((void *)lapic_address);
	}
	apic_enable();
	apic_write(APIC_SPURIOUS, SPURIOUS_ENABLE | VECTOR_SPURIOUS);
	apic_write(APIC_TPR, 0);
	apic_write(APIC_LVT_TIMER, LVT_MASKED | VECTOR_TIMER);
	apic_write(APIC_LVT_LINT0, LVT_MASKED);
	apic_write(APIC_LVT_LINT1, first ? APIC_NMI : LVT_MASKED); /* the NMI pin of a PC */
	if ((apic_read(APIC_VERSION) >> 16 & 0xff) >= 4)
		apic_write(APIC_LVT_PERF, LVT_MASKED);
	apic_write(APIC_LVT_ERROR, VECTOR_APIC_ERROR);
	apic_write(APIC_ESR, 0);
	apic_eoi();
}
