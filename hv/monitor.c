/*
 * monitor: a VM's ring-3 context: its turns, its faults, and the queue that feeds it.
 *
 * The queue is a set of flags, not a list: each vCPU has at most one exit to answer, each event is level-like (timer, PIC_ACK,
 * console, EOI by vector), so it cannot overflow whatever a guest does. Events come before exits.
 */
#include "core/bits.h"
#include "hv/hv.h"
#include "x86/boot/boot.h"
#include "x86/cpu/log.h"
#include "x86/cpu/regs.h"

#define BUDGET_MS 2000u          /* of processor time between two MON_NEXT */
#define BUDGET_LOADING_MS 30000u /* until the images are copied */
#define WATCH_MS 500u

/* ---- posting, from any processor ---- */

void monitor_post(struct vm *vm, enum mon_entry_kind kind)
{
	__atomic_fetch_or(&vm->monitor.events, (u32)BIT(kind), __ATOMIC_SEQ_CST);
	sched_wake(&vm->monitor.entity);
}

enum action monitor_post_exit(struct vcpu *v)
{
	struct vm *vm = v->entity.vm;
	__atomic_fetch_or(&v->blocked, BLOCK_MONITOR, __ATOMIC_SEQ_CST);
	__atomic_fetch_or(&vm->monitor.exits, 1u << v->id, __ATOMIC_SEQ_CST);
	sched_wake_here(&vm->monitor.entity);
	return ACTION_SLEEP;
}

void monitor_post_eoi(struct vm *vm, u8 vector)
{
	__atomic_fetch_or(&vm->monitor.eoi[vector / 64], BIT(vector % 64), __ATOMIC_SEQ_CST);
	monitor_post(vm, MON_ENTRY_EOI);
}

/* What does not fit is lost, as on a serial line that nobody reads. */
void monitor_post_console(struct vm *vm, const u8 *bytes, u32 count)
{
	struct monitor *m = &vm->monitor;
	lock_take(&m->lock);
	for (u32 i = 0; i < count && m->console_count < sizeof m->console; i++)
		m->console[m->console_count++] = bytes[i];
	lock_give(&m->lock);
	monitor_post(vm, MON_ENTRY_CONSOLE);
}

/* ---- taking ---- */

static bool take_event(struct monitor *m, enum mon_entry_kind kind)
{
	u32 bit = (u32)BIT(kind);
	return m->events & bit && __atomic_fetch_and(&m->events, ~bit, __ATOMIC_SEQ_CST) & bit;
}

static bool take_eoi(struct monitor *m, struct mon_entry *e)
{
	if (!take_event(m, MON_ENTRY_EOI))
		return false;
	for (u32 i = 0; i < ARRAY_SIZE(m->eoi); i++) {
		u64 waiting = m->eoi[i];
		if (!waiting)
			continue;
		u32 bit = (u32)__builtin_ctzll(waiting);
		__atomic_fetch_and(&m->eoi[i], ~BIT(bit), __ATOMIC_SEQ_CST);
		__atomic_fetch_or(&m->events, (u32)BIT(MON_ENTRY_EOI), __ATOMIC_SEQ_CST); /* look again: there may be more */
		e->kind = MON_ENTRY_EOI;
		e->eoi.vector = i * 64 + bit;
		return true;
	}
	return false;
}

static bool take_console(struct monitor *m, struct mon_entry *e)
{
	if (!take_event(m, MON_ENTRY_CONSOLE))
		return false;
	lock_take(&m->lock);
	e->console.count = (u32)min_u64(m->console_count, MON_CONSOLE_BYTES);
	__builtin_memcpy(e->console.bytes, m->console, e->console.count);
	m->console_count -= e->console.count;
	__builtin_memmove(m->console, m->console + e->console.count, m->console_count);
	if (m->console_count)
		__atomic_fetch_or(&m->events, (u32)BIT(MON_ENTRY_CONSOLE), __ATOMIC_SEQ_CST);
	lock_give(&m->lock);
	e->kind = MON_ENTRY_CONSOLE;
	return e->console.count != 0;
}

