/*
 * tables: the guest's own page tables lie in frames that nothing has touched yet, in the last ones of RAM, on themselves, behind their own write
 * protection; they are walked by the processor and by an emulator, for reads, writes and code. A walk that sets A or D is a write, and may
 * be the first access to the frame at all: it is told apart from the access that it is for, and is never tried for ever.
 */
#include "lib/guest.h"

#define WINDOW 0x400000000ull /* a directory of its own in the second level */
#define HOLE   0xfd000000ull
#define RIGHTS (PTE_P | PTE_W | PTE_U)
enum { LEVELS = 4, PAGES = 64, DATA = 0x77, NOBODY = 0xd00 };

static u64 ram_end, next_fresh;
static u8 *data; /* what the chain maps */

/* Frames that nobody has touched, downwards from RAM's end (on bare QEMU the firmware's lie there: below them). */
static u64 fresh(void)
{
	next_fresh -= PAGE_SIZE;
	return next_fresh;
}

/* A chain of untouched tables down to `leaf`, no entry with A or D. Each entry is the first that is written to its frame. */
static u64 *entry[LEVELS + 1];

static void chain(u64 leaf, u64 flags)
{
	u64 *table = (u64 *)(read_cr3() & PTE_FRAME);

	for (unsigned level = LEVELS; level >= 1; level--) {
		u64 next = level == 1 ? leaf : fresh();

		entry[level] = &table[WINDOW >> (12 + 9 * (level - 1)) & 511];
		if (level == LEVELS && (*entry[level] & PTE_P)) { /* everyone's: WINDOW shares it with the rest of the low half */
			next = *entry[level] & PTE_FRAME;
			*entry[level] = next | RIGHTS;
		} else {
			*entry[level] = next | (level == 1 ? flags : RIGHTS);
		}
		table = (u64 *)next;
	}
	reload_cr3();
}

/* A in all entries below the shared one, D in the last. */
static bool marks(bool dirty)
{
	for (unsigned level = 1; level < LEVELS; level++)
		if (!(*entry[level] & PTE_A))
			return false;
	return !(*entry[1] & PTE_D) == !dirty;
}

static bool no_marks(void)
{
	return !((*entry[1] | *entry[2] | *entry[3]) & PTE_A) && !(*entry[1] & PTE_D);
}

static void read_it(void *at) { (void)*(volatile u8 *)at; }
static void write_it(void *at) { *(volatile u8 *)at = DATA; }
static void run_it(void *at) { __asm__ volatile("call *%0" : : "r"(at) : "memory"); }
static void add_it(void *at) { __asm__ volatile("lock incb (%0)" : : "r"(at) : "memory"); }
/* These end in an emulator: the one side is a device. */
static void from_device(void *at)
{
	u64 from = HOLE, to = (u64)at;

	__asm__ volatile("movsb" : "+S"(from), "+D"(to) : : "memory");
}
static void to_device(void *at)
{
	u64 from = (u64)at, to = HOLE;

	__asm__ volatile("movsb" : "+S"(from), "+D"(to) : : "memory");
}
static void from_port(void *at)
{
	u64 to = (u64)at, count = 3;

	__asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"(NOBODY) : "memory");
}

static const struct {
	const char *name;
	void (*fn)(void *);
	bool dirty;
} ways[] = {
	{ "a read", read_it, false }, { "a write", write_it, true }, { "code", run_it, false }, { "a locked increment", add_it, true },
	{ "a copy from a device", from_device, true }, { "a copy to a device", to_device, false }, { "string input", from_port, true },
};
enum { WAYS = sizeof ways / sizeof ways[0] };

static void untouched_tables(void)
{
	for (unsigned i = 0; i < WAYS; i++) {
		chain((u64)data, RIGHTS);
		data[0] = 0xc3;
		check(ways[i].name, !guarded(ways[i].fn, (void *)WINDOW) && marks(ways[i].dirty));
	}
}

