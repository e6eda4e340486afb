/*
 * decode: prefixes, then an opcode looked up in one of two const tables, then ModRM, SIB, displacement and immediate as the table's
 * row says. A byte of a table that is not named belongs to somebody else.
 */
#include "x86/decode.h"
#include "core/bits.h"

/* What follows an opcode, and what it allows. */
enum form {
	MODRM   = 0x01, /* reg and rm */
	CONTROL = 0x02, /* reg is a control register, ModRM.mod is ignored; 8 bytes in 64-bit mode, else 4 */
	BYTE_OP = 0x04, /* operand_size 1 */
	IMM     = 0x08, /* operand size, at most 4 bytes, sign-extended */
	MOFFS   = 0x10, /* an absolute address instead of ModRM; reg is rAX */
	GROUP   = 0x20, /* ModRM chooses; the row's id is not final */
	FROM_8  = 0x40, /* memory_size 1 */
	FROM_16 = 0x80, /* memory_size 2 */
};

struct row { u8 id; u8 form; };

static const struct row one_byte[256] = {
	[0x88] = { INSN_STORE, MODRM | BYTE_OP },           [0x89] = { INSN_STORE, MODRM },
	[0x8a] = { INSN_LOAD, MODRM | BYTE_OP },            [0x8b] = { INSN_LOAD, MODRM },
	[0x90] = { INSN_PAUSE, 0 }, /* with F3 and without REX.B only */
	[0xa0] = { INSN_LOAD, MOFFS | BYTE_OP },            [0xa1] = { INSN_LOAD, MOFFS },
	[0xa2] = { INSN_STORE, MOFFS | BYTE_OP },           [0xa3] = { INSN_STORE, MOFFS },
	[0xc6] = { INSN_STORE, MODRM | BYTE_OP | IMM | GROUP }, [0xc7] = { INSN_STORE, MODRM | IMM | GROUP },
	[0xf4] = { INSN_HLT, 0 },
};

static const struct row two_bytes[256] = { /* after 0F */
	[0x01] = { INSN_XSETBV, MODRM | GROUP },
	[0x08] = { INSN_INVD, 0 },                          [0x09] = { INSN_WBINVD, 0 },
	[0x20] = { INSN_MOV_FROM_CR, MODRM | CONTROL },     [0x22] = { INSN_MOV_TO_CR, MODRM | CONTROL },
	[0x30] = { INSN_WRMSR, 0 },                         [0x32] = { INSN_RDMSR, 0 },
	[0xa2] = { INSN_CPUID, 0 },
	[0xb6] = { INSN_LOAD_ZERO, MODRM | FROM_8 },        [0xb7] = { INSN_LOAD_ZERO, MODRM | FROM_16 },
	[0xbe] = { INSN_LOAD_SIGN, MODRM | FROM_8 },        [0xbf] = { INSN_LOAD_SIGN, MODRM | FROM_16 },
};

#define MODRM_XSETBV  0xd1 /* after 0F 01 */
#define MODRM_VMMCALL 0xd9
#define CONTROL_REGISTERS (BIT(0) | BITS(4, 2) | BIT(8))

/* 16-bit addressing, by ModRM.rm. */
static const struct { u8 base, index; } pairs[8] = {
	{ 3, 6 }, { 3, 7 }, { 5, 6 }, { 5, 7 }, { 6, INSN_NO_REGISTER }, { 7, INSN_NO_REGISTER }, { 5, INSN_NO_REGISTER },
	{ 3, INSN_NO_REGISTER },
};

enum { REG_AX = 0, REG_SP = 4, REG_BP = 5 };

enum rex { REX_B = 1, REX_X = 2, REX_R = 4, REX_W = 8 };

#define NO_OVERRIDE 0xff

struct cursor {
	const u8 *bytes;
	u32 at, length;
	enum decode_result result; /* of the first byte that was not there */
};

struct prefixes { u8 segment, rex, repeat; bool operand_size, address_size, lock; };

/* A byte that is not there reads as 0; the caller looks at `result` when the instruction is complete. */
static u8 take(struct cursor *c)
{
	u32 at = c->at++;

	if (at < c->length && at < INSN_MAX_BYTES)
		return c->bytes[at];
	if (c->result == DECODE_OK)
		c->result = at >= INSN_MAX_BYTES ? DECODE_TOO_LONG : DECODE_MORE;
	return 0;
}

