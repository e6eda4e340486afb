/*
 * cpuid_build: a machine's table is made, once. Part of the start.
 */
#ifndef HV_CPUID_BUILD_H
#define HV_CPUID_BUILD_H

#include "hv/cpuid.h"

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

void cpuid_build(struct cpuid_table *t, const struct cpuid_config *config, cpuid_raw raw, void *context);

#endif
