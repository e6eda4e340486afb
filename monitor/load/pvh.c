/*
 * pvh: an ELF kernel that names a 32-bit entry in a note (XEN_ELFNOTE_PHYS32_ENTRY) and takes struct hvm_start_info in EBX
 * (Xen's public headers elfnote.h and arch-x86/hvm/start_info.h).
 */
#include "monitor/lib/bits.h"
#include "monitor/lib/log.h"
#include "monitor/lib/string.h"
#include "monitor/load/elf.h"
#include "monitor/platform/acpi.h"

#define NOTE_HEADER 12u
#define NOTE_ALIGN 4u
#define NOTE_NAME "Xen"
#define NOTE_PHYS32_ENTRY 18u

#define START_MAGIC 0x336ec578u
#define START_VERSION 1u

struct start_info {
	u32 magic, version, flags, module_count;
	u64 modules, cmdline, rsdp, memory_map;
	u32 memory_map_count, reserved;
};
static_assert(sizeof(struct start_info) == 56, "start_info.h");

struct start_module {
	u64 address, size, cmdline, reserved;
};
struct start_memory {
	u64 address, size;
	u32 type, reserved;
};
static_assert(sizeof(struct start_module) == 32 && sizeof(struct start_memory) == 24, "start_info.h");

#define CODE_SELECTOR 0x08u
#define DATA_SELECTOR 0x10u

/* Walk the notes of one segment; true when the entry is among them. */
static bool find_in_notes(const u8 *at, u64 size, u64 *entry)
{
	while (size >= NOTE_HEADER) {
		u64 name = load_u32(at), desc = load_u32(at + 4);
		u64 name_bytes = align_up(name, NOTE_ALIGN), bytes = NOTE_HEADER + name_bytes + align_up(desc, NOTE_ALIGN);

		if (bytes > size)
			return false;
		if (load_u32(at + 8) == NOTE_PHYS32_ENTRY && name == sizeof(NOTE_NAME) &&
		    memcmp(at + NOTE_HEADER, NOTE_NAME, sizeof(NOTE_NAME)) == 0 && desc >= sizeof(u32)) {
			*entry = desc >= sizeof(u64) ? load_u64(at + NOTE_HEADER + name_bytes) :
						       load_u32(at + NOTE_HEADER + name_bytes);
			return true;
		}
		at += bytes;
		size -= bytes;
	}
	return false;
}

static bool find_entry(const struct loader *l, struct elf *e, u64 *entry)
{
	if (!elf_open(e, l->image, l->size))
		return false;
	for (u32 i = 0; i < e->entries; i++) {
		struct elf_segment s = elf_segment(e, i);
		const u8 *bytes = s.type == ELF_NOTE ? elf_bytes(e, &s) : NULL;

		if (bytes != NULL && find_in_notes(bytes, s.file_size, entry))
			return true;
	}
	return false;
}

bool pvh_is(const struct loader *l)
{
	struct elf e;
	u64 entry;

	return find_entry(l, &e, &entry);
}

static bool put_modules(struct loader *l, struct start_info *info)
{
	struct start_module list[MON_MAX_MODULES] = { 0 };
	u32 count = l->info->module_count - 1;

	for (u32 i = 0; i < count; i++) {
		list[i].address = load_module(l, i + 1, 0);
		if (list[i].address == PLACE_NONE)
			return false;
		list[i].size = l->info->module[i + 1].size;
		list[i].cmdline = load_string(l, l->info->module[i + 1].cmdline);
	}
	info->module_count = count;
	if (count != 0)
		info->modules = load_block(l, list, count * sizeof(list[0]));
	return true;
}

static void put_memory_map(struct loader *l, struct start_info *info)
{
	struct memory_range map[MEMORY_MAP_MAX];
	struct start_memory list[MEMORY_MAP_MAX] = { 0 };
	u32 count = guest_memory_map(l->memory, map);

	for (u32 i = 0; i < count; i++)
		list[i] = (struct start_memory){ map[i].base, map[i].size, map[i].type, 0 };
	info->memory_map = load_block(l, list, count * sizeof(list[0]));
	info->memory_map_count = count;
}

bool pvh_load(struct loader *l)
{
	struct start_info info = { .magic = START_MAGIC, .version = START_VERSION, .rsdp = ACPI_RSDP };
	struct elf e;
	u64 entry, end, at;

	if (!find_entry(l, &e, &entry) || !elf_load(l, &e, &end))
		return false;
	if (guest_ptr(l->memory, entry, 1) == NULL || entry > ~0u) {
		log_line("error: the kernel's PVH entry %lx is not in this guest's memory", entry);
		return false;
	}
	if (!put_modules(l, &info))
		return false;
	info.cmdline = load_string(l, l->info->cmdline);
	put_memory_map(l, &info);
	at = load_block(l, &info, sizeof(info));
	if (at == PLACE_NONE || info.cmdline == PLACE_NONE || info.memory_map == PLACE_NONE) {
		log_line("error: the kernel leaves no room for its start information");
		return false;
	}
	load_flat_cpu(l, CODE_SELECTOR, DATA_SELECTOR, (u32)entry);
	l->cpu.gpr[MON_RBX] = at;
	return true;
}
