/*
 * kvmclock: where the hypervisor has KVM's leaves, the time page and the frequency that they give are true, and an interrupt can be
 * ended by clearing a flag in memory.
 */
#include "lib/kvm.h"

enum { FEATURE_CLOCK2 = 1 << 3, LEAF_FEATURES = 1, LEAF_TIMING = 0x10, ENABLE = 1, SHIFT = 32, FREQUENCY_SLACK = 8, ROUNDS = 2000 };
#define MSR_WALL_CLOCK  0x4b564d00u
#define MSR_SYSTEM_TIME 0x4b564d01u
#define MSR_PV_EOI      0x4b564d04u

struct time_page {
	u32 version, pad;
	u64 tsc, ns;
	u32 multiplier;
	int8_t shift;
	u8 flags, pad2[2];
};
struct wall {
	u32 version, seconds, ns;
};

static volatile struct time_page *page;

static u64 scaled(u64 delta)
{
	delta = page->shift >= 0 ? delta << page->shift : delta >> -page->shift;
	return (u64)((unsigned __int128)delta * page->multiplier >> SHIFT);
}

static u64 now(void)
{
	u32 version;
	u64 ns;

	do {
		version = page->version;
		ns = page->ns + scaled(rdtsc() - page->tsc);
	} while ((version & 1) || version != page->version);
	return ns;
}

/* Both clocks at one moment: again when someone else had the processor in between. */
static void sample(u64 *tsc, u64 *ns)
{
	u64 slack = tsc_per_ms() / 20;

	for (unsigned i = 0; i < 1000; i++) {
		*tsc = rdtsc();
		*ns = now();
		if (rdtsc() - *tsc < slack)
			return;
	}
}

static void clock(void)
{
	volatile struct wall *wall = page_alloc();
	u64 before, after, start, took, back = 0, expected;

	page = page_alloc();
	wrmsr(MSR_SYSTEM_TIME, (word)page | ENABLE);
	check("the page is filled, its version even and not 0", page->version && !(page->version & 1) && page->multiplier);
	before = now();
	for (unsigned i = 0; i < ROUNDS; i++) {
		after = now();
		back += after < before;
		before = after;
		if (!(i & 7))
			cpuid(0, 0);
	}
	check_equal("time never runs back", back, 0);
	sample(&start, &before);
	delay_us(20000);
	sample(&took, &after);
	took -= start;
	after -= before;
	expected = took * 1000000 / tsc_per_ms();
	say("# %u us by its clock, %u us by the TSC against the PIT\n", (u32)(after / 1000), (u32)(expected / 1000));
	check("it agrees with the TSC's measured pace", after > expected - expected / FREQUENCY_SLACK && after < expected + expected / FREQUENCY_SLACK);
	wrmsr(MSR_WALL_CLOCK, (word)wall);
	check("the wall clock is later than 2020", wall->seconds > 1577836800u && wall->ns < 1000000000u && !(wall->version & 1));
	wrmsr(MSR_SYSTEM_TIME, 0);
	start = page->version;
	cpuid(0, 0);
	check("off, the page is left alone", page->version == start);
}

/* --- KVM's paravirtual EOI --------------------------------------------------------------------------------- */

enum { FEATURE_PV_EOI = 1 << 6, VECTOR = V_FREE, HIGHER = V_FREE + 32, INTERRUPTS = 50, PAIRS = 10 };
static volatile u32 eoi_flag, came, ended_by_flag, nested;

static void end_interrupt(void)
{
	if (__atomic_exchange_n(&eoi_flag, 0, __ATOMIC_SEQ_CST) & 1)
		ended_by_flag++;
	else
		lapic_eoi();
}

static void on_interrupt(struct regs *r)
{
	(void)r;
	came++;
	end_interrupt();
}

static void on_higher(struct regs *r)
{
	(void)r;
	nested++;
	end_interrupt();
}

/* Another interrupt comes before this one has ended: the flag must not end the wrong one. */
static void on_outer(struct regs *r)
{
	u32 before = nested;

	(void)r;
	came++;
	irqs_on();
	lapic_icr(0, ICR_SELF | HIGHER);
	for (unsigned i = 0; i < 100 && nested == before; i++)
		relax();
	irqs_off();
	end_interrupt();
}

static void interrupts(handler_fn *handler)
{
	handlers[VECTOR] = handler;
	for (u32 i = 0; i < INTERRUPTS; i++) {
		u64 until = rdtsc() + tsc_per_ms() * 100;
		lapic_icr(0, ICR_SELF | VECTOR);
		irqs_on();
		while (came == i && rdtsc() < until)
			relax();
		irqs_off();
	}
}

/* The flag must not be lent for the one that comes first: nothing would tell its end, and the other wait for some exit. */
static void two_at_once(void)
{
	u32 both = 0;

	for (u32 i = 0; i < PAIRS; i++) {
		u64 until = rdtsc() + tsc_per_ms() * 100;
		came = nested = 0;
		lapic_icr(0, ICR_SELF | VECTOR);
		lapic_icr(0, ICR_SELF | HIGHER);
		irqs_on();
		while (came == 0 && rdtsc() < until)
			relax();
		irqs_off();
		both += came == 1 && nested == 1;
	}
	check_equal("two that wait together both come", both, PAIRS);
}

static void pv_eoi(void)
{
	lapic_enable();
	handlers[HIGHER] = on_higher;
	wrmsr(MSR_PV_EOI, (word)&eoi_flag | ENABLE);
	interrupts(on_interrupt);
	check_equal("every interrupt comes when the last was ended by the flag", came, INTERRUPTS);
	check("the flag was offered", ended_by_flag > 0);
	came = 0;
	interrupts(on_outer);
	check_equal("so they do when another came in between", came, INTERRUPTS);
	check_equal("  and the other came each time", nested, INTERRUPTS);
	handlers[VECTOR] = on_interrupt;
	two_at_once();
	wrmsr(MSR_PV_EOI, 0);
	ended_by_flag = came = 0;
	interrupts(on_interrupt);
	check("off, it is not offered", came == INTERRUPTS && ended_by_flag == 0);
}

GUEST(kvmclock)
{
	struct leaf top = cpuid(KVM_BASE, 0);

	if (!is_kvm()) {
		skip("KVM's clock", "the hypervisor has no such leaf");
		return;
	}
	check("there is a leaf of features", top.a >= KVM_BASE + LEAF_FEATURES || top.a == 0);
	if (top.a >= KVM_BASE + LEAF_TIMING && cpuid(KVM_BASE + LEAF_TIMING, 0).a) {
		u32 khz = cpuid(KVM_BASE + LEAF_TIMING, 0).a, measured = (u32)tsc_per_ms();
		say("# the leaf says %u kHz, measured %u\n", khz, measured);
		check("the TSC's frequency in the leaf is true", khz > measured - measured / FREQUENCY_SLACK && khz < measured + measured / FREQUENCY_SLACK);
	} else {
		skip("the frequency's leaf", "there is none");
	}
	if (cpuid(KVM_BASE + LEAF_FEATURES, 0).a & FEATURE_CLOCK2)
		clock();
	else
		skip("the time page", "the features do not have it");
	if (cpuid(KVM_BASE + LEAF_FEATURES, 0).a & FEATURE_PV_EOI)
		pv_eoi();
	else
		skip("the paravirtual EOI", "the features do not have it");
}
