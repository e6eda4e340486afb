/*
 * test_emulate: the instruction emulator against the processor that runs this test, and against the manual where that cannot be.
 *
 * The comparison: a random instruction of a template, random registers, flags and memory. It is executed natively (a small generated
 * function loads every register, executes it, stores every register) on memory at DATA, and emulated on a copy. Registers, memory and
 * the flags that the instruction defines must agree.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "monitor/emulate.h"
#include "monitor/emulate_internal.h"

#define DATA       0x10000000ull
#define DATA_BYTES 0x8000ull
#define STATE      0x20000000ull
#define CODE       0x20010000ull
#define DEVICE     0x30000000ull /* one page of a device */
#define ROUNDS     400u

/* ---- a small world for the emulator ---- */

struct world {
	u8 ram[DATA_BYTES];       /* at DATA */
	u64 read_only;            /* a page in DATA that cannot be written, 0: none */
	u64 absent;               /* a page in DATA that is not there, 0: none */
	u8 device[PAGE_SIZE];     /* at DEVICE, gpa the same */
	u32 device_reads, device_writes, ins, outs, fetches, writes;
	u32 next_in;
	u8 out_bytes[1024];
	u32 out_count;
	u8 code[64];              /* what fetch gives, from fetch_base on */
	u64 fetch_base;
};

static bool touches(u64 page, u64 gva, u32 length)
{
	return page && gva < page + PAGE_SIZE && gva + length > page;
}

static enum emulate_access page_fault(u64 gva, u32 error, struct emulate_fault *fault)
{
	*fault = (struct emulate_fault){ .vector = 14, .has_error = true, .error = error, .cr2 = gva };
	return EMULATE_ACCESS_FAULT;
}

static enum emulate_access where(struct world *w, u64 gva, u32 length, bool write, u64 *gpa, struct emulate_fault *fault)
{
	if (touches(w->absent, gva, length))
		return page_fault(gva < w->absent ? w->absent : gva, write ? 2 : 0, fault);
	if (write && touches(w->read_only, gva, length))
		return page_fault(gva < w->read_only ? w->read_only : gva, 3, fault);
	if (gva >= DATA && gva + length <= DATA + DATA_BYTES)
		return EMULATE_ACCESS_DONE;
	if (gva >= DEVICE && gva + length <= DEVICE + PAGE_SIZE) {
		*gpa = gva;
		return EMULATE_ACCESS_DEVICE;
	}
	return EMULATE_ACCESS_NOWHERE;
}

static enum emulate_access world_read(void *context, u64 gva, void *to, u32 length, u64 *gpa, struct emulate_fault *fault)
{
	struct world *w = context;
	enum emulate_access a = where(w, gva, length, false, gpa, fault);

	assert_in_range(length, 1, EMULATE_ACCESS_MAX);
	if (a == EMULATE_ACCESS_DONE)
		memcpy(to, w->ram + (gva - DATA), length);
	return a;
}

static enum emulate_access world_write(void *context, u64 gva, const void *from, u32 length, u64 *gpa, struct emulate_fault *fault)
{
	struct world *w = context;
	enum emulate_access a = where(w, gva, length, true, gpa, fault);

	assert_in_range(length, 1, EMULATE_ACCESS_MAX);
	if (a == EMULATE_ACCESS_DONE) {
		memcpy(w->ram + (gva - DATA), from, length);
		w->writes++;
	}
	return a;
}

static enum emulate_access world_fetch(void *context, u64 gva, void *to, u32 length, struct emulate_fault *fault)
{
	struct world *w = context;

	w->fetches++;
	if (gva < w->fetch_base || gva + length > w->fetch_base + sizeof(w->code))
		return page_fault(gva, 0x10, fault);
	memcpy(to, w->code + (gva - w->fetch_base), length);
	return EMULATE_ACCESS_DONE;
}

static u64 world_mmio_read(void *context, u64 gpa, u32 size)
{
	struct world *w = context;
	u64 value = 0;

	assert_true(size == 1 || size == 2 || size == 4 || size == 8);
	w->device_reads++;
	memcpy(&value, w->device + (gpa - DEVICE), size);
	return value;
}

static void world_mmio_write(void *context, u64 gpa, u32 size, u64 value)
{
	struct world *w = context;

	assert_true(size == 1 || size == 2 || size == 4 || size == 8);
	w->device_writes++;
	memcpy(w->device + (gpa - DEVICE), &value, size);
}

static u32 world_in(void *context, u16 port, u32 size)
{
	struct world *w = context;

	(void)port, (void)size;
	w->ins++;
	return w->next_in++;
}

static void world_out(void *context, u16 port, u32 size, u32 value)
{
	struct world *w = context;

	(void)port;
	w->outs++;
	memcpy(w->out_bytes + w->out_count, &value, size);
	w->out_count += size;
}

static const struct emulate_ops world_ops = {
	world_read, world_write, world_fetch, world_mmio_read, world_mmio_write, world_in, world_out,
};

#define CODE_64 0xa9bu /* G L P S code */
#define CODE_32 0xc9bu
#define CODE_16 0x09bu
#define DATA_32 0xc93u
#define FLAT    0xffffffffu

static void set_mode(struct mon_vcpu *c, u32 bits)
{
	struct mon_segment data = { 0x10, DATA_32, FLAT, 0 };

	c->cr0 = 1;
	c->efer = bits == 64 ? EFER_LMA_BIT : 0;
	c->cs = (struct mon_segment){ 8, bits == 64 ? CODE_64 : bits == 32 ? CODE_32 : CODE_16, FLAT, 0 };
	c->es = c->ss = c->ds = c->fs = c->gs = data;
	c->rflags = 2;
	c->rip = 0x1000;
}

