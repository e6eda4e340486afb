/*
 * paging64: four levels: who may do what to a page, the A and D bits that it leaves, the sizes, and what each kind of flush
 * must make true. A second window with other bits on the same page shows what the first did.
 */
#include "lib/guest.h"

#define FAR  0x200000000ull     /* 8 GiB, one pointer table of its own */
#define HIGH 0xffff900000000000ull
#define RIGHTS (PTE_P | PTE_W | PTE_U)

static void read_byte(void *arg)
{
	__asm__ volatile(MARK "movb (%0), %%al" : : "r"(arg) : "rax", "memory");
}
static void write_byte(void *arg)
{
	__asm__ volatile(MARK "movb $0x5a, (%0)" : : "r"(arg) : "memory");
}
static void run(void *arg)
{
	__asm__ volatile("movq %0, expected_ip\ncall *%0" : : "r"(arg) : "memory");
}

static volatile u64 *pte(u64 va)
{
	return pte_at(read_cr3(), va, 1);
}

static bool reads(u64 va) { return !guarded(read_byte, (void *)va); }
static bool writes(u64 va) { return !guarded(write_byte, (void *)va); }

/* --- A and D ---------------------------------------------------------------------------------------------- */

static void accessed_dirty(void)
{
	u64 page = (u64)page_alloc();
	volatile u64 *e, *upper;

	map(FAR, page, RIGHTS, 1);
	e = pte(FAR);
	upper = pte_at(read_cr3(), FAR, 2);
	*upper &= ~(u64)PTE_A;
	reload_cr3();
	check("A and D are clear at first", !(*e & (PTE_A | PTE_D)));
	reads(FAR);
	check("a read sets A, not D", (*e & (PTE_A | PTE_D)) == PTE_A);
	check("  and A in the level above", *upper & PTE_A);
	writes(FAR);
	check("a write after a read sets D", *e & PTE_D);
	*e = page | RIGHTS;
	invlpg((void *)FAR);
	writes(FAR);
	check("a first write sets both", (*e & (PTE_A | PTE_D)) == (PTE_A | PTE_D));
	*e = page | PTE_P;
	invlpg((void *)FAR);
	write_cr0(read_cr0() | CR0_WP);
	check("a refused write", !writes(FAR));
	check("  leaves D alone", !(*e & PTE_D));
	*e = page | PTE_P | PTE_W;
	invlpg((void *)FAR);
	guarded_user(read_byte, (void *)FAR);
	check("a refused read at CPL 3 leaves A alone", !(*e & PTE_A));
	check("the low bits that software owns stay", (*e = page | RIGHTS | 0xe00, invlpg((void *)FAR), writes(FAR), (*e & 0xe00) == 0xe00));
	map(FAR, page & ~(2 * MIB - 1), RIGHTS, 2);
	e = pte_at(read_cr3(), FAR, 2);
	reads(FAR);
	check("a 2 MiB page: a read sets A, not D", (*e & (PTE_A | PTE_D)) == PTE_A);
	*e = 0;
	invlpg((void *)FAR);
}

/* --- rights ------------------------------------------------------------------------------------------------- */

/* All combinations of W and U over two levels: the least of both holds. */
static void combined_rights(void)
{
	u64 va = FAR + GIB;
	u64 page = (u64)page_alloc();
	unsigned wrong = 0;
	volatile u64 *leaf, *upper;
	u64 table;

	map(va, page, RIGHTS, 1);
	leaf = pte(va);
	upper = pte_at(read_cr3(), va, 2);
	table = *upper & PTE_FRAME;
	write_cr0(read_cr0() | CR0_WP);
	for (unsigned i = 0; i < 32; i++) {
		u64 lw = i & 1 ? PTE_W : 0, lu = i & 2 ? PTE_U : 0, uw = i & 4 ? PTE_W : 0, uu = i & 8 ? PTE_U : 0;
		bool w = lw && uw, u = lu && uu, user = i & 16;
		bool got_r, got_w, want_r = !user || u, want_w = w && (!user || u);
		word want_error = (word)PF_W | (user ? PF_U : 0) | PF_P;

		*upper = table | PTE_P | uw | uu;
		*leaf = page | PTE_P | lw | lu;
		reload_cr3();
		invlpg((void *)va);
		got_r = user ? !guarded_user(read_byte, (void *)va) : reads(va);
		got_w = user ? !guarded_user(write_byte, (void *)va) : writes(va);
		if (got_r != want_r || got_w != want_w || (!got_w && trap.error != want_error)) {
			say("  combination %u: read %u, write %u, error %lx\n", i, got_r, got_w, trap.error);
			wrong++;
		}
	}
	check_equal("W and U over two levels, both CPLs: all 32 right", wrong, 0);
	*upper = table | RIGHTS;
	*leaf = page | PTE_P;
	reload_cr3();
	write_cr0(read_cr0() & ~(word)CR0_WP);
	check("without WP CPL 0 writes to a read-only page", writes(va));
	check("  and D is set", *leaf & PTE_D);
	check("  and CPL 3 still may not", guarded_user(write_byte, (void *)va));
	write_cr0(read_cr0() | CR0_WP);
	invlpg((void *)va);
	check("with WP again it may not", !writes(va) && trap.error == (PF_P | PF_W));
	write_cr0(read_cr0() & ~(word)CR0_WP);
}

