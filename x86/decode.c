/*
 * decode: prefixes, then an opcode looked up in one of two const tables, then ModRM, SIB, displacement and immediate as the table's
 * row says. A byte of a table that is not named belongs to somebody else.
 */
#include "x86/decode.h"
#include "core/bits.h"

/* What follows an opcode, and what it allows. */
enum form {
	MODRM    = 0x001, /* reg and rm */
	ALWAYS_REGISTER = 0x002, /* ModRM.mod is ignored */
	BYTE_OP  = 0x004, /* operand_size 1 */
	IMM8     = 0x008,
	IMM_FULL = 0x010, /* operand size, at most 4 bytes, sign-extended */
	MOFFS    = 0x020, /* an absolute address instead of ModRM; reg is rAX */
	GROUP    = 0x040, /* ModRM.reg chooses; the row's id is not final */
	NOT_64   = 0x080,
	LOCKABLE = 0x100, /* LOCK is allowed with memory */
	WIDE     = 0x200, /* native width: 8 bytes in 64-bit mode, else 4 */
	FROM_8   = 0x400, /* memory_size 1 */
	FROM_16  = 0x800, /* memory_size 2 */
	PORT     = 0x1000, /* at most 4 bytes whatever REX.W says */
};

struct row { u8 id; u16 form; };

static const struct row one_byte[256] = {
	[0x86] = { INSN_XCHG, MODRM | BYTE_OP | LOCKABLE }, [0x87] = { INSN_XCHG, MODRM | LOCKABLE },
	[0x88] = { INSN_STORE, MODRM | BYTE_OP },           [0x89] = { INSN_STORE, MODRM },
	[0x8a] = { INSN_LOAD, MODRM | BYTE_OP },            [0x8b] = { INSN_LOAD, MODRM },
	[0x90] = { INSN_PAUSE, 0 }, /* with F3 and without REX.B only */
	[0xa0] = { INSN_LOAD, MOFFS | BYTE_OP },            [0xa1] = { INSN_LOAD, MOFFS },
	[0xa2] = { INSN_STORE, MOFFS | BYTE_OP },           [0xa3] = { INSN_STORE, MOFFS },
	[0xc6] = { INSN_STORE, MODRM | BYTE_OP | IMM8 | GROUP }, [0xc7] = { INSN_STORE, MODRM | IMM_FULL | GROUP },
	[0xcc] = { INSN_INT3, 0 },                          [0xcd] = { INSN_INT, IMM8 },
	[0xce] = { INSN_INTO, NOT_64 },                     [0xcf] = { INSN_IRET, 0 },
	[0xe4] = { INSN_IN, IMM8 | BYTE_OP },               [0xe5] = { INSN_IN, IMM8 | PORT },
	[0xe6] = { INSN_OUT, IMM8 | BYTE_OP },              [0xe7] = { INSN_OUT, IMM8 | PORT },
	[0xec] = { INSN_IN, BYTE_OP },                      [0xed] = { INSN_IN, PORT },
	[0xee] = { INSN_OUT, BYTE_OP },                     [0xef] = { INSN_OUT, PORT },
	[0xf1] = { INSN_ICEBP, 0 },                         [0xf4] = { INSN_HLT, 0 },
};

static const struct row two_bytes[256] = { /* after 0F */
	[0x00] = { INSN_SLDT, MODRM | GROUP },              [0x01] = { INSN_SGDT, MODRM | GROUP },
	[0x06] = { INSN_CLTS, 0 },
	[0x08] = { INSN_INVD, 0 },                          [0x09] = { INSN_WBINVD, 0 },
	[0x20] = { INSN_MOV_FROM_CR, MODRM | ALWAYS_REGISTER | WIDE },
	[0x21] = { INSN_MOV_FROM_DR, MODRM | ALWAYS_REGISTER | WIDE },
	[0x22] = { INSN_MOV_TO_CR, MODRM | ALWAYS_REGISTER | WIDE },
	[0x23] = { INSN_MOV_TO_DR, MODRM | ALWAYS_REGISTER | WIDE },
	[0x30] = { INSN_WRMSR, 0 },                         [0x31] = { INSN_RDTSC, 0 },
	[0x32] = { INSN_RDMSR, 0 },                         [0x33] = { INSN_RDPMC, 0 },
	[0xa2] = { INSN_CPUID, 0 },                         [0xaa] = { INSN_RSM, 0 },
	[0xb6] = { INSN_LOAD_ZERO, MODRM | FROM_8 },        [0xb7] = { INSN_LOAD_ZERO, MODRM | FROM_16 },
	[0xbe] = { INSN_LOAD_SIGN, MODRM | FROM_8 },        [0xbf] = { INSN_LOAD_SIGN, MODRM | FROM_16 },
};

