/*
 * own-registers: a machine that shares its processor with others finds, at its start, nothing of theirs in any register, and after that always its
 * own: it holds keys in all of them and leaves the processor in every way there is. Its MTRRs and its local APIC are looked at as well. The
 * word `b` at the end of the command line takes the second set of keys.
 */
#include "lib/registers.h"

enum { TICK = V_FREE, PERIOD = 2000000, DIVIDE_BY_1 = 0xb, LOOKS = 400, WAYS = 4, MTRR_VARIABLE_FIRST = 0x200, MTRR_CAP_COUNT = 0xff };

static struct registers wanted, got, initial;

static void on_tick(struct regs *r)
{
	(void)r;
	lapic_eoi();
}

/* --- what is not in the processor itself ----------------------------------------------------------------------------- */

static const u32 fixed_mtrrs[] = { 0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f };
enum { FIXED = sizeof fixed_mtrrs / sizeof fixed_mtrrs[0] };
#define MTRR_KEY 0x0606050504040101ull

/* The sum of all MTRRs, which are 0 at the start but for the default. */
static u64 mtrrs(void)
{
	u64 sum = 0;

	for (u32 i = 0; i < 2 * (rdmsr(MSR_MTRRCAP) & MTRR_CAP_COUNT); i++)
		sum |= rdmsr(MTRR_VARIABLE_FIRST + i);
	for (unsigned i = 0; i < FIXED; i++)
		sum |= rdmsr(fixed_mtrrs[i]);
	return sum;
}

static void fill_mtrrs(void)
{
	for (unsigned i = 0; i < FIXED; i++)
		wrmsr(fixed_mtrrs[i], MTRR_KEY);
	wrmsr(MTRR_VARIABLE_FIRST, 0x12345000 | 4);
}

static const struct {
	const char *name;
	u32 reg, initial, key;
} lapic[] = {
	{ "LDR", APIC_LDR, 0, 0x5a000000 }, { "DFR", APIC_DFR, ~0u, 0x0fffffff }, { "SVR", APIC_SVR, SVR_ENABLE | V_SPURIOUS, SVR_ENABLE | 0x3f },
	{ "TPR", APIC_TPR, 0, 0x20 }, { "ICR", APIC_ICR, 0, ICR_OTHERS | V_FREE }, { "ICR, upper half", APIC_ICR_HIGH, 0, 0x77000000 },
	{ "the timer's divider", APIC_DIVIDE, 0, DIVIDE_BY_1 }, { "the timer's vector", APIC_TIMER, LVT_MASKED, LVT_PERIODIC | TICK },
	{ "the error vector", APIC_ERROR, LVT_MASKED, LVT_MASKED | 0x5a }, { "the timer's count", APIC_TIMER_COUNT, 0, PERIOD },
	{ "ISR", APIC_ISR + 0x40, 0, 0 }, { "IRR", APIC_IRR + 0x40, 0, 0 }, { "ESR", APIC_ESR, 0, 0 },
};
enum { LAPIC_REGISTERS = sizeof lapic / sizeof lapic[0] };

static void check_platform(void)
{
	if (on_tcg()) {
		skip("MTRRs and the local APIC at the start", "here a firmware has been at them");
		return;
	}
	check_equal("MTRRs as after reset", mtrrs(), 0);
	for (unsigned i = 0; i < LAPIC_REGISTERS; i++)
		check_equal(lapic[i].name, lapic_read(lapic[i].reg), lapic[i].initial);
}

static void fill_platform(void)
{
	fill_mtrrs();
	for (unsigned i = 0; i < LAPIC_REGISTERS; i++)
		if (lapic[i].key)
			lapic_write(lapic[i].reg, lapic[i].key);
	lapic_write(APIC_TPR, 0);
}

/* --- looking, again and again ------------------------------------------------------------------------------------------- */

static void leave(unsigned way)
{
	switch (way) {
	case 0:
		registers_spin(&wanted, &got);
		break;
	case 1: /* to a monitor, and back */
		inb(PORT_COM1 + 7);
		cpuid(1, 0);
		break;
	case 2:
		lapic_read(APIC_TIMER_NOW);
		rdmsr(MSR_APIC_BASE);
		break;
	default:
		registers_halt(&wanted, &got);
		break;
	}
}

GUEST(own_registers)
{
	const char *volatile first = NULL;
	unsigned wrong = 0;

	registers_enable();
	registers_read(&initial);
	check_platform();
	registers_check_initial(&initial);
	handlers[TICK] = on_tick;
	tsc_per_ms();
	fill_platform();
	registers_fill(&wanted, boot.cmdline && ends_with(boot.cmdline, "b"));
	copy(got.gpr, wanted.gpr, sizeof got.gpr);
	registers_load(&wanted);
	write_cr8(wanted.cr8 = 0); /* or no tick comes */
	say("own-registers: filled\n");
	for (unsigned i = 0; i < LOOKS; i++) {
		leave(i % WAYS);
		registers_read(&got);
		wrong += registers_compare(&wanted, &got, &first);
	}
	write_dr7(0x400);
	if (first)
		say("# the first to differ was %s\n", first);
	check_equal("its own registers, after all that", wrong, 0);
	check("  and its MTRRs", rdmsr(fixed_mtrrs[0]) == MTRR_KEY && rdmsr(MTRR_VARIABLE_FIRST) == (0x12345000 | 4));
}
