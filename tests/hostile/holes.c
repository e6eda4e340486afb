/*
 * holes: reads and writes guest-physical addresses where nothing is: behind RAM, in the hole below 4 GiB, above it, at the end of what the
 * processor can name, beyond that, by plain moves, by string instructions over the border, by large pages, by a device. All of it has
 * a defined result, and takes no memory: told `wait`, it does all once, waits for a typed byte, does it again, and waits, so that others
 * can look at what it has.
 */
#include "lib/virtio.h"

#define WINDOW 0x200000000ull
#define RIGHTS (PTE_P | PTE_W | PTE_U | PTE_PCD)
#define HOLE   0xfd000000ull
#define PLATFORM 0xfec00000ull
enum { ROOM = 64, NEAR = 8, LONG_RUN = 5 * PAGE_SIZE, ERROR_BITS = PF_P | PF_RSVD, ADDRESS_TOP = 52 };

static u64 ram_end, ones;
static u8 room[ROOM];

/* --- one place ----------------------------------------------------------------------------------------------------- */

static u64 seen;
static void read_8(void *at) { seen = *(volatile u8 *)at; }
static void read_16(void *at) { seen = *(volatile u16 *)at; }
static void read_32(void *at) { seen = *(volatile u32 *)at; }
static void read_64(void *at) { seen = *(volatile u64 *)at; }
static void write_8(void *at) { *(volatile u8 *)at = 0x5a; }
static void write_16(void *at) { *(volatile u16 *)at = 0x5a5a; }
static void write_32(void *at) { *(volatile u32 *)at = 0x5a5a5a5a; }
static void write_64(void *at) { *(volatile u64 *)at = 0x5a5a5a5a5a5a5a5a; }
static void exchange_32(void *at)
{
	u32 v = 0x12345678;

	__asm__ volatile("xchgl %0, (%1)" : "+r"(v) : "r"(at) : "memory");
}
static void add_64(void *at) { __asm__ volatile("lock addq $1, (%0)" : : "r"(at) : "memory"); }
static void push_pop(void *at) { __asm__ volatile("pushq (%0)\npopq (%0)" : : "r"(at) : "memory"); }

typedef void access_fn(void *at);
static access_fn *const readers[] = { read_8, read_16, read_32, read_64 };
static access_fn *const writers[] = { write_8, write_16, write_32, write_64, exchange_32, add_64, push_pop };
enum { READERS = sizeof readers / sizeof readers[0], WRITERS = sizeof writers / sizeof writers[0] };

/* Wrong answers at so many bytes from WINDOW on: every width must read ones, before and after all the writes. */
static unsigned wrong_at(unsigned offset)
{
	u8 *at = (u8 *)WINDOW + offset;
	unsigned wrong = 0;

	for (unsigned i = 0; i < READERS; i++) {
		u64 want = ones >> (64 - (8u << i));
		wrong += guarded(readers[i], at) || seen != want;
		for (unsigned k = 0; k < WRITERS; k++)
			wrong += guarded(writers[k], at);
		wrong += guarded(readers[i], at) || seen != want;
	}
	return wrong;
}

static void place(const char *name, u64 pa)
{
	map(WINDOW, pa, RIGHTS, 1);
	map(WINDOW + PAGE_SIZE, pa, RIGHTS, 1);
	/* The first, the last, and one access on both sides of a page's end. */
	check_equal(name, wrong_at(0) + wrong_at(PAGE_SIZE - sizeof(u64)) + wrong_at(PAGE_SIZE - 1), 0);
}

static void places(void)
{
	static const u64 low[] = { 0xbffff000, 0xd0000000, 0xfdfff000, 0xfec01000, 0xfee01000, 0xfffff000 };
	static const u64 high[] = { 0x100000000, 0x100001000, 0x7ffffff000, 0x8000000000, 0x8000001000, 0xfffffff000 };

	place("the first page behind RAM", ram_end);
	for (unsigned i = 0; i < sizeof low / sizeof low[0]; i++) {
		if (on_tcg() && low[i] >= PLATFORM) /* QEMU's own have more than a page each */
			continue;
		say("# %llx\n", (unsigned long long)low[i]);
		place("a page below 4 GiB", low[i]);
	}
	for (unsigned i = 0; i < sizeof high / sizeof high[0]; i++) {
		if (high[i] >> physical_bits())
			continue;
		say("# %llx\n", (unsigned long long)high[i]);
		place("a page above it", high[i]);
	}
	place("the last page that the processor can name", (1ull << physical_bits()) - PAGE_SIZE);
}

