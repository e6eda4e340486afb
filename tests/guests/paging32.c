/*
 * paging32: 32-bit paging, two levels of four-byte entries: rights, A and D, 4 MiB pages, global pages, flushes, and paging
 * switched off and on again.
 */
#include "lib/paging32.h"

enum { ENTRIES = 1024, BIG = 0x400000 };

static u32 directory[ENTRIES] __attribute__((aligned(4096)));
static u32 first_tables[4][ENTRIES] __attribute__((aligned(4096)));
static u32 table[ENTRIES] __attribute__((aligned(4096)));

static volatile u32 *const e = &table[WINDOW >> 12 & 0x3ff];
static volatile u32 *const upper = &directory[WINDOW >> 22];

static void set(u32 entry)
{
	*e = entry;
	invlpg((void *)WINDOW);
}

static void build(void)
{
	/* 16 MiB in small pages, the APIC's last 4 MiB and what lies in between in tables of their own. */
	for (u32 i = 0; i < 4 * ENTRIES; i++)
		first_tables[i / ENTRIES][i % ENTRIES] = i << 12 | RIGHTS;
	for (u32 i = 0; i < 4; i++)
		directory[i] = (u32)first_tables[i] | RIGHTS;
	*upper = (u32)table | RIGHTS;
	write_cr3((u32)directory);
	write_cr0(read_cr0() | CR0_PG | CR0_WP);
}

static void rights(u8 *page)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < 64; i++) {
		bool wp = i & 32;
		write_cr0(wp ? read_cr0() | CR0_WP : read_cr0() & ~(word)CR0_WP);
		wrong += RIGHTS_WRONG(i, wp, e, upper, table, page);
	}
	*upper = (u32)table | RIGHTS;
	write_cr0(read_cr0() | CR0_WP);
	reload_cr3();
	check_equal("W and U over two levels, both CPLs, WP on and off: all 64 right", wrong, 0);
}

static void accessed_dirty(u8 *page)
{
	*upper &= ~(u32)PTE_A;
	reload_cr3();
	set((u32)page | RIGHTS);
	reads(WINDOW);
	check("a read sets A, not D", (*e & (PTE_A | PTE_D)) == PTE_A && (*upper & PTE_A));
	writes(WINDOW);
	check("a write sets D", *e & PTE_D);
	set((u32)page | RIGHTS);
	writes(WINDOW);
	check("a first write sets both", (*e & (PTE_A | PTE_D)) == (PTE_A | PTE_D));
	set(0);
	check("a page that is absent: #PF with error 0", !reads(WINDOW) && trap.error == 0 && trap.cr2 == WINDOW);
	check("  error 2 for a write", !writes(WINDOW + 5) && trap.error == PF_W && trap.cr2 == WINDOW + 5);
	check("  error 4 at CPL 3", guarded_user(touch_read, (void *)WINDOW) && trap.error == PF_U);
	*upper = 0;
	reload_cr3();
	check("a table that is absent", !reads(WINDOW) && trap.error == 0);
	*upper = (u32)table | RIGHTS;
	reload_cr3();
	page[0] = 0xc3;
	set((u32)page | PTE_P | PTE_U);
	check("every page executes", !guarded(touch_run, (void *)WINDOW));
}

static void big_pages(u8 *page)
{
	u32 offset = (u32)page & (BIG - 1);

	page[0] = 0x77;
	write_cr4(read_cr4() | CR4_PSE);
	*upper = ((u32)page & ~(u32)(BIG - 1)) | RIGHTS | PTE_PS;
	reload_cr3();
	check_equal("a 4 MiB page", *(volatile u8 *)(WINDOW + offset), 0x77);
	check("  A without D", (*upper & (PTE_A | PTE_D)) == PTE_A);
	*(volatile u8 *)(WINDOW + offset) = 0x78;
	check("  D by a write", page[0] == 0x78 && (*upper & PTE_D));
	*upper = ((u32)page & ~(u32)(BIG - 1)) | RIGHTS | PTE_PS | 1 << 21;
	reload_cr3();
	/* TCG leaves P out of such codes. */
	check("bit 21 of one is reserved", !reads(WINDOW) && (trap.error | PF_P) == (PF_RSVD | PF_P));
	write_cr4(read_cr4() & ~(word)CR4_PSE);
	*upper = (u32)table | RIGHTS | PTE_PS;
	reload_cr3();
	set((u32)page | RIGHTS);
	check_equal("without PSE the bit means nothing", *(volatile u8 *)WINDOW, 0x78);
	*upper = (u32)table | RIGHTS;
	reload_cr3();
}

static void flushes(volatile u32 *a, volatile u32 *b)
{
	volatile u32 *seen = (volatile u32 *)WINDOW;
	unsigned wrong = 0;

	*a = 0xaaaa;
	*b = 0xbbbb;
	for (unsigned i = 0; i < 32; i++) {
		*e = (u32)(i & 1 ? a : b) | RIGHTS;
		if (i & 2)
			invlpg(seen);
		else
			reload_cr3();
		wrong += *seen != (i & 1 ? 0xaaaau : 0xbbbbu);
	}
	check_equal("32 mappings by INVLPG and CR3", wrong, 0);
	write_cr4(read_cr4() | CR4_PGE);
	set((u32)a | RIGHTS | PTE_G);
	wrong = *seen != 0xaaaa;
	set((u32)b | RIGHTS | PTE_G);
	wrong += *seen != 0xbbbb;
	*e = (u32)a | RIGHTS | PTE_G;
	write_cr4(read_cr4() & ~(word)CR4_PGE);
	wrong += *seen != 0xaaaa;
	check_equal("global pages by INVLPG and PGE", wrong, 0);
}

static void an_exit(unsigned turn)
{
	(void)turn;
	cpuid(0, 0);
}

GUEST(paging32)
{
	u8 *a = page_alloc(), *b = page_alloc();

	build();
	check("paging is on", read_cr0() & CR0_PG);
	rights(a);
	accessed_dirty(a);
	if (feature(1, IN_D, 3))
		big_pages(b);
	flushes((volatile u32 *)(void *)a, (volatile u32 *)(void *)b);
	set((u32)a | RIGHTS);
	check_equal("paging off and on, 20 times", off_and_on_wrong((volatile u32 *)(void *)a, an_exit), 0);
	write_cr0(read_cr0() & ~(CR0_PG | CR0_WP));
}