static void no_execute(void)
{
	u8 *page = page_alloc();
	u64 va = FAR + 2 * GIB;

	page[0] = 0xc3;
	map(va, (u64)page, RIGHTS, 1);
	check("a page executes", !guarded(run, (void *)va));
	if (!HAS_NX) {
		skip("NX", "CPUID does not have it");
		return;
	}
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(u64)EFER_NXE);
	map(va, (u64)page, RIGHTS | PTE_NX, 1);
	check("without NXE bit 63 is reserved", !reads(va) && trap.vector == V_PF && (trap.error | PF_P) == (PF_RSVD | PF_P));
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	reload_cr3();
	check("with NXE it reads and writes", reads(va) && writes(va + 8));
	check("  and does not execute", guarded(run, (void *)va) && trap.error == (PF_P | PF_I) && trap.ip == va);
	map(va, (u64)page, RIGHTS, 1);
	*pte_at(read_cr3(), va, 2) |= PTE_NX;
	reload_cr3();
	check("NX one level up holds too", guarded(run, (void *)va) && trap.error == (PF_P | PF_I));
	*pte_at(read_cr3(), va, 2) &= ~PTE_NX;
	reload_cr3();
	check("and is gone with it", !guarded(run, (void *)va));
}

static void read_with_ac(void *arg)
{
	__asm__ volatile("stac\nmovb (%0), %%al\nclac" : : "r"(arg) : "rax", "memory");
}

static void supervisor_modes(void)
{
	u8 *page = page_alloc();
	u64 va = FAR + 2 * GIB + 2 * MIB;

	page[0] = 0xc3;
	map(va, (u64)page, RIGHTS, 1);
	protect_image(true); /* SMEP and SMAP need supervisor pages for what runs */
	if (HAS_SMEP) {
		write_cr4(read_cr4() | CR4_SMEP);
		check("SMEP: CPL 0 does not execute a user page", guarded(run, (void *)va) && trap.vector == V_PF && (trap.error & PF_P) && (trap.error & PF_I));
		check("SMEP: it reads one", reads(va));
		write_cr4(read_cr4() & ~(word)CR4_SMEP);
		check("without SMEP it executes again", !guarded(run, (void *)va));
	} else {
		skip("SMEP", "CPUID does not have it");
	}
	if (HAS_SMAP) {
		write_cr4(read_cr4() | CR4_SMAP);
		check("SMAP: CPL 0 does not read a user page", !reads(va) && trap.vector == V_PF && trap.error == PF_P);
		check("SMAP: nor write", !writes(va) && trap.error == (PF_P | PF_W));
		check("SMAP: with AC it does", !guarded(read_with_ac, (void *)va));
		write_cr4(read_cr4() & ~(word)CR4_SMAP);
		check("without SMAP it reads again", reads(va));
	} else {
		skip("SMAP", "CPUID does not have it");
	}
	protect_image(false);
}

/* --- reserved bits ------------------------------------------------------------------------------------------- */

