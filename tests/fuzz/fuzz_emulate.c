/*
 * fuzz_emulate: the emulator on instructions, registers and segments that libFuzzer makes up.
 *
 * Three things are held against it: what emulate.h promises of each answer; the same instruction with all of memory made a device's, piece
 * by piece; and, where the instruction touches nothing but RAM in 64-bit mode, the processor that runs this.
 */
#include "tests/fuzz/must.h"
#include "tests/unit/emulate_native.h"

#define INSN_BYTES 15u
#define REGISTER_BYTES 4u
#define HEAD_BYTES 5u
#define CALLS_MOST (8 + 8 * EMULATE_BATCH) /* of ops, for one call */
#define TURNS_MOST 8u
#define CACHE_LINE 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct place {
	struct world w;     /* first: its functions are called with this */
	bool as_device;     /* what is RAM otherwise */
	u32 calls;
	bool elsewhere;     /* a device, a port or nothing was touched */
	bool split;         /* an access lay over two cache lines */
};

struct input {
	u8 bytes[INSN_BYTES + 1];
	u32 given;          /* of them are handed over */
	struct mon_vcpu cpu;
	u64 read_only, absent;
	u8 fill;
};

/* ---- the world, counted ---- */

static bool in_ram(u64 gva, u32 length) { return within(gva, length, DATA, DATA_BYTES); }

static bool crosses(u64 gva, u32 length, u32 unit) { return gva % unit + length > unit; }

/* Instead of RAM: a device's; over a page's end: the emulator is to come half by half. */
static enum emulate_access turned(struct place *p, u64 gva, u32 length, u64 *gpa, enum emulate_access was)
{
	p->calls++;
	p->split = p->split || crosses(gva, length, CACHE_LINE);
	p->elsewhere = p->elsewhere || was != EMULATE_ACCESS_DONE;
	must(was != EMULATE_ACCESS_DEVICE || !crosses(gva, length, PAGE_SIZE), "the world errs");
	if (!p->as_device || was != EMULATE_ACCESS_DONE)
		return was;
	*gpa = gva;
	return crosses(gva, length, PAGE_SIZE) ? EMULATE_ACCESS_NOWHERE : EMULATE_ACCESS_DEVICE;
}

static enum emulate_access place_read(void *context, u64 gva, void *to, u32 length, u64 *gpa, struct emulate_fault *fault)
{
	return turned(context, gva, length, gpa, world_read(context, gva, to, length, gpa, fault));
}

static enum emulate_access place_write(void *context, u64 gva, const void *from, u32 length, u64 *gpa, struct emulate_fault *fault)
{
	struct place *p = context;
	u8 kept[EMULATE_ACCESS_MAX];

	if (in_ram(gva, length) && length <= EMULATE_ACCESS_MAX)
		memcpy(kept, p->w.ram + (gva - DATA), length);
	enum emulate_access was = world_write(p, gva, from, length, gpa, fault);

	if (p->as_device && was == EMULATE_ACCESS_DONE) /* it comes again, by mmio_write */
		memcpy(p->w.ram + (gva - DATA), kept, length);
	return turned(p, gva, length, gpa, was);
}

static enum emulate_access place_fetch(void *context, u64 gva, void *to, u32 length, struct emulate_fault *fault)
{
	((struct place *)context)->calls++;
	must(length >= 1 && length <= INSN_BYTES && !crosses(gva, length, PAGE_SIZE), "fetches more than an instruction");
	return world_fetch(context, gva, to, length, fault);
}

static u64 place_mmio_read(void *context, u64 gpa, u32 size)
{
	struct place *p = context;
	u64 value = 0;

	p->calls++;
	if (!in_ram(gpa, size))
		return world_mmio_read(p, gpa, size);
	must(p->as_device, "RAM is read as a device");
	memcpy(&value, p->w.ram + (gpa - DATA), size);
	return value;
}

static void place_mmio_write(void *context, u64 gpa, u32 size, u64 value)
{
	struct place *p = context;

	p->calls++;
	if (!in_ram(gpa, size)) {
		world_mmio_write(p, gpa, size, value);
		return;
	}
	must(p->as_device, "RAM is written as a device");
	memcpy(p->w.ram + (gpa - DATA), &value, size);
}

static u32 place_in(void *context, u16 port, u32 size)
{
	struct place *p = context;

	must(size == 1 || size == 2 || size == 4, "a port's size");
	p->calls++;
	p->elsewhere = true;
	return world_in(p, port, size) * 0x01030507u;
}

static void place_out(void *context, u16 port, u32 size, u32 value)
{
	struct place *p = context;

	must(size == 1 || size == 2 || size == 4, "a port's size");
	p->calls++;
	p->elsewhere = true;
	world_out(p, port, size, value);
}

