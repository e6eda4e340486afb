/*
 * test_lapic: the local APIC in both its faces, by the manual, and with processors that post while the owner looks.
 */
#define _GNU_SOURCE 1 /* REG_EFL */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>

#include <cmocka.h>

#include "abi/monitor.h"
#include "core/bits.h"
#include "hv/lapic.h"

/* Offsets in the page; the MSR is 800H + offset / 16. */
enum { ID = 0x20, VERSION = 0x30, TPR = 0x80, PPR = 0xa0, EOI = 0xb0, LDR = 0xd0, DFR = 0xe0, SVR = 0xf0, ISR = 0x100, TMR = 0x180, IRR = 0x200,
       ESR = 0x280, ICR = 0x300, ICR_HIGH = 0x310, LVT_TIMER = 0x320, LVT_LINT0 = 0x350, LVT_ERROR = 0x370, INITIAL = 0x380, CURRENT = 0x390,
       DIVIDE = 0x3e0, SELF = 0x3f0 };

#define MASKED 0x10000u
#define PERIODIC 0x20000u
#define DEADLINE 0x40000u
#define DIVIDE_BY_1 0xbu

static struct { u32 sent, ended; struct lapic_message last; u8 ended_vector; } seen;

static void on_send(void *context, const struct lapic_message *m)
{
	(void)context;
	seen.sent++;
	seen.last = *m;
}

static void on_eoi(void *context, u8 vector)
{
	(void)context;
	seen.ended++;
	seen.ended_vector = vector;
}

static const struct lapic_ops ops = { on_send, on_eoi };

static struct lapic fresh(u32 id, bool enabled)
{
	struct lapic l;

	memset(&l, 0x5a, sizeof(l));
	memset(&seen, 0, sizeof(seen));
	lapic_reset(&l, id, id == 0, &ops, NULL);
	if (enabled)
		lapic_write(&l, SVR, 4, 0x1ff, 0);
	return l;
}

static struct lapic fresh_x2(u32 id)
{
	struct lapic l = fresh(id, true);

	assert_int_equal(lapic_write_msr(&l, LAPIC_MSR_BASE, l.base | LAPIC_BASE_X2, 0), OK);
	return l;
}

static u32 reg(struct lapic *l, u32 offset) { return (u32)lapic_read(l, offset, 4, 0); }
static u32 msr_of(u32 offset) { return LAPIC_MSR_X2_FIRST + offset / 16; }
static status wr(struct lapic *l, u32 offset, u64 value) { return lapic_write_msr(l, msr_of(offset), value, 0); }

static void test_reset(void **unused)
{
	struct lapic l = fresh(3, false);

	(void)unused;
	assert_int_equal(reg(&l, ID), 3u << 24);
	assert_int_equal(reg(&l, VERSION), 0x00050014);
	assert_int_equal(reg(&l, SVR), 0xff);
	assert_int_equal(reg(&l, DFR), 0xffffffff);
	for (u32 r = LVT_TIMER; r <= LVT_ERROR; r += 16)
		assert_int_equal(reg(&l, r), MASKED);
	assert_int_equal(l.base, MON_LAPIC | LAPIC_BASE_ENABLE);
	assert_int_equal(lapic_deadline(&l), LAPIC_NO_DEADLINE);
	assert_int_equal(lapic_highest(&l), LAPIC_NO_VECTOR);
	lapic_post(&l, 0x40, false); /* software-disabled: not accepted */
	assert_int_equal(lapic_highest(&l), LAPIC_NO_VECTOR);
	lapic_write(&l, LVT_TIMER, 4, 0x40, 0); /* and masks stay */
	assert_int_equal(reg(&l, LVT_TIMER), MASKED | 0x40);
	assert_false(lapic_accepts_extint(&l));
	lapic_virtual_wire(&l);
	assert_true(lapic_accepts_extint(&l));
}

