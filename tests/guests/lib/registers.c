/* registers: see registers.h. */
#include "lib/registers.h"

#ifdef __x86_64__

enum { CR4_PCE = 1 << 8, CONTROL_FNINIT = 0x37f, CONTROL_RESET = 0x40 };
#define PAT_RESET 0x0007040600070406ull
#define NOWHERE 0xd0000000ull

static const struct {
	const char *name;
	u32 msr;
	u64 key[2], initial;
	bool loose; /* what it holds at the start is not a matter of this test */
} msrs[] = {
	{ "STAR", MSR_STAR, { 0x1122334455667788, 0x99aabbccddeeff00 }, 0, false },
	{ "LSTAR", MSR_LSTAR, { 0x123456789abc, 0xffff9876543210ab }, 0, false },
	{ "CSTAR", MSR_CSTAR, { 0x23456789abcd, 0xffff876543210abc }, 0, false },
	{ "SFMASK", MSR_SFMASK, { 0x3f7fd5, 0x47700 }, 0, false },
	{ "FS.base", MSR_FS_BASE, { 0x3456789abcde, 0xffffa98765432100 }, 0, false },
	{ "GS.base", MSR_GS_BASE, { 0x456789abcdef, 0xffffb98765432101 }, 0, false },
	{ "KERNEL_GS_BASE", MSR_KERNEL_GS, { 0x56789abcdef0, 0xffffc98765432102 }, 0, false },
	{ "SYSENTER_CS", MSR_SYSENTER_CS, { 0x1238, 0x4568 }, 0, false },
	{ "SYSENTER_ESP", MSR_SYSENTER_ESP, { 0x6789abcdef01, 0xffffd98765432103 }, 0, false },
	{ "SYSENTER_EIP", MSR_SYSENTER_EIP, { 0x789abcdef012, 0xffffe98765432104 }, 0, false },
	{ "PAT", MSR_PAT, { 0x0606060606060106, 0x0607060106050406 }, PAT_RESET, false },
	{ "TSC_AUX", MSR_TSC_AUX, { 0xcafe0001, 0x0bad0002 }, 0, false },
	{ "EFER.SCE", MSR_EFER, { 0, 0 }, 0, true },
};
_Static_assert(sizeof msrs / sizeof msrs[0] == MSRS, "one key each");

static bool has_avx, has_xsave, has_aux, enabled;

static u32 rdtscp_aux(void)
{
	u32 aux;
	__asm__ volatile("rdtscp" : "=c"(aux) : : "rax", "rdx", "memory");
	return aux;
}

#define EACH_YMM(op) op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13) op(14) op(15)
#define LOAD(n) "vmovdqa " #n "*32(%0), %%ymm" #n "\n"
#define STORE(n) "vmovdqa %%ymm" #n ", " #n "*32(%0)\n"

/* --- MPX (four bounds, and where their table is) and PKRU. Nobody offers them, but an emulator may let them be switched on all the same. --- */

enum { XCR0_MPX = 3 << 3, XCR0_PKRU = 1 << 9, AT_HEADER = 512, AT_BOUNDS = 960, AT_TABLE = 1024, AT_PKRU = 2688, SET_BYTES = 2752 };
static u32 unoffered; /* those that can be switched on here */

static void switch_on(void *arg)
{
	__asm__ volatile(MARK "xsetbv" : : "a"(XCR0_X87 | XCR0_SSE | (u32)(word)arg), "d"(0), "c"(0) : "memory");
}

static void read_unoffered(struct registers *s)
{
	u8 area[SET_BYTES] __attribute__((aligned(64)));
	u64 xcr0 = xgetbv0();

	for (unsigned i = 0; i < sizeof area; i++)
		area[i] = 0;
	xsetbv0(XCR0_X87 | XCR0_SSE | unoffered);
	__asm__ volatile("xsave64 (%0)" : : "r"(area), "a"(unoffered), "d"(0) : "memory");
	xsetbv0(xcr0);
	copy(s->bounds, area + AT_BOUNDS, sizeof s->bounds);
	copy(&s->bounds_table, area + AT_TABLE, sizeof s->bounds_table);
	copy(&s->pkru, area + AT_PKRU, sizeof s->pkru);
}

