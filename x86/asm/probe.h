/* probe: MSRs that may not be there, as the start asks for them (asm/access.h tells how a fault becomes an answer). */
#ifndef X86_ASM_PROBE_H
#define X86_ASM_PROBE_H

#include "x86/asm/access.h"

/* False: #GP, there is no such MSR. */
static inline bool rdmsr_or_fault(u32 msr, u64 *value)
{
	bool good = true;
	u32 low = 0, high = 0;
	__asm__ volatile(OR_FAULT("rdmsr") : "+a"(low), "+d"(high), [good] "+q"(good) : "c"(msr));
	*value = (u64)high << 32 | low;
	return good;
}

/* False: #GP; the MSR is not there, or does not take this value. */
static inline bool wrmsr_or_fault(u32 msr, u64 value)
{
	bool good = true;
	__asm__ volatile(OR_FAULT("wrmsr")
			 : [good] "+q"(good) : "c"(msr), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
	return good;
}

#endif
