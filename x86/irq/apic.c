/*
 * apic: the local APIC, by memory (xAPIC) or by MSRs (x2APIC). APM vol. 2, ch. 16; Intel SDM vol. 3, ch. 11.
 *
 * The mode is the machine's: x2APIC if there is one, on every processor.
 */
#include "x86/asm/insn.h"
#include "x86/cpu/regs.h"
#include "x86/irq/irq.h"

#define ICR_WAIT 100000u /* looks; a message leaves at once or the APIC is broken */
#define ID_SHIFT 24u

bool apic_x2;
static volatile u32 *base = (volatile u32 *)0xfee00000;

static u32 x2_msr(enum apic_register r) { return MSR_X2APIC_FIRST + ((u32)r >> 4); }

u32 apic_read(enum apic_register r) { return apic_x2 ? (u32)rdmsr(x2_msr(r)) : base[(u32)r / 4]; }

void apic_write(enum apic_register r, u32 value)
{
	if (apic_x2)
		wrmsr(x2_msr(r), value);
	else
		base[(u32)r / 4] = value;
}

void apic_set_base(void *mapped) { base = mapped; }
u32 apic_id(void) { return apic_x2 ? apic_read(APIC_ID) : apic_read(APIC_ID) >> ID_SHIFT; }
void apic_eoi(void) { apic_write(APIC_EOI, 0); }

void apic_send(u32 to_apic_id, u32 command)
{
	if (apic_x2) {
		full_fence(); /* an x2APIC's WRMSR may pass earlier stores, which the target is to see */
		wrmsr(x2_msr(APIC_ICR), (u64)to_apic_id << 32 | command);
		return;
	}
	for (u32 i = 0; (apic_read(APIC_ICR) & APIC_PENDING) && i < ICR_WAIT; i++)
		pause();
	apic_write(APIC_ICR_HIGH, to_apic_id << ID_SHIFT);
	apic_write(APIC_ICR, command);
}
