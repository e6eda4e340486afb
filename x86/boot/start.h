/*
 * start: from asm/boot.S to ringmur_main.
 */
#ifndef X86_BOOT_START_H
#define X86_BOOT_START_H

#include "x86/boot/boot.h"

_Noreturn void boot_start(u32 magic, u64 information);
/* smp.c has found two TSCs that differ: boot_info.tsc_steady is false from now on. */
void boot_tsc_is_unsteady(void);

#endif
