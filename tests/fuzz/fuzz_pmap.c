/*
 * fuzz_pmap: a VM's memory and both views of it, against a plain model, with core's audit and the adversary's TLBs after each step.
 *
 * Steps of 6 bytes: guests and monitors touch, views are resolved, protected, split and merged, ranges released, processors enter and leave,
 * allocations fail, VMs end and begin again. The model is an array with one element for each guest frame:
 *
 *   frame   once backed, it stays where it is until it is released
 *   right   of each view: only a fault of that view adds one, only a release or a protection takes one away
 *
 * What stands in the frames is judged by the fake machine itself: zeros, or the VM's own marks.
 */
#include "core/bits.h"
#include "sim/sim.h"
#include "tests/fuzz/must.h"

#include <string.h>

#define FRAMES (8 * BLOCK_FRAMES)
#define RAM (2 * BLOCK_FRAMES + 5)
#define STEP_BYTES 6u
#define STEPS_MOST 48u
#define VIEWS 2u
#define VMS 2u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { READABLE = 1, WRITABLE = 2 };
struct page { u64 frame; u8 right[VIEWS]; };

static struct {
	struct sim *s;
	struct page page[VMS][RAM];
	bool failing;
} f;

static u8 ram[FRAMES * PAGE_SIZE] __attribute__((aligned(BLOCK_SIZE)));

static struct sim_vm *vm_of(u32 v) { return &f.s->vm[v]; }
static struct ptview *view_of(u32 v, u32 which) { return which ? &vm_of(v)->window : &vm_of(v)->nested; }
static void may_fail(status st) { must(st == OK || (st == NO_MEMORY && f.failing), "a step answers something else"); }

/* ---- what the MMU sees, against the model ---- */

static struct mmu_translation look(u32 v, u32 which, u32 page)
{
	const struct ptview *view = view_of(v, which);
	return mmu_walk_from(&f.s->ram, frame_hpa(view->table.root).v, 4, view->base + ((u64)(SIM_RAM_FIRST + page) << PAGE_SHIFT));
}

static u8 rights_of(const struct mmu_translation *t) { return (u8)(t->present ? READABLE | (t->write ? WRITABLE : 0) : 0); }

/* [first, end) may have gained what a fault gives; nothing else has changed. */
static void compare_view(u32 v, u32 which, u32 first, u32 end)
{
	struct mmu_translation t = { .table_count = 4 };
	u32 whole = RAM; /* where the block began whose entry has no level 1 table */
	for (u32 i = 0; i < RAM; i++) {
		struct page *p = &f.page[v][i];
		if (i % BLOCK_FRAMES == 0 || t.table_count == 4) {
			t = look(v, which, i);
			whole = i;
		}
		u8 right = rights_of(&t);
		must(!t.present || t.frame + (t.table_count == 4 ? 0 : i - whole) == p->frame, "a view names another frame than the truth");
		if (i >= first && i < end)
			p->right[which] |= right;
		must(p->right[which] == right, right > p->right[which] ? "a view gives what no fault has asked for" : "a view has lost a page");
	}
}

static void compare_truth(u32 v, u32 first, u32 end)
{
	u64 resident = 0;
	for (u32 i = 0; i < RAM; i++) {
		struct page *p = &f.page[v][i];
		struct pmap_backing b = pmap_look(&vm_of(v)->pmap, gfn(SIM_RAM_FIRST + i));
		u64 frame = b.state == PMAP_PRESENT ? b.frame.v : 0;
		if (i >= first && i < end && !p->frame)
			p->frame = frame;
		must(frame == p->frame, p->frame ? "the truth has lost a frame, or moved it" : "a frame is backed that nobody has touched");
		resident += frame != 0;
	}
	must(resident == vm_of(v)->pmap.resident, "as many are resident as are counted");
}

/* `v`: whose pages [first, end) a fault may have filled. */
static void compare_all(u32 v, u32 first, u32 end)
{
	for (u32 i = 0; i < VMS; i++) {
		if (!vm_of(i)->alive)
			continue;
		compare_truth(i, first, i == v ? end : first);
		for (u32 which = 0; which < VIEWS; which++)
			compare_view(i, which, first, i == v ? end : first);
	}
	sim_judge(f.s);
	sim_audit(f.s);
}

/* A fault fills at most the aligned 2 MiB around it. */
static void compare_block(u32 v, u32 page)
{
	u32 first = page - page % BLOCK_FRAMES;
	compare_all(v, first, (u32)min_u64(first + BLOCK_FRAMES, RAM));
}

/* ---- steps ---- */

static void start(u32 v)
{
	status st = sim_vm_start(f.s, vm_of(v), (owner_t)(OWNER_FIRST_VM + v), RAM);
	memset(f.page[v], 0, sizeof(f.page[v]));
	may_fail(st);
}

