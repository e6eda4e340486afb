/* say: the serial line, the checks and the end. No interrupts: a test may have broken them. */
#include "guest.h"

#include <stdarg.h>

enum { UART_DATA = PORT_COM1, UART_LINE_STATUS = PORT_COM1 + 5, LINE_STATUS_READY = 1, LINE_STATUS_EMPTY = 0x20, PATIENCE = 100000, WIDTH_MAX = 16 };

static unsigned passed, failed, skipped;

/* 8 bits, 115200: a port may come out of its reset with 5. */
void say_init(void)
{
	enum { IER = PORT_COM1 + 1, LCR = PORT_COM1 + 3, DIVISOR = 0x80, BITS_8 = 3 };

	outb(LCR, DIVISOR | BITS_8);
	outb(PORT_COM1, 1);
	outb(IER, 0);
	outb(LCR, BITS_8);
	outb(IER, 0);
}

static void put(char c)
{
	/* A serial port that never gets ready must not keep the test from its end. */
	for (unsigned i = 0; i < PATIENCE; i++)
		if (inb(UART_LINE_STATUS) & LINE_STATUS_EMPTY)
			break;
	outb(UART_DATA, (u8)c);
}

int typed(void)
{
	return inb(UART_LINE_STATUS) & LINE_STATUS_READY ? inb(UART_DATA) : -1;
}

static void put_hex(u64 v, unsigned width, bool zeros)
{
	char digits[WIDTH_MAX + 1];
	unsigned n = 0;

	do {
		digits[n++] = "0123456789abcdef"[v & 0xf];
		v >>= 4;
	} while (v);
	for (unsigned i = n; i < width; i++)
		put(zeros ? '0' : ' ');
	while (n)
		put(digits[--n]);
}

static void put_decimal(word v)
{
	char digits[24];
	unsigned n = 0;

	do {
		digits[n++] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	while (n)
		put(digits[--n]);
}

/* One conversion; returns what follows it. */
static const char *say_one(const char *f, va_list *args)
{
	unsigned width = 0, longs = 0;
	bool zeros = *f == '0';
	u64 v;

	for (; *f >= '0' && *f <= '9'; f++)
		width = width * 10 + (unsigned)(*f - '0');
	for (; *f == 'l'; f++)
		longs++;
	if (*f == 's') {
		for (const char *s = va_arg(*args, const char *); *s; s++)
			put(*s);
		return f + 1;
	}
	if (*f == 'd' && longs == 0) {
		int d = va_arg(*args, int);
		if (d < 0)
			put('-');
		put_decimal(d < 0 ? 0 - (word)(long)d : (word)d);
		return f + 1;
	}
	v = longs == 2 ? va_arg(*args, unsigned long long) : longs == 1 ? va_arg(*args, unsigned long) : va_arg(*args, unsigned);
	if (*f == 'x')
		put_hex(v, width, zeros);
	else if (*f == 'c')
		put((char)v);
	else
		put_decimal((word)v);
	return f + 1;
}

void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	while (*format) {
		if (*format == '%')
			format = say_one(format + 1, &args);
		else
			put(*format++);
	}
	va_end(args);
}

bool check(const char *name, bool holds)
{
	say("%s %s\n", holds ? "ok" : "FAIL", name);
	if (holds)
		passed++;
	else
		failed++;
	return holds;
}

bool check_noted(const char *name, const char *note)
{
	say("ok %s (%s)\n", name, note);
	passed++;
	return true;
}

bool check_but_tcg(const char *name, bool holds)
{
	return !holds && on_tcg() ? check_noted(name, "as TCG") : check(name, holds);
}

void remark(const char *name, bool holds)
{
	if (holds)
		check(name, true);
	else
		check_noted(name, "as TCG");
}

bool check_equal(const char *name, u64 got, u64 want)
{
	if (got == want)
		return check(name, true);
	failed++;
	say("FAIL %s: got %llx, want %llx\n", name, (unsigned long long)got, (unsigned long long)want);
	return false;
}

void skip(const char *name, const char *why)
{
	skipped++;
	say("skip %s: %s\n", name, why);
}

/* A test that has checked nothing has not passed. On the bare machine there may be nothing to check: what is only Ringmur's is skipped. */
void finish(void)
{
	if (!passed && !on_tcg())
		check("anything has been checked", false);
	say("%s: %u passed, %u failed, %u skipped\n", guest_name, passed, failed, skipped);
	exit_with(failed ? 1 : 0);
}

void exit_with(u8 status)
{
	outb(PORT_EXIT, status);
	/* Only Bochs' bare machine comes here: this ends it. */
	for (const char *c = "Shutdown"; *c; c++)
		outb(PORT_BOCHS, (u8)*c);
	for (;;)
		__asm__ volatile("cli; hlt");
}

void fill(void *to, u8 with, size_t n)
{
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(with) : "memory");
}

void copy(void *to, const void *from, size_t n)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

bool same(const void *a, const void *b, size_t n)
{
	const u8 *x = a, *y = b;

	for (size_t i = 0; i < n; i++)
		if (x[i] != y[i])
			return false;
	return true;
}

size_t length(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

bool same_text(const char *a, const char *b)
{
	return length(a) == length(b) && same(a, b, length(a));
}

bool ends_with(const char *s, const char *tail)
{
	size_t n = length(s), t = length(tail);

	return n >= t && same(s + n - t, tail, t);
}

/* What the compiler may call by itself. */
void *memset(void *to, int with, size_t n);
void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int with, size_t n)
{
	fill(to, (u8)with, n);
	return to;
}

void *memcpy(void *to, const void *from, size_t n)
{
	copy(to, from, n);
	return to;
}
