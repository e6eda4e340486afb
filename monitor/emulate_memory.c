/*
 * emulate_memory: operands. An access goes segment:offset -> linear (checked here) -> ops: RAM, or a device.
 *
 * An access that crosses a page is tried whole (both pages are translated before either is written); only where RAM meets a device, or
 * nothing, is it done in two.
 */
#include "monitor/emulate_internal.h"
#include "monitor/lib/string.h"
#include <Zydis/Register.h>

#define LINEAR_BITS 48u

bool in_long_mode(const struct mon_vcpu *cpu)
{
	return (cpu->efer & EFER_LMA_BIT) && (cpu->cs.attributes & SEGMENT_LONG);
}

/* In real mode exceptions push no error code. */
enum step raise(struct emulation *e, u32 vector)
{
	*e->fault = (struct emulate_fault){ .vector = vector, .has_error = vector != VECTOR_UD && (e->cpu->cr0 & CR0_PE_BIT) };
	return STEP_FAULT;
}

/* ---- segments ---- */

static bool canonical(u64 gva) { return (u64)((s64)(gva << (64 - LINEAR_BITS)) >> (64 - LINEAR_BITS)) == gva; }

static const struct mon_segment *segment_of(const struct mon_vcpu *cpu, ZydisRegister r)
{
	switch ((int)r) {
	case ZYDIS_REGISTER_ES: return &cpu->es;
	case ZYDIS_REGISTER_CS: return &cpu->cs;
	case ZYDIS_REGISTER_SS: return &cpu->ss;
	case ZYDIS_REGISTER_FS: return &cpu->fs;
	case ZYDIS_REGISTER_GS: return &cpu->gs;
	default:                return &cpu->ds;
	}
}

static bool within_limit(const struct mon_segment *s, u64 first, u64 last)
{
	bool data = !(s->attributes & SEGMENT_TYPE_CODE);

	if (data && (s->attributes & SEGMENT_TYPE_EXPAND_DOWN))
		return first > s->limit && last <= (s->attributes & SEGMENT_BIG ? 0xffffffffull : 0xffffull);
	return last <= s->limit;
}

static bool allows(const struct mon_vcpu *cpu, const struct mon_segment *s, bool write)
{
	bool code = s->attributes & SEGMENT_TYPE_CODE, second = s->attributes & SEGMENT_TYPE_WRITABLE;

	if (!(cpu->cr0 & CR0_PE_BIT) || (cpu->rflags & RFLAGS_VM))
		return true;
	if (!(s->attributes & SEGMENT_PRESENT))
		return false;
	return write ? !code && second : !code || second;
}

static bool misaligned(const struct mon_vcpu *cpu, u64 gva, u32 length)
{
	bool checked = cpu->cpl == 3 && (cpu->cr0 & CR0_AM_BIT) && (cpu->rflags & RFLAGS_AC);

	return checked && length <= 8 && (length & (length - 1)) == 0 && (gva & (length - 1));
}

enum step linear_address(struct emulation *e, ZydisRegister segment, u64 offset, u32 length, bool write, u64 *gva)
{
	const struct mon_segment *s = segment_of(e->cpu, segment);
	u32 vector = segment == ZYDIS_REGISTER_SS ? VECTOR_SS : VECTOR_GP;

	if (in_long_mode(e->cpu)) {
		bool based = segment == ZYDIS_REGISTER_FS || segment == ZYDIS_REGISTER_GS;

		*gva = offset + (based ? s->base : 0);
		if (!canonical(*gva) || !canonical(*gva + length - 1))
			return raise(e, vector);
	} else {
		if (!allows(e->cpu, s, write) || !within_limit(s, offset, offset + length - 1))
			return raise(e, vector);
		*gva = (u32)(s->base + offset);
	}
	return misaligned(e->cpu, *gva, length) ? raise(e, VECTOR_AC) : STEP_OK;
}

/* ---- accesses ---- */

static u32 bytes_to_page_end(u64 gva) { return (u32)(PAGE_SIZE - (gva & PAGE_MASK)); }

/* What a device takes at once: 1, 2, 4 or 8. */
static u32 device_piece(u32 length)
{
	u32 piece = 8;

	while (piece > length)
		piece /= 2;
	return piece;
}

static void device_read(struct emulation *e, u64 gpa, u8 *to, u32 length)
{
	for (u32 at = 0, n; at < length; at += n) {
		u64 value;

		n = device_piece(length - at);
		value = e->ops->mmio_read(e->context, gpa + at, n);
		memcpy(to + at, &value, n);
	}
}

static void device_write(struct emulation *e, u64 gpa, const u8 *from, u32 length)
{
	for (u32 at = 0, n; at < length; at += n) {
		u64 value = 0;

		n = device_piece(length - at);
		memcpy(&value, from + at, n);
		e->ops->mmio_write(e->context, gpa + at, n, value);
	}
}

static enum step read_linear(struct emulation *e, u64 gva, u8 *to, u32 length)
{
	u64 gpa = 0;
	u32 first = bytes_to_page_end(gva);
	enum step step;

	switch (e->ops->read(e->context, gva, to, length, &gpa, e->fault)) {
	case EMULATE_ACCESS_DONE:
		return STEP_OK;
	case EMULATE_ACCESS_FAULT:
		return STEP_FAULT;
	case EMULATE_ACCESS_DEVICE:
		device_read(e, gpa, to, length);
		return STEP_OK;
	case EMULATE_ACCESS_NOWHERE:
		break;
	}
	if (first >= length) {
		memset(to, 0xff, length);
		return STEP_OK;
	}
	step = read_linear(e, gva, to, first);
	return step == STEP_OK ? read_linear(e, gva + first, to + first, length - first) : step;
}

