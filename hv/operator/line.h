/*
 * line: the line that a person is typing: editing at its end, history, completion. Pure: bytes in, bytes out.
 */
#ifndef HV_OPERATOR_LINE_H
#define HV_OPERATOR_LINE_H

#include "hv/operator/say.h"

#define LINE_BYTES 120u /* the NUL included */
#define LINE_PAST 8u

struct line {
	char text[LINE_BYTES]; /* always ends with NUL */
	u32 length;
	char past[LINE_PAST][LINE_BYTES];
	u32 entered;           /* lines ever put into `past` */
	u32 back;              /* how many of them the arrows went back */
	u8 before;             /* the byte before, for CR LF and for the terminal's escape sequences */
	bool in_sequence;
	const struct say *to;
	const char *prompt;
	/* The n-th word that may stand where the last word of `text` begins, or NULL. */
	const char *(*candidate)(const char *text, u32 n);
};

/* A byte was typed. true: the line is entered: `text` is to be used, then line_begin called. */
bool line_type(struct line *l, u8 byte);
/* Drops the line and shows the prompt. */
void line_begin(struct line *l);
/* Shows prompt and text again, on a new line. */
void line_show(struct line *l);

#endif
