/* kvm.h: what a hypervisor that calls itself KVM shows to its guests: the leaf, and the page that tells of stolen time. */
#ifndef GUEST_KVM_H
#define GUEST_KVM_H

#include "lib/guest.h"

#define KVM_BASE       0x40000000u
#define MSR_STEAL_TIME 0x4b564d03u
enum { KVM_ENABLE = 1, PREEMPTED = 1, FLUSH = 2 };

struct steal { /* struct kvm_steal_time */
	u64 steal;
	u32 version, flags;
	u8 preempted, pad[47];
};

static inline bool is_kvm(void)
{
	struct leaf l = cpuid(KVM_BASE, 0);

	return HAS_HYPERVISOR && l.b == 0x4b4d564b && l.c == 0x564b4d56 && l.d == 0x4d; /* KVMKVMKVM */
}

/* What Linux does instead of an IPI: the flag, set only while the other one says that it does not run. */
static inline bool ask_flush(struct steal *of)
{
	u8 state = PREEMPTED;

	return __atomic_compare_exchange_n(&of->preempted, &state, PREEMPTED | FLUSH, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

#endif
