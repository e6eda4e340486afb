/*
 * emulate_data: instructions with at most one memory operand besides the stack. Each reads what it needs, writes its one destination,
 * and only then changes flags and registers in the working copy.
 */
#include "monitor/emulate_internal.h"

static const ZydisDecodedOperand *first(const struct emulation *e) { return &e->operand[0]; }
static const ZydisDecodedOperand *second(const struct emulation *e) { return &e->operand[1]; }

static enum step read_both(struct emulation *e, u64 *a, u64 *b)
{
	enum step step = operand_read(e, first(e), a);

	return step == STEP_OK ? operand_read(e, second(e), b) : step;
}

enum step emulate_nothing(struct emulation *e, u32 what)
{
	(void)e, (void)what;
	return STEP_OK;
}

/* MOV, MOVZX, MOVNTI */
enum step emulate_move(struct emulation *e, u32 what)
{
	u64 value;
	enum step step = operand_read(e, second(e), &value);

	(void)what;
	return step == STEP_OK ? operand_write(e, first(e), value) : step;
}

/* MOVSX, MOVSXD */
enum step emulate_move_signed(struct emulation *e, u32 what)
{
	u64 value;
	enum step step = operand_read(e, second(e), &value);

	(void)what;
	return step == STEP_OK ? operand_write(e, first(e), sign_extend(value, operand_bytes(second(e)))) : step;
}

/* MOVBE */
enum step emulate_move_swapped(struct emulation *e, u32 what)
{
	u64 value;
	enum step step = operand_read(e, second(e), &value);

	(void)what;
	if (step != STEP_OK)
		return step;
	return operand_write(e, first(e), __builtin_bswap64(value) >> (64 - 8 * operand_bytes(first(e))));
}

enum step emulate_alu_two(struct emulation *e, u32 what)
{
	u64 a, b, r, flags = e->rflags;
	enum step step = read_both(e, &a, &b);

	if (step != STEP_OK)
		return step;
	r = alu((enum alu)what, operand_bytes(first(e)), a, b, &flags);
	if (what != ALU_CMP && what != ALU_TEST)
		step = operand_write(e, first(e), r);
	if (step == STEP_OK)
		e->rflags = flags;
	return step;
}

enum step emulate_alu_one(struct emulation *e, u32 what)
{
	u64 a, r, flags = e->rflags;
	enum step step = operand_read(e, first(e), &a);

	if (step != STEP_OK)
		return step;
	r = alu((enum alu)what, operand_bytes(first(e)), a, 0, &flags);
	step = operand_write(e, first(e), r);
	if (step == STEP_OK)
		e->rflags = flags;
	return step;
}

/* The memory operand of XCHG and XADD is the one that can fail: it is written first. */
static enum step write_memory_first(struct emulation *e, u64 to_first, u64 to_second)
{
	bool second_is_memory = second(e)->type == ZYDIS_OPERAND_TYPE_MEMORY;
	enum step step;

	if (second_is_memory) {
		step = operand_write(e, second(e), to_second);
		return step == STEP_OK ? operand_write(e, first(e), to_first) : step;
	}
	/* XADD of a register with itself: the sum is what stays, so the first operand is written last of registers. */
	if (first(e)->type == ZYDIS_OPERAND_TYPE_REGISTER) {
		step = operand_write(e, second(e), to_second);
		return step == STEP_OK ? operand_write(e, first(e), to_first) : step;
	}
	step = operand_write(e, first(e), to_first);
	return step == STEP_OK ? operand_write(e, second(e), to_second) : step;
}

enum step emulate_exchange(struct emulation *e, u32 what)
{
	u64 a, b;
	enum step step = read_both(e, &a, &b);

	(void)what;
	return step == STEP_OK ? write_memory_first(e, b, a) : step;
}

enum step emulate_exchange_add(struct emulation *e, u32 what)
{
	u64 a, b, sum, flags = e->rflags;
	enum step step = read_both(e, &a, &b);

	(void)what;
	if (step != STEP_OK)
		return step;
	sum = alu(ALU_ADD, operand_bytes(first(e)), a, b, &flags);
	step = write_memory_first(e, sum, a);
	if (step == STEP_OK)
		e->rflags = flags;
	return step;
}

/* The destination is written in either case: with the source, or with what it held. */
enum step emulate_compare_exchange(struct emulation *e, u32 what)
{
	u32 size = operand_bytes(first(e));
	u64 old, source, flags = e->rflags;
	enum step step = read_both(e, &old, &source);

	(void)what;
	if (step != STEP_OK)
		return step;
	alu(ALU_CMP, size, e->gpr[MON_RAX], old, &flags);
	step = operand_write(e, first(e), flags & RFLAGS_ZF ? source : old);
	if (step != STEP_OK)
		return step;
	e->rflags = flags;
	if (!(flags & RFLAGS_ZF))
		register_write(e, MON_RAX, size, old);
	return STEP_OK;
}

