/*
 * gwalk: the walk out of line, and what the registers say about it.
 */
#include "core/gwalk_fast.h"

#define CR0_WP    BIT(16)
#define CR0_PG    BIT(31)
#define CR4_PSE   BIT(4)
#define CR4_PAE   BIT(5)
#define CR4_LA57  BIT(12)
#define CR4_SMEP  BIT(20)
#define CR4_SMAP  BIT(21)
#define EFER_LMA  BIT(10)
#define EFER_NXE  BIT(11)
#define RFLAGS_AC BIT(18)

static enum gwalk_paging paging_of(const struct gwalk_registers *r)
{
	if (!(r->cr0 & CR0_PG))
		return GWALK_OFF;
	if (!(r->cr4 & CR4_PAE))
		return GWALK_32;
	if (!(r->efer & EFER_LMA))
		return GWALK_PAE;
	return r->cr4 & CR4_LA57 ? GWALK_5 : GWALK_4;
}

/* SDM 4.4, 4.5: address bits beyond the processor's, XD without NXE; in PAE tables bits 62..52 too. */
static u64 reserved_of(const struct gwalk_mode *m)
{
	u64 reserved = m->maxphyaddr < 52 ? BITS(51, m->maxphyaddr) : 0;
	if (!m->nxe)
		reserved |= GPTE_NX;
	if (m->paging == GWALK_PAE)
		reserved |= BITS(62, 52);
	return reserved;
}

struct gwalk_mode gwalk_mode_of(const struct gwalk_registers *r, const struct gwalk_cpu *c)
{
	struct gwalk_mode m = {
		.paging = paging_of(r),
		.wp = r->cr0 & CR0_WP,
		.nxe = c->nx && (r->efer & EFER_NXE) && (r->cr4 & CR4_PAE),
		.smep = r->cr4 & CR4_SMEP,
		.smap = r->cr4 & CR4_SMAP,
		.pse = r->cr4 & CR4_PSE,
		.ac = r->rflags & RFLAGS_AC,
		.gib_pages = c->gib_pages,
		.pse36 = c->pse36,
		.maxphyaddr = c->maxphyaddr,
		.cr3 = r->cr3,
	};
	m.reserved = reserved_of(&m);
	return m;
}

status gwalk(const struct gwalk_mode *mode, const struct gwalk_memory *memory, void *context, gva_t address, u32 access,
	     bool update, struct gwalk_result *result)
{
	return gwalk_with(mode, memory, context, address, access, update, result);
}
