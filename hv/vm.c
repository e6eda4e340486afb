/*
 * vm: a machine comes into being: memory, views, private halves, CPUID, monitor.
 */
#include "hv/hv.h"

#include "core/bits.h"
#include "x86/asm/insn.h"
#include "x86/cpu/log.h"
#include "x86/cpu/regs.h"

#define VM_MEMORY_LEAST (1ull << 20)
#define PAGES_VMCB 1u
#define PAGES_XSAVE 2u /* first page of the XSAVE area */
#define HOST_RESERVE_FRAMES 2048u /* 8 MiB: tables, the monitor */

/* All private frames, so that the end finds them whatever mapped them. */
#define PRIVATE_LIST_ROOM 510u
struct private_list {
	struct private_list *next;
	u64 count;
	hfn_t frame[PRIVATE_LIST_ROOM];
};
static_assert(sizeof(struct private_list) == PAGE_SIZE, "one pool frame");

static bool list_has_room(struct vm *vm)
{
	hfn_t f;
	if (vm->private_list && vm->private_list->count < PRIVATE_LIST_ROOM)
		return true;
	if (pool_take(&mm.pool, FRAME_POOL, vm->owner, &f) != OK)
		return false;
	struct private_list *l = pool_at(&mm.pool, frame_hpa(f));
	l->next = vm->private_list;
	vm->private_list = l;
	return true;
}

static status map_private_locked(struct vm *vm, u64 at, enum pt_rights rights, hfn_t *out)
{
	if (!list_has_room(vm))
		return NO_MEMORY;
	status r = alloc_frame(&mm.alloc, FRAME_PRIVATE, vm->owner, out);
	if (r != OK)
		return r;
	r = space_map(&vm->space, at, *out, rights);
	if (r != OK) {
		alloc_undo(&mm.alloc, *out, 1);
		return r;
	}
	vm->private_list->frame[vm->private_list->count++] = *out;
	return OK;
}

status vm_map_private(struct vm *vm, u64 at, enum pt_rights rights, hfn_t *out)
{
	lock_take(&vm->pmap.lock);
	status r = map_private_locked(vm, at, rights, out);
	lock_give(&vm->pmap.lock);
	return r;
}

bool vm_release_private(struct vm *vm, u32 budget, struct settlement *s)
{
	for (u32 i = 0; i < budget; i++) {
		struct private_list *l = vm->private_list;
		if (!l)
			return false;
		if (l->count) {
			settle_add_frames(s, l->frame[--l->count], 1);
		} else {
			vm->private_list = l->next;
			pool_give(&mm.pool, hpa_frame(pool_hpa(&mm.pool, l)));
		}
	}
	return true;
}

/* ---- memory ---- */

static status add_memory(struct vm *vm)
{
	u64 low = min_u64(vm->memory, MON_PCI_HOLE), high = vm->memory - low;
	status r = pmap_add_range(&vm->pmap, gfn(0), low >> PAGE_SHIFT, PMAP_EMPTY, false);
	if (r == OK && high)
		r = pmap_add_range(&vm->pmap, gpa_frame(gpa(MON_PCI_HOLE_END)), high >> PAGE_SHIFT, PMAP_EMPTY, false);
	return r;
}

static status make_views(struct vm *vm)
{
	status r = pmap_init(&vm->pmap, vm->owner, &mm.pool, &mm.alloc);
	if (r == OK)
		r = add_memory(vm);
	if (r == OK)
		r = ptview_init(&vm->nested, "nested", &fmt_npt, &vm->pmap, &mm.settler, 0, PT_READ | PT_WRITE | PT_EXEC | PT_USER);
	if (r == OK)
		r = space_init(&vm->space, &vm->pmap, &mm.settler);
	vm->pmap.large = true;
	return r;
}

/* ---- processors ---- */

static void vcpu_timer_fired(struct hv_timer *t)
{
	struct vcpu *v = container_of(t, struct vcpu, timer);
	__atomic_fetch_or(&v->requests, REQUEST_TIMER, __ATOMIC_SEQ_CST);
	sched_wake(&v->entity);
}

