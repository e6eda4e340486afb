/*
 * msr: the model-specific registers of a guest, as one const table. An MSR that has no row is #GP, and is logged once.
 *
 * Handlers return OK, or FAULT for #GP; anything else runs the exit again. Those that every world switch swaps (FS_BASE, STAR, ...)
 * never come here.
 */
#include "core/bits.h"
#include "hv/hv.h"
#include "x86/asm/insn.h"
#include "x86/cpu/log.h"
#include "x86/cpu/regs.h"
#include "x86/decode.h"

#define MSR_KVM_WALL_CLOCK_OLD 0x11u
#define MSR_KVM_SYSTEM_TIME_OLD 0x12u
#define MSR_KVM_WALL_CLOCK 0x4b564d00u
#define MSR_KVM_SYSTEM_TIME 0x4b564d01u
#define MSR_KVM_STEAL_TIME 0x4b564d03u
#define MSR_KVM_PV_EOI 0x4b564d04u
#define PV_EOI_RESERVED 2ull
#define MSR_BIOS_SIGN 0x8bu
#define MSR_MTRR_FIX16K_80000 0x258u
#define MSR_MTRR_FIX16K_A0000 0x259u
#define MSR_MTRR_FIX4K_C0000 0x268u
#define MSR_MTRR_FIX4K_F8000 0x26fu
#define MSR_MCG_CTL 0x17bu
#define MSR_LAST_BRANCH_FIRST 0x1dbu
#define MSR_LAST_BRANCH_LAST 0x1deu
#define MSR_K7_EVNTSEL0 0xc0010000u
#define MSR_K7_PERFCTR3 0xc0010007u
#define MSR_TOP_MEM 0xc001001au
#define MSR_TOP_MEM2 0xc001001du
#define MSR_NB_CFG 0xc001001fu
#define MSR_MMIO_CONF_BASE 0xc0010058u
#define MSR_INT_PENDING 0xc0010055u
#define MSR_OSVW_LENGTH 0xc0010140u
#define MSR_OSVW_STATUS 0xc0010141u
#define MSR_LS_CFG 0xc0011020u
#define MSR_BU_CFG2 0xc001102au
#define MSR_MC0_CTL 0x400u
#define MSR_MC_LAST 0x47fu
#define MSR_PSTATE_LIMIT 0xc0010061u
#define MSR_PSTATE_STATUS 0xc0010063u
#define MSR_PATCH_LOADER 0xc0010020u

#define MTRR_CAP_FIXED BIT(8)
#define MTRR_CAP_WC BIT(10)
#define MTRR_DEF_FIXED BIT(10)
#define MTRR_DEF_VALID (MTRR_DEF_ENABLE | MTRR_DEF_FIXED | 0xffu)
#define MTRR_MASK_VALID BIT(11)
#define EFER_ALLOWED ((u64)(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_FFXSR))

struct msr_row {
	u32 first, last;
	status (*read)(struct vcpu *v, u32 msr, u64 *value);
	status (*write)(struct vcpu *v, u32 msr, u64 value); /* NULL: #GP */
};

/* ---- constants and what may be written without effect ---- */

static status read_zero(struct vcpu *v, u32 msr, u64 *value)
{
	(void)v, (void)msr;
	*value = 0;
	return OK;
}

static status write_ignored(struct vcpu *v, u32 msr, u64 value)
{
	(void)v, (void)msr, (void)value;
	return OK;
}

/* DE_CFG's is set on the host too (features.c); and the TSC counts with the frequency of P0, which the invariant one does. */
static status read_constant(struct vcpu *v, u32 msr, u64 *value)
{
	(void)v;
	*value = msr == MSR_MTRR_CAP ? MTRR_VARIABLE | MTRR_CAP_FIXED | MTRR_CAP_WC :
		 msr == MSR_DE_CFG ? DE_CFG_LFENCE_SERIALIZING : HWCR_TSC_FREQ_SEL;
	return OK;
}

