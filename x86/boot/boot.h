/*
 * boot: what the loader and the firmware told us, as the rest of Ringmur sees it.
 *
 * Filled by boot/multiboot.c and boot/acpi.c while the early identity map (0 .. 4 GiB) stands; then handed to ringmur_main.
 */
#ifndef X86_BOOT_BOOT_H
#define X86_BOOT_BOOT_H

#include "core/addr.h"
#include "core/env.h"

#define BOOT_MAX_RANGES  64u
#define BOOT_MAX_MODULES 16u
#define BOOT_MAX_IOAPICS 4u
#define BOOT_MAX_OVERRIDES 16u

struct boot_range { hpa_t first; u64 bytes; bool ram; }; /* sorted, disjoint, page aligned, holes left out */
struct boot_module { hpa_t first; u64 bytes; const char *cmdline; };

struct boot_info {
	const char *cmdline;
	const char *loader;
	u32 range_count, module_count;
	struct boot_range range[BOOT_MAX_RANGES];
	struct boot_module module[BOOT_MAX_MODULES];
	hpa_t image_first, image_end; /* Ringmur itself, early tables and boot stacks included */
	/* ACPI */
	u32 cpu_count;                /* enabled processors in the MADT, at most MAX_CPUS; the boot processor is 0 */
	u32 apic_id[MAX_CPUS];
	u64 lapic_address;
	u32 ioapic_count;
	struct { u32 id, gsi_base; u64 address; } ioapic[BOOT_MAX_IOAPICS];
	u32 override_count;
	struct { u8 irq; u32 gsi; bool low, level; } override[BOOT_MAX_OVERRIDES];
	u16 pm1a_control, pm1b_control, slp_typ_s5; /* power-off; slp_typ_s5 0xffff: unknown */
	u16 pm_timer_port; /* 0: none */
	u64 tsc_khz;       /* calibrated */
	bool tsc_steady;   /* invariant, and the same on all processors */
	u64 wall_clock;    /* RTC at boot, seconds since 1970 */
	u64 boot_tsc;      /* at which wall_clock was read */
};

/* Of what is read from text (words.h): a name with its NUL, as MON_NAME_MAX; a sentence on what is wrong; modules by their index. */
#define WORD_NAME_BYTES 32u
#define WORDS_ERROR_BYTES 320u
#define MODULES_MOST 8u
#define MODULE_NONE (~0u)
struct module_list { u32 count, at[MODULES_MOST]; };

#endif
