/*
 * endings: a machine is over. Whoever notices claims the ending; its entities leave at their next look; then its keeper takes it apart in
 * slices, and all its frames come home by settlement.
 */
#include <stdarg.h>

#include "core/audit.h"
#include "core/bits.h"
#include "hv/hv.h"
#include "x86/boot/boot.h"
#include "x86/cpu/format.h"
#include "x86/cpu/log.h"
#include "x86/mm/slots.h"

/* A slice: one large leaf or some small ones; private frames. */
#define REAP_BUDGET 32u
#define PRIVATE_BUDGET 8u

u64 vm_exits_of(const struct vm *vm, enum exit_kind kind)
{
	u64 sum = 0;
	for (u32 i = 0; i < vm->vcpus; i++)
		sum += vm->vcpu[i].exits[kind];
	return sum;
}

u64 vm_exits(const struct vm *vm)
{
	u64 sum = 0;
	for (u32 k = 0; k < EXIT_KINDS; k++)
		sum += vm_exits_of(vm, k);
	return sum;
}

void vm_end(struct vm *vm, enum machine_reset then, const char *format, ...)
{
	va_list arguments;
	if (__atomic_exchange_n(&vm->end_claimed, 1, __ATOMIC_SEQ_CST))
		return;
	vm->restart = then == RESET_RESTART;
	va_start(arguments, format);
	format_arguments(vm->ending, sizeof vm->ending, format, arguments);
	va_end(arguments);
	vm_become(vm, VM_ENDING);
	vm_wake(vm);
	sched_wake(&vm->keeper);
}

/* ---- the record of a guest that was ended ---- */

static void log_segment(const char *name, const struct mon_segment *s)
{
	log_line("  %s %x base %lx limit %x attributes %x", name, s->selector, s->base, s->limit, s->attributes);
	interrupts_take(); /* lines are long */
}

void vm_record(struct vcpu *v)
{
	struct mon_vcpu s;
	backend->get(v->g, &s);
	log_line("record of %s, vCPU %u: exit %x", v->entity.vm->definition->name, v->id, v->g->exit.code);
	log_line("  rip %lx rflags %lx cpl %u", s.rip, s.rflags, s.cpl);
	for (u32 i = 0; i < MON_GPRS; i += 4) {
		interrupts_take();
		log_line("  r%u..: %lx %lx %lx %lx", i, s.gpr[i], s.gpr[i + 1], s.gpr[i + 2], s.gpr[i + 3]);
	}
	log_line("  cr0 %lx cr2 %lx cr3 %lx cr4 %lx efer %lx", s.cr0, s.cr2, s.cr3, s.cr4, s.efer);
	log_segment("cs", &s.cs);
	log_segment("ss", &s.ss);
	log_segment("ds", &s.ds);
	log_segment("tr", &s.tr);
	log_segment("gdtr", &s.gdtr);
	log_segment("idtr", &s.idtr);
}

enum action vm_kill(struct vcpu *v, const char *format, ...)
{
	char why[128];
	va_list arguments;
	va_start(arguments, format);
	format_arguments(why, sizeof why, format, arguments);
	va_end(arguments);
	vm_record(v);
	vm_end(v->entity.vm, RESET_END, "killed: %s", why);
	return ACTION_SLEEP;
}

void vm_mark(struct vm *vm, u64 value)
{
	log_line("mark %lu exits=%lu scrub-instructions=%lu vm=%s busy-ticks=%lu", value, vm_exits(vm), slots_scrub_ticks, vm->definition->name,
		 vm->share.busy);
}

/* ---- taking apart ---- */

static bool at_rest(const struct vm *vm)
{
	for (u32 i = 0; i < vm->vcpus; i++)
		if (vm->vcpu[i].entity.state != ENTITY_SLEEPING)
			return false;
	if (vm->monitor.entity.state != ENTITY_SLEEPING) /* before the spaces: it may just be linking its own */
		return false;
	for (u32 i = 0; i < cpu_total; i++)
		if (__atomic_load_n(&cpus[i].space, __ATOMIC_SEQ_CST) == &vm->space)
			return false;
	return true;
}

