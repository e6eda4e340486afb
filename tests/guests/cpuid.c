/*
 * cpuid: what it says agrees with itself and with the machine, and the instruction behaves as one wherever it stands:
 * behind prefixes, across pages, in the shadow of STI and MOV SS, under TF, at CPL 3, in compatibility mode.
 */
#include "lib/fx.h"

#define FAR 0x200000000ull
enum { VECTOR = V_FREE };

static void hypervisor_leaves(void)
{
	struct leaf l = cpuid(0x40000000u, 0);

	if (!HAS_HYPERVISOR) {
		skip("hypervisor leaves", "the hypervisor bit is clear");
		return;
	}
	say("# hypervisor signature %08x %08x %08x, maximum %08x\n", l.b, l.c, l.d, l.a);
	check("the hypervisor's maximum leaf is one of its own", l.a >= 0x40000000u && l.a < 0x40010000u);
	check("the hypervisor has a signature", l.b && l.c);
	if (!on_tcg()) {
		check("SVM is hidden", !HAS_SVM);
		check("VMX is hidden", !feature(1, IN_C, 5));
		l = cpuid(0x8000000au, 0);
		check("the SVM leaf is empty", !(l.a | l.b | l.c | l.d));
	}
}

static void leaves(void)
{
	struct leaf zero = cpuid(0, 0), ext = cpuid(0x80000000u, 0), one = cpuid(1, 0);
	bool amd = zero.b == 0x68747541; /* Auth */
	u32 survivors = 0;

	check("at least leaf 1", zero.a >= 1);
	check("at least leaf 0x80000008", ext.a >= 0x80000008u && ext.a < 0x80010000u);
	if (amd)
		check("one vendor in both ranges", zero.b == ext.b && zero.c == ext.c && zero.d == ext.d);
	check("FPU TSC MSR PAE CX8 APIC PGE CMOV PAT FXSR SSE SSE2", (one.d & 0x0701a271u) == 0x0701a271u);
	check("long mode is reported", feature(0x80000001u, IN_D, 29));
	check("a physical address has 36 to 52 bits", physical_bits() >= 36 && physical_bits() <= 52);
	for (u32 i = 0; i < 0x40; i++)
		for (u32 sub = 0; sub < 4; sub++) {
			cpuid(i, sub);
			cpuid(0x80000000u + i, sub);
			cpuid(0x40000000u + i, sub);
			cpuid(0xc0000000u + i, sub);
			survivors++;
		}
	cpuid(0x7fffffffu, 0xffffffffu);
	cpuid(0xffffffffu, 0xffffffffu);
	check("leaves that may not exist are survived", survivors == 0x100);
	check("the same question, the same answer", cpuid(1, 0).a == one.a && cpuid(1, 0).d == one.d);
}

static void apic_ids(void)
{
	u32 initial = cpuid(1, 0).b >> 24;

	if (!lapic_x2())
		check_equal("leaf 1's APIC id is the APIC's", lapic_read(APIC_ID) >> 24, initial);
	if (cpuid(0, 0).a >= 0xb && cpuid(0xb, 0).b)
		check_equal("leaf 0xb's APIC id is the same", cpuid(0xb, 0).d & 0xff, initial);
	if (feature(0x80000001u, IN_C, 22) && cpuid(0x80000000u, 0).a >= 0x8000001eu)
		check_equal("leaf 0x8000001e's APIC id is the same", cpuid(0x8000001eu, 0).a & 0xff, initial);
}

