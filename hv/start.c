/*
 * start: from the loader's hands to the last moment of the early map. Part of the start (x86/ringmur.ld): unmapped before the first guest.
 *
 * All definitions are known at boot. They are judged, and become machines that are off; main.c goes on in the final map.
 */
#include "core/bits.h"
#include "hv/cpuid_build.h"
#include "hv/hv.h"
#include "x86/boot/boot.h"
#include "x86/boot/options.h"
#include "x86/boot/start.h"
#include "x86/cpu/log.h"

#define HOST_RESERVE_FRAMES 2048u /* 8 MiB: tables, the monitor */

/* What can be known before any machine is made: whether this host could ever run it. */
static void judge(const struct machine_definition *d)
{
	static char name[WORD_NAME_BYTES + 16];
	u64 frames = d->memory >> PAGE_SHIFT, most = mm.alloc.free_frames;
	if (machine_count > 1)
		format_text(name, sizeof name, "the machine %s: ", d->name);
	if (d->memory & PAGE_MASK)
		refuse_start("%smem=%lu is not a memory size: at least 1M, in whole pages", name, d->memory);
	if (frames + HOST_RESERVE_FRAMES > most)
		refuse_start("%smem=%luM is more than this host can give: %luM are free, %luM are missing", name, d->memory >> 20,
			     most >> (20 - PAGE_SHIFT), (frames + HOST_RESERVE_FRAMES - most) >> (20 - PAGE_SHIFT));
}

static void define(struct vm *vm, const struct machine_definition *definition, owner_t owner)
{
	vm->definition = definition;
	vm->owner = owner;
	share_init(&vm->share, definition->weight);
	entity_init(&vm->keeper, ENTITY_KEEPER, vm, &vm->share);
	entity_init(&vm->monitor.entity, ENTITY_MONITOR, vm, &vm->share);
	for (u32 i = 0; i < VM_MAX_VCPUS; i++)
		entity_init(&vm->vcpu[i].entity, ENTITY_VCPU, vm, &vm->share);
	modules_hold(vm);
}

/* What its processors say of themselves. */
static void describe_processors(struct vm *vm)
{
	struct cpuid_config config = {
		.vcpus = (u32)vm->definition->vcpus, .tsc_khz = (u32)host_tsc_khz, .tsc_steady = host_tsc_steady, .kvm_clock = true,
		.steal_time = machine_count > 1 || vm->definition->vcpus > cpu_total,
		.xcr0_mask = features.xsave ? features.xcr0_mask : 0, .phys_bits = features.phys_bits,
	};
	cpuid_build(&vm->cpuid, &config, features_cpuid, NULL);
}

_Noreturn void ringmur_main(struct boot_info *info)
{
	boot_info = info;
	host_tsc_khz = info->tsc_khz;
	const char *missing = svm_prepare();
	if (missing)
		refuse_start("%s", missing);
	mm_init(info);
	sched_init();
	smp_start(info, hv_secondary);
	while (secondaries_waiting + 1 < cpu_total)
		__builtin_ia32_pause();
	host_tsc_steady = info->tsc_steady;
	mm_cpu_init(this_cpu());
	operator_present = options.operator == ANSWER_YES;
	operator_init();
	for (u32 i = 0; i < machine_count; i++) {
		judge(&machines[i]);
		define(&vms[i], &machines[i], (owner_t)(OWNER_FIRST_VM + i));
		describe_processors(&vms[i]);
	}
	hv_run();
}
