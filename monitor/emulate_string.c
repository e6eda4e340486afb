/*
 * emulate_string: MOVS STOS LODS CMPS SCAS INS OUTS, alone or repeated, and IN and OUT.
 *
 * Rules
 * 1. An iteration is whole or did not happen; each finished one is committed, so a fault leaves the vCPU between two of them.
 * 2. At most EMULATE_BATCH iterations a call: the rest is another exit, so that interrupts are taken in between. Under TF each traps.
 * 3. INS finds out that its destination can be written (by writing zeros there, which the data replaces) before it takes anything
 *    from the port: what a device gave is never lost in a page fault.
 * 4. Ports and RAM meet in pieces of up to EMULATE_ACCESS_MAX bytes where the run lies in one page and goes upwards.
 */
#include "monitor/emulate_internal.h"
#include "monitor/lib/string.h"

struct string {
	enum string_operation op;
	u32 size;         /* bytes of an element */
	u32 address_size;
	u64 step;         /* +size, or -size with DF */
	bool repeated, until_equal; /* REPNE of CMPS and SCAS */
	ZydisRegister source;       /* the segment of rSI */
};

static u64 rsi(const struct emulation *e, const struct string *s) { return cut(e->gpr[MON_RSI], s->address_size); }
static u64 rdi(const struct emulation *e, const struct string *s) { return cut(e->gpr[MON_RDI], s->address_size); }
static u64 rcx(const struct emulation *e, const struct string *s) { return cut(e->gpr[MON_RCX], s->address_size); }

static bool uses_rsi(enum string_operation op)
{
	return op == STRING_MOVS || op == STRING_LODS || op == STRING_CMPS || op == STRING_OUTS;
}

static bool uses_rdi(enum string_operation op)
{
	return op != STRING_LODS && op != STRING_OUTS;
}

static u16 port(const struct emulation *e) { return (u16)e->gpr[MON_RDX]; }

static enum step judge_port(const struct emulation *e, u64 at, u32 size, bool out)
{
	return !e->ops->port_judged || e->ops->port_judged(e->context, (u16)at, size, out) ? STEP_OK : STEP_OTHER;
}

/* ---- one element ---- */

static enum step compare(struct emulation *e, const struct string *s)
{
	u64 a = e->gpr[MON_RAX], b;
	enum step step = STEP_OK;

	if (s->op == STRING_CMPS)
		step = memory_read(e, s->source, rsi(e, s), s->size, &a);
	if (step == STEP_OK)
		step = memory_read(e, ZYDIS_REGISTER_ES, rdi(e, s), s->size, &b);
	if (step == STEP_OK)
		alu(ALU_CMP, s->size, a, b, &e->rflags);
	return step;
}

static enum step in_string(struct emulation *e, const struct string *s)
{
	const u64 zeros = 0;
	u64 gva, gpa;
	enum step step = linear_address(e, ZYDIS_REGISTER_ES, rdi(e, s), s->size, true, &gva);

	if (step != STEP_OK)
		return step;
	if (e->ops->write(e->context, gva, &zeros, s->size, &gpa, e->fault) == EMULATE_ACCESS_FAULT)
		return STEP_FAULT;
	return memory_write(e, ZYDIS_REGISTER_ES, rdi(e, s), s->size, e->ops->in(e->context, port(e), s->size));
}

static enum step out_string(struct emulation *e, const struct string *s)
{
	u64 value;
	enum step step = memory_read(e, s->source, rsi(e, s), s->size, &value);

	if (step == STEP_OK)
		e->ops->out(e->context, port(e), s->size, (u32)value);
	return step;
}

static enum step one(struct emulation *e, const struct string *s)
{
	u64 value = e->gpr[MON_RAX];
	enum step step;

