/*
 * decode: ring 0's small decoder. Bytes in, one struct out; a pure function.
 *
 * It knows the instructions whose exits need a length or operands (SVM may give neither), and plain moves with memory (for the
 * xAPIC page and the like). Everything else is DECODE_NOT_MINE: the monitor's emulator does that. It never reads past `length`.
 * SDM vol. 2, chapter 2; APM vol. 3, chapter 1.
 */
#ifndef X86_DECODE_H
#define X86_DECODE_H

#include "abi/types.h"

#define INSN_MAX_BYTES 15u

enum decode_mode { DECODE_16, DECODE_32, DECODE_64 }; /* the code segment's default: CS.L, CS.D */

enum decode_result {
	DECODE_OK,
	DECODE_MORE,     /* the instruction goes on past `length` */
	DECODE_NOT_MINE, /* may be valid, but none that this decoder knows */
	DECODE_INVALID,  /* #UD: an operand or a prefix that the instruction does not allow, or not in this mode */
	DECODE_TOO_LONG, /* #GP: more than 15 bytes */
};

enum insn_id {
	INSN_NONE,
	/* no operands beyond fixed registers */
	INSN_CPUID, INSN_RDMSR, INSN_WRMSR, INSN_HLT, INSN_PAUSE, INSN_XSETBV, INSN_INVD, INSN_WBINVD, INSN_VMMCALL,
	INSN_MOV_FROM_CR, /* rm <- CR[reg]; operand_size 8 or 4 */
	INSN_MOV_TO_CR,   /* CR[reg] <- rm */
	/* moves: rm is a register or memory */
	INSN_LOAD,        /* reg <- rm */
	INSN_STORE,       /* rm <- reg, or the immediate if `has_immediate` */
	INSN_LOAD_ZERO,   /* reg (operand_size) <- rm (memory_size), zero-extended */
	INSN_LOAD_SIGN,   /* likewise, sign-extended */
};

enum insn_segment { INSN_ES, INSN_CS, INSN_SS, INSN_DS, INSN_FS, INSN_GS };

#define INSN_NO_REGISTER 0xff

struct insn {
	u8 id;            /* enum insn_id */
	u8 length;
	u8 operand_size;  /* bytes: 1, 2, 4, 8 */
	u8 memory_size;   /* bytes that a memory operand has; differs from operand_size for MOVZX and MOVSX */
	u8 address_size;  /* bytes: 2, 4, 8 */
	u8 segment;       /* enum insn_segment, of the memory operand: default or prefix */
	u8 reg;           /* 0..15: RAX RCX RDX RBX RSP RBP RSI RDI R8.. */
	u8 rm;            /* likewise, when !memory */
	bool memory;      /* rm is memory: base + (index << shift) + displacement */
	bool rip;         /* ... + address of the next instruction */
	bool has_immediate;
	bool rex;         /* a REX prefix: byte registers 4..7 are SPL..DIL, else AH..BH */
	u8 base, index;   /* or INSN_NO_REGISTER */
	u8 shift;
	s64 displacement;
	u64 immediate;    /* sign-extended to operand_size where the instruction does */
};

enum decode_result decode(const u8 *bytes, u32 length, enum decode_mode mode, struct insn *out);

/* The commonest exits' instructions without prefixes, as a word of their two bytes. */
#define PLAIN_CPUID 0xa20fu
#define PLAIN_WRMSR 0x300fu
#define PLAIN_RDMSR 0x320fu

/* ---- operands of a decoded instruction; gpr[] in the order of `reg` ---- */

/* Effective address (offset in its segment), wrapped to the address size. `rip`: where this instruction begins. */
u64 insn_offset(const struct insn *i, const u64 gpr[16], u64 rip);
/* A register of `size` bytes, AH..BH included. */
u64 insn_get(const struct insn *i, const u64 gpr[16], u32 reg, u32 size);
/* Writes it as the processor does: 4 bytes clear the upper half, 1 and 2 leave the rest. */
void insn_set(const struct insn *i, u64 gpr[16], u32 reg, u32 size, u64 value);

#endif
