/*
 * state: the guest's registers in the VMCB, by the names that hv uses.
 */
#include "x86/cpu/cpu.h"
#include "x86/cpu/regs.h"
#include "x86/asm/insn.h"
#include "x86/mm/mm.h"
#include "x86/svm/svm.h"

#define ATTRIBUTES_MASK 0xfffu
#define CODE_LONG BIT(9)
#define CODE_32   BIT(10)
#define TYPE_READ_WRITE_DATA 0x93u
#define TYPE_READ_EXEC_CODE  0x9bu
#define TYPE_LDT 0x82u
#define TYPE_TSS 0x8bu /* busy, 32-bit */
#define PAT_RESET 0x0007040600070406ull
#define CR0_RESET (CR0_CD | CR0_NW | CR0_ET)
#define RESET_CS_BASE 0xffff0000u
#define RESET_IP 0xfff0u

/* So many PAUSEs since the entry: a loop that waits. */
#define PAUSE_COUNT 3000u

static void set_controls(struct vmcb *b)
{
	b->cr_read = BIT(8);
	b->cr_write = BIT(4) | BIT(8);
	b->exceptions = BIT(VECTOR_DB) | BIT(VECTOR_AC) | BIT(VECTOR_MC);
	b->intercepts1 = INTERCEPT_INTR | INTERCEPT_NMI | INTERCEPT_SMI | INTERCEPT_INIT | INTERCEPT_RDPMC |
			 INTERCEPT_CPUID | INTERCEPT_RSM | INTERCEPT_INVD | INTERCEPT_HLT |
			 INTERCEPT_INVLPGA | INTERCEPT_IO | INTERCEPT_MSR | INTERCEPT_SHUTDOWN;
	b->intercepts2 = INTERCEPT_VMRUN | INTERCEPT_VMMCALL | INTERCEPT_VMLOAD | INTERCEPT_VMSAVE | INTERCEPT_STGI |
			 INTERCEPT_CLGI | INTERCEPT_SKINIT | INTERCEPT_WBINVD | INTERCEPT_MONITOR | INTERCEPT_MWAIT |
			 INTERCEPT_MWAIT_ARMED | INTERCEPT_XSETBV | INTERCEPT_RDPRU;
	/* Without a filter every PAUSE would exit, and most waits are short: then none does. */
	b->intercepts1 |= features.pause_filter ? INTERCEPT_PAUSE : 0;
	b->pause_count = PAUSE_COUNT;
	b->iopm_base = image_hpa(svm_io_map).v;
	b->msrpm_base = image_hpa(svm_msr_map).v;
	b->virtual_interrupt = VINTR_MASKING;
	b->nested_control = 1;
}

/* APM vol. 2, table 14-1: the processor after reset. */
static void set_reset_state(struct vmcb *b)
{
	struct vmcb_segment data = { .limit = 0xffff, .attributes = TYPE_READ_WRITE_DATA };
	b->es = b->ss = b->ds = b->fs = b->gs = data;
	b->cs = (struct vmcb_segment){ .selector = 0xf000, .base = RESET_CS_BASE, .limit = 0xffff, .attributes = TYPE_READ_EXEC_CODE };
	b->ldtr = (struct vmcb_segment){ .limit = 0xffff, .attributes = TYPE_LDT };
	b->tr = (struct vmcb_segment){ .limit = 0xffff, .attributes = TYPE_TSS };
	b->gdtr = b->idtr = (struct vmcb_segment){ .limit = 0xffff };
	b->cpl = 0;
	b->cr0 = CR0_RESET;
	b->cr3 = b->cr4 = b->cr2 = 0;
	b->dr6 = DR6_RESET;
	b->dr7 = DR7_RESET;
	b->efer = EFER_SVME; /* VMRUN demands it; guests never see it */
	b->g_pat = PAT_RESET;
	b->star = b->lstar = b->cstar = b->sfmask = b->kernel_gs_base = 0;
	b->sysenter_cs = b->sysenter_esp = b->sysenter_eip = 0;
}