static void end(u32 v)
{
	f.s->alloc.fail_after = -1; /* what ends a VM splits nothing, but the settler's processors go on */
	sim_vm_end(f.s, vm_of(v));
}

/* The vCPU leaves wherever it runs, and enters there. */
static void enter(u32 v, u32 vcpu, unsigned cpu)
{
	for (unsigned c = 0; c < SIM_CPUS; c++)
		if (f.s->cpu[c].running == &vm_of(v)->vcpu[vcpu])
			sim_leave(f.s, c);
	if (f.s->cpu[cpu].running)
		sim_leave(f.s, cpu);
	sim_space(f.s, cpu, vm_of(v));
	sim_enter(f.s, cpu, &vm_of(v)->vcpu[vcpu]);
}

static void touch(u32 v, u32 page, unsigned cpu, bool window, bool write)
{
	if (window) {
		if (f.s->cpu[cpu].running)
			sim_leave(f.s, cpu);
		sim_space(f.s, cpu, vm_of(v));
		may_fail(sim_touch_window(f.s, cpu, SIM_RAM_FIRST + page, write));
	} else {
		enter(v, page & 1, cpu);
		may_fail(sim_touch(f.s, cpu, SIM_RAM_FIRST + page, write));
	}
	compare_block(v, page);
}

static void resolve(u32 v, u32 page, u32 which, enum pmap_access access)
{
	u32 tries = 0;
	status st;
	do
		st = ptview_resolve(view_of(v, which), frame_gpa(gfn(SIM_RAM_FIRST + page)), access);
	while (st == AGAIN && ++tries < BLOCK_FRAMES);
	if (which && (access & PMAP_EXEC)) {
		must(st == DENIED, "a window lets its bytes be executed");
	} else {
		may_fail(st);
		u8 right = (u8)(READABLE | (access & PMAP_WRITE ? WRITABLE : 0));
		struct mmu_translation t = look(v, which, page);
		must(st != OK || (rights_of(&t) & right) == right, "a fault is resolved, and the page is not there");
	}
	compare_block(v, page);
}

static void outside(u32 v, u32 which)
{
	must(ptview_resolve(view_of(v, which), frame_gpa(gfn(SIM_RAM_FIRST + RAM)), PMAP_READ) == DEVICE, "a device's page is something else");
	must(ptview_resolve(view_of(v, which), frame_gpa(gfn(SIM_RAM_FIRST - 1)), PMAP_WRITE) == BAD_ADDRESS, "nothing is something");
}

static void release(u32 v, u32 first, u32 count, u32 budget)
{
	status st = sim_release(f.s, vm_of(v), SIM_RAM_FIRST + first, count, budget);
	may_fail(st);
	for (u32 i = first; i < first + count; i++) {
		struct pmap_backing b = pmap_look(&vm_of(v)->pmap, gfn(SIM_RAM_FIRST + i));
		must(st != OK || b.state == PMAP_EMPTY, "what was released is still backed");
		if (b.state == PMAP_EMPTY)
			f.page[v][i] = (struct page){ 0 };
		for (u32 which = 0; which < VIEWS && st != OK; which++) { /* a part of it: views go first */
			struct mmu_translation t = look(v, which, i);
			f.page[v][i].right[which] &= rights_of(&t);
		}
	}
	compare_all(v, 0, 0);
}

/* Out of the guest, under the lock, and paid: what ring 0 does to a view. */
static status change(u32 v, u32 page, u32 count, status (*how)(struct sim_vm *vm, gfn_t at, u64 count, struct settlement *debt))
{
	if (f.s->cpu[f.s->current].running)
		sim_leave(f.s, f.s->current);
	f.s->patience = 0;
	SETTLEMENT(debt, &f.s->settler);
	lock_take(&vm_of(v)->pmap.lock);
	status st = how(vm_of(v), gfn(SIM_RAM_FIRST + page), count, &debt);
	lock_give(&vm_of(v)->pmap.lock);
	settle(&debt);
	return st;
}

static status do_protect(struct sim_vm *vm, gfn_t at, u64 count, struct settlement *debt)
{
	return ptview_protect(&vm->nested, at, count, debt);
}

static status do_merge_truth(struct sim_vm *vm, gfn_t at, u64 count, struct settlement *debt)
{
	(void)count;
	return pmap_merge(&vm->pmap, at, debt);
}

static status do_merge_views(struct sim_vm *vm, gfn_t at, u64 count, struct settlement *debt)
{
	status nested = ptview_merge(&vm->nested, at, debt), window = ptview_merge(&vm->window, at, debt);
	(void)count;
	return nested == OK ? window : nested;
}