/* An address that the processor does not have is no address: the entry is malformed. TCG forgets that it is present. */
static void beyond(void)
{
	unsigned right = 0, tried = 0;

	for (unsigned bit = physical_bits(); bit <= ADDRESS_TOP; bit++) {
		u64 pa = bit == ADDRESS_TOP ? PTE_FRAME : 1ull << bit;
		bool trapped;

		map(WINDOW, pa, RIGHTS, 1);
		trapped = guarded(read_64, (void *)WINDOW);
		right += trapped && trap.vector == V_PF && (trap.error | PF_P) == ERROR_BITS && trap.cr2 == WINDOW;
		trapped = guarded(write_8, (void *)(WINDOW + PAGE_SIZE - 1));
		right += trapped && trap.vector == V_PF && (trap.error | PF_P) == (ERROR_BITS | PF_W);
		tried += 2;
	}
	check_equal("#PF by every address bit that the processor does not have, and by all ones", right, tried);
}

/* --- over the border -------------------------------------------------------------------------------------------------- */

#define REPEATED(insn) __asm__ volatile("rep " insn : "+D"(to), "+S"(from), "+c"(count) : : "memory")
#define DOWNWARDS(insn) __asm__ volatile("std\nrep " insn "\ncld" : "+D"(to), "+S"(from), "+c"(count) : : "memory")

/* RAM's last bytes count up from 1. */
static void mark_end(void)
{
	for (unsigned i = 0; i < ROOM; i++)
		((volatile u8 *)(ram_end - ROOM))[i] = (u8)(i + 1);
}

static bool is_end(const u8 *from, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (from[i] != (u8)(ROOM - n + i + 1))
			return false;
	return true;
}

static bool all_are(const u8 *from, u8 value, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (from[i] != value)
			return false;
	return true;
}

static void moves_out(void)
{
	u64 from = ram_end - NEAR, to = (u64)room, count = NEAR * 2;

	fill(room, 0x11, ROOM);
	REPEATED("movsb");
	check("REP MOVSB from RAM into nothing", is_end(room, NEAR) && all_are(room + NEAR, (u8)ones, NEAR) && !count && from == ram_end + NEAR);
	fill(room, 0x11, ROOM);
	from = ram_end - 12, to = (u64)room, count = 3;
	REPEATED("movsq");
	check("REP MOVSQ, one of them half and half", is_end(room, 12) && all_are(room + 12, (u8)ones, 12) && room[24] == 0x11);
	fill(room, 0x11, ROOM);
	from = ram_end + NEAR, to = (u64)room + NEAR * 2, count = 5;
	DOWNWARDS("movsl");
	check("REP MOVSL downwards out of nothing", is_end(room, NEAR) && all_are(room + NEAR, (u8)ones, NEAR + 4) && !count);
}

static void moves_in(void)
{
	u64 from = (u64)room, to = ram_end - NEAR, count = NEAR * 2;

	mark_end();
	fill(room, 0x77, ROOM);
	REPEATED("movsb");
	check("REP MOVSB into RAM and behind", all_are((u8 *)ram_end - NEAR, 0x77, NEAR) && ((u8 *)ram_end)[-NEAR - 1] == ROOM - NEAR && !count);
	mark_end();
	to = ram_end - 12, from = (u64)room, count = 3;
	REPEATED("movsq");
	check("REP MOVSQ, one of them half and half", all_are((u8 *)ram_end - 12, 0x77, 12) && ((u8 *)ram_end)[-13] == ROOM - 12 && !count);
	mark_end();
	to = ram_end - NEAR, count = LONG_RUN;
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(0x33) : "memory");
	check("a long REP STOSB out of RAM", all_are((u8 *)ram_end - NEAR, 0x33, NEAR) && ((u8 *)ram_end)[-NEAR - 1] == ROOM - NEAR && !count &&
	      to == ram_end - NEAR + LONG_RUN);
	mark_end();
	from = HOLE, to = ram_end + PAGE_SIZE, count = LONG_RUN / 8;
	REPEATED("movsq");
	check("from nothing to nothing", is_end((u8 *)ram_end - ROOM, ROOM) && !count);
}

static void compares(void)
{
	u64 from, to, count;
	bool equal;

	mark_end();
	for (unsigned i = 0; i < ROOM; i++)
		room[i] = i < NEAR ? (u8)(ROOM - NEAR + i + 1) : (u8)ones;
	from = (u64)room, to = ram_end - NEAR, count = NEAR * 2;
	__asm__ volatile("repe cmpsb" : "+D"(to), "+S"(from), "+c"(count), "=@ccz"(equal) : : "memory");
	check("REPE CMPSB over the border", equal && !count);
	to = ram_end - NEAR, count = NEAR * 2;
	__asm__ volatile("repne scasb" : "+D"(to), "+c"(count), "=@ccz"(equal) : "a"(ones & 0xff) : "memory");
	check("REPNE SCASB finds the border", equal && to == ram_end + 1);
}

