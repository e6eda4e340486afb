/*
 * init-storm: one processor throws INIT, STARTUP, NMI and SMI at another as fast as it can, in every order, while that one starts, runs, leaves its
 * guest or waits to be started. The thrower goes on, and at last the other one can be started as if nothing had been.
 */
#include "lib/guest.h"

enum { ROUNDS = 400, PERIOD = 7, PATIENCE_MS = 20000, ICR_SMI = 2 << 8 };

static volatile u32 started, alive, stop;

static void other(void)
{
	__atomic_fetch_add(&started, 1, __ATOMIC_SEQ_CST);
	while (!stop) {
		cpuid(0, 0);
		inb(PORT_COM1 + 7);
		alive++;
	}
}

static u32 other_id(void)
{
	const struct platform *p = platform();

	for (unsigned i = 0; i < p->processors; i++)
		if (p->apic_id[i] != lapic_id())
			return p->apic_id[i];
	return lapic_id();
}

static void throw(u32 id, unsigned round)
{
	lapic_icr(id, ICR_INIT | ICR_LEVEL);
	if (round % 5 == 0)
		lapic_icr(id, ICR_INIT | ICR_LEVEL);
	if (round % 3 == 1 && !on_tcg())
		lapic_icr(id, ICR_SMI); /* on the bare machine a firmware would have to take it */
	for (unsigned i = 0; i < round % 4; i++)
		lapic_icr(id, ICR_STARTUP | AP_PAGE);
	for (unsigned i = 0; i < round % PERIOD * 100; i++)
		relax();
}

GUEST(init_storm)
{
	u32 id, before, threw = 0;

	lapic_enable();
	id = other_id();
	if (!check("there are two processors", id != lapic_id()))
		return;
	check("the other one starts", ap_start(id, other, &started));
	for (unsigned i = 0; i < ROUNDS; i++, threw++)
		throw(id, i);
	check_equal("the storm is over", threw, ROUNDS);
	say("# it started %u times\n", started);
	delay_us(20000);
	lapic_icr(id, ICR_INIT | ICR_LEVEL);
	delay_us(20000);
	before = started;
	check("the other one waits after INIT", started == before);
	check("and starts as at first", ap_start(id, other, &started));
	before = alive;
	check("and works", wait_change(&alive, before, PATIENCE_MS));
	stop = 1;
}
