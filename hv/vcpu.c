/*
 * vcpu: the loop that a guest's time is spent in.
 *
 *   requests, interrupts -> entry protocol (core/view.h) -> tag (core/tag.h) -> run -> exit handler -> again
 *
 * It is left when the vCPU must wait, when its VM ends, or when the processor has something else to do.
 */
#include "core/bits.h"
#include "hv/hv.h"
#include "hv/point.h"
#include "x86/asm/insn.h"
#include "x86/cpu/regs.h"

#define FREQUENT __builtin_expect

/* Tells the host timer when the local APIC's timer wants to be looked at. */
void vcpu_timer_changed(struct vcpu *v)
{
	u64 deadline = lapic_deadline(&v->lapic), now = tsc_now(), left = deadline - min_u64(deadline, now + v->g->tsc_offset);
	v->timer_for = deadline;
	/* The guest's counter may be anywhere: only what is left has a meaning here. */
	timer_set(&v->timer, deadline == LAPIC_NO_DEADLINE ? TIMER_NEVER : now + min_u64(left, TIMER_NEVER - 1 - now));
}

void vcpu_reset(struct vcpu *v)
{
	backend->init(v->g, frame_hpa(v->entity.vm->nested.table.root));
	v->nmi_pending = v->iret_step = v->eoi_lent = v->kicked = false;
	v->iret_rip = v->eoi_flag = 0;
	v->steal = (struct steal){ .msr = 0 };
}

/* SDM vol. 3, table 9-1: INIT leaves the extended state and these MSRs alone; the debug registers it clears. */
void vcpu_init(struct vcpu *v)
{
	static const u32 kept[] = { MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK, MSR_KERNEL_GS_BASE, MSR_SYSENTER_CS,
				    MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_PAT };
	u64 value[ARRAY_SIZE(kept)];
	for (u32 i = 0; i < ARRAY_SIZE(kept); i++)
		value[i] = backend->read_msr(v->g, kept[i]);
	vcpu_reset(v);
	for (u32 i = 0; i < ARRAY_SIZE(kept); i++)
		backend->write_msr(v->g, kept[i], value[i]);
	backend_clear_debug(v->g);
}

/* What must be judged before each entry besides interrupts; false: the vCPU cannot run. */
static bool may_run(struct vcpu *v)
{
	u32 requests = v->requests;
	/* What the monitor holds stays as it is until it has answered. */
	if (FREQUENT(requests & REQUEST_WALK, 0)) {
		__atomic_fetch_and(&v->requests, ~(u32)REQUEST_WALK, __ATOMIC_SEQ_CST);
		operator_walk(v); /* it only looks: whoever holds the vCPU */
		requests = v->requests;
	}
	if (FREQUENT(requests != 0, 0) && !(v->blocked & (BLOCK_MONITOR | BLOCK_START)) && v->entity.vm->go) {
		requests = __atomic_exchange_n(&v->requests, 0, __ATOMIC_SEQ_CST);
		interrupts_requests(v, requests);
	}
	u32 blocked = v->blocked;
	if (FREQUENT(blocked == 0, 1))
		return true;
	if (blocked == BLOCK_HALT && interrupts_wake(v)) {
		__atomic_fetch_and(&v->blocked, ~(u32)BLOCK_HALT, __ATOMIC_SEQ_CST);
		v->kicked = false;
		return true;
	}
	return false;
}

/* Nothing pending anywhere, which is nearly always: one look at each source. */
static inline bool interrupts_quiet(const struct vcpu *v, const struct vm *vm)
{
	return !(v->lapic.look | vm->monitor.pic | v->nmi_pending | v->g->nmi_blocked);
}

/* Entry, exit. The nested view is entered in the order that settlement relies on. */
static enum exit_kind enter(struct cpu *c, struct vcpu *v)
{
	struct guest_cpu *g = v->g;
	struct view *view = &v->entity.vm->nested.view;
	u64 generation = view_enter(view, c->id);
	g->flush = (u8)tag_take(&c->tagger, &g->tag, c->id, generation);
	view_flushed(view, c->id, generation);
	enum exit_kind kind = backend->run(c, g);
	view_leave(view, c->id);
	if (FREQUENT(kind == EXIT_INVALID, 0))
		c->tagger.next = c->tagger.limit; /* what it was to flush may not have been: the next tag comes with a flush of all */
	return kind;
}

enum turn vcpu_turn(struct cpu *c, struct entity *e)
{
	struct vcpu *v = vcpu_of(e);
	struct vm *vm = e->vm;
	write_cr2(backend->read_cr(v->g, 2)); /* Bochs' VMRUN leaves it as another machine or the monitor had it (docs/svm.md) */
	if (FREQUENT(v->steal.msr != 0, 0) && !paravirt_resume(v))
		return vm->go ? TURN_YIELD : TURN_SLEEP;
	for (;;) {
		if (FREQUENT(c->events != 0, 0) && sched_events(c))
			return paravirt_yield(v);
		if (!may_run(v) || FREQUENT(!vm->go, 0))
			return TURN_SLEEP;
		v->g->want.interrupt = false;
		if (FREQUENT(!interrupts_quiet(v, vm), 0))
			interrupts_prepare(v);
		at_hv_point(v, HV_POINT_ENTRY);
		if (FREQUENT(c->events != 0, 0)) {
			if (v->eoi_lent)
				interrupts_take_eoi(v); /* what comes before the entry may be an interrupt that must wait for this end */
			continue; /* what came in the lines above, some of which take interrupts, is not slept over in the guest */
		}
		enum exit_kind kind = enter(c, v);
		at_hv_point(v, HV_POINT_EXIT);
		v->exits[kind]++;
		if (FREQUENT(v->eoi_lent, 0))
			interrupts_take_eoi(v);
		enum action then = exit_handle(v, kind);
		if (FREQUENT(then != ACTION_RESUME, 0))
			return then == ACTION_YIELD ? paravirt_yield(v) : TURN_SLEEP;
	}
}
