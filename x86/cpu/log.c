/*
 * log: whole lines, one lock. A panic takes no lock any more: it speaks even if the processor that held the lock is stopped.
 */
#include "x86/cpu/log.h"

#include "core/lock.h"
#include "x86/boot/options.h"
#include "x86/cpu/format.h"
#include "x86/cpu/panic.h"
#include "x86/cpu/serial.h"
#include "x86/cpu/string.h"

#define LINE_BYTES 512u
#define SHOWN_AT_ONCE 4u /* characters: some 9000 instructions */

static struct lock lock;

static void write_whole(u32 line, const void *bytes, u32 count, bool shown)
{
	bool locked = !panic_is_on();
	if (locked)
		lock_take(&lock);
	serial_write((enum option_line)line, bytes, count);
	screen_add(bytes, shown ? count : 0);
	if (locked)
		lock_give(&lock);
}

void log_line(const char *format, ...)
{
	char text[LINE_BYTES];
	va_list arguments;
	va_start(arguments, format);
	u32 length = (u32)format_arguments(text, sizeof(text) - 1, format, arguments);
	va_end(arguments);
	text[length++] = '\n';
	write_whole(options.log, text, length, true);
	if (screen.later)
		hv_logged();
}

bool log_show(void)
{
	lock_take(&lock);
	bool more = screen_step(SHOWN_AT_ONCE);
	lock_give(&lock);
	return more;
}

void console_write(const void *bytes, u32 count) { write_whole(options.console, bytes, count, false); }
u32 console_read(void *bytes, u32 room) { return serial_read(bytes, room); }
