/*
 * gwalk: the walk in full, and what the registers say about it.
 *
 *   gwalk_step   one entry: present? reserved bits? large?           SDM vol. 3, 4.3-4.5
 *   gwalk_judge  the access against the rights gathered on the way   4.6, 4.7
 *   gwalk_mark   A and D, when everything else has succeeded         4.8
 */
#include "core/gwalk_fast.h"

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
#define G4M_SHIFT        22
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
	u64 entry, table;
	gpa_t at[GWALK_LEVELS];    /* what was read on the way, for gwalk_mark */
	u64 value[GWALK_LEVELS];
	struct gwalk_result *result;
};

static inline status gwalk_fault(const struct gwalk_walk *w, u32 level, u32 why)
{
	u32 error = why | (w->access & (GW_WRITE | GW_USER));
	if ((w->access & GW_FETCH) && (w->mode->nxe || w->mode->smep))
		error |= GW_FETCH;
	w->result->error = error;
	w->result->level = (u8)level;
	w->result->entry = w->entry;
	return FAULT;
}

/* Reads the next entry; OK when it is present. */
static inline status gwalk_read(struct gwalk_walk *w, u32 level, gpa_t at, u32 size)
{
	u64 entry = 0;
	status st = w->memory->read(w->context, at, size, &entry);
	if (__builtin_expect(st != OK, 0)) {
		w->result->level = (u8)level;
		return st;
	}
	w->entry = entry;
	if (__builtin_expect(!(w->entry & GPTE_P), 0))
		return gwalk_fault(w, level, 0);
	w->at[w->steps] = at;
	w->value[w->steps] = w->entry;
	w->steps++;
	w->all &= w->entry;
	w->any |= w->entry;
	return OK;
}

enum gwalk_next { GWALK_DOWN, GWALK_LEAF, GWALK_STOP };

/* One 8-byte entry of PAE, 4-level or 5-level tables. */
static inline enum gwalk_next gwalk_step(struct gwalk_walk *w, u32 level, status *st)
{
	u64 index = (w->address >> GWALK_LARGE_BITS(level)) & 511;
	*st = gwalk_read(w, level, gpa(w->table + index * sizeof(u64)), sizeof(u64));
	if (__builtin_expect(*st != OK, 0))
		return GWALK_STOP;
	u64 reserved = w->mode->reserved;
	bool large = (level == 2 || level == 3) && (w->entry & GPTE_PS);
	if (level > 3)
		reserved |= GPTE_PS;
	if (large && level == 3)
		reserved |= w->mode->gib_pages ? GPTE_RESERVED_1G : GPTE_PS;
	if (large && level == 2)
		reserved |= GPTE_RESERVED_2M;
	if (__builtin_expect((w->entry & reserved) != 0, 0)) {
		*st = gwalk_fault(w, level, GW_PRESENT | GW_RESERVED);
		return GWALK_STOP;
	}
	w->table = w->entry & GPTE_ADDRESS;
	return level == 1 || large ? GWALK_LEAF : GWALK_DOWN;
}

static inline status gwalk_judge(const struct gwalk_walk *w, u32 level)
{
	const struct gwalk_mode *m = w->mode;
	u64 need = w->access & (GW_WRITE | GW_USER);
	if (!(w->access & GW_USER)) {
		if (!m->wp)
			need = 0;
		if ((w->all & GPTE_U) && (w->access & GW_FETCH ? m->smep : m->smap && !m->ac))
			return gwalk_fault(w, level, GW_PRESENT);
	}
	if (__builtin_expect((need & ~w->all) != 0, 0))
		return gwalk_fault(w, level, GW_PRESENT);
	if ((w->access & GW_FETCH) && (w->any & GPTE_NX))
		return gwalk_fault(w, level, GW_PRESENT);
	return OK;
}

/* A in every entry that was used, D in the leaf of a write; an entry that has changed since it was read: AGAIN. */
static inline status gwalk_mark(const struct gwalk_walk *w, u32 size)
{
	u64 leaf_marks = w->access & GW_WRITE ? GPTE_A | GPTE_D : GPTE_A;
	if (__builtin_expect((w->all & GPTE_A) && !(leaf_marks & ~w->entry), 1))
		return OK;
	for (u32 i = 0; i < w->steps; i++) {
		u64 old = w->value[i], new = old | (i + 1 == w->steps ? leaf_marks : GPTE_A);
		if (new == old)
			continue;
		status st = w->memory->exchange(w->context, w->at[i], size, old, new);
		if (st != OK)
			return st;
	}
	return OK;
}

