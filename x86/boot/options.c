/*
 * options: a const table of names; one function per kind of value. Pure, builds hosted.
 */
#include "x86/boot/options.h"

#include "core/bits.h"
#include "x86/cpu/log.h"
#include "x86/cpu/string.h"

enum kind { KIND_WORD_OF, KIND_BYTES, KIND_NUMBER, KIND_NAME, KIND_FEATURES };

struct option {
	const char *name;
	enum kind kind;
	u32 offset;             /* of the value in struct options */
	const char *const *one_of; /* KIND_WORD_OF: the words, in the order of their numbers */
	u64 least, most;        /* KIND_BYTES, KIND_NUMBER */
};

static const char *const lines[] = { "com1", "com2", "none", NULL };
static const char *const panics[] = { "halt", "exit", NULL };

#define MIB (1ull << 20)
#define GIB (1ull << 30)
#define MOST_MEMORY (511 * GIB) /* the monitor's window is 512 GiB, one of them the hole for devices */
#define MOST_SCRUB (1ull << 52)
#define MOST_PORT 0xffff

#define AT(member) (u32) offsetof(struct options, member)
static const struct option table[] = {
	{ "console", KIND_WORD_OF, AT(console), lines, 0, 0 },
	{ "log", KIND_WORD_OF, AT(log), lines, 0, 0 },
	{ "panic", KIND_WORD_OF, AT(panic), panics, 0, 0 },
	{ "mem", KIND_BYTES, AT(mem), NULL, MIB, MOST_MEMORY },
	{ "scrub", KIND_BYTES, AT(scrub), NULL, 0, MOST_SCRUB },
	{ "vcpus", KIND_NUMBER, AT(vcpus), NULL, 1, MAX_CPUS },
	{ "cpus", KIND_NUMBER, AT(cpus), NULL, 1, MAX_CPUS },
	{ "fail-alloc", KIND_NUMBER, AT(fail_alloc), NULL, 1, UINT32_MAX },
	{ "mark-port", KIND_NUMBER, AT(mark_port), NULL, 1, MOST_PORT },
	{ "name", KIND_NAME, AT(name), NULL, 0, 0 },
	{ "hide", KIND_FEATURES, AT(hide), NULL, 0, 0 },
};

#define FEATURE(text, member) { text, (u32) offsetof(struct features, member) }
static const struct { const char *name; u32 offset; } feature_names[] = {
	FEATURE("svm", svm), FEATURE("npt", npt), FEATURE("nrip", nrip), FEATURE("decode-assist", decode_assist),
	FEATURE("clean-bits", clean_bits), FEATURE("flush-by-asid", flush_by_asid), FEATURE("vgif", vgif),
	FEATURE("pause-filter", pause_filter), FEATURE("nx", nx), FEATURE("smep", smep), FEATURE("smap", smap),
	FEATURE("umip", umip), FEATURE("gib-pages", gib_pages), FEATURE("xsave", xsave), FEATURE("fsgsbase", fsgsbase),
	FEATURE("pge", pge), FEATURE("x2apic", x2apic), FEATURE("tsc-deadline", tsc_deadline),
	FEATURE("invariant-tsc", invariant_tsc), FEATURE("la57", la57), FEATURE("pku", pku), FEATURE("rdtscp", rdtscp),
};
static_assert(ARRAY_SIZE(feature_names) <= 64, "one bit each in options.hide");

const char *option_feature(u32 index, u32 *offset)
{
	if (index >= ARRAY_SIZE(feature_names))
		return NULL;
	*offset = feature_names[index].offset;
	return feature_names[index].name;
}

void options_defaults(struct options *o)
{
	*o = (struct options){
		.console = LINE_COM1, .log = LINE_COM2, .panic = PANIC_HALT, .mem = GIB, .scrub = 512 * MIB,
		.vcpus = 1, .cpus = MAX_CPUS, .name = "guest",
	};
}

/* ---- text ---- */

#define WORD_BYTES 128u /* no option is longer; what is cut off is an error */

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/*
 * Copies the next word without its quotes and returns where it ended; NULL: there is none. `cut` tells that it did not fit or
 * that a quote was not closed.
 */
