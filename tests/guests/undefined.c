/*
 * undefined: 20,000 pieces of seeded random code at CPL 3, free to run until something stops them, and 20,000 single random
 * instructions at CPL 0. Whatever they do, they end in an exception or by the watchdog, and the machine is still there.
 *
 * At CPL 0 what would pull away the ground is left out (control registers, MSRs, HLT, I/O, far returns), operands are registers,
 * and TF stops after one instruction.
 */
#include "lib/guest.h"

#define CODE    0x200000000ull
#define SCRATCH 0x200010000ull
enum { TRIES = 20000, BYTES = 15, REGISTERS = 16, RSP = 4, RCX = 1, WATCHDOG = V_FREE, SOFT = 2, LOCK = 0xf0 };

static u8 *code_page;
static u32 counts[256];
static u64 state = 0x243f6a8885a308d3ull;

static u8 random_byte(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (u8)(state >> 24);
}

static volatile u32 beats;

static void on_beat(struct regs *r)
{
	beats++;
	lapic_eoi();
	if ((r->cs & 3) && beats > SOFT) {
		counts[WATCHDOG]++;
		unwind(r);
	}
}

/* MOV of an immediate to each register in turn, right in front of the random bytes. Returns where it begins. */
static u64 prologue(bool step)
{
	static const u8 set_tf[] = { 0x9c, 0x48, 0x81, 0x0c, 0x24, 0x00, 0x01, 0x00, 0x00, 0x9d }; /* PUSHFQ, OR, POPFQ */
	enum { LENGTH = 10 };
	u32 at = PAGE_SIZE - BYTES;

	if (step) {
		at -= (u32)sizeof set_tf;
		copy(code_page + at, set_tf, sizeof set_tf);
	}
	for (unsigned r = 0; r < REGISTERS; r++) {
		u64 value = r == RCX ? 3 : SCRATCH + 2048;
		at -= LENGTH;
		code_page[at] = r & 8 ? 0x49 : 0x48;
		code_page[at + 1] = (u8)(0xb8 | (r & 7));
		copy(code_page + at + 2, &value, sizeof value);
	}
	return CODE + at;
}

static void note(bool trapped)
{
	if (trapped && trap.vector < WATCHDOG)
		counts[trap.vector]++;
}

static void at_cpl3(void)
{
	for (unsigned i = 0; i < TRIES; i++) {
		u64 entry = prologue(false);

		for (unsigned b = 0; b < BYTES; b++)
			code_page[PAGE_SIZE - BYTES + b] = random_byte();
		beats = 0;
		note(guarded_user_at(SEL_UCODE, entry, SCRATCH + 2048, FLAG_IF));
	}
}

static bool is_prefix(u8 b)
{
	return b == 0x66 || b == 0x67 || b == LOCK || b == 0xf2 || b == 0xf3 || b == 0x2e || b == 0x36 || b == 0x3e || b == 0x26 ||
	       b == 0x64 || b == 0x65 || (b & 0xf0) == 0x40;
}

/* What CPL 0 must not try here. */
static bool is_spared(u8 op)
{
	static const u8 spared[] = { 0xf4, 0x9d, 0xcf, 0xca, 0xcb, 0x8e, 0xcd, 0xa0, 0xa1, 0xa2, 0xa3, 0xfb, 0x17, 0xc8 };

	for (unsigned i = 0; i < sizeof spared; i++)
		if (op == spared[i])
			return true;
	return (op >= 0xe4 && op <= 0xe7) || (op >= 0xec && op <= 0xef) || (op >= 0x6c && op <= 0x6f);
}

static bool is_spared_0f(u8 op)
{
	static const u8 spared[] = { 0x00, 0x01, 0x05, 0x07, 0x30, 0x34, 0x35, 0xb2, 0xb4, 0xb5, 0xa1, 0xa9, 0x08, 0x09 };

	for (unsigned i = 0; i < sizeof spared; i++)
		if (op == spared[i])
			return true;
	return op >= 0x20 && op <= 0x27;
}

static void random_instruction(u8 *b)
{
	unsigned at = 0;

	for (unsigned i = 0; i < BYTES; i++) {
		b[i] = random_byte();
		/* LOCK with register operands is #UD, but QEMU itself aborts on LOCK BTS of a register. */
		if (b[i] == LOCK)
			b[i] = 0x0b;
	}
	while (at < 4 && is_prefix(b[at]))
		at++;
	while (is_prefix(b[at]))
		b[at] = random_byte();
	if (random_byte() & 1)
		b[at] = 0x0f;
	while (b[at] != 0x0f && (is_spared(b[at]) || is_prefix(b[at])))
		b[at] = random_byte();
	if (b[at] == 0x0f)
		for (at++; is_spared_0f(b[at]);)
			b[at] = random_byte();
	/* Register operands, wherever the ModRM byte may be. */
	for (at++; at < BYTES; at++)
		b[at] |= 0xc0;
}

static void enter(void *arg)
{
	__asm__ volatile("jmp *%0" : : "r"(arg) : "memory");
}

static void at_cpl0(void)
{
	for (unsigned i = 0; i < TRIES; i++) {
		u64 entry = prologue(true);

		random_instruction(code_page + PAGE_SIZE - BYTES);
		note(guarded(enter, (void *)entry));
		/* What it may have left: segment bases, flags of CR0. */
		__asm__ volatile("clts; cld" : : : "memory");
	}
}

static u32 sum(void)
{
	u32 n = 0;

	for (unsigned v = 0; v < 256; v++)
		n += counts[v];
	return n;
}

static void report(const char *name)
{
	u32 n = sum();

	say("# #UD %u, #GP %u, #PF %u, #DB %u, #SS %u, watchdog %u\n", counts[V_UD], counts[V_GP], counts[V_PF], counts[V_DB],
	    counts[V_SS], counts[WATCHDOG]);
	check(name, n > TRIES - TRIES / 10 && n <= TRIES);
	fill(counts, 0, sizeof counts);
}

GUEST(undefined)
{
	code_page = page_alloc();
	map(CODE, (u64)code_page, PTE_P | PTE_W | PTE_U, 1);
	map(CODE + PAGE_SIZE, 0, 0, 1);
	map(SCRATCH, (u64)page_alloc(), PTE_P | PTE_W | PTE_U, 1);
	/* The stack may be anywhere when the exception comes. */
	for (unsigned v = 0; v < 256; v++)
		idt_set(v, stub_table[v], v == V_BP || v == V_OF ? 3 : 0, GATE_INTERRUPT, IST_SPARE);
	handlers[WATCHDOG] = on_beat;
	lapic_enable();
	lapic_write(APIC_DIVIDE, 0xb);
	lapic_write(APIC_TIMER, LVT_PERIODIC | WATCHDOG);
	protect_image(true); /* what runs at CPL 3 reaches its code and scratch only */
	lapic_write(APIC_TIMER_COUNT, 1000000);
	at_cpl3();
	lapic_write(APIC_TIMER_COUNT, 0);
	report("20000 pieces of random code at CPL 3 ended");
	protect_image(false);
	at_cpl0();
	report("20000 random instructions at CPL 0 ended");
}