/* ---- those that live in the VMCB ---- */

static status read_area(struct vcpu *v, u32 msr, u64 *value)
{
	*value = backend->read_msr(v->g, msr);
	return OK;
}

/* PAT: eight types, of which 2, 3 and above 7 are reserved (SDM 11.12.2). */
static status write_pat(struct vcpu *v, u32 msr, u64 value)
{
	for (u32 i = 0; i < 64; i += 8) {
		u32 type = value >> i & 0xff;
		if (type > 7 || type == 2 || type == 3)
			return FAULT;
	}
	backend->write_msr(v->g, msr, value);
	return OK;
}

static status write_efer(struct vcpu *v, u32 msr, u64 value)
{
	u64 old = backend->read_msr(v->g, msr);
	u64 paging = backend->read_cr(v->g, 0) & CR0_PG;
	if (value & ~EFER_ALLOWED || (!features.nx && value & EFER_NXE))
		return FAULT;
	if (paging && (value ^ old) & EFER_LME)
		return FAULT;
	backend->write_efer(v->g, (value & ~(u64)EFER_LMA) | (old & EFER_LMA)); /* LMA is the processor's */
	return OK;
}

/* ---- time ---- */

static status read_tsc(struct vcpu *v, u32 msr, u64 *value)
{
	(void)msr;
	*value = vcpu_tsc(v);
	return OK;
}

static status write_tsc(struct vcpu *v, u32 msr, u64 value)
{
	(void)msr;
	u64 before = vcpu_tsc(v);
	lapic_timer(&v->lapic, before); /* what is due comes, whatever the counter says then */
	backend->write_tsc_offset(v->g, value - tsc_now());
	lapic_tsc_moved(&v->lapic, value - before, value);
	vcpu_timer_changed(v);
	return OK;
}

static status read_tsc_aux(struct vcpu *v, u32 msr, u64 *value)
{
	(void)msr;
	*value = v->g->tsc_aux;
	return features.rdtscp ? OK : FAULT;
}

static status write_tsc_aux(struct vcpu *v, u32 msr, u64 value)
{
	if (!features.rdtscp || value >> 32)
		return FAULT;
	v->g->tsc_aux = value;
	wrmsr(msr, value);
	return OK;
}

static status write_pv_eoi(struct vcpu *v, u32 msr, u64 value)
{
	(void)msr;
	if (value & PV_EOI_RESERVED)
		return FAULT;
	v->eoi_flag = value;
	return OK;
}

static status read_kvm(struct vcpu *v, u32 msr, u64 *value)
{
	bool time = msr == MSR_KVM_SYSTEM_TIME || msr == MSR_KVM_SYSTEM_TIME_OLD;
	*value = msr == MSR_KVM_PV_EOI ? v->eoi_flag : msr == MSR_KVM_STEAL_TIME ? v->steal.msr : time ? v->clock_page : 0;
	return OK;
}

static status write_clock(struct vcpu *v, u32 msr, u64 value)
{
	if (msr == MSR_KVM_SYSTEM_TIME || msr == MSR_KVM_SYSTEM_TIME_OLD)
		return clock_write_system_time(v, value);
	return clock_write_wall_clock(v, value);
}

/* ---- MTRRs: remembered, without effect (all of a guest's RAM is write-back) ---- */

static u64 *mtrr_place(struct vcpu *v, u32 msr)
{
	if (msr == MSR_MTRR_DEF_TYPE)
		return &v->mtrrs.type;
	if (msr < MSR_MTRR_FIX64K_00000)
		return &v->mtrrs.variable[msr - MSR_MTRR_PHYSBASE0];
	if (msr == MSR_MTRR_FIX64K_00000)
		return &v->mtrrs.fixed[0];
	if (msr <= MSR_MTRR_FIX16K_A0000)
		return &v->mtrrs.fixed[1 + msr - MSR_MTRR_FIX16K_80000];
	return &v->mtrrs.fixed[3 + msr - MSR_MTRR_FIX4K_C0000];
}

