/*
 * test_calls: every call of a monitor, in every state of its vCPU, with every pair of arguments at the edges of what they mean and of their
 * widths. Either the call is one that the ABI allows, or the VM is over and nothing has been done.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/hv.h"
#include "x86/boot/boot.h"
#include "x86/cpu/log.h"
#include "x86/cpu/regs.h"

enum { ARGUMENTS = 5, VCPUS = 2, GVA_MOST = 256, CONSOLE_MOST = 256, VECTORS = 32, NMI = 2, ENDINGS = 4, EDGES = 9 };
/* Of vCPU 0; vCPU 1 runs. */
enum state { FRESH, IO, MMIO, EMULATE, RUNS, UNSEEN /* an exit that MON_NEXT has not shown yet */, STATES };

/* ---- what is around them ---- */

static struct vm *vm;
static const struct machine_definition definition = { .name = "tested" };
static struct vcpu_private halves[VCPUS + 1];
static u32 broken, ended, deeds; /* deeds: whatever would change something outside the monitor */
struct mm mm;
struct options options;
u64 host_tsc_khz = 1000;

void vm_end(struct vm *which, enum machine_reset then, const char *format, ...)
{
	(void)then;
	assert_ptr_equal(which, vm);
	if (strstr(format, "broke the rules"))
		broken++;
	else
		ended++;
}
enum action vm_kill(struct vcpu *v, const char *format, ...) { (void)format; vm_end(v->entity.vm, RESET_END, "kill"); return ACTION_SLEEP; }
void vm_mark(struct vm *which, u64 value) { (void)which, (void)value; fail_msg("a mark that nobody asked for"); }

static void deed_on(const struct vcpu *v)
{
	assert_ptr_equal(v, &vm->vcpu[0]);
	deeds++;
}

static void deed_to(const struct guest_cpu *g)
{
	assert_ptr_equal(g, &halves[0].cpu);
	deeds++;
}

void advance(struct vcpu *v, u64 next_rip) { (void)next_rip; deed_on(v); }
void exit_finish_load(struct vcpu *v, const struct insn *i, u64 value) { (void)i, (void)value; deed_on(v); }
void vcpu_timer_changed(struct vcpu *v) { deed_on(v); }
void sched_wake(struct entity *e) { (void)e; }
void sched_wake_here(struct entity *e) { (void)e; }
void interrupts_take(void) { }
void timer_set(struct hv_timer *t, u64 deadline) { (void)deadline; assert_ptr_equal(t, &vm->monitor.timer); }
void modules_drop(struct vm *which, u32 uses) { (void)which, (void)uses; }
void vms_feed(void) { }
const struct boot_module *module_of(const struct vm *which, u32 n) { (void)which, (void)n; return NULL; }
bool monitor_take(struct vm *which) { (void)which; return false; }
void log_line(const char *format, ...) { (void)format; }

void inject(struct vcpu *v, u8 vector, bool has_error, u32 error)
{
	(void)has_error, (void)error;
	assert_true(vector < VECTORS && vector != NMI);
	deed_on(v);
}

void interrupt_message(struct vm *which, struct vcpu *sender, const struct lapic_message *m)
{
	(void)m;
	assert_ptr_equal(which, vm);
	assert_null(sender);
}

void operator_output(struct vm *which, const u8 *bytes, u32 count)
{
	assert_ptr_equal(which, vm);
	assert_true(bytes == vm->monitor.comm->buffer && count <= sizeof vm->monitor.comm->buffer);
}

status gva_copy(struct vcpu *v, gva_t at, void *bytes, u32 length, u32 access, struct gva_fault *fault, gpa_t *device)
{
	(void)at, (void)access, (void)fault, (void)device;
	memset(bytes, 0, length);
	deed_on(v);
	return OK;
}