static void test_priorities(void **unused)
{
	struct lapic l = fresh(0, true);

	(void)unused;
	lapic_post(&l, 0x41, false);
	lapic_post(&l, 0x83, false);
	assert_int_equal(lapic_deliverable(&l), 0x83);
	lapic_accept(&l, 0x83);
	assert_int_equal(reg(&l, PPR), 0x80);
	assert_int_equal(lapic_deliverable(&l), LAPIC_NO_VECTOR); /* a lower class waits */
	lapic_post(&l, 0x8f, false);
	assert_int_equal(lapic_deliverable(&l), LAPIC_NO_VECTOR); /* so does the same one */
	lapic_post(&l, 0x91, false);
	assert_int_equal(lapic_deliverable(&l), 0x91);
	lapic_accept(&l, 0x91);
	assert_int_equal(reg(&l, ISR + 0x40), 1u << 3 | 1u << 17); /* 83H and 91H */
	lapic_write(&l, EOI, 4, 0, 0);
	assert_int_equal(reg(&l, PPR), 0x80);
	lapic_write(&l, EOI, 4, 0, 0);
	assert_int_equal(lapic_deliverable(&l), 0x8f);
	lapic_write(&l, TPR, 4, 0x80, 0);
	assert_int_equal(lapic_deliverable(&l), LAPIC_NO_VECTOR);
	assert_int_equal(lapic_highest(&l), 0x8f); /* TPR is V_TPR's business */
	assert_int_equal(reg(&l, PPR), 0x80);
	lapic_set_cr8(&l, 7);
	assert_int_equal(reg(&l, TPR), 0x70);
	assert_int_equal(lapic_deliverable(&l), 0x8f);
	lapic_accept(&l, 0x8f);
	lapic_write(&l, EOI, 4, 0, 0);
	lapic_set_cr8(&l, 0);
	assert_int_equal(lapic_deliverable(&l), 0x41);
	lapic_accept(&l, 0x41);
	assert_int_equal(l.look, 0); /* nothing is left to look at */
	assert_int_equal(seen.ended, 0);
}

static void test_level_eoi(void **unused)
{
	struct lapic l = fresh(0, true);

	(void)unused;
	lapic_post(&l, 0x52, true);
	assert_int_equal(reg(&l, TMR + 0x20), 1u << 18);
	lapic_accept(&l, lapic_deliverable(&l));
	lapic_write(&l, EOI, 4, 0, 0);
	assert_int_equal(seen.ended, 1);
	assert_int_equal(seen.ended_vector, 0x52);
	lapic_post(&l, 0x52, false); /* the same vector, edge now: no broadcast */
	lapic_accept(&l, lapic_deliverable(&l));
	lapic_write(&l, EOI, 4, 0, 0);
	assert_int_equal(seen.ended, 1);
	lapic_write(&l, EOI, 4, 0, 0); /* EOI of nothing */
	assert_int_equal(seen.ended, 1);
}

static void test_base_transitions(void **unused)
{
	const u64 base = MON_LAPIC, on = LAPIC_BASE_ENABLE, x2 = LAPIC_BASE_X2;
	struct lapic l = fresh(1, true);
	u64 v;

	(void)unused;
	l.phys_bits = 40;
	assert_int_equal(lapic_write_msr(&l, LAPIC_MSR_BASE, base | x2, 0), FAULT);
	assert_int_equal(lapic_write_msr(&l, LAPIC_MSR_BASE, base | on | 1, 0), FAULT);
	assert_int_equal(lapic_write_msr(&l, LAPIC_MSR_BASE, base | on | 0x200, 0), FAULT);
	assert_int_equal(lapic_write_msr(&l, LAPIC_MSR_BASE, base | on | 1ull << 40, 0), FAULT);
	assert_int_equal(l.base, base | on);
	assert_int_equal(lapic_read_msr(&l, msr_of(ID), 0, &v), FAULT); /* not in x2APIC mode yet */
	assert_true(lapic_has_page(&l));
	assert_int_equal(lapic_write_msr(&l, LAPIC_MSR_BASE, base | on | x2, 0), OK);
	assert_false(lapic_has_page(&l));
	assert_int_equal(lapic_read_msr(&l, msr_of(SVR), 0, &v), OK);
	assert_int_equal(v, 0x1ff); /* state stays */
	assert_int_equal(lapic_write_msr(&l, LAPIC_MSR_BASE, base | on, 0), FAULT);
	assert_int_equal(lapic_write_msr(&l, LAPIC_MSR_BASE, base, 0), OK); /* disabled: state is gone */
	assert_false(lapic_globally_enabled(&l));
	assert_true(lapic_accepts_extint(&l));
	assert_false(lapic_enabled(&l));
	assert_int_equal(lapic_write_msr(&l, LAPIC_MSR_BASE, base | on | x2, 0), FAULT);
	assert_int_equal(lapic_write_msr(&l, LAPIC_MSR_BASE, base | on, 0), OK);
	assert_int_equal(reg(&l, SVR), 0xff);
}

