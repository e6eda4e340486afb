/*
 * irq: from vector to handler. Few vectors are used; the rest is counted as stray and acknowledged, so that nothing gets stuck.
 */
#include "x86/irq/irq.h"

#include "x86/cpu/log.h"
#include "x86/cpu/serial.h"

#define STRAY_LOGGED 8u

static u32 strays;

static void stray_interrupt(struct cpu *c, u32 vector)
{
	if (__atomic_fetch_add(&strays, 1, __ATOMIC_RELAXED) < STRAY_LOGGED)
		log_line("stray interrupt: vector 0x%x on processor %u", vector, c->id);
}

void interrupt_dispatch(u32 vector)
{
	struct cpu *c = this_cpu();
	switch (vector) {
	case VECTOR_TIMER:
		timer_interrupt(c);
		break;
	case VECTOR_KICK:
		cpu_event(c, CPU_KICK);
		hv_kick(c);
		break;
	case VECTOR_SERIAL:
		if (serial_interrupt())
			cpu_event(&cpus[0], CPU_CONSOLE);
		break;
	case VECTOR_APIC_ERROR:
		apic_write(APIC_ESR, 0);
		stray_interrupt(c, vector);
		break;
	case VECTOR_SPURIOUS:
		return; /* not in service: no EOI */
	default:
		stray_interrupt(c, vector);
		if (vector >= VECTOR_PIC && vector < VECTOR_PIC_END)
			return;
	}
	apic_eoi();
}
