/*
 * xsave: the extended state (x87, SSE, AVX, ...): which of it exists here, and an area of it saved and loaded.
 *
 * Ring 0 and monitors use none of it, so what the registers hold is always some guest's. Without XSAVE the area is FXSAVE's.
 */
#ifndef X86_CPU_XSAVE_H
#define X86_CPU_XSAVE_H

#include "abi/types.h"

#define XSAVE_LEGACY_BYTES 512u
#define XSAVE_HEADER_BYTES 64u

u64 xsave_mask(void);   /* XCR0 as host and guests may have it */
void xsave_enable(void); /* this processor: XCR0 = features.xcr0_mask; the first one learns features.xsave_size */

/* The area is features.xsave_size bytes, 64-byte aligned. */
void xsave_area_init(void *area); /* as after reset */
/* XCR0 must hold all of `mask`. */
void xsave_save(void *area, u64 mask);
void xsave_load(const void *area, u64 mask);

#endif
