/*
 * words: one function per kind of value, driven by a const table. Pure, builds hosted.
 */
#include "x86/boot/words.h"

#include "core/bits.h"
#include "x86/cpu/log.h"
#include "x86/cpu/string.h"

#define LIST_BYTES 192u /* of names, in a sentence */
#define SHOWN_BYTES 64u /* of a word in a sentence */

/* ---- text ---- */

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

enum cut { WHOLE, TOO_LONG, QUOTE_OPEN };

/* Copies the next word without its quotes and returns where it ended; NULL: there is none. */
static const char *next_word(const char *text, char word[WORD_MOST], enum cut *cut)
{
	u32 length = 0;
	bool quoted = false;
	while (is_blank(*text))
		text++;
	if (!*text)
		return NULL;
	*cut = WHOLE;
	for (; *text && (quoted || !is_blank(*text)); text++) {
		if (*text == '"')
			quoted = !quoted;
		else if (length + 1 < WORD_MOST)
			word[length++] = *text;
		else
			*cut = TOO_LONG;
	}
	word[length] = 0;
	if (quoted)
		*cut = QUOTE_OPEN;
	return text;
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

/* Reads digits, decimal or after 0x; false: none, or more than 64 bits. */
static bool read_number(const char **text, u64 *value)
{
	const char *p = *text;
	u32 base = 10, digits = 0;
	if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X')) {
		base = 16;
		p += 2;
	}
	for (*value = 0; (u32)digit_of(*p) < base; p++, digits++)
		if (__builtin_mul_overflow(*value, (u64)base, value) || __builtin_add_overflow(*value, (u64)digit_of(*p), value))
			return false;
	*text = p;
	return digits > 0;
}

/* How many bits the suffix shifts by; -1: no such suffix. */
static int suffix_shift(const char *text)
{
	static const struct { char letter; int shift; } suffixes[] = { { 'K', 10 }, { 'M', 20 }, { 'G', 30 }, { 'T', 40 } };
	if (!text[0])
		return 0;
	if (text[1])
		return -1;
	for (u32 i = 0; i < ARRAY_SIZE(suffixes); i++)
		if (text[0] == suffixes[i].letter || text[0] == suffixes[i].letter + ('a' - 'A'))
			return suffixes[i].shift;
	return -1;
}

/* As much of it as a sentence has room for. */
static const char *shown(char *word)
{
	word[min_u64(strlen(word), SHOWN_BYTES)] = 0;
	return word;
}

/* ---- kinds of value; each answers false with the sentence written ---- */

struct parse {
	const struct words *words;
	const struct word_rule *option;
	char *value;
	void *to;
	char *error;
};

