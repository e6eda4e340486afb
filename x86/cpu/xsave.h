/*
 * xsave: the extended state (x87, SSE, AVX, ...): which of it exists here. Saving and loading it is the world switch's (x86/switch.c).
 *
 * Ring 0 and monitors use none of it, so what the registers hold is always some guest's.
 */
#ifndef X86_CPU_XSAVE_H
#define X86_CPU_XSAVE_H

#include "abi/types.h"

u64 xsave_mask(void);    /* XCR0 as host and guests may have it */
void xsave_enable(void); /* this processor: XCR0 = features.xcr0_mask; the first one learns features.xsave_size */

#endif
