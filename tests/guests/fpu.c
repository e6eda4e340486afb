/*
 * fpu: x87, SSE and AVX state is the guest's own: it survives every kind of exit and interrupts, XCR0 takes what it may and
 * nothing else, and what the registers hold at the start is what the architecture says.
 */
#include "lib/fx.h"

enum { VECTOR = V_FREE, X87_BYTES = 80, CONTROL_DEFAULT = 0x37f, PERIOD = 3000000 };

static struct fx area, before, after;

static void fxrstor(const struct fx *a) { __asm__ volatile("fxrstor64 (%0)" : : "r"(a) : "memory"); }

/* --- the start ------------------------------------------------------------------------------------------------ */

static void initial(void)
{
	write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT);
	fxsave(&area);
	check_equal("MXCSR at the start", area.mxcsr, MXCSR_RESET);
	check("x87 control at the start is FNINIT's or the reset's", area.control == CONTROL_DEFAULT || area.control == 0x40);
	if (HAS_XSAVE) {
		write_cr4(read_cr4() | CR4_OSXSAVE);
		check_equal("XCR0 at the start", xgetbv0(), XCR0_X87);
	}
}

/* --- kept over exits -------------------------------------------------------------------------------------------- */

static void load_pattern(u32 seed)
{
	fill(&area, 0, sizeof area);
	area.control = 0x27f;
	area.mxcsr = 0x9f80; /* flush to zero: not the default */
	area.tag = 0xff;
	for (unsigned i = 0; i < 8; i++) {
		for (unsigned b = 0; b < 8; b++)
			area.st[i][b] = (u8)(seed + i * 8 + b);
		area.st[i][7] |= 0x80;
		area.st[i][8] = (u8)(0x10 + i);
		area.st[i][9] = 0x40;
	}
	for (unsigned i = 0; i < XMM; i++)
		for (unsigned b = 0; b < 16; b++)
			area.xmm[i][b] = (u8)(seed * 3 + i * 16 + b);
	fxrstor(&area);
}

static volatile u32 ticks;

static void on_tick(struct regs *r)
{
	(void)r;
	ticks++;
	lapic_eoi();
}

static void exits(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		cpuid(1, 0);
		inb(PORT_COM1 + 7);
		outb(0x80, 1);
		rdmsr(MSR_APIC_BASE);
		lapic_read(APIC_ID);
		inb(0x61);
	}
}

static bool same_state(void)
{
	return before.control == after.control && before.status == after.status && before.tag == after.tag &&
	       before.mxcsr == after.mxcsr && same(before.st, after.st, sizeof before.st) && same(before.xmm, after.xmm, sizeof before.xmm);
}

static void kept(void)
{
	unsigned wrong = 0;

	for (u32 seed = 1; seed <= 20; seed++) {
		load_pattern(seed);
		fxsave(&before);
		exits(20);
		fxsave(&after);
		wrong += !same_state() || !same(before.xmm, area.xmm, sizeof area.xmm);
	}
	check_equal("x87 and SSE over exits", wrong, 0);
	handlers[VECTOR] = on_tick;
	lapic_enable();
	lapic_write(APIC_DIVIDE, 0xb);
	lapic_write(APIC_TIMER, LVT_PERIODIC | VECTOR);
	load_pattern(77);
	fxsave(&before);
	lapic_write(APIC_TIMER_COUNT, PERIOD);
	irqs_on();
	for (u64 until = rdtsc() + tsc_per_ms() * 50; rdtsc() < until || ticks < 3;)
		__asm__ volatile("hlt");
	irqs_off();
	lapic_write(APIC_TIMER_COUNT, 0);
	fxsave(&after);
	check("x87 and SSE over timer interrupts", same_state() && ticks >= 3);
}

/* --- AVX and XSAVE ------------------------------------------------------------------------------------------------- */

static void xsetbv_value(void *arg)
{
	u64 v = *(u64 *)arg;
	__asm__ volatile(MARK "xsetbv" : : "a"((u32)v), "d"((u32)(v >> 32)), "c"(0) : "memory");
}
static void xsetbv_1(void *arg)
{
	(void)arg;
	__asm__ volatile(MARK "xsetbv" : : "a"(1), "d"(0), "c"(1) : "memory");
}
static void xgetbv_77(void *arg)
{
	(void)arg;
	__asm__ volatile(MARK "xgetbv" : : "c"(77) : "rax", "rdx", "memory");
}
static void avx_insn(void *arg)
{
	(void)arg;
	__asm__ volatile(MARK "vxorps %%ymm0, %%ymm0, %%ymm0" : : : "memory");
}