static enum emulate_result emulate(struct world *w, struct mon_vcpu *c, const char *bytes, u32 length, struct emulate_fault *f)
{
	return emulate_instruction(&world_ops, w, c, (const u8 *)bytes, length, f);
}
#define EMULATE(w, c, bytes, f) emulate(w, c, bytes, sizeof(bytes) - 1, f)

static u64 peek(const struct world *w, u64 gva, u32 size)
{
	u64 v = 0;

	memcpy(&v, w->ram + (gva - DATA), size);
	return v;
}

static void poke(struct world *w, u64 gva, u64 v, u32 size) { memcpy(w->ram + (gva - DATA), &v, size); }

static struct world *new_world(void)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	return w;
}

/* ---- the native side ---- */

struct state {
	u64 in[MON_GPRS], in_flags;
	u64 out[MON_GPRS], out_flags;
	u64 host_rsp;
};

static struct state *const state = (struct state *)STATE;
static u8 *code_end;

static void put(const void *bytes, size_t n)
{
	memcpy(code_end, bytes, n);
	code_end += n;
}
#define PUT(...) put((const u8[]){ __VA_ARGS__ }, sizeof((const u8[]){ __VA_ARGS__ }))

/* MOV between a register and an absolute address: opcode 8B loads, 89 stores. */
static void put_move(u8 opcode, u32 reg, u64 address)
{
	u32 a = (u32)address;

	PUT((u8)(0x48 | (reg >= 8 ? 4 : 0)), opcode, (u8)((reg & 7) << 3 | 4), 0x25);
	put(&a, sizeof(a));
}

static u64 state_at(size_t offset) { return STATE + offset; }

static void execute(const u8 *insn, u32 length)
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

static void *map_at(u64 address, u64 bytes, int protection)
{
	void *p = mmap((void *)address, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	assert_ptr_equal(p, (void *)address);
	return p;
}

static int map_native(void **unused)
{
	(void)unused;
	map_at(DATA, DATA_BYTES, PROT_READ | PROT_WRITE);
	map_at(STATE, PAGE_SIZE, PROT_READ | PROT_WRITE);
	map_at(CODE, PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC);
	return 0;
}

/* ---- random instructions ---- */

static u64 seed = 0x9e3779b97f4a7c15ull;

static u64 random64(void) /* xorshift */
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}
static u32 below(u32 n) { return (u32)(random64() >> 33) % n; }

enum template_flags { T_0F = 1, T_IMM8 = 2, T_IMM_FULL = 4, T_LOCK = 8, T_GROUP = 16, T_STRING = 32, T_BYTE = 64, T_BIT = 128, T_REP_COMPARE = 256,
		      T_NO_MODRM = 512, T_0F38 = 1024, T_NO_66 = 2048 };

struct template { u8 opcode; u8 group; u32 flags; const char *name; };

