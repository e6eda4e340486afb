/*
 * bits: the few helpers that the language lacks. The monitor knows only include/abi of the rest of the project.
 */
#ifndef MONITOR_LIB_BITS_H
#define MONITOR_LIB_BITS_H

#include "abi/types.h"

#define BIT(n) (1u << (n))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define KIB ((u64)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

static inline u64 align_down(u64 v, u64 a) { return v & ~(a - 1); }
static inline u64 align_up(u64 v, u64 a) { return (v + a - 1) & ~(a - 1); }
static inline u64 min_u64(u64 a, u64 b) { return a < b ? a : b; }
static inline u64 max_u64(u64 a, u64 b) { return a > b ? a : b; }

/* The `size` low bytes of an access, all set: what a place without a device reads as. */
static inline u64 all_ones(u32 size) { return size >= 8 ? ~0ull : (1ull << (8 * size)) - 1; }

#endif
