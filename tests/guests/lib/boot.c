/* boot: what the loader said, by Multiboot 1 or by PVH, in one shape. Copied before anything can overwrite it. */
#include "guest.h"

#define MULTIBOOT_MAGIC 0x2badb002u
#define PVH_MAGIC       0x336ec578u
enum {
	INFO_MEMORY = 1 << 0, INFO_CMDLINE = 1 << 2, INFO_MODULES = 1 << 3, INFO_MAP = 1 << 6,
};

struct multiboot_info {
	u32 flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4], mmap_length, mmap_addr;
};
struct multiboot_module {
	u32 start, end, text, reserved;
};
struct multiboot_range {
	u32 size; /* of what follows */
	u64 base, length;
	u32 type;
} __attribute__((packed));
struct pvh_info {
	u32 magic, version, flags, modules;
	u64 module_list, cmdline, rsdp, map;
	u32 ranges, reserved;
};
struct pvh_range {
	u64 base, size;
	u32 type, reserved;
};
struct pvh_module {
	u64 address, size, text, reserved;
};

struct boot boot;
extern u32 boot_magic, boot_info;

static void add_range(u64 base, u64 size, u32 type)
{
	if (boot.ranges < RANGES_MAX)
		boot.range[boot.ranges++] = (struct range){ base, size, type };
}

static void add_module(u64 at, u64 size, u64 text)
{
	if (boot.modules < MODULES_MAX)
		boot.module[boot.modules++] =
			(struct module){ (const u8 *)(word)at, (u32)size, text ? (const char *)(word)text : "" };
}

static void read_multiboot(const struct multiboot_info *info)
{
	boot.multiboot = true;
	if (info->flags & INFO_CMDLINE)
		boot.cmdline = (const char *)(word)info->cmdline;
	if (info->flags & INFO_MODULES) {
		const struct multiboot_module *m = (const void *)(word)info->mods_addr;
		for (u32 i = 0; i < info->mods_count; i++)
			add_module(m[i].start, m[i].end - m[i].start, m[i].text);
	}
	if (info->flags & INFO_MAP) {
		u32 at = info->mmap_addr, end = at + info->mmap_length;
		while (at < end) {
			const struct multiboot_range *r = (const void *)(word)at;
			add_range(r->base, r->length, r->type);
			at += r->size + (u32)sizeof r->size;
		}
	}
}

static void read_pvh(const struct pvh_info *info)
{
	const struct pvh_range *r = (const void *)(word)info->map;
	const struct pvh_module *m = (const void *)(word)info->module_list;

	boot.pvh = true;
	boot.rsdp = info->rsdp;
	if (info->cmdline)
		boot.cmdline = (const char *)(word)info->cmdline;
	for (u32 i = 0; i < info->modules; i++)
		add_module(m[i].address, m[i].size, m[i].text);
	for (u32 i = 0; info->version > 0 && i < info->ranges; i++)
		add_range(r[i].base, r[i].size, r[i].type);
}

void boot_read(void)
{
	const u32 *info = (const u32 *)(word)boot_info;

	boot.cmdline = "";
	if (boot_magic == MULTIBOOT_MAGIC)
		read_multiboot((const void *)info);
	else if (info && *info == PVH_MAGIC)
		read_pvh((const void *)info);
}

void take_way(const struct way *ways, unsigned n)
{
	unsigned way = 0;

	for (unsigned i = 0; boot.cmdline && i < n; i++)
		if (ends_with(boot.cmdline, ways[i].name))
			way = i;
	say("# %s: %s\n", guest_name, ways[way].name);
	ways[way].fn();
}
