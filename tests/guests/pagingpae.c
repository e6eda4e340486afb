/*
 * pagingpae: PAE paging: four pointers loaded with CR3, eight-byte entries, NX, 2 MiB pages, reserved bits, memory above 4 GiB
 * named by a 32-bit program, and changes of mode.
 */
#include "lib/paging32.h"

enum { ENTRIES = 512, BIG = 0x200000 };

static u64 pointers[4] __attribute__((aligned(32)));
static u64 directories[4][ENTRIES] __attribute__((aligned(4096)));
static u64 table[ENTRIES] __attribute__((aligned(4096)));

static volatile u64 *const e = &table[WINDOW >> 12 & 0x1ff];
static volatile u64 *const upper = &directories[WINDOW >> 30][WINDOW >> 21 & 0x1ff];

static void set(u64 entry)
{
	*e = entry;
	invlpg((void *)WINDOW);
}

static void build(void)
{
	for (u32 i = 0; i < 16; i++)
		directories[0][i] = (u64)i * BIG | RIGHTS | PTE_PS;
	for (u32 i = 0; i < 4; i++)
		pointers[i] = (u32)directories[i] | PTE_P;
	*upper = (u32)table | RIGHTS;
	write_cr4(read_cr4() | CR4_PAE);
	write_cr3((u32)pointers);
	write_cr0(read_cr0() | CR0_PG | CR0_WP);
}

static void rights(u8 *page)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < 32; i++)
		wrong += RIGHTS_WRONG(i, true, e, upper, table, page);
	*upper = (u32)table | RIGHTS;
	reload_cr3();
	check_equal("W and U over two levels, both CPLs: all 32 right", wrong, 0);
}

static void accessed_dirty(u8 *page)
{
	*upper = (u32)table | RIGHTS;
	reload_cr3();
	set((u32)page | RIGHTS);
	reads(WINDOW);
	check("a read sets A, not D", (*e & (PTE_A | PTE_D)) == PTE_A && (*upper & PTE_A));
	writes(WINDOW);
	check("a write sets D", *e & PTE_D);
	set(0);
	check("a page that is absent: #PF with error 0", !reads(WINDOW) && trap.error == 0 && trap.cr2 == WINDOW);
}

static void no_execute(u8 *page)
{
	page[0] = 0xc3;
	set((u32)page | RIGHTS);
	check("a page executes", !guarded(touch_run, (void *)WINDOW));
	if (!HAS_NX) {
		skip("NX", "CPUID does not have it");
		return;
	}
	set((u32)page | RIGHTS | PTE_NX);
	check("without NXE bit 63 is reserved", !reads(WINDOW) && (trap.error | PF_P) == (PF_RSVD | PF_P));
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	reload_cr3();
	check("with NXE it reads", reads(WINDOW));
	check("  and does not execute", guarded(touch_run, (void *)WINDOW) && trap.error == (PF_P | PF_I) && trap.ip == WINDOW);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(u64)EFER_NXE);
	set((u32)page | RIGHTS);
}

static void reserved(u8 *page)
{
	unsigned wrong = 0;

	for (unsigned bit = physical_bits(); bit < 52; bit++) {
		set((u32)page | RIGHTS | 1ull << bit);
		wrong += reads(WINDOW) || (trap.error | PF_P) != (PF_RSVD | PF_P);
	}
	check_equal("bits above the physical address give RSVD", wrong, 0);
	/* QEMU 7.2 has only 1 GiB apart in such addresses: what lies there is a hole. */
	if (physical_bits() >= 40) {
		u64 ones = on_tcg() ? 0 : 0xffffffffu;
		set(0x7000000000ull | RIGHTS | PTE_PCD);
		check_equal("a hole at 448 GiB, from 32 bits", *(volatile u32 *)WINDOW, ones);
	}
	set((u32)page | RIGHTS);
}

static void big_pages(u8 *page)
{
	u32 offset = (u32)page & (BIG - 1);

	page[0] = 0x77;
	*upper = ((u32)page & ~(u32)(BIG - 1)) | RIGHTS | PTE_PS;
	reload_cr3();
	check_equal("a 2 MiB page", *(volatile u8 *)(WINDOW + offset), 0x77);
	*(volatile u8 *)(WINDOW + offset) = 0x78;
	check("  D by a write", page[0] == 0x78 && (*upper & PTE_D));
	*upper |= 1 << 13;
	reload_cr3();
	check("bit 13 of one is reserved", !reads(WINDOW) && (trap.error | PF_P) == (PF_RSVD | PF_P));
	*upper = (u32)table | RIGHTS;
	reload_cr3();
}

static void write_bad(void *arg)
{
	pointers[1] |= 1ull << 51;
	__asm__ volatile("movl %0, %%cr3" : : "r"(arg) : "memory");
}

/* The four pointers are registers: memory may change, and only a load of CR3 takes it over. */
static void pointer_registers(volatile u32 *a)
{
	u64 was = pointers[WINDOW >> 30];
	bool kept, gone, back;

	*a = 0x4321;
	set((u32)a | RIGHTS);
	pointers[WINDOW >> 30] = 0;
	invlpg((void *)WINDOW);
	kept = reads(WINDOW);
	pointers[WINDOW >> 30] = 0;
	reload_cr3();
	gone = !reads(WINDOW) && trap.error == 0;
	pointers[WINDOW >> 30] = was;
	reload_cr3();
	back = reads(WINDOW);
	/* TCG, and AMD's nested paging, read the pointers from memory on each walk. */
	remark("the pointers are read when CR3 is loaded", kept);
	check("  a load takes a pointer away and gives it back", gone && back);
	remark("  #GP by a reserved bit in one", guarded(write_bad, (void *)(u32)pointers) && trap.vector == V_GP);
	pointers[1] &= ~(1ull << 51);
	write_cr3((u32)pointers);
}

static void pae_off_and_on(unsigned turn)
{
	if (turn & 1) {
		write_cr4(read_cr4() & ~(word)CR4_PAE);
		cpuid(0, 0);
		write_cr4(read_cr4() | CR4_PAE);
	}
}

GUEST(pagingpae)
{
	u8 *a = page_alloc(), *b = page_alloc();

	build();
	check("paging is on", read_cr0() & CR0_PG);
	rights(a);
	accessed_dirty(a);
	no_execute(a);
	reserved(a);
	big_pages(b);
	pointer_registers((volatile u32 *)(void *)a);
	set((u32)a | RIGHTS);
	check_equal("paging off and on, PAE too, 20 times", off_and_on_wrong((volatile u32 *)(void *)a, pae_off_and_on), 0);
	write_cr0(read_cr0() & ~(CR0_PG | CR0_WP));
}
