/*
 * test_lapic: the local APIC in both its faces, by the manual. Its timer: test_lapic_timer; who posts meanwhile: test_lapic_posts.
 */
#include "tests/unit/lapic_fixture.h"

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
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_priorities),
		cmocka_unit_test(test_level_eoi),
		cmocka_unit_test(test_base_transitions),
		cmocka_unit_test(test_x2_registers),
		cmocka_unit_test(test_page_accesses),
		cmocka_unit_test(test_errors_do_not_recurse),
		cmocka_unit_test(test_ipis),
		cmocka_unit_test(test_destinations),
		cmocka_unit_test(test_msi),
		cmocka_unit_test(test_disable_keeps_pending),
		cmocka_unit_test(test_random_operations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
