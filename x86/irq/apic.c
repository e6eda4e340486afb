/*
 * apic: the local APIC, by memory (xAPIC) or by MSRs (x2APIC). APM vol. 2, ch. 16; Intel SDM vol. 3, ch. 11.
 *
 * The mode is the machine's: x2APIC if there is one, on every processor.
 */
#include "x86/asm/insn.h"
#include "x86/cpu/log.h"
#include "x86/cpu/regs.h"
#include "x86/irq/irq.h"

#define SPURIOUS_ENABLE 0x100u
#define LVT_MASKED 0x10000u
#define ICR_WAIT 100000u /* looks; a message leaves at once or the APIC is broken */
#define ID_SHIFT 24u

static bool x2;
static volatile u32 *base = (volatile u32 *)0xfee00000;

static u32 x2_msr(enum apic_register r) { return MSR_X2APIC_FIRST + ((u32)r >> 4); }

u32 apic_read(enum apic_register r) { return x2 ? (u32)rdmsr(x2_msr(r)) : base[(u32)r / 4]; }

void apic_write(enum apic_register r, u32 value)
{
	if (x2)
		wrmsr(x2_msr(r), value);
	else
		base[(u32)r / 4] = value;
}

void apic_set_base(void *mapped) { base = mapped; }
u32 apic_id(void) { return x2 ? apic_read(APIC_ID) : apic_read(APIC_ID) >> ID_SHIFT; }
void apic_eoi(void) { apic_write(APIC_EOI, 0); }

void apic_send(u32 to_apic_id, u32 command)
{
	if (x2) {
		full_fence(); /* an x2APIC's WRMSR may pass earlier stores, which the target is to see */
		wrmsr(x2_msr(APIC_ICR), (u64)to_apic_id << 32 | command);
		return;
	}
	for (u32 i = 0; (apic_read(APIC_ICR) & APIC_PENDING) && i < ICR_WAIT; i++)
		pause();
	apic_write(APIC_ICR_HIGH, to_apic_id << ID_SHIFT);
	apic_write(APIC_ICR, command);
}

static void enable(void)
{
	u64 msr = rdmsr(MSR_APIC_BASE);
	u64 wanted = msr | APIC_BASE_ENABLE | (x2 ? APIC_BASE_X2APIC : 0u);
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
		x2 = features.x2apic || (rdmsr(MSR_APIC_BASE) & APIC_BASE_X2APIC);
		base = (volatile u32 *)lapic_address;
	}
	enable();
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
