/*
 * power: off.
 */
#ifndef X86_CPU_POWER_H
#define X86_CPU_POWER_H

#include "x86/boot/boot.h"

/* `boot` stays the machine's. Before it, power_off can only halt. */
void power_init(const struct boot_info *boot);
/* ACPI S5; if the machine is still there, Bochs' shutdown port; else halts for ever. */
_Noreturn void power_off(void);

#endif
