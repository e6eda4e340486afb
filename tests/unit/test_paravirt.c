/*
 * test_paravirt: the steal time page against a guest that asks for flushes at every moment, and memory that cannot be reached. No emulator
 * keeps translations over a VMRUN, so a flush that was lost shows only here: the vCPU's tag was not forgotten.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/hv.h"

enum { PAGE = 0x1000, STEAL = 0, VERSION = 8, PREEMPTED = 16, BYTES = 64, ENABLE = 1, TAG = 7, MS = 1000 };

/* ---- the machine around it ---- */

static _Alignas(64) u8 memory[BYTES];
u64 host_tsc_khz = MS;
static u8 cpl, bits;
/* What the guest's other processors do right after the n-th access; which one fails, and how. */
static u32 accesses, meddle_at, fail_at;
static void (*meddle)(void);
static status failure;
static u32 kicked, delivered, favoured;

static status access(gpa_t at, u64 bytes)
{
	assert_in_range(at.v, PAGE, PAGE + BYTES - bytes);
	return ++accesses == fail_at ? failure : OK;
}

static void afterwards(void)
{
	if (accesses == meddle_at && meddle)
		meddle();
}

status window_read(gpa_t at, void *to, u64 n)
{
	assert_in_range(at.v, PAGE, PAGE + BYTES - n);
	memcpy(to, &memory[at.v - PAGE], n);
	return OK;
}

status window_write(gpa_t at, const void *from, u64 n)
{
	status r = access(at, n);
	if (r == OK)
		memcpy(&memory[at.v - PAGE], from, n);
	afterwards();
	return r;
}