static enum step write_linear(struct emulation *e, u64 gva, const u8 *from, u32 length)
{
	u64 gpa = 0;
	u32 first = bytes_to_page_end(gva);
	enum step step;

	switch (e->ops->write(e->context, gva, from, length, &gpa, e->fault)) {
	case EMULATE_ACCESS_DONE:
		return STEP_OK;
	case EMULATE_ACCESS_FAULT:
		return STEP_FAULT;
	case EMULATE_ACCESS_DEVICE:
		device_write(e, gpa, from, length);
		return STEP_OK;
	case EMULATE_ACCESS_NOWHERE:
		break;
	}
	if (first >= length)
		return STEP_OK;
	step = write_linear(e, gva, from, first);
	return step == STEP_OK ? write_linear(e, gva + first, from + first, length - first) : step;
}

enum step memory_read(struct emulation *e, ZydisRegister segment, u64 offset, u32 size, u64 *value)
{
	u64 gva, got = 0;
	enum step step = linear_address(e, segment, offset, size, false, &gva);

	if (step == STEP_OK)
		step = read_linear(e, gva, (u8 *)&got, size);
	*value = got;
	return step;
}

enum step memory_write(struct emulation *e, ZydisRegister segment, u64 offset, u32 size, u64 value)
{
	u64 gva;
	enum step step = linear_address(e, segment, offset, size, true, &gva);

	return step == STEP_OK ? write_linear(e, gva, (const u8 *)&value, size) : step;
}

/* ---- registers ---- */

struct register_place { u32 number, shift, size; };

/* Zydis numbers the byte registers AL CL DL BL, AH CH DH BH, SPL BPL SIL DIL, R8B and on. */
static bool place_of(ZydisRegister r, struct register_place *p)
{
	u32 id = (u32)ZydisRegisterGetId(r);

	switch ((int)ZydisRegisterGetClass(r)) {
	case ZYDIS_REGCLASS_GPR8:
		*p = (struct register_place){ id < 4 ? id : id - 4, id >= 4 && id < 8 ? 8 : 0, 1 };
		return true;
	case ZYDIS_REGCLASS_GPR16:
		*p = (struct register_place){ id, 0, 2 };
		return true;
	case ZYDIS_REGCLASS_GPR32:
		*p = (struct register_place){ id, 0, 4 };
		return true;
	case ZYDIS_REGCLASS_GPR64:
		*p = (struct register_place){ id, 0, 8 };
		return true;
	default:
		return false;
	}
}

static void place_write(struct emulation *e, const struct register_place *p, u64 value)
{
	u64 mask = low_mask(p->size) << p->shift, *r = &e->gpr[p->number];

	*r = p->size == 4 ? (u32)value : (*r & ~mask) | (value << p->shift & mask);
}

void register_write(struct emulation *e, u32 number, u32 size, u64 value)
{
	place_write(e, &(struct register_place){ number, 0, size }, value);
}

/* ---- operands ---- */

static u64 address_register(const struct emulation *e, ZydisRegister r)
{
	struct register_place p;

	if (r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP)
		return e->next_rip;
	return place_of(r, &p) ? cut(e->gpr[p.number], p.size) : 0;
}

u64 operand_offset(const struct emulation *e, const ZydisDecodedOperand *op)
{
	u64 at = (u64)op->mem.disp.value;

	at += address_register(e, op->mem.base);
	at += address_register(e, op->mem.index) * op->mem.scale;
	return cut(at, e->insn.address_width / 8u);
}

enum step operand_read(struct emulation *e, const ZydisDecodedOperand *op, u64 *value)
{
	struct register_place p;

	switch (op->type) {
	case ZYDIS_OPERAND_TYPE_REGISTER:
		if (place_of(op->reg.value, &p))
			*value = cut(e->gpr[p.number] >> p.shift, p.size);
		else if (ZydisRegisterGetClass(op->reg.value) == ZYDIS_REGCLASS_SEGMENT)
			*value = segment_of(e->cpu, op->reg.value)->selector;
		else
			return STEP_UNKNOWN;
		return STEP_OK;
	case ZYDIS_OPERAND_TYPE_MEMORY:
		if (operand_bytes(op) == 0 || operand_bytes(op) > 8)
			return STEP_UNKNOWN;
		return memory_read(e, op->mem.segment, operand_offset(e, op), operand_bytes(op), value);
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		*value = op->imm.value.u;
		return STEP_OK;
	case ZYDIS_OPERAND_TYPE_UNUSED:
	case ZYDIS_OPERAND_TYPE_POINTER:
		break;
	}
	return STEP_UNKNOWN;
}

enum step operand_write(struct emulation *e, const ZydisDecodedOperand *op, u64 value)
{
	struct register_place p;

	if (op->type == ZYDIS_OPERAND_TYPE_REGISTER && place_of(op->reg.value, &p)) {
		place_write(e, &p, value);
		return STEP_OK;
	}
	if (op->type != ZYDIS_OPERAND_TYPE_MEMORY || operand_bytes(op) == 0 || operand_bytes(op) > 8)
		return STEP_UNKNOWN;
	return memory_write(e, op->mem.segment, operand_offset(e, op), operand_bytes(op), value);
}
