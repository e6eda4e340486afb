/*
 * emulate: decode, dispatch, commit. The decoder is Zydis (its tables, no libc); everything after it is ours.
 */
#include "monitor/emulate_internal.h"
#include "monitor/lib/bits.h"
#include "monitor/lib/string.h"

#define INSTRUCTION_MAX 15u

struct row {
	ZydisMnemonic mnemonic;
	emulate_handler handler;
	u32 what;
};

static const struct row rows[] = {
	{ ZYDIS_MNEMONIC_MOV, emulate_move, 0 },
	{ ZYDIS_MNEMONIC_MOVZX, emulate_move, 0 },
	{ ZYDIS_MNEMONIC_MOVNTI, emulate_move, 0 },
	{ ZYDIS_MNEMONIC_MOVSX, emulate_move_signed, 0 },
	{ ZYDIS_MNEMONIC_MOVSXD, emulate_move_signed, 0 },
	{ ZYDIS_MNEMONIC_MOVBE, emulate_move_swapped, 0 },
	{ ZYDIS_MNEMONIC_ADD, emulate_alu_two, ALU_ADD },
	{ ZYDIS_MNEMONIC_OR, emulate_alu_two, ALU_OR },
	{ ZYDIS_MNEMONIC_ADC, emulate_alu_two, ALU_ADC },
	{ ZYDIS_MNEMONIC_SBB, emulate_alu_two, ALU_SBB },
	{ ZYDIS_MNEMONIC_AND, emulate_alu_two, ALU_AND },
	{ ZYDIS_MNEMONIC_SUB, emulate_alu_two, ALU_SUB },
	{ ZYDIS_MNEMONIC_XOR, emulate_alu_two, ALU_XOR },
	{ ZYDIS_MNEMONIC_CMP, emulate_alu_two, ALU_CMP },
	{ ZYDIS_MNEMONIC_TEST, emulate_alu_two, ALU_TEST },
	{ ZYDIS_MNEMONIC_INC, emulate_alu_one, ALU_INC },
	{ ZYDIS_MNEMONIC_DEC, emulate_alu_one, ALU_DEC },
	{ ZYDIS_MNEMONIC_NEG, emulate_alu_one, ALU_NEG },
	{ ZYDIS_MNEMONIC_NOT, emulate_alu_one, ALU_NOT },
	{ ZYDIS_MNEMONIC_XCHG, emulate_exchange, 0 },
	{ ZYDIS_MNEMONIC_XADD, emulate_exchange_add, 0 },
	{ ZYDIS_MNEMONIC_CMPXCHG, emulate_compare_exchange, 0 },
	{ ZYDIS_MNEMONIC_CMPXCHG8B, emulate_compare_exchange_8, 0 },
	{ ZYDIS_MNEMONIC_BT, emulate_bit, BIT_TEST },
	{ ZYDIS_MNEMONIC_BTS, emulate_bit, BIT_SET },
	{ ZYDIS_MNEMONIC_BTR, emulate_bit, BIT_RESET },
	{ ZYDIS_MNEMONIC_BTC, emulate_bit, BIT_COMPLEMENT },
	{ ZYDIS_MNEMONIC_PUSH, emulate_push, 0 },
	{ ZYDIS_MNEMONIC_POP, emulate_pop, 0 },
	{ ZYDIS_MNEMONIC_CLFLUSH, emulate_nothing, 0 },
	{ ZYDIS_MNEMONIC_CLFLUSHOPT, emulate_nothing, 0 },
	{ ZYDIS_MNEMONIC_CLWB, emulate_nothing, 0 },
	{ ZYDIS_MNEMONIC_IN, emulate_in, 0 },
	{ ZYDIS_MNEMONIC_OUT, emulate_out, 0 },
	{ ZYDIS_MNEMONIC_INSB, emulate_string, STRING_INS },
	{ ZYDIS_MNEMONIC_INSW, emulate_string, STRING_INS },
	{ ZYDIS_MNEMONIC_INSD, emulate_string, STRING_INS },
	{ ZYDIS_MNEMONIC_OUTSB, emulate_string, STRING_OUTS },
	{ ZYDIS_MNEMONIC_OUTSW, emulate_string, STRING_OUTS },
	{ ZYDIS_MNEMONIC_OUTSD, emulate_string, STRING_OUTS },
	{ ZYDIS_MNEMONIC_MOVSB, emulate_string, STRING_MOVS },
	{ ZYDIS_MNEMONIC_MOVSW, emulate_string, STRING_MOVS },
	{ ZYDIS_MNEMONIC_MOVSD, emulate_string, STRING_MOVS },
	{ ZYDIS_MNEMONIC_MOVSQ, emulate_string, STRING_MOVS },
	{ ZYDIS_MNEMONIC_STOSB, emulate_string, STRING_STOS },
	{ ZYDIS_MNEMONIC_STOSW, emulate_string, STRING_STOS },
	{ ZYDIS_MNEMONIC_STOSD, emulate_string, STRING_STOS },
	{ ZYDIS_MNEMONIC_STOSQ, emulate_string, STRING_STOS },
	{ ZYDIS_MNEMONIC_LODSB, emulate_string, STRING_LODS },
	{ ZYDIS_MNEMONIC_LODSW, emulate_string, STRING_LODS },
	{ ZYDIS_MNEMONIC_LODSD, emulate_string, STRING_LODS },
	{ ZYDIS_MNEMONIC_LODSQ, emulate_string, STRING_LODS },
	{ ZYDIS_MNEMONIC_CMPSB, emulate_string, STRING_CMPS },
	{ ZYDIS_MNEMONIC_CMPSW, emulate_string, STRING_CMPS },
	{ ZYDIS_MNEMONIC_CMPSD, emulate_string, STRING_CMPS },
	{ ZYDIS_MNEMONIC_CMPSQ, emulate_string, STRING_CMPS },
	{ ZYDIS_MNEMONIC_SCASB, emulate_string, STRING_SCAS },
	{ ZYDIS_MNEMONIC_SCASW, emulate_string, STRING_SCAS },
	{ ZYDIS_MNEMONIC_SCASD, emulate_string, STRING_SCAS },
	{ ZYDIS_MNEMONIC_SCASQ, emulate_string, STRING_SCAS },
};

