/*
 * lapic: registers are named by their index, the same in both faces: offset / 16 in the xAPIC page, MSR - 800H in x2APIC.
 *
 * `look` has a bit for each word of `posted` that was written since the owner took it, and LOOK_IRR while IRR holds anything. A poster
 * sets its bit in `posted` first and in `look` afterwards; the owner clears `look` first: nothing is lost between them.
 *
 * Rules
 * 1. An error is noted before its interrupt is raised, and the error interrupt's own illegal vector is noted only: no recursion.
 * 2. What would be #GP (x2APIC) is found before anything changes.
 * 3. A change of the timer's registers first lets it expire if it is due, then re-arms it.
 *
 * Over 500 lines: registers, timer and messages change each other at every write; apart, all that is static here would be an interface.
 */
#include "hv/lapic.h"
#include "abi/monitor.h"
#include "core/bits.h"

enum lapic_register {
	REG_ID = 0x02, REG_VERSION = 0x03, REG_TPR = 0x08, REG_APR = 0x09, REG_PPR = 0x0a, REG_EOI = 0x0b, REG_RRD = 0x0c,
	REG_LDR = 0x0d, REG_DFR = 0x0e, REG_SVR = 0x0f, REG_ISR = 0x10, REG_TMR = 0x18, REG_IRR = 0x20, REG_ESR = 0x28,
	REG_ICR = 0x30, REG_ICR_HIGH = 0x31, REG_LVT = 0x32, REG_LVT_LAST = 0x37, REG_INITIAL = 0x38, REG_CURRENT = 0x39,
	REG_DIVIDE = 0x3e, REG_SELF_IPI = 0x3f,
};

#define LOOK_POSTED BITS(2 * LAPIC_WORDS - 1, 0)
#define LOOK_IRR    BIT(2 * LAPIC_WORDS)

#define VECTOR_FIRST   16u /* below: illegal */
#define VERSION        (0x14u | (LAPIC_LVTS - 1u) << 16)
#define SVR_ENABLE     0x100u
#define SVR_WRITABLE   0x3ffu
#define DFR_FLAT       0xfu /* bits 31:28 */
#define DFR_RESERVED   0x0fffffffu
#define DIVIDE_BITS    0xbu
#define BROADCAST_8    0xffu
#define BROADCAST_32   0xffffffffu

#define LVT_MASKED     0x10000u
#define LVT_STATUS     0x05000u /* delivery status and remote IRR: read-only, always 0 here */
#define LVT_MODE(v)    ((v) >> 8 & 7)
#define LVT_TIMER_MODE(v) ((v) >> 17 & 3)

/* Errors, ESR. */
#define ESR_SEND_ILLEGAL     0x20u
#define ESR_RECEIVED_ILLEGAL 0x40u
#define ESR_REGISTER         0x80u

/* ICR */
#define ICR_VECTOR(v)    ((u8)(v))
#define ICR_KIND(v)      ((enum lapic_kind)((v) >> 8 & 7))
#define ICR_LOGICAL      BIT(11)
#define ICR_STATUS       BIT(12)
#define ICR_ASSERT       BIT(14)
#define ICR_LEVEL        BIT(15)
#define ICR_SHORTHAND(v) ((enum lapic_shorthand)((v) >> 18 & 3))
#define ICR_RESERVED     (BITS(31, 20) | BITS(17, 16) | BIT(13))

/* Shorter periods would keep the host busy with nothing but timer interrupts. */
#define PERIOD_MIN (1u << 14)

enum timer_mode { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_DEADLINE, TIMER_RESERVED };

static const u32 lvt_writable[LAPIC_LVTS] = {
	[LAPIC_LVT_TIMER] = 0x700ff, [LAPIC_LVT_THERMAL] = 0x107ff, [LAPIC_LVT_PERF] = 0x107ff,
	[LAPIC_LVT_LINT0] = 0x1a7ff, [LAPIC_LVT_LINT1] = 0x1a7ff, [LAPIC_LVT_ERROR] = 0x100ff,
};

