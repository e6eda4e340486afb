/*
 * compare_zydis: what ring 0's decoder says of some bytes, against Zydis. Used by the unit test (random bytes) and the fuzzer.
 *
 * Wherever ours says that it knows an instruction, Zydis must know it, with the same length, sizes and operands. What Zydis refuses
 * ours may call anything but OK, except what `only_ours` names.
 */
#ifndef TESTS_FUZZ_COMPARE_ZYDIS_H
#define TESTS_FUZZ_COMPARE_ZYDIS_H

#include <stdlib.h>
#include <string.h>

#include <Zydis/Decoder.h>
#include <Zydis/Register.h>

#include "x86/decode.h"

struct compared_names { u8 id; ZydisMnemonic mnemonic; };

/* What Zydis calls each; a row of the decoder that is missing here is a failure. */
static const struct compared_names compared_names[] = {
	{ INSN_CPUID, ZYDIS_MNEMONIC_CPUID }, { INSN_RDMSR, ZYDIS_MNEMONIC_RDMSR }, { INSN_WRMSR, ZYDIS_MNEMONIC_WRMSR },
	{ INSN_HLT, ZYDIS_MNEMONIC_HLT }, { INSN_PAUSE, ZYDIS_MNEMONIC_PAUSE }, { INSN_XSETBV, ZYDIS_MNEMONIC_XSETBV },
	{ INSN_INVD, ZYDIS_MNEMONIC_INVD }, { INSN_WBINVD, ZYDIS_MNEMONIC_WBINVD }, { INSN_VMMCALL, ZYDIS_MNEMONIC_VMMCALL },
	{ INSN_MOV_FROM_CR, ZYDIS_MNEMONIC_MOV }, { INSN_MOV_TO_CR, ZYDIS_MNEMONIC_MOV }, { INSN_LOAD, ZYDIS_MNEMONIC_MOV },
	{ INSN_STORE, ZYDIS_MNEMONIC_MOV }, { INSN_LOAD_ZERO, ZYDIS_MNEMONIC_MOVZX }, { INSN_LOAD_SIGN, ZYDIS_MNEMONIC_MOVSX },
};

static inline bool compared_same_name(u8 id, ZydisMnemonic m)
{
	for (u32 i = 0; i < sizeof(compared_names) / sizeof(compared_names[0]); i++)
		if (compared_names[i].id == id)
			return m == compared_names[i].mnemonic;
	return false;
}

/* The number of a general register; AH..BH as 4..7 without REX, as the encoding has them. */
static inline u32 compared_number(ZydisRegister r)
{
	u32 id = (u32)ZydisRegisterGetId(r);

	if (ZydisRegisterGetClass(r) != ZYDIS_REGCLASS_GPR8)
		return r == ZYDIS_REGISTER_NONE ? INSN_NO_REGISTER : id;
	return id < 8 ? id : id - 4;
}

static inline const char *compared_memory(const struct insn *i, const ZydisDecodedOperand *op, bool sized)
{
	bool rip = op->mem.base == ZYDIS_REGISTER_RIP || op->mem.base == ZYDIS_REGISTER_EIP;

	if (!i->memory)
		return "one has memory, the other a register";
	if (sized && op->size != i->memory_size * 8)
		return "size of the memory operand";
	/* Zydis 4.0.0 errs on SIB without base, REX.B and 32-bit addresses: it names R13D, and no displacement. */
	bool theirs_errs = op->mem.base == ZYDIS_REGISTER_R13D && i->base == INSN_NO_REGISTER;

	if (i->rip != rip || (!rip && !theirs_errs && compared_number(op->mem.base) != i->base))
		return "base";
	if (compared_number(op->mem.index) != i->index)
		return "index";
	if (i->index != INSN_NO_REGISTER && op->mem.scale != 1u << i->shift)
		return "scale";
	if (!theirs_errs && ((u64)op->mem.disp.value ^ (u64)i->displacement) & (~0ull >> (64 - 8 * i->address_size)))
		return "displacement";
	if ((u32)(op->mem.segment - ZYDIS_REGISTER_ES) != i->segment)
		return "segment";
	return NULL;
}

static inline const char *compared_operand(const struct insn *i, const ZydisDecodedOperand *op, bool sized)
{
	switch (op->type) {
	case ZYDIS_OPERAND_TYPE_MEMORY:
		return compared_memory(i, op, sized);
	case ZYDIS_OPERAND_TYPE_REGISTER:
		if (op->encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG)
			return (u32)ZydisRegisterGetId(op->reg.value) == i->reg || compared_number(op->reg.value) == i->reg ? NULL : "reg";
		if (op->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM)
			return !i->memory && compared_number(op->reg.value) == i->rm ? NULL : "rm";
		return NULL;
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		if (!i->has_immediate)
			return "immediate not seen";
		return ((op->imm.value.u ^ i->immediate) & (~0ull >> (64 - 8 * i->operand_size))) == 0 ? NULL : "immediate";
	case ZYDIS_OPERAND_TYPE_UNUSED:
	case ZYDIS_OPERAND_TYPE_POINTER:
		break;
	}
	return NULL;
}

/* The moves: what the others have in memory is nobody's operand. */
static inline bool compared_sized(u8 id)
{
	return id == INSN_LOAD || id == INSN_STORE || id == INSN_LOAD_ZERO || id == INSN_LOAD_SIGN;
}

/* NULL if both agree; else what differs. *known: ours decoded it. */
static inline const char *compare_zydis(const u8 *bytes, u32 length, enum decode_mode mode, bool *known)
{
	static const ZydisMachineMode modes[] = { ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_MACHINE_MODE_LONG_64 };
	static const ZydisStackWidth stacks[] = { ZYDIS_STACK_WIDTH_16, ZYDIS_STACK_WIDTH_32, ZYDIS_STACK_WIDTH_64 };
	ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction z;
	ZydisDecoder decoder;
	struct insn i;
	enum decode_result ours = decode(bytes, length, mode, &i);
	ZyanStatus theirs;

	*known = ours == DECODE_OK;
	if (!ZYAN_SUCCESS(ZydisDecoderInit(&decoder, modes[mode], stacks[mode])))
		abort();
	theirs = length ? ZydisDecoderDecodeFull(&decoder, bytes, length, &z, operand) : ZYDIS_STATUS_NO_MORE_DATA;
	if (ours == DECODE_MORE && ZYAN_SUCCESS(theirs))
		return "ours wants more than there is in it";
	if (ours == DECODE_TOO_LONG && ZYAN_SUCCESS(theirs))
		return "too long for ours only";
	if (ours != DECODE_OK)
		return NULL;
	if (!ZYAN_SUCCESS(theirs))
		return "only ours knows it";
	if (z.length != i.length)
		return "length";
	if (!compared_same_name(i.id, z.mnemonic))
		return "name";
	if (i.memory && z.address_width != i.address_size * 8)
		return "address size";
	for (u32 k = 0; k < z.operand_count_visible; k++) {
		const char *difference = compared_operand(&i, &operand[k], compared_sized(i.id));

		if (difference)
			return difference;
	}
	return NULL;
}

#endif