status window_exchange(void *context, gpa_t at, u32 size, u64 expected, u64 value)
{
	u32 narrow = (u32)expected, *word = (u32 *)(void *)&memory[at.v - PAGE];
	(void)context;
	assert_int_equal(size, sizeof narrow);
	status r = access(at, size);
	if (r == OK && !__atomic_compare_exchange_n(word, &narrow, (u32)value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		r = AGAIN;
	afterwards();
	return r;
}

static void fake_mode(const struct guest_cpu *g, struct guest_mode *m)
{
	(void)g;
	*m = (struct guest_mode){ .bits = bits, .cpl = cpl };
}
static const struct backend fake = { .mode = fake_mode };
const struct backend *backend = &fake;

void sched_yield_to(struct entity *e) { favoured |= 1u << vcpu_of(e)->id; }
void interrupts_request(struct vcpu *v, u32 what) { kicked |= what == REQUEST_KICK ? 1u << v->id : 0; }
void interrupts_deliver(struct vcpu *v, const struct lapic_message *m)
{
	(void)m;
	delivered |= 1u << v->id;
}

struct mm mm;
static u32 starved;
void vm_starve(struct vm *which, u64 changes)
{
	(void)which, (void)changes;
	starved++;
}

static struct vm *vm;
static struct guest_cpu cpu;

static struct vcpu *make(void)
{
	vm = calloc(1, sizeof *vm);
	assert_non_null(vm);
	vm->vcpus = 4;
	vm->cpuid.steal_time = true;
	for (u32 i = 0; i < VM_MAX_VCPUS; i++) {
		vm->vcpu[i] = (struct vcpu){ .entity.vm = vm, .id = i, .g = &cpu };
		lapic_reset(&vm->vcpu[i].lapic, i, i == 0, NULL, NULL);
		lapic_virtual_wire(&vm->vcpu[i].lapic);
	}
	memset(memory, 0, sizeof memory);
	cpu = (struct guest_cpu){ .tag.generation = TAG };
	accesses = meddle_at = fail_at = kicked = delivered = starved = 0;
	meddle = NULL;
	cpl = 0;
	bits = 64;
	assert_int_equal(paravirt_write_steal(&vm->vcpu[0], 0, PAGE | ENABLE), OK);
	accesses = 0;
	return &vm->vcpu[0];
}

static u32 preempted(void) { return memory[PREEMPTED]; }
static u32 version(void) { return *(u32 *)(void *)&memory[VERSION]; }
static u64 steal(void) { return *(u64 *)(void *)&memory[STEAL]; }

/* As Linux asks: only while the other one says that it does not run; else it sends an interrupt, which needs no help of ours. */
static bool asked;
static void ask_flush(void)
{
	asked = memory[PREEMPTED] & 1;
	if (asked)
		memory[PREEMPTED] |= 2;
}

/* ---- the page ---- */

static void test_a_turn(void **state)
{
	struct vcpu *v = make();
	(void)state;
	paravirt_yield(v);
	assert_true(v->steal.told);
	assert_int_equal(preempted(), 1);
	v->entity.waited += 5 * MS;
	assert_true(paravirt_resume(v));
	assert_false(v->steal.told);
	assert_int_equal(preempted(), 0);
	assert_int_equal(steal(), 5000000);
	assert_int_equal(version(), 2);
	assert_int_equal(cpu.tag.generation, TAG); /* nobody asked */
	paravirt_yield(v);
	v->entity.waited += 1;
	assert_true(paravirt_resume(v));
	assert_int_equal(steal(), 5001000);
	assert_int_equal(version(), 4);
	free(vm);
}

/* A flush is asked for after each access that is made on the way; it is carried out, or the asker knows that it must interrupt. */
static void test_flush_at_every_moment(void **state)
{
	(void)state;
	for (u32 at = 0; at < 8; at++) {
		struct vcpu *v = make();
		asked = false;
		meddle = ask_flush;
		meddle_at = at;
		if (at == 0)
			ask_flush();
		paravirt_yield(v);
		assert_true(paravirt_resume(v));
		assert_int_equal(preempted(), 0);
		assert_int_equal(cpu.tag.generation, asked ? 0 : TAG);
		assert_true(asked == (at == 1));
		free(vm);
	}
}

/* A guest may write what it likes there. */
static void test_scribbles(void **state)
{
	(void)state;
	for (u32 byte = 0; byte < 256; byte++) {
		struct vcpu *v = make();
		paravirt_yield(v);
		memory[PREEMPTED] = (u8)byte;
		memory[PREEMPTED + 1] = byte & 4 ? 1 : 0;
		assert_true(paravirt_resume(v));
		assert_int_equal(preempted(), 0);
		assert_int_equal(cpu.tag.generation, byte == 1 ? TAG : 0);
		free(vm);
	}
}

/* Whichever access fails, and however: the vCPU does not run while others take it for preempted. */
static void test_unreachable(void **state)
{
	static const status all[] = { NO_MEMORY, AGAIN, BAD_ADDRESS, DENIED, DEVICE };
	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(all); i++)
		for (u32 at = 1; at < 6; at++) {
			struct vcpu *v = make();
			fail_at = at;
			failure = all[i];
			paravirt_yield(v);
			ask_flush();
			bool flush = preempted() & 2;
			while (v->steal.told && !paravirt_resume(v))
				assert_true(v->steal.told);
			assert_true(preempted() == 0 || !v->steal.msr);
			assert_true(!flush || cpu.tag.generation == 0);
			free(vm);
		}
}

static void fail_twice(status with)
{
	failure = with;
	fail_at = accesses + 2; /* the exchange is refused by the flag, the store by the memory */
}

static void test_waits_until_it_can_say_so(void **state)
{
	static const status passing[] = { NO_MEMORY, AGAIN };
	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(passing); i++) {
		struct vcpu *v = make();
		paravirt_yield(v);
		ask_flush();
		fail_twice(passing[i]);
		assert_false(paravirt_resume(v));
		assert_int_equal(starved, passing[i] == NO_MEMORY);
		assert_true(v->steal.told);
		assert_true(paravirt_resume(v));
		assert_int_equal(preempted(), 0);
		assert_int_equal(cpu.tag.generation, 0);
		free(vm);
	}
	struct vcpu *v = make();
	paravirt_yield(v);
	ask_flush();
	fail_twice(BAD_ADDRESS);
	assert_true(paravirt_resume(v));
	assert_int_equal(v->steal.msr, 0);
	assert_int_equal(cpu.tag.generation, 0);
	free(vm);
}

/* Its access is not over while the monitor works on it, whoever woke the vCPU meanwhile. */
static void test_not_within_an_instruction(void **state)
{
	static const u32 blocked[] = { BLOCK_MONITOR, BLOCK_HALT, BLOCK_SIPI, BLOCK_MONITOR | BLOCK_START };
	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(blocked); i++) {
		struct vcpu *v = make();
		v->blocked = blocked[i];
		paravirt_yield(v);
		assert_false(v->steal.told);
		assert_int_equal(preempted(), 0);
		free(vm);
	}
}

