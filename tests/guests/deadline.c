/*
 * deadline: a TSC deadline at the end of all time does not come, and costs nothing meanwhile. Whoever runs this may count from another moment:
 * moved to that time carelessly it would lie in the past, be due at every entry, and take all of the processor.
 */
#include "lib/guest.h"

enum { MS = 20, SHARE = 4 };

static u64 rounds_in(u64 ticks)
{
	u64 rounds = 0, end = rdtsc() + ticks;

	while (rdtsc() < end)
		rounds++;
	return rounds;
}

static volatile u32 came;

static void on_timer(struct regs *r)
{
	(void)r;
	came++;
	lapic_eoi();
}

GUEST(deadline)
{
	u64 ticks = tsc_per_ms() * MS, free, with;

	if (!HAS_DEADLINE) {
		skip("TSC deadline", "CPUID does not have it");
		return;
	}
	lapic_enable();
	handlers[V_FREE] = on_timer;
	free = rounds_in(ticks);
	lapic_write(APIC_TIMER, LVT_DEADLINE | V_FREE);
	wrmsr(MSR_TSC_DEADLINE, ~0ull - 15);
	irqs_on();
	with = rounds_in(ticks);
	irqs_off();
	check_equal("a deadline at the end of time does not come", came, 0);
	check("  and takes no time", with > free / SHARE * (SHARE - 1));
	say("# %u rounds without it, %u with it\n", (u32)free, (u32)with);
	wrmsr(MSR_TSC_DEADLINE, 0);
}
