/* lapic_fixture.h: a local APIC for a test, and what it sent. */
#ifndef TESTS_LAPIC_FIXTURE_H
#define TESTS_LAPIC_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

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

static inline void on_send(void *context, const struct lapic_message *m)
{
	(void)context;
	seen.sent++;
	seen.last = *m;
}

static inline void on_eoi(void *context, u8 vector)
{
	(void)context;
	seen.ended++;
	seen.ended_vector = vector;
}

static const struct lapic_ops ops = { on_send, on_eoi };

static inline struct lapic fresh(u32 id, bool enabled)
{
	struct lapic l;

	memset(&l, 0x5a, sizeof(l));
	memset(&seen, 0, sizeof(seen));
	lapic_reset(&l, id, id == 0, &ops, NULL);
	if (enabled)
		lapic_write(&l, SVR, 4, 0x1ff, 0);
	return l;
}

static inline struct lapic fresh_x2(u32 id)
{
	struct lapic l = fresh(id, true);

	assert_int_equal(lapic_write_msr(&l, LAPIC_MSR_BASE, l.base | LAPIC_BASE_X2, 0), OK);
	return l;
}

static inline u32 reg(struct lapic *l, u32 offset) { return (u32)lapic_read(l, offset, 4, 0); }
static inline u32 msr_of(u32 offset) { return LAPIC_MSR_X2_FIRST + offset / 16; }
static inline status wr(struct lapic *l, u32 offset, u64 value) { return lapic_write_msr(l, msr_of(offset), value, 0); }

#endif
