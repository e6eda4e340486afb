/*
 * acpi: the tables that tell an operating system about this machine (ACPI 6.3, chapter 5), written into guest memory at the start.
 *
 *   RSDP ──> XSDT, RSDT ──> FADT ──> DSDT (dsdt.asl), FACS
 *                      └──> MADT
 *
 * All of it lies in the firmware's area below 1 MiB (memory.h), where the RSDP is also found by searching.
 */
#ifndef MONITOR_PLATFORM_ACPI_H
#define MONITOR_PLATFORM_ACPI_H

#include "monitor/memory.h"

#define ACPI_RSDP FIRMWARE

/* The compiled DSDT (dsdt.c). */
const u8 *acpi_dsdt(u32 *size);

/* Write them; false if they do not fit (too many vCPUs). */
bool acpi_install(const struct guest_memory *m, u32 vcpus);

#endif
