/*
 * Property tests of the whole core on the fake machine: random maps, splits, drops, releases, ends of VMs, migrations of vCPUs
 * between processors, tags that run out, and allocations that fail; an adversary in every TLB; the auditor after each step.
 */
#include "sim/sim.h"
#include "core/bits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#define VM_RAM (3 * BLOCK_FRAMES + 77)

/* What a step may answer: it is done, or there was no memory and it left things as they were. */
static void assert_done(status st)
{
	if (st != OK && st != NO_MEMORY)
		sim_fail("a step answers: %s", status_name(st));
}

static struct sim_vm *some_vm(struct sim *s)
{
	return &s->vm[sim_random(s, SIM_VMS)];
}

static void start_or_end(struct sim *s)
{
	struct sim_vm *vm = some_vm(s);
	if (!vm->alive)
		assert_done(sim_vm_start(s, vm, (owner_t)(OWNER_FIRST_VM + (vm - s->vm)), VM_RAM));
	else if (sim_random(s, 8) == 0)
		sim_vm_end(s, vm);
}

/* A vCPU comes to a processor, leaving the one where it was. */
static void migrate(struct sim *s)
{
	struct sim_vm *vm = some_vm(s);
	unsigned to = (unsigned)sim_random(s, SIM_CPUS);
	if (!vm->alive)
		return;
	struct sim_vcpu *vcpu = &vm->vcpu[sim_random(s, SIM_VCPUS)];
	for (unsigned cpu = 0; cpu < SIM_CPUS; cpu++)
		if (s->cpu[cpu].running == vcpu)
			sim_leave(s, cpu);
	if (s->cpu[to].running)
		sim_leave(s, to);
	sim_space(s, to, vm);
	sim_enter(s, to, vcpu);
}

/* Ring 0 and the monitor have the processor, in the VM's space or in the neutral one. */
static void come_out(struct sim *s)
{
	unsigned cpu = (unsigned)sim_random(s, SIM_CPUS);
	if (s->cpu[cpu].running)
		sim_leave(s, cpu);
	else if (sim_random(s, 4) == 0)
		sim_space(s, cpu, NULL);
}

static void touch(struct sim *s)
{
	unsigned cpu = (unsigned)sim_random(s, SIM_CPUS);
	struct sim_cpu *c = &s->cpu[cpu];
	status st = OK;
	const struct sim_vm *vm = c->running ? c->running->vm : c->space;
	if (!vm)
		return;
	u64 at = sim_random(s, 3) ? sim_hot(s, vm) : SIM_RAM_FIRST + sim_random(s, VM_RAM);
	if (c->running)
		st = sim_touch(s, cpu, at, sim_random(s, 2));
	else
		st = sim_touch_window(s, cpu, at, sim_random(s, 2));
	assert_done(st);
}

static void release(struct sim *s)
{
	static const u64 lengths[] = { 1, 2, 100, BLOCK_FRAMES, BLOCK_FRAMES + 3, VM_RAM };
	struct sim_vm *vm = some_vm(s);
	if (!vm->alive)
		return;
	u64 count = lengths[sim_random(s, ARRAY_SIZE(lengths))];
	u64 first = sim_random(s, VM_RAM - count + 1);
	if (count == BLOCK_FRAMES && sim_random(s, 2))
		first = align_down(first, BLOCK_FRAMES);
	s->current = (unsigned)sim_random(s, SIM_CPUS);
	u32 budget = sim_random(s, 2) ? 1000 : 1 + (u32)sim_random(s, 20);
	assert_done(sim_release(s, vm, SIM_RAM_FIRST + first, count, budget));
}

static bool in_guest_writable(const struct sim *s, const struct sim_vm *vm, u64 at)
{
	for (unsigned cpu = 0; cpu < SIM_CPUS; cpu++)
		if (s->cpu[cpu].running && sim_usable_on(s, cpu, vm, at, true))
			return true;
	return false;
}