static void test_x2_registers(void **unused)
{
	static const u32 readable[] = { ID, VERSION, TPR, PPR, LDR, SVR, ISR, TMR, IRR + 0x70, ESR, ICR, LVT_TIMER, LVT_ERROR, INITIAL, CURRENT, DIVIDE };
	struct lapic l = fresh_x2(0x23);
	u64 v;

	(void)unused;
	for (u32 offset = 0; offset < 0x1000; offset += 16) {
		bool known = false;

		for (u32 i = 0; i < sizeof(readable) / sizeof(readable[0]); i++)
			known |= readable[i] == offset;
		known |= (offset >= ISR && offset < ESR) || (offset >= LVT_TIMER && offset <= LVT_ERROR);
		assert_int_equal(lapic_read_msr(&l, msr_of(offset), 0, &v), known ? OK : FAULT);
	}
	assert_int_equal(lapic_read_msr(&l, msr_of(ID), 0, &v), OK);
	assert_int_equal(v, 0x23);
	assert_int_equal(lapic_read_msr(&l, msr_of(LDR), 0, &v), OK);
	assert_int_equal(v, 0x20008);
	/* reserved bits and what is read-only */
	assert_int_equal(wr(&l, TPR, 0x100), FAULT);
	assert_int_equal(wr(&l, EOI, 1), FAULT);
	assert_int_equal(wr(&l, EOI, 0), OK);
	assert_int_equal(wr(&l, ID, 0), FAULT);
	assert_int_equal(wr(&l, LDR, 0), FAULT);
	assert_int_equal(wr(&l, DFR, 0), FAULT);
	assert_int_equal(wr(&l, ICR_HIGH, 0), FAULT);
	assert_int_equal(wr(&l, CURRENT, 0), FAULT);
	assert_int_equal(wr(&l, ESR, 1), FAULT);
	assert_int_equal(wr(&l, SVR, 0x10000), FAULT);
	assert_int_equal(wr(&l, LVT_TIMER, 0x80000), FAULT);
	assert_int_equal(wr(&l, LVT_TIMER, 1ull << 32), FAULT);
	assert_int_equal(wr(&l, INITIAL, 1ull << 32), FAULT);
	assert_int_equal(wr(&l, DIVIDE, 4), FAULT);
	assert_int_equal(wr(&l, SELF, 0x100), FAULT);
	assert_int_equal(wr(&l, ICR, 1u << 13), FAULT);
	assert_int_equal(seen.sent, 0);
	assert_int_equal(wr(&l, SELF, 0x61), OK);
	assert_int_equal(lapic_deliverable(&l), 0x61);
}

static void test_page_accesses(void **unused)
{
	struct lapic l = fresh(5, true);

	(void)unused;
	assert_int_equal(lapic_read(&l, ID + 3, 1, 0), 5);
	assert_int_equal(lapic_read(&l, ID + 2, 2, 0), 0x500);
	assert_int_equal(lapic_read(&l, ID + 4, 4, 0), 0);
	assert_int_equal(lapic_read(&l, ID, 8, 0), 0);
	lapic_write(&l, TPR, 1, 0x30, 0);
	lapic_write(&l, TPR + 4, 4, 0x30, 0);
	assert_int_equal(reg(&l, TPR), 0);
	lapic_write(&l, LDR, 4, 0x12345678, 0);
	assert_int_equal(reg(&l, LDR), 0x12000000);
	lapic_write(&l, DFR, 4, 0, 0);
	assert_int_equal(reg(&l, DFR), 0x0fffffff);
	assert_int_equal(reg(&l, 0x40), 0); /* reserved: noted */
	lapic_write(&l, ESR, 4, 0, 0);
	assert_int_equal(reg(&l, ESR), 0x80);
	lapic_write(&l, ESR, 4, 0, 0);
	assert_int_equal(reg(&l, ESR), 0);
	lapic_write(&l, PPR, 4, 0xff, 0); /* read-only: nothing */
	lapic_write(&l, ESR, 4, 0, 0);
	assert_int_equal(reg(&l, ESR), 0);
}

