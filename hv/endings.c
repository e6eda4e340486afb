/*
 * endings: a machine is over. Whoever notices claims the ending; its entities leave at their next look; then idle processors take it apart
 * in slices, and all its frames come home by settlement.
 */
#include <stdarg.h>

#include "core/audit.h"
#include "core/bits.h"
#include "hv/hv.h"
#include "x86/boot/boot.h"
#include "x86/cpu/power.h"
#include "x86/cpu/format.h"
#include "x86/cpu/log.h"
#include "x86/mm/slots.h"

#define REAP_BUDGET 512u /* entries or frames a slice */

struct vm vms[VMS_MAX];

static u64 exits_of(const struct vm *vm)
{
	u64 sum = 0;
	for (u32 i = 0; i < vm->vcpus; i++)
		for (u32 k = 0; k < EXIT_KINDS; k++)
			sum += vm->vcpu[i].exits[k];
	return sum;
}

static void end_with(struct vm *vm, const char *format, va_list arguments)
{
	if (__atomic_exchange_n(&vm->end_claimed, 1, __ATOMIC_SEQ_CST))
		return;
	format_arguments(vm->ending, sizeof vm->ending, format, arguments);
	__atomic_store_n(&vm->state, VM_ENDING, __ATOMIC_SEQ_CST);
	for (u32 i = 0; i < vm->vcpus; i++)
		sched_wake(&vm->vcpu[i].entity);
	sched_wake(&vm->monitor.entity);
}

void vm_end(struct vm *vm, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	end_with(vm, format, arguments);
	va_end(arguments);
}

/* ---- the record of a guest that was ended ---- */

static void log_segment(const char *name, const struct mon_segment *s)
{
	log_line("  %s %x base %lx limit %x attributes %x", name, s->selector, s->base, s->limit, s->attributes);
}

static void log_record(struct vcpu *v)
{
	struct mon_vcpu s;
	backend->get(v->g, &s);
	log_line("record of %s, vCPU %u: exit %x", v->entity.vm->name, v->id, v->g->exit.code);
	log_line("  rip %lx rflags %lx cpl %u", s.rip, s.rflags, s.cpl);
	for (u32 i = 0; i < MON_GPRS; i += 4)
		log_line("  r%u..: %lx %lx %lx %lx", i, s.gpr[i], s.gpr[i + 1], s.gpr[i + 2], s.gpr[i + 3]);
	log_line("  cr0 %lx cr2 %lx cr3 %lx cr4 %lx efer %lx", s.cr0, s.cr2, s.cr3, s.cr4, s.efer);
	log_segment("cs", &s.cs);
	log_segment("ss", &s.ss);
	log_segment("ds", &s.ds);
	log_segment("tr", &s.tr);
	log_segment("gdtr", &s.gdtr);
	log_segment("idtr", &s.idtr);
}

void vm_kill(struct vcpu *v, const char *format, ...)
{
	char why[128];
	va_list arguments;
	va_start(arguments, format);
	format_arguments(why, sizeof why, format, arguments);
	va_end(arguments);
	log_record(v);
	vm_end(v->entity.vm, "killed: %s", why);
}

void vm_mark(struct vm *vm, u64 value)
{
	log_line("mark %lu exits=%lu scrub-instructions=%lu", value, exits_of(vm), slots_scrub_ticks);
}

/* ---- taking apart ---- */

static bool at_rest(const struct vm *vm)
{
	for (u32 i = 0; i < vm->vcpus; i++)
		if (vm->vcpu[i].entity.state != ENTITY_SLEEPING)
			return false;
	for (u32 i = 0; i < cpu_total; i++)
		if (__atomic_load_n(&cpus[i].space, __ATOMIC_SEQ_CST) == &vm->space)
			return false;
	return vm->monitor.entity.state == ENTITY_SLEEPING;
}

/* ---- the audit ---- */

#define AUDIT_BUDGET 2048u

static struct audit_state audit;
static struct audit_vm audited_vm;
static struct audit_host audited_host;

static void audit_found(void *context, const char *what, u64 owner, u64 where)
{
	(void)context;
	log_line("audit: %s (owner %lu, frame %lx)", what, owner, where);
}

