/*
 * insn: the processor's instructions that C has no word for, one small function each, under the manual's names.
 *
 * Every assembly statement of ring 0 that is not in a .S file is here or in access.h (accesses that may fault); what only the start has,
 * in insn_start.h and probe.h. A function does its one instruction and nothing else: what must be checked first (is there SMAP, is there
 * XSAVE) is the caller's to know.
 * "memory" is clobbered wherever the instruction may change what memory reads mean.
 */
#ifndef X86_ASM_INSN_H
#define X86_ASM_INSN_H

#include "abi/types.h"

/* ---- model-specific registers ---- */

static inline u64 rdmsr(u32 msr)
{
	u32 low, high;
	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (u64)high << 32 | low;
}

static inline void wrmsr(u32 msr, u64 value)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
}

/* ---- control and debug registers ---- */

#define INSN_REGISTER(reg)                                                                                    \
	static inline u64 read_##reg(void)                                                                    \
	{                                                                                                     \
		u64 value;                                                                                    \
		__asm__ volatile("movq %%" #reg ", %0" : "=r"(value) : : "memory");                           \
		return value;                                                                                 \
	}                                                                                                     \
	static inline void write_##reg(u64 value)                                                             \
	{                                                                                                     \
		__asm__ volatile("movq %0, %%" #reg : : "r"(value) : "memory");                               \
	}
INSN_REGISTER(cr0)
INSN_REGISTER(cr2)
INSN_REGISTER(cr3)
INSN_REGISTER(cr4)
INSN_REGISTER(dr0)
INSN_REGISTER(dr1)
INSN_REGISTER(dr2)
INSN_REGISTER(dr3)
#undef INSN_REGISTER

/* ---- what processor is this ---- */

struct cpuid { u32 eax, ebx, ecx, edx; };

static inline struct cpuid cpuid(u32 leaf, u32 subleaf)
{
	struct cpuid r;
	__asm__ volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
	return r;
}

/* ---- ports ---- */

#define INSN_IN(bits, suffix)                                                                                 \
	static inline u##bits in##bits(u16 port)                                                              \
	{                                                                                                     \
		u##bits value;                                                                                \
		__asm__ volatile("in" suffix " %1, %0" : "=a"(value) : "Nd"(port));                           \
		return value;                                                                                 \
	}
INSN_IN(8, "b")
INSN_IN(16, "w")
INSN_IN(32, "l")
#undef INSN_IN

static inline void out8(u16 port, u8 value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory"); }
static inline void out16(u16 port, u16 value) { __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory"); }

/* ---- translations and caches ---- */

static inline void invlpg(const void *linear) { __asm__ volatile("invlpg (%0)" : : "r"(linear) : "memory"); }

/* ---- AMD-V ---- */

static inline void vmsave(u64 vmcb_hpa) { __asm__ volatile("vmsave %%rax" : : "a"(vmcb_hpa) : "memory"); }

/* ---- extended state ---- */

static inline u64 xgetbv(u32 index)
{
	u32 low, high;
	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(index));
	return (u64)high << 32 | low;
}

static inline void xsetbv(u32 index, u64 value)
{
	__asm__ volatile("xsetbv" : : "c"(index), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
}

/* 64-byte aligned area. */
static inline void xsave64(void *area, u64 mask)
{
	__asm__ volatile("xsave64 (%0)" : : "r"(area), "a"((u32)mask), "d"((u32)(mask >> 32)) : "memory");
}

static inline void xrstor64(const void *area, u64 mask)
{
	__asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"((u32)mask), "d"((u32)(mask >> 32)) : "memory");
}

/* 16-byte aligned area of 512 bytes. */
static inline void fxsave64(void *area) { __asm__ volatile("fxsave64 (%0)" : : "r"(area) : "memory"); }
static inline void fxrstor64(const void *area) { __asm__ volatile("fxrstor64 (%0)" : : "r"(area) : "memory"); }
/* An x87 instruction that says nothing: the addresses of the last one are its own then. */
static inline void x87_mark(const void *word) { __asm__ volatile("fnclex\n\temms\n\tfildl (%0)" : : "r"(word) : "memory"); }

/* ---- flags ---- */

static inline void cli(void) { __asm__ volatile("cli" : : : "memory"); }
static inline void stac(void) { __asm__ volatile("stac" : : : "memory", "cc"); }
static inline void clac(void) { __asm__ volatile("clac" : : : "memory", "cc"); }

static inline u64 read_rflags(void)
{
	u64 value;
	__asm__ volatile("pushfq; popq %0" : "=r"(value) : : "memory");
	return value;
}

/* ---- waiting ---- */

static inline void pause(void) { __asm__ volatile("pause" : : : "memory"); }
static inline void hlt(void) { __asm__ volatile("hlt" : : : "memory"); }
/* STI holds interrupts off for one more instruction: nothing is lost between the two. */
static inline void sti_hlt_cli(void) { __asm__ volatile("sti; hlt; cli" : : : "memory"); }
static inline void sti_nop_cli(void) { __asm__ volatile("sti; nop; cli" : : : "memory"); }

/* ---- order and time ---- */

/* A full fence, cheaper than MFENCE: any locked instruction is one. */
static inline void full_fence(void) { __asm__ volatile("lock orl $0, (%%rsp)" : : : "memory", "cc"); }

static inline u64 rdtsc(void)
{
	u32 low, high;
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (u64)high << 32 | low;
}

/* ---- segments ---- */

/* Of what ring 3 may have chosen, with its GS base in place when GS is loaded: a load may clear the base. */
static inline void clear_user_segments(void)
{
	__asm__ volatile("movl %0, %%ds; movl %0, %%es; movl %0, %%fs; swapgs; movl %0, %%gs; swapgs" : : "r"(0u) : "memory");
}

/* ---- reading where we are ---- */

/* The first word of what GS points to: this processor's structure. The same all along, so the compiler may keep it. */
static inline void *read_gs0(void)
{
	void *value;
	__asm__("movq %%gs:0, %0" : "=r"(value));
	return value;
}

#endif
