/*
 * mmu: the independent judge. Bit numbers as in the manuals' figures; each mode is a row of levels.
 */
#include "sim/mmu.h"

#include <string.h>

enum { BIT_P = 0, BIT_RW = 1, BIT_US = 2, BIT_A = 5, BIT_D = 6, BIT_PS = 7, BIT_NX = 63 };

static bool bit(u64 v, int n)
{
	return (v >> n) & 1;
}

static u64 field(u64 v, int high, int low)
{
	u64 width = (u64)(high - low + 1);
	return (v >> low) & (width == 64 ? ~0ull : (1ull << width) - 1);
}

static u64 *word_at(const struct mmu_ram *ram, u64 address)
{
	return address + 8 <= ram->bytes ? (u64 *)(void *)(ram->at + address) : NULL;
}

/* ---- nested and host tables ---- */

struct mmu_translation mmu_walk_from(const struct mmu_ram *ram, u64 table, u32 level, u64 address)
{
	struct mmu_translation t = { .write = true, .exec = true, .user = true };
	for (;; level--) {
		t.tables[t.table_count++] = table;
		int low = 12 + 9 * ((int)level - 1);
		t.entry = word_at(ram, table + 8 * field(address, low + 8, low));
		if (!t.entry)
			return t;
		u64 e = __atomic_load_n(t.entry, __ATOMIC_SEQ_CST);
		if (!bit(e, BIT_P))
			return t;
		t.write = t.write && bit(e, BIT_RW);
		t.user = t.user && bit(e, BIT_US);
		t.exec = t.exec && !bit(e, BIT_NX);
		u64 frame = field(e, 51, 12);
		if (level == 1 || (level == 2 && bit(e, BIT_PS))) {
			t.present = true;
			t.page_shift = (u32)low;
			t.frame = level == 1 ? frame : (frame & ~511ull) | field(address, 20, 12);
			return t;
		}
		table = frame << 12;
	}
}

static void set_bits(u64 *entry, u64 bits)
{
	__atomic_fetch_or(entry, bits, __ATOMIC_SEQ_CST);
}

struct mmu_translation mmu_access(const struct mmu_ram *ram, u64 root, u64 address, bool write)
{
	struct mmu_translation t = mmu_walk_from(ram, root, 4, address);
	if (!t.present || (write && !t.write))
		return t;
	for (u32 i = 0; i + 1 < t.table_count; i++) {
		int low = 12 + 9 * (3 - (int)i);
		set_bits(word_at(ram, t.tables[i] + 8 * field(address, low + 8, low)), 1ull << BIT_A);
	}
	set_bits(t.entry, 1ull << BIT_A | (write ? 1ull << BIT_D : 0));
	return t;
}

/* ---- a guest's own tables ---- */

struct row { /* one level of one mode */
	u8 low, high; /* the address bits that index it */
	u8 bytes;     /* of an entry */
	bool pointer; /* PAE's top level: no rights, no A */
	bool large;   /* PS may make it a page */
};

struct mode {
	u32 rows;
	struct row row[5];
};

static const struct mode modes[] = {
	{ 2, { { 22, 31, 4, false, true }, { 12, 21, 4, false, false } } },
	{ 3, { { 30, 31, 8, true, false }, { 21, 29, 8, false, true }, { 12, 20, 8, false, false } } },
	{ 4, { { 39, 47, 8, false, false }, { 30, 38, 8, false, true }, { 21, 29, 8, false, true },
	       { 12, 20, 8, false, false } } },
	{ 5, { { 48, 56, 8, false, false }, { 39, 47, 8, false, false }, { 30, 38, 8, false, true },
	       { 21, 29, 8, false, true }, { 12, 20, 8, false, false } } },
};
enum { MODE_32, MODE_PAE, MODE_4, MODE_5 };

static int mode_of(const struct mmu_guest *g)
{
	if (!bit(g->cr4, 5))
		return MODE_32;
	if (!bit(g->efer, 10))
		return MODE_PAE;
	return bit(g->cr4, 12) ? MODE_5 : MODE_4;
}

static bool nx_enabled(const struct mmu_guest *g)
{
	return g->nx && bit(g->cr4, 5) && bit(g->efer, 11);
}

/* Does the entry map a page at this row? In 32-bit paging PS counts only with CR4.PSE. */
static bool maps_page(const struct mmu_guest *g, int mode, const struct row *r, u64 e)
{
	if (r->low == 12)
		return true;
	if (!r->large || !bit(e, BIT_PS))
		return false;
	return mode != MODE_32 || bit(g->cr4, 4);
}

static bool any_of(u64 e, int high, int low)
{
	return high >= low && field(e, high, low) != 0;
}

static bool reserved_32(const struct mmu_guest *g, bool page, const struct row *r, u64 e)
{
	if (!page || r->low == 12)
		return false;
	if (!g->pse36)
		return any_of(e, 21, 13);
	int width = g->physical_bits < 40 ? (int)g->physical_bits : 40;
	return any_of(e, 21, width - 19);
}

