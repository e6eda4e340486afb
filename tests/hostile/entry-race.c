/*
 * entry-race: a vCPU is on its way into the guest with an interrupt whose end it may tell by a flag in memory, without an exit, when its processor
 * is asked to look at something else. What comes meanwhile may be an interrupt that waits for that end: the flag must have been taken back, for
 * by the flag nobody would hear of it. (MV-47)
 */
#include "lib/kvm.h"
#include "points.h"

#define MSR_PV_EOI 0x4b564d04u
#define X2APIC_ICR 0x830u
enum { VECTOR = V_FREE, TIMES = 20, PATIENCE_MS = 200 };

static volatile u32 eoi_flag, came, by_flag, stopped;

static void on_interrupt(struct regs *r)
{
	(void)r;
	if (__atomic_exchange_n(&eoi_flag, 0, __ATOMIC_SEQ_CST) & 1)
		by_flag++;
	else
		lapic_eoi();
	came++;
}

/* The one that is stopped is asked while it is. */
static void ask_it(void)
{
	for (unsigned i = 0; i < POLLS; i++)
		if (points(POINTS_STATE, 0, 0) == POINTS_STOPPED) {
			points(POINTS_ASK, 0, 0);
			stopped += points(POINTS_LET_GO, 0, 0) == POINTS_STOPPED;
			return;
		}
}

/* One exit, and the entry after it is with that interrupt. Did it come? */
static bool interrupt_self(bool x2)
{
	u32 before = came;
	u64 until = rdtsc() + tsc_per_ms() * PATIENCE_MS;

	if (x2)
		wrmsr(X2APIC_ICR, ICR_SELF | VECTOR);
	else
		*(volatile u32 *)(word)(LAPIC_ADDRESS + APIC_ICR) = ICR_SELF | VECTOR;
	while (rdtsc() < until && came == before)
		relax();
	return came == before + 1;
}

GUEST(entry_race)
{
	bool x2 = lapic_x2();
	u32 good = 0;

	if (!points_are_there() || !start_others(1, other_main))
		return;
	handlers[VECTOR] = on_interrupt;
	wrmsr(MSR_PV_EOI, (word)&eoi_flag | KVM_ENABLE);
	irqs_on();
	for (u32 i = 0; i < TIMES; i++)
		good += interrupt_self(x2);
	check_equal("each interrupt comes", good, TIMES);
	/* An exit of the host's own may come in between, here and below. */
	check("  its end is told by the flag", by_flag > TIMES / 2);
	good = by_flag = 0;
	for (u32 i = 0; i < TIMES; i++) {
		meanwhile(ask_it);
		stop_at(HV_POINT_ENTRY, 0);
		good += interrupt_self(x2) && is_over();
	}
	check_equal("each comes also where the entry was put off", good, TIMES);
	check_equal("  as it was", stopped, TIMES);
	check("  and the flag was taken back", by_flag < TIMES / 2);
	wrmsr(MSR_PV_EOI, 0);
}