static const char *next_word(const char *text, char word[WORD_BYTES], bool *cut)
{
	u32 length = 0;
	bool quoted = false;
	while (is_blank(*text))
		text++;
	if (!*text)
		return NULL;
	*cut = false;
	for (; *text && (quoted || !is_blank(*text)); text++) {
		if (*text == '"')
			quoted = !quoted;
		else if (length + 1 < WORD_BYTES)
			word[length++] = *text;
		else
			*cut = true;
	}
	word[length] = 0;
	*cut |= quoted;
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

/* ---- kinds of value; each answers false with the sentence written ---- */

struct parse {
	const struct option *option;
	const char *value;
	void *to;
	char *error;
};

static bool parse_word_of(const struct parse *p)
{
	char list[WORD_BYTES];
	u32 used = 0;
	for (u32 i = 0; p->option->one_of[i]; i++) {
		if (!strcmp(p->value, p->option->one_of[i])) {
			*(u32 *)p->to = i;
			return true;
		}
		used += (u32)format_text(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", p->option->one_of[i]);
	}
	format_text(p->error, OPTIONS_ERROR_BYTES, "%s=%s: it can be one of %s", p->option->name, p->value, list);
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

/* KIND_BYTES may have a suffix. */
static bool parse_number(const struct parse *p)
{
	const struct option *o = p->option;
	const char *end = p->value;
	char least[24], most[24];
	u64 value = 0;
	bool number = read_number(&end, &value);
	int shift = o->kind == KIND_BYTES ? suffix_shift(end) : *end ? -1 : 0;
	if (number && shift >= 0 && value <= ~0ull >> shift && value << shift >= o->least && value << shift <= o->most) {
		*(u64 *)p->to = value << shift;
		return true;
	}
	write_bytes(least, sizeof(least), o->least);
	write_bytes(most, sizeof(most), o->most);
	if (o->kind == KIND_BYTES)
		format_text(p->error, OPTIONS_ERROR_BYTES, "%s=%s: it must be an amount of memory from %s to %s, such as 512M or 2G",
			    o->name, p->value, least, most);
	else
		format_text(p->error, OPTIONS_ERROR_BYTES, "%s=%s: it must be a number from %lu to %lu", o->name, p->value, o->least, o->most);
	return false;
}

static bool parse_name(const struct parse *p)
{
	size_t length = strlen(p->value);
	bool good = length > 0 && length < OPTION_NAME_BYTES;
	for (size_t i = 0; i < length; i++)
		good &= p->value[i] > ' ' && p->value[i] < 0x7f;
	if (good)
		memcpy(p->to, p->value, length + 1);
	else
		format_text(p->error, OPTIONS_ERROR_BYTES, "%s=%s: it must be a name of 1 to %u characters without blanks",
			    p->option->name, p->value, OPTION_NAME_BYTES - 1);
	return good;
}

static bool parse_features(const struct parse *p)
{
	u64 mask = 0;
	for (const char *at = p->value; *at;) {
		size_t length = 0;
		u32 i = 0;
		while (at[length] && at[length] != ',')
			length++;
		while (i < ARRAY_SIZE(feature_names) &&
		       (strlen(feature_names[i].name) != length || strncmp(feature_names[i].name, at, length) != 0))
			i++;
		if (i == ARRAY_SIZE(feature_names)) {
			format_text(p->error, OPTIONS_ERROR_BYTES,
				    "hide=%s: there is no such feature; names are parted by commas, such as npt,nrip,decode-assist", at);
			return false;
		}
		mask |= 1ull << i;
		at += length + (at[length] == ',');
	}
	*(u64 *)p->to = mask;
	return true;
}

/* ---- the whole ---- */

static bool (*const parsers[])(const struct parse *) = {
	[KIND_WORD_OF] = parse_word_of, [KIND_BYTES] = parse_number, [KIND_NUMBER] = parse_number,
	[KIND_NAME] = parse_name, [KIND_FEATURES] = parse_features,
};

static void list_names(char *to, size_t room)
{
	size_t used = 0;
	for (u32 i = 0; i < ARRAY_SIZE(table); i++)
		used += (size_t)format_text(to + used, room - used, "%s%s", i ? " " : "", table[i].name);
}

static bool parse_one(struct options *o, char word[WORD_BYTES], char *error)
{
	char names[WORD_BYTES];
	u32 name = 0;
	while (word[name] && word[name] != '=')
		name++;
	bool has_value = word[name] == '=';
	word[name] = 0;
	for (u32 i = 0; i < ARRAY_SIZE(table); i++) {
		if (strcmp(table[i].name, word) != 0)
			continue;
		struct parse p = { &table[i], word + name + 1, (u8 *)o + table[i].offset, error };
		if (has_value)
			return parsers[table[i].kind](&p);
		format_text(error, OPTIONS_ERROR_BYTES, "the option %s needs a value: %s=...", word, word);
		return false;
	}
	list_names(names, sizeof(names));
	format_text(error, OPTIONS_ERROR_BYTES, "there is no option %s; there are %s", word, names);
	return false;
}

status options_parse(struct options *o, const char *text, char error[OPTIONS_ERROR_BYTES])
{
	char word[WORD_BYTES];
	bool cut;
	error[0] = 0;
	while ((text = next_word(text, word, &cut))) {
		if (cut) {
			format_text(error, OPTIONS_ERROR_BYTES, "the option %s... is too long or lacks its second quote", word);
			return BAD_VALUE;
		}
		if (!parse_one(o, word, error))
			return BAD_VALUE;
	}
	return OK;
}
