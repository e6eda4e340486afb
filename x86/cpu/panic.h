/*
 * panic: the end, told as well as can be.
 */
#ifndef X86_CPU_PANIC_H
#define X86_CPU_PANIC_H

#include "x86/cpu/trap.h"

/* An exception of ring 0 that nothing expected. */
_Noreturn void panic_trap(const struct trap_frame *frame);
/* An NMI: stops this processor for good if another is panicking. */
void panic_nmi(void);
bool panic_is_on(void);

#endif