static void xsave_leaf(void)
{
	enum { OSXSAVE = 27, LEGACY = 576, X87 = 1, X87_SSE = 3, AVX = 7, AVX_SIZE = 832 };
	word cr4 = read_cr4();
	struct leaf d;
	u64 was;

	check("OSXSAVE is clear with CR4", !feature(1, IN_C, OSXSAVE));
	if (!HAS_XSAVE) {
		skip("leaf 0xd", "no XSAVE");
		return;
	}
	write_cr4(cr4 | CR4_OSXSAVE);
	check("OSXSAVE follows CR4, set", feature(1, IN_C, OSXSAVE));
	was = xgetbv0();
	check_equal("XCR0 starts with x87 only", was, X87);
	d = cpuid(0xd, 0);
	check("x87 and SSE can be enabled", (d.a & X87_SSE) == X87_SSE);
	xsetbv0(X87);
	check_equal("the area for x87", cpuid(0xd, 0).b, LEGACY);
	if ((d.a & AVX) == AVX) {
		xsetbv0(AVX);
		check_equal("the area for AVX follows XCR0", cpuid(0xd, 0).b, AVX_SIZE);
		check_equal("AVX lies behind the header", cpuid(0xd, 2).b, LEGACY);
		check_equal("AVX has 256 bytes", cpuid(0xd, 2).a, 256);
		check("AVX is reported with its state", HAS_AVX);
	} else {
		check("no AVX without its state", !HAS_AVX);
	}
	xsetbv0((u64)d.d << 32 | d.a);
	check_equal("XCR0 takes all that leaf 0xd offers", xgetbv0(), (u64)d.d << 32 | d.a);
	check_equal("the area for everything is the greatest", cpuid(0xd, 0).b, d.c);
	xsetbv0(was);
	write_cr4(cr4);
	check("OSXSAVE follows CR4, clear", !feature(1, IN_C, OSXSAVE));
}

/* --- in odd places -------------------------------------------------------------------------------------- */

static u32 code_sum;
#define PLACE(fn, insn)                                                                                              \
	static void fn(void *arg)                                                                                    \
	{                                                                                                            \
		u32 a = 0, b, c = 0, d;                                                                              \
		(void)arg;                                                                                           \
		__asm__ volatile(insn : "+a"(a), "=b"(b), "+c"(c), "=d"(d) : : "memory");                            \
		code_sum = a + b + c + d;                                                                            \
	}
PLACE(plain, "cpuid")
PLACE(with_rex, ".byte 0x48\ncpuid")
PLACE(with_66, ".byte 0x66\ncpuid")
PLACE(with_segments, ".byte 0x2e, 0x36, 0x64\ncpuid")
PLACE(with_rep, ".byte 0xf3\ncpuid")
PLACE(with_many, ".byte 0x66,0x66,0x67,0xf2,0x2e,0x3e,0x26,0x66,0x67,0x66,0x66,0x66\ncpuid")
PLACE(with_lock, MARK ".byte 0xf0\ncpuid")
PLACE(with_16, MARK ".byte 0x66,0x66,0x67,0xf2,0x2e,0x3e,0x26,0x66,0x67,0x66,0x66,0x66,0x66,0x66\ncpuid")

static void prefixes(void)
{
	static const struct {
		const char *name;
		void (*fn)(void *);
	} of[] = {
		{ "CPUID with REX.W", with_rex },       { "CPUID with an operand size", with_66 },
		{ "CPUID with segments", with_segments }, { "CPUID with REP", with_rep },
		{ "CPUID with 12 prefixes", with_many },
	};
	u32 want;

	plain(NULL);
	want = code_sum;
	for (unsigned i = 0; i < sizeof of / sizeof of[0]; i++) {
		code_sum = 0;
		check(of[i].name, !guarded(of[i].fn, NULL) && code_sum == want);
	}
	code_sum = 0;
	check("CPUID at CPL 3", !guarded_user(plain, NULL) && code_sum == want);
	tolerate(NO_VECTOR, 0); /* TCG lets the prefix pass */
	expect("#UD by LOCK CPUID", with_lock, NULL, V_UD, 0);
	expect("#GP by CPUID of 16 bytes", with_16, NULL, V_GP, 0);
}

static void call_at(void *arg)
{
	__asm__ volatile("xorl %%eax, %%eax\nxorl %%ecx, %%ecx\ncall *%0" : : "r"(arg) : "rax", "rbx", "rcx", "rdx", "memory");
}