static void test_msr(void **state)
{
	struct vcpu *v = make();
	(void)state;
	for (u32 bit = 1; bit <= 5; bit++)
		assert_int_equal(paravirt_write_steal(v, 0, PAGE | ENABLE | 1u << bit), FAULT);
	assert_int_equal(v->steal.msr, PAGE | ENABLE);
	static const struct { status window, answer; } of[] = { { BAD_ADDRESS, FAULT }, { DEVICE, FAULT }, { DENIED, FAULT }, { AGAIN, AGAIN },
								 { NO_MEMORY, NO_MEMORY } };
	for (u32 i = 0; i < ARRAY_SIZE(of); i++) {
		fail_at = accesses + 1;
		failure = of[i].window;
		assert_int_equal(paravirt_write_steal(v, 0, PAGE | ENABLE), of[i].answer);
		assert_int_equal(v->steal.msr, PAGE | ENABLE);
	}
	assert_int_equal(paravirt_write_steal(v, 0, 0), OK);
	accesses = 0;
	paravirt_yield(v);
	assert_int_equal(accesses, 0);
	vm->cpuid.steal_time = false;
	assert_int_equal(paravirt_write_steal(v, 0, PAGE | ENABLE), FAULT);
	free(vm);
}

/* ---- calls ---- */

static s64 call(struct vcpu *v, u64 number, u64 a0, u64 a1, u64 a2, u64 a3)
{
	cpu.gpr[MON_RAX] = number;
	cpu.gpr[MON_RBX] = a0;
	cpu.gpr[MON_RCX] = a1;
	cpu.gpr[MON_RDX] = a2;
	cpu.gpr[MON_RSI] = a3;
	delivered = kicked = favoured = 0;
	enum action then = paravirt_call(v);
	assert_true((then == ACTION_YIELD) == (number == 11 && cpl == 0 && a0 < vm->vcpus));
	return (s64)cpu.gpr[MON_RAX];
}

static const u64 values[] = { 0, 1, 3, 4, 5, 10, 11, 12, 1ull << 31, 1ull << 32, 1ull << 52, 1ull << 63, ~0ull };

static void test_boundaries(void **state)
{
	struct vcpu *v = make();
	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(values); i++) {
		u64 x = values[i];
		bool known = x == 1 || x == 5 || x == 10 || x == 11;
		assert_true((call(v, x, 0, 0, 0, 0) == -1000) == !known);
		assert_int_equal(call(v, 5, x, x, x, x), 0);
		assert_int_equal(kicked, x < 4 ? 1u << x : 0);
		assert_int_equal(call(v, 11, x, x, x, x), 0);
		assert_int_equal(favoured, x < 4 ? 1u << x : 0);
		assert_int_equal(call(v, 10, ~0ull, ~0ull, x, 0x40), x < 4 ? 4 - (s64)x : 0);
		assert_int_equal(delivered, x < 4 ? 0xfu & ~((1u << x) - 1) : 0);
		assert_int_equal(call(v, 10, x, x, 0, 0x40), __builtin_popcountll(x & 0xf));
		assert_int_equal(delivered, x & 0xf);
		cpl = 3;
		assert_int_equal(call(v, x, x, x, x, x), -1);
		assert_int_equal(delivered | kicked, 0);
		cpl = 0;
	}
	assert_int_equal(call(v, 10, 0, ~0ull, 0ull - 64, 0x40), 0);
	assert_int_equal(call(v, 10, 1, 0, 0, 0x840), -22);   /* logical */
	assert_int_equal(call(v, 10, 1, 0, 0, 0x40040), -22); /* shorthand */
	assert_int_equal(call(v, 10, 1, 0, 0, 0x540), -22);   /* INIT */
	assert_int_equal(call(v, 10, 1, 0, 0, 0x400), 1);     /* NMI */
	free(vm);
}

static void test_narrow(void **state)
{
	struct vcpu *v = make();
	u64 dirt = 0xdeadbeefull << 32;
	(void)state;
	for (bits = 16; bits <= 32; bits += 16) {
		assert_int_equal(call(v, dirt | 10, dirt | 5, dirt | 0xffffffff, dirt, dirt | 0x40), 2);
		assert_int_equal(delivered, 5);
		assert_int_equal(call(v, dirt | 5, dirt, dirt | 2, dirt, dirt), 0);
		assert_int_equal(kicked, 4);
		assert_int_equal(call(v, dirt | 99, 0, 0, 0, 0), (u32)-1000);
	}
	free(vm);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_turn), cmocka_unit_test(test_flush_at_every_moment), cmocka_unit_test(test_scribbles),
		cmocka_unit_test(test_unreachable), cmocka_unit_test(test_waits_until_it_can_say_so),
		cmocka_unit_test(test_not_within_an_instruction), cmocka_unit_test(test_msr), cmocka_unit_test(test_boundaries),
		cmocka_unit_test(test_narrow),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
