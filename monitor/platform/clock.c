/*
 * clock: see clock.h.
 */
#include "monitor/platform/clock.h"

#define KHZ 1000u
#define TSC_KHZ_IF_UNKNOWN 1000000u
#define TSC_MOST (1ull << 63) /* at 4 GHz: 73 years */

/* floor(2^64 * a / b), a < b < 2^63: long division, one bit a step. */
static u64 fraction(u64 a, u64 b)
{
	u64 quotient = 0;

	for (u32 bit = 0; bit < 64; bit++) {
		a <<= 1;
		quotient <<= 1;
		if (a >= b) {
			a -= b;
			quotient |= 1;
		}
	}
	return quotient;
}

void clock_init(struct clock *c, u32 hz, u64 tsc_khz)
{
	c->hz = hz;
	c->tsc_hz = (tsc_khz != 0 ? tsc_khz : TSC_KHZ_IF_UNKNOWN) * KHZ;
	if (c->tsc_hz <= hz)
		c->tsc_hz = (u64)hz + 1;
	c->ticks_per_tsc = fraction(hz, c->tsc_hz);
}

u64 clock_ticks(const struct clock *c, u64 tsc)
{
	return (u64)((unsigned __int128)tsc * c->ticks_per_tsc >> 64);
}

u64 clock_tsc(const struct clock *c, u64 ticks)
{
	u64 whole = ticks / c->hz, rest = ticks % c->hz, step = 1, before;

	if (whole >= TSC_MOST / c->tsc_hz)
		return CLOCK_NEVER;
	before = whole * c->tsc_hz + rest * c->tsc_hz / c->hz;
	if (clock_ticks(c, before) >= ticks)
		return before;
	/* The fraction was rounded down: one step more will do, or, after years, some thousands, found by doubling and halving. */
	for (; clock_ticks(c, before + step) < ticks; step *= 2)
		before += step;
	while ((step /= 2) != 0)
		if (clock_ticks(c, before + step) < ticks)
			before += step;
	return before + 1;
}