static void across_pages(void)
{
	u8 *first = page_alloc(), *second = page_alloc();
	u64 insn = FAR + 4095;

	first[4095] = 0x0f;
	second[0] = 0xa2;
	second[1] = 0xc3;
	map(FAR, (u64)first, PTE_P | PTE_W | PTE_U, 1);
	map(FAR + PAGE_SIZE, 0, 0, 1);
	expect("#PF on CPUID's second byte", call_at, (void *)insn, V_PF, 0);
	check("  CR2 is the second page, RIP the first", trap.cr2 == FAR + PAGE_SIZE && trap.ip == insn);
	map(FAR + PAGE_SIZE, (u64)second, PTE_P | PTE_W | PTE_U, 1);
	expect_none("CPUID across a page boundary", call_at, (void *)insn);
	/* Pages far apart in physical memory, swapped: the bytes must come from the right ones. */
	second[4095] = 0x0f;
	first[0] = 0xa2;
	first[1] = 0xc3;
	map(FAR, (u64)second, PTE_P | PTE_W | PTE_U, 1);
	map(FAR + PAGE_SIZE, (u64)first, PTE_P | PTE_W | PTE_U, 1);
	expect_none("CPUID across a page boundary, pages exchanged", call_at, (void *)insn);
}

/* All 64 bits of the four registers are written. */
static void upper_halves(void)
{
	u64 a = 1ull << 63, b = ~0ull, c = ~0ull << 32, d = ~0ull;

	__asm__ volatile("cpuid" : "+a"(a), "+b"(b), "+c"(c), "+d"(d));
	check("CPUID clears the upper halves", !((a | b | c | d) >> 32));
}

extern char compat_cpuid[];
__asm__(".text\n.code32\ncompat_cpuid: xorl %eax, %eax\nxorl %ecx, %ecx\ncpuid\naddl %ebx, %eax\naddl %ecx, %eax\naddl %edx, %eax\n"
        "movl %eax, compat_sum\nint $0x81\n.code64\n");
u32 compat_sum;

static void compatibility(void)
{
	static u8 stack[4096];
	bool trapped;

	plain(NULL);
	trapped = guarded_user_at(SEL_USER32, (word)compat_cpuid, (word)(stack + sizeof stack), 0);
	check("CPUID in compatibility mode at CPL 3", !trapped && compat_sum == code_sum);
}

/* --- interrupt shadow and single step -------------------------------------------------------------------- */

static volatile word irq_ip;

static void on_irq(struct regs *r)
{
	irq_ip = r->ip;
	lapic_eoi();
}

static void post_irq(void)
{
	irq_ip = 0;
	lapic_icr(0, ICR_SELF | VECTOR);
}

static void shadow_sti(void *arg)
{
	(void)arg;
	__asm__ volatile("xorl %%eax, %%eax\nmovq $771f, expected_ip\nsti\ncpuid\n771: nop\nnop\ncli"
	                 : : : "rax", "rbx", "rcx", "rdx", "memory");
}
static void shadow_mov_ss(void *arg)
{
	(void)arg;
	__asm__ volatile("movl $0x10, %%ecx\nxorl %%eax, %%eax\nmovq $771f, expected_ip\nsti\nmovl %%ecx, %%ss\ncpuid\n771: nop\nnop\ncli"
	                 : : : "rax", "rbx", "rcx", "rdx", "memory");
}
static void step(void *arg)
{
	(void)arg;
	__asm__ volatile("xorl %%eax, %%eax\npushfq\norq $0x100, (%%rsp)\nmovq $771f, expected_ip\npopfq\ncpuid\n771: nop\nnop"
	                 : : : "rax", "rbx", "rcx", "rdx", "memory");
}

static void shadows(void)
{
	enum { DR6_BS = 1 << 14 };

	handlers[VECTOR] = on_irq;
	lapic_enable();
	post_irq();
	expect_none("STI, CPUID with an interrupt pending", shadow_sti, NULL);
	check_equal("  it comes after CPUID", irq_ip, expected_ip);
	post_irq();
	/* STI's own shadow covers MOV SS; whether MOV SS then casts one of its own is the processor's choice. */
	expect_none("STI, MOV SS, CPUID with an interrupt pending", shadow_mov_ss, NULL);
	check("  it comes before or after CPUID", irq_ip == expected_ip || irq_ip == expected_ip - 2);
	write_dr6(0);
	expect("#DB by TF after CPUID", step, NULL, V_DB, 0);
	check("  DR6 says BS", (read_dr6() & (DR6_BS | 0xf)) == DR6_BS);
}

GUEST(cpuid)
{
	leaves();
	hypervisor_leaves();
	apic_ids();
	xsave_leaf();
	prefixes();
	across_pages();
	upper_halves();
	compatibility();
	shadows();
}
