/*
 * pause: a VM stands still while any reason holds. Its entities leave at their next look, what wakes them meanwhile is remembered.
 *
 * Memory is promised, not given: a fault that finds none changes nothing and pauses its VM for that reason. Whoever gives frames back calls
 * vms_feed afterwards; the fault then happens again. A frame that came between the failed fault and the pause is not missed: the allocator counts.
 */
#include "core/bits.h"
#include "hv/hv.h"
#include "x86/cpu/log.h"

void vm_wake(struct vm *vm)
{
	for (u32 i = 0; i < vm->vcpus; i++)
		sched_wake(&vm->vcpu[i].entity);
	sched_wake(&vm->monitor.entity);
}

static struct lock lock; /* state, paused and go agree */

static void judge(struct vm *vm)
{
	__atomic_store_n(&vm->go, vm->state == VM_RUNNING && !vm->paused, __ATOMIC_SEQ_CST);
}

void vm_become(struct vm *vm, enum vm_state state)
{
	lock_take(&lock);
	__atomic_store_n(&vm->state, state, __ATOMIC_SEQ_CST);
	judge(vm);
	lock_give(&lock);
}

static void change(struct vm *vm, u32 reasons, u32 why)
{
	lock_take(&lock);
	vm->paused = (vm->paused & ~why) | (reasons & why);
	judge(vm);
	lock_give(&lock);
	vm_wake(vm); /* to look, or to go on */
}

void vm_pause(struct vm *vm, enum vm_pause why)
{
	change(vm, why, why);
}

void vm_resume(struct vm *vm, enum vm_pause why)
{
	if (vm->paused & why)
		change(vm, 0, why);
}

/*
 * Whether anybody is left who could give memory back: a machine, a processor that scrubs some, the operator. Lock held: of several that find none
 * at once, the last to pause is not fed.
 */
static bool may_be_fed(const struct vm *vm)
{
	for (u32 i = 0; i < vm_count; i++)
		if (&vms[i] != vm && vms[i].state != VM_DEFINED && vms[i].state != VM_FORGOTTEN &&
		    (vms[i].state == VM_ENDING || !(vms[i].paused & PAUSE_MEMORY)))
			return true;
	return operator_present || __atomic_load_n(&sched_scrubs, __ATOMIC_SEQ_CST);
}

/* Of those that find none, `vm` is one, who has most: not who asks last, for that can be arranged. Lock held. */
static struct vm *greediest(struct vm *vm)
{
	for (u32 i = 0; i < vm_count; i++)
		if (vms[i].state == VM_RUNNING && vms[i].paused & PAUSE_MEMORY &&
		    vms[i].pmap.resident + vms[i].private_frames > vm->pmap.resident + vm->private_frames)
			vm = &vms[i];
	return vm;
}

void vm_starve(struct vm *vm, u64 came_at)
{
	if (vm->paused & PAUSE_MEMORY)
		return;
	if (pmap_unprepare(&vm->pmap)) {
		vms_feed();
		return;
	}
	lock_take(&lock);
	__atomic_fetch_or(&vm->paused, PAUSE_MEMORY, __ATOMIC_SEQ_CST); /* whoever gives some back now sees it, or is seen */
	/* One that is ending already neither waits nor has others ended. */
	bool came = vm->state != VM_RUNNING || __atomic_load_n(&mm.alloc.came, __ATOMIC_SEQ_CST) != came_at, fed = may_be_fed(vm);
	struct vm *ends = came || fed ? NULL : greediest(vm);
	if (came || ends == vm)
		vm->paused &= ~(u32)PAUSE_MEMORY;
	judge(vm);
	lock_give(&lock);
	vm_wake(vm);
	if (ends)
		vm_end(ends, RESET_END, "killed: the host has no memory left, and nobody who could give some back; it had most");
	else if (!came)
		operator_note("%s is paused: the host's memory is full; it goes on when another machine gives some back", vm->definition->name);
}

void vms_feed(void)
{
	for (u32 i = 0; i < vm_count; i++)
		if (vms[i].state == VM_RUNNING)
			vm_resume(&vms[i], PAUSE_MEMORY);
}