/* ---- bitmaps of 256 vectors ---- */

static int highest(const u64 map[LAPIC_WORDS])
{
	for (u32 w = LAPIC_WORDS; w-- > 0;)
		if (map[w])
			return (int)(w * 64 + 63u - (u32)__builtin_clzll(map[w]));
	return LAPIC_NO_VECTOR;
}

static void set_vector(u64 map[LAPIC_WORDS], u32 v) { map[v / 64] |= 1ull << v % 64; }
static void clear_vector(u64 map[LAPIC_WORDS], u32 v) { map[v / 64] &= ~(1ull << v % 64); }
static bool has_vector(const u64 map[LAPIC_WORDS], u32 v) { return map[v / 64] >> v % 64 & 1; }
static u32 map_register(const u64 map[LAPIC_WORDS], u32 i) { return (u32)(map[i / 2] >> 32 * (i % 2)); }

/* ---- what becomes pending ---- */

static void request(struct lapic *l, u32 vector)
{
	set_vector(l->irr, vector);
	clear_vector(l->tmr, vector);
	__atomic_fetch_or(&l->look, (u32)LOOK_IRR, __ATOMIC_RELAXED);
}

static void error(struct lapic *l, u32 what)
{
	u32 lvt = l->lvt[LAPIC_LVT_ERROR], vector = lvt & 0xff;

	l->esr_next |= what;
	if (lvt & LVT_MASKED)
		return;
	if (vector < VECTOR_FIRST)
		l->esr_next |= ESR_RECEIVED_ILLEGAL;
	else
		request(l, vector);
}

/* An interrupt of this APIC's own: from an LVT, or to itself. */
static void local_interrupt(struct lapic *l, u32 vector)
{
	if (vector < VECTOR_FIRST)
		error(l, ESR_RECEIVED_ILLEGAL);
	else
		request(l, vector);
}

bool lapic_enabled(const struct lapic *l)
{
	return (__atomic_load_n(&l->base, __ATOMIC_RELAXED) & LAPIC_BASE_ENABLE) &&
	       (__atomic_load_n(&l->svr, __ATOMIC_RELAXED) & SVR_ENABLE);
}

void lapic_post(struct lapic *l, u8 vector, bool level)
{
	u32 word = vector / 64u + (level ? LAPIC_WORDS : 0);

	if (!lapic_enabled(l))
		return;
	__atomic_fetch_or(&l->posted[word], 1ull << vector % 64, __ATOMIC_RELEASE);
	__atomic_fetch_or(&l->look, 1u << word, __ATOMIC_RELEASE);
}

static void take_posted(struct lapic *l)
{
	u32 look = __atomic_fetch_and(&l->look, ~(u32)LOOK_POSTED, __ATOMIC_ACQUIRE);
	u64 illegal = 0;

	for (u32 words = look & LOOK_POSTED; words; words &= words - 1) {
		u32 p = (u32)__builtin_ctz(words), w = p % LAPIC_WORDS;
		u64 bits = __atomic_exchange_n(&l->posted[p], 0, __ATOMIC_ACQUIRE);

		if (w == 0) {
			illegal |= bits & BITS(VECTOR_FIRST - 1, 0);
			bits &= ~BITS(VECTOR_FIRST - 1, 0);
		}
		l->irr[w] |= bits;
		l->tmr[w] = p < LAPIC_WORDS ? l->tmr[w] & ~bits : l->tmr[w] | bits;
	}
	__atomic_fetch_or(&l->look, (u32)LOOK_IRR, __ATOMIC_RELAXED);
	if (illegal)
		error(l, ESR_RECEIVED_ILLEGAL);
}

static void look_at_posted(struct lapic *l)
{
	if (__atomic_load_n(&l->look, __ATOMIC_RELAXED) & LOOK_POSTED)
		take_posted(l);
}