/* MV-76: an error interrupt whose own vector is illegal raises nothing more. */
static void test_errors_do_not_recurse(void **unused)
{
	struct lapic l = fresh(0, true);

	(void)unused;
	lapic_write(&l, LVT_ERROR, 4, 0x05, 0);
	lapic_write(&l, ICR, 4, 0x3, 0); /* vector 3 is illegal to send */
	assert_int_equal(seen.sent, 0);
	lapic_write(&l, ESR, 4, 0, 0);
	assert_int_equal(reg(&l, ESR), 0x60);
	assert_int_equal(lapic_deliverable(&l), LAPIC_NO_VECTOR);
	lapic_write(&l, LVT_ERROR, 4, 0xfe, 0);
	lapic_post(&l, 7, false); /* received */
	assert_int_equal(lapic_highest(&l), 0xfe);
	lapic_write(&l, ESR, 4, 0, 0);
	assert_int_equal(reg(&l, ESR), 0x40);
	assert_int_equal(reg(&l, IRR), 0);
}

static void test_ipis(void **unused)
{
	struct lapic l = fresh(0, true), x;

	(void)unused;
	lapic_write(&l, ICR_HIGH, 4, 2u << 24, 0);
	lapic_write(&l, ICR, 4, 0x4600 | 0x9a, 0); /* SIPI */
	assert_int_equal(seen.sent, 1);
	assert_int_equal(seen.last.kind, LAPIC_SIPI);
	assert_int_equal(seen.last.vector, 0x9a);
	assert_int_equal(seen.last.destination, 2);
	assert_false(seen.last.wide);
	assert_int_equal(reg(&l, ICR), 0x4600 | 0x9a);
	assert_int_equal(reg(&l, ICR_HIGH), 2u << 24);
	lapic_write(&l, ICR, 4, 0xc500, 0); /* INIT */
	assert_int_equal(seen.sent, 2);
	lapic_write(&l, ICR, 4, 0x8500, 0); /* INIT de-assert: nothing */
	lapic_write(&l, ICR, 4, 0x4300, 0); /* reserved mode */
	lapic_write(&l, ICR, 4, 0x44400, 0); /* NMI to self: invalid */
	assert_int_equal(seen.sent, 2);
	lapic_write(&l, ICR, 4, 0xc4400, 0); /* NMI to the others */
	assert_int_equal(seen.last.kind, LAPIC_NMI);
	assert_int_equal(seen.last.shorthand, LAPIC_TO_OTHERS);
	lapic_write(&l, ICR, 4, 0x44055, 0); /* fixed to self */
	assert_int_equal(seen.sent, 3);
	assert_int_equal(lapic_deliverable(&l), 0x55);
	x = fresh_x2(0);
	assert_int_equal(wr(&x, ICR, 0x1234567800000855ull), OK);
	assert_int_equal(seen.last.destination, 0x12345678);
	assert_true(seen.last.wide);
	assert_true(seen.last.logical);
}

static bool matches(const struct lapic *l, u32 destination, bool logical, bool wide)
{
	struct lapic_message m = { .destination = destination, .logical = logical, .wide = wide };

	return lapic_matches(l, NULL, &m);
}

static void test_destinations(void **unused)
{
	struct lapic l = fresh(3, true), x = fresh_x2(0x25);
	struct lapic_message m = { .shorthand = LAPIC_TO_OTHERS };

	(void)unused;
	assert_true(matches(&l, 3, false, false));
	assert_false(matches(&l, 2, false, false));
	assert_true(matches(&l, 0xff, false, false));
	assert_false(matches(&l, 0xff, false, true));
	assert_true(matches(&l, 0xffffffff, false, true));
	lapic_write(&l, LDR, 4, 0x04000000, 0);
	assert_true(matches(&l, 0x0c, true, false));
	assert_false(matches(&l, 0x03, true, false));
	lapic_write(&l, DFR, 4, 0x0fffffff, 0); /* cluster */
	lapic_write(&l, LDR, 4, 0x24000000, 0);
	assert_true(matches(&l, 0x2c, true, false));
	assert_false(matches(&l, 0x1c, true, false));
	assert_false(matches(&l, 0x23, true, false));
	lapic_write(&l, DFR, 4, 0x5fffffff, 0); /* no model: nobody */
	assert_false(matches(&l, 0x2c, true, false));
	assert_true(matches(&x, 0x25, false, true));
	assert_true(matches(&x, 0x20020, true, true));
	assert_false(matches(&x, 0x20010, true, true));
	assert_false(matches(&x, 0x30020, true, true));
	assert_true(lapic_matches(&l, &x, &m));
	assert_false(lapic_matches(&x, &x, &m));
	m.shorthand = LAPIC_TO_ALL;
	assert_true(lapic_matches(&x, &x, &m));
	m.shorthand = LAPIC_TO_SELF;
	assert_true(lapic_matches(&x, &x, &m));
	assert_false(lapic_matches(&l, &x, &m));
	assert_int_equal(lapic_write_msr(&l, LAPIC_MSR_BASE, MON_LAPIC, 0), OK); /* disabled: hears nothing */
	assert_false(matches(&l, 0xff, false, false));
}