static bool parse_word_of(const struct parse *p)
{
	char list[LIST_BYTES];
	u32 used = 0;
	for (u32 i = 0; p->option->one_of[i]; i++) {
		if (!strcmp(p->value, p->option->one_of[i])) {
			*(u32 *)p->to = i;
			return true;
		}
		used += (u32)format_text(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", p->option->one_of[i]);
	}
	format_text(p->error, WORDS_ERROR_BYTES, "%s=%s: it can be one of %s", p->option->name, shown(p->value), list);
	return false;
}

/* 1073741824 -> 1G: as a person would write it. */
static void write_bytes(char *to, size_t room, u64 bytes)
{
	static const char letters[] = { 0, 'K', 'M', 'G', 'T' };
	u32 i = 0;
	while (bytes && !(bytes & 1023) && i + 1 < ARRAY_SIZE(letters)) {
		bytes >>= 10;
		i++;
	}
	char suffix[2] = { letters[i], 0 };
	format_text(to, room, "%lu%s", bytes, suffix);
}

bool word_bytes(const struct word_rule *o, const char *text, u64 *value)
{
	bool number = read_number(&text, value);
	int shift = o->kind == WORD_BYTES ? suffix_shift(text) : *text ? -1 : 0;
	if (!number || shift < 0 || *value > ~0ull >> shift)
		return false;
	*value <<= shift;
	return *value >= o->least && *value <= o->most;
}

static bool parse_number(const struct parse *p)
{
	const struct word_rule *o = p->option;
	char least[24], most[24];
	u64 value = 0;
	if (word_bytes(o, p->value, &value)) {
		*(u64 *)p->to = value;
		return true;
	}
	write_bytes(least, sizeof(least), o->least);
	write_bytes(most, sizeof(most), o->most);
	if (o->kind == WORD_BYTES)
		format_text(p->error, WORDS_ERROR_BYTES, "%s=%s: it must be an amount of memory from %s to %s, such as 512M or 2G",
			    o->name, shown(p->value), least, most);
	else
		format_text(p->error, WORDS_ERROR_BYTES, "%s=%s: it must be a number from %lu to %lu", o->name, shown(p->value), o->least, o->most);
	return false;
}

static bool parse_name(const struct parse *p)
{
	size_t length = strlen(p->value);
	bool good = length > 0 && length < WORD_NAME_BYTES;
	for (size_t i = 0; i < length; i++)
		good &= p->value[i] > ' ' && p->value[i] < 0x7f;
	if (good)
		memcpy(p->to, p->value, length + 1);
	else
		format_text(p->error, WORDS_ERROR_BYTES, "%s=%s: it must be a name of 1 to %u characters without blanks",
			    p->option->name, shown(p->value), WORD_NAME_BYTES - 1);
	return good;
}

/* `list`: names from name(0) on, until it has no more, parted by blanks. */
static void list_names(char list[LIST_BYTES], const char *(*name)(const struct words *w, u32 i), const struct words *w)
{
	u32 used = 0;
	const char *text;
	list[0] = 0;
	for (u32 i = 0; (text = name(w, i)); i++)
		used += (u32)format_text(list + used, LIST_BYTES - used, "%s%s", i ? " " : "", text);
}

static const char *flag_name(const struct words *w, u32 i) { return w->flag(i); }
static const char *rule_name(const struct words *w, u32 i) { return i < w->count ? w->rule[i].name : NULL; }

/* Of a module: the first word of its command line. */
static const char *module_name(const struct words *w, u32 i)
{
	static char name[SHOWN_BYTES];
	u32 length = 0;
	if (i >= w->boot->module_count)
		return NULL;
	for (const char *at = w->boot->module[i].cmdline; at[length] && !is_blank(at[length]) && length + 1 < SHOWN_BYTES; length++)
		name[length] = at[length];
	name[length] = 0;
	return name;
}

static bool no_such_flag(const struct parse *p, char *flag, size_t length)
{
	char list[LIST_BYTES];
	flag[length] = 0;
	list_names(list, flag_name, p->words);
	format_text(p->error, WORDS_ERROR_BYTES, "%s=%s: there is no such feature; parted by commas, it can be %s", p->option->name, shown(flag), list);
	return false;
}

static bool parse_flags(const struct parse *p)
{
	u64 mask = 0;
	for (char *at = p->value; *at;) {
		size_t length = 0;
		u32 i = 0;
		const char *name;
		while (at[length] && at[length] != ',')
			length++;
		while ((name = p->words->flag(i)) && (strlen(name) != length || strncmp(name, at, length) != 0))
			i++;
		if (!name)
			return no_such_flag(p, at, length);
		mask |= 1ull << i;
		at += length + (at[length] == ',');
	}
	*(u64 *)p->to = mask;
	return true;
}

static bool parse_text(const struct parse *p)
{
	size_t length = strlen(p->value);
	if (length < p->option->most) {
		memcpy(p->to, p->value, length + 1);
		return true;
	}
	format_text(p->error, WORDS_ERROR_BYTES, "%s= is longer than %lu bytes", p->option->name, p->option->most - 1);
	return false;
}

/* Whether the first word of a module's command line, its name, is this one. */
static bool is_called(const char *cmdline, const char *name)
{
	size_t length = strlen(name);
	return strncmp(cmdline, name, length) == 0 && (!cmdline[length] || is_blank(cmdline[length]));
}

u32 module_find(const struct boot_info *boot, const char *name)
{
	u32 i = 0;
	while (i < boot->module_count && !is_called(boot->module[i].cmdline, name))
		i++;
	return *name && i < boot->module_count ? i : MODULE_NONE;
}

static bool find_module(const struct parse *p, u32 *index)
{
	char list[LIST_BYTES];
	*index = module_find(p->words->boot, p->value);
	if (*index != MODULE_NONE)
		return true;
	list_names(list, module_name, p->words);
	format_text(p->error, WORDS_ERROR_BYTES, "%s=%s: no boot module has this name; there are: %s", p->option->name, shown(p->value), list);
	return false;
}

static bool parse_module(const struct parse *p) { return find_module(p, p->to); }

static bool parse_modules(const struct parse *p)
{
	struct module_list *list = p->to;
	u32 index;
	if (!find_module(p, &index))
		return false;
	if (list->count == p->option->most) {
		format_text(p->error, WORDS_ERROR_BYTES, "%s=%s: there can be %lu of them", p->option->name, shown(p->value), p->option->most);
		return false;
	}
	list->at[list->count++] = index;
	return true;
}

/* ---- the whole ---- */

static bool (*const parsers[])(const struct parse *) = {
	[WORD_ONE_OF] = parse_word_of, [WORD_BYTES] = parse_number, [WORD_NUMBER] = parse_number, [WORD_NAME] = parse_name,
	[WORD_FLAGS] = parse_flags, [WORD_TEXT] = parse_text, [WORD_MODULE] = parse_module, [WORD_MODULES] = parse_modules,
};

static bool parse_one(const struct words *w, void *to, char *word, char *error)
{
	char names[LIST_BYTES];
	u32 name = 0;
	while (word[name] && word[name] != '=')
		name++;
	bool has_value = word[name] == '=';
	word[name] = 0;
	for (u32 i = 0; i < w->count; i++) {
		if (strcmp(w->rule[i].name, word) != 0)
			continue;
		struct parse p = { w, &w->rule[i], word + name + 1, (u8 *)to + w->rule[i].offset, error };
		if (has_value)
			return parsers[w->rule[i].kind](&p);
		format_text(error, WORDS_ERROR_BYTES, "the option %s needs a value: %s=...", shown(word), word);
		return false;
	}
	list_names(names, rule_name, w);
	format_text(error, WORDS_ERROR_BYTES, "there is no option %s; there are %s", shown(word), names);
	return false;
}

status words_parse(const struct words *w, void *to, const char *text, char error[WORDS_ERROR_BYTES])
{
	static char word[WORD_MOST];
	enum cut cut;
	error[0] = 0;
	while ((text = next_word(text, word, &cut))) {
		if (cut == TOO_LONG)
			format_text(error, WORDS_ERROR_BYTES, "the option %s... is too long: it can have %u bytes", shown(word), WORD_MOST - 1);
		else if (cut == QUOTE_OPEN)
			format_text(error, WORDS_ERROR_BYTES, "the option %s lacks its second quote", shown(word));
		if (cut != WHOLE)
			return BAD_VALUE;
		if (!parse_one(w, to, word, error))
			return BAD_VALUE;
	}
	return OK;
}
