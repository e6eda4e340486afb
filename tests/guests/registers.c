/*
 * registers: two processors that share whatever is beneath them keep their registers apart.
 *
 * Each holds its own key in every register that it has, hands the turn to the other in a different way each time (spinning, halted until
 * an IPI or a timer, behind exits of several kinds), and compares all registers when the turn comes back. Before that, the second one
 * looks at what it was started with: nothing of the first may be in it.
 */
#include "lib/registers.h"

enum { WAKE = V_FREE, TICK = V_FREE + 1, ROUNDS = 300, PATIENCE_MS = 20000, PERIOD = 3000000, WAYS = 6 };

/* One a processor: what it wants, what it has got, what it was started with. */
static struct registers wanted[2], got[2], initial;
static volatile u32 turn, started, ready, over, rounds[2];
static u32 ids[2];
static volatile u32 wrong[2];
static const char *volatile first_wrong[2];

static void compare(unsigned who)
{
	registers_read(&got[who]);
	wrong[who] += registers_compare(&wanted[who], &got[who], &first_wrong[who]);
}

/* --- taking turns --------------------------------------------------------------------------------------------------- */

static void on_wake(struct regs *r)
{
	(void)r;
	lapic_eoi();
}

static void wait_turn(unsigned who, unsigned way, u64 until)
{
	while (turn % 2 != who && !over && rdtsc() < until) {
		switch (way) {
		case 0:
			relax();
			break;
		case 1:
			registers_spin(&wanted[who], &got[who]);
			break;
		case 2:
			cpuid(1, 0);
			inb(PORT_COM1 + 7);
			lapic_read(APIC_ID);
			break;
		case 3:
			lapic_read(APIC_TIMER_NOW);
			registers_halt(&wanted[who], &got[who]);
			break;
		default:
			registers_halt(&wanted[who], &got[who]);
			break;
		}
	}
}

static void play(unsigned who)
{
	u64 until = rdtsc() + tsc_per_ms() * PATIENCE_MS;

	copy(got[who].gpr, wanted[who].gpr, sizeof got[who].gpr);
	registers_load(&wanted[who]);
	for (unsigned i = 0; i < ROUNDS && !over; i++) {
		wait_turn(who, (i / 2 + who) % WAYS, until);
		if (turn % 2 != who)
			break;
		compare(who);
		rounds[who]++;
		turn++;
		lapic_icr(ids[!who], WAKE);
	}
	write_dr7(0);
	write_cr8(0);
}

/* --- the second processor --------------------------------------------------------------------------------------------- */

/* Halts are ended by ticks too: TCG as the machine below forgets the shadow between STI and HLT, and so may miss the IPI. */
static void start_ticks(void)
{
	lapic_write(APIC_DIVIDE, 0xb);
	lapic_write(APIC_TIMER, LVT_PERIODIC | TICK);
	lapic_write(APIC_TIMER_COUNT, PERIOD);
}

static void second_main(void)
{
	registers_enable();
	registers_read(&initial);
	traps_load();
	lapic_enable();
	start_ticks();
	registers_fill(&wanted[1], 1);
	__atomic_fetch_add(&started, 1, __ATOMIC_SEQ_CST);
	play(1);
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
}

static bool find_other(const struct platform *p)
{
	ids[0] = lapic_id();
	for (unsigned i = 0; i < p->processors; i++)
		if (p->apic_id[i] != ids[0]) {
			ids[1] = p->apic_id[i];
			return true;
		}
	return false;
}

GUEST(registers)
{
	lapic_enable();
	if (!check("there are two processors", find_other(platform())))
		return;
	handlers[WAKE] = handlers[TICK] = on_wake;
	start_ticks();
	tsc_per_ms();
	registers_enable();
	registers_fill(&wanted[0], 0);
	registers_load(&wanted[0]); /* so that there is something to leak */
	if (!check("the other one starts", ap_start(ids[1], second_main, &started)))
		return;
	registers_check_initial(&initial);
	play(0);
	wait_change(&ready, 0, PATIENCE_MS);
	over = 1;
	check_equal("the first had its turns", rounds[0], ROUNDS);
	check_equal("the second too", rounds[1], ROUNDS);
	for (unsigned who = 0; who < 2; who++) {
		if (wrong[who])
			say("# processor %u: the first to differ was %s\n", who, first_wrong[who]);
		check_equal(who ? "the second kept its registers" : "the first kept its registers", wrong[who], 0);
	}
}
