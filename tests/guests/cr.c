/*
 * cr: the control registers: what can be set stays set, what is reserved gives #GP, and the short ways (CLTS, LMSW, SMSW, CR8)
 * agree with the long ones.
 */
#include "lib/guest.h"

static void load_cr4(void *arg)
{
	__asm__ volatile(MARK "movq %0, %%cr4" : : "r"(arg) : "memory");
}
static void load_cr8(void *arg)
{
	__asm__ volatile(MARK "movq %0, %%cr8" : : "r"(arg) : "memory");
}

static void cr0_bits(void)
{
	static const struct {
		const char *name;
		word bit;
	} of[] = { { "CR0.MP", CR0_MP }, { "CR0.EM", CR0_EM }, { "CR0.TS", CR0_TS }, { "CR0.NE", CR0_NE },
		   { "CR0.WP", CR0_WP }, { "CR0.AM", CR0_AM }, { "CR0.CD", CR0_CD } };
	word was = read_cr0();

	for (unsigned i = 0; i < sizeof of / sizeof of[0]; i++) {
		bool set, clear;
		write_cr0(was | of[i].bit);
		cpuid(0, 0);
		set = read_cr0() & of[i].bit;
		write_cr0(was & ~of[i].bit);
		cpuid(0, 0);
		clear = !(read_cr0() & of[i].bit);
		check(of[i].name, set && clear);
	}
	write_cr0(was);
	check("CR0.ET is always set", (write_cr0(was & ~(word)CR0_ET), read_cr0() & CR0_ET));
	write_cr0(was);
	check_equal("CR0 is as it was", read_cr0(), was);
}

static void cr4_bits(void)
{
	const struct {
		const char *name;
		word bit;
		bool here;
	} of[] = {
		{ "CR4.TSD", CR4_TSD, true }, { "CR4.DE", CR4_DE, true }, { "CR4.PSE", CR4_PSE, true }, { "CR4.PGE", CR4_PGE, true },
		{ "CR4.OSFXSR", CR4_OSFXSR, HAS_FXSR }, { "CR4.OSXMMEXCPT", CR4_OSXMMEXCPT, HAS_SSE2 },
		{ "CR4.UMIP", CR4_UMIP, HAS_UMIP }, { "CR4.FSGSBASE", CR4_FSGSBASE, HAS_FSGSBASE },
		{ "CR4.OSXSAVE", CR4_OSXSAVE, HAS_XSAVE }, { "CR4.SMEP", CR4_SMEP, HAS_SMEP }, { "CR4.SMAP", CR4_SMAP, HAS_SMAP },
	};
	word was = read_cr4();

	for (unsigned i = 0; i < sizeof of / sizeof of[0]; i++) {
		bool set, clear;

		/* Under SMEP and SMAP the user pages that this runs on would fault: U goes for a moment. */
		if (of[i].bit == CR4_SMEP || of[i].bit == CR4_SMAP)
			continue;
		if (!of[i].here) {
			if (on_tcg()) /* which never comes back from a bit of CR4 that it does not have */
				continue;
			expect(of[i].name, load_cr4, (void *)(was | of[i].bit), V_GP, 0);
			write_cr4(was);
			continue;
		}
		write_cr4(was | of[i].bit);
		cpuid(0, 0);
		set = read_cr4() & of[i].bit;
		write_cr4(was & ~of[i].bit);
		clear = !(read_cr4() & of[i].bit);
		check(of[i].name, set && clear);
		write_cr4(was);
	}
	if (on_tcg()) {
		skip("#GP by reserved bits of CR4", "TCG never comes back from them");
		return;
	}
	expect("#GP by bit 15 of CR4", load_cr4, (void *)(was | 1 << 15), V_GP, 0);
	expect("#GP by bit 28 of CR4", load_cr4, (void *)(was | 1 << 28), V_GP, 0);
	expect("#GP by bit 63 of CR4", load_cr4, (void *)(was | 1ul << 63), V_GP, 0);
	expect("#GP by CR4 without PAE in long mode", load_cr4, (void *)(was & ~(word)CR4_PAE), V_GP, 0);
	check_equal("CR4 is as it was", read_cr4(), was);
}

static void short_ways(void)
{
	word msw = 0;
	word was = read_cr0();
	u16 memory = 0;

	__asm__ volatile("smswq %0" : "=r"(msw));
	check_equal("SMSW is CR0's low word", msw & 0xffff, was & 0xffff);
	__asm__ volatile("smsw %0" : "=m"(memory));
	check_equal("  into memory too", memory, was & 0xffff);
	__asm__ volatile("lmsw %w0" : : "r"(was | CR0_TS | CR0_EM));
	check("LMSW sets TS and EM", (read_cr0() & (CR0_TS | CR0_EM)) == (CR0_TS | CR0_EM));
	__asm__ volatile("clts");
	check("CLTS clears TS only", read_cr0() == ((was & ~(word)CR0_TS) | CR0_EM));
	__asm__ volatile("lmsw %w0" : : "r"(0));
	check("LMSW cannot clear PE", read_cr0() & CR0_PE);
	memory = (u16)(was | CR0_MP);
	__asm__ volatile("lmsw %0" : : "m"(memory));
	check("LMSW from memory", read_cr0() & CR0_MP);
	write_cr0(was);
}

static void cr8_and_cr2(void)
{
	unsigned wrong = 0;

	for (word i = 0; i < 16; i++) {
		write_cr8(i);
		cpuid(0, 0);
		wrong += read_cr8() != i;
	}
	write_cr8(0);
	check_equal("CR8 keeps 0 to 15 over exits", wrong, 0);
	if (on_tcg())
		tolerate(NO_VECTOR, 0); /* it cuts it */
	expect("#GP by CR8 = 16", load_cr8, (void *)16, V_GP, 0);
	write_cr8(0);
	write_cr2(0x123456789abcdef0);
	cpuid(0, 0);
	inb(PORT_COM1 + 7);
	check_equal("CR2 is kept over exits", read_cr2(), 0x123456789abcdef0);
}

/* CR moves to and from every register, the two with odd encodings among them. */
#define VIA(reg)                                                                                                         \
	do {                                                                                                             \
		word got;                                                                                                \
		__asm__ volatile("movq %%cr4, %%" #reg "\nmovq %%" #reg ", %%cr4\nmovq %%cr4, %%" #reg "\nmovq %%" #reg ", %0" \
		                 : "=m"(got) : : #reg, "memory");                                                        \
		wrong += got != want;                                                                                    \
	} while (0)

static void registers(void)
{
	word want = read_cr4();
	unsigned wrong = 0;

	VIA(rax);
	VIA(rbx);
	VIA(rcx);
	VIA(rdx);
	VIA(rsi);
	VIA(rdi);
	VIA(r8);
	VIA(r9);
	VIA(r10);
	VIA(r11);
	VIA(r12);
	VIA(r13);
	VIA(r14);
	VIA(r15);
	check_equal("CR4 by every register", wrong, 0);
}

GUEST(cr)
{
	cr0_bits();
	cr4_bits();
	short_ways();
	cr8_and_cr2();
	registers();
}
