/*
 * fuzz_lapic: the local APIC by page, by MSRs, by posted interrupts and by time, against a plain model of what is pending and in service.
 *
 * Steps of 8 bytes. The model has one flag for each vector; what else the registers hold is judged by rules: what is refused changes nothing,
 * reserved bits stay 0, only legal messages are sent, a timer that has fired lies ahead again.
 */
#include "abi/monitor.h"
#include "core/bits.h"
#include "hv/lapic.h"
#include "tests/fuzz/must.h"

#include <stdlib.h>
#include <string.h>

#define STEP_BYTES 8u
#define STEPS_MOST 200u
#define VECTORS 256u
#define FIRST 16u
#define MASKED 0x10000u
#define PHYS_BITS 40u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TPR = 0x80, PPR = 0xa0, EOI = 0xb0, SVR = 0xf0, ISR = 0x100, TMR = 0x180, IRR = 0x200, ICR = 0x300, SELF = 0x3f0 };

static struct {
	struct lapic l;
	bool irr[VECTORS], isr[VECTORS], level[VECTORS];
	u64 now;
	int ended; /* the vector whose end was told, of this step */
} f;

/* ---- the model ---- */

static int highest(const bool flag[VECTORS])
{
	for (int v = VECTORS - 1; v >= 0; v--)
		if (flag[v])
			return v;
	return LAPIC_NO_VECTOR;
}

static void pend(u32 vector, bool level)
{
	f.irr[vector] = true;
	f.level[vector] = level;
}

static void forget(void)
{
	memset(f.irr, 0, sizeof(f.irr));
	memset(f.isr, 0, sizeof(f.isr));
	memset(f.level, 0, sizeof(f.level));
}

static u32 class_of(int vector) { return vector < 0 ? 0 : (u32)vector >> 4; }

static u32 page_or_msr(u32 reg)
{
	u64 value = 0;
	if (lapic_x2(&f.l))
		must(lapic_read_msr(&f.l, LAPIC_MSR_X2_FIRST + reg / 16, f.now, &value) == OK, "a register cannot be read");
	else
		value = lapic_read(&f.l, reg, 4, f.now);
	return (u32)value;
}

static void compare_map(u32 reg, const bool flag[VECTORS])
{
	for (u32 w = 0; w < VECTORS / 32; w++) {
		u32 is = page_or_msr(reg + 16 * w), should = 0;
		for (u32 i = 0; i < 32; i++)
			should |= (u32)flag[32 * w + i] << i;
		must(is == should, reg == IRR ? "other vectors are pending" : reg == ISR ? "other vectors are in service" : "trigger modes differ");
	}
}

/* An error that its step brought about may have raised the error's interrupt, by edge. */
static void take_error(void)
{
	u32 lvt = f.l.lvt[LAPIC_LVT_ERROR], v = lvt & 0xff;
	if (f.l.esr_next && !(lvt & MASKED) && v >= FIRST && (f.l.irr[v / 64] >> v % 64 & 1) && !lapic_is_level(&f.l, (int)v))
		pend(v, false);
}

static void compare(void)
{
	int pending, serving = highest(f.isr), wanted;
	lapic_highest(&f.l); /* what was posted is taken */
	take_error();
	pending = highest(f.irr);
	wanted = class_of(pending) > class_of(serving) ? pending : LAPIC_NO_VECTOR;
	must(lapic_highest(&f.l) == wanted, "another vector is the highest");
	must(lapic_deliverable(&f.l) == (class_of(wanted) > f.l.tpr >> 4u ? wanted : LAPIC_NO_VECTOR), "another vector would be delivered");
	must(f.l.in_service == (serving < 0 ? 0 : serving), "another vector is noted as in service");
	must(pending >= 0 || f.l.look == 0, "there is nothing, and it is looked at");
	compare_map(IRR, f.irr);
	compare_map(ISR, f.isr);
	for (u32 v = 0; v < VECTORS; v++)
		must(!(f.irr[v] || f.isr[v]) || f.level[v] == lapic_is_level(&f.l, (int)v), "a trigger mode is forgotten");
	must(page_or_msr(PPR) >> 4 == max_u64(f.l.tpr >> 4, class_of(serving)), "another processor priority");
	for (u32 i = 0; i < LAPIC_LVTS; i++)
		must(!(f.l.lvt[i] & ~0x7a7ffu) && ((f.l.svr & 0x100) || (f.l.lvt[i] & MASKED)), "an LVT has what none has");
	must(lapic_page(&f.l) >> PHYS_BITS == 0 && (lapic_globally_enabled(&f.l) || !lapic_x2(&f.l)), "IA32_APIC_BASE is what none is");
}

