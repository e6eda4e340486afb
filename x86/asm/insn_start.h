/*
 * insn_start: the instructions that only the start needs, as insn.h has the others.
 */
#ifndef X86_ASM_INSN_START_H
#define X86_ASM_INSN_START_H

#include "x86/asm/insn.h"

static inline void fninit(void) { __asm__ volatile("fninit" : : : "memory"); }
static inline void mfence(void) { __asm__ volatile("mfence" : : : "memory"); }

/* After all loads before it. */
static inline u64 rdtsc_ordered(void)
{
	__asm__ volatile("lfence" : : : "memory");
	return rdtsc();
}

/* ---- segments and tables ---- */

struct table_pointer { u16 limit; u64 base; } __attribute__((packed));

static inline void lgdt(const struct table_pointer *p) { __asm__ volatile("lgdt %0" : : "m"(*p) : "memory"); }
static inline void lidt(const struct table_pointer *p) { __asm__ volatile("lidt %0" : : "m"(*p) : "memory"); }
static inline void ltr(u16 selector) { __asm__ volatile("ltr %0" : : "r"(selector) : "memory"); }

/* CS by a far return, SS DS ES FS GS by MOV: loading FS and GS clears their bases, so these come before the base MSRs are written. */
static inline void load_segments(u16 code, u16 data)
{
	u64 cs = code;
	__asm__ volatile("pushq %0\n"
			 "leaq 1f(%%rip), %%rax\n"
			 "pushq %%rax\n"
			 "lretq\n"
			 "1: movl %1, %%ss\n"
			 "movl %1, %%ds\n"
			 "movl %1, %%es\n"
			 "movl %2, %%fs\n"
			 "movl %2, %%gs\n"
			 : : "r"(cs), "r"((u32)data), "r"(0u) : "rax", "memory");
}

#endif
