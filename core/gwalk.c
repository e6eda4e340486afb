/*
 * gwalk: the walk in full, and what the registers say about it.
 *
 *   gwalk_down   level by level: present? reserved bits? large?      SDM vol. 3, 4.3-4.5
 *   gwalk_judge  the access against the rights gathered on the way   4.6, 4.7
 *   gwalk_mark   A and D, when everything else has succeeded         4.8
 */
#include "core/gwalk_fast.h"
#include "core/point.h"

#define CR0_WP    BIT(16)
#define CR0_PG    BIT(31)
#define CR4_PSE   BIT(4)
#define CR4_PAE   BIT(5)
#define CR4_LA57  BIT(12)
#define CR4_SMEP  BIT(20)
#define CR4_SMAP  BIT(21)
#define EFER_LMA  BIT(10)
#define EFER_NXE  BIT(11)
#define RFLAGS_AC BIT(18)

#define GPTE_RESERVED_1G BITS(29, 13)
#define GPTE_ADDRESS_32  BITS(31, 12)
/* PAE, table 4-8, where bit 5 is reserved as well: QEMU's MMU sets it as if it were A, so it is let through. */
#define GPDPTE_RESERVED  (BITS(2, 1) | BITS(8, 6) | BITS(63, 52))
#define GCR3_PAE         BITS(31, 5)
#define G4M_HIGH_SHIFT   (32 - 13) /* PSE-36: bits 20..13 hold address bits 39..32 */
#define G4M_HIGH         BITS(20, 13)
#define G4M_TOP          40u /* the widest address of PSE-36 */
#define G4M_LOWEST       19u /* bits 21 .. (width - 19) are reserved, table 4-4 */
#define GWALK_LEVELS     5u

static_assert((u64)GW_WRITE == GPTE_W && (u64)GW_USER == GPTE_U, "an access is compared with rights bit by bit");

static enum gwalk_paging paging_of(const struct gwalk_registers *r)
{
	if (!(r->cr0 & CR0_PG))
		return GWALK_OFF;
	if (!(r->cr4 & CR4_PAE))
		return GWALK_32;
	if (!(r->efer & EFER_LMA))
		return GWALK_PAE;
	return r->cr4 & CR4_LA57 ? GWALK_5 : GWALK_4;
}

/* SDM 4.4, 4.5: address bits beyond the processor's, XD without NXE; in PAE tables bits 62..52 too. */
static u64 reserved_of(const struct gwalk_mode *m)
{
	u64 reserved = m->maxphyaddr < 52 ? BITS(51, m->maxphyaddr) : 0;
	if (!m->nxe)
		reserved |= GPTE_NX;
	if (m->paging == GWALK_PAE)
		reserved |= BITS(62, 52);
	return reserved;
}

struct gwalk_mode gwalk_mode_of(const struct gwalk_registers *r, const struct gwalk_cpu *c)
{
	struct gwalk_mode m = {
		.paging = paging_of(r),
		.wp = r->cr0 & CR0_WP,
		.nxe = c->nx && (r->efer & EFER_NXE) && (r->cr4 & CR4_PAE),
		.smep = r->cr4 & CR4_SMEP,
		.smap = r->cr4 & CR4_SMAP,
		.pse = r->cr4 & CR4_PSE,
		.ac = r->rflags & RFLAGS_AC,
		.gib_pages = c->gib_pages,
		.pse36 = c->pse36,
		.maxphyaddr = c->maxphyaddr,
		.cr3 = r->cr3,
	};
	m.reserved = reserved_of(&m);
	return m;
}

struct gwalk_walk {
	const struct gwalk_mode *mode;
	const struct gwalk_memory *memory;
	void *context;
	u64 address;
	u32 access;
	u32 steps;
	u64 all, any; /* AND and OR of the entries so far */
	u64 entry;
	gpa_t at[GWALK_LEVELS];    /* what was read on the way, for gwalk_mark */
	u64 value[GWALK_LEVELS];
	struct gwalk_result *result;
};

static status gwalk_fault(const struct gwalk_walk *w, u32 level, u32 why)
{
	u32 error = why | (w->access & (GW_WRITE | GW_USER));
	if ((w->access & GW_FETCH) && (w->mode->nxe || w->mode->smep))
		error |= GW_FETCH;
	w->result->error = error;
	w->result->level = (u8)level;
	w->result->entry = w->entry;
	return FAULT;
}

/* Reads entry `index` of the table; OK when it is present. */
static status gwalk_read(struct gwalk_walk *w, u32 level, u64 table, u64 index, u32 size)
{
	bool pointer = level == 3 && w->mode->paging == GWALK_PAE;
	gpa_t at = gpa(table + index * size);
	status st = OK;
	w->entry = 0;
	if (pointer && w->memory->pdpte)
		w->entry = w->memory->pdpte[index];
	else
		st = w->memory->read(w->context, at, size, &w->entry);
	if (st != OK) {
		w->result->level = (u8)level;
		return st;
	}
	if (!(w->entry & GPTE_P))
		return gwalk_fault(w, level, 0);
	if (pointer)
		return OK; /* it has no rights and no marks */
	w->at[w->steps] = at;
	w->value[w->steps] = w->entry;
	w->steps++;
	w->all &= w->entry;
	w->any |= w->entry;
	return OK;
}

