/*
 * vm: a machine comes into being: memory, views, private halves, CPUID, monitor.
 */
#include "hv/hv.h"

#include "core/bits.h"
#include "x86/cpu/log.h"

#define PAGES_VMCB 1u
#define PAGES_XSAVE 2u /* first page of the XSAVE area */

/* All private frames, so that the end finds them whatever mapped them. Of the keeper while the VM is made or ends, else of its monitor's turns. */
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

status vm_map_private(struct vm *vm, u64 at, enum pt_rights rights, hfn_t *out)
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
	vm->private_frames++;
	return OK;
}

bool vm_release_private(struct vm *vm, u32 budget, struct settlement *s)
{
	for (u32 i = 0; i < budget; i++) {
		struct private_list *l = vm->private_list;
		if (!l)
			return false;
		if (l->count) {
			settle_add_frames(s, l->frame[--l->count], 1);
			vm->private_frames--;
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
	interrupts_request(container_of(t, struct vcpu, timer), REQUEST_TIMER);
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
	__builtin_memset((u8 *)v + sizeof v->entity, 0, sizeof *v - sizeof v->entity); /* the scheduler may know the entity */
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
	v->mtrrs.type = MTRR_DEF_ENABLE | MTRR_WRITE_BACK; /* as firmware hands over */
	backend_init_extended(v->g);
	vcpu_reset(v);
	return OK;
}

/* ---- the whole ---- */

/* Nothing of a former instance is left but these numbers. */
static void begin(struct vm *vm)
{
	vm->paused = vm->end_claimed = 0;
	vm->restart = vm->replay = false;
	vm->reaping = REAP_REST;
	vm->memory = vm->definition->memory;
	vm->vcpus = (u32)vm->definition->vcpus;
	vm->private_list = NULL;
	vm->private_frames = 0;
	vm->pmap.tree.root = vm->nested.table.root = vm->space.window.table.root = HFN_NONE;
	vm->nested.pmap = vm->space.window.pmap = &vm->pmap; /* an audit may come before they are made */
	vm->started = tsc_now();
	vm->tsc_offset = 0 - vm->started;
	monitor_begin(vm);
}

static status make_console(struct vm *vm)
{
	hfn_t f;
	status r = OK;
	for (u32 i = 0; i < CONSOLE_PAGES && r == OK; i++)
		r = vm_map_private(vm, PRIVATE_CONSOLE + i * PAGE_SIZE, PT_READ | PT_WRITE, &f);
	vm->scrollback = (u8 *)PRIVATE_CONSOLE;
	return r;
}

/* With the VM's space linked in. Interrupts are let in between two steps: the whole is longer than may be. */
static const char *make_inside(struct vm *vm)
{
	for (u32 i = 0; i < vm->vcpus; i++) {
		if (make_vcpu(vm, i) != OK)
			return "there is no memory for its processors";
		interrupts_take();
	}
	if (make_console(vm) != OK)
		return "there is no memory for its console";
	return monitor_load(vm);
}

const char *vm_make(struct vm *vm)
{
	begin(vm);
	if (make_views(vm) != OK)
		return "there is no memory for its tables";
	space_link(this_cpu(), &vm->space);
	const char *why = make_inside(vm);
	space_link(this_cpu(), NULL);
	return why;
}
