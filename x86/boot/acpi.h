/*
 * acpi: what Ringmur wants of the firmware's tables: processors and interrupt controllers (MADT), power-off and a timer (FADT, \_S5).
 */
#ifndef X86_BOOT_ACPI_H
#define X86_BOOT_ACPI_H

#include "core/status.h"
#include "x86/boot/reader.h"

/*
 * Fills the ACPI part of `boot`; what is not found stays at its default (one processor, no I/O APIC, slp_typ_s5 0xffff).
 * rsdp: a copy that the loader gave, or NULL: the BIOS area is searched. The boot processor becomes processor 0.
 * NOT_THERE: no root table; BAD_VALUE: one with a wrong checksum. A damaged table further down is as one that is absent.
 */
must_use status acpi_parse(const struct reader *reader, const u8 *rsdp, u32 rsdp_bytes, u32 boot_apic_id, struct boot_info *boot);

/* More processors than MAX_CPUS are left out: how many. */
extern u32 acpi_cpus_left_out;

#endif