static const struct template templates[] = {
	{ 0x88, 0, T_BYTE, "mov m8,r8" }, { 0x89, 0, 0, "mov m,r" }, { 0x8a, 0, T_BYTE, "mov r8,m8" }, { 0x8b, 0, 0, "mov r,m" },
	{ 0xc6, 0, T_BYTE | T_IMM8 | T_GROUP, "mov m8,i" }, { 0xc7, 0, T_IMM_FULL | T_GROUP, "mov m,i" },
	{ 0xb6, 0, T_0F, "movzx 8" }, { 0xb7, 0, T_0F, "movzx 16" }, { 0xbe, 0, T_0F, "movsx 8" }, { 0xbf, 0, T_0F, "movsx 16" },
	{ 0x63, 0, 0, "movsxd" }, { 0xc3, 0, T_0F | T_NO_66, "movnti" },
	{ 0x00, 0, T_BYTE | T_LOCK, "add m8" }, { 0x01, 0, T_LOCK, "add m" }, { 0x02, 0, T_BYTE, "add r8" }, { 0x03, 0, 0, "add r" },
	{ 0x08, 0, T_BYTE | T_LOCK, "or m8" }, { 0x09, 0, T_LOCK, "or m" }, { 0x0b, 0, 0, "or r" },
	{ 0x10, 0, T_BYTE | T_LOCK, "adc m8" }, { 0x11, 0, T_LOCK, "adc m" }, { 0x13, 0, 0, "adc r" },
	{ 0x18, 0, T_BYTE | T_LOCK, "sbb m8" }, { 0x19, 0, T_LOCK, "sbb m" }, { 0x1b, 0, 0, "sbb r" },
	{ 0x20, 0, T_BYTE | T_LOCK, "and m8" }, { 0x21, 0, T_LOCK, "and m" }, { 0x23, 0, 0, "and r" },
	{ 0x28, 0, T_BYTE | T_LOCK, "sub m8" }, { 0x29, 0, T_LOCK, "sub m" }, { 0x2b, 0, 0, "sub r" },
	{ 0x30, 0, T_BYTE | T_LOCK, "xor m8" }, { 0x31, 0, T_LOCK, "xor m" }, { 0x33, 0, 0, "xor r" },
	{ 0x38, 0, T_BYTE, "cmp m8" }, { 0x39, 0, 0, "cmp m" }, { 0x3a, 0, T_BYTE, "cmp r8" }, { 0x3b, 0, 0, "cmp r" },
	{ 0x84, 0, T_BYTE, "test m8" }, { 0x85, 0, 0, "test m" },
	{ 0x80, 0, T_BYTE | T_IMM8 | T_GROUP, "add m8,i" }, { 0x80, 3, T_BYTE | T_IMM8 | T_GROUP, "sbb m8,i" },
	{ 0x80, 7, T_BYTE | T_IMM8 | T_GROUP, "cmp m8,i" }, { 0x81, 1, T_IMM_FULL | T_GROUP, "or m,i" },
	{ 0x81, 2, T_IMM_FULL | T_GROUP, "adc m,i" }, { 0x81, 5, T_IMM_FULL | T_GROUP, "sub m,i" }, { 0x81, 7, T_IMM_FULL | T_GROUP, "cmp m,i" },
	{ 0x83, 0, T_IMM8 | T_GROUP, "add m,i8" }, { 0x83, 4, T_IMM8 | T_GROUP, "and m,i8" }, { 0x83, 6, T_IMM8 | T_GROUP, "xor m,i8" },
	{ 0xf6, 0, T_BYTE | T_IMM8 | T_GROUP, "test m8,i" }, { 0xf7, 0, T_IMM_FULL | T_GROUP, "test m,i" },
	{ 0xf6, 2, T_BYTE | T_GROUP, "not m8" }, { 0xf7, 2, T_GROUP, "not m" }, { 0xf6, 3, T_BYTE | T_GROUP, "neg m8" }, { 0xf7, 3, T_GROUP, "neg m" },
	{ 0xfe, 0, T_BYTE | T_GROUP | T_LOCK, "inc m8" }, { 0xff, 0, T_GROUP, "inc m" }, { 0xfe, 1, T_BYTE | T_GROUP, "dec m8" },
	{ 0xff, 1, T_GROUP | T_LOCK, "dec m" },
	{ 0x86, 0, T_BYTE, "xchg 8" }, { 0x87, 0, T_LOCK, "xchg" },
	{ 0xc0, 0, T_0F | T_BYTE | T_LOCK, "xadd 8" }, { 0xc1, 0, T_0F | T_LOCK, "xadd" },
	{ 0xb0, 0, T_0F | T_BYTE | T_LOCK, "cmpxchg 8" }, { 0xb1, 0, T_0F | T_LOCK, "cmpxchg" },
	{ 0xc7, 1, T_0F | T_GROUP | T_NO_66, "cmpxchg8b" },
	{ 0xa3, 0, T_0F | T_BIT, "bt" }, { 0xab, 0, T_0F | T_BIT | T_LOCK, "bts" }, { 0xb3, 0, T_0F | T_BIT, "btr" }, { 0xbb, 0, T_0F | T_BIT, "btc" },
	{ 0xba, 4, T_0F | T_GROUP | T_IMM8, "bt i" }, { 0xba, 5, T_0F | T_GROUP | T_IMM8 | T_LOCK, "bts i" },
	{ 0xba, 6, T_0F | T_GROUP | T_IMM8, "btr i" }, { 0xba, 7, T_0F | T_GROUP | T_IMM8, "btc i" },
	{ 0xff, 6, T_GROUP, "push m" }, { 0x8f, 0, T_GROUP, "pop m" },
	{ 0x50, 0, T_NO_MODRM, "push rax" }, { 0x54, 0, T_NO_MODRM, "push rsp" }, { 0x5d, 0, T_NO_MODRM, "pop rbp" },
	{ 0x5c, 0, T_NO_MODRM, "pop rsp" }, { 0x6a, 0, T_NO_MODRM | T_IMM8, "push i8" }, { 0x68, 0, T_NO_MODRM | T_IMM_FULL, "push i" },
	{ 0x92, 0, T_0F | T_GROUP, "setb" }, { 0x96, 0, T_0F | T_GROUP, "setbe" }, { 0x9d, 0, T_0F | T_GROUP, "setge" }, { 0x9e, 0, T_0F | T_GROUP, "setle" },
	{ 0x90, 0, T_0F | T_GROUP, "seto" }, { 0x9b, 0, T_0F | T_GROUP, "setnp" }, { 0x98, 0, T_0F | T_GROUP, "sets" }, { 0x95, 0, T_0F | T_GROUP, "setnz" },
	{ 0x47, 0, T_0F, "cmova" }, { 0x4c, 0, T_0F, "cmovl" },
	{ 0xf0, 0, T_0F38, "movbe r" }, { 0xf1, 0, T_0F38, "movbe m" },
	{ 0xa4, 0, T_STRING | T_BYTE, "movsb" }, { 0xa5, 0, T_STRING, "movs" }, { 0xaa, 0, T_STRING | T_BYTE, "stosb" }, { 0xab, 0, T_STRING, "stos" },
	{ 0xac, 0, T_STRING | T_BYTE, "lodsb" }, { 0xad, 0, T_STRING, "lods" },
	{ 0xa6, 0, T_STRING | T_BYTE | T_REP_COMPARE, "cmpsb" }, { 0xa7, 0, T_STRING | T_REP_COMPARE, "cmps" },
	{ 0xae, 0, T_STRING | T_BYTE | T_REP_COMPARE, "scasb" }, { 0xaf, 0, T_STRING | T_REP_COMPARE, "scas" },
};

/* RBX points into DATA, RCX is a small index; the ModRM forms used are [rbx], [rbx+d8], [rbx+rcx*s+d8], [rip-relative] is tested apart. */
static u32 put_modrm(u8 *to, u32 reg)
{
	switch (below(3)) {
	case 0:
		to[0] = (u8)(reg << 3 | 3);
		return 1;
	case 1:
		to[0] = (u8)(0x40 | reg << 3 | 3);
		to[1] = (u8)random64();
		return 2;
	default:
		to[0] = (u8)(0x40 | reg << 3 | 4);
		to[1] = (u8)(below(4) << 6 | 1 << 3 | 3);
		to[2] = (u8)random64();
		return 3;
	}
}

