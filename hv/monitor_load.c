/*
 * monitor_load: the monitor's program into a VM's space, and what it is told.
 *
 * Ringmur's own is part of its image: text and constants are mapped from there, read-only, into each VM; data is copied into private frames.
 * A definition may name another program (monitor=): a boot module, of which everything is copied, and nothing believed.
 */
#include <elf.h>

#include "core/bits.h"
#include "hv/hv.h"
#include "x86/boot/boot.h"
#include "x86/cpu/log.h"
#include "x86/cpu/regs.h"
#include "x86/cpu/string.h"
#include "x86/mm/slots.h"

extern const u8 monitor_elf_start[], monitor_elf_end[];

#define SEGMENTS_MAX 8u
#define PROGRAM_MAX (16ull << 20) /* bytes from MON_TEXT on */
#define SLOT_TO (SLOT_COUNT - 1)
#define SLOT_FROM (SLOT_COUNT - 2)

static const char *const no_memory = "there is no memory for its monitor";
static const char *const no_program = "its monitor= is no program: a static ELF64 for x86-64, linked at MON_TEXT (include/abi/monitor.h)";

/* Where the program's file is: in Ringmur's image, or in the frames of a boot module, which no map of ring 0 has. */
struct program {
	const u8 *image;
	u64 bytes;
	hpa_t module;
};

static void read_program(const struct program *p, u64 offset, void *to, u64 bytes)
{
	u8 *out = to;
	if (p->image) {
		memcpy(to, p->image + offset, bytes);
		return;
	}
	while (bytes) {
		u64 at = p->module.v + offset, here = min_u64(bytes, PAGE_SIZE - (at & PAGE_MASK));
		memcpy(out, (const u8 *)slot_map(SLOT_FROM, hpa_frame(hpa(at))) + (at & PAGE_MASK), here);
		slot_unmap(SLOT_FROM);
		offset += here;
		out += here;
		bytes -= here;
	}
}

/* A page of the program as a private frame with what the file has of it. */
static bool copy_page(struct vm *vm, const struct program *program, u64 at, const Elf64_Phdr *p)
{
	hfn_t f;
	enum pt_rights rights = PT_READ | PT_USER | (p->p_flags & PF_X ? PT_EXEC : 0) | (p->p_flags & PF_W ? PT_WRITE : 0);
	if (vm_map_private(vm, at, rights, &f) != OK)
		return false;
	u64 first = max_u64(at, p->p_vaddr), end = min_u64(at + PAGE_SIZE, p->p_vaddr + p->p_filesz);
	if (first < end) {
		u8 *page = slot_map(SLOT_TO, f);
		read_program(program, p->p_offset + (first - p->p_vaddr), page + (first & PAGE_MASK), end - first);
		slot_unmap(SLOT_TO);
	}
	return true;
}

/* One that only Ringmur's image has: all VMs' monitors share it. */
static bool share_page(struct vm *vm, const struct program *program, u64 at, const Elf64_Phdr *p)
{
	const u8 *page = program->image + p->p_offset + (at - p->p_vaddr);
	enum pt_rights rights = PT_READ | PT_USER | (p->p_flags & PF_X ? PT_EXEC : 0);
	return space_map(&vm->space, at, hpa_frame(image_hpa(page)), rights) == OK;
}

/* Interrupts are let in between two pages: the whole is longer than may be. */
static const char *map_segment(struct vm *vm, const struct program *program, const Elf64_Phdr *p)
{
	for (u64 at = align_down(p->p_vaddr, PAGE_SIZE); at < p->p_vaddr + p->p_memsz; at += PAGE_SIZE) {
		bool shared = program->image && !(p->p_flags & PF_W);
		if (!(shared ? share_page(vm, program, at, p) : copy_page(vm, program, at, p)))
			return no_memory;
		interrupts_take();
	}
	return NULL;
}

static bool is_program(const Elf64_Ehdr *e, u64 bytes)
{
	return memcmp(e->e_ident, ELFMAG, SELFMAG) == 0 && e->e_ident[EI_CLASS] == ELFCLASS64 && e->e_type == ET_EXEC &&
	       e->e_machine == EM_X86_64 && e->e_phnum && e->e_phnum <= SEGMENTS_MAX && e->e_phentsize == sizeof(Elf64_Phdr) &&
	       e->e_phoff <= bytes && bytes - e->e_phoff >= e->e_phnum * sizeof(Elf64_Phdr) &&
	       e->e_entry - MON_TEXT < PROGRAM_MAX;
}