static void fake_get(const struct guest_cpu *g, struct mon_vcpu *v) { deed_to(g); memset(v, 0, sizeof *v); }
static status fake_set(struct guest_cpu *g, const struct mon_vcpu *v) { (void)v; deed_to(g); return OK; }
static void fake_mode(const struct guest_cpu *g, struct guest_mode *m) { deed_to(g); memset(m, 0, sizeof *m); }
static void fake_write_cr(struct guest_cpu *g, u32 n, u64 value) { (void)n, (void)value; deed_to(g); }
static const struct backend fake = { .get = fake_get, .set = fake_set, .mode = fake_mode, .write_cr = fake_write_cr };
const struct backend *backend = &fake;

static void fake_send(void *context, const struct lapic_message *m) { (void)m; deed_on(context); }
static void fake_eoi(void *context, u8 vector) { (void)vector; deed_on(context); }
static const struct lapic_ops fake_ops = { .send = fake_send, .eoi = fake_eoi };

/* ---- the machine ---- */

static void make(void)
{
	vm = calloc(1, sizeof *vm);
	assert_non_null(vm);
	vm->monitor.comm = calloc(1, sizeof *vm->monitor.comm);
	assert_non_null(vm->monitor.comm);
	vm->definition = &definition;
	vm->vcpus = VCPUS;
	for (u32 i = 0; i < VCPUS; i++) {
		vm->vcpu[i] = (struct vcpu){ .entity.vm = vm, .id = i, .p = &halves[i], .g = &halves[i].cpu };
		lapic_reset(&vm->vcpu[i].lapic, i, i == 0, &fake_ops, &vm->vcpu[i]);
	}
	/* Nobody's, but who takes it for one finds it waiting. */
	vm->vcpu[VCPUS] = (struct vcpu){ .entity.vm = vm, .id = VCPUS, .p = &halves[VCPUS], .g = &halves[VCPUS].cpu, .blocked = BLOCK_MONITOR };
	halves[VCPUS].exit.kind = MON_ENTRY_EMULATE;
}

static void destroy(void)
{
	free(vm->monitor.comm);
	free(vm);
}

static void bring_to(enum state state)
{
	static const u32 kinds[STATES] = { MON_ENTRY_NONE, MON_ENTRY_IO, MON_ENTRY_MMIO, MON_ENTRY_EMULATE, MON_ENTRY_NONE, MON_ENTRY_EMULATE };
	vm->vcpu[0].blocked = state == FRESH ? BLOCK_START : state == RUNS ? 0 : BLOCK_MONITOR;
	vm->monitor.exits = state == UNSEEN;
	halves[0].exit = (struct mon_entry){ .kind = kinds[state] };
	broken = ended = deeds = 0;
}

static void ask(u64 number, const u64 a[ARGUMENTS])
{
	vm->monitor.regs = (struct user_regs){ .rax = number, .rdi = a[0], .rsi = a[1], .rdx = a[2], .r10 = a[3], .r8 = a[4] };
	monitor_call(vm);
}

/* ---- what abi/monitor.h says ---- */

static bool allowed(u64 call, enum state state, const u64 a[ARGUMENTS])
{
	bool first = a[0] == 0, held = first && state != RUNS && state != UNSEEN, emulates = first && state == EMULATE;
	switch (call) {
	case MON_REPLY: return first && (state == IO || state == MMIO);
	case MON_GET_VCPU: case MON_SET_VCPU: case MON_RUN: return held;
	case MON_EMULATED: case MON_EMULATE_RETRY: case MON_LAPIC_READ: case MON_LAPIC_WRITE: return emulates;
	case MON_EMULATE_FAULT: return emulates && a[1] < VECTORS && a[1] != NMI;
	case MON_GVA_READ: case MON_GVA_WRITE: return emulates && a[2] >= 1 && a[2] <= GVA_MOST;
	case MON_CONSOLE_WRITE: return a[0] <= CONSOLE_MOST;
	case MON_END: return a[0] < ENDINGS;
	case MON_NEXT: case MON_SEND_MSI: case MON_PIC_LINE: case MON_SET_TIMER: case MON_LOG: case MON_MODULES_DONE: case MON_MARK: return true;
	default: return false;
	}
}