static u32 make(const struct template *t, u8 *to, bool *address_32)
{
	static const u8 bit_numbers[] = { MON_RAX, MON_RDX, MON_RBP }; /* the others hold addresses */
	u32 n = 0, reg = t->flags & T_GROUP ? t->group : t->flags & T_BIT ? bit_numbers[below(3)] : below(8);
	bool wide = false, small = false, rex = below(2);

	*address_32 = below(4) == 0;
	if (*address_32)
		to[n++] = 0x67;
	if ((t->flags & T_LOCK) && below(3) == 0)
		to[n++] = 0xf0;
	if (!(t->flags & (T_BYTE | T_NO_66)) && below(3) == 0) {
		to[n++] = 0x66;
		small = true;
	}
	if ((t->flags & T_STRING) && below(3))
		to[n++] = (t->flags & T_REP_COMPARE) && below(2) ? 0xf2 : 0xf3;
	if (rex) {
		wide = below(2) && strcmp(t->name, "cmpxchg8b") != 0;
		to[n++] = (u8)(0x40 | (wide ? 8 : 0) | (!(t->flags & (T_GROUP | T_STRING)) && below(2) ? 4 : 0));
	}
	if (t->flags & (T_0F | T_0F38))
		to[n++] = 0x0f;
	if (t->flags & T_0F38)
		to[n++] = 0x38;
	to[n++] = t->opcode;
	if (!(t->flags & (T_STRING | T_NO_MODRM)))
		n += put_modrm(to + n, reg);
	for (u32 i = t->flags & T_IMM8 ? 1 : t->flags & T_IMM_FULL ? small && !wide ? 2 : 4 : 0; i; i--)
		to[n++] = (u8)random64();
	return n;
}

static const u64 corners[] = { 0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
			       0x7fffffffffffffff, 0x8000000000000000, ~0ull };

static void random_registers(const struct template *t, bool address_32)
{
	u64 high = address_32 ? random64() << 32 : 0;

	for (u32 r = 0; r < MON_GPRS; r++) {
		state->in[r] = below(3) ? random64() : corners[below(sizeof(corners) / sizeof(corners[0]))];
		if (t->flags & T_BIT) /* a bit number that stays near */
			state->in[r] = (u64)(s64)((s32)below(32768) - 16384);
	}
	state->in[MON_RBX] = high | (DATA + 0x4000 + below(0x100));
	state->in[MON_RSP] = DATA + 0x3000 + 8 * below(64);
	state->in[MON_RSI] = high | (DATA + 0x3000 + below(0x100));
	state->in[MON_RDI] = high | (DATA + 0x5000 + below(0x100));
	state->in[MON_RCX] = high | below(EMULATE_BATCH);
	state->in_flags = 2 | (random64() & (RFLAGS_STATUS | RFLAGS_DF));
}

/* Runs of equal elements make repeated comparisons go on for a while. */
static void random_memory(struct world *w)
{
	bool runs = below(2);
	u8 byte = (u8)random64();

	for (u32 i = 0; i < DATA_BYTES; i++)
		w->ram[i] = runs ? byte : (u8)random64();
	w->ram[0x3000 + below(0x200)] ^= 1;
	w->ram[0x5000 + below(0x200)] ^= 1;
	memcpy((void *)DATA, w->ram, DATA_BYTES);
}

static u64 undefined_flags(const u8 *insn, u32 n)
{
	ZydisDecoder d;
	ZydisDecodedInstruction i;

	assert_true(ZYAN_SUCCESS(ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)));
	assert_true(ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&d, NULL, insn, n, &i)));
	return i.cpu_flags ? i.cpu_flags->undefined : 0;
}

static void compare_one(struct world *w, const struct template *t)
{
	u8 insn[16];
	bool address_32;
	u32 n = make(t, insn, &address_32);
	struct mon_vcpu c = { 0 };
	struct emulate_fault fault;
	u64 mask;

	random_registers(t, address_32);
	random_memory(w);
	set_mode(&c, 64);
	memcpy(c.gpr, state->in, sizeof(c.gpr));
	c.rflags = state->in_flags;
	execute(insn, n);
	if (emulate(w, &c, (const char *)insn, n, &fault) != EMULATE_DONE)
		fail_msg("%s: not carried out (byte %02x)", t->name, insn[0]);
	mask = (RFLAGS_STATUS | RFLAGS_DF) & ~undefined_flags(insn, n);
	for (u32 r = 0; r < MON_GPRS; r++)
		if (c.gpr[r] != state->out[r])
			fail_msg("%s: register %u is %lx, native %lx", t->name, r, c.gpr[r], state->out[r]);
	if ((c.rflags ^ state->out_flags) & mask)
		fail_msg("%s: flags are %lx, native %lx", t->name, c.rflags, state->out_flags);
	if (memcmp(w->ram, (void *)DATA, DATA_BYTES) != 0)
		fail_msg("%s: memory differs", t->name);
	assert_int_equal(c.rip, 0x1000 + n);
}

static void test_against_the_processor(void **unused)
{
	struct world *w = new_world();

	(void)unused;
	for (u32 i = 0; i < sizeof(templates) / sizeof(templates[0]); i++)
		for (u32 k = 0; k < ROUNDS; k++)
			compare_one(w, &templates[i]);
	free(w);
}

/* ---- what cannot be executed here, by the manual ---- */

