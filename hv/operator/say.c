#include "hv/operator/say.h"

#include "x86/cpu/format.h"
#include "x86/cpu/string.h"

static void write(const struct say *to, const char *text, u32 length)
{
	for (u32 piece; length; text += piece, length -= piece) {
		piece = length < SAY_PIECE ? length : SAY_PIECE;
		to->write(to->context, text, piece);
	}
}

void say(const struct say *to, const char *format, ...)
{
	char text[SAY_BYTES];
	va_list arguments;
	va_start(arguments, format);
	u32 length = (u32)format_arguments(text, sizeof text, format, arguments), from = 0;
	va_end(arguments);
	for (u32 i = 0; i < length; i++) {
		if (text[i] != '\n')
			continue;
		write(to, text + from, i - from);
		write(to, "\r\n", 2);
		from = i + 1;
	}
	write(to, text + from, length - from);
}

void say_column(const struct say *to, const char *text, u32 width)
{
	u32 length = (u32)strlen(text);
	write(to, text, length);
	for (; length < width; length++)
		write(to, " ", 1);
}
