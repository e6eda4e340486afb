/*
 * flood: a guest that tries to make lists grow: pages registered again and again, every vector pending many times, thousands of MSRs that nobody
 * knows, cache attributes of every kind. Everything is one thing each, however often it is asked for.
 */
#include "lib/guest.h"

enum { ROUNDS = 3000, PAGES = 64, FIRST = 0x20, VECTORS = 256, TIMES = 5, UNKNOWN = 3000, SETTLE_US = 1000, ENABLE = 1, KICK = 5 };
enum { MSR_WALL = 0x4b564d00, MSR_TIME = 0x4b564d01, MSR_EOI = 0x4b564d04, MSR_MTRR_BASE0 = 0x200, MSR_MTRR_MASK0 = 0x201 };
#define UNKNOWN_FIRST 0x90000000u
#define WINDOW 0x200000000ull
#define MTRR_ENABLE 0x800ull

static u8 *room;
static volatile u32 came[VECTORS];

static void on_any(struct regs *r)
{
	came[r->vector]++;
	lapic_eoi();
}

/* Each registration takes the place of the one before. */
static void registrations(void)
{
	u32 taken = 0, stray = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		u64 at = (word)room + i % PAGES * PAGE_SIZE + i % 16 * 64;
		taken += wrmsr_safe(MSR_TIME, at | ENABLE) && wrmsr_safe(MSR_WALL, at + 32) && wrmsr_safe(MSR_EOI, (at + 48) | ENABLE);
	}
	check_equal("pages are registered as often as one likes", taken, ROUNDS);
	wrmsr(MSR_EOI, 0);
	wrmsr(MSR_TIME, 0);
	fill(room, 0, PAGES * PAGE_SIZE);
	delay_us(SETTLE_US);
	for (unsigned i = 0; i < PAGES * PAGE_SIZE; i++)
		stray += room[i];
	check_equal("  and none is written to when it has been given up", stray, 0);
}

static void vectors(u32 self)
{
	u32 once = 0;

	for (unsigned v = FIRST; v < VECTORS; v++)
		handlers[v] = on_any;
	handlers[V_SYSCALL] = on_any;
	for (unsigned i = 0; i < TIMES; i++)
		for (unsigned v = FIRST; v < VECTORS; v++)
			lapic_icr(self, v);
	irqs_on();
	delay_us(SETTLE_US);
	irqs_off();
	for (unsigned v = FIRST; v < VECTORS; v++)
		once += came[v] == 1;
	check_equal("a vector that is sent many times comes once", once, VECTORS - FIRST);
}

static void kicks(u32 self)
{
	u32 good = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		s64 answer;
		__asm__ volatile("vmmcall" : "=a"(answer) : "a"(KICK), "b"(0), "c"(self) : "memory");
		good += answer == 0;
	}
	check_equal("kicks are one kick", good, ROUNDS);
}

static void unknown(void)
{
	u32 refused = 0;
	u64 value;

	for (unsigned i = 0; i < UNKNOWN; i++)
		refused += !rdmsr_safe(UNKNOWN_FIRST + i * 17, &value);
	check_equal("MSRs that are none give #GP", refused, UNKNOWN);
}

/* What the guest says of caches is its own view. Coherence is nothing that an emulator shows; that ring 0 goes on writing is. */
static void attributes(void)
{
	static const u8 types[] = { 0, 1, 4, 5, 6, 7 };
	u64 pat = rdmsr(MSR_PAT), type = rdmsr(MSR_MTRR_DEFAULT), all = 0;
	volatile u32 *clock = (volatile u32 *)WINDOW;
	u32 written = 0, kept = 0;

	for (unsigned i = 0; i < sizeof types; i++) {
		for (unsigned k = 0; k < 8; k++)
			all = all << 8 | types[i];
		wrmsr(MSR_PAT, all);
		kept += rdmsr(MSR_PAT) == all;
		if (types[i] != 7) {
			wrmsr(MSR_MTRR_DEFAULT, MTRR_ENABLE | types[i]);
			wrmsr(MSR_MTRR_BASE0, (word)room | types[i]);
			wrmsr(MSR_MTRR_MASK0, MTRR_ENABLE | 0xfffff000u);
			kept += rdmsr(MSR_MTRR_DEFAULT) == (MTRR_ENABLE | types[i]);
		}
		map(WINDOW, (word)room, PTE_P | PTE_W | (i & 1 ? PTE_PCD : PTE_PWT), 1);
		*clock = 0;
		wrmsr(MSR_TIME, (word)room | ENABLE);
		written += *clock == 2; /* its version */
		wrmsr(MSR_TIME, 0);
	}
	check_equal("PAT and MTRRs are what was written", kept, 2 * sizeof types - 1);
	check_equal("ring 0 writes through them all", written, sizeof types);
	wrmsr(MSR_MTRR_MASK0, 0);
	wrmsr(MSR_MTRR_DEFAULT, type);
	wrmsr(MSR_PAT, pat);
}

GUEST(flood)
{
	u32 self;

	lapic_enable();
	tsc_per_ms();
	self = lapic_x2() ? lapic_read(APIC_ID) : lapic_read(APIC_ID) >> 24;
	room = page_alloc();
	for (unsigned i = 1; i < PAGES; i++)
		page_alloc();
	registrations();
	vectors(self);
	kicks(self);
	unknown();
	attributes();
}