static status do_split(struct sim_vm *vm, gfn_t at, u64 count, struct settlement *debt)
{
	struct pt *t = count == 0 ? &vm->nested.table : count == 1 ? &vm->window.table : &vm->pmap.tree;
	u64 base = count == 1 ? vm->window.base : 0;
	struct pt_slot slot;
	(void)debt;
	return pt_reach(t, base + frame_gpa(at).v, 1, &slot);
}

static bool written(u32 v, u32 page)
{
	struct mmu_translation t = look(v, 0, page);
	return t.present && (*t.entry & fmt_npt.dirty);
}

static bool writes_in_guest(u32 v, u32 page)
{
	for (unsigned cpu = 0; cpu < SIM_CPUS; cpu++)
		if (f.s->cpu[cpu].running && sim_usable_on(f.s, cpu, vm_of(v), SIM_RAM_FIRST + page, true))
			return true;
	return false;
}

static void protect(u32 v, u32 first, u32 count)
{
	bool was = written(v, first);
	status st = change(v, first, count, do_protect);
	may_fail(st);
	must(!was || written(v, first), "D does not outlive a protection");
	for (u32 i = first; i < first + count; i++) {
		struct mmu_translation t = look(v, 0, i);
		must(st != OK || !t.write || !t.present, "what was protected can be written");
		must(st != OK || !writes_in_guest(v, i), "a processor still writes what was protected");
		f.page[v][i].right[0] &= st == OK ? READABLE : rights_of(&t);
	}
	compare_all(v, 0, 0);
}

static void merge(u32 v, u32 page, bool views)
{
	bool was = written(v, page);
	status st = change(v, page, 0, views ? do_merge_views : do_merge_truth);
	must(st == OK || st == NOT_THERE, "a merge answers something else");
	must(!was || written(v, page), "D does not outlive a merge");
	compare_all(v, 0, 0);
}

static void split(u32 v, u32 page, u32 which)
{
	bool was = written(v, page);
	may_fail(change(v, page, which, do_split));
	must(!was || written(v, page), "D does not outlive a split");
	compare_all(v, 0, 0);
}

static void step_alive(u32 v, const u8 *b)
{
	u32 page = (b[2] | (u32)b[3] << 8) % RAM, count = 1 + (b[4] | (u32)b[5] << 8) % (RAM - page);
	unsigned cpu = b[1] >> 1 & 3;
	f.s->current = cpu;
	switch (b[0] % 16) {
	case 0: case 1: case 2: touch(v, page, cpu, b[4] & 1, b[4] & 2); break;
	case 3: resolve(v, page, b[4] & 1, b[4] & 2 ? PMAP_WRITE : b[4] & 4 ? PMAP_EXEC : PMAP_READ); break;
	case 4: release(v, page, count, 1 + b[0]); break;
	case 5: release(v, page - page % BLOCK_FRAMES, (u32)min_u64(BLOCK_FRAMES, RAM - (page - page % BLOCK_FRAMES)), 1000); break;
	case 6: release(v, page, 1, 10); break;
	case 7: protect(v, page, count); break;
	case 8: protect(v, page, 1); break;
	case 9: merge(v, page, false); break;
	case 10: merge(v, page, true); break;
	case 11: split(v, page, b[4] % 3); break;
	case 12: enter(v, b[4] & 1, cpu); break;
	case 13: vm_of(v)->pmap.large = b[4] & 1; break;
	case 14: outside(v, b[4] & 1); break;
	default:
		end(v);
		compare_all(v, 0, 0);
	}
}

static void step(const u8 *b)
{
	u32 v = b[1] & 1;
	f.failing = f.s->alloc.fail_after >= 0;
	if (b[1] & 0x80) {
		f.s->alloc.fail_after = b[4] & 1 ? b[5] % 8 : -1;
	} else if (b[1] & 0x40) {
		unsigned cpu = b[1] >> 1 & 3;
		if (f.s->cpu[cpu].running)
			sim_leave(f.s, cpu);
		else
			sim_space(f.s, cpu, NULL);
	} else if (b[1] & 0x20) {
		for (u32 i = 0; i < b[4] && alloc_scrub_slice(&f.s->alloc); i++)
			continue;
	} else if (!vm_of(v)->alive) {
		start(v);
		compare_all(v, 0, 0);
	} else {
		step_alive(v, b);
	}
	sim_adversary(f.s, 6);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	f.s = sim_new(&(struct sim_config){ .seed = data[0], .frames = FRAMES, .ram = ram, .tags = 3 + (data[0] & 3), .flush_by_tag = data[0] & 4,
					    .small = data[0] & 8 });
	for (size_t at = 1, n = 0; at + STEP_BYTES <= size && n < STEPS_MOST; at += STEP_BYTES, n++)
		step(data + at);
	for (u32 v = 0; v < VMS; v++)
		if (vm_of(v)->alive)
			end(v);
	must(f.s->pool.used_frames == 0, "a table is left");
	sim_audit(f.s);
	sim_free(f.s);
	return 0;
}