static void load_unoffered(const struct registers *s)
{
	u8 area[SET_BYTES] __attribute__((aligned(64)));

	for (unsigned i = 0; i < sizeof area; i++)
		area[i] = 0;
	copy(area + AT_HEADER, &unoffered, sizeof unoffered);
	copy(area + AT_BOUNDS, s->bounds, sizeof s->bounds);
	copy(area + AT_TABLE, &s->bounds_table, sizeof s->bounds_table);
	copy(area + AT_PKRU, &s->pkru, sizeof s->pkru);
	xsetbv0(XCR0_X87 | XCR0_SSE | unoffered);
	__asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"(unoffered), "d"(0) : "memory");
}

/* --- reading and writing all of them ------------------------------------------------------------------------------ */

void registers_read(struct registers *s)
{
	fxsave(&s->fx);
	if (has_xsave)
		s->xcr0 = xgetbv0();
	if (has_avx) {
		xsetbv0(XCR0_X87 | XCR0_SSE | XCR0_AVX);
		__asm__ volatile(EACH_YMM(STORE) : : "r"(s->ymm) : "memory");
		xsetbv0(s->xcr0);
	}
	if (unoffered)
		read_unoffered(s);
	for (unsigned i = 0; i < MSRS; i++)
		s->msr[i] = msrs[i].msr == MSR_TSC_AUX && !has_aux ? 0 : rdmsr(msrs[i].msr);
	s->aux = has_aux ? rdtscp_aux() : 0;
	s->dr[0] = read_dr0();
	s->dr[1] = read_dr1();
	s->dr[2] = read_dr2();
	s->dr[3] = read_dr3();
	s->dr[6] = read_dr6();
	s->dr[7] = read_dr7();
	s->cr0 = read_cr0();
	s->cr2 = read_cr2();
	s->cr4 = read_cr4();
	s->cr8 = read_cr8();
}

void registers_fill(struct registers *s, unsigned who)
{
	static const u64 dr7[2] = { 0x000d0400, 0x00f00700 }; /* none enabled: over VMRUN, QEMU's TCG crashes with one that is */

	s->fx.control = who ? 0x27f : 0x77f;
	s->fx.tag = 0xff;
	s->fx.mxcsr = who ? 0x9f80 : 0x5f80;
	for (unsigned i = 0; i < 8; i++) {
		for (unsigned b = 0; b < 8; b++)
			s->fx.st[i][b] = (u8)(0x80 | (who * 64 + i * 8 + b));
		s->fx.st[i][8] = (u8)(0x10 + who * 32 + i);
		s->fx.st[i][9] = 0x40;
	}
	for (unsigned i = 0; i < sizeof s->ymm; i++)
		s->ymm[i / 32][i % 32] = (u8)((i * 7 + 1) ^ (who ? 0xff : 0));
	for (unsigned i = 0; i < XMM; i++)
		copy(s->fx.xmm[i], s->ymm[i], 16);
	for (unsigned i = 0; i < 8; i++)
		s->bounds[i] = 0x0b0d000000000000ull + who * 0x100000000ull + i;
	s->bounds_table = 0x123456000ull + who * 0x100000000ull; /* not enabled */
	s->pkru = 0x5a5a5a50 + who * 4; /* not of key 0 */
	s->xcr0 = has_avx && !who ? XCR0_X87 | XCR0_SSE | XCR0_AVX : XCR0_X87 | XCR0_SSE;
	for (unsigned i = 0; i < MSRS; i++)
		s->msr[i] = msrs[i].key[who];
	s->msr[MSRS - 1] = rdmsr(MSR_EFER) | (who ? EFER_SCE : 0);
	s->aux = msrs[MSRS - 2].key[who];
	for (unsigned i = 0; i < 4; i++)
		s->dr[i] = NOWHERE + who * 0x10000 + i * 0x100;
	s->dr[6] = 0xffff0ff0u | 1u << (who + 1);
	s->dr[7] = dr7[who];
	s->cr0 = read_cr0() | (who ? 0 : CR0_AM);
	s->cr2 = 0x1234500000ull + who * 0x100000;
	s->cr4 = read_cr4() | (who ? CR4_PCE : 0);
	s->cr8 = 2 + who * 3;
	for (unsigned i = 0; i < GPRS; i++)
		s->gpr[i] = 0x0101010101010101ull * (i + 1 + who * 16);
}

