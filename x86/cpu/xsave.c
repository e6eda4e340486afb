/*
 * xsave: see the header. Layout of the area: Intel SDM vol. 1, 13.4; AMD APM vol. 2, 11.5.
 */
#include "x86/cpu/xsave.h"

#include "x86/asm/insn.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/regs.h"
#include "x86/cpu/string.h"

#define LEAF_XSAVE 13u
#define AREA_FCW 0
#define AREA_MXCSR 24
#define FCW_RESET 0x37f
#define MXCSR_RESET 0x1f80
#define MANAGED (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512 | XCR0_PKRU)

u64 xsave_mask(void)
{
	if (!features.xsave)
		return XCR0_X87 | XCR0_SSE;
	struct cpuid r = cpuid(LEAF_XSAVE, 0);
	u64 mask = r.eax & MANAGED;
	if (!features.pku)
		mask &= ~(u64)XCR0_PKRU;
	/* The three of AVX-512 come together and need AVX. */
	if ((mask & XCR0_AVX512) != XCR0_AVX512 || !(mask & XCR0_AVX))
		mask &= ~(u64)XCR0_AVX512;
	return mask | XCR0_X87 | XCR0_SSE;
}

void xsave_enable(void)
{
	fninit();
	if (!features.xsave) {
		features.xsave_size = XSAVE_LEGACY_BYTES;
		return;
	}
	xsetbv(0, features.xcr0_mask);
	/* EBX: bytes for what XCR0 has now. */
	if (!features.xsave_size)
		features.xsave_size = cpuid(LEAF_XSAVE, 0).ebx;
}

void xsave_area_init(void *area)
{
	const u16 fcw = FCW_RESET;
	const u32 mxcsr = MXCSR_RESET;
	memset(area, 0, features.xsave_size);
	/* XSTATE_BV is 0: all components are loaded with their reset values; MXCSR, and FXRSTOR's FCW, come from the area. */
	memcpy((u8 *)area + AREA_FCW, &fcw, sizeof(fcw));
	memcpy((u8 *)area + AREA_MXCSR, &mxcsr, sizeof(mxcsr));
}

void xsave_save(void *area, u64 mask)
{
	if (features.xsave)
		xsave64(area, mask);
	else
		fxsave64(area);
}

void xsave_load(const void *area, u64 mask)
{
	if (features.xsave)
		xrstor64(area, mask);
	else
		fxrstor64(area);
}
