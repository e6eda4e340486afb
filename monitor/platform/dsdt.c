/*
 * dsdt: the table that iasl makes of dsdt.asl, as it comes (dsdt.hex: the array dsdt_aml_code).
 */
#include "monitor/platform/acpi.h"

#include "dsdt.hex"

const u8 *acpi_dsdt(u32 *size)
{
	*size = sizeof(dsdt_aml_code);
	return dsdt_aml_code;
}