int lapic_highest_slow(struct lapic *l)
{
	look_at_posted(l);
	int v = highest(l->irr);
	if (v < 0) {
		__atomic_fetch_and(&l->look, ~(u32)LOOK_IRR, __ATOMIC_RELAXED);
		return LAPIC_NO_VECTOR;
	}
	return v >> 4 > l->in_service >> 4 ? v : LAPIC_NO_VECTOR;
}

void lapic_accept(struct lapic *l, int vector)
{
	u32 v = (u32)vector;

	clear_vector(l->irr, v);
	set_vector(l->isr, v);
	l->in_service = (u8)v;
	if (!(l->irr[0] | l->irr[1] | l->irr[2] | l->irr[3]))
		__atomic_fetch_and(&l->look, ~(u32)LOOK_IRR, __ATOMIC_RELAXED);
}

void lapic_end(struct lapic *l)
{
	u32 v = l->in_service;

	if (!v)
		return;
	clear_vector(l->isr, v);
	int next = highest(l->isr);
	l->in_service = next < 0 ? 0 : (u8)next;
	if (has_vector(l->tmr, v))
		l->ops->eoi(l->context, (u8)v);
}

bool lapic_accepts_extint(const struct lapic *l)
{
	u32 lvt = l->lvt[LAPIC_LVT_LINT0];

	return !lapic_globally_enabled(l) || (!(lvt & LVT_MASKED) && LVT_MODE(lvt) == LAPIC_EXTINT);
}

static u32 processor_priority(const struct lapic *l)
{
	return l->tpr >> 4 >= l->in_service >> 4 ? l->tpr : l->in_service & 0xf0u;
}

/* ---- the timer ---- */

static enum timer_mode timer_mode(const struct lapic *l)
{
	return (enum timer_mode)LVT_TIMER_MODE(l->lvt[LAPIC_LVT_TIMER]);
}

/* The divide register's bits 3, 1, 0 as a shift: 000 is 2, 110 is 128, 111 is 1. */
static u32 timer_shift(const struct lapic *l)
{
	u32 d = l->timer.divide_register;

	return ((d & 3) + (d >> 1 & 4) + 1) & 7;
}

static u64 timer_period(const struct lapic *l)
{
	u64 period = (u64)l->timer.initial << timer_shift(l);

	return timer_mode(l) == TIMER_PERIODIC ? max_u64(period, PERIOD_MIN) : period;
}

/* `started` may lie before TSC 0 (a count that goes on at another speed): only the difference counts. */
static u64 timer_elapsed(const struct lapic *l, u64 now)
{
	s64 elapsed = (s64)(now - l->timer.started);

	return elapsed > 0 ? (u64)elapsed : 0;
}

static u32 timer_current(const struct lapic *l, u64 now)
{
	const struct lapic_timer *t = &l->timer;
	u64 elapsed = timer_elapsed(l, now);

	if (!t->initial || t->stopped || timer_mode(l) > TIMER_PERIODIC)
		return 0;
	if (timer_mode(l) == TIMER_PERIODIC)
		elapsed %= timer_period(l);
	u64 count = elapsed >> timer_shift(l);
	return count < t->initial ? t->initial - (u32)count : 0;
}

/* Computes `next`. The timer is not overdue (rule 3): a one-shot whose time has passed has fired. */
static void timer_arm(struct lapic *l, u64 now)
{
	struct lapic_timer *t = &l->timer;
	enum timer_mode mode = timer_mode(l);
	bool masked = l->lvt[LAPIC_LVT_TIMER] & LVT_MASKED;
	u64 elapsed = timer_elapsed(l, now), period = timer_period(l);

	t->next = LAPIC_NO_DEADLINE;
	if (mode == TIMER_DEADLINE && t->deadline)
		t->next = t->deadline; /* also when masked: it disarms itself at that time */
	else if (mode > TIMER_PERIODIC || masked || !t->initial || t->stopped)
		return;
	else if (mode == TIMER_PERIODIC)
		t->next = t->started + (elapsed / period + 1) * period;
	else if (elapsed < period)
		t->next = t->started + period;
}

