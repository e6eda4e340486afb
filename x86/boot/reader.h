/*
 * reader: physical memory as the parsers see it. Tables are input: a parser asks for each piece with its length before it looks.
 *
 * On the machine it is the early identity map; tests and fuzzers give one that ends.
 */
#ifndef X86_BOOT_READER_H
#define X86_BOOT_READER_H

#include "x86/boot/boot.h"

struct reader {
	/* The bytes at a physical address, NULL if not all of them can be read. Not aligned. */
	const void *(*at)(void *context, u64 address, u64 bytes);
	void *context;
};

static inline const void *reader_at(const struct reader *r, u64 address, u64 bytes)
{
	return address + bytes < address ? NULL : r->at(r->context, address, bytes);
}

/* Little-endian fields at any alignment. */
static inline u16 get16(const void *p) { u16 v; __builtin_memcpy(&v, p, sizeof(v)); return v; }
static inline u32 get32(const void *p) { u32 v; __builtin_memcpy(&v, p, sizeof(v)); return v; }
static inline u64 get64(const void *p) { u64 v; __builtin_memcpy(&v, p, sizeof(v)); return v; }

#endif