static void log_statistics(const struct vm *vm)
{
	log_line("stats: vm=%s exits=%lu guest-ticks=%lu busy-ticks=%lu started-tick=%lu", vm->definition->name, vm_exits(vm),
		 tsc_now() - vm->started, vm->share.busy, vm->started);
	interrupts_take();
	log_line("stats: scrub-instructions=%lu scrubbed-frames=%lu", slots_scrub_ticks, slots_scrubbed);
	for (u32 k = 0; k < EXIT_KINDS; k++) {
		u64 count = vm_exits_of(vm, k);
		if (count)
			log_line("stats: exits-%s=%lu", exit_name(k), count);
		interrupts_take();
	}
}

/* ---- its parts, views first, then what they named ---- */

/* false: nothing of this part is left. */
static bool release(struct vm *vm)
{
	SETTLEMENT(s, &mm.settler);
	u64 done = 0;
	status r = OK;
	lock_take(&vm->pmap.lock);
	if (vm->reaping == REAP_NESTED)
		r = ptview_destroy(&vm->nested, &s);
	else if (vm->reaping == REAP_WINDOW)
		r = ptview_destroy(&vm->space.window, &s);
	else if (vm->reaping == REAP_MEMORY)
		r = pmap_release(&vm->pmap, gfn(0), MON_WINDOW_SIZE >> PAGE_SHIFT, REAP_BUDGET, &s, &done);
	else if (vm->reaping == REAP_PRIVATE)
		r = vm_release_private(vm, PRIVATE_BUDGET, &s) ? AGAIN : OK;
	else
		pmap_destroy(&vm->pmap);
	lock_give(&vm->pmap.lock);
	settle(&s);
	CHECK(r == OK || r == AGAIN);
	return r == AGAIN;
}

static bool audit_more(void)
{
	const struct audit_state *audit;
	if (audit_slice(&audit))
		return true;
	if (audit->findings)
		panic("the audit found %lu faults", audit->findings);
	const u64 *kind = audit->ledger.kind;
	log_line("audit: clean; frames: guest %lu private %lu tables %lu pool %lu image %lu boot %lu free %lu", kind[FRAME_GUEST],
		 kind[FRAME_PRIVATE], kind[FRAME_TABLE], kind[FRAME_POOL], kind[FRAME_IMAGE], kind[FRAME_BOOT],
		 kind[FRAME_FREE] + kind[FRAME_SCRUBBING]);
	return false;
}

static bool wait_for_rest(struct vm *vm)
{
	if (!at_rest(vm))
		return true;
	timer_set(&vm->monitor.timer, TIMER_NEVER);
	timer_set(&vm->monitor.watch, TIMER_NEVER);
	for (u32 i = 0; i < vm->vcpus; i++)
		timer_set(&vm->vcpu[i].timer, TIMER_NEVER);
	log_statistics(vm);
	return false;
}

/* What a part asks before it begins. */
static void begin(struct vm *vm)
{
	if (vm->reaping == REAP_AUDIT)
		audit_start(NULL);
	else if (vm->reaping == REAP_GONE && vm->definition->reset == RESET_END && vm->definition->start == START_YES && !vm_starts_again(vm))
		modules_drop(vm, USE_ALL);
	if (vm->reaping == REAP_GONE)
		audit_start(vm);
}

bool vm_take_apart(struct vm *vm)
{
	bool more;
	if (vm->reaping == REAP_REST)
		more = wait_for_rest(vm);
	else if (vm->reaping == REAP_CLAIM)
		more = !audit_claim(vm);
	else if (vm->reaping == REAP_AUDIT || vm->reaping == REAP_GONE)
		more = audit_more();
	else if (vm->reaping == REAP_POOL)
		more = mm_shrink_pool();
	else
		more = release(vm);
	if (more)
		return true;
	vm->reaping++;
	begin(vm);
	if (vm->reaping != REAP_DONE)
		return true;
	audit_unclaim(vm);
	return false;
}
