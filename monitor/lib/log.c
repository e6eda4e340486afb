/*
 * log: format into the comm page, then MON_LOG. A line that is too long is cut.
 */
#include "monitor/lib/log.h"
#include "monitor/lib/call.h"

#include <stdarg.h>

struct line {
	u8 *to;
	u32 length, limit;
};

static void put(struct line *l, char c)
{
	if (l->length < l->limit)
		l->to[l->length++] = (u8)c;
}

static void put_number(struct line *l, u64 value, u32 base)
{
	static const char digits[16] = "0123456789abcdef";
	char text[20];
	u32 n = 0;

	do {
		text[n++] = digits[value % base];
		value /= base;
	} while (value != 0);
	while (n != 0)
		put(l, text[--n]);
}

static void put_text(struct line *l, const char *s)
{
	while (*s != '\0')
		put(l, *s++);
}

static void put_formatted(struct line *l, const char *format, va_list list)
{
	for (const char *p = format; *p != '\0'; p++) {
		bool is_long = p[0] == '%' && p[1] == 'l';

		if (*p != '%') {
			put(l, *p);
			continue;
		}
		p += is_long ? 2 : 1;
		if (*p == 's')
			put_text(l, va_arg(list, const char *));
		else if (*p == 'u' || *p == 'x')
			put_number(l, is_long ? va_arg(list, u64) : va_arg(list, u32), *p == 'u' ? 10 : 16);
		else
			put(l, *p);
	}
}

void log_line(const char *format, ...)
{
	struct mon_comm *comm = ring0_comm();
	struct line l = { comm->buffer, 0, sizeof(comm->buffer) };
	va_list list;

	va_start(list, format);
	put_formatted(&l, format, list);
	va_end(list);
	ring0_log(l.length);
}