static void xsetbv(void)
{
	u64 all = (u64)cpuid(0xd, 0).d << 32 | cpuid(0xd, 0).a, v;
	static const u64 refused[] = { 0, XCR0_SSE, XCR0_X87 | XCR0_AVX, 1ull << 63 | 1, 1 | 1ull << 10 };

	write_cr4(read_cr4() & ~(word)CR4_OSXSAVE);
	v = 1;
	expect("#UD by XSETBV without OSXSAVE", xsetbv_value, &v, V_UD, 0);
	write_cr4(read_cr4() | CR4_OSXSAVE);
	for (unsigned i = 0; i < sizeof refused / sizeof refused[0]; i++) {
		v = refused[i];
		if (v == (XCR0_X87 | XCR0_AVX) || (v & ~all) || !(v & 1))
			expect("#GP by an XCR0 that cannot be", xsetbv_value, &v, V_GP, 0);
	}
	v = ~all;
	if (~all)
		expect("#GP by all that is not offered", xsetbv_value, &v, V_GP, 0);
	expect("#GP by XSETBV of another register", xsetbv_1, NULL, V_GP, 0);
	expect("#GP by XGETBV of another register", xgetbv_77, NULL, V_GP, 0);
	v = 1;
	expect_user("#GP by XSETBV at CPL 3", xsetbv_value, &v, V_GP, 0);
	check_equal("XCR0 is as before", xgetbv0(), XCR0_X87);
	if (HAS_AVX) {
		expect("#UD by AVX without its state", avx_insn, NULL, V_UD, 0);
		v = XCR0_X87 | XCR0_SSE | XCR0_AVX;
		expect_none("XCR0 takes AVX", xsetbv_value, &v);
		expect_none("AVX runs", avx_insn, NULL);
	}
}

static u8 ymm_in[XMM][32] __attribute__((aligned(32))), ymm_out[XMM][32] __attribute__((aligned(32)));

#define EACH_YMM(op) op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13) op(14) op(15)
#define LOAD(n) "vmovdqa " #n "*32(%0), %%ymm" #n "\n"
#define STORE(n) "vmovdqa %%ymm" #n ", " #n "*32(%0)\n"

static void avx(void)
{
	static u8 xsave_area[4096] __attribute__((aligned(64)));
	enum { HEADER = 512, YMM_HIGH = 576 };
	u64 xstate;

	if (!HAS_AVX) {
		skip("AVX", "CPUID does not have it");
		return;
	}
	for (unsigned i = 0; i < sizeof ymm_in; i++)
		ymm_in[i / 32][i % 32] = (u8)(i * 7 + 3);
	__asm__ volatile(EACH_YMM(LOAD) : : "r"(ymm_in) : "memory");
	exits(20);
	__asm__ volatile(EACH_YMM(STORE) : : "r"(ymm_out) : "memory");
	check("AVX over exits", same(ymm_in, ymm_out, sizeof ymm_in));
	ticks = 0;
	lapic_write(APIC_TIMER_COUNT, PERIOD);
	irqs_on();
	while (ticks < 5)
		__asm__ volatile("hlt");
	irqs_off();
	lapic_write(APIC_TIMER_COUNT, 0);
	__asm__ volatile(EACH_YMM(STORE) : : "r"(ymm_out) : "memory");
	check("AVX over timer interrupts", same(ymm_in, ymm_out, sizeof ymm_in));
	__asm__ volatile("xsave64 (%0)" : : "r"(xsave_area), "a"(7), "d"(0) : "memory");
	copy(&xstate, xsave_area + HEADER, 8);
	check("XSAVE's header has all three", (xstate & 7) == 7);
	check("XSAVE's image has the upper halves", same(xsave_area + YMM_HIGH + 16, &ymm_in[1][16], 16));
	check("  and the lower ones", same(((struct fx *)(void *)xsave_area)->xmm[15], ymm_in[15], 16));
	__asm__ volatile("vzeroall" : : : "memory");
	cpuid(0, 0);
	__asm__ volatile("xrstor64 (%0)" : : "r"(xsave_area), "a"(7), "d"(0) : "memory");
	__asm__ volatile(EACH_YMM(STORE) : : "r"(ymm_out) : "memory");
	check("XRSTOR brings them back", same(ymm_in, ymm_out, sizeof ymm_in));
}

/* --- MXCSR ------------------------------------------------------------------------------------------------------ */

static void ldmxcsr(void *arg)
{
	__asm__ volatile(MARK "ldmxcsr (%0)" : : "r"(arg) : "memory");
}

static void mxcsr(void)
{
	u32 v = 0x9fc0, got;

	__asm__ volatile("ldmxcsr %0" : : "m"(v));
	cpuid(0, 0);
	__asm__ volatile("stmxcsr %0" : "=m"(got));
	check_equal("MXCSR over an exit", got, v);
	v = 0x10000;
	tolerate(NO_VECTOR, 0); /* TCG takes any value */
	expect("#GP by a reserved bit of MXCSR", ldmxcsr, &v, V_GP, 0);
	v = MXCSR_RESET;
	__asm__ volatile("ldmxcsr %0" : : "m"(v));
}

static void fnop_probe(void *arg)
{
	(void)arg;
	__asm__ volatile(MARK "fnop");
}

/* TS is kept over exits, and #NM goes to the guest that set it. */
static void lazy(void)
{
	write_cr0(read_cr0() | CR0_TS);
	exits(3);
	check("TS is kept over exits", read_cr0() & CR0_TS);
	expect("#NM with TS after exits", fnop_probe, NULL, V_NM, 0);
	__asm__ volatile("clts");
	check("CLTS clears it", !(read_cr0() & CR0_TS));
	expect_none("x87 after CLTS", fnop_probe, NULL);
}

GUEST(fpu)
{
	initial();
	kept();
	mxcsr();
	if (HAS_XSAVE) {
		xsetbv();
		avx();
	} else {
		skip("XSAVE", "CPUID does not have it");
	}
	lazy();
}