	switch (s->op) {
	case STRING_CMPS: case STRING_SCAS:
		return compare(e, s);
	case STRING_INS:
		return in_string(e, s);
	case STRING_OUTS:
		return out_string(e, s);
	case STRING_LODS:
		step = memory_read(e, s->source, rsi(e, s), s->size, &value);
		if (step == STEP_OK)
			register_write(e, MON_RAX, s->size, value);
		return step;
	case STRING_MOVS:
		step = memory_read(e, s->source, rsi(e, s), s->size, &value);
		return step == STEP_OK ? memory_write(e, ZYDIS_REGISTER_ES, rdi(e, s), s->size, value) : step;
	case STRING_STOS:
		return memory_write(e, ZYDIS_REGISTER_ES, rdi(e, s), s->size, value);
	}
	return STEP_UNKNOWN;
}

/* ---- ports and RAM in pieces ---- */

/* How many elements of the run at `offset` lie in one page, go upwards and fit into one access: 1 if it is not worth a piece. */
static u32 piece_length(const struct string *s, u64 offset, u64 gva, u32 most)
{
	u64 room = PAGE_SIZE - (gva & PAGE_MASK), wrap = low_mask(s->address_size) - offset;
	u64 bytes = EMULATE_ACCESS_MAX < room ? EMULATE_ACCESS_MAX : room;
	u32 n;

	bytes = bytes < wrap ? bytes : wrap;
	n = (u32)bytes / s->size;
	n = n < most ? n : most;
	return n && s->step == s->size ? n : 1;
}

static void in_piece(struct emulation *e, const struct string *s, u8 *to, u32 n)
{
	for (u32 i = 0; i < n; i++) {
		u32 value = e->ops->in(e->context, port(e), s->size);

		memcpy(to + i * s->size, &value, s->size);
	}
}

static void out_piece(struct emulation *e, const struct string *s, const u8 *from, u32 n)
{
	for (u32 i = 0; i < n; i++) {
		u32 value = 0;

		memcpy(&value, from + i * s->size, s->size);
		e->ops->out(e->context, port(e), s->size, value);
	}
}

/* Does up to `most` elements in one go. Answers how many were done: 0 where this is no matter of RAM alone. */
static u32 piece(struct emulation *e, const struct string *s, u32 most)
{
	bool in = s->op == STRING_INS;
	u64 offset = in ? rdi(e, s) : rsi(e, s), gva, gpa;
	struct emulate_fault ignored, *fault = e->fault;
	u8 bytes[EMULATE_ACCESS_MAX] = { 0 };
	enum emulate_access access = EMULATE_ACCESS_FAULT;
	enum step step;
	u32 n;

	e->fault = &ignored; /* the element that faults is found one by one */
	step = linear_address(e, in ? ZYDIS_REGISTER_ES : s->source, offset, s->size, in, &gva);
	n = step == STEP_OK ? piece_length(s, offset, gva, most) : 1;
	if (n > 1)
		step = linear_address(e, in ? ZYDIS_REGISTER_ES : s->source, offset, n * s->size, in, &gva);
	if (n > 1 && step == STEP_OK)
		access = in ? e->ops->write(e->context, gva, bytes, n * s->size, &gpa, &ignored)
			    : e->ops->read(e->context, gva, bytes, n * s->size, &gpa, &ignored);
	if (access == EMULATE_ACCESS_DONE && in) {
		in_piece(e, s, bytes, n);
		access = e->ops->write(e->context, gva, bytes, n * s->size, &gpa, &ignored);
	} else if (access == EMULATE_ACCESS_DONE) {
		out_piece(e, s, bytes, n);
	}
	e->fault = fault;
	return access == EMULATE_ACCESS_DONE ? n : 0;
}

/* ---- the loop ---- */

static void advance(struct emulation *e, const struct string *s, u32 n)
{
	if (uses_rsi(s->op))
		register_write(e, MON_RSI, s->address_size, rsi(e, s) + s->step * n);
	if (uses_rdi(s->op))
		register_write(e, MON_RDI, s->address_size, rdi(e, s) + s->step * n);
	if (s->repeated)
		register_write(e, MON_RCX, s->address_size, rcx(e, s) - n);
}

/* The comparison has found what it was to find. */
static bool found(const struct emulation *e, const struct string *s)
{
	bool equal = e->rflags & RFLAGS_ZF;

	return (s->op == STRING_CMPS || s->op == STRING_SCAS) && equal == s->until_equal;
}

