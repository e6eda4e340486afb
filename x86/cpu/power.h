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
/* A start that cannot be: logs `error: SENTENCE`, then power_off; with a screen to read it on it stands still, but for panic=exit. */
_Noreturn void refuse_start(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
