/*
 * allports: reads every I/O port and writes every one that does not end the machine or reach past it, in bytes and many in words
 * and longs. Nothing is expected of what is read; the machine is still there afterwards.
 */
#include "lib/guest.h"

enum { PORTS = 0x10000, FADT_PM1A = 64, FADT_PM1B = 68, DENSE = 0x1000, STRIDE = 16 };

static struct {
	u32 from, to;
} spared[] = {
	{ PORT_EXIT, PORT_EXIT + 3 }, { 0x64, 0x64 }, { 0x92, 0x92 }, { 0xcf9, 0xcf9 },
	{ PORT_COM1, PORT_COM1 + 7 },   /* what this is said through */
	{ 0xcf8, 0xcff },               /* PCI: it would move the power management's ports under our feet */
	{ 0xb2, 0xb3 },                 /* the firmware's own interrupt, on the bare machine */
	{ 0x510, 0x51b },               /* QEMU's firmware channel: it can write memory */
	{ 0xae00, 0xae1f }, { 0xaf00, 0xaf1f }, /* QEMU's hot-plug: it can take devices away */
	{ 0x600, 0x604 }, { 0, 0 },     /* the last two: power management as the FADT has it */
};
enum { SPARED = sizeof spared / sizeof spared[0] };

static bool is_spared(u32 port, u32 size)
{
	for (unsigned i = 0; i < SPARED; i++)
		if (port <= spared[i].to && port + size - 1 >= spared[i].from && spared[i].to)
			return true;
	return false;
}

/* Every port where devices are at home, then one in so many; none that reaches over the end or into what is spared. */
static bool wide(u32 port, u32 size)
{
	return !is_spared(port, size) && port + size <= PORTS && (port < DENSE || port % STRIDE == STRIDE - size / 2);
}

static void from_fadt(void)
{
	const struct acpi_header *fadt = acpi_find("FACP");
	u32 a = 0, b = 0;

	if (!fadt)
		return;
	copy(&a, (const u8 *)fadt + FADT_PM1A, sizeof a);
	copy(&b, (const u8 *)fadt + FADT_PM1B, sizeof b);
	spared[SPARED - 2].from = a;
	spared[SPARED - 2].to = a ? a + 1 : 0;
	spared[SPARED - 1].from = b;
	spared[SPARED - 1].to = b ? b + 1 : 0;
}

GUEST(allports)
{
	u32 ones = 0, reads = 0, writes = 0;

	from_fadt();
	for (u32 p = 0; p < PORTS; p++) {
		u16 port = (u16)p;
		if (is_spared(p, 1) && p >= PORT_EXIT && p <= PORT_EXIT + 3)
			continue;
		ones += inb(port) == 0xff;
		/* QEMU itself aborts on a wide access to a serial port. */
		if (wide(p, 2))
			inw(port);
		if (wide(p, 4))
			inl(port);
		reads++;
	}
	say("# %u of %u ports read as ones\n", ones, reads);
	check("all ports were read", reads >= PORTS - 4);
	check("most are empty", ones > PORTS / 2);
	for (u32 p = 0; p < PORTS; p++) {
		u16 port = (u16)p;
		if (is_spared(p, 1))
			continue;
		outb(port, (u8)p);
		if (p < DENSE)
			outb(port, 0xff);
		if (wide(p, 2))
			outw(port, 0);
		if (wide(p, 4))
			outl(port, 0);
		writes++;
	}
	check("the others were written", writes > PORTS - 256);
	check("and it is still there", inb(PORT_COM1 + 5) != 0xff);
}