static enum step repeat(struct emulation *e, const struct string *s)
{
	bool ports = s->op == STRING_INS || s->op == STRING_OUTS;
	u32 batch = e->rflags & RFLAGS_TF ? 1 : EMULATE_BATCH;

	for (u32 count = 0; rcx(e, s) && count < batch;) {
		u32 most = rcx(e, s) < batch - count ? (u32)rcx(e, s) : batch - count;
		u32 n = ports && most > 1 ? piece(e, s, most) : 0;

		if (n == 0) {
			enum step step = one(e, s);

			if (step != STEP_OK)
				return step;
			n = 1;
		}
		advance(e, s, n);
		emulation_commit(e);
		count += n;
		if (found(e, s))
			return STEP_OK;
	}
	e->unfinished = rcx(e, s) != 0;
	return STEP_OK;
}

/* The last of F2 and F3 counts; both repeat what does not compare. */
static void judge_prefixes(const struct emulation *e, struct string *s)
{
	for (u32 i = 0; i < e->insn.raw.prefix_count; i++) {
		u8 prefix = e->insn.raw.prefixes[i].value;

		if (prefix != 0xf2 && prefix != 0xf3)
			continue;
		s->repeated = true;
		s->until_equal = prefix == 0xf2;
	}
}

static ZydisRegister source_segment(const struct emulation *e)
{
	for (u32 i = 0; i < e->insn.operand_count; i++) {
		const ZydisDecodedOperand *op = &e->operand[i];

		if (op->type == ZYDIS_OPERAND_TYPE_MEMORY && op->mem.segment != ZYDIS_REGISTER_NONE &&
		    (op->mem.base == ZYDIS_REGISTER_RSI || op->mem.base == ZYDIS_REGISTER_ESI || op->mem.base == ZYDIS_REGISTER_SI))
			return op->mem.segment;
	}
	return ZYDIS_REGISTER_DS;
}

static u32 element_size(const struct emulation *e)
{
	if (!(e->insn.opcode & 1)) /* the byte forms are the even opcodes */
		return 1;
	return e->insn.operand_width / 8u;
}

enum step emulate_string(struct emulation *e, u32 what)
{
	struct string s = { .op = (enum string_operation)what, .size = element_size(e), .address_size = e->insn.address_width / 8u };
	enum step step;

	if (e->insn.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
		return STEP_UNKNOWN; /* MOVSD and CMPSD are SSE instructions, too */
	if (what == STRING_INS || what == STRING_OUTS) {
		s.size = s.size > 4 ? 4 : s.size;
		step = judge_port(e, port(e), s.size, what == STRING_OUTS);
		if (step != STEP_OK)
			return step;
	}
	s.step = e->rflags & RFLAGS_DF ? 0ull - s.size : s.size;
	s.source = source_segment(e);
	judge_prefixes(e, &s);
	if (s.repeated)
		return repeat(e, &s);
	step = one(e, &s);
	if (step == STEP_OK)
		advance(e, &s, 1);
	return step;
}

/* ---- IN and OUT: one operand is AL, AX or EAX, the other DX or an immediate ---- */

enum step emulate_in(struct emulation *e, u32 what)
{
	u32 size = operand_bytes(&e->operand[0]);
	u64 from;
	enum step step = operand_read(e, &e->operand[1], &from);

	(void)what;
	if (step == STEP_OK)
		step = judge_port(e, from, size, false);
	if (step != STEP_OK)
		return step;
	return operand_write(e, &e->operand[0], e->ops->in(e->context, (u16)from, size));
}

enum step emulate_out(struct emulation *e, u32 what)
{
	u32 size = operand_bytes(&e->operand[1]);
	u64 to, value;
	enum step step = operand_read(e, &e->operand[0], &to);

	(void)what;
	if (step == STEP_OK)
		step = judge_port(e, to, size, true);
	if (step == STEP_OK)
		step = operand_read(e, &e->operand[1], &value);
	if (step == STEP_OK)
		e->ops->out(e->context, (u16)to, size, (u32)value);
	return step;
}
