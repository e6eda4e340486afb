/*
 * start: the order in which the boot processor comes to life. Each step needs those before it.
 *
 *   traps, serial       from here on a mistake has words
 *   loader, options     what we were told; a wrong option is refused once power-off is known
 *   features, CRs       what the processor is, and is to be
 *   ACPI, memory map    what the machine is
 *   APICs, time         interrupts can come, nothing is routed but the console
 */
#include "x86/boot/start.h"

#include "core/bits.h"
#include "x86/asm/insn.h"
#include "x86/boot/acpi.h"
#include "x86/boot/framebuffer.h"
#include "x86/boot/machines.h"
#include "x86/boot/memory_map.h"
#include "x86/boot/multiboot.h"
#include "x86/boot/options.h"
#include "x86/cpu/format.h"
#include "x86/cpu/power.h"
#include "x86/cpu/log.h"
#include "x86/cpu/stacks.h"
#include "x86/cpu/string.h"
#include "x86/irq/irq.h"
#include "x86/mm/mm.h"

#define LAPIC_USUAL 0xfee00000u
#define GUARD_TABLES 3u /* blocks of 2 MiB that the stacks can lie in */
#define ENTRY_PRESENT_WRITE 3ull
#define ENTRY_LARGE 0x80ull
#define ENTRIES 512u
#define SENTENCE_BYTES 400u

KEPT struct options options;
KEPT static struct boot_info boot;
KEPT static struct loader_info loader; /* its text: boot.cmdline, and the modules' */

extern u8 image_start[], image_end[];
extern u64 boot_pd[];

void boot_tsc_is_unsteady(void) { boot.tsc_steady = false; }

_Noreturn void refuse_start(const char *format, ...)
{
	char sentence[SENTENCE_BYTES];
	va_list arguments;
	va_start(arguments, format);
	format_arguments(sentence, sizeof(sentence), format, arguments);
	va_end(arguments);
	log_line("error: %s", sentence);
	while (screen.columns && options.panic == PANIC_HALT)
		hlt(); /* whoever sits there is to read it */
	power_off();
}

/* ---- guard pages in the early map ---- */

static u64 *split_block(u64 block)
{
	static u64 guard_tables[GUARD_TABLES][ENTRIES] __attribute__((aligned(4096)));
	static u32 used;
	if (boot_pd[block] & ENTRY_LARGE) {
		u64 *table = guard_tables[used++];
		for (u64 i = 0; i < ENTRIES; i++)
			table[i] = (block << BLOCK_SHIFT) + (i << PAGE_SHIFT) + ENTRY_PRESENT_WRITE;
		boot_pd[block] = ((u64)table - IMAGE_BASE) | ENTRY_PRESENT_WRITE;
	}
	return early_at(hpa(boot_pd[block] & ~PAGE_MASK));
}

static void guard_stacks(void)
{
	for (u64 page = (u64)cpu_stacks; page < (u64)cpu_stacks + sizeof(cpu_stacks); page += PAGE_SIZE) {
		u64 physical = page - IMAGE_BASE;
		if (stack_is_guard(page))
			split_block(physical >> BLOCK_SHIFT)[physical >> PAGE_SHIFT & (ENTRIES - 1)] = 0;
	}
	write_cr3(read_cr3());
}

/* ---- the steps ---- */

static const void *early_reader(void *context, u64 address, u64 bytes)
{
	(void)context;
	return (const void *)early_address(address, bytes);
}
static const struct reader reader = { early_reader, NULL };

static void processor_init(void)
{
	cpus[0] = (struct cpu){ .self = &cpus[0], .id = 0, .online = true };
	cpu_total = 1;
	trap_init_cpu(&cpus[0]);
	guard_stacks();
}

/* A sentence: why this cannot be; NULL: fine. */
static const char *read_loader(u32 magic, u64 information)
{
	static char error[WORDS_ERROR_BYTES];
	const char *why;
	if (multiboot_parse(magic, information, &reader, &boot, &loader, &why) != OK)
		return why;
	if (options_parse(&options, boot.cmdline, error) != OK)
		return error;
	return machines_read(&reader, &boot, &options);
}

static void read_firmware(void)
{
	boot.lapic_address = LAPIC_USUAL;
	boot.image_first = hpa((u64)image_start - IMAGE_BASE);
	boot.image_end = hpa((u64)image_end - IMAGE_BASE);
	/* The 8259s first, while LINT0 still listens: an interrupt withdrawn behind a masked LINT0 stays pending in QEMU, as none. */
	pic_disable();
	apic_init_cpu(LAPIC_USUAL);
	status s = acpi_parse(&reader, loader.rsdp_bytes ? loader.rsdp : NULL, loader.rsdp_bytes, apic_id(), &boot);
	if (s != OK)
		log_line("no ACPI tables that can be trusted: one processor, and no power-off");
	u64 lost = memory_map_resolve(&loader.map, features.phys_bits, &boot);
	if (lost || loader.map.lost)
		log_line("the memory map is too long: %lu pages of memory and %u entries are left out", lost, loader.map.lost);
	cpus[0].apic_id = apic_id();
	if (boot.cpu_count + acpi_cpus_left_out > options.cpus)
		log_line("%u processors of %u are used", (u32)min_u64(boot.cpu_count, options.cpus), boot.cpu_count + acpi_cpus_left_out);
	boot.cpu_count = (u32)min_u64(boot.cpu_count, options.cpus);
	power_init(&boot);
}

static void move_early(u64 to, u64 from, u64 bytes) { memcpy((void *)early_address(to, bytes), early_reader(NULL, from, bytes), bytes); }

static void clear_early(u64 first, u64 bytes) { memset((void *)early_address(first, bytes), 0, bytes); }

/* Each module gets pages of its own; nothing else is left in them. */
static void place_modules(void)
{
	if (!memory_map_lift(&boot, move_early))
		refuse_start("the modules that lie below 1 MiB find no room above it: this machine has too little memory");
	const struct boot_module *m = memory_map_misplaced(&boot);
	if (m)
		refuse_start("module %u (%s) lies at %lx, where the memory map has no memory, or where something else lies: the loader is at fault",
			     (u32)(m - boot.module) + 1, m->cmdline, m->first.v);
	memory_map_trim(&boot, clear_early);
}

static void interrupts_init(void)
{
	if (boot.lapic_address < EARLY_LIMIT)
		apic_set_base(early_at(hpa(boot.lapic_address)));
	ioapic_init(&boot);
	serial_listen(&boot);
}

/* An emulated TSC is as steady as its host makes it, which CPUID does not tell: where it keeps its pace through HLT it is believed. */
static bool tsc_is_steady(void)
{
	const u32 leaf = 1, in_a_machine = 1u << 31;
	return features.invariant_tsc || ((cpuid(leaf, 0).ecx & in_a_machine) && timer_tsc_survives_halt());
}

static void time_init(void)
{
	timer_calibrate(&boot);
	timer_init_cpu();
	boot.wall_clock = rtc_read();
	boot.boot_tsc = tsc_now();
	boot.tsc_steady = tsc_is_steady();
}

_Noreturn void boot_start(u32 magic, u64 information)
{
	processor_init();
	options_defaults(&options);
	serial_init();
	const char *error = read_loader(magic, information);
	features_init(options.hide);
	cpu_enable();
	screen_open(&loader);
	read_firmware();
	if (error)
		refuse_start("%s", error);
	if (!features.nx)
		refuse_start("this processor has no NX (no-execute pages), which Ringmur's own map needs");
	place_modules();
	features_log(options.hide);
	interrupts_init();
	time_init();
	ringmur_main(&boot);
}