static void test_msi(void **unused)
{
	struct lapic_message m;

	(void)unused;
	assert_true(lapic_msi(0xfee0300cull, 0xc1a7, &m));
	assert_int_equal(m.destination, 3);
	assert_true(m.logical);
	assert_true(m.level);
	assert_int_equal(m.kind, LAPIC_LOWEST);
	assert_int_equal(m.vector, 0xa7);
	assert_false(lapic_msi(0xfed00000ull, 0x41, &m));
	assert_false(lapic_msi(0x1fee00000ull, 0x41, &m));
	assert_false(lapic_msi(0xfee00000ull, 0x341, &m)); /* reserved */
	assert_false(lapic_msi(0xfee00000ull, 0x641, &m)); /* start-up */
}

/* ---- the timer ---- */

static void test_timer_one_shot(void **unused)
{
	struct lapic l = fresh(0, true);

	(void)unused;
	lapic_write(&l, LVT_TIMER, 4, 0x40, 0);
	lapic_write(&l, DIVIDE, 4, 0x3, 0); /* by 16 */
	lapic_write(&l, INITIAL, 4, 1000, 5000);
	assert_int_equal(lapic_deadline(&l), 5000 + 16000);
	assert_int_equal(lapic_read(&l, CURRENT, 4, 5000 + 160), 990);
	lapic_timer(&l, 20999);
	assert_int_equal(lapic_deliverable(&l), LAPIC_NO_VECTOR);
	lapic_timer(&l, 21000);
	assert_int_equal(lapic_deliverable(&l), 0x40);
	assert_int_equal(lapic_deadline(&l), LAPIC_NO_DEADLINE);
	assert_int_equal(lapic_read(&l, CURRENT, 4, 30000), 0);
	lapic_accept(&l, 0x40);
	lapic_timer(&l, 100000);
	assert_int_equal(lapic_highest(&l), LAPIC_NO_VECTOR); /* once */
	lapic_write(&l, INITIAL, 4, 1000, 200000);
	lapic_write(&l, INITIAL, 4, 0, 200100); /* stops it */
	assert_int_equal(lapic_deadline(&l), LAPIC_NO_DEADLINE);
}

static void test_timer_periodic(void **unused)
{
	struct lapic l = fresh(0, true);

	(void)unused;
	lapic_write(&l, DIVIDE, 4, DIVIDE_BY_1, 0);
	lapic_write(&l, LVT_TIMER, 4, PERIODIC | 0x41, 0);
	lapic_write(&l, INITIAL, 4, 100000, 0);
	lapic_timer(&l, 350000); /* rounds that were missed come as one */
	assert_int_equal(lapic_deliverable(&l), 0x41);
	assert_int_equal(lapic_deadline(&l), 400000);
	assert_int_equal(lapic_read(&l, CURRENT, 4, 350000), 50000);
	lapic_write(&l, LVT_TIMER, 4, MASKED | PERIODIC | 0x41, 360000);
	assert_int_equal(lapic_deadline(&l), LAPIC_NO_DEADLINE);
	lapic_write(&l, LVT_TIMER, 4, PERIODIC | 0x41, 777000); /* the phase is kept */
	assert_int_equal(lapic_deadline(&l), 800000);
	lapic_write(&l, LVT_TIMER, 4, 0x41, 790000); /* as one-shot: this round still ends */
	assert_int_equal(lapic_deadline(&l), 800000);
	lapic_timer(&l, 800000);
	lapic_write(&l, LVT_TIMER, 4, PERIODIC | 0x41, 900000); /* it has run out: still */
	assert_int_equal(lapic_deadline(&l), LAPIC_NO_DEADLINE);
	assert_int_equal(lapic_read(&l, CURRENT, 4, 900000), 0);
	lapic_write(&l, INITIAL, 4, 1, 1000000); /* a period too short for the host is stretched */
	assert_true(lapic_deadline(&l) >= 1000000 + 10000);
}

