/*
 * bits: the few bit helpers that have no name in the language.
 */
#ifndef CORE_BITS_H
#define CORE_BITS_H

#include "abi/types.h"

#define BIT(n) (1ull << (n))
/* Bits hi..lo, both included, set. */
#define BITS(hi, lo) ((~0ull >> (63 - (hi))) & (~0ull << (lo)))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(p, type, member) ((type *)(void *)((char *)(p) - offsetof(type, member)))

/* A bitmap in words of 64. */
#define WORD_BITS 64u
static inline bool map_has(const u64 *map, u32 i) { return map[i / WORD_BITS] & BIT(i % WORD_BITS); }
static inline void map_flip(u64 *map, u32 i) { map[i / WORD_BITS] ^= BIT(i % WORD_BITS); }

static inline u64 align_down(u64 v, u64 a) { return v & ~(a - 1); }
static inline u64 align_up(u64 v, u64 a) { return (v + a - 1) & ~(a - 1); }
static inline u64 min_u64(u64 a, u64 b) { return a < b ? a : b; }
static inline u64 max_u64(u64 a, u64 b) { return a > b ? a : b; }

#endif
