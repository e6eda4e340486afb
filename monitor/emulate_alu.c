/*
 * emulate_alu: integer arithmetic with the flags of SDM vol. 1, 3.4.3.1. Carry and overflow are read off the operands and the result:
 * a carry out of a bit shows where operands and result disagree.
 */
#include "monitor/emulate_internal.h"

static u64 flag(u64 bit, bool on) { return on ? bit : 0; }

static u64 sign_zero_parity(u64 r, u32 size)
{
	bool even = !__builtin_parity((u32)(r & 0xff));

	return flag(RFLAGS_SF, r & top_bit(size)) | flag(RFLAGS_ZF, r == 0) | flag(RFLAGS_PF, even);
}

static u64 add(u32 size, u64 a, u64 b, bool carry, u64 *flags)
{
	u64 r = cut(a + b + carry, size);

	*flags = sign_zero_parity(r, size) | flag(RFLAGS_CF, carry ? r <= a : r < a) | flag(RFLAGS_AF, (a ^ b ^ r) & 0x10) |
		 flag(RFLAGS_OF, (a ^ r) & (b ^ r) & top_bit(size));
	return r;
}

static u64 subtract(u32 size, u64 a, u64 b, bool borrow, u64 *flags)
{
	u64 r = cut(a - b - borrow, size);

	*flags = sign_zero_parity(r, size) | flag(RFLAGS_CF, borrow ? a <= b : a < b) | flag(RFLAGS_AF, (a ^ b ^ r) & 0x10) |
		 flag(RFLAGS_OF, (a ^ b) & (a ^ r) & top_bit(size));
	return r;
}

u64 alu(enum alu op, u32 size, u64 a, u64 b, u64 *rflags)
{
	bool carry = *rflags & RFLAGS_CF;
	u64 changed = RFLAGS_STATUS, flags = 0, r = 0;

	a = cut(a, size);
	b = cut(b, size);
	switch (op) {
	case ALU_ADD:
		r = add(size, a, b, false, &flags);
		break;
	case ALU_ADC:
		r = add(size, a, b, carry, &flags);
		break;
	case ALU_SUB: case ALU_CMP:
		r = subtract(size, a, b, false, &flags);
		break;
	case ALU_SBB:
		r = subtract(size, a, b, carry, &flags);
		break;
	case ALU_NEG:
		r = subtract(size, 0, a, false, &flags);
		break;
	case ALU_INC:
		r = add(size, a, 1, false, &flags);
		changed &= ~RFLAGS_CF;
		break;
	case ALU_DEC:
		r = subtract(size, a, 1, false, &flags);
		changed &= ~RFLAGS_CF;
		break;
	case ALU_NOT:
		r = cut(~a, size);
		changed = 0;
		break;
	case ALU_AND: case ALU_TEST:
		r = a & b;
		flags = sign_zero_parity(r, size);
		break;
	case ALU_OR:
		r = a | b;
		flags = sign_zero_parity(r, size);
		break;
	case ALU_XOR:
		r = a ^ b;
		flags = sign_zero_parity(r, size);
		break;
	}
	*rflags = (*rflags & ~changed) | (flags & changed);
	return r;
}

bool condition(u32 code, u64 f)
{
	bool sign_differs = !(f & RFLAGS_SF) != !(f & RFLAGS_OF), yes = false;

	switch (code >> 1 & 7) {
	case 0: yes = f & RFLAGS_OF; break;
	case 1: yes = f & RFLAGS_CF; break;
	case 2: yes = f & RFLAGS_ZF; break;
	case 3: yes = f & (RFLAGS_CF | RFLAGS_ZF); break;
	case 4: yes = f & RFLAGS_SF; break;
	case 5: yes = f & RFLAGS_PF; break;
	case 6: yes = sign_differs; break;
	case 7: yes = sign_differs || (f & RFLAGS_ZF); break;
	}
	return yes != (code & 1);
}
