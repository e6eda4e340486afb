/*
 * exceptions: every vector that can be provoked in long mode, at CPL 0 and 3: the right vector, the exact error code,
 * the exact RIP, the exact CR2.
 */
#include "lib/guest.h"

#define PROBE(fn, text)                                                                   \
	static void fn(void *arg)                                                         \
	{                                                                                 \
		__asm__ volatile(MARK text : : "D"(arg) : "rax", "rcx", "rdx", "memory"); \
	}
/* For traps: RIP is that of the next instruction. */
#define PROBE_AFTER(fn, text)                                                                      \
	static void fn(void *arg)                                                                  \
	{                                                                                          \
		__asm__ volatile(MARK_AFTER(text) : : "D"(arg) : "rax", "rcx", "rdx", "memory"); \
	}

#define FAR       0x200000000ull          /* 8 GiB: nothing is mapped there */
#define STRANGE   0x8000000000000000ull   /* not canonical */
enum { VECTOR = V_FREE, IDT_BIT = 2, EXT_BIT = 1 };

/* --- #DE #BP #OF #BR #UD ------------------------------------------------------------------------------ */

static void divide(void *arg)
{
	__asm__ volatile(MARK "divl %%ecx" : : "a"(1), "d"(0), "c"((u32)(word)arg) : "memory");
}
static void divide_too_big(void *arg)
{
	(void)arg;
	__asm__ volatile(MARK "idivl %%ecx" : : "a"(0x80000000u), "d"(0xffffffffu), "c"(-1) : "memory");
}
PROBE_AFTER(breakpoint, "int3")
PROBE_AFTER(breakpoint_long, "int $3")
PROBE_AFTER(overflow_int, "int $4")
PROBE(undefined, "ud2")
PROBE(undefined_push_es, ".byte 0x06")
PROBE(undefined_lock_nop, ".byte 0xf0, 0x90")
PROBE(undefined_mov_cs, ".byte 0x8e, 0xc8")
PROBE(undefined_rsm, "rsm")
PROBE(undefined_cr1, ".byte 0x0f, 0x20, 0xc8")

extern char compat_into[], compat_bound[];
__asm__(".text\n.code32\n"
        "compat_into: movl $0x7fffffff, %eax\naddl $1, %eax\nmovl $771f, expected_ip\ninto\n771: ud2\n"
        "compat_bound: movl $9, %eax\nmovl $771f, expected_ip\n771: bound %eax, bound_pair\nud2\n"
        ".code64\n"
        ".data\nbound_pair: .long 1, 8\n.text\n");

static void compat(void *code)
{
	struct {
		u32 offset;
		u16 selector;
	} far = { (u32)(word)code, SEL_CODE32 };

	__asm__ volatile("ljmp *%0" : : "m"(far));
}

static void simple_faults(void)
{
	expect("#DE by zero", divide, NULL, V_DE, 0);
	expect("#DE by a quotient too big", divide_too_big, NULL, V_DE, 0);
	expect_user("#DE at CPL 3", divide, NULL, V_DE, 0);
	expect("#BP by INT3", breakpoint, NULL, V_BP, 0);
	expect("#BP by INT 3", breakpoint_long, NULL, V_BP, 0);
	expect_user("#BP at CPL 3", breakpoint, NULL, V_BP, 0);
	expect("#OF by INT 4", overflow_int, NULL, V_OF, 0);
	expect_user("#OF by INT 4 at CPL 3", overflow_int, NULL, V_OF, 0);
	expect("#OF by INTO in compatibility mode", compat, compat_into, V_OF, 0);
	expect("#BR by BOUND in compatibility mode", compat, compat_bound, V_BR, 0);
	expect("#UD by UD2", undefined, NULL, V_UD, 0);
	expect_user("#UD at CPL 3", undefined, NULL, V_UD, 0);
	expect("#UD by PUSH ES", undefined_push_es, NULL, V_UD, 0);
	expect("#UD by LOCK NOP", undefined_lock_nop, NULL, V_UD, 0);
	expect("#UD by MOV to CS", undefined_mov_cs, NULL, V_UD, 0);
	expect("#UD by RSM outside SMM", undefined_rsm, NULL, V_UD, 0);
	expect("#UD by MOV from CR1", undefined_cr1, NULL, V_UD, 0);
}

/* --- #DB ---------------------------------------------------------------------------------------------- */

enum { DR6_BS = 1 << 14, DR6_FIXED = 0x0ff0 };
static u32 watched;

