/*
 * cpuid: what a VM's processors say of themselves. Const tables of masks over the host's own answers, fixed when the VM is made.
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

/* The host's raw answer. */
typedef void (*cpuid_raw)(void *context, u32 leaf, u32 subleaf, u32 out[CPUID_REGISTERS]);

/* What the VM is given. */
struct cpuid_config {
	u32 vcpus;
	u32 tsc_khz;
	bool tsc_steady;   /* invariant and the same on all processors: offer the invariant TSC and a stable KVM clock */
	bool kvm_clock;    /* the KVM clock MSRs are there */
	bool steal_time;   /* its vCPUs may have to wait for a processor: offer the page that says so */
	u64 xcr0_mask;     /* components that host and guests may use; 0: no XSAVE */
	u8 phys_bits;
};

/* What of a vCPU's state shows in CPUID. */
struct cpuid_dynamic {
	u32 apic_id;
	bool apic_enabled; /* IA32_APIC_BASE.EN */
	u64 cr4, xcr0;
};

struct cpuid_row {
	u32 leaf, subleaf;
	u32 out[CPUID_REGISTERS];
	u16 next;  /* in its bucket; 0: none */
	u8 patch;  /* enum cpuid_patch of cpuid.c */
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

void cpuid_build(struct cpuid_table *t, const struct cpuid_config *config, cpuid_raw raw, void *context);

/* The row that answers; where its `patch` is not 0 the answer depends on the vCPU and cpuid_patch finishes it. */
const struct cpuid_row *cpuid_find(const struct cpuid_table *t, u32 leaf, u32 subleaf);
void cpuid_patch(const struct cpuid_table *t, const struct cpuid_row *r, u32 subleaf, const struct cpuid_dynamic *d,
		 u32 out[CPUID_REGISTERS]);

#endif