static u64 take_little(struct cursor *c, u32 size)
{
	u64 v = 0;

	for (u32 i = 0; i < size; i++)
		v |= (u64)take(c) << 8 * i;
	return v;
}

static u64 sign_extend(u64 v, u32 size)
{
	u32 unused = 64 - 8 * size;

	return (u64)((s64)(v << unused) >> unused);
}

static u64 cut(u64 v, u32 size) { return v & (~0ull >> (64 - 8 * size)); }

/* ---- prefixes ---- */

static bool take_prefix(struct prefixes *p, u8 byte, enum decode_mode mode)
{
	bool rex = mode == DECODE_64 && (byte & 0xf0) == 0x40;

	switch (byte) {
	case 0x26: case 0x2e: case 0x36: case 0x3e: /* ES to DS: no override in 64-bit mode */
		if (mode != DECODE_64)
			p->segment = byte >> 3 & 3;
		break;
	case 0x64: case 0x65:
		p->segment = byte & 1 ? INSN_GS : INSN_FS;
		break;
	case 0x66:
		p->operand_size = true;
		break;
	case 0x67:
		p->address_size = true;
		break;
	case 0xf0:
		p->lock = true;
		break;
	case 0xf2: case 0xf3: /* the last one counts */
		p->repeat = byte;
		break;
	default:
		if (!rex)
			return false;
	}
	p->rex = rex ? byte : 0; /* it counts only right before the opcode */
	return true;
}

static void set_sizes(struct insn *i, const struct prefixes *p, u32 form, enum decode_mode mode)
{
	if (form & BYTE_OP)
		i->operand_size = 1;
	else if (form & CONTROL)
		i->operand_size = mode == DECODE_64 ? 8 : 4;
	else if (p->rex & REX_W)
		i->operand_size = 8;
	else
		i->operand_size = (mode == DECODE_16) != p->operand_size ? 2 : 4;
	i->memory_size = form & FROM_8 ? 1 : form & FROM_16 ? 2 : i->operand_size;
	if (mode == DECODE_64)
		i->address_size = p->address_size ? 4 : 8;
	else
		i->address_size = (mode == DECODE_16) != p->address_size ? 2 : 4;
}

/* ---- ModRM and what hangs on it ---- */

/* These return how many bytes of displacement follow; `size`: as ModRM.mod says. */
static u32 take_memory_16(struct insn *i, u32 mod, u32 rm, u32 size)
{
	bool absolute = mod == 0 && rm == 6;

	i->base = absolute ? INSN_NO_REGISTER : pairs[rm].base;
	i->index = pairs[rm].index;
	return absolute ? 2 : size;
}

static u32 take_sib(struct cursor *c, struct insn *i, u32 mod, u8 rex, u32 size)
{
	u8 sib = take(c);
	u32 index = (sib >> 3 & 7u) | (rex & REX_X ? 8u : 0);
	bool no_base = mod == 0 && (sib & 7) == REG_BP;

	i->shift = sib >> 6;
	i->index = index == REG_SP ? INSN_NO_REGISTER : (u8)index;
	i->base = no_base ? INSN_NO_REGISTER : (u8)((sib & 7u) | (rex & REX_B ? 8u : 0));
	return no_base ? 4 : size;
}

static u32 take_memory(struct cursor *c, struct insn *i, u32 mod, u32 rm, u8 rex, enum decode_mode mode)
{
	u32 size = mod == 2 ? i->address_size == 2 ? 2 : 4 : mod;

	if (i->address_size == 2)
		return take_memory_16(i, mod, rm, size);
	if (rm == REG_SP)
		return take_sib(c, i, mod, rex, size);
	if (mod == 0 && rm == REG_BP) {
		i->rip = mode == DECODE_64;
		return 4;
	}
	i->base = (u8)(rm | (rex & REX_B ? 8u : 0));
	return size;
}

/* Returns the byte. */
static u8 take_modrm(struct cursor *c, struct insn *i, u8 rex, u32 form, enum decode_mode mode)
{
	u8 modrm = take(c);
	u32 mod = modrm >> 6, rm = modrm & 7;

	i->reg = (u8)((modrm >> 3 & 7u) | (rex & REX_R ? 8u : 0));
	i->memory = mod != 3 && !(form & CONTROL);
	if (!i->memory) {
		i->rm = (u8)(rm | (rex & REX_B ? 8u : 0));
	} else {
		u32 size = take_memory(c, i, mod, rm, rex, mode);
		if (size)
			i->displacement = (s64)sign_extend(take_little(c, size), size);
		if (i->base == REG_SP || i->base == REG_BP)
			i->segment = INSN_SS;
	}
	return modrm;
}