static void test_rip_relative_and_width(void **unused)
{
	struct world *w = new_world();
	struct mon_vcpu c = { 0 };
	struct emulate_fault f;

	(void)unused;
	set_mode(&c, 64);
	c.rip = DATA;
	poke(w, DATA + 6 + 0x100, 0x12345678, 4);
	assert_int_equal(EMULATE(w, &c, "\x8b\x05\x00\x01\x00\x00", &f), EMULATE_DONE); /* mov eax,[rip+0x100] */
	assert_int_equal(c.gpr[MON_RAX], 0x12345678);
	c.gpr[MON_R13] = 4; /* mov eax,[disp32] with 67, REX.B and a SIB without base: R13 does not count (seen on a processor) */
	c.gpr[MON_RAX] = 0;
	assert_int_equal(EMULATE(w, &c, "\x67\x41\x8b\x04\x25\x06\x01\x00\x10", &f), EMULATE_DONE);
	assert_int_equal(c.gpr[MON_RAX], 0x12345678);
	set_mode(&c, 16);
	c.rip = 0xffff;
	c.ds.base = DATA;
	c.gpr[MON_RBX] = 0xabcd0010;
	assert_int_equal(EMULATE(w, &c, "\x88\x07", &f), EMULATE_DONE); /* mov [bx],al: IP wraps */
	assert_int_equal(c.rip, 1);
	assert_int_equal(peek(w, DATA + 0x10, 1), 0x78);
	set_mode(&c, 32);
	c.rip = 0xffffffff;
	c.gpr[MON_RBX] = DATA + 0x20;
	assert_int_equal(EMULATE(w, &c, "\x89\x03", &f), EMULATE_DONE);
	assert_int_equal(c.rip, 1);
	free(w);
}

static void test_legacy_modes(void **unused)
{
	struct world *w = new_world();
	struct mon_vcpu c = { 0 };
	struct emulate_fault f;

	(void)unused;
	set_mode(&c, 16);
	c.ds.base = DATA;
	c.es.base = DATA + 0x2000;
	c.gpr[MON_RSI] = 0xffff0ffe;
	c.gpr[MON_RDI] = 0x77770010;
	c.gpr[MON_RCX] = 0x12340003; /* CX counts: the rest of the registers stays */
	poke(w, DATA + 0xffe, 0x665544332211, 6);
	assert_int_equal(EMULATE(w, &c, "\xf3\xa5", &f), EMULATE_DONE); /* rep movsw */
	assert_int_equal(c.gpr[MON_RSI], 0xffff1004);
	assert_int_equal(c.gpr[MON_RDI], 0x77770016);
	assert_int_equal(c.gpr[MON_RCX], 0x12340000);
	assert_int_equal(peek(w, DATA + 0x2010, 6), 0x665544332211);
	c.ss = (struct mon_segment){ 0x18, 0x93, 0xffff, DATA }; /* a 16-bit stack: SP wraps below 0, what lies above stays */
	c.gpr[MON_RSP] = 0xabcd2000;
	c.gpr[MON_RBX] = 0x2010;
	assert_int_equal(EMULATE(w, &c, "\x66\xff\x37", &f), EMULATE_DONE); /* push dword [bx] */
	assert_int_equal(c.gpr[MON_RSP], 0xabcd1ffc);
	assert_int_equal(peek(w, DATA + 0x1ffc, 4), 0x44332211);
	assert_int_equal(EMULATE(w, &c, "\x26\x8f\x07", &f), EMULATE_DONE); /* pop word es:[bx] */
	assert_int_equal(c.gpr[MON_RSP], 0xabcd1ffe);
	assert_int_equal(peek(w, DATA + 0x4010, 2), 0x2211); /* ES:BX */
	set_mode(&c, 32);
	c.gpr[MON_RSP] = DATA + 0x3000;
	poke(w, DATA + 0x3000, 0x99, 4);
	assert_int_equal(EMULATE(w, &c, "\x8f\x44\x24\x08", &f), EMULATE_DONE); /* pop [esp+8]: with ESP already moved */
	assert_int_equal(peek(w, DATA + 0x300c, 4), 0x99);
	c.gpr[MON_RBX] = DATA + 0x20;
	poke(w, DATA + 0x20, 0xff, 1);
	assert_int_equal(EMULATE(w, &c, "\x40\xfe\x03", &f), EMULATE_DONE); /* 40 is no REX here, but INC EAX */
	assert_int_equal(c.gpr[MON_RAX], 1);
	assert_int_equal(EMULATE(w, &c, "\xfe\x03", &f), EMULATE_DONE);
	assert_int_equal(peek(w, DATA + 0x20, 1), 0);
	assert_true(c.rflags & RFLAGS_ZF);
	c.ds.base = 0xfffff000; /* segment arithmetic is 32 bits wide */
	c.gpr[MON_RBX] = DATA + 0x1040;
	assert_int_equal(EMULATE(w, &c, "\xc6\x03\x5a", &f), EMULATE_DONE);
	assert_int_equal(peek(w, DATA + 0x40, 1), 0x5a);
	free(w);
}

static void expect_fault(enum emulate_result r, const struct emulate_fault *f, u32 vector, bool has_error)
{
	assert_int_equal(r, EMULATE_FAULT);
	assert_int_equal(f->vector, vector);
	assert_int_equal(f->has_error, has_error);
	assert_int_equal(f->error, 0);
}

