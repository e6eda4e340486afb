/*
 * main: from the loader's hands to the first guest.
 */
#include "core/bits.h"
#include "hv/hv.h"
#include "x86/boot/boot.h"
#include "x86/boot/options.h"
#include "x86/cpu/power.h"
#include "x86/cpu/log.h"
#include "x86/irq/irq.h"

const struct backend *backend = &svm_backend;
u64 host_tsc_khz;
bool host_tsc_steady;

static struct boot_info *boot;

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

/* On the boot processor's own stack, in the final map. */
static void boot_running(void)
{
	struct vm_config config = { .name = options.name, .memory = options.mem, .vcpus = (u32)options.vcpus,
				    .mark_port = (u16)options.mark_port };
	mm_forget_boot();
	scrub_some(min_u64(options.scrub, align_up(options.mem, BLOCK_SIZE) + 2 * BLOCK_SIZE));
	mm.alloc.fail_after = (s64)options.fail_alloc - 1;
	const char *why = vm_create(&vms[0], OWNER_FIRST_VM, &config, boot);
	if (why)
		refuse_start("%s", why);
	log_line("vm %s: %lu MiB, %u vCPUs, %s/nested", vms[0].name, vms[0].memory >> 20, vms[0].vcpus, backend->name);
	vm_start(&vms[0]);
	sched_loop();
}

static void map_devices(void)
{
	if (!features.x2apic)
		apic_set_base(mm_map_device(hpa(boot->lapic_address)));
}

_Noreturn void ringmur_main(struct boot_info *info)
{
	boot = info;
	host_tsc_khz = boot->tsc_khz;
	const char *missing = backend->missing();
	if (missing)
		refuse_start("%s", missing);
	mm_init(boot);
	sched_init();
	smp_start(boot, secondary_main);
	while (secondaries_waiting + 1 < cpu_total)
		__builtin_ia32_pause();
	host_tsc_steady = boot->tsc_steady;
	mm_cpu_init(this_cpu());
	mm_cpu_load(this_cpu());
	map_devices();
	backend->cpu_start(this_cpu());
	secondaries_go = true;
	stack_switch(CPU_STACK_TOP, boot_running);
}