static const struct emulate_ops place_ops = {
	place_read, place_write, place_fetch, place_mmio_read, place_mmio_write, place_in, place_out, NULL,
};

static void make_place(struct place *p, const struct input *in, bool as_device)
{
	bool long_mode = in_long_mode(&in->cpu);

	memset(p, 0, sizeof(*p));
	p->as_device = as_device;
	p->w.read_only = in->read_only;
	p->w.absent = in->absent;
	for (u32 i = 0; i < DATA_BYTES; i++)
		p->w.ram[i] = (u8)(in->fill & 1 ? in->fill : (i * 7 + (i >> 8)) ^ in->fill);
	memset(p->w.device, in->fill, sizeof(p->w.device));
	p->w.fetch_base = long_mode ? in->cpu.rip : (u32)(in->cpu.cs.base + in->cpu.rip);
	memcpy(p->w.code, in->bytes, INSN_BYTES);
}

/* ---- what an answer promises ---- */

static u32 address_bytes(const struct input *in, ZydisDecodedInstruction *insn, ZydisDecodedOperand *operand)
{
	static const ZydisMachineMode modes[] = { ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_MACHINE_MODE_LONG_64 };
	static const ZydisStackWidth stacks[] = { ZYDIS_STACK_WIDTH_16, ZYDIS_STACK_WIDTH_32, ZYDIS_STACK_WIDTH_64 };
	u32 mode = in_long_mode(&in->cpu) ? 2 : in->cpu.cs.attributes & SEGMENT_BIG ? 1 : 0;
	ZydisDecoder d;

	must(ZYAN_SUCCESS(ZydisDecoderInit(&d, modes[mode], stacks[mode])), "Zydis");
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, in->bytes, INSN_BYTES, insn, operand)))
		return 0;
	return insn->address_width / 8u;
}

static bool repeats(const ZydisDecodedInstruction *insn)
{
	return insn->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE);
}

static bool is_ins(const ZydisDecodedInstruction *insn)
{
	return insn->mnemonic == ZYDIS_MNEMONIC_INSB || insn->mnemonic == ZYDIS_MNEMONIC_INSW || insn->mnemonic == ZYDIS_MNEMONIC_INSD;
}

static bool only_registers_changed(const struct mon_vcpu *a, const struct mon_vcpu *b)
{
	struct mon_vcpu c = *a;

	memcpy(c.gpr, b->gpr, sizeof(c.gpr));
	c.rip = b->rip;
	c.rflags = (c.rflags & ~RFLAGS_STATUS) | (b->rflags & RFLAGS_STATUS);
	return memcmp(&c, b, sizeof(c)) == 0;
}

static void check_answer(const struct input *in, const struct place *p, const struct place *before, const struct mon_vcpu *was,
			 const struct mon_vcpu *is, enum emulate_result r, const struct emulate_fault *fault)
{
	ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction insn;
	u32 wide = address_bytes(in, &insn, operand);
	bool repeated = wide && repeats(&insn);
	u64 width = in_long_mode(was) ? ~0ull : was->cs.attributes & SEGMENT_BIG ? 0xffffffffull : 0xffffull;
	u64 done = wide ? cut(was->gpr[MON_RCX] - is->gpr[MON_RCX], wide) : 0;

	must(p->calls - before->calls <= CALLS_MOST, "the work of one call is not bounded");
	must(only_registers_changed(was, is), "changes what no instruction changes");
	if (r == EMULATE_UNKNOWN || (r == EMULATE_FAULT && !repeated)) {
		must(memcmp(was, is, sizeof(*is)) == 0, "the registers change, and it was not carried out");
		must(memcmp(p->w.ram, before->w.ram, DATA_BYTES) == 0 && p->w.device_writes == before->w.device_writes &&
		     p->w.outs == before->w.outs && p->w.ins == before->w.ins, "something changes, and it was not carried out");
	}
	if (r == EMULATE_FAULT)
		must(fault->vector < 32 && is->rip == was->rip, "no fault that there is");
	if (wide && is_ins(&insn))
		must(p->w.ins - before->w.ins == (repeated ? done : r == EMULATE_DONE), "what a port gave is lost");
	if (r != EMULATE_DONE)
		return;
	must(wide != 0, "carries out what Zydis does not know");
	if (is->rip == was->rip && repeated && insn.length)
		must(cut(is->gpr[MON_RCX], wide) != 0, "stays at a REP that is over");
	else
		must(is->rip == ((was->rip + insn.length) & width), "goes on elsewhere");
	must(!repeated || done <= EMULATE_BATCH, "more iterations than a call has");
}

