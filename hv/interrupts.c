/*
 * interrupts: from messages to the next entry.
 *
 *   I/O APIC, MSI (monitor) --+                                      +-- local APIC's vector --+
 *   IPI (another vCPU) -------+-> interrupt_message -> lapic, request -> interrupts_prepare -> the next entry's event, or a window
 *   timer --------------------+                                      +-- NMI, PIC ------------+
 */
#include "hv/hv.h"
#include "x86/cpu/regs.h"

#define DR6_BREAKPOINTS 0xfull

void interrupts_request(struct vcpu *v, u32 what)
{
	__atomic_fetch_or(&v->requests, what, __ATOMIC_SEQ_CST);
	sched_wake(&v->entity);
}

void interrupts_deliver(struct vcpu *v, const struct lapic_message *m)
{
	switch (m->kind) {
	case LAPIC_FIXED:
	case LAPIC_LOWEST:
		lapic_post(&v->lapic, m->vector, m->level);
		sched_wake(&v->entity);
		break;
	case LAPIC_NMI:
		interrupts_request(v, REQUEST_NMI);
		break;
	case LAPIC_INIT:
		interrupts_request(v, REQUEST_INIT);
		break;
	case LAPIC_SIPI:
		v->sipi_vector = m->vector;
		interrupts_request(v, REQUEST_SIPI);
		break;
	case LAPIC_SMI:
	case LAPIC_RESERVED:
	case LAPIC_EXTINT:
		break;
	}
}

void interrupt_message(struct vm *vm, struct vcpu *sender, const struct lapic_message *m)
{
	const struct lapic *from = sender ? &sender->lapic : NULL;
	for (u32 i = 0; i < vm->vcpus; i++) {
		struct vcpu *v = &vm->vcpu[i];
		if (!lapic_matches(&v->lapic, from, m))
			continue;
		if (m->kind == LAPIC_LOWEST && !lapic_enabled(&v->lapic))
			continue;
		interrupts_deliver(v, m);
		if (m->kind == LAPIC_LOWEST)
			return;
	}
}

static void ops_send(void *context, const struct lapic_message *m)
{
	struct vcpu *v = context;
	interrupt_message(v->entity.vm, v, m);
}

static void ops_eoi(void *context, u8 vector)
{
	struct vcpu *v = context;
	monitor_post_eoi(v->entity.vm, vector);
}

const struct lapic_ops lapic_ops = { .send = ops_send, .eoi = ops_eoi };

/* ---- requests that other processors left ---- */

void interrupts_requests(struct vcpu *v, u32 requests)
{
	if (requests & REQUEST_TIMER) {
		lapic_timer(&v->lapic, vcpu_tsc(v));
		vcpu_timer_changed(v);
	}
	if (requests & REQUEST_NMI)
		v->nmi_pending = true;
	if (requests & REQUEST_KICK)
		v->kicked = true;
	if (requests & REQUEST_INIT) {
		vcpu_init(v);
		lapic_init(&v->lapic);
		__atomic_fetch_and(&v->blocked, ~(u32)BLOCK_HALT, __ATOMIC_SEQ_CST);
		if (v->id != 0)
			__atomic_fetch_or(&v->blocked, BLOCK_SIPI, __ATOMIC_SEQ_CST);
	}
	if (requests & REQUEST_SIPI && v->blocked & BLOCK_SIPI) {
		struct mon_vcpu state;
		backend->get(v->g, &state);
		state.cs.selector = (u16)(v->sipi_vector << 8);
		state.cs.base = (u64)v->sipi_vector << PAGE_SHIFT;
		state.rip = 0;
		CHECK(backend->set(v->g, &state) == OK);
		__atomic_fetch_and(&v->blocked, ~(u32)(BLOCK_SIPI | BLOCK_HALT), __ATOMIC_SEQ_CST);
	}
}

/* ---- into the guest ---- */

static bool pic_wants(struct vcpu *v)
{
	return v->id == 0 && v->entity.vm->monitor.pic & PIC_ASSERTED && lapic_accepts_extint(&v->lapic);
}

/* A request that has come since they were taken runs the vCPU's turn again: the sender's sched_wake sees to that. */
bool interrupts_wake(struct vcpu *v)
{
	if (v->nmi_pending || v->kicked)
		return true;
	return v->g->rflags & RFLAGS_IF && (lapic_deliverable(&v->lapic) >= 0 || pic_wants(v));
}

/* The NMI handler is over once the IRET at iret_rip has been executed. */
static void end_nmi(struct vcpu *v)
{
	struct guest_cpu *g = v->g;
	if (v->iret_rip && g->rip != v->iret_rip) {
		g->nmi_blocked = false;
		v->iret_rip = 0;
	}
}