/* One slice of the audit of the host with `vm` (NULL: no VM is left); false: over. A finding is a bug of ours. */
static bool audit_slice(struct vm *vm)
{
	if (!audit.host) {
		if (vm)
			audited_vm = (struct audit_vm){ .pmap = &vm->pmap, .view = { &vm->nested, &vm->space.window }, .view_count = 2 };
		audited_host = (struct audit_host){ .alloc = &mm.alloc, .pool = &mm.pool, .vm = &audited_vm, .vm_count = vm ? 1 : 0,
						    .quiet = !vm };
		audit_begin(&audit, &audited_host, audit_found, NULL);
	}
	if (audit_step(&audit, AUDIT_BUDGET))
		return true;
	if (audit.findings)
		panic("the audit found %lu faults", audit.findings);
	const u64 *kind = audit.ledger.kind;
	log_line("audit: clean; frames: guest %lu private %lu tables %lu pool %lu image %lu boot %lu free %lu", kind[FRAME_GUEST],
		 kind[FRAME_PRIVATE], kind[FRAME_TABLE], kind[FRAME_POOL], kind[FRAME_IMAGE], kind[FRAME_BOOT],
		 kind[FRAME_FREE] + kind[FRAME_SCRUBBING]);
	audit.host = NULL;
	return false;
}

/* One slice; false: nothing of it is left. Views first, then what they named. */
static bool take_apart(struct vm *vm)
{
	SETTLEMENT(s, &mm.settler);
	u64 done = 0;
	bool more = true;
	if (vm->reaping == REAP_AUDIT || vm->reaping == REAP_AUDIT_EMPTY) {
		if (!audit_slice(vm->reaping == REAP_AUDIT ? vm : NULL))
			vm->reaping++;
		return true;
	}
	/* A VM that ended before its images were copied. */
	if (vm->reaping == REAP_MEMORY && __atomic_exchange_n(&vm->modules_left, 0, __ATOMIC_SEQ_CST))
		monitor_free_modules(vm);
	lock_take(&vm->pmap.lock);
	status r = OK;
	if (vm->reaping == REAP_NESTED)
		r = ptview_destroy(&vm->nested, &s);
	else if (vm->reaping == REAP_WINDOW)
		r = ptview_destroy(&vm->space.window, &s);
	else if (vm->reaping == REAP_MEMORY)
		r = pmap_release(&vm->pmap, gfn(0), MON_WINDOW_SIZE >> PAGE_SHIFT, REAP_BUDGET, &s, &done);
	else if (vm->reaping == REAP_PRIVATE)
		r = vm_release_private(vm, REAP_BUDGET / 16, &s) ? AGAIN : OK;
	else if (vm->reaping == REAP_PMAP)
		pmap_destroy(&vm->pmap);
	else
		more = false;
	lock_give(&vm->pmap.lock);
	settle(&s);
	CHECK(r == OK || r == AGAIN);
	if (r == OK && more)
		vm->reaping++;
	return more;
}

static void log_statistics(const struct vm *vm)
{
	log_line("stats: exits=%lu scrub-instructions=%lu scrubbed-frames=%lu guest-ticks=%lu", exits_of(vm), slots_scrub_ticks,
		 slots_scrubbed, tsc_now() - vm->started);
	for (u32 k = 0; k < EXIT_KINDS; k++) {
		u64 count = 0;
		for (u32 i = 0; i < vm->vcpus; i++)
			count += vm->vcpu[i].exits[k];
		if (count)
			log_line("stats: exits-%s=%lu", exit_name(k), count);
	}
}

/* The last VM is gone: the host's frames must all be home. */
_Noreturn static void host_end(struct vm *vm)
{
	log_line("end: %s %s", vm->name, vm->ending);
	power_off();
}

bool vms_reap(struct cpu *c)
{
	(void)c;
	struct vm *vm = &vms[0];
	if (vm->state != VM_ENDING || !at_rest(vm) || __atomic_exchange_n(&vm->reaper, 1, __ATOMIC_SEQ_CST))
		return false;
	timer_set(&vm->monitor.timer, TIMER_NEVER);
	for (u32 i = 0; i < vm->vcpus; i++)
		timer_set(&vm->vcpu[i].timer, TIMER_NEVER);
	if (vm->reaping == REAP_AUDIT && !audit.host)
		log_statistics(vm);
	if (!take_apart(vm)) {
		vm->state = VM_ENDED;
		host_end(vm);
	}
	__atomic_store_n(&vm->reaper, 0, __ATOMIC_SEQ_CST);
	return true;
}
