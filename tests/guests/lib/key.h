/*
 * key: how a word becomes a 64-bit key, and what a page of a key's pattern holds. Shared by `keys` (a Linux program), the own guest
 * `hold`, and written once more in tools/lab/keys.py: whoever looks for a key from outside must make the same one.
 *
 * Nobody passes a key around: commands and command lines name the word, so that a key stands in memory only where its pattern was written.
 * Whoever searches memory that it lives in itself holds the complement only.
 */
#ifndef KEY_H
#define KEY_H

#include <stdint.h>

enum { KEY_WORDS = 512, KEY_PLAIN_EACH = 8 }; /* words a page; each cache line begins with the plain key */

/* The complement of the word's key: FNV-1a, then the finishing steps of splitmix64. */
static inline uint64_t key_complement(const char *text)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (; *text; text++)
		h = (h ^ (uint8_t)*text) * 0x100000001b3ull;
	h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9ull;
	h = (h ^ h >> 27) * 0x94d049bb133111ebull;
	return h ^ h >> 31;
}

/* What the word at `index`, counted from the pattern's first page on, is. */
static inline uint64_t key_pattern(uint64_t key, uint64_t index)
{
	return index % KEY_PLAIN_EACH ? key + index * 0x9e3779b97f4a7c15ull : key;
}

/* True where `memory` is the key of this complement; neither side of the comparison is the key. */
static inline int key_is(uint64_t memory, uint64_t complement)
{
	uint64_t turned = ~memory;

	__asm__("" : "+r"(turned));
	return turned == complement;
}

#endif
