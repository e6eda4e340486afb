/*
 * states: what a guest can do to its own processor's state to make its host stumble: RIP, RSP, bases and gates at addresses that are none, at the
 * end of an exit too; every MSR by ranges, read and written; reserved bits of all control registers; values that XCR0 cannot have; the
 * instructions of SVM and VMX with wild operands; storms of INIT, NMI, SMI and STARTUP. Each answer is the processor's; and the machine goes on.
 */
#include "lib/fx.h"

#define LOW_END  0x0000800000000000ull /* the first address that is not canonical */
#define STRANGE  0x8000000000001000ull
#define RIGHTS   (PTE_P | PTE_W | PTE_U)
#define MSR_KVM_FIRST 0x4b564d00u
enum { STORM = 2000, X2APIC_FIRST = 0x800, X2APIC_LAST = 0x8ff };

/* --- addresses that are none ------------------------------------------------------------------------------------------ */

/* The code's last byte is the last one of the low half. */
static void *code_at_end(const u8 *code, unsigned length)
{
	static u8 *page;

	if (!page)
		page = page_alloc();
	map(LOW_END - PAGE_SIZE, (u64)page, RIGHTS, 1);
	copy(page + PAGE_SIZE - length, code, length);
	return (void *)(LOW_END - length);
}

static void call_it(void *at)
{
	u64 a = 0, c = 0, d = PORT_DEBUG;

	__asm__ volatile("pushq %%rbx\ncall *%3\npopq %%rbx" : "+a"(a), "+c"(c), "+d"(d) : "r"(at) : "memory", "cc");
}

/* Each is carried out, and the next instruction's fetch is #GP there. */
static void off_the_end(void)
{
	static const struct {
		const char *name;
		u8 bytes[4], length;
	} codes[] = { { "NOP", { 0x90 }, 1 }, { "CPUID", { 0x0f, 0xa2 }, 2 }, { "IN", { 0xec }, 1 }, { "PAUSE", { 0xf3, 0x90 }, 2 },
		      { "RDMSR", { 0x0f, 0x32 }, 2 }, { "MOV from CR8", { 0x44, 0x0f, 0x20, 0xc0 }, 4 }, { "WBINVD", { 0x0f, 0x09 }, 2 } };

	for (unsigned i = 0; i < sizeof codes / sizeof codes[0]; i++) {
		bool trapped = guarded(call_it, code_at_end(codes[i].bytes, codes[i].length));
		check(codes[i].name, trapped && trap.vector == V_GP && !trap.error && (trap.ip == LOW_END || codes[i].bytes[1] == 0x32));
	}
}

static void jump_strange(void *arg) { __asm__ volatile("jmp *%0" : : "r"(arg) : "memory"); }
static void iret_strange(void *arg)
{
	__asm__ volatile("movq %%rsp, %%rax\npushq %1\npushq %%rax\npushfq\npushq %2\npushq %0\niretq"
	                 : : "r"(arg), "i"(SEL_DATA), "i"(SEL_CODE) : "rax", "memory");
}
static void stack_strange(void *arg)
{
	__asm__ volatile("movq %%rsp, %%rbx\nmovq %0, %%rsp\npushq %%rax\nmovq %%rbx, %%rsp" : : "r"(arg) : "rbx", "memory");
}
static void string_strange(void *arg)
{
	u64 at = (u64)arg, count = 1;

	__asm__ volatile("rep outsb" : "+S"(at), "+c"(count) : "d"(PORT_DEBUG) : "memory");
}
static void in_strange(void *arg)
{
	u64 at = (u64)arg, count = 1;

	__asm__ volatile("rep insb" : "+D"(at), "+c"(count) : "d"(PORT_DEBUG) : "memory");
}
static void through_fs(void *arg)
{
	wrmsr(MSR_FS_BASE, (u64)arg);
	cpuid(0, 0);
	__asm__ volatile("movb %%fs:0, %%al" : : : "rax", "memory");
}

static bool ended_in(void (*fn)(void *), u64 at, word vector)
{
	return guarded(fn, (void *)at) && trap.vector == vector && !trap.error;
}

