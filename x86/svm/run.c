/*
 * run: one entry and one exit.
 *
 *   before   registers and the event to deliver go into the VMCB; the tag and what to flush were decided by the caller
 *   switch   asm/svm.S
 *   after    registers come out; an event whose delivery the exit interrupted is kept, to be delivered again; the exit
 *            code becomes an exit_kind by table
 */
#include "core/pmap.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/regs.h"
#include "x86/svm/svm.h"

#define VECTORS_WITH_ERROR (BIT(VECTOR_DF) | BIT(VECTOR_TS) | BIT(VECTOR_NP) | BIT(VECTOR_SS) | BIT(VECTOR_GP) | \
				     BIT(VECTOR_PF) | BIT(VECTOR_AC))

/* exit kind + 1, so that 0 is "unknown" */
#define KIND(kind) ((u8)((kind) + 1))
static const u8 kinds[VMEXIT_CODES] = {
	[VMEXIT_CR0_WRITE + 4] = KIND(EXIT_CR), [VMEXIT_CR0_READ + 8] = KIND(EXIT_CR), [VMEXIT_CR0_WRITE + 8] = KIND(EXIT_CR),
	[VMEXIT_EXCEPTION + VECTOR_DB] = KIND(EXIT_EXCEPTION), [VMEXIT_EXCEPTION + VECTOR_AC] = KIND(EXIT_EXCEPTION),
	[VMEXIT_EXCEPTION + VECTOR_MC] = KIND(EXIT_MACHINE_CHECK),
	[VMEXIT_INTR] = KIND(EXIT_INTERRUPT), [VMEXIT_NMI] = KIND(EXIT_NMI), [VMEXIT_SMI] = KIND(EXIT_INTERRUPT),
	[VMEXIT_INIT] = KIND(EXIT_INTERRUPT), [VMEXIT_VINTR] = KIND(EXIT_WINDOW), [VMEXIT_RDPMC] = KIND(EXIT_PRIVILEGED),
	[VMEXIT_CPUID] = KIND(EXIT_CPUID), [VMEXIT_RSM] = KIND(EXIT_UNDEFINED), [VMEXIT_IRET] = KIND(EXIT_NMI_WINDOW),
	[VMEXIT_INVD] = KIND(EXIT_WBINVD), [VMEXIT_WBINVD] = KIND(EXIT_WBINVD), [VMEXIT_PAUSE] = KIND(EXIT_PAUSE),
	[VMEXIT_HLT] = KIND(EXIT_HLT), [VMEXIT_IO] = KIND(EXIT_IO), [VMEXIT_MSR] = KIND(EXIT_MSR),
	[VMEXIT_SHUTDOWN] = KIND(EXIT_SHUTDOWN), [VMEXIT_VMMCALL] = KIND(EXIT_HYPERCALL), [VMEXIT_XSETBV] = KIND(EXIT_XSETBV),
	[VMEXIT_INVLPGA] = KIND(EXIT_UNDEFINED), [VMEXIT_VMRUN] = KIND(EXIT_UNDEFINED), [VMEXIT_VMLOAD] = KIND(EXIT_UNDEFINED),
	[VMEXIT_VMSAVE] = KIND(EXIT_UNDEFINED), [VMEXIT_STGI] = KIND(EXIT_UNDEFINED), [VMEXIT_CLGI] = KIND(EXIT_UNDEFINED),
	[VMEXIT_SKINIT] = KIND(EXIT_UNDEFINED), [VMEXIT_MONITOR] = KIND(EXIT_UNDEFINED), [VMEXIT_MWAIT] = KIND(EXIT_UNDEFINED),
	[VMEXIT_MWAIT_ARMED] = KIND(EXIT_UNDEFINED), [VMEXIT_RDPRU] = KIND(EXIT_UNDEFINED),
};

u32 svm_clean;

bool svm_open(const struct guest_cpu *g)
{
	return g->rflags & RFLAGS_IF && !g->shadow && !g->event.valid;
}

static u64 encode_event(const struct event *e)
{
	return EVENT_VALID | e->vector | (u64)e->type << 8 | (e->has_error ? EVENT_ERROR | (u64)e->error << 32 : 0);
}

/* INT n, INT3 and INTO are executed again instead: RIP still names them. */
static bool comes_again_by_itself(u32 type, u32 vector)
{
	return type == EVENT_OF_SOFTWARE || (type == EVENT_OF_EXCEPTION && (vector == VECTOR_BP || vector == VECTOR_OF));
}

static void keep_interrupted_event(struct guest_cpu *g, u64 info)
{
	u32 type = EVENT_TYPE(info), vector = EVENT_VECTOR(info);
	if (comes_again_by_itself(type, vector))
		return;
	g->event = (struct event){ .valid = true, .type = (u8)type, .vector = (u8)vector,
				   .has_error = info & EVENT_ERROR, .error = (u32)(info >> 32) };
}