static status read_mtrr(struct vcpu *v, u32 msr, u64 *value)
{
	*value = *mtrr_place(v, msr);
	return OK;
}

static bool mtrr_type_valid(u32 type)
{
	return type <= 6 && type != 2 && type != 3;
}

static status write_mtrr(struct vcpu *v, u32 msr, u64 value)
{
	u64 address = BITS(features.phys_bits - 1, 12);
	if (msr == MSR_MTRR_DEF_TYPE) {
		if (value & ~MTRR_DEF_VALID || !mtrr_type_valid(value & 0xff))
			return FAULT;
	} else if (msr >= MSR_MTRR_FIX64K_00000) {
		for (u32 i = 0; i < 64; i += 8)
			if (!mtrr_type_valid(value >> i & 0xff))
				return FAULT;
	} else if (msr & 1) {
		if (value & ~(address | MTRR_MASK_VALID))
			return FAULT;
	} else if (value & ~(address | 0xff) || !mtrr_type_valid(value & 0xff)) {
		return FAULT;
	}
	*mtrr_place(v, msr) = value;
	return OK;
}

/* ---- the local APIC ---- */

static status read_lapic(struct vcpu *v, u32 msr, u64 *value)
{
	return lapic_read_msr(&v->lapic, msr, vcpu_tsc(v), value);
}

static status write_lapic(struct vcpu *v, u32 msr, u64 value)
{
	status r = lapic_write_msr(&v->lapic, msr, value, vcpu_tsc(v));
	if (lapic_deadline(&v->lapic) != v->timer_for)
		vcpu_timer_changed(v);
	return r;
}

/* ---- the table, sorted by use ---- */

static const struct msr_row rows[] = {
	{ LAPIC_MSR_TSC_DEADLINE, LAPIC_MSR_TSC_DEADLINE, read_lapic, write_lapic },
	{ LAPIC_MSR_X2_FIRST, LAPIC_MSR_X2_LAST, read_lapic, write_lapic },
	{ LAPIC_MSR_BASE, LAPIC_MSR_BASE, read_lapic, write_lapic },
	{ MSR_TSC, MSR_TSC, read_tsc, write_tsc },
	{ MSR_TSC_AUX, MSR_TSC_AUX, read_tsc_aux, write_tsc_aux },
	{ MSR_EFER, MSR_EFER, read_area, write_efer },
	{ MSR_PAT, MSR_PAT, read_area, write_pat },
	{ MSR_KVM_WALL_CLOCK, MSR_KVM_SYSTEM_TIME, read_kvm, write_clock },
	{ MSR_KVM_STEAL_TIME, MSR_KVM_STEAL_TIME, read_kvm, paravirt_write_steal },
	{ MSR_KVM_PV_EOI, MSR_KVM_PV_EOI, read_kvm, write_pv_eoi },
	{ MSR_KVM_WALL_CLOCK_OLD, MSR_KVM_SYSTEM_TIME_OLD, read_kvm, write_clock },
	{ MSR_MTRR_CAP, MSR_MTRR_CAP, read_constant, NULL },
	{ MSR_MTRR_PHYSBASE0, MSR_MTRR_PHYSBASE0 + 2 * MTRR_VARIABLE - 1, read_mtrr, write_mtrr },
	{ MSR_MTRR_FIX64K_00000, MSR_MTRR_FIX64K_00000, read_mtrr, write_mtrr },
	{ MSR_MTRR_FIX16K_80000, MSR_MTRR_FIX16K_A0000, read_mtrr, write_mtrr },
	{ MSR_MTRR_FIX4K_C0000, MSR_MTRR_FIX4K_F8000, read_mtrr, write_mtrr },
	{ MSR_MTRR_DEF_TYPE, MSR_MTRR_DEF_TYPE, read_mtrr, write_mtrr },
	{ MSR_BIOS_SIGN, MSR_BIOS_SIGN, read_zero, write_ignored },
	{ MSR_MCG_CAP, MSR_MCG_CAP, read_zero, NULL },
	{ MSR_MCG_STATUS, MSR_MCG_CTL, read_zero, write_ignored },
	{ MSR_MC0_CTL, MSR_MC_LAST, read_zero, write_ignored },
	{ MSR_DEBUGCTL, MSR_DEBUGCTL, read_zero, write_ignored },
	{ MSR_LAST_BRANCH_FIRST, MSR_LAST_BRANCH_LAST, read_zero, NULL },
	{ MSR_K7_EVNTSEL0, MSR_K7_PERFCTR3, read_zero, write_ignored },
	{ MSR_SYSCFG, MSR_SYSCFG, read_zero, write_ignored },
	{ MSR_HWCR, MSR_HWCR, read_constant, write_ignored },
	{ MSR_TOP_MEM, MSR_TOP_MEM, read_zero, write_ignored },
	{ MSR_TOP_MEM2, MSR_TOP_MEM2, read_zero, write_ignored },
	{ MSR_NB_CFG, MSR_NB_CFG, read_zero, write_ignored },
	{ MSR_PATCH_LOADER, MSR_PATCH_LOADER, read_zero, write_ignored },
	{ MSR_MMIO_CONF_BASE, MSR_MMIO_CONF_BASE, read_zero, write_ignored },
	{ MSR_INT_PENDING, MSR_INT_PENDING, read_zero, write_ignored },
	{ MSR_PSTATE_LIMIT, MSR_PSTATE_STATUS, read_zero, NULL },
	{ MSR_OSVW_LENGTH, MSR_OSVW_STATUS, read_zero, NULL },
	{ MSR_LS_CFG, MSR_LS_CFG, read_zero, write_ignored },
	{ MSR_DE_CFG, MSR_DE_CFG, read_constant, write_ignored },
	{ MSR_BU_CFG2, MSR_BU_CFG2, read_zero, write_ignored },
};

