/*
 * msr: the MSRs that software depends on do what they are for, and any other gives #GP or is survived.
 */
#include "lib/guest.h"

#define STRANGE 0x8000000000000000ull

static bool keeps(u32 msr, u64 v)
{
	u64 was = rdmsr(msr), got;

	if (!wrmsr_safe(msr, v))
		return false;
	got = rdmsr(msr);
	wrmsr(msr, was);
	return got == v;
}

/* --- EFER -------------------------------------------------------------------------------------------------- */

static void efer(void)
{
	u64 was = rdmsr(MSR_EFER);

	check("EFER has LME and LMA", (was & (EFER_LME | EFER_LMA)) == (EFER_LME | EFER_LMA));
	check("EFER.SCE can be set and cleared", keeps(MSR_EFER, was | EFER_SCE) && keeps(MSR_EFER, was & ~(u64)EFER_SCE));
	if (HAS_NX)
		check("EFER.NXE can be set", keeps(MSR_EFER, was | EFER_NXE));
	check_but_tcg("a reserved bit of EFER gives #GP", !wrmsr_safe(MSR_EFER, was | 1ull << 9) && !wrmsr_safe(MSR_EFER, was | 1ull << 63));
	wrmsr(MSR_EFER, was);
	if (!HAS_SVM)
		check("EFER.SVME gives #GP without SVM", !wrmsr_safe(MSR_EFER, was | 1ull << 12));
	/* Clearing LME under paging is a #GP; TCG ignores the write or, worse, takes it: not tried there. */
	if (!on_tcg())
		check_but_tcg("EFER is as it was", rdmsr(MSR_EFER) == was);
}

/* --- SYSCALL, SYSENTER --------------------------------------------------------------------------------------- */

extern char syscall_entry[], sysenter_entry[], syscall_user[], syscall_user_after[], sysret_user[];
u64 syscall_seen[6]; /* RCX, R11, RFLAGS, CS, SS, back at CPL 3 */
u64 syscall_stack;
__asm__(".text\n"
        "syscall_entry:\n"
        "	movq %rcx, syscall_seen\n"
        "	movq %r11, syscall_seen + 8\n"
        "	movq %rsp, syscall_stack\n"
        "	movq $syscall_stack_top, %rsp\n"
        "	pushfq\n"
        "	popq syscall_seen + 16\n"
        "	movl %cs, %eax\n	movq %rax, syscall_seen + 24\n"
        "	movl %ss, %eax\n	movq %rax, syscall_seen + 32\n"
        "	movq syscall_stack, %rsp\n"
        "	sysretq\n"
        "syscall_user:\n"
        "	movl $0x12345, %ebx\n"
        "	syscall\n"
        "syscall_user_after:\n"
        "	movl %cs, %eax\n	movq %rax, syscall_seen + 40\n"
        "	int $0x81\n"
        "sysenter_entry:\n"
        "	movl %cs, %eax\n	movq %rax, syscall_seen + 24\n"
        "	movl %ss, %eax\n	movq %rax, syscall_seen + 32\n"
        "	movq %rsp, syscall_seen\n"
        "	ud2\n"
        ".bss\n.align 16\n.skip 1024\nsyscall_stack_top:\n.text\n");

static void syscall_insn(void *arg)
{
	(void)arg;
	__asm__ volatile(MARK "syscall" : : : "rcx", "r11", "memory");
}

static void sysenter_insn(void *arg)
{
	(void)arg;
	__asm__ volatile("sysenter" : : : "memory");
}

static void fast_calls(void)
{
	static u8 stack[1024];
	bool trapped;

	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(u64)EFER_SCE);
	expect_user("#UD by SYSCALL without SCE", syscall_insn, NULL, V_UD, 0);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
	wrmsr(MSR_STAR, (u64)(SEL_USER32 - 3) << 48 | 3ull << 48 | (u64)SEL_CODE << 32);
	wrmsr(MSR_LSTAR, (word)syscall_entry);
	wrmsr(MSR_SFMASK, FLAG_DF | FLAG_IF | FLAG_AC);
	trapped = guarded_user_at(SEL_UCODE, (word)syscall_user, (word)(stack + sizeof stack), FLAG_DF | FLAG_CF);
	check("SYSCALL and SYSRET", !trapped && syscall_seen[5] == SEL_UCODE);
	check_equal("  RCX is the return address", syscall_seen[0], (word)syscall_user_after);
	check_equal("  R11 holds the flags", syscall_seen[1] & (FLAG_DF | FLAG_CF | FLAG_IF), FLAG_DF | FLAG_CF);
	check("  SFMASK cleared its flags", !(syscall_seen[2] & FLAG_DF));
	remark("  and left the others", syscall_seen[2] & FLAG_CF);
	check_equal("  CS", syscall_seen[3], SEL_CODE);
	check_equal("  SS", syscall_seen[4], SEL_DATA);
	/* TCG takes any address. */
	remark("LSTAR wants a canonical address", !wrmsr_safe(MSR_LSTAR, STRANGE));
	wrmsr(MSR_SYSENTER_CS, SEL_CODE);
	wrmsr(MSR_SYSENTER_ESP, 0x123450);
	wrmsr(MSR_SYSENTER_EIP, (word)sysenter_entry);
	check("the SYSENTER MSRs read back", rdmsr(MSR_SYSENTER_CS) == SEL_CODE && rdmsr(MSR_SYSENTER_ESP) == 0x123450 &&
	      rdmsr(MSR_SYSENTER_EIP) == (word)sysenter_entry);
	idt_set(V_UD, stub_table[V_UD], 0, GATE_INTERRUPT, IST_SPARE); /* its stack is none */
	trapped = guarded_user(sysenter_insn, NULL);
	/* AMD has no SYSENTER in long mode: then #UD at the instruction itself. */
	check("SYSENTER enters, or gives #UD at CPL 3", trapped && trap.vector == V_UD &&
	      ((trap.cs == SEL_CODE && syscall_seen[0] == 0x123450) || (trap.cs & 3) == 3));
	idt_set(V_UD, stub_table[V_UD], 0, GATE_INTERRUPT, IST_NONE);
}

