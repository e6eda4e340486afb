/*
 * auditing: the auditor (core/audit.h) on the running host. One audit at a time: whoever claims it goes on in slices. A VM is taken apart only
 * by whoever holds the claim, so that what an audit reads does not go away under it. The operator, if he has called it, is the next: endings may never end.
 */
#include "core/audit.h"
#include "hv/hv.h"
#include "x86/cpu/log.h"

#define AUDIT_BUDGET 64u
static_assert(VMS_MAX <= AUDIT_VMS, "a sum each");

static const void *claimed_by;
static bool called; /* by the operator; by __atomic */
static struct audit_state audit;
static struct audit_vm audited[VMS_MAX];
static struct audit_host host;

bool audit_claim(const void *by)
{
	const void *nobody = NULL;
	if (by != &operator_entity && claimed_by != by && __atomic_load_n(&called, __ATOMIC_SEQ_CST))
		return false;
	return claimed_by == by || __atomic_compare_exchange_n(&claimed_by, &nobody, by, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

void audit_call(bool on)
{
	__atomic_store_n(&called, on, __ATOMIC_SEQ_CST);
}

void audit_unclaim(const void *by)
{
	CHECK(claimed_by == by);
	__atomic_store_n(&claimed_by, NULL, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&called, __ATOMIC_SEQ_CST))
		sched_wake(&operator_entity);
}

static void found(void *context, const char *what, u64 owner, u64 where)
{
	(void)context;
	log_line("audit: %s (owner %lu, frame %lx)", what, owner, where);
}

void audit_disturb(void)
{
	__atomic_store_n(&host.quiet, false, __ATOMIC_SEQ_CST);
}

void audit_start(struct vm *gone)
{
	host = (struct audit_host){ .alloc = &mm.alloc, .pool = &mm.pool, .vm = audited, .quiet = gone, .gone = gone ? gone->owner : OWNER_NONE };
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* who is not seen to change something from here on disturbs by himself */
	if (modules_changing)
		audit_disturb();
	host.boot_frames = modules_frames();
	for (u32 i = 0; i < vm_count; i++) {
		struct vm *vm = &vms[i];
		if (vm == gone)
			continue;
		if (vm->state != VM_DEFINED && vm->state != VM_FORGOTTEN)
			audit_disturb();
		if (vm->state == VM_RUNNING || (vm->state == VM_ENDING && claimed_by == vm))
			audited[host.vm_count++] = (struct audit_vm){ .pmap = &vm->pmap, .view = { &vm->nested, &vm->space.window }, .view_count = 2 };
	}
	audit_begin(&audit, &host, found, NULL);
}

bool audit_slice(const struct audit_state **result)
{
	*result = &audit;
	return audit_step(&audit, AUDIT_BUDGET);
}