void lapic_timer_expire(struct lapic *l, u64 now)
{
	u32 lvt = l->lvt[LAPIC_LVT_TIMER];

	if (timer_mode(l) == TIMER_DEADLINE) {
		l->timer.deadline = 0;
		l->timer.next = LAPIC_NO_DEADLINE;
	} else {
		timer_arm(l, now);
	}
	if (!(lvt & LVT_MASKED))
		local_interrupt(l, lvt & 0xff);
}

void lapic_tsc_moved(struct lapic *l, u64 delta, u64 now)
{
	l->timer.started += delta;
	if (timer_mode(l) != TIMER_DEADLINE && l->timer.next != LAPIC_NO_DEADLINE)
		timer_arm(l, now);
}

static void write_initial(struct lapic *l, u32 value, u64 now)
{
	if (timer_mode(l) == TIMER_DEADLINE)
		return;
	l->timer.initial = value;
	l->timer.started = now;
	l->timer.stopped = false;
	timer_arm(l, now);
}

/* The count goes on from where it is, at the new speed. */
static void write_divide(struct lapic *l, u32 value, u64 now)
{
	u32 counted = l->timer.initial - timer_current(l, now);

	l->timer.divide_register = value & DIVIDE_BITS;
	l->timer.started = now - ((u64)counted << timer_shift(l));
	timer_arm(l, now);
}

static void write_lvt_timer(struct lapic *l, u32 value, u64 now)
{
	struct lapic_timer *t = &l->timer;
	enum timer_mode old = timer_mode(l), new = (enum timer_mode)LVT_TIMER_MODE(value);
	u64 elapsed = timer_elapsed(l, now), period = timer_period(l);

	if (old != new && (old == TIMER_DEADLINE || new == TIMER_DEADLINE)) { /* disarms, SDM "TSC-Deadline Mode" */
		t->deadline = 0;
		t->initial = 0;
	} else if (old == TIMER_ONE_SHOT && new == TIMER_PERIODIC && elapsed >= period) {
		t->stopped = true;
	} else if (old == TIMER_PERIODIC && t->initial) { /* this round, not the rounds before */
		t->started += elapsed - elapsed % period;
	}
	l->lvt[LAPIC_LVT_TIMER] = value;
	timer_arm(l, now);
}

/* ---- messages ---- */

bool lapic_msi(u64 address, u64 data, struct lapic_message *m)
{
	enum lapic_kind kind = ICR_KIND(data);

	if (address >> 20 != 0xfee || kind == LAPIC_RESERVED || kind == LAPIC_SIPI)
		return false;
	*m = (struct lapic_message){
		.kind = kind, .shorthand = LAPIC_TO_DESTINATION, .destination = (u32)(address >> 12 & 0xff),
		.vector = ICR_VECTOR(data), .logical = address & BIT(2), .level = data & ICR_LEVEL, .wide = false,
	};
	return true;
}

static bool logical_match(const struct lapic *l, bool x2, u32 to)
{
	u32 ldr = __atomic_load_n(&l->ldr, __ATOMIC_RELAXED), model = __atomic_load_n(&l->dfr, __ATOMIC_RELAXED) >> 28;

	if (x2)
		return ldr >> 16 == to >> 16 && (ldr & to & 0xffff);
	if (to > BROADCAST_8)
		return false;
	if (model == DFR_FLAT)
		return ldr >> 24 & to;
	return model == 0 && ldr >> 28 == to >> 4 && (ldr >> 24 & to & 0xf);
}

bool lapic_matches(const struct lapic *l, const struct lapic *sender, const struct lapic_message *m)
{
	u64 base = __atomic_load_n(&l->base, __ATOMIC_RELAXED);

	if (!(base & LAPIC_BASE_ENABLE))
		return false;
	switch (m->shorthand) {
	case LAPIC_TO_SELF:
		return l == sender;
	case LAPIC_TO_ALL:
		return true;
	case LAPIC_TO_OTHERS:
		return l != sender;
	case LAPIC_TO_DESTINATION:
		break;
	}
	if (m->destination == (m->wide ? BROADCAST_32 : BROADCAST_8))
		return true;
	return m->logical ? logical_match(l, base & LAPIC_BASE_X2, m->destination) : l->id == m->destination;
}