static void strange_addresses(void)
{
	idt_set(V_GP, stub_table[V_GP], 0, GATE_INTERRUPT, IST_SPARE);
	idt_set(V_SS, stub_table[V_SS], 0, GATE_INTERRUPT, IST_SPARE);
	check("#GP by a jump to no address", ended_in(jump_strange, STRANGE, V_GP));
	check("#GP by IRET to one", ended_in(iret_strange, STRANGE, V_GP));
	/* TCG knows no #SS for these. */
	check("#SS by a stack at none", ended_in(stack_strange, STRANGE, V_SS) || trap.vector == V_GP);
	check("#GP by OUTS from none", ended_in(string_strange, STRANGE, V_GP));
	check("#GP by INS to none", ended_in(in_strange, STRANGE, V_GP));
	/* VMLOAD makes any base canonical, and TCG refuses none. */
	remark("#GP by a base that is none", ended_in(through_fs, STRANGE, V_GP));
	wrmsr(MSR_FS_BASE, 0);
	traps_init();
}

/* --- MSRs -------------------------------------------------------------------------------------------------------------- */

/* Whose meaning is this program's own ground, or another test's. */
static bool left_alone(u32 msr)
{
	static const u32 ours[] = { MSR_TSC, MSR_APIC_BASE, MSR_TSC_ADJUST, MSR_TSC_DEADLINE, MSR_EFER, 0x11, 0x12 };

	for (unsigned i = 0; i < sizeof ours / sizeof ours[0]; i++)
		if (msr == ours[i])
			return true;
	return (msr >= X2APIC_FIRST && msr <= X2APIC_LAST) || msr >> 8 == MSR_KVM_FIRST >> 8;
}

static unsigned strange, readable, writable;

static void count(bool held, unsigned *good)
{
	*good += held;
	strange += !held && (trap.vector != V_GP || trap.error);
}

static void try_msr(u32 msr, u64 value)
{
	u64 was = 0;
	bool there = rdmsr_safe(msr, &was);

	count(there, &readable);
	if (left_alone(msr))
		return;
	count(wrmsr_safe(msr, value), &writable);
	if (there)
		wrmsr_safe(msr, was);
}

static void sweep(const char *name, u32 first, u32 last, u32 step)
{
	static const u64 values[] = { 0, ~0ull, 1ull << 63, LOW_END, 0x1234567890abcdef, 1 };
	unsigned n = 0;

	strange = readable = writable = 0;
	for (u64 msr = first; msr <= last; msr += step, n++)
		try_msr((u32)msr, values[n % (sizeof values / sizeof values[0])]);
	say("# %x to %x: %u tried, %u read, %u written\n", first, last, n, readable, writable);
	check_equal(name, strange, 0);
}

static void msrs(void)
{
	enum { STRIDE = 0x100007 };

	sweep("MSRs 0 to 3fff: #GP or nothing", 0, 0x3fff, 1);
	sweep("40000000 to 400003ff", 0x40000000, 0x400003ff, 1);
	sweep("c0000000 to c00020ff", 0xc0000000, 0xc00020ff, 1);
	sweep("c0010000 to c00120ff", 0xc0010000, 0xc00120ff, 1);
	sweep("all of them, by a stride", 0x4000, 0xffffffff, STRIDE);
	sweep("the last ones", 0xffffff00, 0xffffffff, 1);
	if (on_tcg())
		return;
	check("of those by a stride there is none", !readable && !writable);
}

/* --- control registers and XCR0 ------------------------------------------------------------------------------------------- */

static void load_cr4(void *arg) { write_cr4((word)arg); }
static void load_cr8(void *arg) { write_cr8((word)arg); }

static unsigned refused_bits(void (*load)(void *), word was, word bits)
{
	unsigned n = 0;

	for (unsigned bit = 0; bit < 64; bit++)
		if (bits >> bit & 1) {
			n += guarded(load, (void *)(was | 1ul << bit)) && trap.vector == V_GP && !trap.error;
			cpuid(0, 0);
		}
	return n;
}

