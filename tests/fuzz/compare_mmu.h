/*
 * compare_mmu: one access of a guest, walked by core/gwalk.c and by the independent MMU: the same answer, the same error code, the same A
 * and D bits, byte for byte. Used by the unit test (random tables) and the fuzzer.
 */
#ifndef TESTS_FUZZ_COMPARE_MMU_H
#define TESTS_FUZZ_COMPARE_MMU_H

#include <string.h>

#include "core/gwalk_fast.h"
#include "sim/mmu.h"
#include "sim/sim.h"

#define WALK_FRAMES 8u
#define WALK_BYTES  (WALK_FRAMES * PAGE_SIZE)
#define WALK_READS  9u /* four of the fast walk, then at most five */

static struct {
	u8 ours[WALK_BYTES], theirs[WALK_BYTES]; /* the guest's memory, before both walks the same */
	bool loaded;      /* PAE: the four pointers are taken from CR3 before the walk */
	u32 reads;        /* of the last walk */
	u64 faults, successes, outside, marks, twice;
} walked;

static status walk_read(void *context, gpa_t at, u32 size, u64 *value)
{
	(void)context;
	walked.reads++;
	if (at.v > WALK_BYTES - size)
		return BAD_ADDRESS;
	*value = 0;
	memcpy(value, walked.ours + at.v, size);
	return OK;
}

static status walk_exchange(void *context, gpa_t at, u32 size, u64 expected, u64 value)
{
	(void)context;
	u64 now = 0;
	CHECK(at.v <= WALK_BYTES - size);
	memcpy(&now, walked.ours + at.v, size);
	if (now != expected)
		return AGAIN;
	memcpy(walked.ours + at.v, &value, size);
	walked.marks++;
	return OK;
}

static const struct gwalk_memory walk_memory = { walk_read, walk_exchange, NULL };

static inline struct gwalk_mode walk_mode(const struct mmu_guest *g)
{
	struct gwalk_registers r = { .cr0 = g->cr0, .cr3 = g->cr3, .cr4 = g->cr4, .efer = g->efer, .rflags = g->rflags };
	struct gwalk_cpu c = { .maxphyaddr = (u8)g->physical_bits, .gib_pages = g->page1g, .nx = g->nx, .pse36 = g->pse36 };
	return gwalk_mode_of(&r, &c);
}

static inline status walk_ours(const struct mmu_guest *g, u64 address, u32 access, bool update, bool fast, struct gwalk_result *r)
{
	struct gwalk_mode m = walk_mode(g);
	struct gwalk_memory with = walk_memory;
	u64 pdpte[4], from = g->cr3 & 0xffffffe0;
	if (walked.loaded && m.paging == GWALK_PAE && from <= WALK_BYTES - sizeof(pdpte))
		with.pdpte = memcpy(pdpte, walked.ours + from, sizeof(pdpte));
	walked.reads = 0;
	if (fast)
		return gwalk_with(&m, &with, NULL, gva(address), access, update, r);
	return gwalk(&m, &with, NULL, gva(address), access, update, r);
}

/* The rights that a walk gathers, asked of the MMU by judging: may a user, may a supervisor whom only they hinder write? */
struct walk_rights { bool user, write; };

static inline struct walk_rights walk_rights(const struct mmu_guest *g, const struct mmu_ram *ram, u64 address)
{
	struct mmu_guest hindered = *g;
	hindered.cr0 |= 1ull << 16;    /* WP */
	hindered.cr4 &= ~(1ull << 21); /* SMAP */
	return (struct walk_rights){ !mmu_guest_access(g, ram, address, MMU_USER, false).fault,
				     !mmu_guest_access(&hindered, ram, address, MMU_WRITE, false).fault };
}

static inline void compare_mmu(const struct mmu_guest *g, u64 address, u32 access, bool update, bool fast)
{
	struct mmu_ram ram = { walked.theirs, WALK_BYTES };
	struct gwalk_result r = { .error = 0 };
	memcpy(walked.theirs, walked.ours, WALK_BYTES);
	struct walk_rights rights = walk_rights(g, &ram, address); /* before A and D are set */
	struct mmu_answer is = mmu_guest_access(g, &ram, address, access, update);
	status st = walk_ours(g, address, access, update, fast, &r);
	if (walked.reads > WALK_READS)
		sim_fail("%u entries read for one walk", walked.reads);
	if (st == AGAIN) { /* an entry that is met twice on one way: its first mark makes the second look changed */
		if (is.fault || is.outside)
			sim_fail("walked again where there is no way");
		walked.twice++;
		return;
	}
	bool same = is.outside ? st == BAD_ADDRESS :
		    is.fault ? st == FAULT && r.error == is.error :
			       st == OK && r.at.v == is.address && (r.page_size == is.page_bytes);
	bool marks = memcmp(walked.ours, walked.theirs, WALK_BYTES) == 0;
	bool allowed = st != OK || (r.user == rights.user && r.writable == rights.write);
	if (same && marks && allowed) {
		is.outside ? walked.outside++ : is.fault ? walked.faults++ : walked.successes++;
		return;
	}
	sim_fail("cr0 %lx cr3 %lx cr4 %lx efer %lx width %u: %lx for %x: %s at %lx error %x, should be %s at %lx error %x%s",
		 (unsigned long)g->cr0, (unsigned long)g->cr3, (unsigned long)g->cr4, (unsigned long)g->efer, g->physical_bits,
		 (unsigned long)address, access, status_name(st), (unsigned long)r.at.v, r.error,
		 is.outside ? "outside" : is.fault ? "fault" : "ok", (unsigned long)is.address, is.error,
		 !same ? "" : !marks ? "; A or D differ" : "; rights differ");
}

#endif
