/*
 * A view is filled with what it may have and what the truth gives, never more: rights by kind of access, what nobody may write, what is no RAM.
 */
#include "core/bits.h"
#include "sim/mmu.h"
#include "sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define OWNER ((owner_t)OWNER_FIRST_VM)

static void test_a_view_has_its_rights(void **state)
{
	(void)state;
	struct sim *s = sim_new(&(struct sim_config){ .seed = 3 });
	struct sim_vm *vm = &s->vm[0];
	assert_int_equal(sim_vm_start(s, vm, OWNER, 2 * BLOCK_FRAMES), OK);
	gpa_t at = frame_gpa(gfn(SIM_RAM_FIRST + 3));
	status st;
	assert_int_equal(ptview_resolve(&vm->window, at, PMAP_EXEC), DENIED);
	do
		st = ptview_resolve(&vm->window, at, PMAP_WRITE);
	while (st == AGAIN);
	assert_int_equal(st, OK);
	struct mmu_translation t = mmu_walk_from(&s->ram, frame_hpa(vm->window.table.root).v, 4, SIM_WINDOW_BASE + at.v);
	assert_true(t.present && t.write && t.user && !t.exec && t.page_shift == BLOCK_SHIFT);
	assert_int_equal(ptview_resolve(&vm->nested, at, PMAP_EXEC), OK);
	u64 tables = vm->nested.table.changes;
	assert_int_equal(ptview_resolve(&vm->nested, at, PMAP_EXEC), OK); /* another processor was faster */
	assert_int_equal(vm->nested.table.changes, tables);
	t = mmu_walk_from(&s->ram, frame_hpa(vm->nested.table.root).v, 4, at.v);
	assert_true(t.present && t.write && t.user && t.exec);
	assert_int_equal(ptview_resolve(&vm->nested, frame_gpa(gfn(SIM_RAM_FIRST + 2 * BLOCK_FRAMES)), PMAP_READ), DEVICE);
	assert_int_equal(ptview_resolve(&vm->nested, gpa(0), PMAP_READ), BAD_ADDRESS);
	sim_vm_end(s, vm);
	sim_free(s);
}

/* What the truth lets nobody write, no view does, small leaf or large; a fault does not give it either. */
static void test_a_view_writes_what_the_truth_does(void **state)
{
	(void)state;
	struct sim *s = sim_new(&(struct sim_config){ .seed = 3 });
	struct pmap *p = &s->vm[0].pmap;
	struct ptview v;
	u64 done;
	status st;
	assert_int_equal(pmap_init(p, OWNER, &s->pool, &s->alloc), OK);
	SETTLEMENT(debt, &s->settler);
	assert_int_equal(pmap_add_range(p, gfn(0), 2 * BLOCK_FRAMES, PMAP_EMPTY, true), OK);
	assert_int_equal(ptview_init(&v, "view", &fmt_npt, p, &s->settler, 0, (enum pt_rights)(PT_READ | PT_WRITE)), OK);
	for (u32 i = 0; i < 2; i++) {
		u64 at = i * BLOCK_SIZE;
		p->large = i;
		do
			st = ptview_resolve(&v, gpa(at), PMAP_READ);
		while (st == AGAIN);
		assert_int_equal(st, OK);
		struct pt_slot slot = pt_find(&v.table, at, 1);
		assert_int_equal(slot.level, 1 + i);
		assert_false(*slot.entry & fmt_npt.write);
		assert_int_equal(ptview_resolve(&v, gpa(at), PMAP_WRITE), DENIED);
		assert_int_equal(ptview_resolve(&v, gpa(at), PMAP_READ), OK); /* it stands there already */
		assert_false(*slot.entry & fmt_npt.write);
	}
	assert_int_equal(ptview_destroy(&v, &debt), OK);
	assert_int_equal(pmap_release(p, gfn(0), 2 * BLOCK_FRAMES, BLOCK_FRAMES, &debt, &done), OK);
	settle(&debt);
	sim_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_view_has_its_rights),
		cmocka_unit_test(test_a_view_writes_what_the_truth_does),
	};
	return cmocka_run_group_tests_name("views", tests, NULL, NULL);
}
