/*
 * main: from the start (start.c) to the first guest.
 */
#include "core/bits.h"
#include "hv/hv.h"
#include "x86/boot/boot.h"
#include "x86/boot/options.h"
#include "x86/cpu/log.h"
#include "x86/cpu/regs.h"
#include "x86/irq/irq.h"

const struct backend *backend = &svm_backend;
u64 host_tsc_khz;
bool host_tsc_steady;

const struct boot_info *boot_info;
struct vm vms[VMS_MAX];
u32 vm_count;
bool operator_present;

/* The kick's interrupt handler calls this: forget what the host's maps have lost. */
void hv_kick(struct cpu *c)
{
	space_serve(c);
}

_Atomic u32 secondaries_waiting;
static _Atomic bool secondaries_go;

/* On the early tables at first; the boot processor gives the device registers their final place meanwhile. */
_Noreturn void hv_secondary(struct cpu *c)
{
	mm_cpu_init(c);
	mm_cpu_load(c);
	secondaries_waiting++;
	while (!secondaries_go)
		__builtin_ia32_pause();
	backend->cpu_start(c);
	stack_switch(CPU_STACK_TOP, sched_loop);
}

/* As many clean frames as the machines that start now may want at once. */
static void scrub_for_start(void)
{
	u64 promised = 0;
	for (u32 i = 0; i < machine_count; i++)
		if (machines[i].start == START_YES)
			promised += align_up(machines[i].memory, BLOCK_SIZE) + 2 * BLOCK_SIZE;
	promised = min_u64(options.scrub, promised);
	while (mm.alloc.clean_frames < promised >> PAGE_SHIFT && alloc_scrub_slice(&mm.alloc))
		interrupts_take();
}

/* On the boot processor's own stack, in the final map. */
static void boot_running(void)
{
	mm_forget_boot();
	modules_free_unused();
	scrub_for_start();
	vm_count = machine_count;
	mm.alloc.fail_after = (s64)options.fail_alloc - 1;
	timer_probe = options.probe;
	screen.later = screen.columns;
	for (u32 i = 0; i < vm_count; i++)
		if (machines[i].start == START_YES)
			(void)!vm_start(&vms[i]);
	sched_loop();
}

/* On the boot processor: the start is over. */
_Noreturn void hv_run(void)
{
	mm_cpu_load(this_cpu());
	apic_set_base((void *)DEVICES_BASE);
	backend->cpu_start(this_cpu());
	secondaries_go = true;
	stack_switch(CPU_STACK_TOP, boot_running);
}