/* One large page, the one half of it RAM: the machine's memory ends in the middle of it. */
static void large(void)
{
	u64 base = ram_end & ~(2 * MIB - 1);

	map(WINDOW + 2 * MIB, base, PTE_P | PTE_W | PTE_U, 2);
	check("a page of 2 MiB holds RAM's end", base != ram_end);
	mark_end();
	check("  its RAM", ((volatile u8 *)WINDOW)[2 * MIB + ram_end - base - 1] == ROOM);
	check("  and what is none", ((volatile u8 *)WINDOW)[2 * MIB + ram_end - base] == (u8)ones);
	if (HAS_GIB_PAGES) {
		map(WINDOW + GIB, 0xc0000000, PTE_P | PTE_W | PTE_U | PTE_PCD, 3);
		check("a page of 1 GiB without any", *(volatile u32 *)(WINDOW + GIB + 0x100000) == (u32)ones);
	}
}

/* --- by a device --------------------------------------------------------------------------------------------------------- */

static struct virtio_device console;

/* The console is to fetch its output there, or to put its input. */
static void chain(const char *name, u64 at, u32 bytes)
{
	bool reset = false;

	virtio_start(&console, 2);
	virtio_describe(&console.ring[1], 0, (void *)at, bytes, 0, 0);
	virtio_offer(&console, 1);
	for (unsigned ms = 0; !reset && ms < PATIENCE_MS; ms++) {
		reset = virtio_get8(&console, STATUS) & NEEDS_RESET;
		if (!reset)
			delay_us(1000);
	}
	check(name, reset && *console.ring[1].used_index == 0);
}

/* A part of queue 1 lies where no RAM is. */
static void queue_at(const char *name, unsigned field, u64 at)
{
	static u8 page[PAGE_SIZE] __attribute__((aligned(4096)));

	virtio_set8(&console, STATUS, 0);
	virtio_set8(&console, STATUS, ACKNOWLEDGE | DRIVER);
	virtio_set32(&console, DRIVER_SELECT, 1);
	virtio_set32(&console, DRIVER_FEATURE, 1);
	virtio_set8(&console, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	virtio_set16(&console, SELECT, 1);
	virtio_set16(&console, QUEUE_SIZE, RING);
	for (unsigned i = QUEUE_DESC; i <= QUEUE_DEVICE; i += sizeof(u64))
		virtio_set64(&console, i, i == field ? at : (u64)page);
	virtio_set16(&console, QUEUE_ENABLE, 1);
	check(name, (virtio_get8(&console, STATUS) & NEEDS_RESET) && !virtio_get16(&console, QUEUE_ENABLE));
}

static void devices(void)
{
	static const char text[] = "# the virtio console as before\n";

	if (!virtio_find(&console, TYPE_CONSOLE) || on_tcg()) {
		skip("a device's accesses", "this is the bare machine, where they go elsewhere");
		return;
	}
	chain("a buffer behind RAM", ram_end, 16);
	chain("a buffer over RAM's end", ram_end - 8, 16);
	chain("a buffer in the hole", HOLE, 16);
	chain("a buffer at 4 GiB", 4 * GIB, 16);
	chain("a buffer on the local APIC", LAPIC_ADDRESS, 16);
	chain("a buffer far away", 1ull << ADDRESS_TOP, 16);
	chain("a buffer at the last byte of all", ~0ull, 16);
	chain("a buffer that comes round to RAM again", 0ull - 8, 16 + 1024);
	chain("a buffer of nearly 4 GiB", 0, ~0u);
	queue_at("the descriptors behind RAM", QUEUE_DESC, ram_end);
	queue_at("the available ring over RAM's end", QUEUE_DRIVER, ram_end - 4);
	queue_at("the used ring in the hole", QUEUE_DEVICE, HOLE);
	queue_at("the descriptors at the last multiple of 16", QUEUE_DESC, ~15ull);
	virtio_start(&console, 2);
	virtio_describe(&console.ring[1], 0, text, sizeof text - 1, 0, 0);
	virtio_offer(&console, 1);
	check("after all that the console writes", virtio_done(&console, 1) != ~0u);
}

/* --- all ------------------------------------------------------------------------------------------------------------------ */

static void all(void)
{
	places();
	beyond();
	mark_end();
	moves_out();
	moves_in();
	compares();
	large();
}

/* What page_alloc gave was given before the first look. */
static void wait_typed(const char *what)
{
	say("holes: %s\n", what);
	while (typed() < 0)
		delay_us(1000);
}

GUEST(holes)
{
	/* What lies at the very end may be the firmware's. */
	for (unsigned i = 0; i < boot.ranges; i++)
		if (boot.range[i].base + boot.range[i].size <= 3 * GIB && boot.range[i].base + boot.range[i].size > ram_end)
			ram_end = boot.range[i].base + boot.range[i].size;
	ones = on_tcg() ? 0 : ~0ull;
	all();
	if (boot.cmdline && ends_with(boot.cmdline, "wait")) {
		wait_typed("before");
		all();
		wait_typed("after");
	}
	devices();
}