static void single_step(void *arg)
{
	(void)arg;
	__asm__ volatile("pushfq\norq $0x100, (%%rsp)\n"
	                 "movq $771f, expected_ip\npopfq\nnop\n771: nop\nnop" : : : "memory", "cc");
}
static void watch_write(void *arg)
{
	(void)arg;
	__asm__ volatile(MARK_AFTER("movl $1, watched") : : : "memory");
}
static void watch_execute(void *arg)
{
	(void)arg;
	__asm__ volatile("movq $771f, %%rax\nmovq %%rax, %%dr0\nmovq %%rax, expected_ip\nnop\n771: nop" : : : "rax", "memory");
}
PROBE_AFTER(icebp, ".byte 0xf1")
PROBE_AFTER(int1, "int $1")

static void debug_traps(void)
{
	enum { DR7_L0 = 1, DR7_W4 = 0xd0000, DR7_NONE = 0x400 };

	write_dr6(0);
	expect("#DB by TF", single_step, NULL, V_DB, 0);
	check("  DR6 says BS", (read_dr6() & (DR6_BS | 0xf)) == DR6_BS);
	write_dr6(0);
	write_dr0((word)&watched);
	write_dr7(DR7_NONE | DR7_L0 | DR7_W4);
	expect("#DB by a data breakpoint", watch_write, NULL, V_DB, 0);
	check("  DR6 says B0", (read_dr6() & (DR6_BS | 0xf)) == 1);
	write_dr6(0);
	write_dr7(DR7_NONE | DR7_L0);
	expect("#DB by an instruction breakpoint, before it", watch_execute, NULL, V_DB, 0);
	check("  DR6 says B0", (read_dr6() & (DR6_BS | 0xf)) == 1);
	write_dr7(DR7_NONE);
	write_dr6(0);
	expect("#DB by INT 1", int1, NULL, V_DB, 0);
	check("  INT 1 leaves DR6", (read_dr6() & (DR6_BS | 0xf)) == 0);
	tolerate(V_UD, 0); /* TCG has no ICEBP */
	expect("#DB by ICEBP", icebp, NULL, V_DB, 0);
}

/* --- #NM #MF #XM -------------------------------------------------------------------------------------- */

PROBE(x87, "fnop")
PROBE(x87_wait, "fwait")
PROBE(sse, "xorps %%xmm0, %%xmm0")
static void x87_pending(void *arg)
{
	u16 control = 0x37f & ~4; /* zero divide unmasked */

	(void)arg;
	__asm__ volatile("fninit\nfldcw %0\nfldz\nfld1\nfdiv %%st(1), %%st\n" MARK "fwait" : : "m"(control) : "memory");
}
static void sse_divide(void *arg)
{
	u32 mxcsr = 0x1f80 & ~0x200u; /* zero divide unmasked */
	static const u32 one[4] __attribute__((aligned(16))) = { 0x3f800000, 0x3f800000, 0x3f800000, 0x3f800000 };

	(void)arg;
	__asm__ volatile("ldmxcsr %0\nmovaps %1, %%xmm0\nxorps %%xmm1, %%xmm1\n" MARK "divps %%xmm1, %%xmm0"
	                 : : "m"(mxcsr), "m"(one) : "memory");
}

static void fpu_faults(void)
{
	word cr0 = read_cr0(), cr4 = read_cr4();
	u32 mxcsr = 0x1f80;

	write_cr0(cr0 | CR0_TS | CR0_MP);
	expect("#NM by x87 with TS", x87, NULL, V_NM, 0);
	expect("#NM by FWAIT with TS and MP", x87_wait, NULL, V_NM, 0);
	write_cr0((cr0 | CR0_TS) & ~(word)CR0_MP);
	expect_none("FWAIT with TS and no MP", x87_wait, NULL);
	write_cr0((cr0 | CR0_EM) & ~(word)CR0_TS);
	expect("#NM by x87 with EM", x87, NULL, V_NM, 0);
	write_cr0((cr0 | CR0_NE | CR0_MP) & ~(word)(CR0_TS | CR0_EM));
	expect("#MF at the next waiting instruction", x87_pending, NULL, V_MF, 0);
	__asm__ volatile("fninit");
	if (HAS_SSE2) {
		write_cr4(cr4 & ~(word)CR4_OSFXSR);
		expect("#UD by SSE without OSFXSR", sse, NULL, V_UD, 0);
		write_cr4(cr4 | CR4_OSFXSR | CR4_OSXMMEXCPT);
		expect_none("SSE with OSFXSR", sse, NULL);
		write_cr0(read_cr0() | CR0_TS);
		expect("#NM by SSE with TS", sse, NULL, V_NM, 0);
		__asm__ volatile("clts");
		tolerate(NO_VECTOR, 0); /* TCG raises no SSE exception */
		expect("#XM by DIVPS", sse_divide, NULL, V_XM, 0);
		write_cr4((cr4 | CR4_OSFXSR) & ~(word)CR4_OSXMMEXCPT);
		tolerate(NO_VECTOR, 0);
		expect("#UD by DIVPS without OSXMMEXCPT", sse_divide, NULL, V_UD, 0);
		__asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
	}
	write_cr4(cr4);
	write_cr0(cr0);
}

