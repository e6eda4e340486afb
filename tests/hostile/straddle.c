/*
 * straddle: instructions, operands and stacks that lie half in memory and half in a device, a hole, or a page that is not there. What is half in
 * no page at all gives #PF and has changed nothing; what is half in a device or a hole is done on both sides, or not known and not done at all:
 * never the one half alone.
 */
#include "lib/guest.h"

#define WINDOW 0x200000000ull
#define BORDER (WINDOW + PAGE_SIZE)
#define RIGHTS (PTE_P | PTE_W | PTE_U)
#define HOLE   0xfd000000ull
enum { WIDEST = 64, UNTOUCHED = 0x22, FXSAVE_BYTES = 512, FXSAVE_LOW = 0x7f, NOBODY = 0xd00 };

static u8 *page;       /* in front of the border */
static u8 *behind;     /* a page of RAM that stands behind it at times */
static u64 ones;

/* What is behind the border: RAM, nothing, no page, a read-only page. */
enum kind { IS_RAM, IS_HOLE, IS_ABSENT, IS_READ_ONLY, KINDS };
static const char *const kind_name[KINDS] = { "RAM", "a hole", "no page", "a read-only page" };

static void set_up(enum kind kind)
{
	static const u64 flags[KINDS] = { RIGHTS, RIGHTS | PTE_PCD, 0, PTE_P | PTE_U };

	fill(page, UNTOUCHED, PAGE_SIZE);
	fill(behind, UNTOUCHED, PAGE_SIZE);
	map(WINDOW, (u64)page, RIGHTS, 1);
	map(BORDER, kind == IS_HOLE ? HOLE : (u64)behind, flags[kind], 1);
}

static bool untouched(void)
{
	for (unsigned i = 0; i < PAGE_SIZE; i++)
		if (page[i] != UNTOUCHED || behind[i] != UNTOUCHED)
			return false;
	return true;
}

/* --- operands: each width, each split -------------------------------------------------------------------------------- */

static u8 source[WIDEST] __attribute__((aligned(64))), target[WIDEST] __attribute__((aligned(64)));

static void put_2(void *at) { *(volatile u16 *)at = *(u16 *)source; }
static void put_4(void *at) { *(volatile u32 *)at = *(u32 *)source; }
static void put_8(void *at) { *(volatile u64 *)at = *(u64 *)source; }
static void put_16(void *at) { __asm__ volatile("movups %1, %%xmm0\nmovups %%xmm0, (%0)" : : "r"(at), "m"(source) : "memory"); }
static void put_32(void *at) { __asm__ volatile("vmovups %1, %%ymm0\nvmovups %%ymm0, (%0)" : : "r"(at), "m"(source) : "memory"); }
static void get_2(void *at) { *(u16 *)target = *(volatile u16 *)at; }
static void get_4(void *at) { *(u32 *)target = *(volatile u32 *)at; }
static void get_8(void *at) { *(u64 *)target = *(volatile u64 *)at; }
static void get_16(void *at) { __asm__ volatile("movups (%0), %%xmm0\nmovups %%xmm0, %1" : : "r"(at), "m"(target) : "memory"); }
static void get_32(void *at) { __asm__ volatile("vmovups (%0), %%ymm0\nvmovups %%ymm0, %1" : : "r"(at), "m"(target) : "memory"); }

static const struct operand {
	unsigned bytes;
	void (*put)(void *), (*get)(void *);
	bool emulated; /* Ringmur carries it out on devices; else it says #UD */
} operands[] = { { 2, put_2, get_2, true }, { 4, put_4, get_4, true }, { 8, put_8, get_8, true }, { 16, put_16, get_16, false },
		 { 32, put_32, get_32, false } };
enum { OPERANDS = sizeof operands / sizeof operands[0] };

static bool same_bytes(const u8 *at, const u8 *want, unsigned n) { return same(at, want, n); }

