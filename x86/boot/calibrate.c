/*
 * calibrate: how fast the TSC and the APIC's timer run.
 *
 * Pairs (reference, TSC) are read some 10 ms apart, each just when the reference steps. A pair is the tightest of a few, so that
 * a pause of the emulator or an SMI between the two reads costs a retry, not accuracy.
 */
#include "x86/asm/insn_start.h"
#include "x86/boot/start.h"
#include "x86/cpu/log.h"
#include "x86/irq/irq.h"

#define CALIBRATION_MS 10u
#define PM_TIMER_HZ 3579545ull
#define PM_TIMER_MASK 0xffffffu /* 24 bits are always there */
#define PIT_HZ 1193182ull
#define SAMPLES 5u
#define STEP_LOOKS 10000u
#define WAIT_LOOKS 4000000u /* a reference that does not move is no reference */
#define LVT_TSC_DEADLINE (2u << 17)
#define DIVIDE_BY_1 0xbu
#define COUNT_MAX 0xffffffffu

enum { PIT_CHANNEL2 = 0x42, PIT_COMMAND = 0x43, PIT_GATE = 0x61, PIT_GATE_ON = 1, PIT_SPEAKER = 2, PIT_OUT = 0x20,
       PIT_CHANNEL2_MODE0 = 0xb0 };

static u16 pm_port;

struct sample { u32 pm, apic; u64 tsc; };

static struct sample take_sample(void)
{
	struct sample best = { 0, 0, 0 };
	u64 gap = ~0ull, before;
	for (u32 i = 0; i < SAMPLES; i++) {
		u32 first = in32(pm_port), pm, looks = 0;
		do {
			before = rdtsc();
			pm = in32(pm_port);
		} while (pm == first && ++looks < STEP_LOOKS);
		u64 after = rdtsc();
		if (after - before < gap) {
			gap = after - before;
			best = (struct sample){ pm & PM_TIMER_MASK, apic_read(APIC_TIMER_NOW), after };
		}
	}
	return best;
}

/* Waits until the PM timer has moved by `ticks`; false: it does not move. */
static bool pm_wait(u32 from, u32 ticks)
{
	for (u32 i = 0; i < WAIT_LOOKS; i++)
		if (((in32(pm_port) - from) & PM_TIMER_MASK) >= ticks)
			return true;
	return false;
}

static void set_rates(u64 tsc, u64 apic, u64 reference_ticks, u64 reference_hz)
{
	timer_rates.khz = tsc * reference_hz / (reference_ticks * 1000);
	timer_rates.count_per_tsc = tsc ? (apic << 32) / tsc : 0;
}

static bool calibrate_by_pm(void)
{
	struct sample a = take_sample();
	if (!pm_wait(a.pm, (u32)(PM_TIMER_HZ * CALIBRATION_MS / 1000)))
		return false;
	struct sample b = take_sample();
	set_rates(b.tsc - a.tsc, a.apic - b.apic, (b.pm - a.pm) & PM_TIMER_MASK, PM_TIMER_HZ);
	return true;
}

/* Channel 2 counts down once, its gate open and the speaker off; OUT rises at the end. */
static bool calibrate_by_pit(void)
{
	const u32 ticks = (u32)(PIT_HZ * CALIBRATION_MS / 1000);
	u8 gate = (u8)(in8(PIT_GATE) & ~(PIT_SPEAKER | PIT_GATE_ON));
	u32 looks = 0;
	out8(PIT_GATE, gate | PIT_GATE_ON);
	out8(PIT_COMMAND, PIT_CHANNEL2_MODE0);
	out8(PIT_CHANNEL2, (u8)ticks);
	u64 tsc = rdtsc_ordered();
	u32 apic = apic_read(APIC_TIMER_NOW);
	out8(PIT_CHANNEL2, (u8)(ticks >> 8));
	while (!(in8(PIT_GATE) & PIT_OUT) && looks < WAIT_LOOKS)
		looks++;
	tsc = rdtsc_ordered() - tsc;
	apic -= apic_read(APIC_TIMER_NOW);
	out8(PIT_GATE, gate);
	set_rates(tsc, apic, ticks, PIT_HZ);
	return looks < WAIT_LOOKS;
}

void timer_calibrate(struct boot_info *boot)
{
	pm_port = boot->pm_timer_port;
	apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
	apic_write(APIC_LVT_TIMER, LVT_MASKED | VECTOR_TIMER);
	apic_write(APIC_TIMER_COUNT, COUNT_MAX);
	if (!(pm_port && calibrate_by_pm()) && !calibrate_by_pit())
		panic("neither the PM timer nor the PIT counts: the TSC cannot be calibrated");
	apic_write(APIC_TIMER_COUNT, 0);
	if (!timer_rates.khz)
		panic("the TSC does not count");
	boot->tsc_khz = timer_rates.khz;
}

void timer_init_cpu(void)
{
	apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
	apic_write(APIC_LVT_TIMER, (features.tsc_deadline ? LVT_TSC_DEADLINE : 0u) | VECTOR_TIMER);
	if (features.tsc_deadline)
		mfence(); /* the LVT's store before the first write of the deadline (Intel SDM vol. 3, 11.5.4.1) */
	timer_arm(TIMER_NEVER);
}

/* ---- does the TSC stop when the processor does? ---- */

#define HALT_MS 2u
#define RATE_TOLERANCE_SHIFT 8 /* 1/256 */

bool timer_tsc_survives_halt(void)
{
	struct cpu *c = this_cpu();
	if (!pm_port)
		return false;
	struct sample a = take_sample();
	timer_arm(a.tsc + timer_rates.khz * HALT_MS);
	while (!(c->events & CPU_TIMER))
		cpu_idle();
	struct sample b = take_sample();
	__atomic_fetch_and(&c->events, ~(u32)CPU_TIMER, __ATOMIC_SEQ_CST);
	u64 expected = ((b.pm - a.pm) & PM_TIMER_MASK) * timer_rates.khz * 1000 / PM_TIMER_HZ, seen = b.tsc - a.tsc;
	u64 apart = expected > seen ? expected - seen : seen - expected;
	return apart <= expected >> RATE_TOLERANCE_SHIFT;
}
