/*
 * test_emulate_native: the instruction emulator against the processor that runs this test: a random instruction of a template, random
 * registers, flags and memory. It is executed natively (a small generated function loads every register, executes it, stores every register)
 * on memory at DATA, and emulated on a copy. Registers, memory and the flags that the instruction defines must agree.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/emulate_native.h"

#define ROUNDS 400u

/* ---- random instructions ---- */
enum template_flags { T_0F = 1, T_IMM8 = 2, T_IMM_FULL = 4, T_LOCK = 8, T_GROUP = 16, T_STRING = 32, T_BYTE = 64, T_BIT = 128, T_REP_COMPARE = 256,
		      T_NO_MODRM = 512, T_0F38 = 1024, T_NO_66 = 2048 };

struct template { u8 opcode; u8 group; u32 flags; const char *name; };

static const struct template templates[] = {
	{ 0x88, 0, T_BYTE, "mov m8,r8" }, { 0x89, 0, 0, "mov m,r" }, { 0x8a, 0, T_BYTE, "mov r8,m8" }, { 0x8b, 0, 0, "mov r,m" },
	{ 0xc6, 0, T_BYTE | T_IMM8 | T_GROUP, "mov m8,i" }, { 0xc7, 0, T_IMM_FULL | T_GROUP, "mov m,i" },
	{ 0xb6, 0, T_0F, "movzx 8" }, { 0xb7, 0, T_0F, "movzx 16" }, { 0xbe, 0, T_0F, "movsx 8" }, { 0xbf, 0, T_0F, "movsx 16" },
	{ 0x63, 0, 0, "movsxd" }, { 0xc3, 0, T_0F | T_NO_66, "movnti" },
	{ 0x00, 0, T_BYTE | T_LOCK, "add m8" }, { 0x01, 0, T_LOCK, "add m" }, { 0x02, 0, T_BYTE, "add r8" }, { 0x03, 0, 0, "add r" },
	{ 0x08, 0, T_BYTE | T_LOCK, "or m8" }, { 0x09, 0, T_LOCK, "or m" }, { 0x0b, 0, 0, "or r" },
	{ 0x10, 0, T_BYTE | T_LOCK, "adc m8" }, { 0x11, 0, T_LOCK, "adc m" }, { 0x13, 0, 0, "adc r" },
	{ 0x18, 0, T_BYTE | T_LOCK, "sbb m8" }, { 0x19, 0, T_LOCK, "sbb m" }, { 0x1b, 0, 0, "sbb r" },
	{ 0x20, 0, T_BYTE | T_LOCK, "and m8" }, { 0x21, 0, T_LOCK, "and m" }, { 0x23, 0, 0, "and r" },
	{ 0x28, 0, T_BYTE | T_LOCK, "sub m8" }, { 0x29, 0, T_LOCK, "sub m" }, { 0x2b, 0, 0, "sub r" },
	{ 0x30, 0, T_BYTE | T_LOCK, "xor m8" }, { 0x31, 0, T_LOCK, "xor m" }, { 0x33, 0, 0, "xor r" },
	{ 0x38, 0, T_BYTE, "cmp m8" }, { 0x39, 0, 0, "cmp m" }, { 0x3a, 0, T_BYTE, "cmp r8" }, { 0x3b, 0, 0, "cmp r" },
	{ 0x84, 0, T_BYTE, "test m8" }, { 0x85, 0, 0, "test m" },
	{ 0x80, 0, T_BYTE | T_IMM8 | T_GROUP, "add m8,i" }, { 0x80, 3, T_BYTE | T_IMM8 | T_GROUP, "sbb m8,i" },
	{ 0x80, 7, T_BYTE | T_IMM8 | T_GROUP, "cmp m8,i" }, { 0x81, 1, T_IMM_FULL | T_GROUP, "or m,i" },
	{ 0x81, 2, T_IMM_FULL | T_GROUP, "adc m,i" }, { 0x81, 5, T_IMM_FULL | T_GROUP, "sub m,i" }, { 0x81, 7, T_IMM_FULL | T_GROUP, "cmp m,i" },
	{ 0x83, 0, T_IMM8 | T_GROUP, "add m,i8" }, { 0x83, 4, T_IMM8 | T_GROUP, "and m,i8" }, { 0x83, 6, T_IMM8 | T_GROUP, "xor m,i8" },
	{ 0xf6, 0, T_BYTE | T_IMM8 | T_GROUP, "test m8,i" }, { 0xf7, 0, T_IMM_FULL | T_GROUP, "test m,i" },
	{ 0xf6, 2, T_BYTE | T_GROUP, "not m8" }, { 0xf7, 2, T_GROUP, "not m" }, { 0xf6, 3, T_BYTE | T_GROUP, "neg m8" }, { 0xf7, 3, T_GROUP, "neg m" },
	{ 0xfe, 0, T_BYTE | T_GROUP | T_LOCK, "inc m8" }, { 0xff, 0, T_GROUP, "inc m" }, { 0xfe, 1, T_BYTE | T_GROUP, "dec m8" },
	{ 0xff, 1, T_GROUP | T_LOCK, "dec m" },
	{ 0x86, 0, T_BYTE, "xchg 8" }, { 0x87, 0, T_LOCK, "xchg" },
	{ 0xc0, 0, T_0F | T_BYTE | T_LOCK, "xadd 8" }, { 0xc1, 0, T_0F | T_LOCK, "xadd" },
	{ 0xb0, 0, T_0F | T_BYTE | T_LOCK, "cmpxchg 8" }, { 0xb1, 0, T_0F | T_LOCK, "cmpxchg" },
	{ 0xc7, 1, T_0F | T_GROUP | T_NO_66, "cmpxchg8b" },
	{ 0xa3, 0, T_0F | T_BIT, "bt" }, { 0xab, 0, T_0F | T_BIT | T_LOCK, "bts" }, { 0xb3, 0, T_0F | T_BIT, "btr" }, { 0xbb, 0, T_0F | T_BIT, "btc" },
	{ 0xba, 4, T_0F | T_GROUP | T_IMM8, "bt i" }, { 0xba, 5, T_0F | T_GROUP | T_IMM8 | T_LOCK, "bts i" },
	{ 0xba, 6, T_0F | T_GROUP | T_IMM8, "btr i" }, { 0xba, 7, T_0F | T_GROUP | T_IMM8, "btc i" },
	{ 0xff, 6, T_GROUP, "push m" }, { 0x8f, 0, T_GROUP, "pop m" },
	{ 0x50, 0, T_NO_MODRM, "push rax" }, { 0x54, 0, T_NO_MODRM, "push rsp" }, { 0x5d, 0, T_NO_MODRM, "pop rbp" },
	{ 0x5c, 0, T_NO_MODRM, "pop rsp" }, { 0x6a, 0, T_NO_MODRM | T_IMM8, "push i8" }, { 0x68, 0, T_NO_MODRM | T_IMM_FULL, "push i" },
	{ 0x92, 0, T_0F | T_GROUP, "setb" }, { 0x96, 0, T_0F | T_GROUP, "setbe" }, { 0x9d, 0, T_0F | T_GROUP, "setge" }, { 0x9e, 0, T_0F | T_GROUP, "setle" },
	{ 0x90, 0, T_0F | T_GROUP, "seto" }, { 0x9b, 0, T_0F | T_GROUP, "setnp" }, { 0x98, 0, T_0F | T_GROUP, "sets" }, { 0x95, 0, T_0F | T_GROUP, "setnz" },
	{ 0x47, 0, T_0F, "cmova" }, { 0x4c, 0, T_0F, "cmovl" },
	{ 0xf0, 0, T_0F38, "movbe r" }, { 0xf1, 0, T_0F38, "movbe m" },
	{ 0xa4, 0, T_STRING | T_BYTE, "movsb" }, { 0xa5, 0, T_STRING, "movs" }, { 0xaa, 0, T_STRING | T_BYTE, "stosb" }, { 0xab, 0, T_STRING, "stos" },
	{ 0xac, 0, T_STRING | T_BYTE, "lodsb" }, { 0xad, 0, T_STRING, "lods" },
	{ 0xa6, 0, T_STRING | T_BYTE | T_REP_COMPARE, "cmpsb" }, { 0xa7, 0, T_STRING | T_REP_COMPARE, "cmps" },
	{ 0xae, 0, T_STRING | T_BYTE | T_REP_COMPARE, "scasb" }, { 0xaf, 0, T_STRING | T_REP_COMPARE, "scas" },
};

