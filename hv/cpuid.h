/*
 * cpuid: what a VM's processors say of themselves. Const tables of masks over the host's own answers, fixed at boot for each
 * definition.
 *
 * Default-deny: a leaf without a row reads as the vendor answers for a leaf it does not have, a bit without a place in its mask
 * reads 0. What depends on the vCPU's state (OSXSAVE, APIC, APIC ID, sizes under XCR0) is patched into the answer.
 */
#ifndef HV_CPUID_H
#define HV_CPUID_H

#include "abi/types.h"
#include <assert.h>

enum cpuid_register { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX, CPUID_REGISTERS };

#define CPUID_MAX_ROWS 96u
#define CPUID_BUCKETS  64u
#define CPUID_COMPONENTS 8u /* of XSAVE: x87 to ZMM; later ones are not offered */
#define CPUID_KVM_BASE 0x40000000u
#define CPUID_EXTENDED 0x80000000u

/* What of a vCPU's state shows in CPUID. */
struct cpuid_dynamic {
	u32 apic_id;
	bool apic_enabled; /* IA32_APIC_BASE.EN */
	u64 cr4, xcr0;
};

/* How an answer depends on the vCPU. */
enum cpuid_patch { PATCH_NONE, PATCH_FEATURES, PATCH_FEATURES_AMD, PATCH_TOPOLOGY, PATCH_XSAVE, PATCH_XSAVE_COMPACTED, PATCH_IDS_AMD };

struct cpuid_row {
	u32 leaf, subleaf;
	u32 out[CPUID_REGISTERS];
	u16 next;  /* in its bucket; 0: none */
	u8 patch;  /* enum cpuid_patch */
	bool any_subleaf;
};

struct cpuid_table {
	u16 bucket[CPUID_BUCKETS]; /* row number by hash of the leaf; 0: none */
	u16 rows;
	bool intel;                /* leaves beyond the last: as the last basic one (Intel), else zeros (AMD) */
	bool compacted;            /* XSAVEC is there */
	bool steal_time;           /* KVM's MSR for it is there */
	u32 max_basic, max_extended;
	u64 xcr0_mask;             /* what the guest may set in XCR0: the features that are offered */
	struct { u32 offset, size; bool aligned; } component[CPUID_COMPONENTS]; /* leaf 0DH */
	struct cpuid_row row[CPUID_MAX_ROWS]; /* row 0 is all zeros */
};
static_assert(sizeof(struct cpuid_table) <= PAGE_SIZE, "one page");

/* By hash of the leaf. */
static inline u32 cpuid_bucket(u32 leaf) { return (leaf & (CPUID_BUCKETS / 2 - 1)) | (leaf >> 31) * (CPUID_BUCKETS / 2); }
/* Of exactly this leaf; 0: there is none. */
u32 cpuid_row_of(const struct cpuid_table *t, u32 leaf, u32 subleaf);
/* Bytes that these components take in XSAVE's area. */
u32 cpuid_xsave_size(const struct cpuid_table *t, u64 components, bool compacted);

/* The row that answers; where its `patch` is not 0 the answer depends on the vCPU and cpuid_patch finishes it. */
const struct cpuid_row *cpuid_find(const struct cpuid_table *t, u32 leaf, u32 subleaf);
void cpuid_patch(const struct cpuid_table *t, const struct cpuid_row *r, u32 subleaf, const struct cpuid_dynamic *d,
		 u32 out[CPUID_REGISTERS]);

#endif