static void test_segment_checks(void **unused)
{
	struct world *w = new_world();
	struct mon_vcpu c = { 0 };
	struct emulate_fault f;

	(void)unused;
	set_mode(&c, 32);
	c.ds = (struct mon_segment){ 0x10, DATA_32, 0xfff, DATA };
	c.gpr[MON_RBX] = 0xffc;
	assert_int_equal(EMULATE(w, &c, "\x89\x03", &f), EMULATE_DONE);
	c.gpr[MON_RBX] = 0xffd; /* the last byte is outside */
	expect_fault(EMULATE(w, &c, "\x89\x03", &f), &f, VECTOR_GP, true);
	c.ds.attributes = DATA_32 | SEGMENT_TYPE_EXPAND_DOWN;
	c.gpr[MON_RBX] = 0xfff;
	expect_fault(EMULATE(w, &c, "\x89\x03", &f), &f, VECTOR_GP, true);
	c.gpr[MON_RBX] = 0x1000;
	assert_int_equal(EMULATE(w, &c, "\x89\x03", &f), EMULATE_DONE);
	c.ds.attributes = DATA_32 & ~SEGMENT_TYPE_WRITABLE;
	c.gpr[MON_RBX] = 0x10;
	expect_fault(EMULATE(w, &c, "\x89\x03", &f), &f, VECTOR_GP, true);
	assert_int_equal(EMULATE(w, &c, "\x8b\x03", &f), EMULATE_DONE); /* reading is allowed */
	c.ds.attributes = 0;
	expect_fault(EMULATE(w, &c, "\x8b\x03", &f), &f, VECTOR_GP, true);
	c.ss.limit = 0xfff;
	c.gpr[MON_RBP] = 0x1000;
	expect_fault(EMULATE(w, &c, "\x8b\x45\x00", &f), &f, VECTOR_SS, true); /* [ebp]: #SS */
	c.cs.attributes = CODE_32 & ~SEGMENT_TYPE_WRITABLE; /* execute only */
	c.gpr[MON_RBX] = DATA;
	expect_fault(EMULATE(w, &c, "\x2e\x8b\x03", &f), &f, VECTOR_GP, true);
	set_mode(&c, 16);
	c.cr0 = 0; /* real mode: no error code */
	c.ds = (struct mon_segment){ 0, 0x93, 0xffff, DATA };
	c.gpr[MON_RBX] = 0xffff;
	expect_fault(EMULATE(w, &c, "\x89\x07", &f), &f, VECTOR_GP, false);
	free(w);
}

static void test_canonical_addresses(void **unused)
{
	struct world *w = new_world();
	struct mon_vcpu c = { 0 }, before;
	struct emulate_fault f;

	(void)unused;
	set_mode(&c, 64);
	c.gpr[MON_RBX] = 0x800000000000ull;
	before = c;
	expect_fault(EMULATE(w, &c, "\x8b\x03", &f), &f, VECTOR_GP, true);
	c.gpr[MON_RBX] = 0x7ffffffffffdull; /* the last byte is not canonical */
	expect_fault(EMULATE(w, &c, "\x8b\x03", &f), &f, VECTOR_GP, true);
	c.gpr[MON_RBX] = before.gpr[MON_RBX];
	assert_memory_equal(&c, &before, sizeof(c));
	c.gpr[MON_RBP] = 0x800000000000ull;
	expect_fault(EMULATE(w, &c, "\x8b\x45\x00", &f), &f, VECTOR_SS, true);
	c.fs.base = DATA; /* FS and GS have bases, DS has none */
	c.ds.base = 0x1000000;
	poke(w, DATA + 8, 77, 8);
	c.gpr[MON_RBX] = 8;
	assert_int_equal(EMULATE(w, &c, "\x64\x48\x8b\x03", &f), EMULATE_DONE);
	assert_int_equal(c.gpr[MON_RAX], 77);
	c.cpl = 3;
	c.cr0 |= CR0_AM_BIT;
	c.rflags |= RFLAGS_AC;
	c.gpr[MON_RBX] = DATA + 1;
	expect_fault(EMULATE(w, &c, "\x8b\x03", &f), &f, VECTOR_AC, true);
	free(w);
}

static void test_devices(void **unused)
{
	struct world *w = new_world();
	struct mon_vcpu c = { 0 };
	struct emulate_fault f;

	(void)unused;
	set_mode(&c, 64);
	c.gpr[MON_RBX] = DEVICE + 8;
	c.gpr[MON_RAX] = 0x1122334455667788ull;
	assert_int_equal(EMULATE(w, &c, "\x48\x89\x03", &f), EMULATE_DONE);
	assert_int_equal(w->device_writes, 1);
	assert_memory_equal(w->device + 8, "\x88\x77\x66\x55\x44\x33\x22\x11", 8);
	assert_int_equal(EMULATE(w, &c, "\x80\x0b\x07", &f), EMULATE_DONE); /* or byte [rbx],7: one read, one write */
	assert_int_equal(w->device_reads, 1);
	assert_int_equal(w->device_writes, 2);
	assert_int_equal(w->device[8], 0x8f);
	c.gpr[MON_RSI] = DEVICE + 8;
	c.gpr[MON_RDI] = DATA + 0x100;
	c.gpr[MON_RCX] = 2;
	assert_int_equal(EMULATE(w, &c, "\xf3\xa5", &f), EMULATE_DONE); /* rep movsd out of the device */
	assert_int_equal(peek(w, DATA + 0x100, 8), 0x112233445566778full);
	assert_int_equal(w->device_reads, 3);
	c.gpr[MON_RBX] = 0x50000000; /* nothing: all ones, writes lost */
	assert_int_equal(EMULATE(w, &c, "\x8b\x03", &f), EMULATE_DONE);
	assert_int_equal(c.gpr[MON_RAX], 0xffffffff);
	assert_int_equal(EMULATE(w, &c, "\x89\x03", &f), EMULATE_DONE);
	w->device[0xffe] = 0xaa;
	w->device[0xfff] = 0xbb;
	c.gpr[MON_RBX] = DEVICE + 0xffe; /* device, then nothing */
	assert_int_equal(EMULATE(w, &c, "\x8b\x03", &f), EMULATE_DONE);
	assert_int_equal(c.gpr[MON_RAX], 0xffffbbaa);
	free(w);
}