/* ICR was written: SDM "Interrupt Command Register" and its table of valid combinations; an invalid one sends nothing. */
static void send(struct lapic *l, u64 icr)
{
	bool x2 = lapic_x2(l);
	struct lapic_message m = {
		.kind = ICR_KIND(icr), .shorthand = ICR_SHORTHAND(icr), .destination = (u32)(icr >> (x2 ? 32 : 56)),
		.vector = ICR_VECTOR(icr), .logical = icr & ICR_LOGICAL, .level = false, .wide = x2,
	};
	bool fixed = m.kind == LAPIC_FIXED || m.kind == LAPIC_LOWEST;

	if (m.kind == LAPIC_RESERVED || m.kind == LAPIC_EXTINT)
		return;
	if (m.kind == LAPIC_INIT && (icr & ICR_LEVEL) && !(icr & ICR_ASSERT))
		return; /* INIT level de-assert: only arbitration IDs of old buses */
	if ((m.shorthand == LAPIC_TO_SELF || m.shorthand == LAPIC_TO_ALL) && m.kind != LAPIC_FIXED)
		return;
	if (fixed && m.vector < VECTOR_FIRST) {
		error(l, ESR_SEND_ILLEGAL);
		return;
	}
	if (m.shorthand != LAPIC_TO_SELF)
		l->ops->send(l->context, &m);
	else if (lapic_enabled(l))
		request(l, m.vector);
}

/* ---- registers, as both faces have them ---- */

/* False: there is no such register to read. */
static bool read_register(struct lapic *l, u32 reg, u64 now, u32 *value)
{
	look_at_posted(l);
	switch (reg) {
	case REG_ID:      *value = lapic_x2(l) ? l->id : l->id << 24; return true;
	case REG_VERSION: *value = VERSION; return true;
	case REG_TPR:     *value = l->tpr; return true;
	case REG_PPR:     *value = processor_priority(l); return true;
	case REG_LDR:     *value = l->ldr; return true;
	case REG_SVR:     *value = l->svr; return true;
	case REG_ISR ... REG_ISR + 7: *value = map_register(l->isr, reg - REG_ISR); return true;
	case REG_TMR ... REG_TMR + 7: *value = map_register(l->tmr, reg - REG_TMR); return true;
	case REG_IRR ... REG_IRR + 7: *value = map_register(l->irr, reg - REG_IRR); return true;
	case REG_ESR:     *value = l->esr; return true;
	case REG_ICR:     *value = (u32)l->icr; return true;
	case REG_LVT ... REG_LVT_LAST: *value = l->lvt[reg - REG_LVT]; return true;
	case REG_INITIAL: *value = l->timer.initial; return true;
	case REG_CURRENT: *value = timer_current(l, now); return true;
	case REG_DIVIDE:  *value = l->timer.divide_register; return true;
	default:          return false;
	}
}

static void write_svr(struct lapic *l, u32 value, u64 now)
{
	look_at_posted(l); /* what was accepted while enabled stays pending */
	__atomic_store_n(&l->svr, value & SVR_WRITABLE, __ATOMIC_RELAXED);
	if (value & SVR_ENABLE)
		return;
	for (u32 i = 0; i < LAPIC_LVTS; i++)
		l->lvt[i] |= LVT_MASKED;
	timer_arm(l, now);
}

static void write_lvt(struct lapic *l, u32 which, u32 value, u64 now)
{
	value &= lvt_writable[which];
	if (!(l->svr & SVR_ENABLE))
		value |= LVT_MASKED;
	if (which == LAPIC_LVT_TIMER)
		write_lvt_timer(l, value, now);
	else
		l->lvt[which] = value;
}

