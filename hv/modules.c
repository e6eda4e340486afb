/*
 * modules: the files that the loader put into memory. Definitions hold them as long as a start may need them; then their frames go home.
 *
 * A module is used for what the guest's loader copies (kernel, modules), as a disk's image, or as a monitor's program. A machine that is
 * started once only (reset=end, start=yes) lets go of each as soon as it is copied; any other when it is forgotten.
 */
#include "core/bits.h"
#include "hv/hv.h"
#include "x86/boot/boot.h"

#define FREE_FRAMES 256u /* to a slice */

static u32 users[BOOT_MAX_MODULES];

static void count(u32 module, s32 by)
{
	if (module != MODULE_NONE)
		__atomic_add_fetch(&users[module], (u32)by, __ATOMIC_SEQ_CST);
}

static void count_uses(const struct machine_definition *d, u32 uses, s32 by)
{
	if (uses & USE_IMAGES) {
		count(d->kernel, by);
		for (u32 i = 0; i < d->modules.count; i++)
			count(d->modules.at[i], by);
	}
	if (uses & USE_DISK && d->disk.kind == MON_DISK_IMAGE)
		count(d->disk.module, by);
	if (uses & USE_MONITOR)
		count(d->monitor, by);
}

void modules_hold(struct vm *vm)
{
	vm->modules_held = USE_ALL;
	count_uses(vm->definition, USE_ALL, 1);
}

static u64 frames_of(const struct boot_module *m)
{
	return align_up((m->first.v & PAGE_MASK) + m->bytes, PAGE_SIZE) >> PAGE_SHIFT;
}

static void free_module(const struct boot_module *m)
{
	u64 first = m->first.v >> PAGE_SHIFT, end = m->bytes ? first + frames_of(m) : first;
	for (u64 at = first; at < end; at += FREE_FRAMES) {
		SETTLEMENT(s, &mm.settler);
		settle_add_frames(&s, hfn(at), (u32)min_u64(end - at, FREE_FRAMES));
		settle(&s);
		interrupts_take();
	}
}

/* A module's last user frees it; 0 users is not enough to know, for two may look: who takes the mark does it. */
void modules_free_unused(void)
{
	static u32 freed[BOOT_MAX_MODULES];
	for (u32 i = 0; i < boot_info->module_count; i++)
		if (!users[i] && !__atomic_exchange_n(&freed[i], 1, __ATOMIC_SEQ_CST))
			free_module(&boot_info->module[i]);
}

_Atomic u32 modules_changing;

void modules_drop(struct vm *vm, u32 uses)
{
	modules_changing++;
	audit_disturb();
	uses &= __atomic_fetch_and(&vm->modules_held, ~uses, __ATOMIC_SEQ_CST);
	count_uses(vm->definition, uses, -1);
	modules_free_unused();
	modules_changing--;
}

u64 modules_frames(void)
{
	u64 sum = 0;
	for (u32 i = 0; i < boot_info->module_count; i++)
		if (users[i] && boot_info->module[i].bytes)
			sum += frames_of(&boot_info->module[i]);
	return sum;
}

const struct boot_module *module_of(const struct vm *vm, u32 n)
{
	const struct machine_definition *d = vm->definition;
	u32 module = MODULE_NONE;
	if (n == 0)
		module = d->kernel;
	else if (n <= d->modules.count)
		module = d->modules.at[n - 1];
	else if (n == d->modules.count + 1 && d->disk.kind == MON_DISK_IMAGE)
		module = d->disk.module;
	return module == MODULE_NONE ? NULL : &boot_info->module[module];
}
