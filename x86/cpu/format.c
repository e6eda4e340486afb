/*
 * format: printf's useful part, for log lines and error sentences. Pure, builds hosted.
 *
 * %[-][0][width][.precision][l|ll|z]{d,u,x,c,s,p,%}; width and precision may be *. Anything else is written as it stands.
 */
#include "x86/cpu/format.h"

#include "x86/cpu/log.h"

#define NUMBER_BYTES 24u /* 64 bits in decimal, and a sign */

struct sink { char *to; size_t room, used; };

struct spec {
	bool left, zeros;
	int width, precision; /* precision -1: none */
	u32 longs;            /* 0: int, else 64 bits */
};

static void put(struct sink *s, char c)
{
	if (s->used + 1 < s->room)
		s->to[s->used++] = c;
}

static void put_padded(struct sink *s, const struct spec *spec, const char *text, int length)
{
	bool sign = spec->zeros && !spec->left && length && text[0] == '-';
	char pad = spec->zeros && !spec->left ? '0' : ' ';
	if (sign) {
		put(s, '-');
		text++;
	}
	if (!spec->left)
		for (int i = length; i < spec->width; i++)
			put(s, pad);
	for (int i = sign; i < length; i++)
		put(s, *text++);
	if (spec->left)
		for (int i = length; i < spec->width; i++)
			put(s, ' ');
}

static void put_number(struct sink *s, const struct spec *spec, u64 value, u32 base, bool negative)
{
	char digits[NUMBER_BYTES];
	u32 at = NUMBER_BYTES;
	do {
		digits[--at] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	if (negative)
		digits[--at] = '-';
	put_padded(s, spec, digits + at, (int)(NUMBER_BYTES - at));
}

static void put_string(struct sink *s, struct spec *spec, const char *text)
{
	int length = 0;
	if (!text)
		text = "(none)";
	while ((spec->precision < 0 || length < spec->precision) && text[length])
		length++;
	spec->zeros = false;
	put_padded(s, spec, text, length);
}

static int read_int(const char **format, va_list *arguments)
{
	int value = 0;
	if (**format == '*') {
		(*format)++;
		return va_arg(*arguments, int);
	}
	while (**format >= '0' && **format <= '9' && value < 1000)
		value = value * 10 + (*(*format)++ - '0');
	return value;
}

static struct spec read_spec(const char **format, va_list *arguments)
{
	struct spec spec = { .precision = -1 };
	for (; **format == '-' || **format == '0'; (*format)++) {
		spec.left |= **format == '-';
		spec.zeros |= **format == '0';
	}
	spec.width = read_int(format, arguments);
	if (**format == '.') {
		(*format)++;
		spec.precision = read_int(format, arguments);
	}
	for (; **format == 'l' || **format == 'z'; (*format)++)
		spec.longs++;
	return spec;
}

/* One conversion, after its '%'. */
static void convert(struct sink *s, const char **format, va_list *arguments)
{
	struct spec spec = read_spec(format, arguments);
	char kind = **format, c;
	s64 number;
	if (!kind)
		return;
	(*format)++;
	switch (kind) {
	case 'd':
		number = spec.longs ? va_arg(*arguments, s64) : va_arg(*arguments, int);
		put_number(s, &spec, number < 0 ? 0 - (u64)number : (u64)number, 10, number < 0);
		break;
	case 'u':
	case 'x':
		put_number(s, &spec, spec.longs ? va_arg(*arguments, u64) : va_arg(*arguments, unsigned), kind == 'x' ? 16 : 10, false);
		break;
	case 'p':
		put_number(s, &spec, (u64)va_arg(*arguments, void *), 16, false);
		break;
	case 'c':
		c = (char)va_arg(*arguments, int);
		put_padded(s, &spec, &c, 1);
		break;
	case 's':
		put_string(s, &spec, va_arg(*arguments, const char *));
		break;
	default:
		put(s, kind);
	}
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
