/*
 * console: see console.h.
 */
#include "monitor/platform/console.h"
#include "monitor/lib/call.h"
#include "monitor/lib/string.h"

#define KHZ 1000u

void console_init(struct console *c, struct timers *timers, u64 tsc_khz)
{
	c->timers = timers;
	c->delay = tsc_khz * KHZ / CONSOLE_DELAY_HZ;
	c->count = 0;
	c->last = CONSOLE_COM1;
}

void console_flush(struct console *c)
{
	if (c->count == 0)
		return;
	memcpy(ring0_comm()->buffer, c->bytes, c->count);
	ring0_console_write(c->count);
	c->count = 0;
	timer_set(c->timers, TIMER_CONSOLE, TIMER_NEVER);
}

void console_write(struct console *c, enum console_device from, const u8 *bytes, u64 count)
{
	u8 byte = 0;

	c->last = from;
	for (u64 i = 0; i < count; i++) {
		if (c->count == 0)
			timer_set(c->timers, TIMER_CONSOLE, ring0_tsc() + c->delay);
		byte = bytes[i];
		c->bytes[c->count++] = byte;
		if (c->count == CONSOLE_BUFFER)
			console_flush(c);
	}
	if (byte == '\n')
		console_flush(c);
}

void console_put(struct console *c, enum console_device from, u8 byte) { console_write(c, from, &byte, 1); }
