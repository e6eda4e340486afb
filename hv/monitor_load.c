/*
 * monitor_load: the monitor's program into a VM's space, and what it is told.
 *
 * The program is part of Ringmur's image: text and constants are mapped from there, read-only, into each VM; its data is copied into
 * private frames.
 */
#include <elf.h>

#include "core/bits.h"
#include "hv/hv.h"
#include "x86/boot/boot.h"
#include "x86/cpu/regs.h"

extern const u8 monitor_elf_start[];

static const char *const no_memory = "there is no memory for its monitor";

/* A page of the program's data: a private frame with what the file has of it. */
static bool map_data_page(struct vm *vm, u64 at, const Elf64_Phdr *p)
{
	hfn_t f;
	if (vm_map_private(vm, at, PT_READ | PT_WRITE | PT_USER, &f) != OK)
		return false;
	u64 first = max_u64(at, p->p_vaddr), end = min_u64(at + PAGE_SIZE, p->p_vaddr + p->p_filesz);
	if (first >= end)
		return true;
	return window_fill(first, monitor_elf_start + p->p_offset + (first - p->p_vaddr), end - first);
}

static bool map_constant_page(struct vm *vm, u64 at, const Elf64_Phdr *p)
{
	const u8 *page = monitor_elf_start + p->p_offset + (at - p->p_vaddr);
	enum pt_rights rights = PT_READ | PT_USER | (p->p_flags & PF_X ? PT_EXEC : 0);
	lock_take(&vm->pmap.lock);
	status r = space_map(&vm->space, at, hpa_frame(image_hpa(page)), rights);
	lock_give(&vm->pmap.lock);
	return r == OK;
}

static bool map_segment(struct vm *vm, const Elf64_Phdr *p)
{
	for (u64 at = align_down(p->p_vaddr, PAGE_SIZE); at < p->p_vaddr + p->p_memsz; at += PAGE_SIZE)
		if (!(p->p_flags & PF_W ? map_data_page(vm, at, p) : map_constant_page(vm, at, p)))
			return false;
	return true;
}

static void copy_text(char *to, size_t room, const char *from)
{
	size_t i = 0;
	for (; from && from[i] && i + 1 < room; i++)
		to[i] = from[i];
	to[i] = 0;
}

static void fill_info(struct mon_info *info, struct vm *vm, const struct vm_config *config)
{
	const struct boot_info *boot = vm->boot;
	u64 at = MON_MODULES;
	info->version = MON_ABI_VERSION;
	info->vcpus = vm->vcpus;
	info->memory = vm->memory;
	info->tsc_khz = host_tsc_khz;
	info->wall_clock = boot->wall_clock - boot->boot_tsc / (host_tsc_khz * 1000);
	info->module_count = boot->module_count;
	info->cpu_phys_bits = features.phys_bits;
	info->mark_port = config->mark_port;
	copy_text(info->name, sizeof info->name, vm->name);
	copy_text(info->cmdline, sizeof info->cmdline, boot->module[0].cmdline);
	for (u32 i = 0; i < boot->module_count; i++) {
		u64 offset = boot->module[i].first.v & PAGE_MASK;
		info->module[i].address = at + offset;
		info->module[i].size = boot->module[i].bytes;
		copy_text(info->module[i].cmdline, sizeof info->module[i].cmdline, boot->module[i].cmdline);
		at += align_up(offset + boot->module[i].bytes, PAGE_SIZE);
	}
}

/* mon_info and mon_comm: private frames that ring 0 sees at a place of its own. */
static bool map_shared(struct vm *vm, u64 user_at, u64 ring0_at, u64 bytes, enum pt_rights user_rights)
{
	for (u64 i = 0; i < bytes; i += PAGE_SIZE) {
		hfn_t f;
		if (vm_map_private(vm, ring0_at + i, PT_READ | PT_WRITE, &f) != OK)
			return false;
		lock_take(&vm->pmap.lock);
		status r = space_map(&vm->space, user_at + i, f, user_rights);
		lock_give(&vm->pmap.lock);
		if (r != OK)
			return false;
	}
	return true;
}

static void timer_fired(struct hv_timer *t)
{
	monitor_post(container_of(t, struct vm, monitor.timer), MON_ENTRY_TIMER);
}

const char *monitor_load(struct vm *vm, const struct vm_config *config)
{
	const Elf64_Ehdr *e = (const Elf64_Ehdr *)monitor_elf_start;
	const Elf64_Phdr *p = (const Elf64_Phdr *)(monitor_elf_start + e->e_phoff);
	struct monitor *m = &vm->monitor;
	CHECK(e->e_type == ET_EXEC);
	for (u32 i = 0; i < e->e_phnum; i++)
		if (p[i].p_type == PT_LOAD && !map_segment(vm, &p[i]))
			return no_memory;
	if (!map_shared(vm, MON_INFO, PRIVATE_INFO, sizeof(struct mon_info), PT_READ | PT_USER) ||
	    !map_shared(vm, MON_COMM, PRIVATE_COMM, sizeof(struct mon_comm), PT_READ | PT_WRITE | PT_USER))
		return no_memory;
	fill_info((struct mon_info *)PRIVATE_INFO, vm, config);
	m->entity = (struct entity){ .kind = ENTITY_MONITOR, .vm = vm };
	m->comm = (struct mon_comm *)PRIVATE_COMM;
	m->regs.rip = e->e_entry;
	m->regs.rsp = MON_STACK_TOP - sizeof(u64); /* as after a call */
	m->regs.rflags = RFLAGS_ONE | RFLAGS_IF;
	timer_init(&m->timer, timer_fired);
	return NULL;
}