/* 0, 1, the most that the argument may be, one more, where widths end. */
static u64 edge(u64 call, u32 argument, u32 i)
{
	static const u64 widths[] = { 1ull << 31, 1ull << 32, 1ull << 52, 1ull << 63, ~0ull };
	u64 most = call == MON_CONSOLE_WRITE ? CONSOLE_MOST : call == MON_END ? ENDINGS - 1 : argument == 1 ? VECTORS - 1 :
		   argument == 2 ? GVA_MOST : VCPUS - 1;
	return i < 2 ? i : i < 4 ? most + i - 2 : widths[i - 4];
}

static void one(u64 call, enum state state, const u64 a[ARGUMENTS])
{
	bring_to(state);
	ask(call, a);
	bool good = allowed(call, state, a);
	if (broken != !good || (!good && (deeds || ended)) || ended != (good && call == MON_END))
		fail_msg("call %lu in state %u of %lx %lx %lx %lx: broken %u, ended %u, deeds %u", call, state, a[0], a[1], a[2], a[3], broken, ended, deeds);
}

static void each_pair(u64 call, enum state state)
{
	for (u32 i = 0; i < ARGUMENTS; i++)
		for (u32 j = i + 1; j < ARGUMENTS; j++)
			for (u32 n = 0; n < EDGES * EDGES; n++) {
				u64 a[ARGUMENTS] = { 0, 1, 1, 0, 0 };
				a[i] = edge(call, i, n / EDGES);
				a[j] = edge(call, j, n % EDGES);
				one(call, state, a);
			}
}

static void test_edges(void **unused)
{
	(void)unused;
	make();
	for (u64 call = 0; call <= MON_CALLS; call++)
		for (u32 state = 0; state < STATES; state++)
			each_pair(call, (enum state)state);
	destroy();
}

static void test_numbers(void **unused)
{
	static const u64 none[ARGUMENTS];
	(void)unused;
	make();
	for (u32 i = 4; i < EDGES; i++)
		for (u64 low = 0; low <= MON_CALLS; low++)
			one(edge(0, 0, i) + low > MON_CALLS ? edge(0, 0, i) | low : ~0ull, FRESH, none);
	destroy();
}

/* RIP may move by an instruction, which in 16-bit code may wrap. */
static void test_rip(void **unused)
{
	static const struct { u64 from, to; bool good; } rows[] = {
		{ 0x1000, 0x1000, true }, { 0x1000, 0x100f, true }, { 0x1000, 0x1010, false }, { 0x1000, 0xfff, false }, { 0xfffe, 1, true },
		{ 0xfffe, 0x10001, true }, { ~0ull, 0, true }, { 0x1000, 1ull << 32, false }, { 0x1000, ~0ull, false },
	};
	static const u64 none[ARGUMENTS];
	(void)unused;
	make();
	for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
		bring_to(EMULATE);
		halves[0].cpu.rip = rows[i].from;
		vm->monitor.comm->vcpu.rip = rows[i].to;
		ask(MON_EMULATED, none);
		assert_int_equal(broken, !rows[i].good);
	}
	destroy();
}

/* An access to the local APIC's page is one of its registers'; any other is answered, and does nothing. */
static void test_lapic(void **unused)
{
	static const u64 offsets[] = { 0, 1, 0x20, 0x23, 0x24, 0x300, 0xff9, 0xffc, 0xfff, 0x1000, 1ull << 32, 1ull << 63 };
	(void)unused;
	make();
	for (u32 i = 0; i < ARRAY_SIZE(offsets); i++)
		for (u64 size = 0; size <= 10; size++) {
			u64 a[ARGUMENTS] = { 0, MON_LAPIC + offsets[i], size, ~0ull };
			one(MON_LAPIC_READ, EMULATE, a);
			one(MON_LAPIC_WRITE, EMULATE, a);
		}
	destroy();
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_edges), cmocka_unit_test(test_numbers), cmocka_unit_test(test_rip), cmocka_unit_test(test_lapic) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