static status make_private_half(struct vm *vm, struct vcpu *v)
{
	u64 base = PRIVATE_VM_BASE + v->id * PRIVATE_VCPU_STRIDE;
	u32 pages = PAGES_XSAVE + (u32)(align_up(max_u64(features.xsave_size, 512), PAGE_SIZE) >> PAGE_SHIFT);
	hfn_t f, vmcb = HFN_NONE;
	for (u32 i = 0; i < pages; i++) {
		status r = vm_map_private(vm, base + i * PAGE_SIZE, PT_READ | PT_WRITE, &f);
		if (r != OK)
			return r;
		if (i == PAGES_VMCB)
			vmcb = f;
	}
	v->p = (struct vcpu_private *)base;
	v->g = &v->p->cpu;
	v->g->area = (void *)(base + PAGES_VMCB * PAGE_SIZE);
	v->g->area_hpa = frame_hpa(vmcb);
	v->g->xsave = (void *)(base + PAGES_XSAVE * PAGE_SIZE);
	return OK;
}

static status make_vcpu(struct vm *vm, u32 id)
{
	struct vcpu *v = &vm->vcpu[id];
	v->entity = (struct entity){ .kind = ENTITY_VCPU, .vm = vm };
	v->id = id;
	v->blocked = id ? BLOCK_START | BLOCK_SIPI : BLOCK_START;
	status r = make_private_half(vm, v);
	if (r != OK)
		return r;
	timer_init(&v->timer, vcpu_timer_fired);
	lapic_reset(&v->lapic, id, id == 0, &lapic_ops, v);
	v->lapic.phys_bits = features.phys_bits;
	if (id == 0)
		lapic_virtual_wire(&v->lapic);
	v->timer_for = LAPIC_NO_DEADLINE;
	v->g->tsc_offset = vm->tsc_offset;
	backend_init_extended(v->g);
	vcpu_reset(v);
	return OK;
}

static void raw_cpuid(void *context, u32 leaf, u32 subleaf, u32 out[CPUID_REGISTERS])
{
	(void)context;
	struct cpuid r = cpuid(leaf, subleaf);
	out[CPUID_EAX] = r.eax;
	out[CPUID_EBX] = r.ebx;
	out[CPUID_ECX] = r.ecx;
	out[CPUID_EDX] = r.edx;
}

static void make_cpuid(struct vm *vm)
{
	struct cpuid_config config = {
		.vcpus = vm->vcpus, .tsc_khz = (u32)host_tsc_khz, .tsc_steady = host_tsc_steady, .kvm_clock = true,
		.xcr0_mask = features.xsave ? features.xcr0_mask : XCR0_X87 | XCR0_SSE, .phys_bits = features.phys_bits,
	};
	cpuid_build(&vm->cpuid, &config, raw_cpuid, NULL);
}

/* ---- the whole ---- */

static const char *judge(const struct vm_config *config, const struct boot_info *boot)
{
	static char text[160];
	u64 frames = config->memory >> PAGE_SHIFT, free = mm.alloc.free_frames;
	if (boot->module_count == 0)
		return "no kernel was given: the first boot module is the guest's kernel (./run guest FILE)";
	if (boot->module_count > MON_MAX_MODULES)
		return "there are more than 8 boot modules";
	if (config->vcpus == 0 || config->vcpus > VM_MAX_VCPUS)
		return "vcpus= must be from 1 to 8";
	if (config->memory < VM_MEMORY_LEAST || config->memory & PAGE_MASK) {
		format_text(text, sizeof text, "mem=%lu is not a memory size: at least 1M, in whole pages", config->memory);
		return text;
	}
	if (frames + HOST_RESERVE_FRAMES > free) {
		format_text(text, sizeof text, "mem=%luM is more than this host can give: %luM are free, %luM are missing",
			    config->memory >> 20, free >> (20 - PAGE_SHIFT), (frames + HOST_RESERVE_FRAMES - free) >> (20 - PAGE_SHIFT));
		return text;
	}
	return NULL;
}

const char *vm_create(struct vm *vm, owner_t owner, const struct vm_config *config, const struct boot_info *boot)
{
	const char *why = judge(config, boot);
	if (why)
		return why;
	format_text(vm->name, sizeof vm->name, "%s", config->name);
	vm->owner = owner;
	vm->memory = config->memory;
	vm->vcpus = config->vcpus;
	vm->boot = boot;
	vm->modules_left = 1;
	vm->started = tsc_now();
	vm->tsc_offset = 0 - vm->started;
	if (make_views(vm) != OK)
		return "there is no memory for its tables";
	space_link(this_cpu(), &vm->space);
	for (u32 i = 0; i < vm->vcpus; i++)
		if (make_vcpu(vm, i) != OK)
			return "there is no memory for its processors";
	make_cpuid(vm);
	why = monitor_load(vm, config);
	space_link(this_cpu(), NULL);
	return why;
}

void vm_start(struct vm *vm)
{
	vm->state = VM_RUNNING;
	monitor_post(vm, MON_ENTRY_START);
}
