/*
 * The guest walker against the independent MMU: random tables, modes and accesses; the same answer, the same error code, the
 * same A and D bits, byte for byte. Then the cases that randomness would only meet by luck.
 */
#include "tests/fuzz/compare_mmu.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROUNDS 60000u

static u64 seed;

static u64 dice(u64 below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed >> 8) % below;
}

/* ---- random tables ---- */

enum { OFF, B32, PAE, L4, L5, KINDS };

static struct mmu_guest some_guest(int kind)
{
	static const u32 widths[] = { 32, 36, 40, 46, 52 };
	struct mmu_guest g = { .physical_bits = widths[dice(5)], .page1g = dice(2), .pse36 = dice(2), .nx = dice(8) != 0 };
	if (kind != OFF)
		g.cr0 |= 1ull << 31;
	g.cr0 |= dice(2) << 16;
	g.cr4 = dice(2) << 4 | dice(2) << 20 | dice(2) << 21;
	if (kind >= PAE)
		g.cr4 |= 1ull << 5;
	if (kind >= L4)
		g.efer |= 1ull << 10;
	if (kind == L5)
		g.cr4 |= 1ull << 12;
	g.efer |= dice(2) << 11;
	g.rflags = dice(2) << 18;
	g.cr3 = dice(WALK_FRAMES) << 12 | dice(2) << 3;
	if (kind == PAE)
		g.cr3 |= dice(128) << 5;
	return g;
}

/* Mostly a good entry that leads on inside the memory; now and then absent, large, or with a bit that may be reserved. */
static u64 some_entry(u32 bytes, bool pointer)
{
	u64 e = dice(WALK_FRAMES) << 12;
	if (pointer)
		e |= dice(2) << 3 | dice(8) << 9;
	else
		e |= dice(64) << 1 | (dice(4) ? GPTE_W : 0) | (dice(4) ? GPTE_U : 0);
	e |= dice(24) != 0;
	if (!pointer && dice(4) == 0)
		e |= 1ull << 7;
	if (!pointer && dice(4) == 0)
		e &= ~BITS(21, 13);
	if (!pointer && dice(4) == 0)
		e &= ~BITS(30, 13);
	if (bytes == 8 && !pointer && dice(6) == 0)
		e |= 1ull << 63;
	if (dice(10) == 0)
		e |= 1ull << dice(bytes * 8);
	return e;
}

static void put(u64 at, u32 bytes, u64 entry)
{
	memcpy(walked.ours + at, &entry, bytes);
}

/* Entries on the way of `address`, wherever the way leads. */
static void lay_way(const struct mmu_guest *g, int kind, u64 address)
{
	static const u8 lows[KINDS][6] = { { 0 }, { 22, 12, 0 }, { 30, 21, 12, 0 }, { 39, 30, 21, 12, 0 }, { 48, 39, 30, 21, 12, 0 } };
	u32 bytes = kind == B32 ? 4 : 8;
	u64 table = kind == PAE ? g->cr3 & 0xffffffe0 : g->cr3 & ~0xfffull;
	for (u32 i = 0; lows[kind][i]; i++) {
		bool pointer = kind == PAE && i == 0;
		u64 span = pointer ? 4 : PAGE_SIZE / bytes;
		u64 at = table + (address >> lows[kind][i]) % span * bytes;
		u64 entry = some_entry(bytes, pointer);
		if (at > WALK_BYTES - bytes)
			return;
		put(at, bytes, entry);
		table = entry & (kind == B32 ? 0xfffff000 : GPTE_ADDRESS);
	}
}

/* ---- both walks ---- */

