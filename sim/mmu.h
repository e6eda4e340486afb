/*
 * mmu: page tables as a processor reads them, written from the manuals and from nothing in core/.
 *
 * SDM vol. 3 chapter 4; APM vol. 2 chapters 5 and 15.25. Used to walk what core/pt.c builds (host and nested tables) and as
 * the judge of core/gwalk.c.
 */
#ifndef SIM_MMU_H
#define SIM_MMU_H

#include "abi/types.h"

/* ---- nested and host tables: four levels, 8 bytes an entry, 4 KiB and 2 MiB pages ---- */

struct mmu_ram {
	u8 *at;
	u64 bytes;
};

struct mmu_translation {
	bool present;
	bool write, exec, user;
	u64 frame;      /* of the 4 KiB asked for */
	u32 page_shift; /* 12 or 21 */
	u64 tables[4];  /* byte addresses of the tables that were used, top first */
	u32 table_count;
	u64 *entry;     /* the last one read */
};

/* From the table at byte address `table`, which is one of level `level`. Sets nothing. */
struct mmu_translation mmu_walk_from(const struct mmu_ram *ram, u64 table, u32 level, u64 address);
/* The same from the top; then sets A on the way and D for a write, as the processor would for an access that succeeds. */
struct mmu_translation mmu_access(const struct mmu_ram *ram, u64 root, u64 address, bool write);

/* ---- a guest's own tables, every mode ---- */

struct mmu_guest {
	u64 cr0, cr3, cr4, efer, rflags;
	u32 physical_bits;
	bool page1g, pse36, nx;
};

enum { MMU_WRITE = 2, MMU_USER = 4, MMU_FETCH = 16 };

struct mmu_answer {
	bool fault;
	u32 error;      /* of the #PF */
	u64 address;    /* physical, of the byte */
	u64 page_bytes;
	bool outside;   /* a table lies outside of the RAM: no answer */
};

/* Judges an access and, when it succeeds and `update`, sets A and D. */
struct mmu_answer mmu_guest_access(const struct mmu_guest *g, const struct mmu_ram *ram, u64 address, u32 access, bool update);

#endif
