/*
 * The auditor must be able to find: one fault planted at a time, each named; and nothing found where nothing is wrong, in slices of
 * any size.
 */
#include "core/bits.h"
#include "sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define AT (SIM_RAM_FIRST + 5)
enum { AUDIT_TREES = 2, AUDIT_TABLES = 4 }; /* phases of audit.c */

static struct found {
	u64 count;
	const char *first;
} found;

static void note(void *context, const char *what, u64 owner, u64 where)
{
	(void)context, (void)owner, (void)where;
	if (found.count++ == 0)
		found.first = what;
}

static struct audit_vm vms[2];

static struct audit_host host_of(struct sim *s)
{
	for (u32 i = 0; i < 2; i++)
		vms[i] = (struct audit_vm){ &s->vm[i].pmap, { &s->vm[i].nested, &s->vm[i].window }, 2 };
	return (struct audit_host){ .alloc = &s->alloc, .pool = &s->pool, .vm = vms, .vm_count = 2, .quiet = true };
}

static u64 audit(struct sim *s)
{
	struct audit_host host = host_of(s);
	found = (struct found){ 0 };
	return audit_all(&host, note, NULL);
}

static void expect(struct sim *s, const char *what)
{
	assert_true(audit(s) > 0);
	assert_string_equal(found.first, what);
}

/* Two VMs, one with large leaves, one without; both have touched AT in both views. */
static int setup(void **state)
{
	struct sim *s = sim_new(&(struct sim_config){ .seed = 5 });
	for (u32 i = 0; i < 2; i++) {
		s->vm[i].pmap.large = i == 0;
		assert_int_equal(sim_vm_start(s, &s->vm[i], (owner_t)(OWNER_FIRST_VM + i), 2 * BLOCK_FRAMES), OK);
		sim_space(s, i, &s->vm[i]);
		for (u64 f = AT; f < AT + 3; f++)
			assert_int_equal(sim_touch_window(s, i, f, true), OK);
		sim_enter(s, i, &s->vm[i].vcpu[0]);
		for (u64 f = AT; f < AT + 3; f++)
			assert_int_equal(sim_touch(s, i, f, true), OK);
	}
	assert_int_equal(audit(s), 0);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	sim_free(*state);
	return 0;
}

static struct frame *backing(struct sim *s, u32 vm)
{
	return frame_of(&s->frames, pmap_look(&s->vm[vm].pmap, gfn(AT)).frame);
}

static u64 *leaf(const struct ptview *v)
{
	return pt_find(&v->table, v->base + frame_gpa(gfn(AT)).v, 1).entry;
}

static void test_count(void **state)
{
	struct sim *s = *state;
	backing(s, 0)->count++;
	expect(s, "frames' counts differ from the entries that name them");
}

static u64 *entry_at(const struct pt *t, u64 base, u64 f) { return pt_find(t, base + frame_gpa(gfn(f)).v, 1).entry; }

/* One frame stands where another should, in the truth and in both views: each by itself is right, and there are as many as before. */
static void put_in_place_of_another(struct sim *s)
{
	struct sim_vm *vm = &s->vm[1];
	*entry_at(&vm->pmap.tree, 0, AT + 1) = *entry_at(&vm->pmap.tree, 0, AT);
	*entry_at(&vm->nested.table, vm->nested.base, AT + 1) = *entry_at(&vm->nested.table, vm->nested.base, AT);
	*entry_at(&vm->window.table, vm->window.base, AT + 1) = *entry_at(&vm->window.table, vm->window.base, AT);
}

static void test_one_in_place_of_another(void **state)
{
	struct sim *s = *state;
	struct audit_host host = host_of(s);
	put_in_place_of_another(s);
	expect(s, "frames' counts differ from the entries that name them");
	host.quiet = false; /* on a running host as well, */
	found = (struct found){ 0 };
	assert_int_equal(audit_all(&host, note, NULL), 1);
	assert_string_equal(found.first, "frames' counts differ from the entries that name them");
	struct audit_state a; /* but for a VM that changes meanwhile */
	audit_begin(&a, &host, note, NULL);
	assert_true(audit_step(&a, 1));
	s->vm[1].pmap.changes++;
	while (audit_step(&a, 1000))
		continue;
	assert_int_equal(a.findings, 0);
	assert_int_equal(a.skipped, 1);
}

static void test_owner(void **state)
{
	struct sim *s = *state;
	backing(s, 1)->owner = s->vm[0].pmap.owner;
	expect(s, "a pmap names a frame of someone else");
}

static void test_free_but_used(void **state)
{
	struct sim *s = *state;
	struct frame *f = backing(s, 1);
	f->kind = FRAME_FREE;
	f->owner = OWNER_NONE;
	expect(s, "frame table and allocator differ on whether a frame is free");
}

static void test_clean_but_dirty(void **state)
{
	struct sim *s = *state;
	for (u64 i = 0; i < s->frames.limit; i++)
		if (s->frames.at[i].kind == FRAME_FREE) {
			s->frames.at[i].flags ^= FRAME_DIRTY;
			break;
		}
	expect(s, "frame table and allocator differ on whether a frame is clean");
}