static enum emulate_result one(const struct input *in, struct place *p, struct mon_vcpu *cpu, struct emulate_fault *fault)
{
	static struct place before;
	struct mon_vcpu was = *cpu;
	u8 given[INSN_BYTES];

	before = *p;
	memcpy(given, in->bytes, sizeof(given));
	enum emulate_result r = emulate_instruction(&place_ops, p, cpu, given, in->given, fault);

	check_answer(in, p, &before, &was, cpu, r, fault);
	p->w.out_count = p->w.out_count > 512 ? 0 : p->w.out_count;
	return r;
}

/* ---- RAM and a device are alike ---- */

static void compare_places(const struct input *in, const struct place *a, const struct mon_vcpu *cpu, enum emulate_result r)
{
	static struct place b;
	struct mon_vcpu c = in->cpu;
	struct emulate_fault fault;

	make_place(&b, in, true);
	must(one(in, &b, &c, &fault) == r, "a device is answered otherwise than RAM");
	must(memcmp(&c, cpu, sizeof(c)) == 0, "a device leaves other registers than RAM");
	must(memcmp(b.w.ram, a->w.ram, DATA_BYTES) == 0, "a device is left with other bytes than RAM");
	must(b.w.ins == a->w.ins && b.w.outs == a->w.outs && memcmp(b.w.out_bytes, a->w.out_bytes, sizeof(b.w.out_bytes)) == 0,
	     "a port is told otherwise");
}

/* ---- the processor ---- */

/* No process has ports; of those that flush a line nothing is seen; not every processor has MOVBE. */
static bool only_here(ZydisMnemonic mnemonic)
{
	static const ZydisMnemonic these[] = {
		ZYDIS_MNEMONIC_IN, ZYDIS_MNEMONIC_OUT, ZYDIS_MNEMONIC_INSB, ZYDIS_MNEMONIC_INSW, ZYDIS_MNEMONIC_INSD, ZYDIS_MNEMONIC_OUTSB,
		ZYDIS_MNEMONIC_OUTSW, ZYDIS_MNEMONIC_OUTSD, ZYDIS_MNEMONIC_CLFLUSH, ZYDIS_MNEMONIC_CLFLUSHOPT, ZYDIS_MNEMONIC_CLWB,
		ZYDIS_MNEMONIC_MOVBE,
	};

	for (u32 i = 0; i < sizeof(these) / sizeof(these[0]); i++)
		if (these[i] == mnemonic)
			return true;
	return false;
}

/* The process has other bases, and its code lies at another place. */
static bool elsewhere_natively(const ZydisDecodedOperand *op)
{
	return op->mem.segment == ZYDIS_REGISTER_FS || op->mem.segment == ZYDIS_REGISTER_GS || op->mem.base == ZYDIS_REGISTER_RIP ||
	       op->mem.base == ZYDIS_REGISTER_EIP;
}

static bool is_native(const struct input *in, const struct place *p, ZydisDecodedInstruction *insn)
{
	ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];

	if (!in_long_mode(&in->cpu) || p->elsewhere || in->read_only || in->absent || !address_bytes(in, insn, operand))
		return false;
	for (u32 i = 0; i < insn->operand_count; i++) {
		if (operand[i].type == ZYDIS_OPERAND_TYPE_REGISTER && ZydisRegisterGetClass(operand[i].reg.value) == ZYDIS_REGCLASS_SEGMENT)
			return false;
		if (operand[i].type == ZYDIS_OPERAND_TYPE_MEMORY && elsewhere_natively(&operand[i]))
			return false;
	}
	bool locks = (insn->attributes & ZYDIS_ATTRIB_HAS_LOCK) || insn->mnemonic == ZYDIS_MNEMONIC_XCHG;

	return !(locks && p->split) && !only_here(insn->mnemonic);
}

static void compare_native(const struct input *in, const struct place *p, const struct mon_vcpu *cpu)
{
	static struct place begin;
	ZydisDecodedInstruction insn;

	if (!is_native(in, p, &insn))
		return;
	make_place(&begin, in, false);
	memcpy((void *)DATA, begin.w.ram, DATA_BYTES);
	memcpy(state->in, in->cpu.gpr, sizeof(state->in));
	state->in_flags = in->cpu.rflags & (2 | RFLAGS_STATUS | RFLAGS_DF);
	execute(in->bytes, insn.length);
	u64 mask = (RFLAGS_STATUS | RFLAGS_DF) & ~undefined_flags(in->bytes, insn.length);

	must(memcmp(state->out, cpu->gpr, sizeof(state->out)) == 0, "the processor has other registers");
	must(((cpu->rflags ^ state->out_flags) & mask) == 0, "the processor has other flags");
	must(memcmp(p->w.ram, (void *)DATA, DATA_BYTES) == 0, "the processor has other bytes in memory");
}

