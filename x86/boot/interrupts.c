/*
 * interrupts: the controllers as ring 0 wants them. All is masked but this processor's own and the console's line, so nobody needs the
 * I/O APICs (82093AA datasheet, ch. 3) later.
 */
#include "core/bits.h"
#include "x86/asm/insn.h"
#include "x86/boot/start.h"
#include "x86/cpu/regs.h"
#include "x86/irq/irq.h"

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

static volatile u32 *ioapic_window(const struct boot_info *boot, u32 i, u32 r)
{
	volatile u32 *base = early_at(hpa(boot->ioapic[i].address));
	base[REGISTER_SELECT] = r;
	return &base[REGISTER_WINDOW];
}

static u32 ioapic_inputs(const struct boot_info *boot, u32 i)
{
	return boot->ioapic[i].address < EARLY_LIMIT ? (*ioapic_window(boot, i, IOAPIC_VERSION) >> 16 & 0xff) + 1 : 0;
}

void ioapic_init(const struct boot_info *boot)
{
	for (u32 i = 0; i < boot->ioapic_count; i++)
		for (u32 n = 0; n < ioapic_inputs(boot, i); n++)
			*ioapic_window(boot, i, IOAPIC_REDIRECTION + 2 * n) = REDIRECT_MASKED;
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
	for (u32 i = 0; i < boot->ioapic_count; i++) {
		u32 n = gsi - boot->ioapic[i].gsi_base;
		if (gsi < boot->ioapic[i].gsi_base || n >= ioapic_inputs(boot, i))
			continue;
		*ioapic_window(boot, i, IOAPIC_REDIRECTION + 2 * n + 1) = boot->apic_id[0] << DESTINATION_SHIFT;
		*ioapic_window(boot, i, IOAPIC_REDIRECTION + 2 * n) = vector | mode;
		return true;
	}
	return false;
}

/* ---- the 8259s: moved out of the exceptions' way and masked ---- */

enum { PIC1 = 0x20, PIC2 = 0xa0, PIC_DATA = 1, ICW1_INIT = 0x11, ICW4_8086 = 1, PIC_SLAVE_LINE = 2, PIC_MASK_ALL = 0xff };

void pic_disable(void)
{
	static const struct { u8 port, value; } steps[] = {
		{ PIC1, ICW1_INIT }, { PIC1 + PIC_DATA, VECTOR_PIC }, { PIC1 + PIC_DATA, 1 << PIC_SLAVE_LINE }, { PIC1 + PIC_DATA, ICW4_8086 },
		{ PIC2, ICW1_INIT }, { PIC2 + PIC_DATA, VECTOR_PIC + 8 }, { PIC2 + PIC_DATA, PIC_SLAVE_LINE }, { PIC2 + PIC_DATA, ICW4_8086 },
		{ PIC1 + PIC_DATA, PIC_MASK_ALL }, { PIC2 + PIC_DATA, PIC_MASK_ALL },
	};
	for (u32 i = 0; i < ARRAY_SIZE(steps); i++)
		out8(steps[i].port, steps[i].value);
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
