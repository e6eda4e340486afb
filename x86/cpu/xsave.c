/*
 * xsave: see the header. Intel SDM vol. 1, ch. 13; AMD APM vol. 2, 11.5.
 */
#include "x86/cpu/xsave.h"

#include "x86/asm/insn.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/regs.h"

#define LEAF_XSAVE 13u
#define LEGACY_BYTES 512u /* FXSAVE */
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
		features.xsave_size = LEGACY_BYTES;
		return;
	}
	xsetbv(0, features.xcr0_mask);
	/* EBX: bytes for what XCR0 has now. */
	if (!features.xsave_size)
		features.xsave_size = cpuid(LEAF_XSAVE, 0).ebx;
}