/* `first` bytes in front of the border: are both halves what they must be after a write there? */
static bool both_written(enum kind kind, const struct operand *o, unsigned first)
{
	return same_bytes(page + PAGE_SIZE - first, source, first) && page[PAGE_SIZE - first - 1] == UNTOUCHED &&
	       (kind != IS_RAM || (same_bytes(behind, source + first, o->bytes - first) && behind[o->bytes - first] == UNTOUCHED));
}

static bool both_read(enum kind kind, const struct operand *o, unsigned first)
{
	for (unsigned i = 0; i < o->bytes; i++)
		if (target[i] != (i < first || kind != IS_HOLE ? UNTOUCHED : (u8)ones))
			return false;
	return true;
}

static bool faulted(bool trapped, u32 error)
{
	return trapped && trap.vector == V_PF && trap.error == error && trap.cr2 == BORDER;
}

/*
 * A processor writes an operand as a whole or not at all. TCG, which may also lie below Ringmur, writes one of more than 8 bytes piece by
 * piece: of those it is only noted.
 */
static unsigned torn;
static bool whole(unsigned bytes)
{
	if (untouched())
		return true;
	torn += bytes > 8;
	return bytes > 8;
}

/* Not known, so not done: #UD. */
static bool refused(bool trapped, unsigned bytes) { return trapped && trap.vector == V_UD && whole(bytes); }

static bool write_right(enum kind kind, const struct operand *o, unsigned first)
{
	bool trapped;

	set_up(kind);
	trapped = guarded(o->put, (void *)(BORDER - first));
	if (kind == IS_ABSENT || kind == IS_READ_ONLY)
		return faulted(trapped, kind == IS_ABSENT ? PF_W : PF_W | PF_P) && whole(o->bytes);
	if (kind == IS_HOLE && !o->emulated && !on_tcg())
		return refused(trapped, o->bytes);
	return !trapped && both_written(kind, o, first);
}

static bool read_right(enum kind kind, const struct operand *o, unsigned first)
{
	bool trapped;

	set_up(kind);
	fill(target, 0x99, sizeof target);
	trapped = guarded(o->get, (void *)(BORDER - first));
	if (kind == IS_ABSENT)
		return faulted(trapped, 0);
	if (kind == IS_HOLE && !o->emulated && !on_tcg())
		return refused(trapped, o->bytes);
	return !trapped && both_read(kind, o, first);
}

static void all_splits(enum kind kind)
{
	unsigned wrong = 0;

	say("# operands half in %s\n", kind_name[kind]);
	for (unsigned i = 0; i < OPERANDS; i++) {
		if (operands[i].bytes == 32 && !(HAS_XSAVE && HAS_AVX))
			continue;
		for (unsigned first = 1; first < operands[i].bytes; first++)
			wrong += 2u - write_right(kind, &operands[i], first) - read_right(kind, &operands[i], first);
	}
	check_equal("every width and split, written and read", wrong, 0);
}

/* --- instructions that write more than once, or read and write --------------------------------------------------------- */

