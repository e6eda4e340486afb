/*
 * main: from the loader's hands to the first guest.
 */
#include "core/bits.h"
#include "hv/hv.h"
#include "x86/boot/boot.h"
#include "x86/boot/options.h"
#include "x86/cpu/power.h"
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

/* The kick's interrupt handler calls this: forget what the window has lost. */
void hv_kick(struct cpu *c)
{
	space_serve(c);
}

static void secondary_running(void)
{
	sched_loop();
}

static _Atomic u32 secondaries_waiting;
static _Atomic bool secondaries_go;

/* On the early tables at first; the boot processor gives the device registers their final place meanwhile. */
static void secondary_main(struct cpu *c)
{
	mm_cpu_init(c);
	mm_cpu_load(c);
	secondaries_waiting++;
	while (!secondaries_go)
		__builtin_ia32_pause();
	backend->cpu_start(c);
	stack_switch(CPU_STACK_TOP, secondary_running);
}

static void scrub_some(u64 bytes)
{
	while (mm.alloc.clean_frames < bytes >> PAGE_SHIFT && alloc_scrub_slice(&mm.alloc))
		interrupts_take();
}

/* Definitions become machines; those that are to be there from the start are asked for. */
static void define_machines(void)
{
	u64 promised = 0;
	operator_present = options.operator == ANSWER_YES;
	operator_init();
	for (u32 i = 0; i < machine_count; i++) {
		vm_define(&vms[i], &machines[i], (owner_t)(OWNER_FIRST_VM + i));
		if (machines[i].start == START_YES)
			promised += align_up(machines[i].memory, BLOCK_SIZE) + 2 * BLOCK_SIZE;
	}
	modules_free_unused();
	scrub_some(min_u64(options.scrub, promised));
	vm_count = machine_count;
}

/* What can be known before any machine is made. A sentence; NULL: fine. */
static const char *judge_machines(void)
{
	static char text[200];
	for (u32 i = 0; i < machine_count; i++) {
		const char *why = vm_judge(&machines[i]);
		if (why && machine_count == 1)
			return why;
		if (why) {
			format_text(text, sizeof text, "the machine %s: %s", machines[i].name, why);
			return text;
		}
	}
	return NULL;
}

/* On the boot processor's own stack, in the final map. */
static void boot_running(void)
{
	mm_forget_boot();
	const char *why = judge_machines();
	if (why)
		refuse_start("%s", why);
	define_machines();
	mm.alloc.fail_after = (s64)options.fail_alloc - 1;
	timer_probe = options.probe;
	screen.later = screen.columns;
	for (u32 i = 0; i < vm_count; i++)
		if (machines[i].start == START_YES)
			(void)!vm_start(&vms[i]);
	sched_loop();
}

/* What each machine's processors say of themselves; the code that makes it is part of the start. */
static void describe_processors(void)
{
	struct cpuid_config config = {
		.tsc_khz = (u32)host_tsc_khz, .tsc_steady = host_tsc_steady, .kvm_clock = true,
		.xcr0_mask = features.xsave ? features.xcr0_mask : 0, .phys_bits = features.phys_bits,
	};
	for (u32 i = 0; i < machine_count; i++) {
		config.vcpus = (u32)machines[i].vcpus;
		config.steal_time = machine_count > 1 || config.vcpus > cpu_total;
		cpuid_build(&vms[i].cpuid, &config, features_cpuid, NULL);
	}
}

static void map_devices(void)
{
	if (!features.x2apic)
		apic_set_base(mm_map_device(hpa(boot_info->lapic_address)));
}

_Noreturn void ringmur_main(struct boot_info *info)
{
	boot_info = info;
	host_tsc_khz = info->tsc_khz;
	const char *missing = backend->missing();
	if (missing)
		refuse_start("%s", missing);
	mm_init(info);
	sched_init();
	smp_start(info, secondary_main);
	while (secondaries_waiting + 1 < cpu_total)
		__builtin_ia32_pause();
	host_tsc_steady = info->tsc_steady;
	describe_processors(); /* as long as the start is mapped */
	mm_cpu_init(this_cpu());
	mm_cpu_load(this_cpu());
	map_devices();
	backend->cpu_start(this_cpu());
	secondaries_go = true;
	stack_switch(CPU_STACK_TOP, boot_running);
}
