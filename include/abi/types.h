/*
 * types: the integers everyone shares.
 *
 * The only file that hypervisor, monitor, tools and tests all include first.
 */
#ifndef ABI_TYPES_H
#define ABI_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

#define PAGE_SHIFT 12
#define PAGE_SIZE  4096ull
#define PAGE_MASK  (PAGE_SIZE - 1)
#define BLOCK_SHIFT 21 /* a block: 2 MiB, what a large leaf maps */
#define BLOCK_SIZE  (1ull << BLOCK_SHIFT)
#define BLOCK_FRAMES 512u

#endif