void svm_init_state(struct guest_cpu *g, hpa_t nested_root)
{
	struct vmcb *b = vmcb_of(g);
	set_controls(b);
	set_reset_state(b);
	b->nested_cr3 = nested_root.v;
	b->tsc_offset = g->tsc_offset;
	b->clean = 0;
	__builtin_memset(g->gpr, 0, sizeof g->gpr);
	g->gpr[MON_RDX] = cpuid(1, 0).eax; /* the processor's signature */
	g->rip = RESET_IP;
	g->rflags = RFLAGS_ONE;
	g->event.valid = g->shadow = g->nmi_blocked = false;
	g->want = g->have = (struct windows){ .interrupt = false };
	tag_forget(&g->tag);
}

static struct gwalk_registers paging_registers(const struct guest_cpu *g)
{
	const struct vmcb *b = vmcb_of(g);
	return (struct gwalk_registers){ .cr0 = b->cr0, .cr3 = b->cr3, .cr4 = b->cr4, .efer = b->efer, .rflags = g->rflags };
}

void svm_mode(const struct guest_cpu *g, struct guest_mode *m)
{
	const struct vmcb *b = vmcb_of(g);
	m->paging = paging_registers(g);
	m->cpl = b->cpl;
	m->cs_base = b->cs.base;
	if (b->efer & EFER_LMA && b->cs.attributes & CODE_LONG) {
		m->bits = 64;
		m->cs_base = 0;
	} else {
		m->bits = b->cr0 & CR0_PE && !(g->rflags & RFLAGS_VM) && b->cs.attributes & CODE_32 ? 32 : 16;
	}
}

/* ---- whole states, for the monitor ---- */

static struct mon_segment segment_out(const struct vmcb_segment *s)
{
	return (struct mon_segment){ .selector = s->selector, .attributes = s->attributes, .limit = s->limit, .base = s->base };
}

static struct vmcb_segment segment_in(const struct mon_segment *s)
{
	return (struct vmcb_segment){ .selector = s->selector, .attributes = s->attributes & ATTRIBUTES_MASK, .limit = s->limit,
				      .base = s->base };
}

void svm_get(const struct guest_cpu *g, struct mon_vcpu *v)
{
	const struct vmcb *b = vmcb_of(g);
	__builtin_memcpy(v->gpr, g->gpr, sizeof v->gpr);
	v->rip = g->rip;
	v->rflags = g->rflags;
	v->cr0 = b->cr0;
	v->cr2 = b->cr2;
	v->cr3 = b->cr3;
	v->cr4 = b->cr4;
	v->efer = b->efer & ~(u64)EFER_SVME;
	v->es = segment_out(&b->es);
	v->cs = segment_out(&b->cs);
	v->ss = segment_out(&b->ss);
	v->ds = segment_out(&b->ds);
	v->fs = segment_out(&b->fs);
	v->gs = segment_out(&b->gs);
	v->ldtr = segment_out(&b->ldtr);
	v->tr = segment_out(&b->tr);
	v->gdtr = segment_out(&b->gdtr);
	v->idtr = segment_out(&b->idtr);
	v->cpl = b->cpl;
	v->interrupt_shadow = g->shadow;
}

/* VMRUN judges the rest (APM 15.5.1): a state that it refuses ends the VM, which asked for it. */
static bool state_is_possible(const struct mon_vcpu *v)
{
	u64 cr4_allowed = CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE | CR4_OSFXSR |
			  CR4_OSXMMEXCPT | CR4_FSGSBASE | CR4_OSXSAVE | CR4_SMEP | CR4_SMAP | CR4_UMIP;
	u64 efer_allowed = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_FFXSR;
	return !(v->cr4 & ~cr4_allowed) && !(v->efer & ~efer_allowed) && !(v->cr0 >> 32) && v->cpl <= 3;
}