/* An NMI waits behind an IRET that has not been executed: single-step it. IRET loads RFLAGS, so TF does not outlive it. */
static void step_iret(struct vcpu *v)
{
	if (v->iret_step || v->g->rflags & RFLAGS_TF)
		return;
	v->iret_step = true;
	v->g->rflags |= RFLAGS_TF;
}

/* The #DB of that step is ours. false: it is the guest's. */
bool interrupts_stepped(struct vcpu *v)
{
	u64 dr6 = backend->read_dr(v->g, 6);
	if (!(dr6 & (DR6_BS | DR6_BREAKPOINTS)) && (v->iret_step || v->g->rflags & RFLAGS_TF)) {
		dr6 |= DR6_BS; /* Bochs does not say why the exception came (docs/svm.md) */
		backend->write_dr(v->g, 6, dr6);
	}
	if (!v->iret_step || !(dr6 & DR6_BS))
		return false;
	v->iret_step = false;
	backend->write_dr(v->g, 6, dr6 & ~DR6_BS);
	return !(dr6 & DR6_BREAKPOINTS);
}

static void prepare_nmi(struct vcpu *v)
{
	struct guest_cpu *g = v->g;
	end_nmi(v);
	g->want.nmi = (g->nmi_blocked || (g->event.valid && g->event.type == EVENT_OF_NMI)) && !v->iret_rip;
	if (!v->nmi_pending)
		return;
	if (g->nmi_blocked) {
		if (v->iret_rip)
			step_iret(v);
		return;
	}
	if (g->event.valid || g->shadow)
		return;
	v->nmi_pending = false;
	g->event = (struct event){ .valid = true, .type = EVENT_OF_NMI, .vector = VECTOR_NMI };
	g->want.nmi = true; /* its handler may reach IRET without any other exit */
}

/* Called by the VM's end of INTA: the vector that the PIC said it would give. */
static void take_pic(struct vcpu *v)
{
	struct vm *vm = v->entity.vm;
	u32 pic = __atomic_exchange_n(&vm->monitor.pic, 0, __ATOMIC_SEQ_CST);
	if (!(pic & PIC_ASSERTED))
		return;
	v->g->event = (struct event){ .valid = true, .type = EVENT_OF_INTERRUPT, .vector = (u8)pic };
	monitor_post(vm, MON_ENTRY_PIC_ACK);
}

/*
 * KVM's paravirtual EOI. While nothing else waits, the vector that is being delivered may be ended by clearing a flag in guest memory;
 * after the next exit the flag is taken back, and tells. Both are one compare-and-exchange: the vCPU does not run meanwhile.
 */
#define EOI_FLAG_ENABLE 1ull

static void lend_eoi(struct vcpu *v, int vector)
{
	if (!(v->eoi_flag & EOI_FLAG_ENABLE) || lapic_is_level(&v->lapic, vector) || v->lapic.look || pic_wants(v))
		return;
	v->eoi_lent = window_exchange(NULL, gpa(v->eoi_flag & ~EOI_FLAG_ENABLE), sizeof(u32), 0, 1) == OK;
}

void interrupts_take_eoi(struct vcpu *v)
{
	v->eoi_lent = false;
	if (window_exchange(NULL, gpa(v->eoi_flag & ~EOI_FLAG_ENABLE), sizeof(u32), 1, 0) == AGAIN)
		lapic_end(&v->lapic); /* it was 0 already: the guest has ended the interrupt */
}

/*
 * STI; HLT with an interrupt pending: HLT would end at once. Done here, because an emulator may forget STI's shadow at the entry and
 * deliver the interrupt before HLT, which then waits for another. Any other instruction in the shadow is left to the processor.
 */
static bool passes_halt(struct vcpu *v)
{
	struct guest_cpu *g = v->g;
	struct guest_mode m;
	struct insn i;
	if (!g->shadow || !(g->rflags & RFLAGS_IF) || g->event.valid)
		return false;
	backend->mode(g, &m);
	if (m.cpl != 0 || instruction_decode(v, &i) != OK || i.id != INSN_HLT)
		return false;
	advance(v, g->rip + i.length);
	return backend->open(g);
}

void interrupts_prepare(struct vcpu *v)
{
	struct guest_cpu *g = v->g;
	if (v->nmi_pending || g->nmi_blocked)
		prepare_nmi(v);
	int vector = lapic_deliverable(&v->lapic);
	bool pic = vector < 0 && pic_wants(v);
	if (vector < 0 && !pic)
		return;
	if (!backend->open(g) && !passes_halt(v)) {
		g->want.interrupt = true;
		return;
	}
	if (pic) {
		take_pic(v);
		return;
	}
	g->event = (struct event){ .valid = true, .type = EVENT_OF_INTERRUPT, .vector = (u8)vector };
	lapic_accept(&v->lapic, vector);
	lend_eoi(v, vector);
	/* More may wait behind it. */
	g->want.interrupt = lapic_deliverable(&v->lapic) >= 0 || pic_wants(v);
}