/* 0F 01 with ModRM.mod = 3: one instruction per ModRM byte, from C0 on. SMSW and LMSW take the whole of their rows. */
static const u8 group_01_register[64] = {
	[0x01] = INSN_VMCALL, [0x08] = INSN_MONITOR, [0x09] = INSN_MWAIT, [0x11] = INSN_XSETBV,
	[0x18] = INSN_VMRUN, [0x19] = INSN_VMMCALL, [0x1a] = INSN_VMLOAD, [0x1b] = INSN_VMSAVE,
	[0x1c] = INSN_STGI, [0x1d] = INSN_CLGI, [0x1e] = INSN_SKINIT, [0x1f] = INSN_INVLPGA,
	[0x20 ... 0x27] = INSN_SMSW, [0x30 ... 0x37] = INSN_LMSW,
	[0x39] = INSN_RDTSCP, [0x3a] = INSN_MONITORX, [0x3b] = INSN_MWAITX,
};
static const u8 group_01_memory[8] = {
	INSN_SGDT, INSN_SIDT, INSN_LGDT, INSN_LIDT, INSN_SMSW, INSN_NONE, INSN_LMSW, INSN_INVLPG,
};
static const u8 group_00[8] = { INSN_SLDT, INSN_STR, INSN_LLDT, INSN_LTR };

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

struct prefixes { u8 segment, rex; bool operand_size, address_size; };

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

static bool take_segment(struct prefixes *p, u8 byte, enum decode_mode mode)
{
	u8 segment;

	switch (byte) {
	case 0x26: case 0x2e: case 0x36: case 0x3e:
		segment = byte >> 3 & 3;
		break;
	case 0x64: case 0x65:
		segment = byte & 1 ? INSN_GS : INSN_FS;
		break;
	default:
		return false;
	}
	if (mode != DECODE_64 || segment >= INSN_FS)
		p->segment = segment;
	return true;
}

static bool take_prefix(struct prefixes *p, struct insn *i, u8 byte, enum decode_mode mode)
{
	if (mode == DECODE_64 && (byte & 0xf0) == 0x40) {
		p->rex = byte;
		return true;
	}
	switch (byte) {
	case 0x66:
		p->operand_size = true;
		break;
	case 0x67:
		p->address_size = true;
		break;
	case 0xf0:
		i->lock = true;
		break;
	case 0xf2: case 0xf3: /* the last one counts */
		i->rep = byte == 0xf3;
		i->repne = byte == 0xf2;
		break;
	default:
		if (!take_segment(p, byte, mode))
			return false;
	}
	p->rex = 0; /* REX counts only right before the opcode */
	return true;
}

static u8 operand_size(const struct prefixes *p, enum decode_mode mode)
{
	if (mode == DECODE_64 && (p->rex & REX_W))
		return 8;
	return (mode == DECODE_16) != p->operand_size ? 2 : 4;
}

static u8 address_size(const struct prefixes *p, enum decode_mode mode)
{
	if (mode == DECODE_64)
		return p->address_size ? 4 : 8;
	return (mode == DECODE_16) != p->address_size ? 2 : 4;
}

/* ---- ModRM and what hangs on it ---- */

static void take_memory_16(struct cursor *c, struct insn *i, u32 mod, u32 rm)
{
	u32 size = mod == 2 ? 2 : mod;

	i->base = pairs[rm].base;
	i->index = pairs[rm].index;
	if (mod == 0 && rm == 6) {
		i->base = INSN_NO_REGISTER;
		size = 2;
	}
	if (size)
		i->displacement = (s64)sign_extend(take_little(c, size), size);
}

static void take_sib(struct cursor *c, struct insn *i, u32 mod, u8 rex)
{
	u8 sib = take(c);
	u32 index = (sib >> 3 & 7u) | (rex & REX_X ? 8u : 0);

	i->shift = sib >> 6;
	i->index = index == REG_SP ? INSN_NO_REGISTER : (u8)index;
	i->base = (u8)((sib & 7u) | (rex & REX_B ? 8u : 0));
	if (mod == 0 && (sib & 7) == REG_BP)
		i->base = INSN_NO_REGISTER;
}

static void take_memory(struct cursor *c, struct insn *i, u32 mod, u32 rm, u8 rex, enum decode_mode mode)
{
	u32 size = mod == 2 ? 4 : mod;

	if (rm == REG_SP) {
		take_sib(c, i, mod, rex);
		if (i->base == INSN_NO_REGISTER)
			size = 4;
	} else if (mod == 0 && rm == REG_BP) {
		i->rip = mode == DECODE_64;
		size = 4;
	} else {
		i->base = (u8)(rm | (rex & REX_B ? 8u : 0));
	}
	if (size)
		i->displacement = (s64)sign_extend(take_little(c, size), size);
}

/* Returns the byte. */
static u8 take_modrm(struct cursor *c, struct insn *i, u8 rex, u32 form, enum decode_mode mode)
{
	u8 modrm = take(c);
	u32 mod = modrm >> 6, rm = modrm & 7;

	i->reg = (u8)((modrm >> 3 & 7u) | (rex & REX_R ? 8u : 0));
	i->memory = mod != 3 && !(form & ALWAYS_REGISTER);
	if (!i->memory)
		i->rm = (u8)(rm | (rex & REX_B ? 8u : 0));
	else if (i->address_size == 2)
		take_memory_16(c, i, mod, rm);
	else
		take_memory(c, i, mod, rm, rex, mode);
	if (i->memory && (i->base == REG_SP || i->base == REG_BP))
		i->segment = INSN_SS;
	return modrm;
}

