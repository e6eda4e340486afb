/*
 * emulate_internal: what the emulator's files share.
 *
 *   emulate.c         decode, dispatch by mnemonic, commit
 *   emulate_memory.c  operands: registers, addresses, segment checks, RAM and devices
 *   emulate_alu.c     arithmetic and its flags, pure
 *   emulate_data.c    moves, arithmetic on operands, bits, exchanges, the stack
 *   emulate_string.c  string instructions and port I/O
 *
 * A handler works on the copies in `struct emulation`; only emulation_commit changes the vCPU. So a fault half-way leaves it as it was.
 */
#ifndef MONITOR_EMULATE_INTERNAL_H
#define MONITOR_EMULATE_INTERNAL_H

#include "monitor/emulate.h"
#include <Zydis/Decoder.h>

enum step {
	STEP_OK,
	STEP_FAULT,   /* e->fault is filled */
	STEP_UNKNOWN, /* not among what is carried out here; nothing was changed */
	STEP_OTHER,   /* not the instruction that caused the exit; nothing was changed */
};

struct emulation {
	const struct emulate_ops *ops;
	void *context;
	struct mon_vcpu *cpu;
	struct emulate_fault *fault;
	u64 gpr[MON_GPRS], rflags; /* the state in the making */
	u64 next_rip;
	bool unfinished;           /* of a REP there is more to do: RIP stays */
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
};

enum { VECTOR_UD = 6, VECTOR_SS = 12, VECTOR_GP = 13, VECTOR_AC = 17 };

#define CR0_PE_BIT  (1ull << 0)
#define CR0_AM_BIT  (1ull << 18)
#define EFER_LMA_BIT (1ull << 10)
#define RFLAGS_CF   (1ull << 0)
#define RFLAGS_PF   (1ull << 2)
#define RFLAGS_AF   (1ull << 4)
#define RFLAGS_ZF   (1ull << 6)
#define RFLAGS_SF   (1ull << 7)
#define RFLAGS_TF   (1ull << 8)
#define RFLAGS_DF   (1ull << 10)
#define RFLAGS_OF   (1ull << 11)
#define RFLAGS_VM   (1ull << 17)
#define RFLAGS_AC   (1ull << 18)
#define RFLAGS_STATUS (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

#define SEGMENT_TYPE_CODE        0x008u
#define SEGMENT_TYPE_EXPAND_DOWN 0x004u /* data */
#define SEGMENT_TYPE_WRITABLE    0x002u /* data; of code: readable */
#define SEGMENT_PRESENT          0x080u
#define SEGMENT_LONG             0x200u
#define SEGMENT_BIG              0x400u

static inline u64 low_mask(u32 size) { return ~0ull >> (64 - 8 * size); }
static inline u64 cut(u64 v, u32 size) { return v & low_mask(size); }
static inline u64 top_bit(u32 size) { return 1ull << (8 * size - 1); }
static inline u64 sign_extend(u64 v, u32 size)
{
	return cut(v, size) & top_bit(size) ? v | ~low_mask(size) : cut(v, size);
}

/* ---- emulate_memory.c ---- */

bool in_long_mode(const struct mon_vcpu *cpu); /* 64-bit mode: CS.L */
enum step raise(struct emulation *e, u32 vector);

/* The linear address of `length` bytes at segment:offset, after the checks of the segment (rule 2). */
enum step linear_address(struct emulation *e, ZydisRegister segment, u64 offset, u32 length, bool write, u64 *gva);
enum step memory_read(struct emulation *e, ZydisRegister segment, u64 offset, u32 size, u64 *value);
enum step memory_write(struct emulation *e, ZydisRegister segment, u64 offset, u32 size, u64 value);

/* Offset in its segment of a memory operand. */
u64 operand_offset(const struct emulation *e, const ZydisDecodedOperand *op);
static inline u32 operand_bytes(const ZydisDecodedOperand *op) { return op->size / 8u; }
/* Registers (general and, for reading, segment), memory, immediates. An immediate comes sign-extended to 64 bits. */
enum step operand_read(struct emulation *e, const ZydisDecodedOperand *op, u64 *value);
enum step operand_write(struct emulation *e, const ZydisDecodedOperand *op, u64 value);

/* General register `number`, as one of `size` bytes: 4 clear the upper half, 1 and 2 leave the rest. */
void register_write(struct emulation *e, u32 number, u32 size, u64 value);

/* ---- emulate_alu.c ---- */

enum alu { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP, ALU_TEST, ALU_INC, ALU_DEC, ALU_NEG, ALU_NOT };

/* a OP b, cut to `size`; sets the status flags in *rflags as the processor does (undefined ones: cleared). */
u64 alu(enum alu op, u32 size, u64 a, u64 b, u64 *rflags);
/* Is condition `code` (low four bits of Jcc, SETcc, CMOVcc) true? */
bool condition(u32 code, u64 rflags);

/* ---- handlers: `what` comes from the dispatch table ---- */

typedef enum step (*emulate_handler)(struct emulation *e, u32 what);

enum step emulate_move(struct emulation *e, u32 what);
enum step emulate_move_signed(struct emulation *e, u32 what);
enum step emulate_move_swapped(struct emulation *e, u32 what);
enum step emulate_alu_two(struct emulation *e, u32 what);  /* what: enum alu */
enum step emulate_alu_one(struct emulation *e, u32 what);
enum step emulate_exchange(struct emulation *e, u32 what);
enum step emulate_exchange_add(struct emulation *e, u32 what);
enum step emulate_compare_exchange(struct emulation *e, u32 what);
enum step emulate_compare_exchange_8(struct emulation *e, u32 what);
enum bit_operation { BIT_TEST, BIT_SET, BIT_RESET, BIT_COMPLEMENT };
enum step emulate_bit(struct emulation *e, u32 what);      /* what: enum bit_operation */
enum step emulate_push(struct emulation *e, u32 what);
enum step emulate_pop(struct emulation *e, u32 what);
enum step emulate_set_condition(struct emulation *e, u32 what);
enum step emulate_move_condition(struct emulation *e, u32 what);
enum step emulate_nothing(struct emulation *e, u32 what);

enum string_operation { STRING_MOVS, STRING_STOS, STRING_LODS, STRING_CMPS, STRING_SCAS, STRING_INS, STRING_OUTS };
enum step emulate_string(struct emulation *e, u32 what);   /* what: enum string_operation */
enum step emulate_in(struct emulation *e, u32 what);
enum step emulate_out(struct emulation *e, u32 what);

/* What was done so far becomes the vCPU's state, RIP excepted. */
void emulation_commit(struct emulation *e);

#endif
