/*
 * timer: what time it is (TSC) and one shot at a time (TSC deadline, else the APIC timer's countdown).
 */
#include "core/bits.h"
#include "x86/asm/insn.h"
#include "x86/cpu/regs.h"
#include "x86/irq/irq.h"

#define COUNT_MAX 0xffffffffu

struct timer_rates timer_rates;
static u64 deadline[MAX_CPUS];

void delay_us(u32 microseconds)
{
	u64 end = rdtsc() + timer_rates.khz * microseconds / 1000;
	while ((s64)(end - rdtsc()) > 0)
		pause();
}

/* Counts until `left` ticks of the TSC have passed: never early, and at most COUNT_MAX. */
static u32 counts_for(u64 left)
{
	u64 counts = (u64)((unsigned __int128)min_u64(left, COUNT_MAX) * timer_rates.count_per_tsc >> 32) + 1;
	return (u32)min_u64(counts, COUNT_MAX);
}

static void start_count(u64 tsc)
{
	u64 now = rdtsc();
	apic_write(APIC_TIMER_COUNT, tsc == TIMER_NEVER ? 0 : tsc <= now ? 1 : counts_for(tsc - now));
}

void timer_arm(u64 tsc)
{
	deadline[this_cpu()->id] = tsc;
	if (!features.tsc_deadline)
		start_count(tsc);
	else
		wrmsr(MSR_TSC_DEADLINE, tsc == TIMER_NEVER ? 0 : max_u64(tsc, 1)); /* 0 would disarm */
}

void timer_interrupt(struct cpu *c)
{
	if (deadline[c->id] == TIMER_NEVER)
		return; /* disarmed while the interrupt was on its way */
	if (rdtsc() < deadline[c->id]) {
		timer_arm(deadline[c->id]); /* further than the counter reaches */
		return;
	}
	deadline[c->id] = TIMER_NEVER;
	c->events |= CPU_TIMER;
}