/* Exits as soon as the guest can take an interrupt, or has ended its NMI handler. */
static void set_windows(struct vmcb *b, struct guest_cpu *g)
{
	u32 intercepts = b->intercepts1 & ~(u32)(INTERCEPT_VINTR | INTERCEPT_IRET);
	intercepts |= (g->want.interrupt ? INTERCEPT_VINTR : 0) | (g->want.nmi ? INTERCEPT_IRET : 0);
	vmcb_set_intercepts1(b, intercepts);
	vmcb_set_virtual_interrupt(b, VINTR_MASKING | (g->want.interrupt ? VINTR_IRQ | VINTR_IGNORE_TPR : 0));
	g->have = g->want;
}

static void set_event(struct vmcb *b, struct guest_cpu *g)
{
	b->event_injection = encode_event(&g->event);
	g->nmi_blocked |= g->event.type == EVENT_OF_NMI;
	g->event.valid = false;
}

/* A new tag may mean another processor, whose cache of this VMCB is older than the clean bits know (APM vol. 2, 15.15.2). */
static void set_tag(struct vmcb *b, const struct guest_cpu *g)
{
	b->asid = g->tag.number;
	b->clean = 0;
	b->tlb_control = g->flush == TAG_WRAP ? TLB_FLUSH_ALL : g->flush == TAG_FLUSH ? TLB_FLUSH_ASID : TLB_KEEP;
}

static void read_nested(struct guest_cpu *g, const struct vmcb *b)
{
	u64 code = b->exit_info1;
	g->exit.nested.at = gpa(b->exit_info2);
	g->exit.nested.access = code & NPF_FETCH ? PMAP_EXEC : code & NPF_WRITE ? PMAP_WRITE : PMAP_READ;
	g->exit.nested.table = code & NPF_TABLE;
}

static void read_io(struct guest_cpu *g, const struct vmcb *b)
{
	u32 info = (u32)b->exit_info1;
	g->exit.io.port = (u16)(info >> IOIO_PORT_SHIFT);
	g->exit.io.size = (u8)((info & IOIO_SIZE_MASK) >> IOIO_SIZE_SHIFT);
	g->exit.io.in = info & IOIO_IN;
	g->exit.io.string = info & IOIO_STRING;
	g->exit.io.next_rip = b->exit_info2;
}

/* The details of the exits that have any. */
static enum exit_kind classify(struct guest_cpu *g, const struct vmcb *b)
{
	u32 code = (u32)b->exit_code;
	g->exit.code = code;
	if (code == VMEXIT_NPF) {
		read_nested(g, b);
		return EXIT_NESTED;
	}
	if (code >= VMEXIT_CODES)
		return code == VMEXIT_INVALID ? EXIT_INVALID : EXIT_UNKNOWN;
	if (code == VMEXIT_IO) {
		read_io(g, b);
	} else if (code == VMEXIT_MSR) {
		g->exit.msr_write = b->exit_info1 & 1;
	} else if (code - VMEXIT_EXCEPTION < VECTOR_EXCEPTIONS) {
		g->exit.exception.vector = (u8)(code - VMEXIT_EXCEPTION);
		g->exit.exception.has_error = VECTORS_WITH_ERROR >> g->exit.exception.vector & 1;
		g->exit.exception.error = (u32)b->exit_info1;
	}
	return kinds[code] ? (enum exit_kind)(kinds[code] - 1) : EXIT_UNKNOWN;
}

enum exit_kind svm_run(struct cpu *c, struct guest_cpu *g)
{
	struct vmcb *b = vmcb_of(g);

	b->rax = g->gpr[MON_RAX];
	b->rsp = g->gpr[MON_RSP];
	b->rip = g->rip;
	b->rflags = g->rflags;
	b->interrupt_shadow = g->shadow;
	b->event_injection = 0;
	if (__builtin_expect(g->event.valid, 0))
		set_event(b, g);
	if (__builtin_expect(g->want.interrupt != g->have.interrupt || g->want.nmi != g->have.nmi, 0))
		set_windows(b, g);
	if (__builtin_expect(g->flush != TAG_KEEP, 0))
		set_tag(b, g);

	svm_switch(g->gpr, g->area_hpa.v, c->host_vmcb.v);

	b->tlb_control = TLB_KEEP;
	b->clean = svm_clean;
	g->gpr[MON_RAX] = b->rax;
	g->gpr[MON_RSP] = b->rsp;
	g->rip = b->rip;
	g->rflags = b->rflags;
	g->shadow = b->interrupt_shadow & 1;
	g->next_rip = features.nrip ? b->next_rip : 0;
	if (__builtin_expect(b->exit_int_info & EVENT_VALID, 0))
		keep_interrupted_event(g, b->exit_int_info);
	return classify(g, b);
}