/* ---- what it calls ---- */

static void on_send(void *context, const struct lapic_message *m)
{
	(void)context;
	must(m->kind != LAPIC_RESERVED && m->kind != LAPIC_EXTINT && m->shorthand != LAPIC_TO_SELF, "sends what nobody can");
	must((m->kind != LAPIC_FIXED && m->kind != LAPIC_LOWEST) || m->vector >= FIRST, "sends an illegal vector");
	must(m->wide == lapic_x2(&f.l) && (m->wide || m->destination <= 0xff), "sends to where it cannot");
	must(m->kind == ((f.l.icr >> 8) & 7) && m->vector == (u8)f.l.icr && m->logical == !!(f.l.icr & 0x800), "sends what was not asked for");
}

static void on_eoi(void *context, u8 vector)
{
	(void)context;
	must(f.ended < 0, "one end is told twice");
	f.ended = vector;
}

static const struct lapic_ops ops = { on_send, on_eoi };

/* ---- steps ---- */

/* Time goes on; a timer that is due fires, once, and then lies ahead. */
static void pass(u64 ticks)
{
	u32 lvt = f.l.lvt[LAPIC_LVT_TIMER];
	f.now += ticks;
	bool due = f.now >= lapic_deadline(&f.l);
	if (due && !(lvt & MASKED) && (lvt & 0xff) >= FIRST)
		pend(lvt & 0xff, false);
	lapic_timer(&f.l, f.now);
	must(lapic_deadline(&f.l) > f.now, "a timer that has fired is still due");
}

static void end(void)
{
	int v = highest(f.isr);
	f.ended = LAPIC_NO_VECTOR;
	if (lapic_x2(&f.l))
		must(lapic_write_msr(&f.l, LAPIC_MSR_X2_FIRST + EOI / 16, 0, f.now) == OK, "EOI is refused");
	else
		lapic_write(&f.l, EOI, 4, 0, f.now);
	must(f.ended == (v >= 0 && f.level[v] ? v : LAPIC_NO_VECTOR), "the I/O APIC hears of another end");
	if (v >= 0)
		f.isr[v] = false;
}

static void accept(void)
{
	int v = lapic_deliverable(&f.l);
	if (v < 0)
		return;
	lapic_accept(&f.l, v);
	f.irr[v] = false;
	f.isr[v] = true;
}

static void post(u8 vector, bool level)
{
	if (lapic_enabled(&f.l) && vector >= FIRST)
		pend(vector, level);
	lapic_post(&f.l, vector, level);
}

/* Before the owner looks: of one vector posted both ways, its end is told. */
static void post_two(u8 a, bool a_level, u8 b, bool b_level)
{
	post(a, a_level);
	post(b, b_level);
	if (a == b && lapic_enabled(&f.l) && a >= FIRST)
		pend(a, a_level || b_level);
}

/* ICR to itself: the only message that does not go out. */
static void note_self(u64 icr)
{
	if ((icr >> 18 & 3) == LAPIC_TO_SELF && (icr >> 8 & 7) == LAPIC_FIXED && (u8)icr >= FIRST && lapic_enabled(&f.l))
		pend((u8)icr, false);
}

static void write_page(u32 offset, u32 size, u64 value)
{
	if (!lapic_has_page(&f.l) || offset == EOI)
		return;
	lapic_write(&f.l, offset, size, value, f.now);
	if (offset == ICR && size == 4)
		note_self((u32)value);
}

static void read_page(u32 offset, u32 size)
{
	if (!lapic_has_page(&f.l))
		return;
	u64 value = lapic_read(&f.l, offset, size, f.now);
	must(size == 8 || value >> 8 * size == 0, "more is read than was asked for");
}