static void reserved_bits(void)
{
	unsigned top = physical_bits(), wrong = 0;
	u64 va = HIGH + GIB; /* a top-level entry of its own: the image's stays whole */
	u64 page = (u64)page_alloc();

	map(va, page, RIGHTS, 1);
	for (unsigned level = 1; level <= 4; level++) {
		volatile u64 *e = pte_at(read_cr3(), va, level);
		u64 was = *e;

		for (unsigned bit = top; bit < 52; bit++) {
			*e = was | 1ull << bit;
			reload_cr3();
			/* TCG leaves P out of such codes. */
			if (reads(va) || trap.vector != V_PF || (trap.error | PF_P) != (PF_RSVD | PF_P) || trap.cr2 != va)
				wrong++;
		}
		*e = was;
		reload_cr3();
	}
	check_equal("each bit above the physical address, at each level, gives #PF with RSVD", wrong, 0);
	check("  and the address reads without them", reads(va));
	map(FAR, (page & ~(2 * MIB - 1)) | 1 << 13, RIGHTS, 2);
	check("a 2 MiB page with an address bit too many gives RSVD", !reads(FAR) && (trap.error | PF_P) == (PF_RSVD | PF_P));
	map(FAR, 0, 0, 2);
	if (!HAS_GIB_PAGES) {
		*pte_at(read_cr3(), FAR + 4 * GIB, 3) = RIGHTS | PTE_PS;
		check("a 1 GiB page gives RSVD where there is none", !reads(FAR + 4 * GIB) && (trap.error | PF_P) == (PF_RSVD | PF_P));
		*pte_at(read_cr3(), FAR + 4 * GIB, 3) = 0;
	}
}

/* --- sizes and places ------------------------------------------------------------------------------------------ */

static volatile u32 there[1024] __attribute__((aligned(4096)));

static void sizes(void)
{
	u64 at = (u64)there;

	there[0] = 0x11111111;
	map(FAR + 5 * GIB, at & ~(2 * MIB - 1), RIGHTS, 2);
	check_equal("a 2 MiB page", *(volatile u32 *)(FAR + 5 * GIB + (at & (2 * MIB - 1))), 0x11111111);
	*(volatile u32 *)(FAR + 5 * GIB + (at & (2 * MIB - 1))) = 0x22222222;
	check_equal("  written through", there[0], 0x22222222);
	if (HAS_GIB_PAGES) {
		map(FAR + 6 * GIB, 0, RIGHTS, 3);
		check_equal("a 1 GiB page", *(volatile u32 *)(FAR + 6 * GIB + at), 0x22222222);
	} else {
		skip("a 1 GiB page", "CPUID does not have them");
	}
	map(HIGH, at, RIGHTS, 1);
	check_equal("a page in the upper half", *(volatile u32 *)HIGH, 0x22222222);
	map(FAR + 7 * GIB, at, RIGHTS, 1);
	map(FAR + 7 * GIB + PAGE_SIZE, at, RIGHTS, 1);
	*(volatile u64 *)(FAR + 7 * GIB + PAGE_SIZE - 4) = 0x3333333344444444ull;
	check("an access over two mappings of one page", there[1023] == 0x44444444 && there[0] == 0x33333333);
	__asm__ volatile("lock; addl $1, (%0)" : : "r"(FAR + 7 * GIB) : "memory");
	check_equal("  and a locked one", there[0], 0x33333334);
}

/* Every 16 MiB of RAM up to the end, each through a mapping of its own. */
static void end_of_ram(void)
{
	u64 va = FAR + 7 * GIB + 4 * PAGE_SIZE, seed = 0x9e3779b97f4a7c15ull;
	unsigned wrong = 0, places = 0;

	for (unsigned pass = 0; pass < 2; pass++)
		for (unsigned i = 0; i < boot.ranges; i++) {
			u64 end = (boot.range[i].base + boot.range[i].size) & ~0xfffull;
			if (boot.range[i].type != RANGE_RAM || end < 4 * MIB)
				continue;
			for (u64 at = end; at > 4 * MIB && at > boot.range[i].base + PAGE_SIZE && end - at < 256 * MIB; at -= 16 * MIB) {
				map(va, at - PAGE_SIZE, RIGHTS, 1);
				if (!pass)
					*(volatile u64 *)va = at * seed;
				else if (*(volatile u64 *)va != at * seed)
					wrong++;
				places++;
			}
		}
	check("memory up to the end of RAM was reached", places >= 2);
	check_equal("  and kept what was written", wrong, 0);
}

/* --- what a flush must make true ------------------------------------------------------------------------------- */

