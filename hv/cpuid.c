/*
 * cpuid: answering from a VM's table. The table is made at boot (cpuid_build.c).
 */
#include "hv/cpuid.h"
#include "core/bits.h"

#define CR4_OSXSAVE BIT(18)
#define OSXSAVE ((u32)BIT(27)) /* leaf 1, ECX */
#define APIC    ((u32)BIT(9))  /* leaves 1 and 80000001H, EDX */
#define XSAVE_BASE_BYTES 576u  /* the legacy area and the header */
#define XSAVE_ALIGN      64u

u32 cpuid_row_of(const struct cpuid_table *t, u32 leaf, u32 subleaf)
{
	u32 n = t->bucket[cpuid_bucket(leaf)];

	while (n && !(t->row[n].leaf == leaf && (t->row[n].any_subleaf || t->row[n].subleaf == subleaf)))
		n = t->row[n].next;
	return n;
}

u32 cpuid_xsave_size(const struct cpuid_table *t, u64 components, bool compacted)
{
	u32 end = XSAVE_BASE_BYTES;

	for (u32 i = 2; i < CPUID_COMPONENTS; i++) {
		if (!(components & t->xcr0_mask & BIT(i)))
			continue;
		if (!compacted)
			end = (u32)max_u64(end, t->component[i].offset + t->component[i].size);
		else if (t->component[i].aligned)
			end = (u32)align_up(end, XSAVE_ALIGN) + t->component[i].size;
		else
			end += t->component[i].size;
	}
	return end;
}

static void set_apic(u32 *edx, bool enabled) { *edx = enabled ? *edx | APIC : *edx & ~APIC; }

void cpuid_patch(const struct cpuid_table *t, const struct cpuid_row *r, u32 subleaf, const struct cpuid_dynamic *d,
		 u32 out[CPUID_REGISTERS])
{
	switch ((enum cpuid_patch)r->patch) {
	case PATCH_FEATURES:
		out[CPUID_EBX] |= d->apic_id << 24;
		if (d->cr4 & CR4_OSXSAVE)
			out[CPUID_ECX] |= OSXSAVE;
		set_apic(&out[CPUID_EDX], d->apic_enabled);
		break;
	case PATCH_FEATURES_AMD:
		if (!t->intel)
			set_apic(&out[CPUID_EDX], d->apic_enabled);
		break;
	case PATCH_TOPOLOGY:
		out[CPUID_ECX] |= subleaf & 0xff;
		out[CPUID_EDX] = d->apic_id;
		break;
	case PATCH_XSAVE:
		out[CPUID_EBX] = cpuid_xsave_size(t, d->xcr0, false);
		break;
	case PATCH_XSAVE_COMPACTED:
		out[CPUID_EBX] = t->compacted ? cpuid_xsave_size(t, d->xcr0, true) : 0;
		break;
	case PATCH_IDS_AMD:
		out[CPUID_EAX] = d->apic_id;
		out[CPUID_EBX] = d->apic_id & 0xff; /* the core; one thread of it */
		break;
	case PATCH_NONE:
		break;
	}
}

static bool beyond(const struct cpuid_table *t, u32 leaf)
{
	if (leaf >= CPUID_EXTENDED)
		return leaf > t->max_extended;
	return leaf > t->max_basic && (leaf < CPUID_KVM_BASE || leaf > CPUID_KVM_BASE + 0xff);
}

const struct cpuid_row *cpuid_find(const struct cpuid_table *t, u32 leaf, u32 subleaf)
{
	return &t->row[cpuid_row_of(t, t->intel && beyond(t, leaf) ? t->max_basic : leaf, subleaf)];
}