static void protect(struct sim *s)
{
	struct sim_vm *vm = some_vm(s);
	if (!vm->alive)
		return;
	s->current = (unsigned)sim_random(s, SIM_CPUS);
	if (s->cpu[s->current].running)
		sim_leave(s, s->current);
	u64 count = 1 + sim_random(s, 600), first = SIM_RAM_FIRST + sim_random(s, VM_RAM - count);
	SETTLEMENT(debt, &s->settler);
	lock_take(&vm->pmap.lock);
	status st = ptview_protect(&vm->nested, gfn(first), count, &debt);
	lock_give(&vm->pmap.lock);
	assert_done(st);
	s->patience = 0;
	settle(&debt);
	if (st == OK)
		for (u64 i = 0; i < count; i += 1 + count / 8)
			assert_false(in_guest_writable(s, vm, first + i));
}

static void scrub(struct sim *s)
{
	for (u32 i = 0; i < 16 && alloc_scrub_slice(&s->alloc); i++)
		continue;
}

static void (*const steps[])(struct sim *s) = { start_or_end, migrate, migrate, come_out, touch, touch, touch, touch, release, protect, scrub };

static void end_all(struct sim *s)
{
	s->alloc.fail_after = -1;
	for (u32 i = 0; i < SIM_VMS; i++)
		if (s->vm[i].alive)
			sim_vm_end(s, &s->vm[i]);
	assert_int_equal(s->pool.used_frames, 0);
	sim_audit(s);
}

static void run(struct sim_config c, u32 count, u32 audit_each, u32 fail_each)
{
	struct sim *s = sim_new(&c);
	for (u32 i = 0; i < count; i++) {
		if (fail_each && i % fail_each == 0)
			s->alloc.fail_after = (s64)sim_random(s, 6);
		steps[sim_random(s, ARRAY_SIZE(steps))](s);
		sim_adversary(s, 10);
		if (i % audit_each == 0)
			sim_audit(s);
	}
	if (s->uses < count || s->fills < count || !s->scrubs || !s->settler.settled)
		sim_fail("nothing was tried: %lu uses, %lu fills, %lu scrubs, %lu settlements", (unsigned long)s->uses,
			 (unsigned long)s->fills, (unsigned long)s->scrubs, (unsigned long)s->settler.settled);
	if (c.tags && c.tags < 8 && !s->wraps)
		sim_fail("no tags ran out");
	end_all(s);
	sim_free(s);
}

static void test_large_leaves(void **state)
{
	(void)state;
	for (u64 seed = 1; seed <= 4; seed++)
		run((struct sim_config){ .seed = seed, .flush_by_tag = seed & 1 }, 600, 1, 0);
}

static void test_small_leaves(void **state)
{
	(void)state;
	for (u64 seed = 1; seed <= 4; seed++)
		run((struct sim_config){ .seed = seed, .small = true, .flush_by_tag = seed & 1 }, 600, 1, 0);
}

static void test_few_tags(void **state)
{
	(void)state;
	for (u64 seed = 1; seed <= 4; seed++)
		run((struct sim_config){ .seed = seed, .tags = 2 + (u32)seed, .flush_by_tag = seed & 1, .small = seed & 2 }, 1500,
		    8, 0);
}

static void test_host_is_full(void **state)
{
	(void)state;
	for (u64 seed = 1; seed <= 3; seed++)
		run((struct sim_config){ .seed = seed, .frames = 5 * BLOCK_FRAMES, .small = seed & 2 }, 800, 2, 0);
}

static void test_allocations_fail(void **state)
{
	(void)state;
	for (u64 seed = 1; seed <= 4; seed++)
		run((struct sim_config){ .seed = seed, .small = seed & 1 }, 800, 1, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_large_leaves),
		cmocka_unit_test(test_small_leaves),
		cmocka_unit_test(test_few_tags),
		cmocka_unit_test(test_host_is_full),
		cmocka_unit_test(test_allocations_fail),
	};
	alarm(60);
	return cmocka_run_group_tests_name("core on the fake machine", tests, NULL, NULL);
}
