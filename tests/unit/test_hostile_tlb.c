/*
 * Attacks by what processors remember: a processor goes on writing by the translation that it has when the page is protected (MV-49), a vCPU
 * comes back with a tag of before they ran out (MV-50), two vCPUs of one VM share a processor (MV-51).
 */
#include "core/bits.h"
#include "sim/crew.h"
#include "sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define OWNER ((owner_t)OWNER_FIRST_VM)
#define RAM (2 * BLOCK_FRAMES)
#define PAGE (SIM_RAM_FIRST + 9)
#define WRITERS 3u /* processors 1 .. 3; 0 takes the right away */

/* ---- MV-49: protected while others write ---- */

static struct sim *s;
static struct sim_vm *vm, *sibling;

static struct sim_vm *start(u32 n)
{
	assert_int_equal(sim_vm_start(s, &s->vm[n], (owner_t)(OWNER + n), RAM), OK);
	return &s->vm[n];
}

static void begin(u32 tags, bool flush_by_tag)
{
	s = sim_new(&(struct sim_config){ .seed = 5, .tags = tags, .flush_by_tag = flush_by_tag });
	s->quiet = true; /* each processor holds what this test made it hold */
	vm = start(0);
}

static void run_on(unsigned cpu, struct sim_vcpu *vcpu)
{
	if (s->cpu[cpu].running)
		sim_leave(s, cpu);
	if (vcpu)
		sim_enter(s, cpu, vcpu);
}

static u64 sum_of_page(void)
{
	const u64 *at = (const u64 *)(void *)(s->ram.at + frame_hpa(pmap_look(&vm->pmap, gfn(PAGE)).frame).v);
	u64 sum = 0;
	for (u32 i = 0; i < PAGE_SIZE / sizeof(u64); i++)
		sum = sum * 31 + at[i];
	return sum;
}

/* A processor writes by what it remembers, if it can, and by nothing else. */
static bool writes_by_memory(unsigned cpu)
{
	if (!s->cpu[cpu].running || !sim_usable_on(s, cpu, vm, PAGE, true))
		return false;
	u64 *at = (u64 *)(void *)(s->ram.at + frame_hpa(pmap_look(&vm->pmap, gfn(PAGE)).frame).v);
	at[sim_random(s, PAGE_SIZE / sizeof(u64))] = vm->key ^ PAGE;
	return true;
}

static u32 wrote;
static void all_write(enum point point)
{
	(void)point;
	for (unsigned cpu = 1; cpu <= WRITERS; cpu++)
		wrote += writes_by_memory(cpu);
}

static status protect(struct settlement *debt)
{
	lock_take(&vm->pmap.lock);
	status st = ptview_protect(&vm->nested, gfn(PAGE), 1, debt);
	lock_give(&vm->pmap.lock);
	return st;
}

static void test_mv49_protected_while_others_write(void **state)
{
	(void)state;
	for (u32 round = 0; round < 16; round++) {
		begin(0, round & 1);
		for (unsigned cpu = WRITERS; cpu > 0; cpu--) { /* two of them stay inside; the third has been left, and remembers, too */
			run_on(cpu, &vm->vcpu[cpu % SIM_VCPUS]);
			assert_int_equal(sim_touch(s, cpu, PAGE, true), OK);
			if (cpu == WRITERS)
				run_on(cpu, NULL);
		}
		s->random += round;
		s->current = 0;
		wrote = 0;
		crew_act = all_write;
		SETTLEMENT(debt, &s->settler);
		assert_int_equal(protect(&debt), OK);
		assert_true(wrote > 0); /* the right has gone from the tables, not from the processors */
		settle(&debt);
		crew_act = NULL;
		u64 sum = sum_of_page();
		all_write(POINTS);
		for (unsigned cpu = 1; cpu <= WRITERS; cpu++)
			run_on(cpu, NULL);
		for (unsigned cpu = 1; cpu <= WRITERS; cpu++) {
			run_on(cpu, &vm->vcpu[cpu % SIM_VCPUS]);
			assert_false(writes_by_memory(cpu));
			assert_false(sim_access(s, cpu, PAGE, true));
			run_on(cpu, NULL);
		}
		assert_true(sum_of_page() == sum);
		struct mmu_translation t = mmu_walk_from(&s->ram, frame_hpa(vm->nested.table.root).v, 4, PAGE << PAGE_SHIFT);
		assert_true(t.present && !t.write && (*t.entry & fmt_npt.dirty)); /* that it was written is known */
		sim_vm_end(s, vm);
		sim_free(s);
	}
}