static void add_8(void *at) { __asm__ volatile("addq $1, (%0)" : : "r"(at) : "memory", "cc"); }
static void locked_8(void *at) { __asm__ volatile("lock xaddq %%rax, (%0)" : : "r"(at), "a"(1ul) : "memory", "cc"); }
static void exchange_8(void *at) { __asm__ volatile("xchgq %%rax, (%0)" : : "r"(at), "a"(5ul) : "memory"); }
static void compare_8b(void *at)
{
	__asm__ volatile("cmpxchg8b (%0)" : : "r"(at), "a"(0x22222222), "d"(0x22222222), "b"(1), "c"(2) : "memory", "cc");
}
/* Wants its operand aligned, and so never lies on a border; on a hole it is refused. */
static void compare_16b(void *at)
{
	u64 a = 0, d = 0;

	__asm__ volatile("cmpxchg16b (%2)" : "+a"(a), "+d"(d) : "r"(at), "b"(1ul), "c"(2ul) : "memory", "cc");
}
static void save_fpu(void *at) { __asm__ volatile("fxsave64 (%0)" : : "r"(at) : "memory"); }
static void move_string(void *at)
{
	u64 from = (u64)source, to = (u64)at, count = 1;

	__asm__ volatile("rep movsq" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
}

/* `first` bytes in front of the border; `low`: what is there once it is done with a hole behind. */
static void modify(const char *name, void (*fn)(void *), unsigned first, unsigned bytes, u8 low)
{
	bool right = true, trapped;

	for (enum kind kind = IS_ABSENT; kind <= IS_READ_ONLY; kind++) {
		set_up(kind);
		trapped = guarded(fn, (void *)(BORDER - first));
		/* What is read first may be said to be read. */
		right = right && trapped && trap.vector == V_PF && trap.cr2 == BORDER && (trap.error | PF_W) == (kind == IS_ABSENT ? PF_W : PF_P | PF_W);
		right = right && whole(bytes);
	}
	check(name, right);
	set_up(IS_HOLE);
	trapped = guarded(fn, (void *)(BORDER - first));
	check("  half in a hole: done, or refused as a whole",
	      trapped ? refused(true, bytes) : page[PAGE_SIZE - first] == low && page[PAGE_SIZE - first - 1] == UNTOUCHED);
}

static void modifications(void)
{
	modify("ADD of a quad", add_8, 3, 8, UNTOUCHED + 1);
	modify("LOCK XADD", locked_8, 5, 8, UNTOUCHED + 1);
	modify("XCHG", exchange_8, 1, 8, 5);
	modify("CMPXCHG8B", compare_8b, 4, 8, UNTOUCHED);
	modify("REP MOVSQ of one", move_string, 6, 8, source[0]);
	modify("FXSAVE", save_fpu, 256, FXSAVE_BYTES, FXSAVE_LOW);
	set_up(IS_HOLE);
	check("CMPXCHG16B on a hole: done or refused", !guarded(compare_16b, (void *)BORDER) || refused(true, 16));
	set_up(IS_HOLE);
	check("CMPXCHG16B over the border: #GP", guarded(compare_16b, (void *)(BORDER - 8)) && trap.vector == V_GP && untouched());
	set_up(IS_HOLE);
	map(BORDER, LAPIC_ADDRESS, RIGHTS | PTE_PCD, 1);
	check("a quad half in the local APIC", !guarded(put_8, (void *)(BORDER - 4)) && same(page + PAGE_SIZE - 4, source, 4));
}

/* --- the same by an emulator: the other side is a device ------------------------------------------------------------------ */

static void from_device(void *at)
{
	u64 from = HOLE, to = (u64)at;

	__asm__ volatile("movsq" : "+S"(from), "+D"(to) : : "memory");
}
static void to_device(void *at)
{
	u64 from = (u64)at, to = HOLE;

	__asm__ volatile("movsq" : "+S"(from), "+D"(to) : : "memory");
}
static void from_port(void *at)
{
	u64 to = (u64)at, count = 1;

	__asm__ volatile("rep insl" : "+D"(to), "+c"(count) : "d"(NOBODY) : "memory");
}
static void push_device(void *at)
{
	__asm__ volatile("movq %%rsp, %%rbx\nmovq %0, %%rsp\npushq (%1)\nmovq %%rbx, %%rsp" : : "r"((u64)at + 8), "r"(HOLE) : "rbx", "memory");
}

/* The pointer is read, and leads nowhere: what is not carried out has changed nothing. */
static void jump_far(void *at) { __asm__ volatile("ljmpl *(%0)" : : "r"(at) : "memory"); }
static void load_table(void *at) { __asm__ volatile("lidt (%0)" : : "r"(at) : "memory"); }

static void far_pointers(void)
{
	static void (*const fns[])(void *) = { jump_far, load_table };
	struct table_pointer before, after;

	__asm__ volatile("sidt %0" : "=m"(before));
	for (unsigned i = 0; i < 2; i++) {
		set_up(IS_ABSENT);
		check(i ? "LIDT half in no page: #PF" : "a far pointer half in no page: #PF", faulted(guarded(fns[i], (void *)(BORDER - 3)), 0));
		if (i && on_tcg())
			break; /* there a hole has a value, and would be loaded */
		set_up(IS_HOLE);
		check("  half in a hole: an exception", guarded(fns[i], (void *)(BORDER - 3)) && untouched());
	}
	__asm__ volatile("sidt %0" : "=m"(after));
	check("the vectors' table is where it was", before.base == after.base && before.limit == after.limit);
}

static void emulated(const char *name, void (*fn)(void *), unsigned first, u32 error)
{
	u32 rights = error == PF_W ? PF_W | PF_P : 0;

	set_up(IS_RAM);
	check(name, !guarded(fn, (void *)(BORDER - first)));
	set_up(IS_ABSENT);
	check("  half in no page: #PF, nothing done", faulted(guarded(fn, (void *)(BORDER - first)), error) && untouched());
	set_up(IS_READ_ONLY);
	check("  half in a read-only page", rights ? faulted(guarded(fn, (void *)(BORDER - first)), rights) && untouched()
						   : !guarded(fn, (void *)(BORDER - first)) && untouched());
}

static void by_emulator(void)
{
	emulated("a quad copied from a device", from_device, 3, PF_W);
	emulated("a quad copied to a device", to_device, 3, 0);
	emulated("a long of string input", from_port, 1, PF_W);
	emulated("a PUSH of a device's quad", push_device, 5, PF_W);
}

/* --- stacks ---------------------------------------------------------------------------------------------------------------- */

/* Runs one instruction with RSP at `sp`; RSP afterwards is in stack_after. */
static u64 stack_after;
#define ON_STACK(fn, insn)                                                                                                   \
	static void fn(void *sp)                                                                                             \
	{                                                                                                                    \
		__asm__ volatile("movq %%rsp, %%rbx\nmovq %0, %%rsp\n" insn "\nmovq %%rsp, stack_after\nmovq %%rbx, %%rsp"   \
		                 : : "r"(sp) : "rbx", "rax", "memory", "cc");                                                \
	}
ON_STACK(push_reg, "pushq %%rax")
ON_STACK(push_flags, "pushfq")
ON_STACK(push_fs, "pushq %%fs")
ON_STACK(call_near, "call 1f\n1:")
ON_STACK(enter_frame, "movq %%rbp, %%rax\nenter $0, $0\nmovq %%rax, %%rbp")

/* The exception's own frame goes to another stack: this one is not there. */
static void pushes(const char *name, void (*fn)(void *))
{
	u64 sp = BORDER + 3;
	bool right;

	set_up(IS_RAM);
	stack_after = 0;
	right = !guarded(fn, (void *)sp) && stack_after == sp - 8;
	check(name, right);
	set_up(IS_ABSENT);
	check("  half in no page: #PF, nothing written", faulted(guarded(fn, (void *)sp), PF_W) && untouched());
	/* The lower half in memory, the upper one in a hole: an emulator that knows the instruction does both, one that does not does neither. */
	set_up(IS_HOLE);
	stack_after = 0;
	if (guarded(fn, (void *)sp))
		check("  half in a hole: refused as a whole", refused(true, 8));
	else
		check("  half in a hole: its memory has its half", stack_after == sp - 8 && page[PAGE_SIZE - 6] == UNTOUCHED);
}

static void stacks(void)
{
	pushes("PUSH over the border", push_reg);
	pushes("PUSHF", push_flags);
	pushes("PUSH of a segment register", push_fs);
	pushes("CALL", call_near);
	pushes("ENTER", enter_frame);
}

/* --- instructions ------------------------------------------------------------------------------------------------------------ */

/* One instruction and a RET; its first bytes in front of the border. */
struct code {
	const char *name;
	u8 bytes[12], length;
};
static const struct code codes[] = {
	{ "CPUID", { 0x0f, 0xa2 }, 2 },
	{ "CPUID with prefixes", { 0x2e, 0x2e, 0x2e, 0x2e, 0x48, 0x0f, 0xa2 }, 7 },
	{ "IN", { 0xe4, 0x80 }, 2 },
	{ "RDMSR", { 0x0f, 0x32 }, 2 },
	{ "MOV to CR4", { 0x0f, 0x22, 0xe2 }, 3 },
	{ "MOV of an immediate to a device", { 0xc7, 0x87, 0x00, 0x01, 0x00, 0x00, 0x78, 0x56, 0x34, 0x12 }, 10 },
	{ "OR with a device", { 0x48, 0x81, 0x8f, 0x00, 0x01, 0x00, 0x00, 0x78, 0x56, 0x34, 0x12 }, 11 },
};
enum { CODES = sizeof codes / sizeof codes[0] };

/* RDI a device, RCX an MSR, RDX CR4's value. */
static void run_code(void *arg)
{
	u64 a = 0, c = MSR_APIC_BASE, d = read_cr4(), di = HOLE;

	__asm__ volatile("pushq %%rbx\ncall *%4\npopq %%rbx" : "+a"(a), "+c"(c), "+d"(d), "+D"(di) : "r"(arg) : "memory", "cc");
}

static void code_over(const struct code *c)
{
	unsigned right = 0, absent = 0;

	for (unsigned first = 1; first < c->length; first++) {
		u8 text[sizeof c->bytes + 1];

		copy(text, c->bytes, c->length);
		text[c->length] = 0xc3;
		set_up(IS_RAM);
		copy(page + PAGE_SIZE - first, text, first);
		copy(behind, text + first, c->length + 1u - first);
		right += !guarded(run_code, (void *)(BORDER - first));
		set_up(IS_ABSENT);
		copy(page + PAGE_SIZE - first, text, first);
		absent += guarded(run_code, (void *)(BORDER - first)) && trap.vector == V_PF && trap.cr2 == BORDER && trap.ip == BORDER - first &&
			  !(trap.error & PF_W);
	}
	check_equal(c->name, right, c->length - 1u);
	check_equal("  half in no page: #PF there", absent, c->length - 1u);
}

static void enable_vectors(void)
{
	enum { XCR0_ALL = 7 };

	write_cr0((read_cr0() | CR0_WP) & ~(word)CR0_EM);
	write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT | (HAS_XSAVE ? CR4_OSXSAVE : 0));
	if (HAS_XSAVE && HAS_AVX)
		__asm__ volatile("xsetbv" : : "a"(XCR0_ALL), "d"(0), "c"(0));
}

GUEST(straddle)
{
	static const unsigned vectors[] = { V_UD, V_PF, V_GP, V_SS };

	/* The stack may be what an exception is about: their frames go elsewhere. */
	for (unsigned i = 0; i < sizeof vectors / sizeof vectors[0]; i++)
		idt_set(vectors[i], stub_table[vectors[i]], 0, GATE_INTERRUPT, IST_SPARE);
	page = page_alloc();
	behind = page_alloc();
	ones = on_tcg() ? 0 : ~0ull;
	for (unsigned i = 0; i < WIDEST; i++)
		source[i] = (u8)(i + 0x80);
	enable_vectors();
	for (enum kind kind = IS_RAM; kind < KINDS; kind++)
		all_splits(kind);
	modifications();
	by_emulator();
	far_pointers();
	stacks();
	for (unsigned i = 0; i < CODES; i++)
		code_over(&codes[i]);
	if (torn)
		say("# %u operands of more than 8 bytes were torn\n", torn);
}
