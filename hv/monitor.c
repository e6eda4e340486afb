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

/* ---- posting, from any processor ---- */

void monitor_post(struct vm *vm, enum mon_entry_kind kind)
{
	__atomic_fetch_or(&vm->monitor.events, (u32)BIT(kind), __ATOMIC_SEQ_CST);
	sched_wake(&vm->monitor.entity);
}

void monitor_post_exit(struct vcpu *v)
{
	struct vm *vm = v->entity.vm;
	__atomic_fetch_or(&v->blocked, BLOCK_MONITOR, __ATOMIC_SEQ_CST);
	__atomic_fetch_or(&vm->monitor.exits, 1u << v->id, __ATOMIC_SEQ_CST);
	sched_wake_here(&vm->monitor.entity);
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
	static const enum mon_entry_kind plain[] = { MON_ENTRY_START, MON_ENTRY_PIC_ACK, MON_ENTRY_TIMER };
	for (u32 i = 0; i < ARRAY_SIZE(plain); i++)
		if (take_event(m, plain[i])) {
			e->kind = plain[i];
			return true;
		}
	return false;
}

static bool take_exit(struct vm *vm)
{
	struct monitor *m = &vm->monitor;
	u32 waiting = m->exits;
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
	if (__builtin_expect(m->events == 0, 1))
		return take_exit(vm);
	__builtin_memset(&e, 0, sizeof e);
	if (take_plain(m, &e) || take_eoi(m, &e) || take_console(m, &e)) {
		m->comm->entry = e;
		return true;
	}
	return take_exit(vm);
}

/* ---- its faults ---- */

static bool within(u64 at, u64 first, u64 bytes)
{
	return at - first < bytes;
}

static hfn_t module_frame(const struct vm *vm, u64 at)
{
	u64 base = MON_MODULES;
	for (u32 i = 0; i < vm->boot->module_count; i++) {
		const struct boot_module *b = &vm->boot->module[i];
		u64 bytes = align_up((b->first.v & PAGE_MASK) + b->bytes, PAGE_SIZE);
		if (within(at, base, bytes))
			return hpa_frame(hpa(b->first.v + (at - base)));
		base += bytes;
	}
	return HFN_NONE;
}

static status map_module(struct vm *vm, u64 at)
{
	at = align_down(at, PAGE_SIZE);
	hfn_t f = vm->modules_left ? module_frame(vm, at) : HFN_NONE;
	if (hfn_is_none(f))
		return BAD_ADDRESS;
	lock_take(&vm->pmap.lock);
	status r = space_map(&vm->space, at, f, PT_READ | PT_USER);
	lock_give(&vm->pmap.lock);
	return r;
}

#define FAULT_WRITE 2u
static status resolve_fault(struct vm *vm, u64 at, u64 code)
{
	hfn_t f;
	if (within(at, MON_WINDOW, MON_WINDOW_SIZE))
		return ptview_resolve(&vm->space.window, gpa(at - MON_WINDOW), code & FAULT_WRITE ? PMAP_WRITE : PMAP_READ);
	if (within(at, MON_HEAP, MON_HEAP_SIZE) || within(at, MON_STACK_TOP - MON_STACK_SIZE, MON_STACK_SIZE))
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
		status r = resolve_fault(vm, c->user_fault_address, c->user_fault_code);
		if (r == OK || r == AGAIN || r == WAIT || r == IN_USE)
			return true;
		vm_end(vm, "killed: its monitor touched %lx at %lx (%s)", c->user_fault_address, m->regs.rip, status_name(r));
		return false;
	}
	vm_end(vm, "killed: its monitor took exception %u at %lx", vector, m->regs.rip);
	return false;
}

enum turn monitor_turn(struct cpu *c, struct vm *vm)
{
	struct monitor *m = &vm->monitor;
	if (m->waiting && !monitor_take(vm))
		return TURN_SLEEP;
	if (m->waiting)
		m->regs.rax = m->comm->entry.kind;
	m->waiting = false;
	for (;;) {
		if (c->events && sched_events(c))
			return TURN_YIELD;
		if (vm->state != VM_RUNNING)
			return TURN_SLEEP;
		u32 why = user_run(&m->regs);
		if (why == USER_SYSCALL) {
			if (!monitor_call(vm))
				return TURN_SLEEP;
		} else if (why != USER_INTERRUPT && !handle_exception(c, vm, why)) {
			return TURN_SLEEP;
		}
	}
}
