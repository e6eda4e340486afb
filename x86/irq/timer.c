/*
 * timer: what time it is (TSC) and one shot at a time (TSC deadline, else the APIC timer's countdown).
 *
 * With the option probe=N each shot comes early, after 1 to N ticks at random, and is armed again until its time has come: an interrupt
 * is always due within N ticks. The most by which one came late is then, to within N, the longest run of this processor with interrupts off.
 */
#include "core/bits.h"
#include "x86/asm/insn.h"
#include "x86/cpu/regs.h"
#include "x86/irq/irq.h"

#define COUNT_MAX 0xffffffffu
#define RANDOM_FACTOR 6364136223846793005ull /* Knuth's; the upper half is random enough */
#define RANDOM_GOOD 32

struct timer_rates timer_rates;
static u64 deadline[MAX_CPUS];

u64 timer_probe, timer_late;
static u64 due[MAX_CPUS];

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

/* The earlier one of this and the next probe. */
static __attribute__((noinline)) u64 probe_before(u64 tsc)
{
	static u64 random;
	u64 now = rdtsc();
	random = random * RANDOM_FACTOR + 1;
	return max_u64(now, min_u64(tsc, now + 1 + (random >> RANDOM_GOOD) % timer_probe));
}

void timer_arm(u64 tsc)
{
	deadline[this_cpu()->id] = tsc;
	if (__builtin_expect(timer_probe != 0, 0))
		due[this_cpu()->id] = tsc = probe_before(tsc);
	if (!features.tsc_deadline)
		start_count(tsc);
	else
		wrmsr(MSR_TSC_DEADLINE, tsc == TIMER_NEVER ? 0 : max_u64(tsc, 1)); /* 0 would disarm */
}

void timer_interrupt(struct cpu *c)
{
	u64 now = rdtsc(), wanted = deadline[c->id];
	if (__builtin_expect(timer_probe != 0, 0))
		timer_late = max_u64(timer_late, now - min_u64(now, due[c->id]));
	if (now >= wanted) {
		deadline[c->id] = wanted = TIMER_NEVER;
		cpu_event(c, CPU_TIMER);
	}
	if (wanted != TIMER_NEVER || timer_probe)
		timer_arm(wanted); /* further than the counter reaches; or disarmed while the interrupt was on its way, and probing */
}