/* Tables 4-8 to 4-20 of the SDM. */
static bool reserved(const struct mmu_guest *g, int mode, const struct row *r, bool page, u64 e)
{
	if (mode == MODE_32)
		return reserved_32(g, page, r, e);
	if (any_of(e, 51, (int)g->physical_bits))
		return true;
	if (r->pointer)
		return any_of(e, 2, 1) || any_of(e, 8, 6) || any_of(e, 63, 52);
	if (bit(e, 63) && !nx_enabled(g))
		return true;
	if (mode == MODE_PAE && any_of(e, 62, 52))
		return true;
	if (r->low >= 39)
		return bit(e, BIT_PS);
	if (r->low == 30 && bit(e, BIT_PS))
		return !g->page1g || any_of(e, 29, 13);
	if (r->low == 21 && bit(e, BIT_PS))
		return any_of(e, 20, 13);
	return false;
}

static u32 error_code(const struct mmu_guest *g, u32 access, bool present, bool rsvd)
{
	u32 code = (present ? 1u : 0u) | (access & (MMU_WRITE | MMU_USER)) | (rsvd ? 8u : 0u);
	bool fetch_told = nx_enabled(g) || bit(g->cr4, 20);
	if ((access & MMU_FETCH) && fetch_told)
		code |= MMU_FETCH;
	return code;
}

/* SDM 4.6.1, a sentence at a time. */
static bool allowed(const struct mmu_guest *g, u32 access, bool user_page, bool writable, bool no_exec)
{
	bool wp = bit(g->cr0, 16), smep = bit(g->cr4, 20), smap = bit(g->cr4, 21), ac = bit(g->rflags, 18);
	if (access & MMU_USER) {
		if (!user_page)
			return false;
		if (access & MMU_WRITE)
			return writable;
		return !(access & MMU_FETCH) || !no_exec;
	}
	if (access & MMU_FETCH) {
		if (user_page && smep)
			return false;
		return !no_exec;
	}
	if (user_page && smap && !ac)
		return false;
	return !(access & MMU_WRITE) || writable || !wp;
}

struct path {
	u32 count;
	u64 at[5];
	bool marks[5];
};

static void mark(const struct mmu_ram *ram, const struct path *p, bool write)
{
	for (u32 i = 0; i < p->count; i++) {
		u8 low_byte = (u8)(1u << BIT_A | (write && i + 1 == p->count ? 1u << BIT_D : 0));
		if (p->marks[i])
			ram->at[p->at[i]] |= low_byte;
	}
}

static struct mmu_answer fault(const struct mmu_guest *g, u32 access, bool present, bool rsvd)
{
	return (struct mmu_answer){ .fault = true, .error = error_code(g, access, present, rsvd) };
}

static u64 page_base(int mode, const struct row *r, u64 e)
{
	if (mode == MODE_32 && r->low == 22)
		return field(e, 31, 22) << 22 | field(e, 20, 13) << 32;
	return field(e, 51, r->low) << r->low;
}

struct mmu_answer mmu_guest_access(const struct mmu_guest *g, const struct mmu_ram *ram, u64 address, u32 access, bool update)
{
	if (!bit(g->cr0, 31))
		return (struct mmu_answer){ .address = (u32)address, .page_bytes = 4096 };
	int mode = mode_of(g);
	const struct mode *m = &modes[mode];
	u64 table = mode == MODE_32 ? field(g->cr3, 31, 12) << 12 :
		    mode == MODE_PAE ? field(g->cr3, 31, 5) << 5 : field(g->cr3, 51, 12) << 12;
	bool user_page = true, writable = true, no_exec = false;
	struct path path = { 0 };
	for (u32 i = 0; i < m->rows; i++) {
		const struct row *r = &m->row[i];
		u64 at = table + field(address, r->high, r->low) * r->bytes, e = 0;
		if (at + r->bytes > ram->bytes)
			return (struct mmu_answer){ .outside = true };
		memcpy(&e, ram->at + at, r->bytes);
		if (!bit(e, BIT_P))
			return fault(g, access, false, false);
		bool page = maps_page(g, mode, r, e);
		if (reserved(g, mode, r, page, e))
			return fault(g, access, true, true);
		path.at[path.count] = at;
		path.marks[path.count++] = !r->pointer;
		if (!r->pointer) {
			user_page = user_page && bit(e, BIT_US);
			writable = writable && bit(e, BIT_RW);
			no_exec = no_exec || (mode != MODE_32 && bit(e, BIT_NX));
		}
		if (!page) {
			table = field(e, mode == MODE_32 ? 31 : 51, 12) << 12;
			continue;
		}
		if (!allowed(g, access, user_page, writable, no_exec))
			return fault(g, access, true, false);
		if (update)
			mark(ram, &path, access & MMU_WRITE);
		return (struct mmu_answer){ .address = page_base(mode, r, e) | field(address, r->low - 1, 0),
					    .page_bytes = 1ull << r->low };
	}
	return (struct mmu_answer){ .outside = true };
}
