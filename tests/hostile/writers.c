/*
 * writers: whatever writes into a guest's memory for it, aimed at where no memory of the guest is: beyond RAM, at devices, at addresses that wrap
 * into those of ring 0. The answer is #GP or nothing at all; what is there stays as it is.
 */
#include "lib/guest.h"

enum { IPI = V_FREE, SETTLE_US = 200, CLOCK_BYTES = 32, NOTHING = 0xd00, ENABLE = 1, KEY = 0xa5 };
enum { MSR_WALL_OLD = 0x11, MSR_TIME_OLD = 0x12, MSR_WALL = 0x4b564d00, MSR_TIME = 0x4b564d01, MSR_ASYNC, MSR_STEAL = 0x4b564d03, MSR_EOI = 0x4b564d04 };
#define IOAPIC_ADDRESS 0xfec00000ull
#define FAR 0x200000000ull /* of this guest's addresses, for what lies anywhere */
#define RIGHTS (PTE_P | PTE_W)
#define NO_RAM 0x40000000ull

/* Where ring 0 has its window on this guest's memory, and what lies above it: an address that is added without a look ends up there. */
#define WINDOW 0x8000000000ull
#define RING0(address) ((address) - WINDOW)

static u64 ram_end;
static const struct { const char *name; u64 at; } places[] = {
	{ "the first byte beyond RAM", 0 /* ram_end */ },      { "a hole", NO_RAM },
	{ "PCI's window", 0xc0000000 },                        { "the I/O APIC", IOAPIC_ADDRESS },
	{ "the local APIC", LAPIC_ADDRESS + APIC_TPR },        { "the last page below 4 GiB", 0xfffff000 },
	{ "4 GiB", 0x100000000 },                              { "the window's last bytes", WINDOW - 64 },
	{ "the window's end", WINDOW },                        { "2^47", 1ull << 47 },
	{ "2^52", 1ull << 52 },                                { "2^52 - 64", (1ull << 52) - 64 },
	{ "2^63", 1ull << 63 },                                { "-64", 0ull - 64 },
	{ "ring 0's pool", RING0(0xffff800000100000) },        { "the frame table", RING0(0xffff808000000000) },
	{ "a device of ring 0", RING0(0xffff810000000000) },   { "the comm page", RING0(0xfffffe8001000000) },
	{ "a vCPU's private half", RING0(0xfffffe8000000000) }, { "a processor's stack", RING0(0xffffff00000ff000) },
	{ "ring 0's image", RING0(0xffffffff80200000) },       { "its data", RING0(0xffffffff80280000) },
};
enum { PLACES = sizeof places / sizeof places[0] };

static u64 place(unsigned i) { return places[i].at ? places[i].at : ram_end; }

/* --- pages that are named by an MSR ---------------------------------------------------------------------------- */

static void pages(const char *name, u32 msr, u64 enable, u64 alignment)
{
	u32 refused = 0;

	for (unsigned i = 0; i < PLACES; i++) {
		bool no = !wrmsr_safe(msr, (place(i) & ~(alignment - 1)) | enable);
		if (!no)
			say("# %s: taken\n", places[i].name);
		refused += no;
	}
	say("# MSR %x\n", msr);
	check_equal(name, refused, PLACES);
}

static void half_a_page(void)
{
	static const u8 key[] = "sixteen bytes...";
	u8 *last = (u8 *)ram_end - 16;

	copy(last, key, 16);
	check("a clock of which half is in RAM is refused", !wrmsr_safe(MSR_TIME, (word)last | ENABLE));
	check("  and nothing of it written", same(last, key, 16));
	check("one that is all in RAM is taken", wrmsr_safe(MSR_TIME, (ram_end - CLOCK_BYTES) | ENABLE) && !same(last, key, 16));
	wrmsr(MSR_TIME, 0);
}

/* Wherever the place lies within a line: what is written is what the structure has, not a byte beside it. */
static void crooked(void)
{
	static u8 room[4 * CLOCK_BYTES];
	u32 beside = 0, written = 0;

	for (unsigned offset = 2; offset < CLOCK_BYTES; offset += 2) {
		u8 *at = room + CLOCK_BYTES + offset;
		fill(room, KEY, sizeof room);
		wrmsr_safe(MSR_TIME, (word)at | ENABLE);
		written += *at != KEY;
		for (u8 *p = room; p < room + sizeof room; p++)
			beside += (p < at || p >= at + CLOCK_BYTES) && *p != KEY;
	}
	check_equal("a crooked clock is written", written, CLOCK_BYTES / 2 - 1);
	check_equal("  and nothing beside it", beside, 0);
	wrmsr(MSR_TIME, 0);
	check("asynchronous faults are not offered, in RAM neither", !wrmsr_safe(MSR_ASYNC, (word)room | ENABLE));
}