static const struct msr_row *row_of(u32 msr)
{
	for (u32 i = 0; i < ARRAY_SIZE(rows); i++)
		if (msr - rows[i].first <= rows[i].last - rows[i].first)
			return &rows[i];
	return NULL;
}

/* Says that a guest asked for an MSR that it does not have: once for each, and for one of those that have the same bit, or it could fill the log. */
static void log_unknown(struct vcpu *v, u32 msr, bool write)
{
	u64 bit = BIT((msr ^ msr >> 16) % 64);
	if (__atomic_fetch_or(&v->entity.vm->unknown_msrs, bit, __ATOMIC_RELAXED) & bit)
		return;
	log_line("%s: unknown MSR %x %s at %lx: #GP", v->entity.vm->definition->name, msr, write ? "written" : "read", v->g->rip);
}

static status access_msr(struct vcpu *v, u32 msr, bool write, u64 *value)
{
	const struct msr_row *row = row_of(msr);
	if (!row || (write && !row->write)) {
		log_unknown(v, msr, write);
		return FAULT;
	}
	return write ? row->write(v, msr, *value) : row->read(v, msr, value);
}

enum action exit_msr(struct vcpu *v)
{
	struct guest_cpu *g = v->g;
	bool write = g->exit.msr_write;
	u64 next, value = (u32)g->gpr[MON_RAX] | g->gpr[MON_RDX] << 32;
	status r = instruction_end(v, write ? PLAIN_WRMSR : PLAIN_RDMSR, write ? INSN_WRMSR : INSN_RDMSR, &next);
	if (r != OK)
		return ACTION_RESUME;
	r = access_msr(v, (u32)g->gpr[MON_RCX], write, &value);
	if (r == FAULT)
		inject_gp(v);
	if (r != OK)
		return ACTION_RESUME;
	if (!write) {
		g->gpr[MON_RAX] = (u32)value;
		g->gpr[MON_RDX] = value >> 32;
	}
	advance(v, next);
	return ACTION_RESUME;
}