/* False: there is no such register to write. Reserved bits were judged (x2APIC) or are ignored (xAPIC). */
static bool write_register(struct lapic *l, u32 reg, u32 value, u64 now)
{
	lapic_timer(l, now);
	switch (reg) {
	case REG_TPR:     l->tpr = (u8)value; return true;
	case REG_EOI:     lapic_end(l); return true;
	case REG_SVR:     write_svr(l, value, now); return true;
	case REG_ESR:     l->esr = l->esr_next; l->esr_next = 0; return true;
	case REG_LVT ... REG_LVT_LAST: write_lvt(l, reg - REG_LVT, value, now); return true;
	case REG_INITIAL: write_initial(l, value, now); return true;
	case REG_DIVIDE:  write_divide(l, value, now); return true;
	default:          return false;
	}
}

/* ---- the xAPIC page ---- */

static bool page_only_register(u32 reg) { return reg == REG_APR || reg == REG_RRD; }

u64 lapic_read(struct lapic *l, u32 offset, u32 size, u64 now)
{
	u32 reg = offset / 16, byte = offset % 16, value = 0;

	if (byte + size > 4 || size == 0)
		return 0;
	lapic_timer(l, now);
	if (reg == REG_DFR)
		value = l->dfr;
	else if (reg == REG_ICR_HIGH)
		value = (u32)(l->icr >> 32);
	else if (!read_register(l, reg, now, &value) && reg != REG_EOI && !page_only_register(reg))
		error(l, ESR_REGISTER);
	return value >> 8 * byte & (~0ull >> (64 - 8 * size));
}

void lapic_write(struct lapic *l, u32 offset, u32 size, u64 value, u64 now)
{
	u32 reg = offset / 16, v = (u32)value, read_back;

	if (offset % 16 || size != 4)
		return;
	switch (reg) {
	case REG_LDR:
		__atomic_store_n(&l->ldr, v & 0xff000000u, __ATOMIC_RELAXED);
		break;
	case REG_DFR:
		__atomic_store_n(&l->dfr, v | DFR_RESERVED, __ATOMIC_RELAXED);
		break;
	case REG_ICR_HIGH:
		l->icr = (u32)l->icr | (u64)(v & 0xff000000u) << 32;
		break;
	case REG_ICR:
		l->icr = (l->icr & ~0xffffffffull) | (v & ~(u32)(ICR_RESERVED | ICR_STATUS));
		send(l, l->icr);
		break;
	default:
		if (!write_register(l, reg, v, now) && !read_register(l, reg, now, &read_back) && !page_only_register(reg))
			error(l, ESR_REGISTER);
	}
}

/* ---- x2APIC ---- */

/* The bits that a write may set; 0 for what takes 0 only. */
static u64 x2_writable(u32 reg)
{
	switch (reg) {
	case REG_TPR: case REG_SELF_IPI: return 0xff;
	case REG_SVR:     return SVR_WRITABLE;
	case REG_ICR:     return ~ICR_RESERVED;
	case REG_INITIAL: return 0xffffffffu;
	case REG_DIVIDE:  return DIVIDE_BITS;
	case REG_LVT ... REG_LVT_LAST: return lvt_writable[reg - REG_LVT] | LVT_STATUS;
	default:          return 0;
	}
}

/* ---- IA32_APIC_BASE and resets ---- */

static u32 x2_ldr(u32 id) { return (id >> 4) << 16 | 1u << (id & 0xf); }

void lapic_init(struct lapic *l)
{
	__atomic_store_n(&l->svr, 0xffu, __ATOMIC_RELAXED); /* first: nothing more is posted */
	__atomic_store_n(&l->look, 0u, __ATOMIC_RELAXED);
	for (u32 i = 0; i < ARRAY_SIZE(l->posted); i++)
		__atomic_store_n(&l->posted[i], 0ull, __ATOMIC_RELAXED);
	for (u32 i = 0; i < LAPIC_WORDS; i++)
		l->irr[i] = l->isr[i] = l->tmr[i] = 0;
	l->tpr = 0;
	l->in_service = 0;
	l->timer = (struct lapic_timer){ .next = LAPIC_NO_DEADLINE };
	l->ldr = lapic_x2(l) ? x2_ldr(l->id) : 0;
	l->dfr = ~0u;
	l->esr = l->esr_next = 0;
	l->icr = 0;
	for (u32 i = 0; i < LAPIC_LVTS; i++)
		l->lvt[i] = LVT_MASKED;
}