/* Reserved bits of a 4 MiB leaf, SDM table 4-4. */
static u64 gwalk_reserved_4m(const struct gwalk_mode *m)
{
	u32 width = m->maxphyaddr < G4M_TOP ? m->maxphyaddr : G4M_TOP;
	return m->pse36 ? BITS(21, width - G4M_LOWEST) : BITS(21, 13);
}

/* Bits that must be 0 in an entry of that level; `large`: it says that it is a leaf. */
static u64 gwalk_reserved(const struct gwalk_mode *m, u32 level, bool large)
{
	u64 reserved = m->reserved;
	if (m->paging == GWALK_32)
		return large ? gwalk_reserved_4m(m) : 0;
	if (level == 3 && m->paging == GWALK_PAE)
		return reserved | GPDPTE_RESERVED;
	if (level > 3)
		reserved |= GPTE_PS;
	if (large && level == 3)
		reserved |= m->gib_pages ? GPTE_RESERVED_1G : GPTE_PS;
	if (large && level == 2)
		reserved |= GPTE_RESERVED_2M;
	return reserved;
}

static status gwalk_judge(const struct gwalk_walk *w, u32 level)
{
	const struct gwalk_mode *m = w->mode;
	u64 need = w->access & (GW_WRITE | GW_USER);
	if (!(w->access & GW_USER)) {
		if (!m->wp)
			need = 0;
		if ((w->all & GPTE_U) && (w->access & GW_FETCH ? m->smep : m->smap && !m->ac))
			return gwalk_fault(w, level, GW_PRESENT);
	}
	if ((need & ~w->all) || ((w->access & GW_FETCH) && (w->any & GPTE_NX)))
		return gwalk_fault(w, level, GW_PRESENT);
	return OK;
}

/* A in every entry that was used, D in the leaf of a write; an entry that has changed since it was read: AGAIN. */
static status gwalk_mark(const struct gwalk_walk *w, u32 size)
{
	u64 leaf_marks = w->access & GW_WRITE ? GPTE_A | GPTE_D : GPTE_A;
	if ((w->all & GPTE_A) && !(leaf_marks & ~w->entry))
		return OK;
	for (u32 i = 0; i < w->steps; i++) {
		u64 old = w->value[i], new = old | (i + 1 == w->steps ? leaf_marks : GPTE_A);
		if (new == old)
			continue;
		at_point(POINT_WALK_JUDGED);
		status st = w->memory->exchange(w->context, w->at[i], size, old, new);
		if (st != OK)
			return st;
	}
	return OK;
}

/* The leaf has been read: `base` is where its page begins. */
static status gwalk_end(const struct gwalk_walk *w, u32 level, u64 base, u64 page, u32 size, bool update)
{
	status st = gwalk_judge(w, level);
	if (st != OK)
		return st;
	struct gwalk_result *r = w->result;
	r->at = gpa((base & ~(page - 1)) | (w->address & (page - 1)));
	r->page_size = page;
	r->error = 0;
	r->level = (u8)level;
	r->entry = w->entry;
	r->writable = w->all & GPTE_W;
	r->user = w->all & GPTE_U;
	return update ? gwalk_mark(w, size) : OK;
}

/* From the table at `table`, of level `level`, down to the leaf. */
static status gwalk_down(struct gwalk_walk *w, u64 table, u32 level, bool update)
{
	const struct gwalk_mode *m = w->mode;
	bool old = m->paging == GWALK_32;
	u32 bits = old ? 10 : 9, size = old ? sizeof(u32) : sizeof(u64);
	for (;; level--) {
		u32 shift = PAGE_SHIFT + bits * (level - 1);
		u64 index = (w->address >> shift) & (BIT(bits) - 1);
		status st = gwalk_read(w, level, table, index, size);
		if (st != OK)
			return st;
		bool large = (level == 2 || level == 3) && (w->entry & GPTE_PS) && (m->pse || !old);
		if (w->entry & gwalk_reserved(m, level, large))
			return gwalk_fault(w, level, GW_PRESENT | GW_RESERVED);
		table = w->entry & (old ? GPTE_ADDRESS_32 : GPTE_ADDRESS);
		if (large && old)
			table |= (w->entry & G4M_HIGH) << G4M_HIGH_SHIFT;
		if (level == 1 || large)
			return gwalk_end(w, level, table, BIT(shift), size, update);
	}
}

status gwalk(const struct gwalk_mode *mode, const struct gwalk_memory *memory, void *context, gva_t address, u32 access,
	     bool update, struct gwalk_result *result)
{
	static const struct { u64 root; u32 levels; } tables[] = {
		[GWALK_32] = { GPTE_ADDRESS_32, 2 }, [GWALK_PAE] = { GCR3_PAE, 3 }, [GWALK_4] = { GPTE_ADDRESS, 4 }, [GWALK_5] = { GPTE_ADDRESS, 5 },
	};
	u64 at = mode->paging < GWALK_4 ? (u32)address.v : address.v;
	struct gwalk_walk w = { .mode = mode, .memory = memory, .context = context, .address = at, .access = access,
				.all = ~0ull, .result = result };
	if (mode->paging != GWALK_OFF)
		return gwalk_down(&w, mode->cr3 & tables[mode->paging].root, tables[mode->paging].levels, update);
	*result = (struct gwalk_result){ .at = gpa(at), .page_size = PAGE_SIZE, .writable = true, .user = true };
	return OK;
}