/* --- selectors, gates: #NP #SS #GP #DF ------------------------------------------------------------------ */

static void load_ds(void *arg)
{
	__asm__ volatile(MARK "movl %k0, %%ds" : : "D"(arg) : "memory");
}
static void load_ss(void *arg)
{
	__asm__ volatile(MARK "movl %k0, %%ss" : : "D"(arg) : "memory");
}
static void far_jump(void *arg)
{
	struct {
		u32 offset;
		u16 selector;
	} far = { (u32)(word)undefined, (u16)(word)arg };

	__asm__ volatile(MARK "ljmp *%0" : : "m"(far));
}
static void push_strange(void *arg)
{
	__asm__ volatile("movq %0, %%rsp\n" MARK "push %%rax" : : "r"(arg) : "memory");
}
static void read_by_rbp(void *arg)
{
	__asm__ volatile("push %%rbp\nmovq %0, %%rbp\n" MARK "movq 0(%%rbp), %%rax\npop %%rbp" : : "r"(arg) : "rax", "memory");
}
PROBE(read_byte, "movb (%%rdi), %%al")
PROBE(write_byte, "movb %%al, (%%rdi)")
PROBE(read_word, "movw (%%rdi), %%ax")
PROBE(write_long, "movl %%eax, (%%rdi)")
PROBE(increment, "lock incl (%%rdi)")
PROBE(int_free, "int $0x90")
PROBE(int_high, "int $0xf0")
PROBE(too_long, ".byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x90")
static void iret_strange(void *arg)
{
	__asm__ volatile("movq %%rsp, %%rax\npushq $0x10\npushq %%rax\npushq $2\npushq $8\npushq %0\n" MARK "iretq"
	                 : : "r"(arg) : "rax", "memory");
}
static void jump(void *arg)
{
	__asm__ volatile("movq %0, expected_ip\njmp *%0" : : "r"(arg) : "memory");
}

static void selector_faults(void)
{
	struct table_pointer shorter = { 0xf0 * 16 - 1, idt_pointer.base };

	expect("#NP by a data segment not present", load_ds, (void *)SEL_ABSENT, V_NP, SEL_ABSENT);
	expect("#NP by a code segment not present", far_jump, (void *)SEL_ABSENT_CODE, V_NP, SEL_ABSENT_CODE);
	expect("#SS by a stack segment not present", load_ss, (void *)SEL_ABSENT, V_SS, SEL_ABSENT);
	expect("#GP by a selector beyond the GDT", load_ds, (void *)SEL_BEYOND, V_GP, SEL_BEYOND);
	expect("#GP by a code segment as stack", load_ss, (void *)SEL_CODE, V_GP, SEL_CODE);
	expect("#GP by a far jump to data", far_jump, (void *)SEL_DATA, V_GP, SEL_DATA);
	expect_user("#GP by a system's data segment at CPL 3", load_ds, (void *)SEL_DATA, V_GP, SEL_DATA);
	/* TCG knows #GP only for addresses that are not canonical. */
	idt_set(V_SS, stub_table[V_SS], 0, GATE_INTERRUPT, IST_SPARE);
	idt_set(V_GP, stub_table[V_GP], 0, GATE_INTERRUPT, IST_SPARE);
	tolerate(V_GP, 0);
	expect("#SS by a stack that is not canonical", push_strange, (void *)STRANGE, V_SS, 0);
	tolerate(V_GP, 0);
	expect("#SS by RBP that is not canonical", read_by_rbp, (void *)STRANGE, V_SS, 0);
	expect("#GP by an address that is not canonical", read_byte, (void *)STRANGE, V_GP, 0);
	expect("#GP by an instruction of 16 bytes", too_long, NULL, V_GP, 0);
	tolerate(V_GP, 0); /* TCG finds out one instruction later */
	expect("#GP by IRET to an address that is not canonical", iret_strange, (void *)STRANGE, V_GP, 0);
	tolerate(V_GP, VECTOR * 16 + IDT_BIT); /* TCG counts long-mode gates by 16 in error codes */
	expect_user("#GP by INT n with a gate of DPL 0", int_free, NULL, V_GP, VECTOR * 8 + IDT_BIT);
	idt_absent(VECTOR);
	tolerate(V_NP, VECTOR * 16 + IDT_BIT);
	expect("#NP by a gate not present", int_free, NULL, V_NP, VECTOR * 8 + IDT_BIT);
	traps_init();
	__asm__ volatile("lidt %0" : : "m"(shorter));
	tolerate(V_GP, 0xf0 * 16 + IDT_BIT);
	expect("#GP by INT n beyond the IDT", int_high, NULL, V_GP, 0xf0 * 8 + IDT_BIT);
	traps_load();
	idt_absent(V_UD);
	tolerate(V_NP, V_UD * 16 + IDT_BIT);
	expect("#NP by an exception whose gate is not present, EXT set", undefined, NULL, V_NP, V_UD * 8 + IDT_BIT + EXT_BIT);
	idt_absent(V_GP);
	expect("#DF by #GP whose gate is not present", read_byte, (void *)STRANGE, V_DF, 0);
	idt_absent(V_PF);
	expect("#DF by #PF whose gate is not present", read_byte, (void *)FAR, V_DF, 0);
	traps_init();
}