/* CMPXCHG8B. The form with 16 bytes is none for devices. */
enum step emulate_compare_exchange_8(struct emulation *e, u32 what)
{
	u64 expected = e->gpr[MON_RDX] << 32 | (u32)e->gpr[MON_RAX];
	u64 source = e->gpr[MON_RCX] << 32 | (u32)e->gpr[MON_RBX], old;
	enum step step = operand_read(e, first(e), &old);

	(void)what;
	if (step == STEP_OK)
		step = operand_write(e, first(e), old == expected ? source : old);
	if (step != STEP_OK)
		return step;
	e->rflags = old == expected ? e->rflags | RFLAGS_ZF : e->rflags & ~RFLAGS_ZF;
	if (old != expected) {
		register_write(e, MON_RAX, 4, old);
		register_write(e, MON_RDX, 4, old >> 32);
	}
	return STEP_OK;
}

static u64 change_bit(enum bit_operation op, u64 value, u64 mask)
{
	switch (op) {
	case BIT_SET:        return value | mask;
	case BIT_RESET:      return value & ~mask;
	case BIT_COMPLEMENT: return value ^ mask;
	case BIT_TEST:       break;
	}
	return value;
}

/* With memory and a register, the register counts bits from the operand on, in both directions. */
enum step emulate_bit(struct emulation *e, u32 what)
{
	const ZydisDecodedOperand *op = first(e);
	u32 size = operand_bytes(op), bits = size * 8;
	ZydisDecodedOperand place = *op;
	u64 value, number;
	enum step step = operand_read(e, second(e), &number);

	if (step != STEP_OK)
		return step;
	if (op->type == ZYDIS_OPERAND_TYPE_MEMORY && second(e)->type == ZYDIS_OPERAND_TYPE_REGISTER) {
		s64 words = (s64)sign_extend(number, size) >> __builtin_ctz(bits);

		place.mem.disp.value = (s64)((u64)op->mem.disp.value + (u64)words * size);
	}
	step = operand_read(e, &place, &value);
	if (step != STEP_OK)
		return step;
	number &= bits - 1;
	if (what != BIT_TEST)
		step = operand_write(e, &place, change_bit((enum bit_operation)what, value, 1ull << number));
	if (step == STEP_OK)
		e->rflags = value >> number & 1 ? e->rflags | RFLAGS_CF : e->rflags & ~RFLAGS_CF;
	return step;
}

/* ---- the stack ---- */

static u32 stack_size(const struct emulation *e) { return e->insn.stack_width / 8u; }
static u64 stack_at(const struct emulation *e, u64 change) { return cut(e->gpr[MON_RSP] + change, stack_size(e)); }

/* RSP keeps what lies above the stack's width; of a 32-bit stack nothing does. */
static void stack_set(struct emulation *e, u64 at) { register_write(e, MON_RSP, stack_size(e), at); }

enum step emulate_push(struct emulation *e, u32 what)
{
	u32 size = e->insn.operand_width / 8u;
	u64 value, at = stack_at(e, 0ull - size);
	enum step step;

	(void)what;
	if (first(e)->type == ZYDIS_OPERAND_TYPE_REGISTER && operand_bytes(first(e)) != size)
		return STEP_UNKNOWN; /* a segment register */
	step = operand_read(e, first(e), &value);
	if (step == STEP_OK)
		step = memory_write(e, ZYDIS_REGISTER_SS, at, size, value);
	if (step == STEP_OK)
		stack_set(e, at);
	return step;
}

/* The destination's address is computed with RSP already moved. */
enum step emulate_pop(struct emulation *e, u32 what)
{
	u32 size = e->insn.operand_width / 8u;
	u64 value;
	enum step step = memory_read(e, ZYDIS_REGISTER_SS, stack_at(e, 0), size, &value);

	(void)what;
	if (step != STEP_OK)
		return step;
	stack_set(e, stack_at(e, size));
	return operand_write(e, first(e), value); /* a fault commits nothing, RSP neither */
}

/* ---- conditions: the low four bits of the opcode ---- */

enum step emulate_set_condition(struct emulation *e, u32 what)
{
	(void)what;
	return operand_write(e, first(e), condition(e->insn.opcode & 0xf, e->rflags));
}

enum step emulate_move_condition(struct emulation *e, u32 what)
{
	u64 old, new;
	enum step step = read_both(e, &old, &new);

	(void)what;
	if (step != STEP_OK)
		return step;
	return operand_write(e, first(e), condition(e->insn.opcode & 0xf, e->rflags) ? new : old);
}