static void test_page_crossing_faults_whole(void **unused)
{
	struct world *w = new_world();
	struct mon_vcpu c = { 0 }, before;
	struct emulate_fault f;

	(void)unused;
	set_mode(&c, 64);
	w->read_only = DATA + 0x1000;
	c.gpr[MON_RBX] = DATA + 0xffe;
	c.gpr[MON_RAX] = 0xffffffff;
	before = c;
	assert_int_equal(EMULATE(w, &c, "\x01\x03", &f), EMULATE_FAULT); /* add [rbx],eax */
	assert_int_equal(f.vector, 14);
	assert_int_equal(f.cr2, DATA + 0x1000);
	assert_int_equal(f.error, 3);
	assert_int_equal(peek(w, DATA + 0xffe, 2), 0);
	assert_memory_equal(&c, &before, sizeof(c));
	c.gpr[MON_RSP] = DATA + 0x100;
	c.gpr[MON_RBX] = DATA + 0x1000;
	assert_int_equal(EMULATE(w, &c, "\x8f\x03", &f), EMULATE_FAULT); /* pop [rbx]: RSP as before */
	assert_int_equal(c.gpr[MON_RSP], DATA + 0x100);
	free(w);
}

static void test_string_stops_at_a_fault(void **unused)
{
	struct world *w = new_world();
	struct mon_vcpu c = { 0 };
	struct emulate_fault f;

	(void)unused;
	set_mode(&c, 64);
	w->read_only = DATA + 0x1000;
	c.gpr[MON_RDI] = DATA + 0xff0;
	c.gpr[MON_RCX] = 10;
	c.gpr[MON_RAX] = 0xa5a5a5a5;
	assert_int_equal(EMULATE(w, &c, "\xf3\xab", &f), EMULATE_FAULT); /* rep stosd: four fit */
	assert_int_equal(c.gpr[MON_RCX], 6);
	assert_int_equal(c.gpr[MON_RDI], DATA + 0x1000);
	assert_int_equal(c.rip, 0x1000);
	assert_int_equal(peek(w, DATA + 0xffc, 4), 0xa5a5a5a5);
	free(w);
}

static void test_string_is_bounded(void **unused)
{
	struct world *w = new_world();
	struct mon_vcpu c = { 0 };
	struct emulate_fault f;

	(void)unused;
	set_mode(&c, 64);
	c.gpr[MON_RDI] = DATA;
	c.gpr[MON_RCX] = ~0ull;
	assert_int_equal(EMULATE(w, &c, "\xf3\xaa", &f), EMULATE_DONE);
	assert_int_equal(c.gpr[MON_RCX], ~0ull - EMULATE_BATCH);
	assert_int_equal(c.gpr[MON_RDI], DATA + EMULATE_BATCH);
	assert_int_equal(c.rip, 0x1000); /* it is run again */
	c.gpr[MON_RCX] = 0;
	assert_int_equal(EMULATE(w, &c, "\xf3\xaa", &f), EMULATE_DONE);
	assert_int_equal(c.rip, 0x1002);
	c.gpr[MON_RCX] = EMULATE_BATCH;
	c.rip = 0x1000;
	assert_int_equal(EMULATE(w, &c, "\xf3\x6e", &f), EMULATE_DONE); /* rep outsb, exactly a batch */
	assert_int_equal(c.rip, 0x1002);
	free(w);
}

static void test_string_io(void **unused)
{
	struct world *w = new_world();
	struct mon_vcpu c = { 0 };
	struct emulate_fault f;

	(void)unused;
	set_mode(&c, 64);
	for (u32 i = 0; i < 40; i++)
		poke(w, DATA + 0xff0 + i, i, 1);
	c.gpr[MON_RSI] = DATA + 0xff0; /* over a page bound */
	c.gpr[MON_RCX] = 40;
	assert_int_equal(EMULATE(w, &c, "\xf3\x6e", &f), EMULATE_DONE);
	assert_int_equal(w->outs, 40);
	assert_int_equal(c.gpr[MON_RSI], DATA + 0xff0 + 40);
	assert_memory_equal(w->out_bytes, w->ram + 0xff0, 40);
	assert_int_equal(c.gpr[MON_RCX], 0);
	c.rip = 0x1000;
	w->next_in = 0x100;
	c.gpr[MON_RDI] = DATA + 0x2000;
	c.gpr[MON_RCX] = 5;
	assert_int_equal(EMULATE(w, &c, "\x66\xf3\x6d", &f), EMULATE_DONE); /* rep insw */
	assert_int_equal(w->ins, 5);
	for (u32 i = 0; i < 5; i++)
		assert_int_equal(peek(w, DATA + 0x2000 + 2 * i, 2), 0x100 + i);
	assert_int_equal(c.gpr[MON_RDI], DATA + 0x200a);
	c.rflags |= RFLAGS_DF;
	c.gpr[MON_RDI] = DATA + 0x3000;
	c.gpr[MON_RCX] = 2;
	assert_int_equal(EMULATE(w, &c, "\xf3\x6d", &f), EMULATE_DONE); /* downwards */
	assert_int_equal(c.gpr[MON_RDI], DATA + 0x2ff8);
	assert_int_equal(peek(w, DATA + 0x3000, 4), 0x105);
	assert_int_equal(peek(w, DATA + 0x2ffc, 4), 0x106);
	assert_int_equal(EMULATE(w, &c, "\xe4\x70", &f), EMULATE_DONE); /* in al,0x70 */
	assert_int_equal(c.gpr[MON_RAX], 0x07);
	free(w);
}

