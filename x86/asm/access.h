/*
 * access: instructions that may fault in ring 0, and what happens then.
 *
 * Each names its faulting instruction and a place to go on in the section `extable`. The #PF or #GP handler (cpu/trap.c) finds the
 * pair, leaves vector, error code and CR2 in this_cpu()->fixup and resumes at the place; a fault without a pair is a panic.
 * Callers of the memory accesses do STAC before and CLAC after where there is SMAP.
 */
#ifndef X86_ASM_ACCESS_H
#define X86_ASM_ACCESS_H

#include "abi/types.h"

#define EXTABLE(fault, fixup) ".pushsection extable, \"a\"\n\t.quad " fault ", " fixup "\n\t.popsection\n"
#define FIXUP(label, body, back) ".pushsection .text.fixup, \"ax\"\n" label ":\n\t" body "\n\tjmp " back "\n\t.popsection\n"

/* Copies `bytes`, lowest address first; returns how many were not copied (0: done). */
static inline u64 copy_or_fault(void *to, const void *from, u64 bytes)
{
	u64 left = bytes >> 3;
	__asm__ volatile("1: rep movsq\n\t"
			 "movq %[rest], %%rcx\n"
			 "2: rep movsb\n"
			 "3:\n"
			 FIXUP("4", "leaq (%[rest], %%rcx, 8), %%rcx", "3b")
			 EXTABLE("1b", "4b") EXTABLE("2b", "3b")
			 : "+&c"(left), "+&D"(to), "+&S"(from) : [rest] "r"(bytes & 7) : "memory");
	return left;
}

/* Until INSN faults, `good` stays as it is. */
#define OR_FAULT(insn) "1: " insn "\n2:\n" FIXUP("3", "movb $0, %[good]", "2b") EXTABLE("1b", "3b")

/*
 * One access of the width; false: it faulted, and nothing was read or written. Of the exchange *seen holds what is expected, and
 * afterwards what was there; it took place if they are equal.
 */
#define ACCESS_WIDTH(bits, suffix)                                                                            \
	static inline bool load##bits##_or_fault(const u##bits *from, u##bits *value)                         \
	{                                                                                                     \
		u##bits got;                                                                                  \
		__asm__ volatile goto("1: mov" suffix " %[from], %[got]\n" EXTABLE("1b", "%l[fault]")         \
			     : [got] "=r"(got) : [from] "m"(*from) : : fault);                                \
		*value = got;                                                                                 \
		return true;                                                                                  \
	fault:                                                                                                \
		return false;                                                                                 \
	}                                                                                                     \
	static inline bool cmpxchg##bits##_or_fault(u##bits *at, u##bits *seen, u##bits value)                \
	{                                                                                                     \
		bool good = true;                                                                             \
		u##bits old = *seen;                                                                          \
		__asm__ volatile(OR_FAULT("lock cmpxchg" suffix " %[value], %[at]")                           \
				 : [at] "+m"(*at), "+a"(old), [good] "+q"(good) : [value] "r"(value) : "memory", "cc"); \
		*seen = old;                                                                                  \
		return good;                                                                                  \
	}
ACCESS_WIDTH(32, "l")
ACCESS_WIDTH(64, "q")
#undef ACCESS_WIDTH

/* False: #GP; the bits or their combination are not for this processor (or a guest's XCR0 was refused). */
static inline bool xsetbv_or_fault(u32 index, u64 value)
{
	bool good = true;
	__asm__ volatile(OR_FAULT("xsetbv")
			 : [good] "+q"(good) : "c"(index), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
	return good;
}

#endif