static bool take_plain(struct monitor *m, struct mon_entry *e)
{
	static const enum mon_entry_kind plain[] = { MON_ENTRY_START, MON_ENTRY_PIC_ACK, MON_ENTRY_TIMER, MON_ENTRY_POWER_BUTTON };
	for (u32 i = 0; i < ARRAY_SIZE(plain); i++)
		if (take_event(m, plain[i])) {
			e->kind = plain[i];
			return true;
		}
	return false;
}

static bool take_exit(struct vm *vm, u32 waiting)
{
	struct monitor *m = &vm->monitor;
	if (!waiting)
		return false;
	struct vcpu *v = &vm->vcpu[__builtin_ctz(waiting)];
	__atomic_fetch_and(&m->exits, ~(1u << v->id), __ATOMIC_SEQ_CST);
	m->comm->entry = v->p->exit;
	if (v->p->exit.kind == MON_ENTRY_EMULATE)
		backend->get(v->g, &m->comm->vcpu);
	return true;
}

bool monitor_take(struct vm *vm)
{
	struct monitor *m = &vm->monitor;
	struct mon_entry e;
	u32 waiting = __atomic_load_n(&m->exits, __ATOMIC_ACQUIRE); /* first: what a vCPU posted before its exit comes before it */
	if (__builtin_expect(m->events == 0, 1))
		return take_exit(vm, waiting);
	__builtin_memset(&e, 0, sizeof e);
	if (take_plain(m, &e) || take_eoi(m, &e) || take_console(m, &e)) {
		m->comm->entry = e;
		return true;
	}
	return take_exit(vm, waiting);
}

/* ---- its faults ---- */

static bool within(u64 at, u64 first, u64 bytes)
{
	return at - first < bytes;
}

static hfn_t module_frame(const struct vm *vm, u64 at)
{
	const struct boot_module *b;
	u64 base = MON_MODULES;
	for (u32 i = 0; (b = module_of(vm, i)); i++) {
		u64 bytes = align_up((b->first.v & PAGE_MASK) + b->bytes, PAGE_SIZE);
		bool there = vm->monitor.loading || i > vm->definition->modules.count;
		hfn_t f = hpa_frame(hpa((b->first.v & ~PAGE_MASK) + (at - base)));
		if (there && within(at, base, bytes))
			return frame_of(&mm.frames, f)->kind == FRAME_BOOT ? f : HFN_NONE;
		base += bytes;
	}
	return HFN_NONE;
}

static status map_module(struct vm *vm, u64 at)
{
	at = align_down(at, PAGE_SIZE);
	hfn_t f = module_frame(vm, at);
	if (hfn_is_none(f))
		return BAD_ADDRESS;
	return space_map(&vm->space, at, f, PT_READ | PT_USER);
}

enum { FAULT_PRESENT = 1, FAULT_WRITE = 2, FAULT_FETCH = 16 };
/* Only the program is executed, and all of it is there from the start. What is private has its rights for good. */
static status resolve_fault(struct vm *vm, u64 at, u64 code)
{
	hfn_t f;
	if (code & FAULT_FETCH || (code & FAULT_PRESENT && !within(at, MON_WINDOW, MON_WINDOW_SIZE)))
		return DENIED;
	if (within(at, MON_WINDOW, MON_WINDOW_SIZE))
		return ptview_resolve(&vm->space.window, gpa(at - MON_WINDOW), code & FAULT_WRITE ? PMAP_WRITE : PMAP_READ);
	if (within(at, MON_HEAP, MON_HEAP_SIZE) || within(at, MON_STACK_TOP - MON_STACK_SIZE, MON_STACK_SIZE))
		return vm_map_private(vm, align_down(at, PAGE_SIZE), PT_READ | PT_WRITE | PT_USER, &f);
	if (within(at, MON_DISK, align_up(vm->definition->disk.bytes, PAGE_SIZE)))
		return vm_map_private(vm, align_down(at, PAGE_SIZE), PT_READ | PT_WRITE | PT_USER, &f);
	if (within(at, MON_MODULES, MON_WINDOW - MON_MODULES))
		return map_module(vm, at);
	return BAD_ADDRESS;
}