void registers_load(const struct registers *s)
{
	write_cr0(s->cr0);
	write_cr2(s->cr2);
	write_cr4(s->cr4);
	write_cr8(s->cr8);
	for (unsigned i = 0; i < MSRS; i++)
		if (msrs[i].msr != MSR_TSC_AUX || has_aux)
			wrmsr(msrs[i].msr, s->msr[i]);
	write_dr0(s->dr[0]);
	write_dr1(s->dr[1]);
	write_dr2(s->dr[2]);
	write_dr3(s->dr[3]);
	write_dr6(s->dr[6]);
	write_dr7(s->dr[7]);
	if (has_avx) {
		xsetbv0(XCR0_X87 | XCR0_SSE | XCR0_AVX);
		__asm__ volatile(EACH_YMM(LOAD) : : "r"(s->ymm) : "memory");
	}
	if (unoffered)
		load_unoffered(s);
	if (has_xsave)
		xsetbv0(s->xcr0);
	__asm__ volatile("fxrstor64 (%0)" : : "r"(&s->fx) : "memory");
}

/* --- comparing ------------------------------------------------------------------------------------------------------ */

static unsigned differ;
static const char *volatile *differ_first;

static void note(const char *name, bool right)
{
	if (right)
		return;
	differ++;
	if (!*differ_first)
		*differ_first = name;
}

unsigned registers_compare(const struct registers *w, const struct registers *g, const char *volatile *first)
{
	differ = 0;
	differ_first = first;
	note("x87", w->fx.control == g->fx.control && w->fx.tag == g->fx.tag && same(w->fx.st, g->fx.st, sizeof w->fx.st));
	note("MXCSR", w->fx.mxcsr == g->fx.mxcsr);
	note("XMM", same(w->fx.xmm, g->fx.xmm, sizeof w->fx.xmm));
	if (has_xsave)
		note("XCR0", w->xcr0 == g->xcr0);
	if (has_avx)
		note("YMM", same(w->ymm, g->ymm, sizeof w->ymm));
	if (unoffered & XCR0_MPX) {
		note("BND0-3", same(w->bounds, g->bounds, sizeof w->bounds));
		note("BNDCFGU", w->bounds_table == g->bounds_table);
	}
	if (unoffered & XCR0_PKRU)
		note("PKRU", w->pkru == g->pkru);
	for (unsigned i = 0; i < MSRS; i++)
		if (msrs[i].msr != MSR_TSC_AUX || has_aux)
			note(msrs[i].name, w->msr[i] == g->msr[i]);
	if (has_aux)
		note("TSC_AUX by RDTSCP", w->aux == g->aux);
	note("DR0-3", same(w->dr, g->dr, 4 * sizeof w->dr[0]));
	note("DR6", w->dr[6] == g->dr[6]);
	note("DR7", w->dr[7] == g->dr[7]);
	note("CR0", w->cr0 == g->cr0);
	note("CR2", w->cr2 == g->cr2);
	note("CR4", w->cr4 == g->cr4);
	note("CR8", w->cr8 == g->cr8);
	note("general registers", same(w->gpr, g->gpr, sizeof w->gpr));
	return differ;
}

static bool all_zero(const void *p, size_t n)
{
	const u8 *b = p;

	while (n && !*b)
		b++, n--;
	return !n;
}

