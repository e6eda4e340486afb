/* fx.h: the extended state in memory as FXSAVE has it, and XCR0. */
#ifndef GUEST_FX_H
#define GUEST_FX_H

#include "lib/guest.h"

enum { XMM = 16, MXCSR_RESET = 0x1f80, XCR0_X87 = 1, XCR0_SSE = 2, XCR0_AVX = 4 };

struct fx {
	u16 control, status;
	u8 tag, zero;
	u16 opcode;
	u64 ip, dp;
	u32 mxcsr, mxcsr_mask;
	u8 st[8][16], xmm[XMM][16], rest[96];
} __attribute__((aligned(64)));

static inline void fxsave(struct fx *a) { __asm__ volatile("fxsave64 (%0)" : : "r"(a) : "memory"); }

static inline u64 xgetbv0(void)
{
	u32 lo, hi;
	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (u64)hi << 32 | lo;
}

static inline void xsetbv0(u64 v) { __asm__ volatile("xsetbv" : : "a"((u32)v), "d"((u32)(v >> 32)), "c"(0) : "memory"); }

#endif
