/*
 * load: see load.h.
 */
#include "monitor/load/load.h"
#include "monitor/lib/bits.h"
#include "monitor/lib/call.h"
#include "monitor/lib/log.h"
#include "monitor/lib/string.h"
#include "monitor/platform/acpi.h"
#include "monitor/platform/ports.h"

/* Segment attributes, in the layout of struct mon_segment. */
#define SEGMENT_CODE 0xc9bu /* execute, read, accessed; present; 32-bit; in pages */
#define SEGMENT_DATA 0xc93u
#define SEGMENT_TSS  0x08bu /* 32-bit, busy */
#define SEGMENT_LDT  0x082u
#define TSS_LIMIT 0x67u
#define CR0_PE_ET 0x11u
#define RFLAGS_FIXED 0x2u

/* The BIOS data area, as far as systems still look. */
#define BDA_COM1 0x400ull
#define BDA_EBDA 0x40eull
#define BDA_MEMORY 0x413ull
#define EBDA_KIB 1u

#define MEMORY_MIN (4 * MIB)

u16 load_u16(const u8 *at) { return (u16)(at[0] | at[1] << 8); }
u32 load_u32(const u8 *at) { return load_u16(at) | (u32)load_u16(at + 2) << 16; }
u64 load_u64(const u8 *at) { return load_u32(at) | (u64)load_u32(at + 4) << 32; }

bool load_copy(struct loader *l, u64 gpa, const void *from, u64 size)
{
	void *to = guest_ptr(l->memory, gpa, size);

	if (to == NULL)
		return false;
	memcpy(to, from, size);
	return true;
}

u64 load_block(struct loader *l, const void *from, u64 size)
{
	u64 at = place_low(&l->place, size, sizeof(u64), LOAD_BLOCKS, MON_PCI_HOLE);

	return at != PLACE_NONE && load_copy(l, at, from, size) ? at : PLACE_NONE;
}

u64 load_string(struct loader *l, const char *text) { return load_block(l, text, strlen(text) + 1); }

u64 load_module(struct loader *l, u32 index, u64 from)
{
	u64 size = l->info->module[index].size, limit = MON_PCI_HOLE;
	u64 at = from != 0 ? place_low(&l->place, size, PAGE_SIZE, from, limit) : place_high(&l->place, size, PAGE_SIZE, limit);

	if (at == PLACE_NONE || !load_copy(l, at, ring0_module(index), size)) {
		log_line("error: module %u (%lu bytes) does not fit into the guest's memory", index, size);
		return PLACE_NONE;
	}
	return at;
}

void load_flat_cpu(struct loader *l, u16 code_selector, u16 data_selector, u32 entry)
{
	const struct mon_segment data = { data_selector, SEGMENT_DATA, ~0u, 0 };

	l->cpu = (struct mon_vcpu){
		.rip = entry,
		.rflags = RFLAGS_FIXED,
		.cr0 = CR0_PE_ET,
		.cs = { code_selector, SEGMENT_CODE, ~0u, 0 },
		.ds = data,
		.es = data,
		.ss = data,
		.fs = data,
		.gs = data,
		.tr = { 0, SEGMENT_TSS, TSS_LIMIT, 0 },
		.ldtr = { 0, SEGMENT_LDT, 0, 0 },
	};
}

static void put_u16(const struct guest_memory *m, u64 gpa, u16 value)
{
	u8 *to = guest_ptr(m, gpa, sizeof(value));

	to[0] = (u8)value;
	to[1] = (u8)(value >> 8);
}

static bool firmware_data(struct machine *m, u32 vcpus)
{
	put_u16(&m->memory, BDA_COM1, PORT_COM1);
	put_u16(&m->memory, BDA_EBDA, (u16)(EBDA >> 4));
	put_u16(&m->memory, BDA_MEMORY, (u16)(LOW_RAM_END / KIB));
	put_u16(&m->memory, EBDA, EBDA_KIB);
	if (acpi_install(&m->memory, vcpus))
		return true;
	log_line("error: the ACPI tables have no room for %u processors", vcpus);
	return false;
}

static bool load_image(struct loader *l)
{
	if (bzimage_is(l))
		return bzimage_load(l);
	if (pvh_is(l))
		return pvh_load(l);
	if (multiboot_is(l))
		return multiboot_load(l);
	log_line("error: the kernel is neither a bzImage nor an ELF with a PVH entry nor a Multiboot 1 image (%lu bytes)", l->size);
	return false;
}

bool load_guest(struct machine *m, const struct mon_info *info)
{
	static struct loader loader; /* too large for a stack of 64 KiB to be spent on */
	struct loader *l = &loader;

	if (info->module_count == 0 || info->module_count > MON_MAX_MODULES) {
		log_line("error: no kernel: the first boot module is the guest's kernel");
		return false;
	}
	if (info->memory < MEMORY_MIN || info->memory > MON_WINDOW_SIZE - (MON_PCI_HOLE_END - MON_PCI_HOLE)) {
		log_line("error: memory: %lu bytes; a guest has from 4 MiB to 511 GiB", info->memory);
		return false;
	}
	l->memory = &m->memory;
	l->info = info;
	l->image = ring0_module(0);
	l->size = info->module[0].size;
	place_init(&l->place, &m->memory);
	if (!firmware_data(m, info->vcpus) || !load_image(l))
		return false;
	ring0_comm()->vcpu = l->cpu;
	ring0_set_vcpu(0);
	ring0_modules_done();
	return true;
}