/* ---- the whole ---- */

/* INSN_NONE: not mine. */
static u8 group_id(u8 opcode, u8 modrm, const struct prefixes *p)
{
	if (opcode != 0x01) /* the stores of an immediate are /0 of theirs */
		return modrm >> 3 & 7 ? INSN_NONE : INSN_STORE;
	if (modrm == MODRM_VMMCALL) /* with a prefix too: VMGEXIT is it outside of encrypted machines */
		return INSN_VMMCALL;
	return modrm == MODRM_XSETBV && !p->repeat && !p->operand_size ? INSN_XSETBV : INSN_NONE;
}

static enum decode_result judge(const struct insn *i, u32 form, const struct prefixes *p)
{
	if (i->id == INSN_NONE || (i->id == INSN_PAUSE && (p->repeat != 0xf3 || (p->rex & REX_B))))
		return DECODE_NOT_MINE;
	if (p->lock || ((form & CONTROL) && !(CONTROL_REGISTERS & BIT(i->reg))))
		return DECODE_INVALID;
	return DECODE_OK;
}

static void take_operands(struct cursor *c, struct insn *i, const struct prefixes *p, u32 form, u8 opcode, enum decode_mode mode)
{
	if (form & MODRM) {
		u8 modrm = take_modrm(c, i, p->rex, form, mode);
		if (form & GROUP)
			i->id = group_id(opcode, modrm, p);
	}
	if (form & MOFFS) {
		i->reg = REG_AX;
		i->memory = true;
		i->displacement = (s64)take_little(c, i->address_size);
	}
	if (form & IMM) {
		u32 size = i->operand_size == 8 ? 4 : i->operand_size;

		i->has_immediate = true;
		i->immediate = cut(sign_extend(take_little(c, size), size), i->operand_size);
	}
	if (p->segment != NO_OVERRIDE && i->memory)
		i->segment = p->segment;
}

enum decode_result decode(const u8 *bytes, u32 length, enum decode_mode mode, struct insn *out)
{
	struct cursor c = { .bytes = bytes, .length = length };
	struct prefixes p = { .segment = NO_OVERRIDE };
	u8 opcode;

	*out = (struct insn){ .segment = INSN_DS, .base = INSN_NO_REGISTER, .index = INSN_NO_REGISTER };
	do
		opcode = take(&c);
	while (c.result == DECODE_OK && take_prefix(&p, opcode, mode));
	const struct row *row = &one_byte[opcode];
	if (opcode == 0x0f) {
		opcode = take(&c);
		row = &two_bytes[opcode];
	}
	if (c.result != DECODE_OK)
		return c.result;
	if (row->id == INSN_NONE)
		return DECODE_NOT_MINE;
	out->id = row->id;
	out->rex = p.rex != 0;
	set_sizes(out, &p, row->form, mode);
	take_operands(&c, out, &p, row->form, opcode, mode);
	if (c.result != DECODE_OK)
		return c.result;
	out->length = (u8)c.at;
	return judge(out, row->form, &p);
}

/* ---- operands ---- */

u64 insn_offset(const struct insn *i, const u64 gpr[16], u64 rip)
{
	u64 at = (u64)i->displacement;

	if (i->rip)
		at += rip + i->length;
	if (i->base != INSN_NO_REGISTER)
		at += gpr[i->base];
	if (i->index != INSN_NO_REGISTER)
		at += gpr[i->index] << i->shift;
	return cut(at, i->address_size);
}

static bool high_byte(const struct insn *i, u32 reg, u32 size) { return size == 1 && !i->rex && reg >= 4 && reg < 8; }

u64 insn_get(const struct insn *i, const u64 gpr[16], u32 reg, u32 size)
{
	return high_byte(i, reg, size) ? gpr[reg - 4] >> 8 & 0xff : cut(gpr[reg], size);
}

void insn_set(const struct insn *i, u64 gpr[16], u32 reg, u32 size, u64 value)
{
	u32 at = high_byte(i, reg, size) ? 8 : 0;
	u64 *r = &gpr[at ? reg - 4 : reg];
	u64 mask = ~0ull >> (64 - 8 * size) << at;

	*r = size == 4 ? (u32)value : (*r & ~mask) | (value << at & mask);
}
