/*
 * ipi: one processor speaks to another.
 */
#include "core/check.h"
#include "x86/irq/irq.h"

void kick_cpu(u32 id)
{
	CHECK(id < MAX_CPUS);
	apic_send(cpus[id].apic_id, APIC_FIXED | APIC_ASSERT | (u32)VECTOR_KICK);
}

void ipi_nmi_others(void)
{
	apic_send(0, APIC_NMI | APIC_ASSERT | APIC_ALL_BUT_SELF);
}
