/*
 * multiboot: images by the Multiboot specification 0.6.96 (version 1): ELF of either class, or flat with the address fields.
 *
 *   image where it says       modules above it, on pages       information, strings and lists from 64 KiB
 */
#include "monitor/lib/bits.h"
#include "monitor/lib/log.h"
#include "monitor/load/elf.h"

#define SEARCH_BYTES 8192u
#define HEADER_ALIGN 4u
#define HEADER_BYTES 12u
#define HEADER_ADDRESS_BYTES 32u
#define HEADER_MAGIC 0x1badb002u
#define HEADER_FLAGS_KNOWN 0x00000007u /* modules on pages, memory sizes, video mode (of which we have none) */
#define HEADER_FLAGS_MUST 0x0000ffffu
#define HEADER_HAS_ADDRESSES 0x00010000u

#define BOOT_MAGIC 0x2badb002u
#define LOADER_NAME "Ringmur"

#define INFO_MEMORY 0x001u
#define INFO_CMDLINE 0x004u
#define INFO_MODULES 0x008u
#define INFO_MEMORY_MAP 0x040u
#define INFO_LOADER_NAME 0x200u

struct multiboot_info {
	u32 flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4], mmap_length, mmap_addr,
		drives_length, drives_addr, config_table, boot_loader_name, apm_table, vbe[4], framebuffer[7];
};
static_assert(sizeof(struct multiboot_info) == 116 && offsetof(struct multiboot_info, boot_loader_name) == 64, "3.3");

struct multiboot_module {
	u32 start, end, cmdline, reserved;
};

struct __attribute__((packed)) multiboot_memory {
	u32 size; /* of the rest */
	u64 base, length;
	u32 type;
};
static_assert(sizeof(struct multiboot_memory) == 24, "3.3");

#define CODE_SELECTOR 0x08u
#define DATA_SELECTOR 0x10u

struct multiboot_header {
	u64 offset; /* in the file */
	u32 flags;
};

static bool find_header(const struct loader *l, struct multiboot_header *h)
{
	for (u64 at = 0; at + HEADER_BYTES <= l->size && at + HEADER_BYTES <= SEARCH_BYTES; at += HEADER_ALIGN) {
		u32 magic = load_u32(l->image + at), flags = load_u32(l->image + at + 4), sum = load_u32(l->image + at + 8);

		if (magic == HEADER_MAGIC && magic + flags + sum == 0) {
			*h = (struct multiboot_header){ at, flags };
			return true;
		}
	}
	return false;
}

bool multiboot_is(const struct loader *l)
{
	struct multiboot_header h;

	return find_header(l, &h);
}

/* An image that says itself where its bytes go. */
static bool load_flat(struct loader *l, const struct multiboot_header *h, u32 *entry, u64 *end)
{
	const u8 *fields = l->image + h->offset + HEADER_BYTES;
	u64 header, load, load_end, bss_end, offset, size, memory;

	if (l->size - h->offset < HEADER_ADDRESS_BYTES) {
		log_line("error: the kernel's Multiboot header is cut short: the file has %lu bytes", l->size);
		return false;
	}
	header = load_u32(fields);
	load = load_u32(fields + 4);
	load_end = load_u32(fields + 8);
	bss_end = load_u32(fields + 12);
	*entry = load_u32(fields + 16);
	if (load > header || header - load > h->offset) {
		log_line("error: the kernel's Multiboot header, at %lx, says it begins before its file: load address %lx, of the header %lx", h->offset, load, header);
		return false;
	}
	offset = h->offset - (header - load);
	size = load_end != 0 ? load_end - load : l->size - offset;
	if ((load_end != 0 && load_end < load) || size > l->size - offset) {
		log_line("error: the kernel's Multiboot header asks for what lies from %lx to %lx, more than its file of %lu bytes has", load, load_end, l->size);
		return false;
	}
	*end = max_u64(load + size, bss_end);
	memory = *end - load;
	if (memory == 0 || !place_claim(&l->place, load, memory) || !load_copy(l, load, l->image + offset, size)) {
		log_line("error: the kernel, %lx bytes at %lx, is not in free memory of this guest (%lu MiB)", memory, load,
			 l->info->memory / MIB);
		return false;
	}
	return true;
}