/* RBX points into DATA, RCX is a small index; the ModRM forms used are [rbx], [rbx+d8], [rbx+rcx*s+d8], [rip-relative] is tested apart. */
static u32 put_modrm(u8 *to, u32 reg)
{
	switch (below(3)) {
	case 0:
		to[0] = (u8)(reg << 3 | 3);
		return 1;
	case 1:
		to[0] = (u8)(0x40 | reg << 3 | 3);
		to[1] = (u8)random64();
		return 2;
	default:
		to[0] = (u8)(0x40 | reg << 3 | 4);
		to[1] = (u8)(below(4) << 6 | 1 << 3 | 3);
		to[2] = (u8)random64();
		return 3;
	}
}

static u32 make(const struct template *t, u8 *to, bool *address_32)
{
	static const u8 bit_numbers[] = { MON_RAX, MON_RDX, MON_RBP }; /* the others hold addresses */
	u32 n = 0, reg = t->flags & T_GROUP ? t->group : t->flags & T_BIT ? bit_numbers[below(3)] : below(8);
	bool wide = false, small = false, rex = below(2);

	*address_32 = below(4) == 0;
	if (*address_32)
		to[n++] = 0x67;
	if ((t->flags & T_LOCK) && below(3) == 0)
		to[n++] = 0xf0;
	if (!(t->flags & (T_BYTE | T_NO_66)) && below(3) == 0) {
		to[n++] = 0x66;
		small = true;
	}
	if ((t->flags & T_STRING) && below(3))
		to[n++] = (t->flags & T_REP_COMPARE) && below(2) ? 0xf2 : 0xf3;
	if (rex) {
		wide = below(2) && strcmp(t->name, "cmpxchg8b") != 0;
		to[n++] = (u8)(0x40 | (wide ? 8 : 0) | (!(t->flags & (T_GROUP | T_STRING)) && below(2) ? 4 : 0));
	}
	if (t->flags & (T_0F | T_0F38))
		to[n++] = 0x0f;
	if (t->flags & T_0F38)
		to[n++] = 0x38;
	to[n++] = t->opcode;
	if (!(t->flags & (T_STRING | T_NO_MODRM)))
		n += put_modrm(to + n, reg);
	for (u32 i = t->flags & T_IMM8 ? 1 : t->flags & T_IMM_FULL ? small && !wide ? 2 : 4 : 0; i; i--)
		to[n++] = (u8)random64();
	return n;
}