/* The leaf has been read: `base` is where its page begins. */
static inline status gwalk_end(const struct gwalk_walk *w, u32 level, u64 base, u64 page, u32 size, bool update)
{
	status st = gwalk_judge(w, level);
	if (__builtin_expect(st != OK, 0))
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

/* Levels `top`..1 of 8-byte entries; w->table is the top one. */
static inline status gwalk_long(struct gwalk_walk *w, u32 top, bool update)
{
	for (u32 level = top; level > 0; level--) {
		status st = OK;
		switch (gwalk_step(w, level, &st)) {
		case GWALK_DOWN:
			break;
		case GWALK_LEAF:
			return gwalk_end(w, level, w->table, 1ull << GWALK_LARGE_BITS(level), sizeof(u64), update);
		case GWALK_STOP:
			return st;
		}
	}
	__builtin_unreachable(); /* level 1 is a leaf or a stop */
}

static inline status gwalk_pae(struct gwalk_walk *w, bool update)
{
	u64 index = w->address >> GWALK_LARGE_BITS(3);
	if (w->memory->pdpte) {
		w->entry = w->memory->pdpte[index];
	} else {
		gpa_t at = gpa((w->mode->cr3 & GCR3_PAE) + index * sizeof(u64));
		u64 entry = 0;
		status st = w->memory->read(w->context, at, sizeof(u64), &entry);
		if (st != OK) {
			w->result->level = 3;
			return st;
		}
		w->entry = entry;
	}
	if (!(w->entry & GPTE_P))
		return gwalk_fault(w, 3, 0);
	if (w->entry & (GPDPTE_RESERVED | w->mode->reserved))
		return gwalk_fault(w, 3, GW_PRESENT | GW_RESERVED);
	w->table = w->entry & GPTE_ADDRESS;
	return gwalk_long(w, 2, update);
}

/* Reserved bits of a 4 MiB leaf, SDM table 4-4. */
static inline u64 gwalk_reserved_4m(const struct gwalk_mode *m)
{
	if (!m->pse36)
		return BITS(21, 13);
	u32 width = m->maxphyaddr < G4M_TOP ? m->maxphyaddr : G4M_TOP;
	return BITS(21, width - G4M_LOWEST);
}

static inline status gwalk_32(struct gwalk_walk *w, bool update)
{
	u64 directory = w->mode->cr3 & GPTE_ADDRESS_32;
	status st = gwalk_read(w, 2, gpa(directory + (w->address >> G4M_SHIFT) * sizeof(u32)), sizeof(u32));
	if (st != OK)
		return st;
	if (w->mode->pse && (w->entry & GPTE_PS)) {
		if (w->entry & gwalk_reserved_4m(w->mode))
			return gwalk_fault(w, 2, GW_PRESENT | GW_RESERVED);
		u64 base = (w->entry & BITS(31, G4M_SHIFT)) | (w->entry & G4M_HIGH) << G4M_HIGH_SHIFT;
		return gwalk_end(w, 2, base, 1ull << G4M_SHIFT, sizeof(u32), update);
	}
	u64 index = (w->address >> PAGE_SHIFT) & 1023;
	st = gwalk_read(w, 1, gpa((w->entry & GPTE_ADDRESS_32) + index * sizeof(u32)), sizeof(u32));
	if (st != OK)
		return st;
	return gwalk_end(w, 1, w->entry & GPTE_ADDRESS_32, PAGE_SIZE, sizeof(u32), update);
}

status gwalk(const struct gwalk_mode *mode, const struct gwalk_memory *memory, void *context, gva_t address, u32 access,
	     bool update, struct gwalk_result *result)
{
	struct gwalk_walk w = { .mode = mode, .memory = memory, .context = context, .address = address.v, .access = access,
				.all = ~0ull, .result = result };
	switch (mode->paging) {
	case GWALK_4:
		w.table = mode->cr3 & GPTE_ADDRESS;
		return gwalk_long(&w, 4, update);
	case GWALK_5:
		w.table = mode->cr3 & GPTE_ADDRESS;
		return gwalk_long(&w, 5, update);
	case GWALK_PAE:
		w.address = (u32)address.v;
		return gwalk_pae(&w, update);
	case GWALK_32:
		w.address = (u32)address.v;
		return gwalk_32(&w, update);
	case GWALK_OFF:
		break;
	}
	*result = (struct gwalk_result){ .at = gpa((u32)address.v), .page_size = PAGE_SIZE, .writable = true, .user = true };
	return OK;
}
