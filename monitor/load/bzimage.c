/*
 * bzimage: Linux by its 32-bit boot protocol, versions 2.06 and later (Documentation/arch/x86/boot.rst and zero-page.rst).
 *
 *   64 KiB  boot_params, GDT, command line      1 MiB  the protected-mode kernel        top  initial RAM disk
 *
 * The kernel unpacks itself into [pref_address, + init_size), which therefore must be RAM and stays free.
 */
#include "monitor/lib/bits.h"
#include "monitor/lib/log.h"
#include "monitor/lib/string.h"
#include "monitor/load/load.h"
#include "monitor/lib/call.h"
#include "monitor/platform/acpi.h"

/* The setup header; the same offsets hold in the file and in boot_params. */
#define HDR_SETUP_SECTS 0x1f1u
#define HDR_SYSSIZE 0x1f4u
#define HDR_BOOT_FLAG 0x1feu
#define HDR_JUMP_LENGTH 0x201u
#define HDR_HEADER 0x202u
#define HDR_VERSION 0x206u
#define HDR_TYPE_OF_LOADER 0x210u
#define HDR_LOADFLAGS 0x211u
#define HDR_CODE32_START 0x214u
#define HDR_RAMDISK_IMAGE 0x218u
#define HDR_RAMDISK_SIZE 0x21cu
#define HDR_CMD_LINE_PTR 0x228u
#define HDR_INITRD_ADDR_MAX 0x22cu
#define HDR_CMDLINE_SIZE 0x238u
#define HDR_PREF_ADDRESS 0x258u
#define HDR_INIT_SIZE 0x260u
#define HDR_BYTES 0x268u /* as far as we look */
#define HDR_END_MAX 0x290u

#define BOOT_FLAG 0xaa55u
#define HEADER_MAGIC 0x53726448u /* "HdrS" */
#define VERSION_MIN 0x0206u
#define VERSION_INIT_SIZE 0x020au
#define LOADED_HIGH 0x01u
#define LOADER_UNDEFINED 0xffu
#define SECTOR 512u
#define SETUP_SECTS_DEFAULT 4u
#define PARAGRAPH 16u

/* More of boot_params. */
#define PARAMS_BYTES 4096u
#define PARAMS_RSDP 0x070u
#define PARAMS_E820_COUNT 0x1e8u
#define PARAMS_E820 0x2d0u
#define E820_BYTES 20u

#define BOOT_CS 0x10u
#define BOOT_DS 0x18u
static const u64 gdt[4] = { 0, 0, 0x00cf9b000000ffffull, 0x00cf93000000ffffull };

bool bzimage_is(const struct loader *l)
{
	return l->size >= HDR_BYTES && load_u16(l->image + HDR_BOOT_FLAG) == BOOT_FLAG &&
	       load_u32(l->image + HDR_HEADER) == HEADER_MAGIC;
}

static void put(u8 *at, u32 size, u64 value)
{
	for (u32 i = 0; i < size; i++)
		at[i] = (u8)(value >> 8 * i);
}

static u64 setup_bytes(const struct loader *l)
{
	u32 sectors = l->image[HDR_SETUP_SECTS];

	return (u64)((sectors != 0 ? sectors : SETUP_SECTS_DEFAULT) + 1) * SECTOR;
}

static bool check(const struct loader *l)
{
	u32 version = load_u16(l->image + HDR_VERSION);
	u64 setup = setup_bytes(l), kernel = (u64)load_u32(l->image + HDR_SYSSIZE) * PARAGRAPH;

	if (version < VERSION_MIN || !(l->image[HDR_LOADFLAGS] & LOADED_HIGH)) {
		log_line("error: the kernel is a bzImage of boot protocol %u.%u; 2.06 or later is needed", version >> 8,
			 version & 0xff);
		return false;
	}
	if (l->size <= setup || kernel > align_up(l->size - setup, PARAGRAPH)) {
		log_line("error: the kernel is a bzImage that was cut short: %lu bytes of %lu", l->size, setup + kernel);
		return false;
	}
	if (strlen(l->info->cmdline) > load_u32(l->image + HDR_CMDLINE_SIZE)) {
		log_line("error: the kernel takes a command line of %u bytes, not of %lu", load_u32(l->image + HDR_CMDLINE_SIZE),
			 strlen(l->info->cmdline));
		return false;
	}
	return true;
}