status svm_set(struct guest_cpu *g, const struct mon_vcpu *v)
{
	struct vmcb *b = vmcb_of(g);
	if (!state_is_possible(v))
		return DENIED;
	__builtin_memcpy(g->gpr, v->gpr, sizeof g->gpr);
	g->rip = v->rip;
	g->rflags = v->rflags | RFLAGS_ONE;
	g->shadow = v->interrupt_shadow & 1;
	b->cr0 = v->cr0;
	b->cr2 = v->cr2;
	b->cr3 = v->cr3;
	b->cr4 = v->cr4;
	b->efer = v->efer | EFER_SVME;
	b->es = segment_in(&v->es);
	b->cs = segment_in(&v->cs);
	b->ss = segment_in(&v->ss);
	b->ds = segment_in(&v->ds);
	b->fs = segment_in(&v->fs);
	b->gs = segment_in(&v->gs);
	b->ldtr = segment_in(&v->ldtr);
	b->tr = segment_in(&v->tr);
	b->gdtr = segment_in(&v->gdtr);
	b->idtr = segment_in(&v->idtr);
	b->cpl = (u8)v->cpl;
	b->clean = 0;
	tag_forget(&g->tag); /* translations of the former CR3 and CR4 */
	return OK;
}

/* ---- one register at a time ---- */

u64 svm_read_cr(const struct guest_cpu *g, u32 n)
{
	const struct vmcb *b = vmcb_of(g);
	switch (n) {
	case 0: return b->cr0;
	case 2: return b->cr2;
	case 3: return b->cr3;
	default: return b->cr4;
	}
}

/* A processor forgets translations when CR4 changes (APM vol. 2, 5.5.2): the vCPU takes a fresh tag. */
void svm_write_cr(struct guest_cpu *g, u32 n, u64 value)
{
	if (n == 2) {
		vmcb_set_cr2(vmcb_of(g), value);
		return;
	}
	vmcb_set_cr4(vmcb_of(g), value);
	tag_forget(&g->tag);
}

void svm_write_efer(struct guest_cpu *g, u64 value)
{
	vmcb_set_efer(vmcb_of(g), value | EFER_SVME);
	tag_forget(&g->tag);
}

/* Where an MSR lives in the VMCB; NULL: it does not. */
static u64 *msr_field(struct vmcb *b, u32 msr)
{
	switch (msr) {
	case MSR_FS_BASE: return &b->fs.base;
	case MSR_GS_BASE: return &b->gs.base;
	case MSR_KERNEL_GS_BASE: return &b->kernel_gs_base;
	case MSR_STAR: return &b->star;
	case MSR_LSTAR: return &b->lstar;
	case MSR_CSTAR: return &b->cstar;
	case MSR_SFMASK: return &b->sfmask;
	case MSR_SYSENTER_CS: return &b->sysenter_cs;
	case MSR_SYSENTER_ESP: return &b->sysenter_esp;
	case MSR_SYSENTER_EIP: return &b->sysenter_eip;
	case MSR_PAT: return &b->g_pat;
	case MSR_EFER: return &b->efer;
	default: return NULL;
	}
}

u64 svm_read_msr(const struct guest_cpu *g, u32 msr)
{
	u64 *field = msr_field(vmcb_of(g), msr);
	CHECK(field);
	return msr == MSR_EFER ? *field & ~(u64)EFER_SVME : *field;
}

void svm_write_msr(struct guest_cpu *g, u32 msr, u64 value)
{
	u64 *field = msr_field(vmcb_of(g), msr);
	CHECK(field && msr != MSR_EFER);
	*field = value;
	vmcb_of(g)->clean = 0;
}

u64 svm_read_dr(const struct guest_cpu *g, u32 n)
{
	return n == 6 ? vmcb_of(g)->dr6 : vmcb_of(g)->dr7;
}

void svm_write_dr(struct guest_cpu *g, u32 n, u64 value)
{
	if (n == 6)
		vmcb_set_dr6(vmcb_of(g), value);
	else
		vmcb_set_dr7(vmcb_of(g), value);
}

void svm_write_tsc_offset(struct guest_cpu *g, u64 value)
{
	g->tsc_offset = value;
	vmcb_set_tsc_offset(vmcb_of(g), value);
}
