/*
 * bad-vmcb-state: a guest makes, by instructions that it may execute, every state that an entry into it could stumble over,
 * and takes an exit in each: the machine goes on, or the processor says #GP. (What a processor refuses and TCG takes is in bad-cr0.c.)
 */
#include "lib/guest.h"

static void load_cr0(void *arg) { write_cr0((word)arg); }
static void load_cr4(void *arg) { write_cr4((word)arg); }
static void load_dr7(void *arg) { write_dr7((word)arg); }
static void load_dr6(void *arg) { write_dr6((word)arg); }
static void load_cr8(void *arg) { write_cr8((word)arg); }

static unsigned survived, refused;

/* One try, an exit in that state, and back. */
static void with(void (*load)(void *), word v)
{
	bool trapped = guarded(load, (void *)v);

	cpuid(0, 0);
	inb(0x80);
	if (trapped && trap.vector == V_GP)
		refused++;
	else if (!trapped)
		survived++;
	else
		check("#GP or nothing", false);
}

static void control_registers(void)
{
	enum { PAE = 5, LA57 = 12, SMEP = 20, SMAP = 21, NW = 29 };
	/* TCG never comes back from a bit of CR4 that it does not have. */
	word cr0 = read_cr0(), cr4 = read_cr4(), cr4_tried = on_tcg() ? 0x5207df : ~0ul;
	unsigned tried = 2;

	for (unsigned bit = 0; bit < 64; bit++) {
		/* PE and PG, PAE and LA57 are the ground this stands on; with SMEP and SMAP its user pages would be out of reach. */
		if (bit != 0 && bit < NW) {
			with(load_cr0, cr0 ^ 1ul << bit);
			write_cr0(cr0);
			tried++;
		}
		if (bit != PAE && bit != LA57 && bit != SMEP && bit != SMAP && (cr4_tried >> bit & 1)) {
			with(load_cr4, cr4 ^ 1ul << bit);
			write_cr4(cr4);
			tried++;
		}
	}
	with(load_cr0, cr0 | CR0_CD);
	write_cr0(cr0);
	with(load_cr0, cr0 | CR0_CD | CR0_NW);
	write_cr0(cr0);
	check_equal("each bit of CR0 and CR4, with an exit", survived + refused, tried);
	check_equal("CR0 is as it was", read_cr0(), cr0);
	check_equal("CR4 is as it was", read_cr4(), cr4);
}

static void debug_registers(void)
{
	enum { DR7_FIXED = 0x400, DR7_GD = 1 << 13 };

	survived = refused = 0;
	for (unsigned bit = 0; bit < 64; bit++) {
		if (1u << (bit & 31) == DR7_GD && bit < 32)
			continue;
		with(load_dr7, (word)DR7_FIXED | (bit > 7 ? 1ul << bit : 0));
		write_dr7(DR7_FIXED);
		with(load_dr6, 1ul << bit);
		write_dr6(0);
	}
	check("each bit of DR6 and DR7, with an exit", survived + refused == 2 * 63);
	with(load_cr8, 16);
	with(load_cr8, ~0ul);
	write_cr8(0);
}

static void efers(void)
{
	u64 was = rdmsr(MSR_EFER);
	unsigned done = 0;

	for (unsigned bit = 0; bit < 64; bit++) {
		if (1ull << bit == EFER_LME || 1ull << bit == EFER_LMA)
			continue;
		wrmsr_safe(MSR_EFER, was ^ 1ull << bit);
		cpuid(0, 0);
		inb(0x80);
		wrmsr_safe(MSR_EFER, was);
		done++;
	}
	check_equal("each bit of EFER, with an exit", done, 62);
	check_equal("EFER is as it was", rdmsr(MSR_EFER), was);
}

/* Segments in states that an entry checks or must carry over exactly. */
static void segments(void)
{
	u32 ds, es, fs, gs;
	word rsp;

	__asm__ volatile("movl %0, %%ds\nmovl %0, %%es\nmovl %0, %%fs\nmovl %0, %%gs" : : "r"(0) : "memory");
	cpuid(0, 0);
	__asm__ volatile("movl %%ds, %0\nmovl %%es, %1\nmovl %%fs, %2\nmovl %%gs, %3" : "=r"(ds), "=r"(es), "=r"(fs), "=r"(gs));
	check("null segments over an exit", !(ds | es | fs | gs));
	__asm__ volatile("movl %0, %%ss" : : "r"(0) : "memory"); /* allowed at CPL 0 in 64-bit mode */
	cpuid(0, 0);
	__asm__ volatile("movl %%ss, %0" : "=r"(ds));
	check("a null SS over an exit", !ds);
	__asm__ volatile("movl %0, %%ss\nmovl %0, %%ds\nmovl %0, %%es" : : "r"(SEL_DATA) : "memory");
	/* RSP anywhere, not canonical either: no entry looks at it. */
	__asm__ volatile("movq %%rsp, %0\nmovq %1, %%rsp\nxorl %%eax, %%eax\ncpuid\nmovq %0, %%rsp"
	                 : "=&r"(rsp) : "r"(0x8000000000001234ull) : "rax", "rbx", "rcx", "rdx", "memory");
	check("a wild RSP over an exit", true);
	__asm__ volatile("lldt %w0" : : "r"(0));
	cpuid(0, 0);
	check("a null LDT over an exit", true);
}

/* RFLAGS' odd bits: NT, RF, AC, VIF, VIP, ID, IOPL. */
static void flags(void)
{
	word got;

	__asm__ volatile("pushq %1\npopfq\nmovl $0, %%eax\ncpuid\npushfq\npopq %0\npushq $2\npopfq"
	                 : "=r"(got) : "r"((word)(FLAG_NT | FLAG_AC | FLAG_ID | FLAG_IOPL3 | FLAG_DF | FLAG_CF | FLAG_FIXED))
	                 : "rax", "rbx", "rcx", "rdx", "memory", "cc");
	__asm__ volatile("cld");
	check("flags over an exit", (got & (FLAG_NT | FLAG_AC | FLAG_ID | FLAG_IOPL3 | FLAG_DF | FLAG_CF)) ==
	      (FLAG_NT | FLAG_AC | FLAG_ID | FLAG_IOPL3 | FLAG_DF | FLAG_CF));
}

GUEST(bad_vmcb_state)
{
	control_registers();
	debug_registers();
	efers();
	segments();
	flags();
}