/* Claim what the kernel needs and copy its protected-mode part. */
static bool load_kernel(struct loader *l)
{
	u64 setup = setup_bytes(l), size = l->size - setup, start = load_u32(l->image + HDR_CODE32_START);
	u64 base = start, end = start + size;

	if (load_u16(l->image + HDR_VERSION) >= VERSION_INIT_SIZE) {
		/* Above the hole is no low RAM in any guest; the sum stays small. */
		u64 preferred = min_u64(load_u64(l->image + HDR_PREF_ADDRESS), MON_PCI_HOLE);

		base = min_u64(base, preferred);
		end = max_u64(end, preferred + load_u32(l->image + HDR_INIT_SIZE));
	}
	if (base >= end || !place_claim(&l->place, base, end - base)) {
		log_line("error: the kernel needs the memory from %lx to %lx, free of anything else; this guest has %lu MiB", base, end,
			 l->info->memory / MIB);
		return false;
	}
	return load_copy(l, start, l->image + setup, size);
}

/* All modules but the kernel, one after the other, each from a multiple of four: Linux takes archives that way. */
static bool load_initrd(struct loader *l, u8 *params)
{
	u64 total = 0, at, limit = (u64)load_u32(l->image + HDR_INITRD_ADDR_MAX) + 1;

	for (u32 i = 1; i < l->info->module_count; i++)
		total += align_up(l->info->module[i].size, 4);
	if (total == 0)
		return true;
	at = place_high(&l->place, total, PAGE_SIZE, limit);
	if (at == PLACE_NONE) {
		log_line("error: the initial RAM disk (%lu bytes) does not fit below %lx in %lu MiB", total, limit,
			 l->info->memory / MIB);
		return false;
	}
	put(params + HDR_RAMDISK_IMAGE, 4, at);
	put(params + HDR_RAMDISK_SIZE, 4, total);
	for (u32 i = 1; i < l->info->module_count; i++) {
		if (!load_copy(l, at, ring0_module(i), l->info->module[i].size))
			return false;
		at += align_up(l->info->module[i].size, 4);
	}
	return true;
}

static void put_memory_map(const struct loader *l, u8 *params)
{
	struct memory_range map[MEMORY_MAP_MAX];
	u32 count = guest_memory_map(l->memory, map);
	u8 *at = params + PARAMS_E820;

	params[PARAMS_E820_COUNT] = (u8)count;
	for (u32 i = 0; i < count; i++, at += E820_BYTES) {
		put(at, 8, map[i].base);
		put(at + 8, 8, map[i].size);
		put(at + 16, 4, map[i].type);
	}
}

static bool put_header(struct loader *l, u8 *params)
{
	u32 end = HDR_HEADER + l->image[HDR_JUMP_LENGTH];
	u64 cmdline = load_string(l, l->info->cmdline);

	end = end < HDR_BYTES ? HDR_BYTES : end > HDR_END_MAX ? HDR_END_MAX : end;
	if (cmdline == PLACE_NONE || end > l->size)
		return false;
	memcpy(params + HDR_SETUP_SECTS, l->image + HDR_SETUP_SECTS, end - HDR_SETUP_SECTS);
	params[HDR_TYPE_OF_LOADER] = LOADER_UNDEFINED;
	put(params + HDR_CMD_LINE_PTR, 4, cmdline);
	put(params + HDR_RAMDISK_IMAGE, 4, 0);
	put(params + HDR_RAMDISK_SIZE, 4, 0);
	put(params + PARAMS_RSDP, 8, ACPI_RSDP);
	return true;
}

bool bzimage_load(struct loader *l)
{
	u64 params_at, gdt_at;
	u8 *params;

	if (!check(l) || !load_kernel(l))
		return false;
	params_at = place_low(&l->place, PARAMS_BYTES, PAGE_SIZE, LOAD_BLOCKS, LOW_RAM_END);
	gdt_at = load_block(l, gdt, sizeof(gdt));
	params = guest_ptr(l->memory, params_at, PARAMS_BYTES);
	if (params_at == PLACE_NONE || gdt_at == PLACE_NONE || params == NULL || !put_header(l, params)) {
		log_line("error: the kernel leaves no room below 640 KiB for its boot parameters");
		return false;
	}
	put_memory_map(l, params);
	if (!load_initrd(l, params))
		return false;
	load_flat_cpu(l, BOOT_CS, BOOT_DS, load_u32(l->image + HDR_CODE32_START));
	l->cpu.gdtr.base = gdt_at;
	l->cpu.gdtr.limit = sizeof(gdt) - 1;
	l->cpu.gpr[MON_RSI] = params_at;
	return true;
}
