/*
 * pit: see pit.h. Modes and the control word are the 8254 data sheet's.
 */
#include "monitor/platform/pit.h"
#include "monitor/lib/bits.h"
#include "monitor/lib/call.h"

#define CONTROL 3u
#define SELECT_SHIFT 6u
#define SELECT_READ_BACK 3u
#define ACCESS_SHIFT 4u
#define ACCESS_MASK 3u
#define ACCESS_LATCH 0u
#define ACCESS_LOW 1u
#define ACCESS_HIGH 2u
#define ACCESS_BOTH 3u
#define MODE_SHIFT 1u
#define CONTROL_BCD 1u
#define READ_BACK_NO_COUNT 0x20u
#define READ_BACK_NO_STATUS 0x10u
#define STATUS_OUT 0x80u
#define STATUS_NULL 0x40u

#define COUNT_MAX 0x10000u
#define COUNT_MAX_BCD 10000u

#define PORT61_GATE2 0x01u
#define PORT61_SPEAKER 0x02u
#define PORT61_REFRESH 0x10u
#define PORT61_OUT2 0x20u

static u64 now(const struct pit *p) { return clock_ticks(&p->clock, ring0_tsc()); }

static u32 from_bcd(u32 v) { return (v & 0xf) + (v >> 4 & 0xf) * 10 + (v >> 8 & 0xf) * 100 + (v >> 12 & 0xf) * 1000; }

static u32 to_bcd(u32 v) { return v % 10 | v / 10 % 10 << 4 | v / 100 % 10 << 8 | v / 1000 % 10 << 12; }

static bool is_periodic(const struct pit_channel *c) { return c->mode == 2 || c->mode == 3; }

/* Ticks counted since the load, as far as the gate let it. */
static u64 elapsed(const struct pit_channel *c, u64 time)
{
	if (!c->gate && (c->mode == 0 || c->mode == 4))
		return c->stopped_at;
	return time > c->start ? time - c->start : 0;
}

static bool counting(const struct pit_channel *c)
{
	if (!c->loaded)
		return false;
	if (c->mode == 1 || c->mode == 5)
		return c->triggered;
	return c->gate || !is_periodic(c);
}

static bool output(const struct pit_channel *c, u64 time)
{
	u64 t = elapsed(c, time);

	if (!counting(c))
		return c->mode != 0;
	switch (c->mode) {
	case 0:
	case 1:
		return t >= c->reload;
	case 2:
		return t % c->reload != c->reload - 1;
	case 3:
		return t % c->reload < (c->reload + 1u) / 2;
	default:
		return t != c->reload;
	}
}

static u32 counter(const struct pit_channel *c, u64 time)
{
	u32 wrap = c->bcd ? COUNT_MAX_BCD : COUNT_MAX;
	u64 t = elapsed(c, time), value;

	if (!counting(c))
		value = c->reload;
	else if (c->mode == 2)
		value = c->reload - t % c->reload;
	else if (c->mode == 3) /* by two, twice a period */
		value = (c->reload & ~1u) - 2 * (t % c->reload) % (c->reload > 1 ? c->reload & ~1u : 1);
	else
		value = (c->reload + (u64)wrap - t % wrap) % wrap;
	value %= wrap;
	return c->bcd ? to_bcd((u32)value) : (u32)value;
}

/* Rising edges of channel 0's output since it was loaded. */
static u64 edges(const struct pit_channel *c, u64 time)
{
	u64 t = elapsed(c, time);

	if (!counting(c))
		return 0;
	if (is_periodic(c))
		return t / c->reload;
	return t > c->reload - (c->mode == 0 ? 1u : 0u);
}

/* The time of edge number n (from 1). */
static u64 edge_time(const struct pit_channel *c, u64 n)
{
	if (is_periodic(c))
		return c->start + n * c->reload;
	return c->start + c->reload + (c->mode == 0 ? 0u : 1u);
}

void pit_update(struct pit *p)
{
	const struct pit_channel *c = &p->channel[0];
	u64 passed;

	if (!counting(c)) {
		timer_set(p->timers, TIMER_PIT, TIMER_NEVER);
		return;
	}
	passed = edges(c, now(p));
	if (passed > p->edges) { /* several at once are one: the line has no memory for more */
		p->edges = passed;
		irq_set(p->interrupts, IRQ_TIMER, false);
		irq_set(p->interrupts, IRQ_TIMER, true);
	}
	if (irq_visible(p->interrupts, IRQ_TIMER) && (is_periodic(c) || passed == 0))
		timer_set(p->timers, TIMER_PIT, clock_tsc(&p->clock, edge_time(c, passed + 1)));
	else
		timer_set(p->timers, TIMER_PIT, TIMER_NEVER);
}

void pit_init(struct pit *p, struct timers *timers, struct interrupts *interrupts, u64 tsc_khz)
{
	*p = (struct pit){ .timers = timers, .interrupts = interrupts };
	clock_init(&p->clock, PIT_HZ, tsc_khz);
	for (u32 i = 0; i < PIT_CHANNELS; i++) {
		p->channel[i].access = ACCESS_BOTH;
		p->channel[i].gate = i != 2;
		p->channel[i].reload = COUNT_MAX;
		p->channel[i].mode = 3;
	}
	p->channel[0].loaded = true; /* a PC's firmware leaves it running, 18.2 times a second */
	p->channel[0].start = now(p);
}

