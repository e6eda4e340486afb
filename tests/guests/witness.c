/*
 * witness: a neighbour that holds a key in every register that outlives a turn, and compares them all, over exits and slices, for ever. Says how
 * often, and how often one was not as it should be, when a byte is typed: `witness: N rounds, W wrong`.
 */
#include "lib/guest.h"

#include "lib/fx.h"

enum { GPRS = 8, ROUND = 20000, MSRS = 8 };
#define KEY 0x517cc1b727220a95ull

static const u32 msrs[MSRS] = { MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_KERNEL_GS, MSR_FS_BASE, MSR_GS_BASE, MSR_SYSENTER_EIP, MSR_TSC_AUX };
static struct fx wanted, got;
static u64 gpr[GPRS], gpr_got[GPRS];

/* Canonical, and narrow where the register is. */
static u64 msr_key(unsigned i) { return (KEY >> 20) + i - (msrs[i] == MSR_TSC_AUX ? (KEY >> 20 & ~0xffffffffull) : 0); }
static u64 dr_key(unsigned i) { return 0x123456789000 + i * 64; }

static void load(void)
{
	write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT);
	fxsave(&wanted);
	for (unsigned i = 0; i < sizeof wanted.xmm; i++)
		((u8 *)wanted.xmm)[i] = (u8)(KEY >> i % 8 * 8 ^ i);
	__asm__ volatile("fxrstor64 (%0)\n fldpi\n fxsave64 (%0)" : : "r"(&wanted) : "memory");
	for (unsigned i = 0; i < MSRS; i++)
		wrmsr(msrs[i], msr_key(i));
	for (unsigned i = 0; i < GPRS; i++)
		gpr[i] = KEY * (i + 3);
	write_dr0(dr_key(0));
	write_dr1(dr_key(1));
	write_dr2(dr_key(2));
	write_dr3(dr_key(3));
}

/* Slices end in the loop, IN is an exit to the monitor. */
static void stay_a_while(void)
{
	u64 *from = gpr, *to = gpr_got;

	__asm__ volatile("movq (%0), %%r8\nmovq 8(%0), %%r9\nmovq 16(%0), %%r10\nmovq 24(%0), %%r11\n"
	                 "movq 32(%0), %%r12\nmovq 40(%0), %%r13\nmovq 48(%0), %%r14\nmovq 56(%0), %%r15\n"
	                 "movl %2, %%ecx\n1: pause\ndecl %%ecx\njnz 1b\nmovl $0x3ff, %%edx\ninb %%dx, %%al\n"
	                 "movq %%r8, (%1)\nmovq %%r9, 8(%1)\nmovq %%r10, 16(%1)\nmovq %%r11, 24(%1)\n"
	                 "movq %%r12, 32(%1)\nmovq %%r13, 40(%1)\nmovq %%r14, 48(%1)\nmovq %%r15, 56(%1)"
	                 : : "S"(from), "D"(to), "i"(ROUND)
	                 : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
}

static bool right(void)
{
	bool msrs_right = true;

	fxsave(&got);
	for (unsigned i = 0; i < MSRS; i++)
		msrs_right = msrs_right && rdmsr(msrs[i]) == msr_key(i);
	return msrs_right && same(gpr, gpr_got, sizeof gpr) && same(wanted.xmm, got.xmm, sizeof got.xmm) && same(wanted.st, got.st, sizeof got.st) &&
	       wanted.control == got.control && wanted.mxcsr == got.mxcsr && wanted.tag == got.tag &&
	       read_dr0() == dr_key(0) && read_dr1() == dr_key(1) && read_dr2() == dr_key(2) && read_dr3() == dr_key(3);
}

GUEST(witness)
{
	u64 rounds = 0, wrong = 0;

	load();
	say("witness: begins\n");
	for (;;) {
		stay_a_while();
		rounds++;
		wrong += !right();
		if (typed() >= 0)
			say("witness: %lu rounds, %lu wrong\n", rounds, wrong);
	}
}
