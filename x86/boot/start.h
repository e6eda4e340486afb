/*
 * start: what happens between asm/boot.S and ringmur_main, and on the other processors until they are given to hv.
 *
 * All code and data of x86/boot goes before the first guest, but for what is KEPT.
 */
#ifndef X86_BOOT_START_H
#define X86_BOOT_START_H

#include "x86/boot/boot.h"
#include "x86/cpu/cpu.h"

/* Of an object of the start that is not given away with the rest before the first guest; it begins as zeros. */
#define KEPT __attribute__((section(".bss.kept")))

/* Early: the bytes at a physical address below 4 GiB, as long as the identity map stands. */
static inline void *early_at(hpa_t a) { return (void *)a.v; }

_Noreturn void boot_start(u32 magic, u64 information);
/* Given by hv/: never returns. Interrupts off, on the boot stack, early identity map standing. */
_Noreturn void ringmur_main(struct boot_info *info);
/* A start that cannot be: logs `error: SENTENCE`, then power_off; with a screen to read it on it stands still, but for panic=exit. */
_Noreturn void refuse_start(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* smp.c has found two TSCs that differ: boot_info.tsc_steady is false from now on. */
void boot_tsc_is_unsteady(void);

/* ---- this processor ---- */

/* features.c. Judges the boot processor; `hide` as in struct options. Once, before cpu_enable. */
void features_init(u64 hide);
/* Which of AMD-V's additions are used, what is done without the others, and what is hidden. */
void features_log(u64 hide);
/* CPUID without what hide= took away: what guests may be told of. `out`: EAX, EBX, ECX, EDX. While the start is mapped. */
void features_cpuid(void *context, u32 leaf, u32 subleaf, u32 out[4]);
/* Sets CR0, CR4, EFER and XCR0 of this processor to what the features ask for: the same on all. */
void cpu_enable(void);

/* tables.c: GDT, TSS, IDT, GS and the SYSCALL registers of this processor. `c` is its structure, with id set. */
void trap_init_cpu(struct cpu *c);

/* interrupts.c: its APIC. The first call, on the boot processor, fixes the mode: x2APIC where there is one. */
void apic_init_cpu(u64 lapic_address);

/* calibrate.c: its timer, disarmed. */
void timer_init_cpu(void);

/* ---- the machine ---- */

/* boot/memory.c. Takes over memory: frame table, allocator, pool, final tables (not yet loaded). Panics, saying what is missing, if the machine is too small. */
void mm_init(const struct boot_info *boot);
/*
 * Starts the other processors; each runs ap_main with interrupts off, its own cpu structure in GS, the early tables loaded and its early
 * stack (stacks.h) under it. From then on boot->tsc_steady tells whether all TSCs agree.
 */
void smp_start(const struct boot_info *boot, void (*ap_main)(struct cpu *)); /* ap_main never returns */

/* The 8259s out of the exceptions' way and masked; every input of every I/O APIC masked. */
void pic_disable(void);
void ioapic_init(const struct boot_info *boot);
/* The ISA line `irq` to processor 0 as its override in the MADT says; false: no I/O APIC has it. */
bool ioapic_route_isa(const struct boot_info *boot, u32 irq, u32 vector);

/* 115200 8N1. Both lines are set up, whatever the options say: the early words of a start that fails need one. */
void serial_init(void);
/* Receive interrupts of the console's line to processor 0. */
void serial_listen(const struct boot_info *boot);

/* Measures TSC and APIC timer against the PM timer, or the PIT; fills tsc_khz. Some 10 ms. */
void timer_calibrate(struct boot_info *boot);
/* Whether the TSC runs on through HLT at the rate it has otherwise; interrupts on for some ms. */
bool timer_tsc_survives_halt(void);

/* Seconds since 1970, UTC; 0: there is no clock, or it holds no date. */
u64 rtc_read(void);

#endif
