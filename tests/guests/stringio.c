/*
 * stringio: INS and OUTS in all their sizes and directions, over page boundaries, into pages that are not there.
 */
#include "lib/guest.h"

/*
 * Ports: one where nothing is, and the serial port's scratch register, which keeps a byte.
 */
enum { NOTHING = 0xd00, SCRATCH = PORT_COM1 + 7, LINE_STATUS = PORT_COM1 + 5, LINE_EMPTY = 0x20 };
#define FAR 0x200000000ull
#define RIGHTS (PTE_P | PTE_W | PTE_U)
#define STRANGE_ADDRESS 0x8000000000000000ull

struct rep {
	u64 at, count, left, end;
	u16 port;
	bool down;
};

#define STRING(fn, insn, pointer)                                                                                    \
	static void fn(void *arg)                                                                                    \
	{                                                                                                            \
		struct rep *r = arg;                                                                                 \
		u64 at = r->at, count = r->count;                                                                    \
		if (r->down)                                                                                         \
			__asm__ volatile("std\n" insn "\ncld" : "+" pointer(at), "+c"(count) : "d"(r->port) : "memory"); \
		else                                                                                                 \
			__asm__ volatile(insn : "+" pointer(at), "+c"(count) : "d"(r->port) : "memory");         \
		r->left = count;                                                                                     \
		r->end = at;                                                                                         \
	}
STRING(rep_insb, "rep insb", "D")
STRING(rep_insw, "rep insw", "D")
STRING(rep_insl, "rep insl", "D")
STRING(rep_outsb, "rep outsb", "S")
STRING(rep_outsw, "rep outsw", "S")
STRING(rep_outsl, "rep outsl", "S")
STRING(one_insb, "insb", "D")
STRING(one_outsb, "outsb", "S")

static u8 room[64] __attribute__((aligned(64)));

static bool all_ones(const u8 *from, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (from[i] != 0xff)
			return false;
	return true;
}

static void ins(const char *name, void (*fn)(void *), unsigned size)
{
	enum { COUNT = 5 };
	struct rep up = { (u64)room + 8, COUNT, 9, 0, NOTHING, false };
	struct rep down = { (u64)room + 32, COUNT, 9, 0, NOTHING, true };
	unsigned bytes = COUNT * size;

	say("# %s\n", name);
	fill(room, 0x11, sizeof room);
	fn(&up);
	check("an absent port gives ones", all_ones(room + 8, bytes) && room[7] == 0x11 && room[8 + bytes] == 0x11);
	check("  RCX and RDI say so", up.left == 0 && up.end == (u64)room + 8 + bytes);
	fill(room, 0x11, sizeof room);
	fn(&down);
	check("downwards", all_ones(room + 32 + size - bytes, bytes) && room[32 + size] == 0x11 && room[32 + size - bytes - 1] == 0x11);
	check("  RDI went down", down.left == 0 && down.end == (u64)room + 32 - bytes);
}

static void none(void)
{
	struct rep r = { STRANGE_ADDRESS, 0, 9, 0, NOTHING, false };

	rep_insb(&r);
	rep_outsl(&r);
	check("a count of 0 touches nothing", r.left == 0 && r.end == r.at);
}

static void outs(void)
{
	static const char text[] = "# forty bytes by REP OUTSB to the console\n";
	struct rep r = { (u64)text, sizeof text - 1, 9, 0, PORT_COM1, false };
	static u8 values[4] = { 0x12, 0x34, 0x56, 0x78 };

	while (!(inb(LINE_STATUS) & LINE_EMPTY))
		relax();
	rep_outsb(&r);
	check("REP OUTSB to the console", r.left == 0 && r.end == (u64)text + sizeof text - 1);
	r = (struct rep){ (u64)text, sizeof text - 1, 9, 0, PORT_DEBUG, false };
	rep_outsb(&r);
	check("REP OUTSB to the debug port", r.left == 0);
	r = (struct rep){ (u64)values, 4, 9, 0, SCRATCH, false };
	rep_outsb(&r);
	check_equal("the last of four stays in the scratch register", inb(SCRATCH), 0x78);
	r = (struct rep){ (u64)values + 3, 4, 9, 0, SCRATCH, true };
	rep_outsb(&r);
	check_equal("downwards the first", inb(SCRATCH), 0x12);
	r = (struct rep){ (u64)values + 1, 1, 9, 0, SCRATCH, false };
	one_outsb(&r);
	check("OUTSB without REP", inb(SCRATCH) == 0x34 && r.left == 1 && r.end == (u64)values + 2);
	r = (struct rep){ (u64)room, 3, 9, 0, SCRATCH, false };
	rep_insb(&r);
	check("REP INSB of the scratch register", room[0] == 0x34 && room[1] == 0x34 && room[2] == 0x34);
	r.count = 7;
	one_insb(&r);
	check("INSB without REP", r.left == 7 && r.end == (u64)room + 1);
	r = (struct rep){ (u64)values, 2, 9, 0, NOTHING, false };
	rep_outsw(&r);
	rep_outsl(&r);
	check("words and longs to an absent port", r.left == 0);
}

