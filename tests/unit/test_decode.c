/*
 * test_decode: ring 0's decoder by the manual, cut short everywhere, and against Zydis on made-up bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fuzz/compare_zydis.h"

#define COMPARISONS 300000u

static enum decode_result decode_text(const char *bytes, u32 length, enum decode_mode mode, struct insn *i)
{
	return decode((const u8 *)bytes, length, mode, i);
}
#define DECODE(bytes, mode, i) decode_text(bytes, sizeof(bytes) - 1, mode, i)

static void test_exits(void **unused)
{
	static const struct { const char *bytes; u32 length; u8 id; } known[] = {
		{ "\x0f\xa2", 2, INSN_CPUID }, { "\x0f\x30", 2, INSN_WRMSR }, { "\x0f\x32", 2, INSN_RDMSR }, { "\xf4", 1, INSN_HLT },
		{ "\xf3\x90", 2, INSN_PAUSE }, { "\x0f\x01\xd1", 3, INSN_XSETBV }, { "\x0f\x08", 2, INSN_INVD },
		{ "\x0f\x09", 2, INSN_WBINVD }, { "\x0f\x01\xd9", 3, INSN_VMMCALL }, { "\xf3\x0f\x01\xd9", 4, INSN_VMMCALL }, { "\xf2\x0f\x01\xd9", 4, INSN_VMMCALL }, /* VMGEXIT */
		{ "\x66\x0f\x01\xd9", 4, INSN_VMMCALL }, { "\x0f\x20\xc0", 3, INSN_MOV_FROM_CR },
		{ "\x0f\x22\xd8", 3, INSN_MOV_TO_CR }, { "\x48\x0f\xa2", 3, INSN_CPUID },
		{ "\x66\x67\x2e\x0f\xa2", 5, INSN_CPUID },
	};
	struct insn i;

	(void)unused;
	for (u32 k = 0; k < sizeof(known) / sizeof(known[0]); k++) {
		assert_int_equal(decode_text(known[k].bytes, known[k].length, DECODE_64, &i), DECODE_OK);
		assert_int_equal(i.id, known[k].id);
		assert_int_equal(i.length, known[k].length);
	}
}

static void test_operands(void **unused)
{
	u64 gpr[16] = { 0 };
	struct insn i;

	(void)unused;
	assert_int_equal(DECODE("\x44\x0f\x22\xc0", DECODE_64, &i), DECODE_OK); /* mov cr8,rax */
	assert_int_equal(i.reg, 8);
	assert_int_equal(i.operand_size, 8);
	assert_int_equal(DECODE("\x0f\x22\x18", DECODE_32, &i), DECODE_OK); /* ModRM.mod does not matter */
	assert_int_equal(i.reg, 3);
	assert_false(i.memory);
	assert_int_equal(i.operand_size, 4);
	assert_int_equal(DECODE("\x8b\x84\x8b\xf0\xff\xff\xff", DECODE_64, &i), DECODE_OK); /* mov eax,[rbx+rcx*4-16] */
	gpr[3] = 0xfee00000;
	gpr[1] = 0x24;
	assert_int_equal(insn_offset(&i, gpr, 0), 0xfee00080);
	assert_int_equal(i.memory_size, 4);
	assert_int_equal(DECODE("\xa1\x30\x00\xe0\xfe\x00\x00\x00\x00", DECODE_64, &i), DECODE_OK);
	assert_int_equal(insn_offset(&i, gpr, 0), 0xfee00030);
	assert_int_equal(DECODE("\x89\x05\x10\x00\x00\x00", DECODE_64, &i), DECODE_OK); /* mov [rip+16],eax */
	assert_int_equal(insn_offset(&i, gpr, 0x1000), 0x1016);
	assert_int_equal(DECODE("\x67\x8b\x43\xff", DECODE_64, &i), DECODE_OK); /* [ebx-1] */
	gpr[3] = 0x100000000ull;
	assert_int_equal(insn_offset(&i, gpr, 0), 0xffffffff);
	assert_int_equal(DECODE("\x8b\x42\x10", DECODE_16, &i), DECODE_OK); /* mov ax,[bp+si+16] */
	gpr[5] = 0xfff8;
	gpr[6] = 0x10000;
	assert_int_equal(insn_offset(&i, gpr, 0), 8);
	assert_int_equal(i.segment, INSN_SS);
	assert_int_equal(i.operand_size, 2);
	assert_int_equal(DECODE("\x65\xc7\x00\x78\x56\x34\xf2", DECODE_64, &i), DECODE_OK);
	assert_int_equal(i.id, INSN_STORE);
	assert_int_equal(i.segment, INSN_GS);
	assert_int_equal(i.immediate, 0xf2345678);
	assert_int_equal(DECODE("\x48\xc7\x00\x78\x56\x34\xf2", DECODE_64, &i), DECODE_OK);
	assert_int_equal(i.immediate, 0xfffffffff2345678);
	assert_int_equal(DECODE("\x0f\xbe\x00", DECODE_64, &i), DECODE_OK);
	assert_int_equal(i.memory_size, 1);
	assert_int_equal(i.operand_size, 4);
}

static void test_registers(void **unused)
{
	u64 gpr[16] = { 0x1122334455667788, 0, 0, 0, 0x99 };
	struct insn i;

	(void)unused;
	assert_int_equal(DECODE("\x88\x21", DECODE_64, &i), DECODE_OK); /* mov [rcx],ah */
	assert_int_equal(insn_get(&i, gpr, i.reg, 1), 0x77);
	insn_set(&i, gpr, i.reg, 1, 0xab);
	assert_int_equal(gpr[0], 0x112233445566ab88);
	assert_int_equal(DECODE("\x40\x88\x21", DECODE_64, &i), DECODE_OK); /* mov [rcx],spl */
	assert_int_equal(insn_get(&i, gpr, i.reg, 1), 0x99);
	insn_set(&i, gpr, 0, 2, 0x12345);
	assert_int_equal(gpr[0], 0x1122334455662345);
	insn_set(&i, gpr, 0, 4, 0xfffffffff);
	assert_int_equal(gpr[0], 0xffffffff);
	insn_set(&i, gpr, 0, 8, ~0ull);
	assert_int_equal(gpr[0], ~0ull);
}

