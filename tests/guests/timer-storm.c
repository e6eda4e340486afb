/* timer-storm: timers that are due at once, over and over: the machine neither stops nor loses itself in them. */
#include "lib/guest.h"

enum { VECTOR = V_FREE, SHOTS = 1000, LIMIT_MS = 10000, PIT_RATE = 2, SHORTEST = 2, PERIOD = 500, KINDER = 100 };

static volatile u32 shots, ticks, beats;

static void on_shot(struct regs *r)
{
	(void)r;
	shots++;
	lapic_eoi();
	if (shots < SHOTS)
		lapic_write(APIC_TIMER_COUNT, 1 + shots % 3);
}

static void on_beat(struct regs *r)
{
	(void)r;
	/* One that comes faster than it can be handled must not shut out what it interrupts: it gives way after so many. */
	if (++beats == SHOTS)
		lapic_write(APIC_TIMER_COUNT, 0);
	lapic_eoi();
}

static void on_tick(struct regs *r)
{
	(void)r;
	if (++ticks == SHOTS)
		pic_mask(0xffff);
	pic_eoi(0);
}

GUEST(timer_storm)
{

	handlers[VECTOR] = on_shot;
	handlers[V_PIC] = on_tick;
	lapic_enable();
	lapic_write(APIC_LINT0, LVT_EXTINT);
	lapic_write(APIC_DIVIDE, 0xb);
	lapic_write(APIC_TIMER, VECTOR);
	lapic_write(APIC_TIMER_COUNT, 1);
	check("1000 one-shots of the shortest time", wait_count(&shots, SHOTS, LIMIT_MS));
	handlers[VECTOR] = on_beat;
	lapic_write(APIC_TIMER_COUNT, 0); /* QEMU would take the last one-shot's count for a period */
	lapic_write(APIC_TIMER, LVT_PERIODIC | VECTOR);
	/* QEMU itself can run after a period that it cannot keep for ever, its console dead: on it a kinder one. */
	lapic_write(APIC_TIMER_COUNT, on_tcg() ? KINDER * PERIOD : PERIOD);
	irqs_on();
	delay_us(50000);
	irqs_off();
	lapic_write(APIC_TIMER_COUNT, 0);
	say("# %u beats in 50 ms\n", beats);
	check("a periodic timer that is always due leaves room", beats > 0);
	if (HAS_DEADLINE) {
		handlers[VECTOR] = on_beat;
		beats = 0;
		lapic_write(APIC_TIMER, LVT_DEADLINE | VECTOR);
		for (unsigned i = 0; i < 1000; i++) {
			wrmsr(MSR_TSC_DEADLINE, rdtsc() + i);
			wait_count(&beats, i + 1, 50);
		}
		check_equal("1000 deadlines that are nearly over", beats, 1000);
		lapic_write(APIC_TIMER, LVT_MASKED | VECTOR);
	}
	pit_set(PIT_RATE, on_tcg() ? KINDER * SHORTEST : SHORTEST);
	pic_mask(0xfffe);
	irqs_on();
	delay_us(50000);
	irqs_off();
	pic_mask(0xffff);
	say("# %u ticks in 50 ms\n", ticks);
	check("the PIT at its fastest leaves room", ticks > 0);
}
