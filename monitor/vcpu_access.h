/*
 * vcpu_access: how the instruction emulator reaches memory and devices: by ring 0's calls, with the rights of the vCPU.
 */
#ifndef MONITOR_VCPU_ACCESS_H
#define MONITOR_VCPU_ACCESS_H

#include "monitor/emulate.h"
#include "monitor/machine.h"

/* The context of vcpu_access_ops. */
struct vcpu_access {
	struct machine *machine;
	u32 vcpu;
	u64 lapic; /* the page of its local APIC, or MON_NO_PAGE */
	struct { u16 port, size; bool out; } judged; /* size 0: the exit was none of a port */
};

extern const struct emulate_ops vcpu_access_ops;

/* The instruction of comm->entry (MON_ENTRY_EMULATE), carried out and answered. */
void vcpu_emulate(struct machine *m, const struct mon_entry *entry);

#endif