/* false: it has ended its VM. */
static bool handle_exception(struct cpu *c, struct vm *vm, u32 vector)
{
	struct monitor *m = &vm->monitor;
	if (vector == VECTOR_PF) {
		u64 came = __atomic_load_n(&mm.alloc.came, __ATOMIC_SEQ_CST);
		status r = resolve_fault(vm, c->user_fault_address, c->user_fault_code);
		if (r == NO_MEMORY)
			vm_starve(vm, came);
		if (r == OK || r == AGAIN || r == IN_USE || r == NO_MEMORY)
			return true;
		vm_end(vm, RESET_END, "killed: its monitor touched %lx at %lx (%s)", c->user_fault_address, m->regs.rip, status_name(r));
		return false;
	}
	vm_end(vm, RESET_END, "killed: its monitor took exception %u at %lx", vector, m->regs.rip);
	return false;
}

/* ---- its budget ---- */

/* It is too long in one entry. A processor is asked for a look from time to time while the monitor computes: `watch`. */
static bool over_budget(struct cpu *c, struct monitor *m)
{
	u64 now = sched_ticks(c);
	if (!m->budget_end)
		m->budget_end = now + host_tsc_khz * (m->loading ? BUDGET_LOADING_MS : BUDGET_MS);
	return now > m->budget_end;
}

static void watch(struct monitor *m)
{
	if (m->watch.deadline == TIMER_NEVER)
		timer_set(&m->watch, tsc_now() + host_tsc_khz * WATCH_MS);
}

static void watch_fired(struct hv_timer *t)
{
	struct monitor *m = container_of(t, struct monitor, watch);
	if (!m->waiting)
		sched_wake(&m->entity);
}

static void timer_fired(struct hv_timer *t)
{
	monitor_post(container_of(t, struct vm, monitor.timer), MON_ENTRY_TIMER);
}

void monitor_begin(struct vm *vm)
{
	struct monitor *m = &vm->monitor;
	__builtin_memset((u8 *)m + sizeof m->entity, 0, sizeof *m - sizeof m->entity); /* the scheduler may know the entity */
	m->loading = true;
	timer_init(&m->timer, timer_fired);
	timer_init(&m->watch, watch_fired);
}

/* ---- its turns ---- */

/* What ended a stretch of ring 3. false: the turn is over. */
static bool after(struct cpu *c, struct vm *vm, u32 why)
{
	if (why == USER_SYSCALL)
		return monitor_call(vm);
	if (why != USER_INTERRUPT)
		return handle_exception(c, vm, why);
	if (!over_budget(c, &vm->monitor))
		return true;
	vm_end(vm, RESET_END, "killed: its monitor computed for %u ms without an answer", vm->monitor.loading ? BUDGET_LOADING_MS : BUDGET_MS);
	return false;
}

enum turn monitor_turn(struct cpu *c, struct entity *e)
{
	struct vm *vm = e->vm;
	struct monitor *m = &vm->monitor;
	if (vm->replay)
		operator_replay(vm);
	if (!vm->go || (m->waiting && !monitor_take(vm)))
		return TURN_SLEEP;
	if (m->waiting)
		m->regs.rax = m->comm->entry.kind;
	m->waiting = false;
	for (;;) {
		if (c->events && sched_events(c))
			return TURN_YIELD;
		watch(m);
		if (!vm->go || !after(c, vm, user_run(&m->regs)))
			return TURN_SLEEP;
	}
}