/* What a processor has no name for, or CPUID does not offer. */
static void control_registers(void)
{
	enum { PCIDE = 17, PKE = 22, CET = 23, VMXE = 13, SMXE = 14, LA57 = 12, PKS = 24, UINTR = 25, FIRST_FREE = 26 };
	word none = ~0ul << FIRST_FREE | 1ul << 15 | 1ul << 19 | 1ul << PKE | 1ul << CET | 1ul << VMXE | 1ul << SMXE | 1ul << LA57 |
		    1ul << PKS | 1ul << UINTR | 1ul << PCIDE;
	word cr4 = read_cr4();

	if (on_tcg()) {
		skip("reserved bits of CR4", "TCG never comes back from them");
	} else {
		check_equal("#GP by each bit of CR4 that this machine has not", refused_bits(load_cr4, cr4, none), (u64)__builtin_popcountl(none));
		check("#GP by CR4 without PAE", ended_in(load_cr4, cr4 & ~(word)CR4_PAE, V_GP));
		check_equal("#GP by CR8 beyond 15", refused_bits(load_cr8, 0, ~15ul), 60);
	}
	check_equal("CR4 is as it was", read_cr4(), cr4);
}

struct xcr {
	u32 index;
	u64 value;
};
static void set_xcr(void *arg)
{
	const struct xcr *x = arg;

	__asm__ volatile("xsetbv" : : "a"((u32)x->value), "d"((u32)(x->value >> 32)), "c"(x->index) : "memory");
}
static void extended_control(void)
{
	struct xcr x = { 0, 7 };
	struct leaf mask = cpuid(0xd, 0);
	u64 known = mask.a | (u64)mask.d << 32;
	unsigned right = 0, wrong_index = 0;

	if (!HAS_XSAVE) {
		check("#UD by XSETBV", ended_in(set_xcr, (u64)&x, V_UD));
		return;
	}
	check("#UD by XSETBV without OSXSAVE", ended_in(set_xcr, (u64)&x, V_UD));
	write_cr4(read_cr4() | CR4_OSXSAVE);
	for (x.value = 0; x.value < 8; x.value++) { /* x87 must be set, AVX wants SSE */
		bool possible = (x.value & 1) && (x.value & 6) != 4 && !(x.value & ~known);
		right += guarded(set_xcr, &x) ? !possible && trap.vector == V_GP && !trap.error : possible && xgetbv0() == x.value;
	}
	check_equal("XCR0 takes what can be, and #GP by the rest", right, 8);
	right = 0;
	for (unsigned bit = 3; bit < 64; bit++) {
		x.value = 3 | 1ull << bit;
		if (!(known >> bit & 1))
			right += guarded(set_xcr, &x) && trap.vector == V_GP && !trap.error;
		else
			right++;
	}
	/* Of what the processor has and this machine has not, an emulator without the intercept takes the bit. */
	say("# %u of 61 single bits right\n", right);
	x.value = 3;
	for (unsigned bit = 0; bit < 32; bit++) {
		x.index = 1u << bit;
		wrong_index += guarded(set_xcr, &x) && trap.vector == V_GP && !trap.error;
	}
	check_equal("#GP by every other register than XCR0", wrong_index, 32);
	x.index = 0;
	check("#GP by XSETBV at CPL 3", guarded_user(set_xcr, &x) && trap.vector == V_GP);
	check("XCR0 is a value that can be", (xgetbv0() & 1) && (xgetbv0() & 6) != 4);
	x.value = 1;
	set_xcr(&x);
	write_cr4(read_cr4() & ~(word)CR4_OSXSAVE);
}

/* --- SVM and VMX -------------------------------------------------------------------------------------------------------------- */