static void write_msr(u32 msr, u64 value)
{
	struct lapic before = f.l;
	if (msr == LAPIC_MSR_X2_FIRST + EOI / 16)
		return;
	status st = lapic_write_msr(&f.l, msr, value, f.now);
	must(st == OK || st == FAULT, "another answer than #GP");
	if (st == FAULT) {
		must(memcmp(&before, &f.l, sizeof(before)) == 0, "what is refused changes something");
		return;
	}
	if (msr == LAPIC_MSR_BASE && (before.base & LAPIC_BASE_ENABLE) && !(value & LAPIC_BASE_ENABLE))
		forget();
	must(msr == LAPIC_MSR_BASE || msr == LAPIC_MSR_TSC_DEADLINE || lapic_x2(&f.l), "an MSR that there is not");
	if (msr == LAPIC_MSR_X2_FIRST + ICR / 16)
		note_self(value);
	if (msr == LAPIC_MSR_X2_FIRST + SELF / 16 && (u8)value >= FIRST && lapic_enabled(&f.l))
		pend((u8)value, false);
}

static void read_msr(u32 msr)
{
	struct lapic before = f.l;
	u64 value, again;
	status st = lapic_read_msr(&f.l, msr, f.now, &value);
	must(memcmp(&before, &f.l, sizeof(before)) == 0, "reading changes something");
	must(st == FAULT || (lapic_read_msr(&f.l, msr, f.now, &again) == OK && again == value), "reads otherwise the second time");
}

static void match(u32 destination, u32 how)
{
	struct lapic_message m = { .kind = LAPIC_FIXED, .shorthand = (enum lapic_shorthand)(how & 3), .destination = destination,
				   .logical = how & 4, .wide = how & 8 };
	bool matches = lapic_matches(&f.l, how & 16 ? &f.l : NULL, &m);
	must(lapic_globally_enabled(&f.l) || !matches, "one that is off is a target");
	struct lapic_message msi;
	if (lapic_msi(0xfee00000 | destination % BIT(20), how, &msi))
		must(!msi.wide && msi.destination <= 0xff && msi.kind != LAPIC_SIPI && msi.kind != LAPIC_RESERVED, "no message of a device");
}

static u32 some_msr(const u8 *b)
{
	return b[2] < 24 ? LAPIC_MSR_BASE : b[2] < 48 ? LAPIC_MSR_TSC_DEADLINE : LAPIC_MSR_X2_FIRST + (b[3] & 0x3f);
}

static void step(const u8 *b)
{
	u32 value = b[4] | (u32)b[5] << 8 | (u32)b[6] << 16 | (u32)b[7] << 24;
	u64 wide = b[1] & 1 ? f.l.base ^ (value & 0xf0000f00u) : b[1] & 2 ? value : value | (u64)value << 32;
	switch (b[0] % 12) {
	case 0: post_two(b[2], b[3] & 1, b[4], b[5] & 1); break;
	case 1: accept(); break;
	case 2: end(); break;
	case 3: case 4: write_page((u32)b[3] % 0x40 * 16 + (b[1] & 0x80 ? b[2] & 15u : 0), b[1] & 0x40 ? b[1] & 7 : 4, value); break;
	case 5: read_page((b[2] | (u32)b[3] << 8) % (PAGE_SIZE - 8), 1u << (b[1] & 3)); break;
	case 6: case 7: write_msr(some_msr(b), wide); break;
	case 8: read_msr(some_msr(b)); break;
	case 9: lapic_set_cr8(&f.l, b[2] & 15); break;
	case 10:
		if (b[2] % 8 == 0) {
			lapic_init(&f.l);
			forget();
		} else {
			f.now += value;
			lapic_tsc_moved(&f.l, value, f.now);
		}
		break;
	default: match(value, b[2]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	memset(&f, 0, sizeof(f));
	lapic_reset(&f.l, data[0] & 15, data[0] & 16, &ops, NULL);
	f.l.phys_bits = PHYS_BITS;
	if (data[0] & 32)
		lapic_virtual_wire(&f.l);
	for (size_t at = 1, n = 0; at + STEP_BYTES <= size && n < STEPS_MOST; at += STEP_BYTES, n++) {
		const u8 *b = data + at;
		f.ended = LAPIC_NO_VECTOR;
		pass(b[1] & 8 ? (u64)b[7] << (b[6] & 31) : b[5]);
		take_error();
		step(b);
		pass(0);
		compare();
	}
	return 0;
}
