/*
 * keeper: a VM's ring-0 work as a whole, as an entity of its share: it makes the VM and takes it apart, in slices, in the neutral space.
 *
 *   DEFINED --vm_start--> STARTING --keeper--> RUNNING --vm_end--> ENDING --keeper--> DEFINED, or STARTING again
 */
#include "core/bits.h"
#include "hv/hv.h"
#include "x86/asm/access.h"
#include "x86/boot/boot.h"
#include "x86/cpu/power.h"
#include "x86/cpu/log.h"
#include "x86/cpu/string.h"
#include "x86/irq/irq.h"

static u32 quitting;

struct vm *vm_find(const char *name)
{
	for (u32 i = 0; i < vm_count; i++)
		if (vms[i].state != VM_FORGOTTEN && strcmp(vms[i].definition->name, name) == 0)
			return &vms[i];
	return NULL;
}

/* ---- what may be asked; any processor ---- */

const char *vm_start(struct vm *vm)
{
	if (vm->modules_held != USE_ALL)
		return "its images were freed after its first start (reset=end): it cannot be started again";
	if (quitting || !change_state(&vm->state, VM_DEFINED, VM_STARTING))
		return "it is not off; list tells what it does";
	audit_disturb();
	vm->wanted = true;
	sched_wake(&vm->keeper);
	return NULL;
}

/* Also one that is being made, or is ending in order to start again: it ends as soon as it can. */
const char *vm_destroy(struct vm *vm)
{
	if (vm->state == VM_DEFINED || vm->state == VM_FORGOTTEN)
		return "it is off already";
	__atomic_store_n(&vm->wanted, false, __ATOMIC_SEQ_CST);
	if (vm->state == VM_RUNNING)
		vm_end(vm, RESET_END, "destroyed");
	return NULL;
}

const char *vm_reset(struct vm *vm)
{
	if (vm->state != VM_RUNNING)
		return "it is not running; list tells what it does";
	if (vm->modules_held != USE_ALL)
		return "its images were freed after its first start (reset=end): it cannot be started again";
	vm_end(vm, RESET_RESTART, "reset by the operator");
	return NULL;
}

const char *vm_forget(struct vm *vm)
{
	if (!change_state(&vm->state, VM_DEFINED, VM_FORGOTTEN))
		return "it is not off: destroy it first";
	modules_drop(vm, USE_ALL);
	vms_feed();
	return NULL;
}

/* ---- the host's end ---- */

static bool all_off(void)
{
	for (u32 i = 0; i < vm_count; i++)
		if (vms[i].state != VM_DEFINED && vms[i].state != VM_FORGOTTEN)
			return false;
	return true;
}

static void end_host_if_over(void)
{
	if ((!quitting && operator_present) || !all_off())
		return;
	if (timer_probe)
		log_line("stats: interrupts-off-most=%lu", timer_late);
	power_off();
}

void host_quit(void)
{
	__atomic_store_n(&quitting, 1, __ATOMIC_SEQ_CST);
	for (u32 i = 0; i < vm_count; i++)
		(void)!vm_destroy(&vms[i]);
	end_host_if_over();
}

/* ---- turns ---- */

static void make(struct vm *vm)
{
	const char *why = vm_make(vm);
	if (why) {
		vm_become(vm, VM_ENDING);
		format_text(vm->ending, sizeof vm->ending, "could not start: %s", why);
		operator_note("%s could not start: %s", vm->definition->name, why);
		return;
	}
	operator_note("vm %s: %lu MiB, %u vCPUs, %s/nested", vm->definition->name, vm->memory >> 20, vm->vcpus, backend->name);
	vm_become(vm, VM_RUNNING);
	monitor_post(vm, MON_ENTRY_START);
	if (!vm->wanted)
		vm_end(vm, RESET_END, "destroyed");
}

static void ended(struct vm *vm)
{
	bool again = vm_starts_again(vm);
	operator_note("end: %s %s", vm->definition->name, vm->ending);
	vm_become(vm, again ? VM_STARTING : VM_DEFINED);
	vms_feed(); /* after it: who paused while this one could still give something back */
	end_host_if_over();
}

/* A slice; false: there is nothing to do. */
static bool work(struct vm *vm)
{
	if (vm->state == VM_STARTING)
		make(vm);
	else if (vm->state != VM_ENDING)
		return false;
	else if (!vm_take_apart(vm))
		ended(vm);
	return true;
}

enum turn keeper_turn(struct cpu *c, struct entity *e)
{
	while (work(e->vm)) {
		interrupts_take();
		if ((c->events && sched_events(c)) || e->vm->reaping <= REAP_CLAIM)
			return TURN_YIELD; /* asked to, or others are to leave first */
	}
	return TURN_SLEEP;
}
