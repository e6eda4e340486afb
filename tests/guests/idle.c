/* idle: a machine that is there and halts; a timer wakes it ten times a second, and after 20 seconds it ends. What it costs beside its memory? */
#include "lib/guest.h"

enum { TICK = V_FREE, SECONDS = 20, DIVIDE_BY_1 = 0xb, COUNTS = 100000000 };

static void tick(struct regs *r)
{
	(void)r;
	lapic_eoi();
}

GUEST(idle)
{
	u64 end = rdtsc() + SECONDS * 1000 * tsc_per_ms();

	handlers[TICK] = tick;
	lapic_enable();
	lapic_write(APIC_DIVIDE, DIVIDE_BY_1);
	lapic_write(APIC_TIMER, LVT_PERIODIC | TICK);
	lapic_write(APIC_TIMER_COUNT, COUNTS);
	while (rdtsc() < end)
		wait_irq();
	check("idle", true);
	finish();
}