/* CMOVcc and SETcc are rows of sixteen opcodes behind 0F. */
#define OPCODE_ROW_CMOV 0x4u
#define OPCODE_ROW_SET  0x9u

static emulate_handler handler_of(const ZydisDecodedInstruction *insn, u32 *what)
{
	*what = 0;
	if (insn->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
		return NULL;
	if (insn->opcode_map == ZYDIS_OPCODE_MAP_0F && insn->opcode >> 4 == OPCODE_ROW_CMOV)
		return emulate_move_condition;
	if (insn->opcode_map == ZYDIS_OPCODE_MAP_0F && insn->opcode >> 4 == OPCODE_ROW_SET)
		return emulate_set_condition;
	for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].mnemonic != insn->mnemonic)
			continue;
		*what = rows[i].what;
		return rows[i].handler;
	}
	return NULL;
}

/* ---- decoding ---- */

static bool start_decoder(const struct mon_vcpu *cpu, ZydisDecoder *d)
{
	bool protected = (cpu->cr0 & CR0_PE_BIT) && !(cpu->rflags & RFLAGS_VM);
	ZydisStackWidth stack = cpu->ss.attributes & SEGMENT_BIG ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_16;

	if (in_long_mode(cpu))
		return ZYAN_SUCCESS(ZydisDecoderInit(d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64));
	if (cpu->cs.attributes & SEGMENT_BIG)
		return ZYAN_SUCCESS(ZydisDecoderInit(d, ZYDIS_MACHINE_MODE_LEGACY_32, stack));
	return ZYAN_SUCCESS(ZydisDecoderInit(d, protected ? ZYDIS_MACHINE_MODE_LEGACY_16 : ZYDIS_MACHINE_MODE_REAL_16, stack));
}

static u64 code_address(const struct mon_vcpu *cpu, u64 rip)
{
	return in_long_mode(cpu) ? rip : (u32)(cpu->cs.base + rip);
}

/* Adds code up to the end of the next page, or of the longest instruction. */
static enum step fetch_more(struct emulation *e, u8 bytes[INSTRUCTION_MAX], u32 *length)
{
	u64 at = code_address(e->cpu, e->cpu->rip + *length);
	u64 room = PAGE_SIZE - (at & PAGE_MASK), wanted = INSTRUCTION_MAX - *length;
	u32 n = (u32)(wanted < room ? wanted : room);

