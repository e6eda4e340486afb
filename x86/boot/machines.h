/*
 * machines: what machines there are to be: the text of the module `vms` (docs/machines.md), or else one machine made of the options.
 */
#ifndef X86_BOOT_MACHINES_H
#define X86_BOOT_MACHINES_H

#include "abi/monitor.h"
#include "x86/boot/options.h"

#define MACHINES_MAX 16u
#define MACHINE_VCPUS_MAX 8u
#define MACHINE_MEMORY (1ull << 30) /* promised where nothing is said */
#define MACHINE_MEMORY_MOST (511ull << 30) /* the monitor's window is 512 GiB, one of them the hole for devices */
#define MACHINE_WEIGHT 100u /* the usual one */

enum machine_mmu { MMU_AUTO, MMU_NESTED };
enum machine_start { START_YES, START_NO };
enum machine_reset { RESET_RESTART, RESET_END };

struct machine_definition {
	char name[WORD_NAME_BYTES];
	u64 memory; /* bytes promised */
	u64 vcpus, weight;
	u32 mmu, start, reset;
	char cmdline[MON_CMDLINE_MAX];
	u32 kernel;                  /* index of a boot module, as all that follow; or MODULE_NONE */
	struct module_list modules;  /* what the kernel gets with it */
	struct mon_disk disk;        /* of MON_DISK_IMAGE the module is a boot module here */
	u32 monitor;                 /* an ELF program; MODULE_NONE: Ringmur's own */
};

/*
 * Fills at most MACHINES_MAX. BAD_VALUE: `error` is one sentence that names line and word. `text` need not end with a NUL.
 */
must_use status machines_parse(const char *text, u64 bytes, const struct boot_info *boot, struct machine_definition *at, u32 *count,
			       char error[WORDS_ERROR_BYTES]);
/* The one machine of `./run guest`: all modules in order are its own. */
void machines_from_options(const struct options *o, const struct boot_info *boot, struct machine_definition *at, u32 *count);

/* Filled before ringmur_main. */
extern struct machine_definition machines[MACHINES_MAX];
extern u32 machine_count;
struct reader;
/* Reads the module `vms` if there is one. NULL, or a sentence why this cannot be. */
const char *machines_read(const struct reader *reader, const struct boot_info *boot, struct options *o);

#endif
