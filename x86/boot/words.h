/*
 * words: text of the form `name=value name="a value with blanks"`, judged against a const table of rules.
 *
 * Words are parted by blanks; "..." keeps blanks together. The last of two equal words wins, except in lists.
 */
#ifndef X86_BOOT_WORDS_H
#define X86_BOOT_WORDS_H

#include "core/status.h"
#include "x86/boot/boot.h"

#define WORD_MOST 2304u        /* no word is longer; what is cut off is an error */

enum word_kind {
	WORD_ONE_OF,  /* u32: number of the word in `one_of` */
	WORD_BYTES,   /* u64: a number with K, M, G or T */
	WORD_NUMBER,  /* u64: decimal or 0x */
	WORD_NAME,    /* char[WORD_NAME_BYTES]: no blanks */
	WORD_FLAGS,   /* u64: bit by words.flag, parted by commas */
	WORD_TEXT,    /* char[most] */
	WORD_MODULE,  /* u32: index of the boot module of that name */
	WORD_MODULES, /* struct module_list: one more each time, at most `most` */
};

struct word_rule {
	const char *name;
	enum word_kind kind;
	u32 offset;                /* of the value in what is filled */
	const char *const *one_of; /* NULL-terminated */
	u64 least, most;
};

struct words {
	const struct word_rule *rule;
	u32 count;
	const char *(*flag)(u32 index); /* WORD_FLAGS: its name; NULL after the last */
	const struct boot_info *boot;   /* WORD_MODULE, WORD_MODULES */
};

/*
 * BAD_VALUE: `error` holds one sentence that names the word and says what would be right; `to` then holds what was understood
 * before it. The text may be of any length.
 */
must_use status words_parse(const struct words *w, void *to, const char *text, char error[WORDS_ERROR_BYTES]);
/* A number of bytes as WORD_BYTES takes it, within the rule's bounds. */
bool word_bytes(const struct word_rule *rule, const char *text, u64 *value);
/* By the first word of its command line; MODULE_NONE. */
u32 module_find(const struct boot_info *boot, const char *name);

#endif