static bool load_elf(struct loader *l, u32 *entry, u64 *end)
{
	struct elf e;
	u64 address;

	if (!elf_open(&e, l->image, l->size)) {
		log_line("error: the kernel (%lu bytes) has a Multiboot header but is neither ELF nor has it address fields", l->size);
		return false;
	}
	if (!elf_load(l, &e, end))
		return false;
	address = elf_physical_entry(&e);
	*entry = (u32)address;
	if (address <= ~0u)
		return true;
	log_line("error: the kernel's entry %lx is above 4 GiB; it must be below", address);
	return false;
}

static bool put_modules(struct loader *l, struct multiboot_info *info, u64 from)
{
	struct multiboot_module list[MON_MAX_MODULES] = { 0 };
	u32 count = l->info->module_count - 1;

	for (u32 i = 0; i < count; i++) {
		u64 at = load_module(l, i + 1, max_u64(from, FIRMWARE_END)), cmdline;

		if (at == PLACE_NONE)
			return false;
		cmdline = load_string(l, l->info->module[i + 1].cmdline);
		list[i] = (struct multiboot_module){ (u32)at, (u32)(at + l->info->module[i + 1].size), (u32)cmdline, 0 };
	}
	info->mods_count = count;
	if (count != 0)
		info->mods_addr = (u32)load_block(l, list, count * sizeof(list[0]));
	return true;
}

static void put_memory_map(struct loader *l, struct multiboot_info *info)
{
	struct memory_range map[MEMORY_MAP_MAX];
	struct multiboot_memory list[MEMORY_MAP_MAX] = { 0 };
	u32 count = guest_memory_map(l->memory, map);

	for (u32 i = 0; i < count; i++)
		list[i] = (struct multiboot_memory){ sizeof(list[0]) - sizeof(list[0].size), map[i].base, map[i].size, map[i].type };
	info->mmap_length = (u32)(count * sizeof(list[0]));
	info->mmap_addr = (u32)load_block(l, list, info->mmap_length);
	info->mem_lower = (u32)(LOW_RAM_END / KIB);
	info->mem_upper = (u32)((l->memory->low_end - FIRMWARE_END) / KIB);
}

bool multiboot_load(struct loader *l)
{
	struct multiboot_info info = { .flags = INFO_MEMORY | INFO_CMDLINE | INFO_MODULES | INFO_MEMORY_MAP | INFO_LOADER_NAME };
	struct multiboot_header h;
	u32 entry;
	u64 end, at;

	if (!find_header(l, &h))
		return false;
	if (h.flags & HEADER_FLAGS_MUST & ~HEADER_FLAGS_KNOWN) {
		log_line("error: the kernel's Multiboot header asks for unknown features %x; known are %x", h.flags & HEADER_FLAGS_MUST, HEADER_FLAGS_KNOWN);
		return false;
	}
	if (!(h.flags & HEADER_HAS_ADDRESSES ? load_flat(l, &h, &entry, &end) : load_elf(l, &entry, &end)))
		return false;
	if (!put_modules(l, &info, end))
		return false;
	put_memory_map(l, &info);
	info.cmdline = (u32)load_string(l, l->info->cmdline);
	info.boot_loader_name = (u32)load_string(l, LOADER_NAME);
	at = load_block(l, &info, sizeof(info));
	if (at == PLACE_NONE || info.mmap_addr == PLACE_NONE || info.cmdline == PLACE_NONE) {
		log_line("error: the kernel leaves no room for its Multiboot information");
		return false;
	}
	load_flat_cpu(l, CODE_SELECTOR, DATA_SELECTOR, entry);
	l->cpu.gpr[MON_RAX] = BOOT_MAGIC;
	l->cpu.gpr[MON_RBX] = at;
	return true;
}