/* --- what CPL 3 may not -------------------------------------------------------------------------------- */

PROBE(do_hlt, "hlt")
PROBE(do_cli, "cli")
PROBE(do_sti, "sti")
PROBE(do_in, "inb $0x80, %%al")
PROBE(do_out, "outb %%al, $0x80")
PROBE(do_outs, "movw $0x80, %%dx\noutsb")
PROBE(do_clts, "clts")
PROBE(do_read_cr0, "movq %%cr0, %%rax")
PROBE(do_write_cr3, "movq %%rax, %%cr3")
PROBE(do_read_dr7, "movq %%dr7, %%rax")
PROBE(do_rdmsr, "rdmsr")
PROBE(do_wrmsr, "wrmsr")
PROBE(do_invlpg, "invlpg (%%rdi)")
PROBE(do_wbinvd, "wbinvd")
PROBE(do_lidt, "lidt (%%rdi)")
PROBE(do_swapgs, "swapgs")
PROBE(do_sgdt, "sgdt (%%rdi)")
PROBE(do_smsw, "smsw %%ax")

static void privileged(void)
{
	static const struct {
		const char *name;
		void (*fn)(void *);
	} of[] = {
		{ "#GP by HLT at CPL 3", do_hlt }, { "#GP by CLI at CPL 3", do_cli }, { "#GP by STI at CPL 3", do_sti },
		{ "#GP by IN at CPL 3", do_in }, { "#GP by OUT at CPL 3", do_out }, { "#GP by CLTS at CPL 3", do_clts },
		{ "#GP by MOV from CR0 at CPL 3", do_read_cr0 }, { "#GP by MOV to CR3 at CPL 3", do_write_cr3 },
		{ "#GP by MOV from DR7 at CPL 3", do_read_dr7 }, { "#GP by RDMSR at CPL 3", do_rdmsr },
		{ "#GP by WRMSR at CPL 3", do_wrmsr }, { "#GP by INVLPG at CPL 3", do_invlpg },
		{ "#GP by WBINVD at CPL 3", do_wbinvd }, { "#GP by LIDT at CPL 3", do_lidt },
		{ "#GP by SWAPGS at CPL 3", do_swapgs },
	};
	static u8 room[16];
	bool trapped;

	for (unsigned i = 0; i < sizeof of / sizeof of[0]; i++)
		expect_user(of[i].name, of[i].fn, room, V_GP, 0);
	expected_ip = 0;
	trapped = guarded_user(do_outs, room);
	expected_ip = 0; /* the mark is at the MOV in front of it */
	trap_was("#GP by OUTS at CPL 3", trapped, V_GP, 0);
	if (HAS_UMIP) {
		word cr4 = read_cr4();
		write_cr4(cr4 | CR4_UMIP);
		expect_user("#GP by SGDT at CPL 3 with UMIP", do_sgdt, room, V_GP, 0);
		expect_user("#GP by SMSW at CPL 3 with UMIP", do_smsw, room, V_GP, 0);
		write_cr4(cr4);
	}
	check("SGDT at CPL 3 without UMIP", !guarded_user(do_sgdt, room));
}

/* --- #PF ----------------------------------------------------------------------------------------------- */

static bool page_fault(const char *name, bool user, void (*fn)(void *), u64 va, u64 cr2, word error)
{
	bool right = user ? expect_user(name, fn, (void *)va, V_PF, error) : expect(name, fn, (void *)va, V_PF, error);

	return right && (trap.cr2 == cr2 || check_equal("  CR2", trap.cr2, cr2));
}