static void test_refusals(void **unused)
{
	struct insn i;

	(void)unused;
	assert_int_equal(DECODE("\xf0\x0f\xa2", DECODE_64, &i), DECODE_INVALID);     /* lock cpuid */
	assert_int_equal(DECODE("\xf0\x89\x00", DECODE_64, &i), DECODE_INVALID);     /* lock mov */
	assert_int_equal(DECODE("\x0f\x22\xc8", DECODE_64, &i), DECODE_INVALID);     /* CR1 */
	assert_int_equal(DECODE("\x90", DECODE_64, &i), DECODE_NOT_MINE);
	assert_int_equal(DECODE("\xf3\x41\x90", DECODE_64, &i), DECODE_NOT_MINE);    /* xchg r8,rax */
	assert_int_equal(DECODE("\x01\x00", DECODE_64, &i), DECODE_NOT_MINE);
	assert_int_equal(DECODE("\xf0\x87\x01", DECODE_64, &i), DECODE_NOT_MINE);    /* lock xchg */
	assert_int_equal(DECODE("\x0f\x01\x38", DECODE_64, &i), DECODE_NOT_MINE);    /* invlpg */
	assert_int_equal(DECODE("\xc7\xf8\x00\x00\x00\x00", DECODE_64, &i), DECODE_NOT_MINE); /* xbegin */
	assert_int_equal(DECODE("\x0f\x01\xca", DECODE_64, &i), DECODE_NOT_MINE);    /* clac */
	assert_int_equal(DECODE("\xf3\x0f\x01\xd1", DECODE_64, &i), DECODE_NOT_MINE);/* no xsetbv */
	assert_int_equal(DECODE("", DECODE_64, &i), DECODE_MORE);
	/* fifteen bytes are an instruction, sixteen are not */
	assert_int_equal(DECODE("\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x0f\xa2", DECODE_64, &i), DECODE_OK);
	assert_int_equal(DECODE("\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x0f\xa2", DECODE_64, &i), DECODE_TOO_LONG);
	assert_int_equal(DECODE("\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\xc7\x05\x00\x00\x00\x00\x00\x00", DECODE_64, &i), DECODE_TOO_LONG);
}

/* ---- made-up bytes ---- */

static u64 seed = 88172645463325252ull;

static u32 random32(void) /* xorshift */
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (u32)(seed >> 32);
}

static u32 make(u8 bytes[24])
{
	static const u8 prefixes[] = { 0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x2e, 0x64, 0x40, 0x48, 0x41, 0x44, 0x36 };
	static const u8 one[] = { 0x88, 0x89, 0x8a, 0x8b, 0x90, 0xa0, 0xa1, 0xa2, 0xa3, 0xc6, 0xc7, 0xf4 };
	static const u8 two[] = { 0x01, 0x08, 0x09, 0x20, 0x22, 0x30, 0x32, 0xa2, 0xb6, 0xb7, 0xbe, 0xbf };
	u32 n = 0;

	for (u32 k = random32() % 4; k; k--)
		bytes[n++] = prefixes[random32() % sizeof(prefixes)];
	if (random32() % 2) {
		bytes[n++] = 0x0f;
		bytes[n++] = random32() % 8 ? two[random32() % sizeof(two)] : (u8)random32();
	} else {
		bytes[n++] = random32() % 8 ? one[random32() % sizeof(one)] : (u8)random32();
	}
	while (n < 24)
		bytes[n++] = (u8)random32();
	return 1 + random32() % 20;
}

/* On the heap and exactly as long as told: the sanitizer sees a read past the end. */
static void test_agrees_with_zydis(void **unused)
{
	u32 known_total = 0;

	(void)unused;
	for (u32 k = 0; k < COMPARISONS; k++) {
		u8 made[24], *bytes;
		u32 length = make(made);
		const char *difference;
		bool known;

		bytes = malloc(length);
		assert_non_null(bytes);
		memcpy(bytes, made, length);
		difference = compare_zydis(bytes, length, (enum decode_mode)(random32() % 3), &known);
		if (difference)
			fail_msg("%s: %02x %02x %02x %02x %02x %02x", difference, made[0], made[1], made[2], made[3], made[4], made[5]);
		known_total += known;
		free(bytes);
	}
	assert_true(known_total > COMPARISONS / 4);
}

static void test_cut_short(void **unused)
{
	(void)unused;
	for (u32 k = 0; k < COMPARISONS / 10; k++) {
		enum decode_mode mode = (enum decode_mode)(random32() % 3);
		u8 bytes[24];
		struct insn i, cut;

		make(bytes);
		if (decode(bytes, INSN_MAX_BYTES, mode, &i) != DECODE_OK)
			continue;
		for (u32 n = 0; n < i.length; n++)
			assert_int_equal(decode(bytes, n, mode, &cut), DECODE_MORE);
		assert_int_equal(decode(bytes, i.length, mode, &cut), DECODE_OK);
		assert_memory_equal(&cut, &i, sizeof(i));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exits), cmocka_unit_test(test_operands), cmocka_unit_test(test_registers),
		cmocka_unit_test(test_refusals), cmocka_unit_test(test_agrees_with_zydis), cmocka_unit_test(test_cut_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