static void test_timer_divide(void **unused)
{
	static const struct { u32 reg, by; } divisors[] = { { 0, 2 }, { 1, 4 }, { 2, 8 }, { 3, 16 }, { 8, 32 }, { 9, 64 }, { 0xa, 128 }, { 0xb, 1 } };
	struct lapic l = fresh(0, true);

	(void)unused;
	lapic_write(&l, LVT_TIMER, 4, 0x40, 0);
	for (u32 i = 0; i < sizeof(divisors) / sizeof(divisors[0]); i++) {
		lapic_write(&l, DIVIDE, 4, divisors[i].reg, 0);
		lapic_write(&l, INITIAL, 4, 1000, 0);
		assert_int_equal(lapic_deadline(&l), 1000 * divisors[i].by);
	}
	lapic_write(&l, DIVIDE, 4, 3, 400); /* the last ran undivided: 600 are left, now by 16 */
	assert_int_equal(lapic_read(&l, CURRENT, 4, 400), 600);
	assert_int_equal(lapic_deadline(&l), 400 + 600 * 16);
	lapic_tsc_moved(&l, 1000000, 1000400);
	assert_int_equal(lapic_deadline(&l), 1000400 + 600 * 16);
}

static void test_timer_deadline(void **unused)
{
	struct lapic l = fresh_x2(0);
	u64 v;

	(void)unused;
	assert_int_equal(lapic_write_msr(&l, LAPIC_MSR_TSC_DEADLINE, 500, 0), OK); /* not in this mode: ignored */
	assert_int_equal(lapic_deadline(&l), LAPIC_NO_DEADLINE);
	assert_int_equal(wr(&l, LVT_TIMER, DEADLINE | 0x42), OK);
	assert_int_equal(lapic_write_msr(&l, LAPIC_MSR_TSC_DEADLINE, 500, 0), OK);
	assert_int_equal(lapic_deadline(&l), 500);
	assert_int_equal(lapic_read_msr(&l, LAPIC_MSR_TSC_DEADLINE, 499, &v), OK);
	assert_int_equal(v, 500);
	assert_int_equal(wr(&l, INITIAL, 77), OK); /* ignored in this mode */
	assert_int_equal(lapic_read_msr(&l, msr_of(INITIAL), 0, &v), OK);
	assert_int_equal(v, 0);
	assert_int_equal(lapic_read_msr(&l, LAPIC_MSR_TSC_DEADLINE, 500, &v), OK); /* it fires, and disarms itself */
	assert_int_equal(v, 0);
	assert_int_equal(lapic_deliverable(&l), 0x42);
	assert_int_equal(lapic_write_msr(&l, LAPIC_MSR_TSC_DEADLINE, 900, 600), OK);
	assert_int_equal(wr(&l, LVT_TIMER, 0x42), OK); /* another mode disarms */
	assert_int_equal(lapic_deadline(&l), LAPIC_NO_DEADLINE);
	assert_int_equal(wr(&l, LVT_TIMER, DEADLINE | MASKED | 0x43), OK);
	assert_int_equal(lapic_write_msr(&l, LAPIC_MSR_TSC_DEADLINE, 1000, 600), OK);
	lapic_accept(&l, 0x42);
	lapic_timer(&l, 1000); /* masked: no interrupt */
	assert_int_equal(lapic_highest(&l), LAPIC_NO_VECTOR);
	assert_int_equal(l.timer.deadline, 0);
}

static void test_timer_illegal_vector(void **unused)
{
	struct lapic l = fresh(0, true);

	(void)unused;
	lapic_write(&l, LVT_TIMER, 4, 0x07, 0);
	lapic_write(&l, INITIAL, 4, 10, 0);
	lapic_timer(&l, 1000000);
	assert_int_equal(lapic_highest(&l), LAPIC_NO_VECTOR);
	lapic_write(&l, ESR, 4, 0, 0);
	assert_int_equal(reg(&l, ESR), 0x40);
}

static void test_disable_keeps_pending(void **unused)
{
	struct lapic l = fresh(0, true);

	(void)unused;
	lapic_write(&l, LVT_TIMER, 4, 0x40, 0);
	lapic_post(&l, 0x51, false);
	lapic_write(&l, SVR, 4, 0xff, 0);
	assert_int_equal(reg(&l, LVT_TIMER), MASKED | 0x40);
	assert_int_equal(lapic_deliverable(&l), 0x51);
	lapic_post(&l, 0x61, false);
	assert_int_equal(lapic_deliverable(&l), 0x51);
	lapic_init(&l);
	assert_int_equal(lapic_deliverable(&l), LAPIC_NO_VECTOR);
	assert_int_equal(reg(&l, ID), 0);
}