/* A table that is nothing but zeros, because nobody has ever written it. */
static void empty_tables(void)
{
	for (unsigned i = 0; i < WAYS; i++) {
		u32 writes = ways[i].dirty ? PF_W : 0;

		for (unsigned level = 2; level < LEVELS; level++) {
			bool trapped;

			chain((u64)data, RIGHTS);
			*entry[level] = fresh() | RIGHTS;
			reload_cr3();
			trapped = guarded(ways[i].fn, (void *)WINDOW);
			bool right = trapped && trap.vector == V_PF && trap.cr2 == WINDOW;
			/* TCG reads before it increments. */
			if (!right || ((trap.error | PF_I) != (writes | PF_I) && ways[i].fn != add_it))
				check(ways[i].name, false);
		}
	}
	check("#PF by each of them in an empty table", true);
}

/* A write that is refused leaves D alone; the emulator's too. */
static void refused_writes(void)
{
	write_cr0(read_cr0() | CR0_WP);
	for (unsigned i = 0; i < WAYS; i++) {
		bool trapped;

		if (!ways[i].dirty)
			continue;
		chain((u64)data, PTE_P | PTE_U);
		trapped = guarded(ways[i].fn, (void *)WINDOW);
		check(ways[i].name, trapped && trap.vector == V_PF && trap.error == (PF_P | PF_W) && !(*entry[1] & PTE_D));
	}
	chain((u64)data, 0);
	check("an absent page leaves no mark in its entry", guarded(from_device, (void *)WINDOW) && !(*entry[1] & (PTE_A | PTE_D)));
	check("  nor is there any without an access", (chain((u64)data, RIGHTS), no_marks()));
	write_cr0(read_cr0() & ~(word)CR0_WP);
}

/* The page that the chain maps is the last table of the chain. */
static void on_themselves(void)
{
	volatile u64 *window = (volatile u64 *)WINDOW;

	chain(0, RIGHTS);
	*entry[1] = ((u64)entry[1] & PTE_FRAME) | RIGHTS;
	reload_cr3();
	check("a table that maps itself", (window[0] & PTE_FRAME) == ((u64)entry[1] & PTE_FRAME) && marks(false));
	window[1] = (u64)data | RIGHTS;
	data[5] = DATA;
	check("  is changed through itself", ((volatile u8 *)WINDOW)[PAGE_SIZE + 5] == DATA && (*entry[1] & PTE_D) && (entry[1][1] & PTE_A));
}

/* Tables that no mapping lets anyone write: the processor's own marks do not ask. */
static void behind_protection(void)
{
	u64 *pte;

	chain((u64)data, RIGHTS);
	write_cr0(read_cr0() | CR0_WP);
	/* The window's second page maps the table itself, read-only. */
	entry[1][1] = ((u64)entry[1] & PTE_FRAME) | PTE_P | PTE_U;
	reload_cr3();
	check("a write through it is refused", guarded(write_it, (void *)(WINDOW + PAGE_SIZE)) && trap.vector == V_PF && trap.error == (PF_P | PF_W));
	check("a walk marks it nevertheless", !guarded(from_device, (void *)WINDOW) && marks(true));
	pte = (u64 *)(WINDOW + PAGE_SIZE);
	check("  as is seen through it", (pte[0] & (PTE_A | PTE_D)) == (PTE_A | PTE_D));
	write_cr0(read_cr0() & ~(word)CR0_WP);
}

/* The very last frame of RAM holds a table, and the entry that is used is its last. */
static void last_frame(void)
{
	u64 *table = (u64 *)(ram_end - PAGE_SIZE), was = table[511];
	u64 va = WINDOW + 511 * PAGE_SIZE;

	chain((u64)data, RIGHTS);
	*entry[2] = (u64)table | RIGHTS;
	table[511] = (u64)data | RIGHTS;
	reload_cr3();
	entry[1] = &table[511];
	check("a table in RAM's last frame, its last entry", !guarded(from_device, (void *)va) && marks(true));
	check("  once more by the processor", !guarded(write_it, (void *)va) && data[0] == DATA);
	table[511] = was;
}

GUEST(tables)
{
	for (unsigned i = 0; i < boot.ranges; i++)
		if (boot.range[i].type == RANGE_RAM && boot.range[i].base + boot.range[i].size <= 3 * GIB)
			ram_end = boot.range[i].base + boot.range[i].size;
	next_fresh = ram_end - PAGES * PAGE_SIZE;
	data = page_alloc();
	say("# each by untouched tables\n");
	untouched_tables();
	say("# each by empty ones\n");
	empty_tables();
	say("# each to a page that may not be written\n");
	refused_writes();
	on_themselves();
	behind_protection();
	last_frame();
}
