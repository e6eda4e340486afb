#include "hv/operator/line.h"

#include "x86/cpu/string.h"

enum { BELL = 7, BACKSPACE = 8, TAB = 9, LF = 10, CR = 13, ESCAPE = 27, DELETE = 127 };
#define CONTROL(letter) ((letter) & 31)

void line_show(struct line *l)
{
	say(l->to, "%s%s", l->prompt, l->text);
}

void line_begin(struct line *l)
{
	l->length = l->back = 0;
	l->text[0] = 0;
	line_show(l);
}

/* ---- changing the text, and what stands on the screen ---- */

static void bell(const struct line *l)
{
	say(l->to, "%c", BELL);
}

static void add(struct line *l, char c)
{
	if (l->length + 1 == LINE_BYTES) {
		bell(l);
		return;
	}
	l->text[l->length++] = c;
	l->text[l->length] = 0;
	say(l->to, "%c", c);
}

static void cut(struct line *l, u32 length)
{
	for (; l->length > length; l->length--)
		say(l->to, "\b \b");
	l->text[length] = 0;
}

static u32 last_word(const struct line *l)
{
	u32 at = l->length;
	while (at && l->text[at - 1] != ' ')
		at--;
	return at;
}

static void cut_word(struct line *l)
{
	u32 end = l->length;
	while (end && l->text[end - 1] == ' ')
		end--;
	cut(l, end);
	cut(l, last_word(l));
}

static void replace(struct line *l, const char *text)
{
	cut(l, 0);
	while (*text)
		add(l, *text++);
}

/* ---- history ---- */

static void remember(struct line *l)
{
	const char *last = l->past[(l->entered + LINE_PAST - 1) % LINE_PAST];
	if (l->length && (l->entered == 0 || strcmp(last, l->text) != 0))
		memcpy(l->past[l->entered++ % LINE_PAST], l->text, LINE_BYTES);
}

static void look_back(struct line *l, bool further)
{
	u32 kept = l->entered < LINE_PAST ? l->entered : LINE_PAST;
	if (further ? l->back == kept : l->back == 0) {
		bell(l);
		return;
	}
	l->back = further ? l->back + 1 : l->back - 1;
	replace(l, l->back ? l->past[(l->entered - l->back) % LINE_PAST] : "");
}

/* ---- completion ---- */

/* Does the candidate begin with the word? Then *rest is what comes after it. */
static bool begins(const char *candidate, const char *word, const char **rest)
{
	while (*word && *candidate == *word)
		candidate++, word++;
	*rest = candidate;
	return !*word;
}

static void list_candidates(struct line *l, const char *word)
{
	const char *c, *rest;
	say(l->to, "\n");
	for (u32 n = 0; (c = l->candidate(l->text, n)); n++)
		if (begins(c, word, &rest))
			say(l->to, "%s  ", c);
	say(l->to, "\n");
	line_show(l);
}

static void complete(struct line *l)
{
	const char *word = l->text + last_word(l), *first = NULL, *c, *rest;
	u32 matches = 0, common = 0;
	for (u32 n = 0; (c = l->candidate(l->text, n)); n++) {
		if (!begins(c, word, &rest))
			continue;
		if (matches++ == 0) {
			first = rest;
			common = (u32)strlen(rest);
		}
		for (u32 i = 0; i < common; i++)
			if (rest[i] != first[i])
				common = i;
	}
	if (!matches)
		bell(l);
	else if (matches > 1 && common == 0)
		list_candidates(l, word);
	for (u32 i = 0; i < common; i++)
		add(l, first[i]);
	if (matches == 1)
		add(l, ' ');
}

/* ---- one byte ---- */

/* ESC [ ... letter; true: the byte belonged to one. */
static bool sequence(struct line *l, u8 byte)
{
	if (l->in_sequence) {
		l->in_sequence = byte == '[' || byte == ';' || (byte >= '0' && byte <= '9');
		if (byte == 'A' || byte == 'B')
			look_back(l, byte == 'A');
		return true;
	}
	l->in_sequence = byte == '[' && l->before == ESCAPE;
	return l->in_sequence;
}

static bool enter(struct line *l)
{
	say(l->to, "\n");
	remember(l);
	return true;
}

static bool act(struct line *l, u8 byte)
{
	switch (byte) {
	case LF:
		return l->before != CR && enter(l);
	case CR:
		return enter(l);
	case BACKSPACE:
	case DELETE:
		cut(l, l->length ? l->length - 1 : 0);
		break;
	case TAB:
		complete(l);
		break;
	case CONTROL('C'):
		say(l->to, "\n");
		line_begin(l);
		break;
	case CONTROL('L'):
		say(l->to, "\033[H\033[2J");
		line_show(l);
		break;
	case CONTROL('U'):
		cut(l, 0);
		break;
	case CONTROL('W'):
		cut_word(l);
		break;
	default:
		if (byte >= ' ' && byte < DELETE)
			add(l, (char)byte);
	}
	return false;
}

bool line_type(struct line *l, u8 byte)
{
	bool entered = !sequence(l, byte) && act(l, byte);
	l->before = byte;
	return entered;
}
