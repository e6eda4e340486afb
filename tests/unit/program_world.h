/*
 * program_world: a boot module that is to be a monitor's program, the private frames it is copied to, and what a plain loader would make of it.
 *
 * The module's frames are an allocation of its own with poison before and behind the file's bytes; a loader that reads one byte more ends.
 */
#ifndef TESTS_PROGRAM_WORLD_H
#define TESTS_PROGRAM_WORLD_H

#include "core/bits.h"
#include "hv/hv.h"
#include "x86/boot/boot.h"
#include "x86/mm/slots.h"

#include <elf.h>
#include <sanitizer/asan_interface.h>
#include <stdlib.h>
#include <string.h>

#define PROGRAM_BYTES (16u << 20)
#define PROGRAM_PAGES (PROGRAM_BYTES / PAGE_SIZE)
#define MODULE_FRAME 0x100u
#define PRIVATE_FRAME 0x10000u

struct page { bool mapped; enum pt_rights rights; u8 bytes[PAGE_SIZE]; };

static struct page pages[PROGRAM_PAGES], wanted[PROGRAM_PAGES];
static u8 *module_frames;
static u64 module_frame_count;
static u32 slots_open, pages_left; /* pages_left: private frames that there are */
static bool loaded;                /* the program is in, and the pages behind it were asked for */

static struct boot_info boot = { .module_count = 1 };
const struct boot_info *boot_info = &boot;
struct options options;
u64 host_tsc_khz = 1000;
const u8 monitor_elf_start[1], monitor_elf_end[1];
struct mm mm;

static inline void world_must(bool right)
{
	if (!right)
		abort();
}

/* ---- what is around the loader ---- */

void *slot_map(u32 slot, hfn_t frame)
{
	world_must(slot < SLOT_COUNT && !(slots_open >> slot & 1));
	slots_open |= 1u << slot;
	if (frame.v < PRIVATE_FRAME) {
		world_must(frame.v >= MODULE_FRAME && frame.v - MODULE_FRAME < module_frame_count);
		return module_frames + (frame.v - MODULE_FRAME) * PAGE_SIZE;
	}
	world_must(frame.v - PRIVATE_FRAME < PROGRAM_PAGES && pages[frame.v - PRIVATE_FRAME].mapped);
	return pages[frame.v - PRIVATE_FRAME].bytes;
}

void slot_unmap(u32 slot)
{
	world_must(slots_open >> slot & 1);
	slots_open &= ~(1u << slot);
}

/* The program's pages are there once each; behind them nothing is to be had, which ends the load. */
status vm_map_private(struct vm *vm, u64 at, enum pt_rights rights, hfn_t *out)
{
	(void)vm;
	world_must(!slots_open && !(at & PAGE_MASK));
	if (at >= PRIVATE_VM_BASE) {
		loaded = true;
		return NO_MEMORY;
	}
	u64 n = (at - MON_TEXT) / PAGE_SIZE;
	world_must(at >= MON_TEXT && n < PROGRAM_PAGES && !pages[n].mapped && rights & PT_USER && rights & PT_READ);
	if (!pages_left)
		return NO_MEMORY;
	pages_left--;
	pages[n].mapped = true;
	pages[n].rights = rights;
	*out = hfn(PRIVATE_FRAME + n);
	return OK;
}

void interrupts_take(void) { world_must(!slots_open); }
status space_map(struct space *s, u64 at, hfn_t frame, enum pt_rights rights) { (void)s, (void)at, (void)frame, (void)rights; abort(); }
const struct boot_module *module_of(const struct vm *vm, u32 n) { (void)vm, (void)n; abort(); }

/* ---- the plain loader ---- */

typedef unsigned __int128 wide;

