/* poweroff: finds its way to S5 through the ACPI tables, as a system would: an orderly end, status 0. */
#include "lib/guest.h"

GUEST(poweroff)
{
	static const char *const tables[] = { "FACP", "APIC" };

	for (unsigned i = 0; i < sizeof tables / sizeof tables[0]; i++)
		if (!check(tables[i], acpi_find(tables[i]) != NULL))
			exit_with(2);
	say("# off by S5\n");
	acpi_power_off();
	delay_us(500000);
	check("the machine is off", false);
}
