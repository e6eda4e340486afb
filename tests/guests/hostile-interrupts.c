/*
 * hostile-interrupts: the shortest periodic timer on every processor, the PIT at its fastest on the first, and a halt after each interrupt, so
 * that a processor is given back and wanted again all the time.
 */
#include "lib/guest.h"

enum { VECTOR = V_FREE, DIVIDE_BY_1 = 0xb, PIT_RATE = 2, FASTEST = 2, ALL_BUT_PIT = 0xfffe };
enum { SHORTEST = 1, KINDER = 50000 }; /* QEMU itself runs after a period that it cannot keep for ever, its console dead: on it a kinder one */

static volatile u32 taken;

static void on_timer(struct regs *r)
{
	(void)r;
	__atomic_fetch_add(&taken, 1, __ATOMIC_RELAXED);
	lapic_eoi();
}

static void on_tick(struct regs *r)
{
	(void)r;
	pic_eoi(0);
}

static void begin(unsigned n)
{
	handlers[VECTOR] = on_timer;
	handlers[V_PIC] = on_tick;
	lapic_write(APIC_LINT0, LVT_EXTINT);
	pit_set(PIT_RATE, on_tcg() ? KINDER : FASTEST);
	pic_mask(ALL_BUT_PIT);
	say("hostile-interrupts: %u processors\n", n);
}

static void storm(void)
{
	lapic_write(APIC_DIVIDE, DIVIDE_BY_1);
	lapic_write(APIC_TIMER, LVT_PERIODIC | VECTOR);
	lapic_write(APIC_TIMER_COUNT, on_tcg() ? KINDER : SHORTEST);
	for (;;)
		wait_irq();
}

GUEST(hostile_interrupts)
{
	on_every_processor(storm, begin);
}