/* --- bases -------------------------------------------------------------------------------------------------- */

static u64 fs_word(void)
{
	u64 v;
	__asm__ volatile("movq %%fs:8, %0" : "=r"(v) : : "memory");
	return v;
}
static u64 gs_word(void)
{
	u64 v;
	__asm__ volatile("movq %%gs:8, %0" : "=r"(v) : : "memory");
	return v;
}

static void bases(void)
{
	static u64 a[2] = { 0, 0xaaaa }, b[2] = { 0, 0xbbbb }, c[2] = { 0, 0xcccc };

	wrmsr(MSR_FS_BASE, (word)a);
	wrmsr(MSR_GS_BASE, (word)b);
	wrmsr(MSR_KERNEL_GS, (word)c);
	cpuid(0, 0);
	inb(0x80);
	check("FS and GS reach their bases", fs_word() == 0xaaaa && gs_word() == 0xbbbb);
	check("the bases read back", rdmsr(MSR_FS_BASE) == (word)a && rdmsr(MSR_GS_BASE) == (word)b && rdmsr(MSR_KERNEL_GS) == (word)c);
	__asm__ volatile("swapgs" : : : "memory");
	cpuid(0, 0);
	check("SWAPGS exchanges", gs_word() == 0xcccc && rdmsr(MSR_GS_BASE) == (word)c && rdmsr(MSR_KERNEL_GS) == (word)b);
	__asm__ volatile("swapgs" : : : "memory");
	check("  and back", gs_word() == 0xbbbb);
	check("a base may lie in the upper half", keeps(MSR_FS_BASE, 0xffff800000001000ull));
	remark("a base that is not canonical gives #GP", !wrmsr_safe(MSR_FS_BASE, STRANGE) && !wrmsr_safe(MSR_GS_BASE, STRANGE) &&
	      !wrmsr_safe(MSR_KERNEL_GS, STRANGE));
	if (HAS_FSGSBASE) {
		u64 got;
		write_cr4(read_cr4() | CR4_FSGSBASE);
		__asm__ volatile("wrfsbase %1\nrdfsbase %0" : "=r"(got) : "r"((u64)b));
		check("WRFSBASE and the MSR agree", got == (word)b && rdmsr(MSR_FS_BASE) == (word)b);
		__asm__ volatile("wrgsbase %1\nrdgsbase %0" : "=r"(got) : "r"((u64)a));
		check("WRGSBASE and the MSR agree", got == (word)a && rdmsr(MSR_GS_BASE) == (word)a);
		write_cr4(read_cr4() & ~(word)CR4_FSGSBASE);
	} else {
		skip("WRFSBASE", "CPUID does not have it");
	}
	wrmsr(MSR_FS_BASE, 0);
	wrmsr(MSR_GS_BASE, 0);
	wrmsr(MSR_KERNEL_GS, 0);
}

/* --- time --------------------------------------------------------------------------------------------------- */

static void rdtscp_insn(u32 *aux, u64 *tsc)
{
	u32 lo, hi;
	__asm__ volatile("rdtscp" : "=a"(lo), "=d"(hi), "=c"(*aux));
	*tsc = (u64)hi << 32 | lo;
}
static void rdtsc_fn(void *arg)
{
	(void)arg;
	__asm__ volatile(MARK "rdtsc" : : : "rax", "rdx");
}