/* ---- posters on other processors: each vector that is posted is seen, each time ---- */

#define POSTERS 2u /* their vectors lie side by side, in the same words */
#define POSTS   5000u
#define SPINS   2000u
#define STUCK   5 /* seconds without anything to deliver, while a poster waits: one was lost */

struct poster { struct lapic *l; u32 first, taken; bool finished, give_up; };

static void *post_all(void *argument)
{
	struct poster *p = argument;

	for (u32 k = 0; k < POSTS && !__atomic_load_n(&p->give_up, __ATOMIC_ACQUIRE); k++) {
		u32 spins = 0;

		lapic_post(p->l, (u8)(p->first + k % 32 * POSTERS), k & 1);
		while (__atomic_load_n(&p->taken, __ATOMIC_ACQUIRE) == k && !__atomic_load_n(&p->give_up, __ATOMIC_ACQUIRE))
			if (++spins % SPINS == 0)
				sched_yield(); /* there may be fewer processors than threads */
	}
	__atomic_store_n(&p->finished, true, __ATOMIC_RELEASE);
	return NULL;
}

static bool all_finished(struct poster poster[POSTERS])
{
	bool all = true;

	for (u32 i = 0; i < POSTERS; i++)
		all &= __atomic_load_n(&poster[i].finished, __ATOMIC_ACQUIRE);
	return all;
}

static void test_posts_are_never_lost(void **unused)
{
	static struct poster poster[POSTERS];
	struct lapic l = fresh(0, true);
	pthread_t thread[POSTERS];
	time_t last = time(NULL);
	u32 spins = 0;

	(void)unused;
	for (u32 i = 0; i < POSTERS; i++) {
		poster[i] = (struct poster){ .l = &l, .first = 0x40 + i };
		assert_int_equal(pthread_create(&thread[i], NULL, post_all, &poster[i]), 0);
	}
	while (!all_finished(poster) && time(NULL) - last < STUCK) {
		int v = lapic_deliverable(&l);

		if (v < 0) {
			if (++spins % SPINS == 0)
				sched_yield();
			continue;
		}
		lapic_accept(&l, v);
		lapic_write(&l, EOI, 4, 0, 0);
		__atomic_fetch_add(&poster[(u32)v % POSTERS].taken, 1, __ATOMIC_RELEASE);
		last = time(NULL);
	}
	for (u32 i = 0; i < POSTERS; i++) {
		__atomic_store_n(&poster[i].give_up, true, __ATOMIC_RELEASE);
		pthread_join(thread[i], NULL);
		assert_int_equal(poster[i].taken, POSTS);
	}
	assert_int_equal(lapic_highest(&l), LAPIC_NO_VECTOR);
}

/*
 * ---- every interleaving, by single steps: one side is stopped behind its n-th instruction, the other runs there, for every n ----
 */

#define TRAP_FLAG  0x100u
#define STEPS_MAX  100000u

static struct { struct lapic *l; u32 at, count; void (*other)(void); u32 delivered[256]; } stepping;

/* A trap is slow: behind the point that matters it runs on without. */
static void on_step(int signal, siginfo_t *info, void *context)
{
	ucontext_t *u = context;

	(void)signal, (void)info;
	if (++stepping.count != stepping.at)
		return;
	stepping.other();
	u->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
}

static void step_through(void (*one)(void))
{
	stepping.count = 0;
	__builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() | TRAP_FLAG);
	one();
	__builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() & ~(u64)TRAP_FLAG);
}

static void owner_takes_all(void)
{
	for (int v; (v = lapic_deliverable(stepping.l)) >= 0;) {
		lapic_accept(stepping.l, v);
		lapic_write(stepping.l, EOI, 4, 0, 0);
		stepping.delivered[v]++;
	}
}

static void owner_looks(void) { (void)lapic_highest(stepping.l); }
static void post_61(void) { lapic_post(stepping.l, 0x61, false); }
static void post_62(void) { lapic_post(stepping.l, 0x62, false); }

