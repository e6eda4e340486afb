/* hostile-ipis: every processor sends interrupts to all, itself included, as fast as it can; and takes theirs. */
#include "lib/guest.h"

enum { VECTOR = V_FREE };

static volatile u32 taken;

static void on_ipi(struct regs *r)
{
	(void)r;
	__atomic_fetch_add(&taken, 1, __ATOMIC_RELAXED);
	lapic_eoi();
}

static void begin(unsigned n)
{
	handlers[VECTOR] = on_ipi;
	say("hostile-ipis: %u processors\n", n);
}

static void storm(void)
{
	irqs_on();
	for (;;)
		lapic_write(APIC_ICR, ICR_ALL | VECTOR);
}

GUEST(hostile_ipis)
{
	on_every_processor(storm, begin);
}