void registers_check_initial(const struct registers *r)
{
	static const u64 none[4];

	check("started with x87 as after reset", r->fx.control == CONTROL_FNINIT || r->fx.control == CONTROL_RESET);
	check("  its registers empty", all_zero(r->fx.st, sizeof r->fx.st));
	check_equal("MXCSR as after reset", r->fx.mxcsr, MXCSR_RESET);
	check("XMM zero", all_zero(r->fx.xmm, sizeof r->fx.xmm));
	if (has_xsave)
		check_equal("XCR0 as after reset", r->xcr0, XCR0_X87);
	if (has_avx)
		check("YMM zero", all_zero(r->ymm, sizeof r->ymm));
	if (unoffered & XCR0_MPX)
		check("BND0-3 and BNDCFGU zero", all_zero(r->bounds, sizeof r->bounds) && !r->bounds_table);
	if (unoffered & XCR0_PKRU)
		check_equal("PKRU zero", r->pkru, 0);
	check("DR0-3 zero", same(r->dr, none, sizeof none));
	check_equal("DR7 as after reset", r->dr[7], 0x400);
	check_equal("CR2 zero", r->cr2, 0);
	check_equal("CR8 zero", r->cr8, 0);
	check_equal("TSC_AUX zero", r->aux, 0);
	for (unsigned i = 0; i < MSRS; i++)
		if (!msrs[i].loose)
			check_equal(msrs[i].name, r->msr[i], msrs[i].initial);
}

/* --- the general ones ------------------------------------------------------------------------------------------------- */

/* One halt, or some time spinning, with keys in all general registers but RSP and RAX. */
#define WITH_KEYS(text)                                                                                           \
	const u64 *from = want->gpr;                                                                              \
	u64 *to = got->gpr;                                                            \
	__asm__ volatile("pushq %%rbp\npushq %1\nmovq %0, %%rax\n"                                               \
	                 "movq (%%rax), %%rbx\nmovq 8(%%rax), %%rcx\nmovq 16(%%rax), %%rdx\n"                    \
	                 "movq 24(%%rax), %%rsi\nmovq 32(%%rax), %%rdi\nmovq 40(%%rax), %%rbp\n"                 \
	                 "movq 48(%%rax), %%r8\nmovq 56(%%rax), %%r9\nmovq 64(%%rax), %%r10\n"                   \
	                 "movq 72(%%rax), %%r11\nmovq 80(%%rax), %%r12\nmovq 88(%%rax), %%r13\n"                 \
	                 "movq 96(%%rax), %%r14\nmovq 104(%%rax), %%r15\n" text "\npopq %%rax\n"                 \
	                 "movq %%rbx, (%%rax)\nmovq %%rcx, 8(%%rax)\nmovq %%rdx, 16(%%rax)\n"                    \
	                 "movq %%rsi, 24(%%rax)\nmovq %%rdi, 32(%%rax)\nmovq %%rbp, 40(%%rax)\n"                 \
	                 "movq %%r8, 48(%%rax)\nmovq %%r9, 56(%%rax)\nmovq %%r10, 64(%%rax)\n"                   \
	                 "movq %%r11, 72(%%rax)\nmovq %%r12, 80(%%rax)\nmovq %%r13, 88(%%rax)\n"                 \
	                 "movq %%r14, 96(%%rax)\nmovq %%r15, 104(%%rax)\npopq %%rbp"                             \
	                 : "+S"(from), "+D"(to)                                                                   \
	                 : : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",    \
	                   "memory", "cc")

void registers_halt(const struct registers *want, struct registers *got)
{
	WITH_KEYS("sti\nhlt\ncli");
}

/* Long enough that slices end in it. */
void registers_spin(const struct registers *want, struct registers *got)
{
	WITH_KEYS("movl $20000, %%eax\n881: pause\ndecl %%eax\njnz 881b");
}

void registers_enable(void)
{
	has_xsave = HAS_XSAVE;
	has_avx = has_xsave && HAS_AVX;
	has_aux = HAS_RDTSCP;
	write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT | (has_xsave ? CR4_OSXSAVE : 0));
	if (has_xsave && !enabled) { /* whoever comes first, the boot processor, tries */
		u64 xcr0 = xgetbv0();
		unoffered |= guarded(switch_on, (void *)XCR0_MPX) ? 0 : XCR0_MPX;
		unoffered |= guarded(switch_on, (void *)XCR0_PKRU) ? 0 : XCR0_PKRU;
		xsetbv0(xcr0);
	}
	enabled = true;
}

#endif