static void test_against_the_mmu(void **state)
{
	(void)state;
	for (int kind = OFF; kind < KINDS; kind++) {
		seed = 0x1234567 + (u64)kind;
		walked.faults = walked.successes = walked.outside = walked.marks = walked.twice = 0;
		for (u32 i = 0; i < ROUNDS; i++) {
			struct mmu_guest g = some_guest(kind);
			u64 address = dice(1ull << 55) & (kind == L5 ? BITS(56, 0) : kind == L4 ? BITS(47, 0) : BITS(31, 0));
			lay_way(&g, kind, address);
			static const u32 accesses[] = { 0, GW_WRITE, GW_FETCH, GW_USER, GW_USER | GW_WRITE, GW_USER | GW_FETCH };
			u32 access = accesses[dice(6)];
			compare_mmu(&g, address, access, dice(4) != 0, dice(2));
			compare_mmu(&g, address, accesses[dice(6)], true, true); /* A and D may be set by now */
		}
		if (kind != OFF && (walked.faults < ROUNDS / 10 || walked.successes < ROUNDS / 10 || walked.marks < ROUNDS / 10 ||
				    walked.twice > ROUNDS / 10))
			sim_fail("kind %d met too little: %lu faults, %lu successes, %lu marks", kind, (unsigned long)walked.faults,
				 (unsigned long)walked.successes, (unsigned long)walked.marks);
	}
}

/* A good way for address 0 through frames 0, 1, 2...; at `level` the entry (a page if `large`) has bit `n` the other way. */
static void lay_with_bit(int kind, u32 levels, u32 level, bool large, u32 n)
{
	u32 bytes = kind == B32 ? 4 : 8;
	memset(walked.ours, 0, WALK_BYTES);
	for (u32 i = 0; i < levels; i++) {
		bool pointer = kind == PAE && i == 0;
		u64 entry = (u64)(i + 1) << 12 | (pointer ? GPTE_P : GPTE_P | GPTE_W | GPTE_U);
		if (i == level && large && !pointer)
			entry = (entry & PAGE_MASK) | GPTE_PS;
		put((u64)i << 12, bytes, i == level ? entry ^ 1ull << n : entry);
	}
}

static void flip_bit(int kind, u32 levels, u32 level, u32 n)
{
	static const u32 accesses[] = { GW_WRITE, GW_USER, GW_FETCH };
	for (u32 round = 0; round < 48; round++) {
		seed = 77 + round;
		struct mmu_guest g = some_guest(kind);
		g.cr3 = 0;
		lay_with_bit(kind, levels, level, round & 1, n);
		compare_mmu(&g, 0x123, accesses[round % 3], true, round & 2);
	}
}

/* Each single bit of each entry, in turn: whatever it means, both must say the same. */
static void test_every_bit_of_every_level(void **state)
{
	(void)state;
	static const u8 levels[KINDS] = { 0, 2, 3, 4, 5 };
	for (int kind = B32; kind < KINDS; kind++)
		for (u32 level = 0; level < levels[kind]; level++)
			for (u32 n = 0; n < (kind == B32 ? 32 : 64); n++)
				flip_bit(kind, levels[kind], level, n);
}

/* ---- by hand ---- */

static struct mmu_guest long_guest(void)
{
	memset(walked.ours, 0, WALK_BYTES);
	put(0x1000, 8, 0x2007);
	put(0x2000, 8, 0x3007);
	put(0x3000, 8, 0x4007);
	put(0x4000, 8, 0x5007);
	return (struct mmu_guest){ .cr0 = 1ull << 31 | 1ull << 16, .cr3 = 0x1000, .cr4 = 1ull << 5,
				   .efer = 1ull << 10 | 1ull << 11, .physical_bits = 40, .nx = true };
}

static u64 entry_at(u64 at)
{
	u64 e;
	memcpy(&e, walked.ours + at, 8);
	return e;
}

