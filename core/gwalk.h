/*
 * gwalk: the guest's own page tables, walked as its processor would: every paging mode, permissions, error codes, A and D.
 *
 * SDM vol. 3, chapter 4; APM vol. 2, chapter 5. The bytes of the tables come through `gwalk_memory`, whose functions a caller
 * names as constants so that the usual walk inlines to straight code (gwalk_with); gwalk() is the whole of it, out of line.
 */
#ifndef CORE_GWALK_H
#define CORE_GWALK_H

#include "core/addr.h"
#include "core/status.h"

enum gwalk_paging { GWALK_OFF, GWALK_32, GWALK_PAE, GWALK_4, GWALK_5 };

/* Error code bits of #PF, SDM 4.7; also what access is asked for (WRITE, USER, FETCH). */
enum gwalk_error { GW_PRESENT = 1, GW_WRITE = 2, GW_USER = 4, GW_RESERVED = 8, GW_FETCH = 16 };

struct gwalk_mode { /* made from CR0, CR4, EFER, RFLAGS, CPUID by gwalk_mode_of */
	enum gwalk_paging paging;
	bool wp, nxe, smep, smap, pse, ac; /* ac: an explicit supervisor access with EFLAGS.AC set */
	bool gib_pages, pse36;
	u8 maxphyaddr;
	u64 cr3;
	u64 reserved; /* bits that are 0 in every 8-byte entry of these tables (PAE's top level: and more) */
};

struct gwalk_registers { u64 cr0, cr3, cr4, efer, rflags; };
struct gwalk_cpu { u8 maxphyaddr; bool gib_pages, nx, pse36; };
struct gwalk_mode gwalk_mode_of(const struct gwalk_registers *r, const struct gwalk_cpu *c);

struct gwalk_memory {
	/* OK, or the status that the walk then answers (AGAIN, BAD_ADDRESS...). size 4 or 8, aligned. */
	status (*read)(void *context, gpa_t at, u32 size, u64 *value);
	/* Compare and exchange; AGAIN if the value had changed. Honours the truth: a read-only or shared frame is resolved. */
	status (*exchange)(void *context, gpa_t at, u32 size, u64 expected, u64 value);
	/* PAE: the four PDPTEs as loaded with CR3 (SDM 4.4.1), NULL to read them from memory. */
	const u64 *pdpte;
};

struct gwalk_result {
	gpa_t at;      /* of the byte asked for */
	u64 page_size; /* bytes, of the leaf */
	u32 error;     /* FAULT: #PF error code */
	u8 level;      /* where the walk ended */
	u64 entry;     /* the last entry read */
	bool writable, user; /* accumulated rights of the leaf */
};

/* Is it one that the mode can translate (SDM vol. 1, 3.3.7.1)? */
static inline bool gwalk_canonical(const struct gwalk_mode *mode, gva_t address)
{
	u32 unused = mode->paging == GWALK_5 ? 7 : 16;
	return mode->paging < GWALK_4 || (u64)((s64)(address.v << unused) >> unused) == address.v;
}

/*
 * Translates `address` for an access described by GW_WRITE | GW_USER | GW_FETCH, setting A on the way and D on the leaf when
 * `update`. OK; FAULT with result->error; AGAIN when an entry changed underneath (run the exit again); or what memory answered.
 * The address is canonical for the mode (the caller has judged that: it is #GP or #SS, not #PF).
 */
/* gwalk_fast.h has the same as gwalk_with, whose usual case is inlined, for callers who count instructions. */
must_use status gwalk(const struct gwalk_mode *mode, const struct gwalk_memory *memory, void *context, gva_t address, u32 access,
	     bool update, struct gwalk_result *result);

#endif