/* What a device gave must not be lost in a page fault. */
static void test_in_string_takes_nothing_before_a_fault(void **unused)
{
	struct world *w = new_world();
	struct mon_vcpu c = { 0 };
	struct emulate_fault f;

	(void)unused;
	set_mode(&c, 64);
	w->absent = DATA + 0x1000;
	c.gpr[MON_RDI] = DATA + 0xffe;
	c.gpr[MON_RCX] = 8;
	assert_int_equal(EMULATE(w, &c, "\xf3\x6c", &f), EMULATE_FAULT);
	assert_int_equal(w->ins, 2);
	assert_int_equal(c.gpr[MON_RCX], 6);
	assert_int_equal(f.cr2, DATA + 0x1000);
	w->absent = 0;
	assert_int_equal(EMULATE(w, &c, "\xf3\x6c", &f), EMULATE_DONE);
	assert_int_equal(w->ins, 8);
	for (u32 i = 0; i < 8; i++)
		assert_int_equal(peek(w, DATA + 0xffe + i, 1), i);
	free(w);
}

static void test_fetches_the_rest(void **unused)
{
	struct world *w = new_world();
	struct mon_vcpu c = { 0 };
	struct emulate_fault f;

	(void)unused;
	set_mode(&c, 64);
	c.rip = 0x1ffd; /* c7 03 78 | 56 34 12: three bytes in each page */
	w->fetch_base = 0x1fc8; /* code[] spans both */
	memcpy(w->code + 0x35, "\xc7\x03\x78\x56\x34\x12", 6);
	c.gpr[MON_RBX] = DATA;
	assert_int_equal(EMULATE(w, &c, "\xc7\x03\x78", &f), EMULATE_FAULT); /* 12 more would pass the code that is there */
	w->fetch_base = 0x1fd0;
	memset(w->code, 0, sizeof(w->code));
	memcpy(w->code + 0x2d, "\xc7\x03\x78\x56\x34\x12", 6);
	assert_int_equal(EMULATE(w, &c, "\xc7\x03\x78", &f), EMULATE_DONE);
	assert_int_equal(peek(w, DATA, 4), 0x12345678);
	assert_int_equal(c.rip, 0x2003);
	c.rip = 0x1ffd;
	assert_int_equal(emulate(w, &c, "", 0, &f), EMULATE_DONE);
	assert_int_equal(c.rip, 0x2003);
	c.rip = 0x5000;
	assert_int_equal(EMULATE(w, &c, "\xc7", &f), EMULATE_FAULT);
	assert_int_equal(f.vector, 14);
	assert_int_equal(f.error, 0x10);
	free(w);
}

static void test_unknown_changes_nothing(void **unused)
{
	static const char *const unknown[] = { "\x0f\x28\x03", "\x0f\x0b", "\x8e\x1b", "\xc5\xf8\x28\x03", "\x0f\x01\xd9", "\xff\x13" };
	struct world *w = new_world();
	struct mon_vcpu c = { 0 }, before;
	struct emulate_fault f;

	(void)unused;
	set_mode(&c, 64);
	c.gpr[MON_RBX] = DATA;
	before = c;
	for (u32 i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		assert_int_equal(emulate(w, &c, unknown[i], (u32)strlen(unknown[i]), &f), EMULATE_UNKNOWN);
		assert_memory_equal(&c, &before, sizeof(c));
	}
	/* cmpxchg16b: none for devices */
	assert_int_equal(EMULATE(w, &c, "\x48\x0f\xc7\x0b", &f), EMULATE_UNKNOWN);
	assert_memory_equal(&c, &before, sizeof(c));
	assert_int_equal(w->writes, 0);
	free(w);
}

/* Whatever the bytes are: an answer, and RIP moves by at most 15. */
static void test_random_bytes(void **unused)
{
	struct world *w = new_world();

	(void)unused;
	for (u32 k = 0; k < 100000; k++) {
		struct mon_vcpu c = { 0 };
		struct emulate_fault f;
		u8 bytes[15];

		set_mode(&c, below(3) == 0 ? 16 : below(2) ? 32 : 64);
		for (u32 r = 0; r < MON_GPRS; r++)
			c.gpr[r] = below(2) ? DATA + below((u32)DATA_BYTES) : below(2) ? DEVICE + below(0x1000) : random64();
		for (u32 i = 0; i < sizeof(bytes); i++)
			bytes[i] = (u8)random64();
		w->out_count = 0;
		if (emulate(w, &c, (const char *)bytes, sizeof(bytes), &f) == EMULATE_DONE)
			assert_in_range((c.rip - 0x1000) & 0xffff, 0, 15);
	}
	free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_the_processor),
		cmocka_unit_test(test_rip_relative_and_width),
		cmocka_unit_test(test_legacy_modes),
		cmocka_unit_test(test_segment_checks),
		cmocka_unit_test(test_canonical_addresses),
		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_page_crossing_faults_whole),
		cmocka_unit_test(test_string_stops_at_a_fault),
		cmocka_unit_test(test_string_is_bounded),
		cmocka_unit_test(test_string_io),
		cmocka_unit_test(test_in_string_takes_nothing_before_a_fault),
		cmocka_unit_test(test_fetches_the_rest),
		cmocka_unit_test(test_unknown_changes_nothing),
		cmocka_unit_test(test_random_bytes),
	};

	return cmocka_run_group_tests(tests, map_native, NULL);
}
