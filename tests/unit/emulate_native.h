/*
 * emulate_native: the processor that runs the tests, to hold the emulator against: a small generated function loads every register from
 * `state`, executes one instruction, stores every register there. Its memory is DATA, as the world's.
 */
#ifndef TESTS_EMULATE_NATIVE_H
#define TESTS_EMULATE_NATIVE_H

#include "tests/unit/emulate_world.h"

#include <sys/mman.h>

#define STATE 0x20000000ull
#define CODE  0x20010000ull

struct state {
	u64 in[MON_GPRS], in_flags;
	u64 out[MON_GPRS], out_flags;
	u64 host_rsp;
};

static struct state *const state = (struct state *)STATE;
static u8 *code_end;

static inline void put(const void *bytes, size_t n)
{
	memcpy(code_end, bytes, n);
	code_end += n;
}
#define PUT(...) put((const u8[]){ __VA_ARGS__ }, sizeof((const u8[]){ __VA_ARGS__ }))

/* MOV between a register and an absolute address: opcode 8B loads, 89 stores. */
static inline void put_move(u8 opcode, u32 reg, u64 address)
{
	u32 a = (u32)address;

	PUT((u8)(0x48 | (reg >= 8 ? 4 : 0)), opcode, (u8)((reg & 7) << 3 | 4), 0x25);
	put(&a, sizeof(a));
}

static inline u64 state_at(size_t offset) { return STATE + offset; }

static inline void execute(const u8 *insn, u32 length)
{
	u32 flags_in = (u32)state_at(offsetof(struct state, in_flags)), flags_out = (u32)state_at(offsetof(struct state, out_flags));

	code_end = (u8 *)CODE;
	PUT(0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57); /* push rbx rbp r12..r15 */
	put_move(0x89, MON_RSP, state_at(offsetof(struct state, host_rsp)));
	PUT(0xff, 0x34, 0x25); /* push [in_flags] */
	put(&flags_in, 4);
	PUT(0x9d); /* popfq */
	for (u32 r = 0; r < MON_GPRS; r++)
		put_move(0x8b, r, state_at(offsetof(struct state, in) + 8 * r));
	put(insn, length);
	put_move(0x89, MON_RSP, state_at(offsetof(struct state, out) + 8 * MON_RSP));
	put_move(0x8b, MON_RSP, state_at(offsetof(struct state, host_rsp)));
	PUT(0x9c, 0x8f, 0x04, 0x25); /* pushfq; pop [out_flags] */
	put(&flags_out, 4);
	for (u32 r = 0; r < MON_GPRS; r++)
		if (r != MON_RSP)
			put_move(0x89, r, state_at(offsetof(struct state, out) + 8 * r));
	PUT(0xfc, 0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3); /* cld, pops, ret */
	((void (*)(void))(uintptr_t)CODE)();
}

static inline void *map_at(u64 address, u64 bytes, int protection)
{
	void *p = mmap((void *)address, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	world_must(p == (void *)address);
	return p;
}

static inline void map_native(void)
{
	map_at(DATA, DATA_BYTES, PROT_READ | PROT_WRITE);
	map_at(STATE, PAGE_SIZE, PROT_READ | PROT_WRITE);
	map_at(CODE, PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC);
}

static inline u64 undefined_flags(const u8 *insn, u32 n)
{
	ZydisDecoder d;
	ZydisDecodedInstruction i;

	world_must(ZYAN_SUCCESS(ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)));
	world_must(ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&d, NULL, insn, n, &i)));
	return i.cpu_flags ? i.cpu_flags->undefined : 0;
}

#endif