static void flushes(void)
{
	u64 va = FAR + 7 * GIB + 16 * PAGE_SIZE;
	volatile u32 *a = page_alloc(), *b = page_alloc(), *seen = (volatile u32 *)va;
	unsigned wrong = 0;

	*a = 0xaaaa;
	*b = 0xbbbb;
	map(va, (u64)a, RIGHTS, 1);
	check_equal("a first mapping", *seen, 0xaaaa);
	*pte(va) = (u64)b | RIGHTS;
	invlpg(seen);
	check_equal("after INVLPG the new one", *seen, 0xbbbb);
	*pte(va) = (u64)a | RIGHTS;
	reload_cr3();
	check_equal("after a CR3 load the new one", *seen, 0xaaaa);
	*pte(va) = 0;
	invlpg(seen);
	check("after INVLPG a page that is gone faults", !reads(va) && trap.error == 0);
	*pte(va) = (u64)b | RIGHTS;
	check_equal("a page that was absent needs no flush", *seen, 0xbbbb);
	*pte(va) = (u64)b | PTE_P;
	invlpg(seen);
	write_cr0(read_cr0() | CR0_WP);
	reads(va);
	*pte(va) = (u64)b | RIGHTS;
	invlpg(seen);
	check("a right that was granted is there", writes(va));
	*pte(va) = (u64)b | PTE_P;
	invlpg(seen);
	check("a right that was taken is gone after INVLPG", !writes(va) && trap.error == (PF_P | PF_W));
	write_cr0(read_cr0() & ~(word)CR0_WP);
	for (unsigned i = 0; i < 64; i++) {
		volatile u32 *want = i & 1 ? a : b;
		*want = i;
		*pte(va) = (u64)want | RIGHTS;
		invlpg(seen);
		wrong += *seen != i;
	}
	check_equal("64 mappings one after the other", wrong, 0);
	/* A table of the level above exchanged, then INVLPG of one address only. */
	{
		u64 *table = page_alloc(), *was = (u64 *)(*pte_at(read_cr3(), va, 2) & PTE_FRAME);
		copy(table, was, PAGE_SIZE);
		table[va >> 12 & 0x1ff] = (u64)a | RIGHTS;
		*a = 0xa0a0;
		*pte_at(read_cr3(), va, 2) = (u64)table | RIGHTS;
		invlpg(seen);
		check_equal("a table exchanged, then INVLPG", *seen, 0xa0a0);
		*pte_at(read_cr3(), va, 2) = (u64)was | RIGHTS;
		reload_cr3();
	}
}

static void global_pages(void)
{
	u64 va = FAR + 7 * GIB + 32 * PAGE_SIZE;
	volatile u32 *a = page_alloc(), *b = page_alloc(), *seen = (volatile u32 *)va;
	u32 kept;

	*a = 0xaaaa;
	*b = 0xbbbb;
	write_cr4(read_cr4() | CR4_PGE);
	map(va, (u64)a, RIGHTS | PTE_G, 1);
	check_equal("a global page", *seen, 0xaaaa);
	*pte(va) = (u64)b | RIGHTS | PTE_G;
	reload_cr3();
	kept = *seen; /* a processor may keep it, and need not */
	check("after a CR3 load the old or the new one", kept == 0xaaaa || kept == 0xbbbb);
	write_cr4(read_cr4() & ~(word)CR4_PGE);
	check_equal("after clearing PGE the new one", *seen, 0xbbbb);
	write_cr4(read_cr4() | CR4_PGE);
	reads(va);
	*pte(va) = (u64)a | RIGHTS | PTE_G;
	invlpg(seen);
	check_equal("INVLPG takes a global page too", *seen, 0xaaaa);
	write_cr4(read_cr4() & ~(word)CR4_PGE);
}

/* --- other tables altogether ------------------------------------------------------------------------------------ */

static void address_spaces(void)
{
	u64 va = FAR + 8 * GIB, first = read_cr3();
	u64 *root = page_alloc();
	volatile u32 *a = page_alloc(), *b = page_alloc(), *seen = (volatile u32 *)va;
	unsigned wrong = 0;

	*a = 1;
	*b = 2;
	map(va, (u64)a, RIGHTS, 1);
	root[0] = page_alloc() ? (u64)page_alloc() | RIGHTS : 0;
	copy((u64 *)(root[0] & PTE_FRAME), (u64 *)(*pte_at(first, 0, 4) & PTE_FRAME), PAGE_SIZE);
	((u64 *)(root[0] & PTE_FRAME))[va >> 30 & 0x1ff] = 0;
	*pte_at((u64)root, va, 1) = (u64)b | RIGHTS;
	for (unsigned i = 0; i < 100; i++) {
		write_cr3((u64)root);
		wrong += *seen != 2;
		write_cr3(first);
		wrong += *seen != 1;
	}
	check_equal("two address spaces, 100 turns", wrong, 0);
	check("CR3 keeps PWT and PCD", (write_cr3(first | PTE_PWT | PTE_PCD), read_cr3() == (first | PTE_PWT | PTE_PCD)));
	write_cr3(first);
}

GUEST(paging64)
{
	accessed_dirty();
	combined_rights();
	no_execute();
	supervisor_modes();
	reserved_bits();
	sizes();
	end_of_ram();
	flushes();
	global_pages();
	address_spaces();
}
