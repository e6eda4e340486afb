/*
 * format: printf's useful part, for log lines and error sentences. Pure, builds hosted.
 *
 * %[0][width][l]{d,u,x,c,s,%}; only numbers have a width. Anything else is written as it stands.
 */
#include "x86/cpu/format.h"

#include "x86/cpu/log.h"

#define NUMBER_BYTES 20u /* 64 bits in decimal */
#define WIDTH_MOST 100u

struct sink { char *to; size_t room, used; };

static void put(struct sink *s, char c)
{
	if (s->used + 1 < s->room)
		s->to[s->used++] = c;
}

static void put_string(struct sink *s, const char *text)
{
	for (text = text ? text : "(none)"; *text; text++)
		put(s, *text);
}

/* At least `width` characters, a sign before the zeros that fill it up. */
static void put_number(struct sink *s, u64 value, u32 base, bool negative, char fill, u32 width)
{
	char digits[NUMBER_BYTES];
	u32 count = 0;
	do {
		digits[count++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	if (negative && fill == '0')
		put(s, '-');
	for (u32 i = count + negative; i < width; i++)
		put(s, fill);
	if (negative && fill != '0')
		put(s, '-');
	while (count)
		put(s, digits[--count]);
}

/* One conversion, after its '%'. */
static void convert(struct sink *s, const char **format, va_list *arguments)
{
	const char *p = *format;
	char fill = *p == '0' ? '0' : ' ';
	u32 width = 0;
	s64 number;
	for (; *p >= '0' && *p <= '9' && width < WIDTH_MOST; p++)
		width = width * 10 + (u32)(*p - '0');
	bool is_long = *p == 'l';
	p += is_long;
	switch (*p) {
	case 'd':
		number = is_long ? va_arg(*arguments, s64) : va_arg(*arguments, int);
		put_number(s, number < 0 ? 0 - (u64)number : (u64)number, 10, number < 0, fill, width);
		break;
	case 'u':
	case 'x':
		put_number(s, is_long ? va_arg(*arguments, u64) : va_arg(*arguments, unsigned), *p == 'x' ? 16 : 10, false, fill, width);
		break;
	case 'c':
		put(s, (char)va_arg(*arguments, int));
		break;
	case 's':
		put_string(s, va_arg(*arguments, const char *));
		break;
	default:
		if (*p)
			put(s, *p);
	}
	*format = p + (*p != 0);
}

int format_arguments(char *to, size_t room, const char *format, va_list arguments)
{
	struct sink s = { to, room, 0 };
	va_list copy;
	if (!room)
		return 0;
	va_copy(copy, arguments);
	while (*format) {
		char c = *format++;
		if (c == '%')
			convert(&s, &format, &copy);
		else
			put(&s, c);
	}
	va_end(copy);
	to[s.used] = 0;
	return (int)s.used;
}

int format_text(char *to, size_t room, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	int length = format_arguments(to, room, format, arguments);
	va_end(arguments);
	return length;
}