/* Segments lie in the program's place, on pages of their own, and in the file. */
static bool is_segment(const Elf64_Phdr *p, u64 bytes, u64 after)
{
	return p->p_vaddr >= after && p->p_vaddr - MON_TEXT < PROGRAM_MAX && p->p_memsz <= PROGRAM_MAX - (p->p_vaddr - MON_TEXT) &&
	       p->p_filesz <= p->p_memsz && p->p_offset <= bytes && p->p_filesz <= bytes - p->p_offset;
}

static const char *load_program(struct vm *vm, const struct program *program, u64 *entry)
{
	Elf64_Ehdr e;
	Elf64_Phdr p;
	const char *why = NULL;
	u64 after = MON_TEXT;
	if (program->bytes < sizeof e)
		return no_program;
	read_program(program, 0, &e, sizeof e);
	if (!is_program(&e, program->bytes))
		return no_program;
	for (u32 i = 0; i < e.e_phnum && !why; i++) {
		read_program(program, e.e_phoff + i * sizeof p, &p, sizeof p);
		if (p.p_type != PT_LOAD || !p.p_memsz)
			continue;
		if (!is_segment(&p, program->bytes, after))
			return no_program;
		after = align_up(p.p_vaddr + p.p_memsz, PAGE_SIZE);
		why = map_segment(vm, program, &p);
	}
	*entry = e.e_entry;
	return why;
}

static struct program program_of(const struct vm *vm)
{
	u32 module = vm->definition->monitor;
	if (module == MODULE_NONE)
		return (struct program){ .image = monitor_elf_start, .bytes = (u64)monitor_elf_end - (u64)monitor_elf_start };
	return (struct program){ .module = boot_info->module[module].first, .bytes = boot_info->module[module].bytes };
}

static void fill_info(struct mon_info *info, struct vm *vm)
{
	const struct machine_definition *d = vm->definition;
	const struct boot_module *b;
	u64 at = MON_MODULES;
	info->version = MON_ABI_VERSION;
	info->vcpus = vm->vcpus;
	info->memory = vm->memory;
	info->tsc_khz = host_tsc_khz;
	info->wall_clock = boot_info->wall_clock - boot_info->boot_tsc / (host_tsc_khz * 1000);
	info->module_count = 1 + d->modules.count;
	info->mark_port = (u32)options.mark_port;
	info->disk = d->disk;
	info->disk.module = info->module_count;
	format_text(info->name, sizeof info->name, "%s", d->name);
	format_text(info->cmdline, sizeof info->cmdline, "%s", d->cmdline);
	for (u32 i = 0; (b = module_of(vm, i)); i++) {
		u64 offset = b->first.v & PAGE_MASK;
		info->module[i].address = at + offset;
		info->module[i].size = b->bytes;
		format_text(info->module[i].cmdline, sizeof info->module[i].cmdline, "%s", b->cmdline);
		at += align_up(offset + b->bytes, PAGE_SIZE);
	}
}

/* mon_info and mon_comm: private frames that ring 0 sees at a place of its own. */
static bool map_shared(struct vm *vm, u64 user_at, u64 ring0_at, u64 bytes, enum pt_rights user_rights)
{
	for (u64 i = 0; i < bytes; i += PAGE_SIZE) {
		hfn_t f;
		if (vm_map_private(vm, ring0_at + i, PT_READ | PT_WRITE, &f) != OK || space_map(&vm->space, user_at + i, f, user_rights) != OK)
			return false;
	}
	return true;
}

const char *monitor_load(struct vm *vm)
{
	struct program program = program_of(vm);
	struct monitor *m = &vm->monitor;
	const char *why = load_program(vm, &program, &m->regs.rip);
	if (why)
		return why;
	if (!map_shared(vm, MON_INFO, PRIVATE_INFO, sizeof(struct mon_info), PT_READ | PT_USER) ||
	    !map_shared(vm, MON_COMM, PRIVATE_COMM, sizeof(struct mon_comm), PT_READ | PT_WRITE | PT_USER))
		return no_memory;
	fill_info((struct mon_info *)PRIVATE_INFO, vm);
	m->comm = (struct mon_comm *)PRIVATE_COMM;
	m->regs.rsp = MON_STACK_TOP - sizeof(u64); /* as after a call */
	m->regs.rflags = RFLAGS_ONE | RFLAGS_IF;
	return NULL;
}