static void test_lost_frame(void **state)
{
	struct sim *s = *state;
	hfn_t f;
	assert_int_equal(alloc_frame(&s->alloc, FRAME_GUEST, s->vm[0].pmap.owner, &f), OK);
	expect(s, "a guest frame that nothing names");
}

static void test_another_frame(void **state)
{
	struct sim *s = *state;
	*leaf(&s->vm[1].nested) ^= PAGE_SIZE;
	expect(s, "a view names another frame than the truth");
}

static void test_a_stranger_in_a_large_leaf(void **state)
{
	struct sim *s = *state;
	*leaf(&s->vm[0].window) ^= BLOCK_SIZE;
	expect(s, "a view names another frame than the truth");
}

static void test_rights(void **state)
{
	struct sim *s = *state;
	*leaf(&s->vm[0].window) &= ~fmt_host.no_exec;
	expect(s, "a leaf gives more rights than its view may");
}

static void test_no_truth(void **state)
{
	struct sim *s = *state;
	struct pt_slot slot = pt_find(&s->vm[1].nested.table, frame_gpa(gfn(AT)).v, 1);
	slot.entry[100] = *slot.entry;
	expect(s, "a view names a frame where the truth has none");
}

static void test_read_only(void **state)
{
	struct sim *s = *state;
	s->vm[1].pmap.range[0].read_only = true;
	expect(s, "a view lets write what the truth does not");
}

/* Beside the window, where a space has the program, its stack and the halves that are ring 0's. */
static void test_beside_the_window(void **state)
{
	struct sim *s = *state;
	struct ptview *v = &s->vm[1].window;
	hfn_t own, other, image, guest = pmap_look(&s->vm[1].pmap, gfn(AT)).frame;
	v->span = 1ull << 38;
	const u64 user = v->base + v->span, ring0 = 0xfffffe8000000000ull;
	assert_int_equal(alloc_frame(&s->alloc, FRAME_PRIVATE, s->vm[1].pmap.owner, &own), OK);
	assert_int_equal(alloc_frame(&s->alloc, FRAME_PRIVATE, s->vm[0].pmap.owner, &other), OK);
	assert_int_equal(alloc_block_dirty(&s->alloc, FRAME_POOL, OWNER_HYPERVISOR, &image), OK);
	for (u32 i = 0; i < BLOCK_FRAMES; i++)
		frame_of(&s->frames, hfn_add(image, i))->kind = FRAME_IMAGE;
	s->alloc.kind[FRAME_POOL] -= BLOCK_FRAMES, s->alloc.kind[FRAME_IMAGE] += BLOCK_FRAMES;
	const struct { u64 at; hfn_t frame; u8 level; u32 rights; const char *fault; } table[] = {
		{ user, own, 1, PT_READ | PT_WRITE | PT_USER, NULL }, { ring0, own, 1, PT_READ | PT_WRITE, NULL },
		{ user, image, 1, PT_READ | PT_EXEC | PT_USER, NULL },
		{ user, image, 1, PT_READ | PT_WRITE, "a private leaf names what is not the VM's" },
		{ user, other, 1, PT_READ, "a private leaf names what is not the VM's" },
		{ user, guest, 1, PT_READ | PT_USER, "a private leaf names what is not the VM's" },
		{ ring0, own, 1, PT_READ | PT_WRITE | PT_USER, "ring 3 may reach ring 0's part" },
		{ user, hfn(align_down(own.v, BLOCK_FRAMES)), 2, PT_READ, "a private leaf names what is no frame" },
		{ user, hfn(s->frames.limit), 1, PT_READ, "a private leaf names what is no frame" },
	};
	for (u32 i = 0; i < ARRAY_SIZE(table); i++) {
		struct pt_slot slot;
		assert_int_equal(pt_reach(&v->table, table[i].at, table[i].level, &slot), OK);
		u64 was = *slot.entry;
		*slot.entry = pt_leaf(v->table.format, table[i].frame, table[i].level, (enum pt_rights)table[i].rights);
		if (table[i].fault)
			expect(s, table[i].fault);
		else
			assert_int_equal(audit(s), 0);
		*slot.entry = was;
	}
}

static void test_out_of_ram(void **state)
{
	struct sim *s = *state;
	s->vm[0].pmap.range[0].count = BLOCK_FRAMES - 1;
	expect(s, "a guest frame is backed outside of RAM");
}

static void test_resident(void **state)
{
	struct sim *s = *state;
	s->vm[0].pmap.resident--;
	expect(s, "a pmap's entries differ from what is resident");
}

static void test_table_of_someone_else(void **state)
{
	struct sim *s = *state;
	frame_of(&s->frames, s->vm[0].nested.table.root)->owner = s->vm[1].pmap.owner;
	expect(s, "a tree stands on a frame that is not its own");
}

static void test_table_in_two_places(void **state)
{
	struct sim *s = *state;
	u64 *top = pool_at(&s->pool, frame_hpa(s->vm[0].nested.table.root));
	top[9] = top[0];
	assert_true(audit(s) > 0);
}