static const u64 corners[] = { 0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
			       0x7fffffffffffffff, 0x8000000000000000, ~0ull };

static void random_registers(const struct template *t, bool address_32)
{
	u64 high = address_32 ? random64() << 32 : 0;

	for (u32 r = 0; r < MON_GPRS; r++) {
		state->in[r] = below(3) ? random64() : corners[below(sizeof(corners) / sizeof(corners[0]))];
		if (t->flags & T_BIT) /* a bit number that stays near */
			state->in[r] = (u64)(s64)((s32)below(32768) - 16384);
	}
	state->in[MON_RBX] = high | (DATA + 0x4000 + below(0x100));
	state->in[MON_RSP] = DATA + 0x3000 + 8 * below(64);
	state->in[MON_RSI] = high | (DATA + 0x3000 + below(0x100));
	state->in[MON_RDI] = high | (DATA + 0x5000 + below(0x100));
	state->in[MON_RCX] = high | below(EMULATE_BATCH);
	state->in_flags = 2 | (random64() & (RFLAGS_STATUS | RFLAGS_DF));
}

/* Runs of equal elements make repeated comparisons go on for a while. */
static void random_memory(struct world *w)
{
	bool runs = below(2);
	u8 byte = (u8)random64();

	for (u32 i = 0; i < DATA_BYTES; i++)
		w->ram[i] = runs ? byte : (u8)random64();
	w->ram[0x3000 + below(0x200)] ^= 1;
	w->ram[0x5000 + below(0x200)] ^= 1;
	memcpy((void *)DATA, w->ram, DATA_BYTES);
}

static void compare_one(struct world *w, const struct template *t)
{
	u8 insn[16];
	bool address_32;
	u32 n = make(t, insn, &address_32);
	struct mon_vcpu c = { 0 };
	struct emulate_fault fault;
	u64 mask;

	random_registers(t, address_32);
	random_memory(w);
	set_mode(&c, 64);
	memcpy(c.gpr, state->in, sizeof(c.gpr));
	c.rflags = state->in_flags;
	execute(insn, n);
	if (emulate(w, &c, (const char *)insn, n, &fault) != EMULATE_DONE)
		fail_msg("%s: not carried out (byte %02x)", t->name, insn[0]);
	mask = (RFLAGS_STATUS | RFLAGS_DF) & ~undefined_flags(insn, n);
	for (u32 r = 0; r < MON_GPRS; r++)
		if (c.gpr[r] != state->out[r])
			fail_msg("%s: register %u is %lx, native %lx", t->name, r, c.gpr[r], state->out[r]);
	if ((c.rflags ^ state->out_flags) & mask)
		fail_msg("%s: flags are %lx, native %lx", t->name, c.rflags, state->out_flags);
	if (memcmp(w->ram, (void *)DATA, DATA_BYTES) != 0)
		fail_msg("%s: memory differs", t->name);
	assert_int_equal(c.rip, 0x1000 + n);
}

static void test_against_the_processor(void **unused)
{
	struct world *w = new_world();

	(void)unused;
	for (u32 i = 0; i < sizeof(templates) / sizeof(templates[0]); i++)
		for (u32 k = 0; k < ROUNDS; k++)
			compare_one(w, &templates[i]);
	free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_against_the_processor) };

	map_native();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