/* ---- groups ---- */

/* The stores of an immediate are /0 of theirs; the 0F groups are tables. INSN_NONE: not mine. */
static u8 group_id(const struct insn *i, u8 opcode, u8 modrm, const struct prefixes *p)
{
	u32 which = modrm >> 3 & 7;

	if (opcode == 0x00)
		return group_00[which];
	if (opcode != 0x01)
		return which == 0 ? INSN_STORE : INSN_NONE;
	if (i->memory) /* with F3 or F2 these places are other instructions or will be */
		return i->rep || i->repne ? INSN_NONE : group_01_memory[which];
	if (i->rep || i->repne || (p->operand_size && which != 4 && which != 6))
		return INSN_NONE;
	return group_01_register[modrm & 0x3f];
}

static void group_sizes(struct insn *i, enum decode_mode mode)
{
	switch (i->id) {
	case INSN_SGDT: case INSN_SIDT: case INSN_LGDT: case INSN_LIDT:
		i->memory_size = mode == DECODE_64 ? 10 : 6;
		break;
	case INSN_LMSW: case INSN_LLDT: case INSN_LTR:
		i->operand_size = i->memory_size = 2;
		break;
	case INSN_SMSW: case INSN_SLDT: case INSN_STR:
		i->memory_size = 2; /* a register gets operand_size */
		break;
	case INSN_INVLPG:
		i->memory_size = 0;
		break;
	default:
		break;
	}
}

/* ---- the whole ---- */

static bool control_register_exists(const struct insn *i)
{
	if (i->id == INSN_MOV_FROM_DR || i->id == INSN_MOV_TO_DR)
		return i->reg < 8;
	return i->reg == 0 || (i->reg >= 2 && i->reg <= 4) || i->reg == 8;
}

static enum decode_result judge(const struct insn *i, u32 form, u8 rex, enum decode_mode mode)
{
	if (i->id == INSN_NONE || (i->id == INSN_PAUSE && (!i->rep || (rex & REX_B))))
		return DECODE_NOT_MINE;
	if (i->lock && !((form & LOCKABLE) && i->memory))
		return DECODE_INVALID;
	if ((form & NOT_64) && mode == DECODE_64)
		return DECODE_INVALID;
	if ((form & ALWAYS_REGISTER) && !control_register_exists(i))
		return DECODE_INVALID;
	return DECODE_OK;
}

static void take_operands(struct cursor *c, struct insn *i, const struct prefixes *p, u32 form, u8 opcode, enum decode_mode mode)
{
	if (form & MODRM) {
		u8 modrm = take_modrm(c, i, p->rex, form, mode);

		if (form & GROUP) {
			i->id = group_id(i, opcode, modrm, p);
			group_sizes(i, mode);
		}
	}
	if (form & MOFFS) {
		i->reg = REG_AX;
		i->memory = true;
		i->displacement = (s64)take_little(c, i->address_size);
	}
	if (form & (IMM8 | IMM_FULL)) {
		u32 size = form & IMM8 ? 1 : i->operand_size == 8 ? 4 : i->operand_size;

		i->has_immediate = true;
		i->immediate = take_little(c, size);
		if (form & IMM_FULL)
			i->immediate = cut(sign_extend(i->immediate, size), i->operand_size);
	}
	if (p->segment != NO_OVERRIDE && i->memory)
		i->segment = p->segment;
}

static void set_sizes(struct insn *i, const struct prefixes *p, u32 form, enum decode_mode mode)
{
	i->operand_size = operand_size(p, mode);
	if (form & BYTE_OP)
		i->operand_size = 1;
	else if (form & WIDE)
		i->operand_size = mode == DECODE_64 ? 8 : 4;
	else if ((form & PORT) && i->operand_size == 8)
		i->operand_size = 4;
	i->memory_size = form & FROM_8 ? 1 : form & FROM_16 ? 2 : i->operand_size;
	i->address_size = address_size(p, mode);
}

enum decode_result decode(const u8 *bytes, u32 length, enum decode_mode mode, struct insn *out)
{
	struct cursor c = { .bytes = bytes, .length = length };
	struct prefixes p = { .segment = NO_OVERRIDE };
	const struct row *row;
	enum decode_result result;
	u8 opcode;

	*out = (struct insn){ .segment = INSN_DS, .base = INSN_NO_REGISTER, .index = INSN_NO_REGISTER };
	do
		opcode = take(&c);
	while (c.result == DECODE_OK && take_prefix(&p, out, opcode, mode));
	row = &one_byte[opcode];
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
	result = judge(out, row->form, p.rex, mode);
	out->length = (u8)c.at;
	return result;
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