static void load(struct pit *p, u32 index, u32 value)
{
	struct pit_channel *c = &p->channel[index];
	u32 count = c->bcd ? from_bcd(value) : value;

	c->reload = count != 0 ? count : c->bcd ? COUNT_MAX_BCD : COUNT_MAX;
	c->loaded = true;
	if ((c->mode == 1 || c->mode == 5) && c->triggered)
		return; /* taken at the next trigger on the chip; here the running shot ends by the new count */
	c->start = now(p);
	c->stopped_at = 0;
	if (index != 0)
		return;
	p->edges = 0;
	irq_set(p->interrupts, IRQ_TIMER, c->mode != 0);
	pit_update(p);
}

static void write_count(struct pit *p, u32 index, u8 value)
{
	struct pit_channel *c = &p->channel[index];

	if (c->access == ACCESS_LOW) {
		load(p, index, value);
	} else if (c->access == ACCESS_HIGH) {
		load(p, index, (u32)value << 8);
	} else if (!c->write_high) {
		c->write_low = value;
		c->write_high = true;
		if (c->mode == 0) /* the first byte stops the count */
			c->loaded = false;
	} else {
		c->write_high = false;
		load(p, index, (u32)value << 8 | c->write_low);
	}
}

static void latch_count(struct pit *p, struct pit_channel *c)
{
	if (c->count_latched != 0)
		return; /* the first latch holds until it is read */
	c->latch = (u16)counter(c, now(p));
	c->count_latched = c->access == ACCESS_BOTH ? 2 : 1;
	if (c->access == ACCESS_HIGH)
		c->latch >>= 8;
}

static void latch_status(struct pit *p, struct pit_channel *c)
{
	if (c->status_latched)
		return;
	c->status_latched = true;
	c->status = (u8)((output(c, now(p)) ? STATUS_OUT : 0) | (c->loaded ? 0 : STATUS_NULL) | (u32)c->access << ACCESS_SHIFT |
			 (u32)c->mode << MODE_SHIFT | (c->bcd ? CONTROL_BCD : 0));
}

static void read_back(struct pit *p, u8 value)
{
	for (u32 i = 0; i < PIT_CHANNELS; i++) {
		if ((value & 2u << i) == 0)
			continue;
		if ((value & READ_BACK_NO_COUNT) == 0)
			latch_count(p, &p->channel[i]);
		if ((value & READ_BACK_NO_STATUS) == 0)
			latch_status(p, &p->channel[i]);
	}
}

static void write_control(struct pit *p, u8 value)
{
	u32 index = value >> SELECT_SHIFT, access = value >> ACCESS_SHIFT & ACCESS_MASK, mode = value >> MODE_SHIFT & 7u;
	struct pit_channel *c;

	if (index == SELECT_READ_BACK) {
		read_back(p, value);
		return;
	}
	c = &p->channel[index];
	if (access == ACCESS_LATCH) {
		latch_count(p, c);
		return;
	}
	*c = (struct pit_channel){
		.access = (u8)access,
		.mode = (u8)(mode > 5 ? mode - 4 : mode), /* 6 and 7 are 2 and 3 */
		.bcd = (value & CONTROL_BCD) != 0,
		.gate = c->gate,
		.reload = c->reload,
	};
	if (index == 0) {
		irq_set(p->interrupts, IRQ_TIMER, c->mode != 0);
		pit_update(p);
	}
}

void pit_write(struct pit *p, u32 offset, u8 value)
{
	if (offset == CONTROL)
		write_control(p, value);
	else
		write_count(p, offset, value);
}

u32 pit_read(struct pit *p, u32 offset)
{
	struct pit_channel *c;
	u32 value;

	if (offset == CONTROL) /* the control word cannot be read */
		return 0xff;
	c = &p->channel[offset];
	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	if (c->count_latched != 0) {
		value = c->latch & 0xffu;
		c->latch >>= 8;
		c->count_latched--;
		return value;
	}
	value = counter(c, now(p));
	if (c->access == ACCESS_HIGH || (c->access == ACCESS_BOTH && c->read_high))
		value >>= 8;
	c->read_high = c->access == ACCESS_BOTH && !c->read_high;
	return value & 0xff;
}

u32 pit_port61_read(struct pit *p)
{
	const struct pit_channel *c = &p->channel[2];

	p->refresh ^= PORT61_REFRESH;
	return (c->gate ? PORT61_GATE2 : 0) | (p->speaker ? PORT61_SPEAKER : 0) | p->refresh |
	       (output(c, now(p)) ? PORT61_OUT2 : 0);
}

void pit_port61_write(struct pit *p, u8 value)
{
	struct pit_channel *c = &p->channel[2];
	bool gate = (value & PORT61_GATE2) != 0;
	u64 time = now(p);

	p->speaker = (value & PORT61_SPEAKER) != 0;
	if (gate == c->gate)
		return;
	if (!gate) {
		c->stopped_at = elapsed(c, time);
	} else if (c->mode == 0 || c->mode == 4) {
		c->start = time - c->stopped_at;
	} else { /* a rising gate starts periods and shots anew */
		c->start = time;
		c->triggered = true;
	}
	c->gate = gate;
}