static void tsc(void)
{
	u64 a = rdtsc(), b, c, per_ms = tsc_per_ms(), jump = 1ull << 40;
	unsigned back = 0;

	for (unsigned i = 0; i < 1000; i++) {
		b = rdtsc();
		back += b < a;
		a = b;
		if (!(i & 15))
			cpuid(0, 0);
	}
	check_equal("the TSC never runs back, over exits too", back, 0);
	say("# the TSC counts %u a ms\n", (u32)per_ms);
	check("the TSC runs at 10 MHz or more", per_ms >= 10000);
	a = rdtsc();
	b = rdmsr(MSR_TSC);
	c = rdtsc();
	check_but_tcg("the TSC's MSR is the TSC", a <= b && b <= c);
	if (HAS_RDTSCP) {
		u32 aux;
		wrmsr(MSR_TSC_AUX, 0x1234567);
		cpuid(0, 0);
		rdtscp_insn(&aux, &b);
		check("RDTSCP gives TSC and TSC_AUX", aux == 0x1234567 && b >= c);
		check_equal("TSC_AUX reads back", rdmsr(MSR_TSC_AUX), 0x1234567);
		wrmsr(MSR_TSC_AUX, 0);
	}
	if (HAS_HYPERVISOR && !on_tcg() && feature(0x80000007u, IN_D, 8))
		check("HWCR says that the TSC counts at P0's frequency", rdmsr(0xc0010015u) >> 24 & 1);
	wrmsr(MSR_TSC, rdtsc() + jump);
	a = rdtsc();
	check_but_tcg("the TSC can be written", a >= c + jump && a < c + jump + per_ms * 1000);
	wrmsr(MSR_TSC, rdtsc() - jump);
	write_cr4(read_cr4() | CR4_TSD);
	expect_user("#GP by RDTSC at CPL 3 with TSD", rdtsc_fn, NULL, V_GP, 0);
	expect_none("RDTSC at CPL 0 with TSD", rdtsc_fn, NULL);
	write_cr4(read_cr4() & ~(word)CR4_TSD);
	check("RDTSC at CPL 3 without TSD", !guarded_user(rdtsc_fn, NULL));
}

/* --- memory types --------------------------------------------------------------------------------------------- */

static void memory_types(void)
{
	u64 pat = rdmsr(MSR_PAT), v;

	check("PAT's first entry is write-back", (pat & 7) == 6);
	check("PAT can be written", keeps(MSR_PAT, 0x0007040600010406ull));
	check_but_tcg("PAT refuses a reserved type", !wrmsr_safe(MSR_PAT, 2) && !wrmsr_safe(MSR_PAT, 3ull << 32) && !wrmsr_safe(MSR_PAT, 8));
	wrmsr(MSR_PAT, pat);
	if (!feature(1, IN_D, 12)) {
		skip("MTRRs", "CPUID does not have them");
		return;
	}
	check("MTRRCAP reads", rdmsr_safe(MSR_MTRRCAP, &v) && (v & 0xff) <= 32);
	check("they are enabled, and memory is write-back", rdmsr_safe(MSR_MTRR_DEFAULT, &v) && (v & 0x800) && (v & 0xff) == 6);
	check("the default type is one", rdmsr_safe(MSR_MTRR_DEFAULT, &v) && ((v & 0xff) <= 1 || ((v & 0xff) >= 4 && (v & 0xff) <= 6)));
	for (u32 i = 0; i < 2 * (rdmsr(MSR_MTRRCAP) & 0xff); i++)
		if (!rdmsr_safe(0x200 + i, &v))
			check("a variable MTRR reads", false);
	check("the fixed MTRRs read", rdmsr_safe(0x250, &v) && rdmsr_safe(0x258, &v) && rdmsr_safe(0x259, &v) && rdmsr_safe(0x26f, &v));
}

/* --- the unknown ---------------------------------------------------------------------------------------------- */

/*
 * Every MSR of the three usual ranges is read; those that may be written get what was read back, except what would end the
 * test's own ground. Whatever happens is #GP(0) or nothing.
 */
static void sweep(const char *name, u32 from, u32 to)
{
	u32 readable = 0, writable = 0, strange = 0;
	u64 v;

	for (u32 m = from; m <= to; m++) {
		bool got = rdmsr_safe(m, &v);

		strange += !got && (trap.vector != V_GP || trap.error);
		readable += got;
		if (m == MSR_TSC || m == MSR_TSC_ADJUST || m == MSR_TSC_DEADLINE || m == MSR_APIC_BASE || (m >= 0x800 && m < 0x900))
			continue;
		got = wrmsr_safe(m, got ? v : 0);
		strange += !got && (trap.vector != V_GP || trap.error);
		writable += got;
	}
	say("# %x to %x: %u read, %u written\n", from, to, readable, writable);
	check_equal(name, strange, 0);
}

static void unknown(void)
{
	static const u32 none[] = { 0x40, 0x1fff, 0x4000, 0x12345678, 0xc0001fff, 0xc0011fff, 0xc0012345, 0xffffffff };
	unsigned reads = 0, writes = 0;
	u64 v;

	for (unsigned i = 0; i < sizeof none / sizeof none[0]; i++) {
		reads += rdmsr_safe(none[i], &v);
		writes += wrmsr_safe(none[i], 0);
	}
	/* TCG answers 0 for every MSR that it does not know. */
	check_but_tcg("an unknown MSR gives #GP when read", reads == 0);
	check_but_tcg("  and when written", writes == 0);
	sweep("MSRs 0 to 0x1fff", 0, 0x1fff);
	sweep("MSRs 0xc0000000 to 0xc0001fff", 0xc0000000u, 0xc0001fffu);
	sweep("MSRs 0xc0010000 to 0xc0011fff", 0xc0010000u, 0xc0011fffu);
}

GUEST(msr)
{
	efer();
	fast_calls();
	bases();
	tsc();
	memory_types();
	unknown();
}