/* Other segments and address sizes. */
static void forms(void)
{
	static u8 source[2] = { 0x9a, 0xbc };
	u64 at = 0;
	u32 low = (u32)(word)source + 1;

	wrmsr(MSR_FS_BASE, (word)source);
	__asm__ volatile("fs outsb" : "+S"(at) : "d"(SCRATCH) : "memory");
	check("OUTSB by FS", inb(SCRATCH) == 0x9a && at == 1);
	wrmsr(MSR_FS_BASE, 0);
	at = (u64)low | 0xdead00000000ull;
	__asm__ volatile(".byte 0x67\noutsb" : "+S"(at) : "d"(SCRATCH) : "memory");
	check("OUTSB with 32-bit addresses", inb(SCRATCH) == 0xbc && (u32)at == low + 1);
}

static void pages(void)
{
	u8 *a = page_alloc(), *b = page_alloc();
	struct rep r = { FAR + PAGE_SIZE - 3, 8, 9, 0, NOTHING, false };
	bool trapped;

	map(FAR, (u64)a, RIGHTS, 1);
	map(FAR + PAGE_SIZE, (u64)b, RIGHTS, 1);
	rep_insw(&r);
	check("REP INSW over a page boundary, a word on it", all_ones(a + PAGE_SIZE - 3, 3) && all_ones(b, 13) && b[13] == 0);
	fill(a, 0, PAGE_SIZE);
	fill(b, 0, PAGE_SIZE);
	r.at = FAR + PAGE_SIZE + 2;
	r.down = true;
	rep_insl(&r);
	check("REP INSL over it downwards, a long on it", all_ones(b, 6) && all_ones(a + PAGE_SIZE - 26, 26) && a[PAGE_SIZE - 27] == 0);
	fill(a, 0, PAGE_SIZE);
	map(FAR + PAGE_SIZE, 0, 0, 1);
	r = (struct rep){ FAR + PAGE_SIZE - 5, 8, 9, 0, NOTHING, false };
	trapped = guarded(rep_insb, &r);
	expected_ip = 0;
	check("REP INSB into a page that is not there: #PF there", trapped && trap.vector == V_PF && trap.cr2 == FAR + PAGE_SIZE && trap.error == PF_W);
	check("  the bytes in front of it have arrived", all_ones(a + PAGE_SIZE - 5, 5));
	map(FAR + PAGE_SIZE, (u64)b, PTE_P | PTE_U, 1);
	write_cr0(read_cr0() | CR0_WP);
	trapped = guarded(rep_insb, &r);
	check("REP INSB into a read-only page: #PF", trapped && trap.vector == V_PF && trap.error == (PF_W | PF_P));
	write_cr0(read_cr0() & ~(word)CR0_WP);
	map(FAR + PAGE_SIZE, 0, 0, 1);
	trapped = guarded(rep_outsw, &r);
	check("REP OUTSW out of a page that is not there: #PF", trapped && trap.vector == V_PF && trap.cr2 == FAR + PAGE_SIZE && trap.error == 0);
}

/* A long run, with interrupts: they come in the middle, and it goes on. */
static volatile u32 ticks;

static void on_tick(struct regs *r)
{
	(void)r;
	ticks++;
	lapic_eoi();
}

static void long_run(void)
{
	static u8 many[32768];
	struct rep r = { (u64)many, sizeof many, 9, 0, NOTHING, false };
	enum { PERIOD = 3000000 };

	handlers[V_FREE] = on_tick;
	lapic_enable();
	lapic_write(APIC_DIVIDE, 0xb);
	lapic_write(APIC_TIMER, LVT_PERIODIC | V_FREE);
	lapic_write(APIC_TIMER_COUNT, PERIOD);
	irqs_on();
	rep_insb(&r);
	irqs_off();
	lapic_write(APIC_TIMER_COUNT, 0);
	check("32768 bytes under timer interrupts", r.left == 0 && r.end == (u64)many + sizeof many && all_ones(many, sizeof many));
}

/* IN writes its size, and at 32 bits the upper half. */
static void widths(void)
{
	enum { NOBODY = 0x2f0 }; /* reads all ones */
	u64 b = 0x1122334455667788, w = b, d = b;

	__asm__ volatile("inb %w1, %%al" : "+a"(b) : "Nd"(NOBODY));
	__asm__ volatile("inw %w1, %%ax" : "+a"(w) : "Nd"(NOBODY));
	__asm__ volatile("inl %w1, %%eax" : "+a"(d) : "Nd"(NOBODY));
	check_equal("IN to AL keeps the rest", b, 0x11223344556677ff);
	check_equal("IN to AX keeps the rest", w, 0x112233445566ffff);
	check_equal("IN to EAX clears the upper half", d, 0xffffffff);
}

GUEST(stringio)
{
	widths();
	ins("REP INSB", rep_insb, 1);
	ins("REP INSW", rep_insw, 2);
	ins("REP INSL", rep_insl, 4);
	none();
	outs();
	forms();
	pages();
	long_run();
}