static const struct {
	u8 bytes[5], length;
	bool looks; /* at its operand before all else, perhaps */
} opcodes[] = {
	{ { 0x0f, 0x01, 0xd8 }, 3, true }, { { 0x0f, 0x01, 0xda }, 3, true }, { { 0x0f, 0x01, 0xdb }, 3, true }, /* VMRUN, VMLOAD, VMSAVE */
	{ { 0x0f, 0x01, 0xdc }, 3, false }, { { 0x0f, 0x01, 0xdd }, 3, false },                                   /* STGI, CLGI */
	{ { 0x0f, 0x01, 0xde }, 3, false }, { { 0x0f, 0x01, 0xdf }, 3, false },                                   /* SKINIT, INVLPGA */
	{ { 0x0f, 0x01, 0xc2 }, 3, false }, { { 0x0f, 0x01, 0xc3 }, 3, false }, { { 0x0f, 0x01, 0xc4 }, 3, false }, /* VMLAUNCH, VMRESUME, VMXOFF */
	{ { 0x0f, 0xc7, 0x37 }, 3, false }, { { 0x66, 0x0f, 0xc7, 0x37 }, 4, false },                             /* VMPTRLD, VMCLEAR [RDI] */
	{ { 0xf3, 0x0f, 0xc7, 0x37 }, 4, false }, { { 0x66, 0x0f, 0x38, 0x80, 0x07 }, 5, false },                 /* VMXON, INVEPT */
	{ { 0x66, 0x0f, 0x38, 0x81, 0x07 }, 5, false }, { { 0x0f, 0xaa }, 2, false },                             /* INVVPID, RSM */
	{ { 0x0f, 0x01, 0xc8 }, 3, true }, { { 0x0f, 0x01, 0xc9 }, 3, true },                                     /* MONITOR, MWAIT */
};
enum { OPCODES = sizeof opcodes / sizeof opcodes[0], HERE_AT_LAST = 2, RET = 0xc3 };

static void (*stub)(void);
static void run_stub(void *operand)
{
	u64 a = (u64)operand, c = a, d = a, si = a, di = a;

	__asm__ volatile("call *%5" : "+a"(a), "+c"(c), "+d"(d), "+S"(si), "+D"(di) : "r"(stub) : "memory", "cc");
}

static void virtualization(void)
{
	static u8 page[PAGE_SIZE] __attribute__((aligned(4096))), code[sizeof opcodes[0].bytes + 1];
	const u64 operands[] = { 0, (u64)page, (u64)page + 1, 0xfd000000, LAPIC_ADDRESS, 1ull << physical_bits(), LOW_END, STRANGE, ~0ull };
	enum { OPERANDS = sizeof operands / sizeof operands[0] };
	unsigned right = 0, n = on_tcg() ? OPCODES - HERE_AT_LAST : OPCODES; /* the bare machine has the last ones */

	stub = (void (*)(void))code;
	for (unsigned i = 0; i < n; i++) {
		copy(code, opcodes[i].bytes, opcodes[i].length);
		code[opcodes[i].length] = RET;
		for (unsigned k = 0; k < OPERANDS; k++)
			right += guarded(run_stub, (void *)operands[k]) && (trap.vector == V_UD || (opcodes[i].looks && trap.vector == V_GP));
	}
	check_equal("#UD by each instruction of SVM and VMX with each operand", right, n * OPERANDS);
}

/* --- storms ------------------------------------------------------------------------------------------------------------------------ */

static volatile u32 nmis;
static void on_nmi(struct regs *r)
{
	(void)r;
	nmis++;
}

/* To nobody, to the others (there are none), with reserved modes, SMI to oneself; then NMIs to oneself, the one way that is allowed. */
static void storms(void)
{
	enum { SMI = 2 << 8, RESERVED_1 = 3 << 8, RESERVED_2 = 7 << 8, NOBODY = 0x55 };
	static const u32 others[] = { ICR_INIT | ICR_OTHERS | ICR_LEVEL, ICR_STARTUP | ICR_OTHERS, ICR_NMI | ICR_OTHERS, SMI | ICR_OTHERS,
				      SMI | ICR_ALL, RESERVED_1 | ICR_OTHERS, RESERVED_2 | ICR_OTHERS, ICR_INIT | ICR_OTHERS };
	u32 self;

	lapic_enable();
	self = lapic_id();
	for (unsigned i = 0; i < STORM; i++) {
		if (on_tcg() && (others[i % 8] & 7 << 8) == SMI)
			continue; /* there a firmware's handler would have to be */
		lapic_write(APIC_ICR, others[i % 8]);
		lapic_icr(NOBODY, ICR_INIT | ICR_LEVEL);
	}
	handlers[V_NMI] = on_nmi;
	for (unsigned i = 0; i < STORM; i++)
		lapic_icr(self, ICR_NMI);
	check("NMIs to oneself", nmis > 0 && nmis <= STORM);
	say("# %u of %u NMIs\n", nmis, STORM);
}

GUEST(states)
{
	off_the_end();
	strange_addresses();
	extended_control();
	control_registers();
	virtualization();
	storms();
	msrs();
}