static void own_ipi(void)
{
	u32 before = ipis_taken;

	lapic_icr(lapic_x2() ? lapic_read(APIC_ID) : lapic_read(APIC_ID) >> 24, IPI);
	irqs_on();
	delay_us(SETTLE_US);
	irqs_off();
	check_equal("  an interrupt comes, and ends as without it", ipis_taken, before + 1);
}

/* The flag's place is not looked at before it is used. */
static void eoi_flags(void)
{
	for (unsigned i = 0; i < PLACES; i++) {
		say("# EOI flag: %s\n", places[i].name);
		if (wrmsr_safe(MSR_EOI, (place(i) & ~3ull) | ENABLE))
			own_ipi();
		wrmsr_safe(MSR_EOI, 0);
		if (lapic_bit(APIC_ISR, IPI))
			check("  it is in service no more", false);
	}
}

/* --- instructions that the monitor carries out ------------------------------------------------------------------ */

static void ins(void *at)
{
	u64 count = 8;

	__asm__ volatile("rep insb" : "+D"(at), "+c"(count) : "d"(NOTHING) : "memory");
}

static void ins_long(void *at)
{
	__asm__ volatile("insl" : "+D"(at) : "d"(NOTHING) : "memory");
}

static void add(void *at) { __asm__ volatile("lock addl $5, (%0)" : : "r"(at) : "memory"); }
static void exchange(void *at) { __asm__ volatile("lock cmpxchg16b (%0)" : : "r"(at), "a"(0ull), "d"(0ull), "b"(1ull), "c"(2ull) : "memory"); }
static void push_to(void *at) { __asm__ volatile("pushq (%0)\n popq 8(%0)" : : "r"(at) : "memory"); }

static void move(void *at)
{
	static const u8 from[64] = { 1, 2, 3, 4 };
	const u8 *source = from;
	u64 count = 16;

	__asm__ volatile("rep movsb" : "+D"(at), "+S"(source), "+c"(count) : : "memory");
}

/* Frames that a guest's page table can name. */
static void emulated(void)
{
	static void (*const writes[])(void *) = { ins, ins_long, add, exchange, push_to, move };
	u64 most = 1ull << physical_bits();
	u32 survived = 0, tried = 0, tpr = lapic_read(APIC_TPR);

	for (unsigned i = 0; i < PLACES; i++) {
		u64 at = place(i);
		if (at >= most || (at & ~0xfffull) == LAPIC_ADDRESS)
			continue;
		map(FAR, at & ~0xfffull, RIGHTS | PTE_PCD, 1);
		for (unsigned w = 0; w < sizeof writes / sizeof writes[0]; w++) {
			tried++;
			/* 16 bytes at once are more than the monitor can: #UD */
			if (!guarded(writes[w], (void *)(FAR + (at & 0xff0))) || (writes[w] == exchange && trap.vector == V_UD))
				survived++;
			else
				say("# %s, way %u: vector %lx\n", places[i].name, w, trap.vector);
		}
	}
	say("# %u writes\n", tried);
	check_equal("writes where no RAM is go nowhere", survived, tried);
	check_equal("the local APIC's task priority stays", lapic_read(APIC_TPR), tpr);
}

/* Over the end of RAM: what is RAM is written, what is not is not, and both come back right. */
static void over_the_end(void)
{
	u64 *last;

	map(FAR, ram_end - PAGE_SIZE, RIGHTS, 1);
	map(FAR + PAGE_SIZE, ram_end, RIGHTS | PTE_PCD, 1);
	last = (u64 *)(FAR + PAGE_SIZE - 8);
	*last = 0;
	ins((u8 *)last + 4);
	check_equal("INS over the end of RAM writes what is there", *last, 0xffffffff00000000ull);
}

static void find_end(void)
{
	for (unsigned i = 0; i < boot.ranges; i++)
		if (boot.range[i].type == RANGE_RAM && boot.range[i].base + boot.range[i].size < 4 * GIB &&
		    boot.range[i].base + boot.range[i].size > ram_end)
			ram_end = boot.range[i].base + boot.range[i].size;
}

GUEST(writers)
{
	find_end();
	lapic_enable();
	tsc_per_ms();
	handlers[IPI] = take_ipi;
	pages("a clock is refused", MSR_TIME, ENABLE, 4);
	pages("by its old number too", MSR_TIME_OLD, ENABLE, 4);
	pages("a wall clock is refused", MSR_WALL, 0, 4);
	pages("by its old number too", MSR_WALL_OLD, 0, 4);
	pages("a page for stolen time is refused", MSR_STEAL, ENABLE, 64);
	pages("a page for asynchronous faults is refused", MSR_ASYNC, ENABLE, 64);
	half_a_page();
	crooked();
	eoi_flags();
	emulated();
	over_the_end();
}