static void interleave(void (*one)(void), void (*other)(void), u32 of_61, u32 of_62)
{
	for (stepping.at = 1; stepping.at < STEPS_MAX; stepping.at++) {
		struct lapic l = fresh(0, true);

		stepping.l = &l;
		stepping.other = other;
		memset(stepping.delivered, 0, sizeof(stepping.delivered));
		if (of_61 && one != post_61)
			post_61();
		step_through(one);
		owner_takes_all();
		if (stepping.count < stepping.at)
			break;
		assert_int_equal(stepping.delivered[0x61], of_61);
		assert_int_equal(stepping.delivered[0x62], of_62);
		assert_int_equal(l.look, 0);
	}
	assert_in_range(stepping.at, 20, STEPS_MAX - 1); /* it did step */
}

static void test_every_interleaving_of_a_post(void **unused)
{
	struct sigaction action = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO }, before;

	(void)unused;
	assert_int_equal(sigaction(SIGTRAP, &action, &before), 0);
	interleave(post_61, owner_takes_all, 1, 0);
	interleave(post_61, post_62, 1, 1);
	interleave(owner_looks, post_62, 1, 1);
	sigaction(SIGTRAP, &before, NULL);
}

/* ---- whatever a guest writes ---- */

static u64 seed = 88172645463325252ull;

static u64 random64(void) /* xorshift */
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static int highest_of(const u64 map[LAPIC_WORDS])
{
	for (int v = 255; v >= 0; v--)
		if (map[v / 64] >> v % 64 & 1)
			return v;
	return 0;
}

static void check_invariants(struct lapic *l)
{
	int v = lapic_deliverable(l);

	assert_true(v == LAPIC_NO_VECTOR || (v >= 16 && v < 256));
	assert_int_equal(l->in_service, highest_of(l->isr));
	if (!l->look)
		assert_int_equal(l->irr[0] | l->irr[1] | l->irr[2] | l->irr[3], 0);
	assert_int_equal((l->irr[0] | l->isr[0]) & 0xffff, 0);
	assert_int_equal(l->base & (LAPIC_BASE_ENABLE | LAPIC_BASE_X2) ? l->base & LAPIC_BASE_ENABLE : LAPIC_BASE_ENABLE, LAPIC_BASE_ENABLE);
	if (v >= 0 && random64() % 2)
		lapic_accept(l, v);
}

static void test_random_operations(void **unused)
{
	struct lapic l = fresh(0, true);
	u64 now = 0, got;

	(void)unused;
	for (u32 k = 0; k < 200000; k++) {
		u64 value = random64() >> random64() % 64;
		u32 offset = (u32)(random64() % 64 * 16);

		now += random64() >> (40 + random64() % 24);
		switch (random64() % 8) {
		case 0:
			lapic_post(&l, (u8)value, value >> 8 & 1);
			break;
		case 1:
			lapic_timer(&l, now);
			break;
		case 2: case 3:
			lapic_write(&l, offset, 4, value, now);
			break;
		case 4:
			if (lapic_write_msr(&l, LAPIC_MSR_X2_FIRST + offset / 16, value, now) == FAULT)
				(void)lapic_read(&l, offset, 4, now);
			break;
		case 5:
			if (lapic_write_msr(&l, LAPIC_MSR_TSC_DEADLINE, now + value % 100000, now) != OK)
				fail();
			break;
		case 6:
			if (random64() % 64 == 0 && lapic_write_msr(&l, LAPIC_MSR_BASE, MON_LAPIC | (value & 0xc00), now) == OK)
				lapic_write(&l, SVR, 4, 0x1ff, now);
			break;
		default:
			if (lapic_read_msr(&l, LAPIC_MSR_X2_FIRST + offset / 16, now, &got) == FAULT)
				got = lapic_read(&l, offset, 4, now);
		}
		check_invariants(&l);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reset), cmocka_unit_test(test_priorities), cmocka_unit_test(test_level_eoi),
		cmocka_unit_test(test_base_transitions), cmocka_unit_test(test_x2_registers), cmocka_unit_test(test_page_accesses),
		cmocka_unit_test(test_errors_do_not_recurse), cmocka_unit_test(test_ipis), cmocka_unit_test(test_destinations),
		cmocka_unit_test(test_msi), cmocka_unit_test(test_timer_one_shot), cmocka_unit_test(test_timer_periodic),
		cmocka_unit_test(test_timer_divide), cmocka_unit_test(test_timer_deadline), cmocka_unit_test(test_timer_illegal_vector),
		cmocka_unit_test(test_disable_keeps_pending), cmocka_unit_test(test_random_operations),
		cmocka_unit_test(test_posts_are_never_lost), cmocka_unit_test(test_every_interleaving_of_a_post),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