/* ---- the input ---- */

static u64 register_value(const u8 *b)
{
	static const u64 corners[] = { 0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
				       0x7fffffffffffffff, 0x8000000000000000, ~0ull, 0x800000000000, 0x7ffffffffffc };
	u32 v = b[1] | (u32)b[2] << 8 | (u32)b[3] << 16;

	switch (b[0] & 7) {
	case 0: return DATA + 0x1000 + v % 0x6000;
	case 1: return DATA + (v >> 4) % 8 * PAGE_SIZE + (v & 15) - 8; /* at a page's end */
	case 2: return DEVICE + v % PAGE_SIZE;
	case 3: return v % (2 * EMULATE_BATCH);
	case 4: return (u64)((s64)((u64)v << 40) >> (b[0] >> 3));
	case 5: return corners[v % (sizeof(corners) / sizeof(corners[0]))];
	case 6: return (u64)v << 32 | (DATA + 0x2000 + v % 0x4000); /* for addresses of 32 and 16 bits */
	default: return v;
	}
}

static void read_segments(struct mon_vcpu *c, u32 bits, u8 how)
{
	struct mon_segment *s = how & 1 ? &c->ss : &c->ds;

	if (bits != 64)
		c->ds.base = c->es.base = c->ss.base = bits == 16 || how & 2 ? DATA : 0;
	c->fs.base = DATA + 0x10;
	c->cr0 = how & 4 && bits == 16 ? 0 : c->cr0;
	if (how & 8)
		s->limit = 0x2fff;
	if (how & 16)
		s->attributes = (u16)(s->attributes | SEGMENT_TYPE_EXPAND_DOWN);
	if (how & 32)
		s->attributes = (u16)(s->attributes & ~SEGMENT_TYPE_WRITABLE);
	if (how & 64)
		c->es.attributes = 0;
	if (how & 128) {
		c->cpl = 3;
		c->cr0 |= CR0_AM_BIT;
		c->rflags |= RFLAGS_AC;
	}
}

/* 0 mode, pages; 1 segments; 2 flags; 3 how many bytes are handed over, place of the code; 4 what memory holds; the instruction; registers */
static void read_input(struct input *in, const u8 *data, size_t size)
{
	static const u32 modes[] = { 64, 64, 32, 16 };
	u8 all[HEAD_BYTES + INSN_BYTES + MON_GPRS * REGISTER_BYTES] = { 0 };
	u32 bits;

	memcpy(all, data, size < sizeof(all) ? size : sizeof(all));
	memset(in, 0, sizeof(*in));
	bits = modes[all[0] & 3];
	set_mode(&in->cpu, bits);
	read_segments(&in->cpu, bits, all[1]);
	in->read_only = all[0] & 4 ? DATA + 0x4000 : 0;
	in->absent = all[0] & 8 ? DATA + 0x5000 : 0;
	in->cpu.rflags |= (all[2] & 1 ? RFLAGS_CF : 0) | (all[2] & 2 ? RFLAGS_ZF : 0) | (all[2] & 4 ? RFLAGS_DF : 0) |
			  (all[2] & 8 ? RFLAGS_OF : 0) | (all[2] & 16 ? RFLAGS_SF : 0) | (all[2] & 32 ? RFLAGS_PF | RFLAGS_AF : 0);
	in->given = all[3] & 15;
	in->cpu.rip = 0x2000 - (all[3] >> 4);
	in->fill = all[4];
	memcpy(in->bytes, all + HEAD_BYTES, INSN_BYTES);
	for (u32 i = 0; i < MON_GPRS; i++)
		in->cpu.gpr[i] = register_value(all + HEAD_BYTES + INSN_BYTES + i * REGISTER_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct place p;
	static bool mapped;
	struct input in;
	struct emulate_fault fault;

	if (!mapped)
		map_native();
	mapped = true;
	read_input(&in, data, size);
	make_place(&p, &in, false);
	struct mon_vcpu cpu = in.cpu;
	enum emulate_result r = one(&in, &p, &cpu, &fault);

	if (!p.w.device_reads && !p.w.device_writes)
		compare_places(&in, &p, &cpu, r);
	for (u32 turn = 0; r == EMULATE_DONE && cpu.rip == in.cpu.rip; turn++) { /* the rest of a REP */
		if (turn == TURNS_MOST)
			return 0;
		r = one(&in, &p, &cpu, &fault);
	}
	if (r == EMULATE_DONE)
		compare_native(&in, &p, &cpu);
	return 0;
}
