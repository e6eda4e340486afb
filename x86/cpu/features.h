/*
 * features: see struct features in cpu.h.
 */
#ifndef X86_CPU_FEATURES_H
#define X86_CPU_FEATURES_H

#include "x86/cpu/cpu.h"

/* Judges the boot processor; `hide` as in struct options. Once, before cpu_enable. */
void features_init(u64 hide);
/* Sets CR0, CR4, EFER and XCR0 of this processor to what the features ask for: the same on all. */
void cpu_enable(void);

#endif