/* ---- MV-50: back with an old tag ---- */

/* Uses up `n` tags of the processor by entries of others. */
static void use_up(unsigned cpu, u32 n)
{
	for (u32 i = 0; i < n; i++) {
		struct sim_vcpu *other = &sibling->vcpu[i % SIM_VCPUS];
		tag_forget(&other->tag); /* as if it were a new one each time */
		run_on(cpu, other);
		assert_int_equal(sim_touch(s, cpu, PAGE, true), OK);
	}
	run_on(cpu, NULL);
}

/* The processor remembers, under this vCPU's tag, nothing that is not this VM's. */
static void nothing_foreign(unsigned cpu)
{
	const struct sim_cpu *c = &s->cpu[cpu];
	for (u32 i = 0; i < SIM_TLB; i++) {
		const struct sim_entry *e = &c->tlb[i];
		if (e->valid && e->tag == c->running->tag.number)
			assert_int_equal(s->frames.at[e->frame].owner, vm->pmap.owner);
	}
}

static void test_mv50_back_with_an_old_tag(void **state)
{
	static const u32 limits[] = { 2, 3, 4, 16 };
	(void)state;
	for (u32 l = 0; l < ARRAY_SIZE(limits); l++)
		for (u32 away = 0; away < 3 * limits[l]; away++) {
			struct sim_vcpu *v;
			begin(limits[l], away & 1);
			sibling = start(1);
			v = &vm->vcpu[0];
			run_on(0, v);
			assert_int_equal(sim_touch(s, 0, PAGE, true), OK);
			run_on(0, NULL);
			if (away % 3 == 0) { /* by way of another processor, where its number is another vCPU's, too */
				use_up(1, 1 + away);
				run_on(1, v);
				nothing_foreign(1);
				assert_int_equal(sim_touch(s, 1, PAGE + 1, true), OK);
				run_on(1, NULL);
			}
			use_up(0, away);
			run_on(0, v);
			nothing_foreign(0);
			assert_int_equal(sim_touch(s, 0, PAGE + 2, true), OK);
			sim_judge(s);
			assert_true(v->tag.number > 0 && v->tag.number < limits[l]);
			assert_true(away < limits[l] || s->wraps > 0);
			run_on(0, NULL);
			sim_vm_end(s, vm);
			sim_vm_end(s, sibling);
			sim_free(s);
		}
}

/* ---- MV-51: two vCPUs of one VM on one processor ---- */

#define LINEAR 8u /* addresses, each of which a vCPU's own tables lead elsewhere */

/* What a processor remembers of guests' own tables: nothing in it says whose, but the tag. */
static struct { u32 whose; bool there; } linear[64][LINEAR];

static void forget(const struct tagger *g, enum tag_action action, u32 tag)
{
	for (u32 t = 0; t < g->limit; t++)
		if (action == TAG_WRAP || (action == TAG_FLUSH && t == tag))
			memset(linear[t], 0, sizeof linear[t]);
}

static void test_mv51_two_vcpus_on_one_processor(void **state)
{
	struct tagger g;
	u64 view = 1, random = 7;
	u32 reused = 0;
	(void)state;
	for (u32 limit = 3; limit <= 64; limit += 61) {
		struct tag tags[2] = { 0 };
		tagger_init(&g, limit, limit & 1);
		memset(linear, 0, sizeof linear);
		for (u32 i = 0; i < 4000; i++) {
			random = random * 6364136223846793005u + 1442695040888963407u;
			u32 who = random >> 40 & 1, address = (u32)(random >> 50) % LINEAR;
			if ((random >> 33) % 16 == 0)
				view++;
			enum tag_action action = tag_take(&g, &tags[who], 0, view);
			u32 tag = tags[who].number;
			forget(&g, action, tag);
			assert_true(tags[0].generation != tags[1].generation || tags[0].number != tags[1].number);
			if (linear[tag][address].there) {
				assert_int_equal(linear[tag][address].whose, who);
				reused++;
			}
			linear[tag][address].there = true;
			linear[tag][address].whose = who;
		}
	}
	assert_true(reused > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mv49_protected_while_others_write),
		cmocka_unit_test(test_mv50_back_with_an_old_tag),
		cmocka_unit_test(test_mv51_two_vcpus_on_one_processor),
	};
	alarm(100);
	return cmocka_run_group_tests_name("attacks by what processors remember", tests, NULL, NULL);
}
