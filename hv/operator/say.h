/*
 * say: text out. Everything that the operator reads goes through one function, in pieces that a serial line takes at once.
 */
#ifndef HV_OPERATOR_SAY_H
#define HV_OPERATOR_SAY_H

#include "abi/types.h"

#define SAY_BYTES 256u /* of one text, at most */
#define SAY_PIECE 16u  /* what a 16550 takes at once: while it sends as many before, a millisecond and a half, interrupts are off */

struct say {
	void (*write)(void *context, const char *text, u32 length);
	void *context;
};

/* As format_text; a newline becomes CR LF. What is longer than SAY_BYTES is cut off. */
void say(const struct say *to, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The text, of any length, then blanks up to `width` characters. */
void say_column(const struct say *to, const char *text, u32 width);

#endif