	switch (e->ops->fetch(e->context, at, bytes + *length, n, e->fault)) {
	case EMULATE_ACCESS_DONE:
		*length += n;
		return STEP_OK;
	case EMULATE_ACCESS_FAULT:
		return STEP_FAULT;
	case EMULATE_ACCESS_DEVICE:
	case EMULATE_ACCESS_NOWHERE:
		break;
	}
	return STEP_UNKNOWN;
}

/*
 * SIB with base 101 and ModRM.mod 00: a displacement and no base, whatever REX.B says. With 32-bit addresses and REX.B Zydis 4.0.0
 * names R13D there, and no displacement.
 */
static void correct_operands(struct emulation *e)
{
	bool sib = e->insn.address_width != 16 && e->insn.raw.modrm.mod == 0 && e->insn.raw.modrm.rm == 4;

	for (u32 i = 0; i < e->insn.operand_count; i++) {
		ZydisDecodedOperand *op = &e->operand[i];

		if (!sib || op->encoding != ZYDIS_OPERAND_ENCODING_MODRM_RM || e->insn.raw.sib.base != 5)
			continue;
		op->mem.base = ZYDIS_REGISTER_NONE;
		op->mem.disp.value = e->insn.raw.disp.value;
	}
}

static enum step decode_instruction(struct emulation *e, const u8 *given, u32 length)
{
	u8 bytes[INSTRUCTION_MAX] = { 0 };
	ZydisDecoder decoder;
	ZyanStatus status;

	if (length > INSTRUCTION_MAX)
		length = INSTRUCTION_MAX;
	memcpy(bytes, given, length);
	if (!start_decoder(e->cpu, &decoder))
		return STEP_UNKNOWN;
	for (;;) {
		enum step step;

		status = length ? ZydisDecoderDecodeFull(&decoder, bytes, length, &e->insn, e->operand) : ZYDIS_STATUS_NO_MORE_DATA;
		if (status != ZYDIS_STATUS_NO_MORE_DATA || length == INSTRUCTION_MAX)
			break;
		step = fetch_more(e, bytes, &length);
		if (step != STEP_OK)
			return step;
	}
	if (!ZYAN_SUCCESS(status))
		return STEP_UNKNOWN;
	correct_operands(e);
	return STEP_OK;
}

/* RIP behind the instruction, as wide as the code segment counts. */
static u64 advanced(const struct emulation *e)
{
	u64 rip = e->cpu->rip + e->insn.length;

	if (in_long_mode(e->cpu))
		return rip;
	return e->cpu->cs.attributes & SEGMENT_BIG ? (u32)rip : (u16)rip;
}

/* ---- the whole ---- */

void emulation_commit(struct emulation *e)
{
	memcpy(e->cpu->gpr, e->gpr, sizeof(e->gpr));
	e->cpu->rflags = e->rflags;
}

static enum step carry_out(struct emulation *e, const u8 *bytes, u32 length)
{
	emulate_handler handler;
	enum step step = decode_instruction(e, bytes, length);
	u32 what;

	if (step != STEP_OK)
		return step;
	handler = handler_of(&e->insn, &what);
	if (!handler)
		return STEP_UNKNOWN;
	e->next_rip = advanced(e);
	return handler(e, what);
}

enum emulate_result emulate_instruction(const struct emulate_ops *ops, void *context, struct mon_vcpu *cpu, const u8 *bytes,
					u32 length, struct emulate_fault *fault)
{
	struct emulation e = { .ops = ops, .context = context, .cpu = cpu, .fault = fault, .rflags = cpu->rflags };

	memcpy(e.gpr, cpu->gpr, sizeof(e.gpr));
	*fault = (struct emulate_fault){ 0 };
	switch (carry_out(&e, bytes, length)) {
	case STEP_OK:
		break;
	case STEP_FAULT:
		return EMULATE_FAULT;
	case STEP_UNKNOWN:
		return EMULATE_UNKNOWN;
	case STEP_OTHER:
		return EMULATE_RETRY;
	}
	emulation_commit(&e);
	if (!e.unfinished)
		cpu->rip = e.next_rip;
	return EMULATE_DONE;
}
