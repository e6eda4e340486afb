/*
 * talk: a machine for the operator's console. Says some numbered lines, answers each typed line, powers off at its power button. Its name is the
 * last word of its command line.
 */
#include "lib/guest.h"

enum { LINES = 40, NAME = 32, POLL_US = 5000, FADT_PM1A_EVENT = 56, PM1_POWER_BUTTON = 1 << 8 };

static char name[NAME], heard[64];

static void read_name(void)
{
	const char *line = boot.cmdline ? boot.cmdline : "";
	size_t end = length(line), begin = end;

	while (begin && line[begin - 1] != ' ' && end - begin < NAME - 1)
		begin--;
	copy(name, line + begin, end - begin);
}

static void answer(int byte)
{
	static size_t count;

	if (byte == '\r' || byte == '\n') {
		heard[count] = 0;
		say("%s heard %s\n", name, heard);
		count = 0;
	} else if (count < sizeof heard - 1) {
		heard[count++] = (char)byte;
	}
}

GUEST(talk)
{
	const struct acpi_header *fadt = acpi_find("FACP");
	u32 event = 0;

	read_name();
	if (!fadt)
		exit_with(2);
	copy(&event, (const u8 *)fadt + FADT_PM1A_EVENT, sizeof event);
	for (unsigned i = 0; i < LINES; i++)
		say("%s line %u\n", name, i);
	for (;;) {
		for (int byte = typed(); byte >= 0; byte = typed())
			answer(byte);
		if (inw((u16)event) & PM1_POWER_BUTTON) {
			say("%s goes off\n", name);
			acpi_power_off();
		}
		delay_us(POLL_US);
	}
}