static void test_marks_only_after_success(void **state)
{
	(void)state;
	struct mmu_guest g = long_guest();
	struct gwalk_mode m = walk_mode(&g);
	struct gwalk_result r;
	put(0x4000, 8, 0x5005); /* read-only */
	assert_int_equal(gwalk(&m, &walk_memory, NULL, gva(0x10), GW_WRITE | GW_USER, true, &r), FAULT);
	assert_int_equal(r.error, GW_PRESENT | GW_WRITE | GW_USER);
	for (u64 at = 0x1000; at <= 0x4000; at += 0x1000)
		assert_int_equal(entry_at(at) & (GPTE_A | GPTE_D), 0);
	assert_int_equal(gwalk(&m, &walk_memory, NULL, gva(0x10), GW_USER, true, &r), OK);
	assert_int_equal(entry_at(0x1000) & (GPTE_A | GPTE_D), GPTE_A);
	assert_int_equal(entry_at(0x4000) & (GPTE_A | GPTE_D), GPTE_A);
	assert_false(r.writable);
	put(0x4000, 8, 0x5007);
	assert_int_equal(gwalk(&m, &walk_memory, NULL, gva(0x10), GW_USER | GW_WRITE, false, &r), OK);
	assert_int_equal(entry_at(0x4000) & GPTE_D, 0);
	assert_int_equal(gwalk(&m, &walk_memory, NULL, gva(0x10), GW_USER | GW_WRITE, true, &r), OK);
	assert_int_equal(entry_at(0x4000) & GPTE_D, GPTE_D);
	assert_int_equal(entry_at(0x3000) & GPTE_D, 0);
}

static status exchange_too_late(void *context, gpa_t at, u32 size, u64 expected, u64 value)
{
	(void)context, (void)at, (void)size, (void)expected, (void)value;
	return AGAIN;
}

static void test_an_entry_that_changes_underneath(void **state)
{
	(void)state;
	const struct gwalk_memory late = { walk_read, exchange_too_late, NULL };
	struct mmu_guest g = long_guest();
	struct gwalk_mode m = walk_mode(&g);
	struct gwalk_result r;
	assert_int_equal(gwalk_with(&m, &late, NULL, gva(0x10), 0, true, &r), AGAIN);
	assert_int_equal(gwalk_with(&m, &late, NULL, gva(0x10), 0, false, &r), OK);
}

static void test_pae_pointers_as_loaded(void **state)
{
	(void)state;
	memset(walked.ours, 0, WALK_BYTES);
	put(0x2000, 8, 0x3007);
	put(0x3000 + 8 * 5, 8, 0x7007);
	const u64 loaded[4] = { 0, 0x2001, 0, 0 };
	const struct gwalk_memory with = { walk_read, walk_exchange, loaded };
	struct mmu_guest g = { .cr0 = 1ull << 31, .cr4 = 1ull << 5, .physical_bits = 40 };
	struct gwalk_mode m = walk_mode(&g);
	struct gwalk_result r;
	assert_int_equal(gwalk(&m, &with, NULL, gva(0x40005123), 0, true, &r), OK);
	assert_int_equal(r.at.v, 0x7123);
	assert_int_equal(gwalk(&m, &with, NULL, gva(0x5123), GW_USER, true, &r), FAULT);
	assert_int_equal(r.error, GW_USER);
	assert_int_equal(r.level, 3);
}

/* The I/D bit of the error code is told only where NXE or SMEP make it mean something: SDM 4.7. */
static void test_fetch_bit(void **state)
{
	(void)state;
	struct mmu_guest g = long_guest();
	put(0x4000, 8, 0);
	struct gwalk_result r;
	for (u32 i = 0; i < 4; i++) {
		g.efer = 1ull << 10 | (u64)(i & 1) << 11;
		g.cr4 = 1ull << 5 | (u64)(i >> 1) << 20;
		struct gwalk_mode m = walk_mode(&g);
		assert_int_equal(gwalk(&m, &walk_memory, NULL, gva(0), GW_FETCH, true, &r), FAULT);
		assert_int_equal(r.error, i ? GW_FETCH : 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_the_mmu),
		cmocka_unit_test(test_every_bit_of_every_level),
		cmocka_unit_test(test_marks_only_after_success),
		cmocka_unit_test(test_an_entry_that_changes_underneath),
		cmocka_unit_test(test_pae_pointers_as_loaded),
		cmocka_unit_test(test_fetch_bit),
	};
	return cmocka_run_group_tests_name("guest walks", tests, NULL, NULL);
}