void lapic_reset(struct lapic *l, u32 id, bool boot_processor, const struct lapic_ops *ops, void *context)
{
	l->base = MON_LAPIC | LAPIC_BASE_ENABLE | (boot_processor ? LAPIC_BASE_BSP : 0);
	l->id = id;
	l->phys_bits = 52;
	l->ops = ops;
	l->context = context;
	lapic_init(l);
}

void lapic_virtual_wire(struct lapic *l)
{
	l->svr = 0xffu | SVR_ENABLE;
	l->lvt[LAPIC_LVT_LINT0] = LAPIC_EXTINT << 8;
	l->lvt[LAPIC_LVT_LINT1] = LAPIC_NMI << 8;
}

/* SDM "x2APIC State Transitions": disabled <-> xAPIC -> x2APIC -> disabled; nothing else. */
static status write_base(struct lapic *l, u64 value)
{
	bool was_on = l->base & LAPIC_BASE_ENABLE, on = value & LAPIC_BASE_ENABLE;
	bool was_x2 = l->base & LAPIC_BASE_X2, x2 = value & LAPIC_BASE_X2;
	u64 allowed = BITS(l->phys_bits - 1, 12) | LAPIC_BASE_ENABLE | LAPIC_BASE_X2 | LAPIC_BASE_BSP;

	if ((value & ~allowed) || (x2 && !on) || (x2 && !was_on) || (was_x2 && on && !x2))
		return FAULT;
	__atomic_store_n(&l->base, value, __ATOMIC_RELAXED);
	if (was_on && !on)
		lapic_init(l);
	if (x2 && !was_x2) {
		l->icr &= 0xffffffffu;
		__atomic_store_n(&l->ldr, x2_ldr(l->id), __ATOMIC_RELAXED);
	}
	return OK;
}

static void write_tsc_deadline(struct lapic *l, u64 value, u64 now)
{
	lapic_timer(l, now);
	if (timer_mode(l) == TIMER_DEADLINE) {
		l->timer.deadline = value;
		l->timer.next = value ? value : LAPIC_NO_DEADLINE;
	}
}

status lapic_read_msr(struct lapic *l, u32 msr, u64 now, u64 *value)
{
	u32 reg = msr - LAPIC_MSR_X2_FIRST, low;

	lapic_timer(l, now);
	if (msr == LAPIC_MSR_TSC_DEADLINE)
		*value = l->timer.deadline;
	else if (msr == LAPIC_MSR_BASE)
		*value = l->base;
	else if (lapic_x2(l) && reg == REG_ICR)
		*value = l->icr;
	else if (lapic_x2(l) && read_register(l, reg, now, &low))
		*value = low;
	else
		return FAULT;
	return OK;
}

status lapic_write_msr(struct lapic *l, u32 msr, u64 value, u64 now)
{
	u32 reg = msr - LAPIC_MSR_X2_FIRST;

	if (msr == LAPIC_MSR_BASE)
		return write_base(l, value);
	if (msr == LAPIC_MSR_TSC_DEADLINE) {
		write_tsc_deadline(l, value, now);
		return OK;
	}
	if (!lapic_x2(l) || (value & ~x2_writable(reg)))
		return FAULT;
	if (reg == REG_ICR) {
		l->icr = value & ~ICR_STATUS;
		send(l, l->icr);
		return OK;
	}
	if (reg == REG_SELF_IPI) {
		if (lapic_enabled(l))
			local_interrupt(l, (u32)value);
		return OK;
	}
	return write_register(l, reg, (u32)value, now) ? OK : FAULT;
}