static bool want_segment(const u8 *file, u64 length, const Elf64_Phdr *p, wide *free_from)
{
	wide at = p->p_vaddr, end = at + p->p_memsz;
	if (at < *free_from || end > (wide)MON_TEXT + PROGRAM_BYTES || p->p_filesz > p->p_memsz || (wide)p->p_offset + p->p_filesz > length)
		return false;
	for (u64 n = (p->p_vaddr - MON_TEXT) / PAGE_SIZE; MON_TEXT + n * PAGE_SIZE < end; n++) {
		wanted[n].mapped = true;
		wanted[n].rights = PT_READ | PT_USER | (p->p_flags & PF_W ? PT_WRITE : 0) | (p->p_flags & PF_X ? PT_EXEC : 0);
	}
	for (u64 i = 0; i < p->p_filesz; i++)
		wanted[(p->p_vaddr - MON_TEXT + i) / PAGE_SIZE].bytes[(p->p_vaddr + i) % PAGE_SIZE] = file[p->p_offset + i];
	*free_from = (end + PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE;
	return true;
}

/* Whether the file is a program. What lies before a bad segment may have been mapped. */
static bool want(const u8 *file, u64 length)
{
	Elf64_Ehdr e;
	wide free_from = MON_TEXT;
	if (length < sizeof e)
		return false;
	memcpy(&e, file, sizeof e);
	if (memcmp(e.e_ident, "\177ELF\2", 5) != 0 || e.e_type != 2 || e.e_machine != 62 || e.e_phnum < 1 || e.e_phnum > 8 || e.e_phentsize != 56 ||
	    (wide)e.e_phoff + e.e_phnum * 56u > length || e.e_entry < MON_TEXT || e.e_entry >= MON_TEXT + PROGRAM_BYTES)
		return false;
	for (u32 i = 0; i < e.e_phnum; i++) {
		Elf64_Phdr p;
		memcpy(&p, file + e.e_phoff + i * 56u, sizeof p);
		if (p.p_type == 1 && p.p_memsz && !want_segment(file, length, &p, &free_from))
			return false;
	}
	return true;
}

/* ---- one load ---- */

static void clear(struct page *all)
{
	for (u32 i = 0; i < PROGRAM_PAGES; i++)
		if (all[i].mapped)
			memset(&all[i], 0, sizeof all[i]);
}

static bool same_pages(void)
{
	for (u32 i = 0; i < PROGRAM_PAGES; i++)
		if (pages[i].mapped != wanted[i].mapped || pages[i].rights != wanted[i].rights || memcmp(pages[i].bytes, wanted[i].bytes, PAGE_SIZE) != 0)
			return false;
	return true;
}

/* The file begins at `offset` in its first frame. The loader's answer; NULL never, for want of what comes behind the program. */
static const char *load(const u8 *file, u64 length, u32 offset, u32 frames)
{
	static const struct machine_definition definition = { .name = "tested", .monitor = 0 };
	struct vm *vm = calloc(1, sizeof *vm);
	module_frame_count = (offset + length + PAGE_SIZE - 1) / PAGE_SIZE;
	module_frames = aligned_alloc(PAGE_SIZE, module_frame_count * PAGE_SIZE + PAGE_SIZE);
	world_must(vm && module_frames);
	clear(pages);
	clear(wanted);
	slots_open = 0;
	pages_left = frames;
	loaded = false;
	memcpy(module_frames + offset, file, length);
	ASAN_POISON_MEMORY_REGION(module_frames, offset);
	ASAN_POISON_MEMORY_REGION(module_frames + offset + length, module_frame_count * PAGE_SIZE + PAGE_SIZE - offset - length);
	boot.module[0] = (struct boot_module){ .first = hpa(MODULE_FRAME * PAGE_SIZE + offset), .bytes = length };
	vm->definition = &definition;
	const char *why = monitor_load(vm);
	world_must(!slots_open && why);
	ASAN_UNPOISON_MEMORY_REGION(module_frames, module_frame_count * PAGE_SIZE + PAGE_SIZE);
	free(module_frames);
	free(vm);
	return why;
}

#endif
