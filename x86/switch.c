/*
 * switch: the registers that VMRUN leaves alone, switched eagerly whenever a processor changes from one vCPU to another.
 *
 * What a guest left in x87, SSE, AVX, DR0-3 or TSC_AUX is replaced by the initial state before anyone else runs, in ring 0 or 3.
 * The registers of the vCPU that is loaded stay in the processor over its exits: ring 0 uses none of them, and a monitor reaches those of its
 * own VM. When none is loaded, what one monitor has put there is cleared before that of another VM runs (hv/sched.c).
 */
#include "core/check.h"
#include "x86/asm/access.h"
#include "x86/asm/insn.h"
#include "x86/backend.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/regs.h"

#define XSAVE_BYTES 4096 /* the most that features.xsave_size may be */
#define FXSAVE_BYTES 512
#define FXSAVE_CONTROL_WORD 0 /* offsets of the legacy area, SDM vol. 1, 10.5.1 */
#define FXSAVE_MXCSR 24
#define CONTROL_WORD_RESET 0x37f
#define MXCSR_RESET 0x1f80

/* The initial configuration: an XSAVE header of zeros puts every component into it. */
static const struct { _Alignas(64) u8 bytes[XSAVE_BYTES]; } initial = {
	.bytes = { [FXSAVE_CONTROL_WORD] = CONTROL_WORD_RESET & 0xff, [FXSAVE_CONTROL_WORD + 1] = CONTROL_WORD_RESET >> 8,
		   [FXSAVE_MXCSR] = MXCSR_RESET & 0xff, [FXSAVE_MXCSR + 1] = MXCSR_RESET >> 8 },
};

static void load_debug_registers(const u64 dr[4])
{
	write_dr0(dr[0]);
	write_dr1(dr[1]);
	write_dr2(dr[2]);
	write_dr3(dr[3]);
}

void backend_init_extended(struct guest_cpu *g)
{
	__builtin_memcpy(g->xsave, &initial, features.xsave ? features.xsave_size : FXSAVE_BYTES);
	__builtin_memset(g->dr, 0, sizeof g->dr);
	g->xcr0 = XCR0_X87;
	g->tsc_aux = 0;
}

/* Without that feature FXRSTOR and XRSTOR may leave FIP, FDP and FOP as the last guest had them (CPUID 8000_0008h, EBX bit 2; CVE-2006-1056). */
static inline void forget_pointers(void)
{
	if (!features.x87_pointers)
		x87_mark(&initial);
}

void backend_load(struct guest_cpu *g)
{
	forget_pointers();
	load_debug_registers(g->dr);
	if (features.rdtscp)
		wrmsr(MSR_TSC_AUX, g->tsc_aux);
	if (features.xsave) {
		xrstor64(g->xsave, features.xcr0_mask);
		xsetbv(0, g->xcr0);
	} else {
		fxrstor64(g->xsave);
	}
}

void backend_clear_debug(struct guest_cpu *g)
{
	__builtin_memset(g->dr, 0, sizeof g->dr);
	load_debug_registers(g->dr);
}

void backend_save(struct guest_cpu *g)
{
	if (features.xsave) {
		g->xcr0 = xgetbv(0); /* an emulator may let the guest set it without an exit */
		xsetbv(0, features.xcr0_mask);
		xsave64(g->xsave, features.xcr0_mask);
	} else {
		fxsave64(g->xsave);
	}
	g->dr[0] = read_dr0();
	g->dr[1] = read_dr1();
	g->dr[2] = read_dr2();
	g->dr[3] = read_dr3();
}

void backend_clear_extended(void)
{
	forget_pointers();
	if (features.xsave)
		xrstor64(&initial, features.xcr0_mask);
	else
		fxrstor64(&initial);
}

void backend_unload(struct guest_cpu *g)
{
	static const u64 none[4];
	backend_save(g);
	backend_clear_extended();
	load_debug_registers(none);
	if (features.rdtscp)
		wrmsr(MSR_TSC_AUX, 0);
}