/* TCG leaves P out of the error code of a reserved-bit fault: both are taken here. */
static void reserved_fault(const char *name, bool user, void (*fn)(void *), u64 va, word error)
{
	bool trapped = user ? guarded_user(fn, (void *)va) : guarded(fn, (void *)va);

	expected_ip = 0;
	check(name, trapped && trap.vector == V_PF && (trap.error | PF_P) == error && trap.cr2 == va);
}

static void page_faults(bool user)
{
	u8 *page = page_alloc();
	word u = user ? PF_U : 0, nx = HAS_NX ? PF_I : 0;
	u64 rights = PTE_P | PTE_W | PTE_U;

	say("# page faults at CPL %d\n", user ? 3 : 0);
	map(FAR, 0, 0, 1);
	page_fault("#PF by a read, not present", user, read_byte, FAR + 5, FAR + 5, u);
	page_fault("#PF by a write, not present", user, write_byte, FAR + 5, FAR + 5, u | PF_W);
	tolerate(V_PF, u); /* TCG reads first */
	page_fault("#PF by a locked increment, not present", user, increment, FAR, FAR, u | PF_W);
	page_fault("#PF by a fetch, not present", user, jump, FAR + 7, FAR + 7, u | nx);
	map(FAR, (u64)page, rights, 1);
	map(FAR + PAGE_SIZE, 0, 0, 1);
	page_fault("#PF by a read into the next page", user, read_word, FAR + 4095, FAR + 4096, u);
	page_fault("#PF by a write into the next page", user, write_long, FAR + 4094, FAR + 4096, u | PF_W);
	map(FAR, (u64)page, PTE_P | PTE_U, 1);
	write_cr0(read_cr0() | CR0_WP);
	page_fault("#PF by a write, read-only", user, write_byte, FAR + 9, FAR + 9, u | PF_W | PF_P);
	if (HAS_NX) {
		map(FAR, (u64)page, rights | PTE_NX, 1);
		page_fault("#PF by a fetch, NX", user, jump, FAR + 1, FAR + 1, u | PF_I | PF_P);
	}
	if (user) {
		map(FAR, (u64)page, PTE_P | PTE_W, 1);
		page_fault("#PF by a read of a supervisor page", user, read_byte, FAR, FAR, PF_U | PF_P);
		page_fault("#PF by a write of a supervisor page", user, write_byte, FAR, FAR, PF_U | PF_P | PF_W);
		page_fault("#PF by a fetch from a supervisor page", user, jump, FAR, FAR, PF_U | PF_P | nx);
	}
	if (physical_bits() < 52) {
		map(FAR, (u64)page | 1ull << 51, rights, 1);
		reserved_fault("#PF by a read, reserved bit", user, read_byte, FAR, u | PF_RSVD | PF_P);
		reserved_fault("#PF by a write, reserved bit", user, write_byte, FAR, u | PF_RSVD | PF_P | PF_W);
	}
	/* An instruction that begins on the last byte of a page, and goes on in one that is not there. */
	map(FAR, (u64)page, rights, 1);
	page[4095] = 0x0f;
	page_fault("#PF by a fetch into the next page", user, jump, FAR + 4095, FAR + 4096, u | nx);
}

/* --- #AC ------------------------------------------------------------------------------------------------ */

static void misaligned(void *arg)
{
	__asm__ volatile("pushfq\norq $0x40000, (%%rsp)\npopfq\n" MARK "movl 1(%0), %%eax" : : "r"(arg) : "rax", "memory", "cc");
}

static void alignment(void)
{
	static u32 room[4];
	bool trapped;

	write_cr0(read_cr0() | CR0_AM);
	trapped = guarded_user(misaligned, room);
	/* TCG has no alignment check: then there is nothing to hold. */
	if (!trapped)
		skip("#AC by a misaligned read at CPL 3", "this processor does not check alignment");
	else
		trap_was("#AC by a misaligned read at CPL 3", trapped, V_AC, 0);
	expected_ip = 0;
	check("no #AC at CPL 0", !guarded(misaligned, room));
	write_cr0(read_cr0() & ~(word)CR0_AM);
	check("no #AC at CPL 3 without AM", !guarded_user(misaligned, room));
}

GUEST(exceptions)
{
	if (HAS_NX)
		wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	simple_faults();
	fpu_faults();
	selector_faults();
	privileged();
	page_faults(false);
	page_faults(true);
	alignment();
	debug_traps();
}