static void test_forgotten_table(void **state)
{
	struct sim *s = *state;
	hfn_t f;
	assert_int_equal(pool_take(&s->pool, FRAME_TABLE, s->vm[0].pmap.owner, &f), OK);
	expect(s, "a table stands in no tree, or in two places");
}

static void test_forgotten_table_of_nobody(void **state)
{
	struct sim *s = *state;
	hfn_t f;
	assert_int_equal(pool_take(&s->pool, FRAME_TABLE, OWNER_FIRST_VM + 2, &f), OK);
	expect(s, "tables differ from those that stand in a tree of a VM");
}

static void test_free_sum(void **state)
{
	struct sim *s = *state;
	s->alloc.free_frames++;
	expect(s, "free frames differ from the allocator's sum");
}

static void test_kind_sum(void **state)
{
	struct sim *s = *state;
	s->alloc.kind[FRAME_GUEST]++;
	expect(s, "frames of a kind differ from the allocator's count of them");
}

static u64 all_tables(const struct audit_host *host)
{
	u64 sum = 0;
	for (u32 i = 0; i < host->vm_count; i++) {
		sum += host->vm[i].pmap->tree.tables;
		for (u32 k = 0; k < host->vm[i].view_count; k++)
			sum += host->vm[i].view[k]->table.tables;
	}
	return sum;
}

/* In slices, with nothing in between: each table is counted once, and no step sees more of them than it may. */
static void test_in_slices(void **state)
{
	struct audit_host host = host_of(*state);
	for (u32 budget = 1; budget < 1000; budget += 1 + budget / 2) {
		struct audit_state a;
		u64 steps = 0;
		found = (struct found){ 0 };
		audit_begin(&a, &host, note, NULL);
		while (audit_step(&a, budget))
			steps += a.phase == AUDIT_TREES || a.phase == AUDIT_TABLES;
		assert_int_equal(a.findings + a.skipped, 0);
		assert_true(steps * budget >= all_tables(&host));
	}
}

/* In slices, with the host at work in between: no false finding. */
static void test_beside_everything_else(void **state)
{
	struct sim *s = *state;
	struct audit_host host = host_of(s);
	host.quiet = false;
	for (u32 budget = 1; budget < 3000; budget += 1 + budget * 2) {
		struct audit_state a;
		u64 n = 0;
		found = (struct found){ 0 };
		audit_begin(&a, &host, note, NULL);
		while (audit_step(&a, budget)) {
			u64 f = SIM_RAM_FIRST + sim_random(s, 2 * BLOCK_FRAMES);
			if (n++ % 64 != 0)
				continue;
			s->current = 2;
			if (s->cpu[1].running)
				assert_int_equal(sim_touch(s, 1, f, true), OK);
			s->current = 2;
			assert_int_equal(sim_release(s, &s->vm[n / 64 % 2], f, 1, 10), OK);
		}
		assert_int_equal(a.findings, 0);
		assert_true(n > 0);
	}
	assert_int_equal(audit(s), 0);
}

/* Told that no VM is left, it names what still belongs to one. */
static void test_left_behind(void **state)
{
	struct sim *s = *state;
	struct audit_host host = host_of(s);
	host.vm_count = 0;
	found = (struct found){ 0 };
	assert_true(audit_all(&host, note, NULL) > 0);
	assert_string_equal(found.first, "a frame of a VM that is gone");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* Tables that were counted and went back before the sum was compared made it a finding. */
static void test_tables_go_while_frames_are_counted(void **state)
{
	(void)state;
	struct sim *s = sim_new(&(struct sim_config){ .seed = 5 });
	struct audit_host host = { .alloc = &s->alloc, .pool = &s->pool };
	struct audit_state a;
	hfn_t table[3];
	for (u32 i = 0; i < ARRAY_SIZE(table); i++)
		assert_int_equal(pool_take(&s->pool, FRAME_TABLE, OWNER_FIRST_VM, &table[i]), OK);
	audit_begin(&a, &host, NULL, NULL);
	while (a.at <= table[2].v)
		assert_true(audit_step(&a, 100));
	for (u32 i = 0; i < ARRAY_SIZE(table); i++)
		pool_give(&s->pool, table[i]);
	while (audit_step(&a, 100))
		continue;
	assert_int_equal(a.findings, 0);
	assert_int_equal(a.skipped, 1);
	sim_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_count),       TEST(test_one_in_place_of_another), TEST(test_owner),      TEST(test_free_but_used),
		TEST(test_clean_but_dirty), TEST(test_lost_frame), TEST(test_another_frame),
		TEST(test_a_stranger_in_a_large_leaf),         TEST(test_rights),
		TEST(test_no_truth),    TEST(test_read_only),  TEST(test_out_of_ram),
		TEST(test_beside_the_window),
		TEST(test_resident),    TEST(test_table_of_someone_else),
		TEST(test_table_in_two_places),                TEST(test_forgotten_table), TEST(test_forgotten_table_of_nobody),
		TEST(test_free_sum),    TEST(test_kind_sum),
		TEST(test_in_slices),   TEST(test_beside_everything_else),
		TEST(test_left_behind), cmocka_unit_test(test_tables_go_while_frames_are_counted),
	};
	alarm(60);
	return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
