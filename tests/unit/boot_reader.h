/* boot_reader.h: physical memory as a parser of the start sees it: one piece, of which each read gets a copy of its own. */
#ifndef TESTS_BOOT_READER_H
#define TESTS_BOOT_READER_H

#include "core/bits.h"
#include "x86/boot/boot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/*
 * Physical memory: one piece at `base`. Each read gets a copy of exactly the bytes asked for, so that one byte more is a sanitizer's
 * error; the copies live until the next test.
 */
#define BASE 0x10000u
#define COPIES 100000u

struct memory { u8 *bytes; u64 length; };
static void *copies[COPIES];
static u32 copy_count;

static inline const void *memory_at(void *context, u64 address, u64 bytes)
{
	struct memory *m = context;
	if (address < BASE || address - BASE > m->length || bytes > m->length - (address - BASE))
		return NULL;
	assert_true(copy_count < COPIES);
	void *copy = malloc(bytes ? bytes : 1);
	memcpy(copy, m->bytes + (address - BASE), bytes);
	copies[copy_count++] = copy;
	return copy;
}

static inline void forget_copies(void)
{
	while (copy_count)
		free(copies[--copy_count]);
}

static u8 page[8192];
static u32 used;
static struct boot_info boot;

static inline void put(u32 at, u64 value, u32 bytes)
{
	memcpy(page + at, &value, bytes);
	used = (u32)max_u64(used, at + bytes);
}

static inline u32 put_text(u32 at, const char *text)
{
	memcpy(page + at, text, strlen(text) + 1);
	used = (u32)max_u64(used, at + strlen(text) + 1);
	return BASE + at;
}

static inline void clear(void)
{
	memset(page, 0, sizeof(page));
	used = 0;
	forget_copies();
}

#endif
