/* test_monitor_pci: configuration space, BARs that move, pins that share wires. */
#include "tests/unit/machine_world.h"

static u32 config(u32 slot, u32 offset, u8 size)
{
	out(PORT_PCI_ADDRESS, 4, 0x80000000u | slot << 11 | (offset & 0xfc));
	return in((u16)(PORT_PCI_DATA + offset % 4), size);
}

static void config_write(u32 slot, u32 offset, u8 size, u32 value)
{
	out(PORT_PCI_ADDRESS, 4, 0x80000000u | slot << 11 | (offset & 0xfc));
	out((u16)(PORT_PCI_DATA + offset % 4), size, value);
}

static void pci_configuration(void **state)
{
	(void)state;
	assert_int_equal(config(0, 0, 4), 0x12378086);
	assert_int_equal(config(0, 2, 2), 0x1237);
	assert_int_equal(config(1, 0x0b, 1), 0x06); /* class of the ISA bridge */
	assert_int_equal(config(1, 0x0a, 2), 0x0601);
	assert_int_equal(config(9, 0, 4), 0xffffffff);
	out(PORT_PCI_ADDRESS, 4, 0x80010000); /* bus 1 */
	assert_int_equal(in(PORT_PCI_DATA, 4), 0xffffffff);
	out(PORT_PCI_ADDRESS, 4, 0x00000000); /* not enabled */
	assert_int_equal(in(PORT_PCI_DATA, 4), 0xffffffff);
	out(PORT_PCI_ADDRESS, 1, 0x80); /* no byte access to the address, as Linux tests it */
	out(PORT_PCI_ADDRESS + 3, 1, 1);
	assert_int_equal(in(PORT_PCI_ADDRESS, 4), 0);
	out(PORT_PCI_ADDRESS, 4, 0x80000000);
	assert_int_equal(in(PORT_PCI_ADDRESS, 4), 0x80000000);
	assert_int_equal(in(PORT_PCI_DATA + 2, 4), 0xffffffff); /* across the register */
	config_write(0, 0, 4, 0);
	assert_int_equal(config(0, 0, 4), 0x12378086);
	config_write(0, 4, 2, 0xffff);
	assert_int_equal(config(0, 4, 2), 0x0407);
}

static void pci_bars(void **state)
{
	static const struct pci_identity id = { 0x1af4, 0x1042, 0x010000, 1, 0, 0 };
	static struct pci_function f, second;
	u64 address;

	(void)state;
	pci_function_init(&f, 3, 0, &id);
	pci_bar_init(&f, 0, PCI_BAR_IO, 64);
	pci_bar_init(&f, 1, PCI_BAR_MEMORY32, 4096);
	pci_bar_init(&f, 4, PCI_BAR_MEMORY64, 1ull << 32);
	assert_true(pci_add(&machine.pci, &f));
	assert_false(pci_add(&machine.pci, &f));
	config_write(3, 0x10, 4, 0xffffffff);
	config_write(3, 0x14, 4, 0xffffffff);
	config_write(3, 0x20, 4, 0xffffffff);
	config_write(3, 0x24, 4, 0xffffffff);
	assert_int_equal(config(3, 0x10, 4), 0xffffffc1);
	assert_int_equal(config(3, 0x14, 4), 0xfffff000);
	assert_int_equal(config(3, 0x18, 4), 0);
	assert_int_equal(config(3, 0x20, 4), 0x00000004);
	assert_int_equal(config(3, 0x24, 4), 0xffffffff);
	config_write(3, 0x14, 4, 0xc0001000);
	assert_false(pci_bar_address(&f, 1, &address));
	config_write(3, 4, 2, 2);
	assert_true(pci_bar_address(&f, 1, &address));
	assert_int_equal(address, 0xc0001000);
	assert_false(pci_bar_address(&f, 0, &address));
	config_write(3, 0x24, 4, 0x12);
	assert_true(pci_bar_address(&f, 4, &address));
	assert_int_equal(address, 0x1200000000);
	pci_function_init(&second, 3, 1, &id);
	assert_true(pci_add(&machine.pci, &second));
	assert_int_equal(config(3, 0x0e, 1), 0x80);
}

static u64 seen_offset, seen_value;

static u64 bar_read(struct pci_function *f, u32 bar, u64 offset, u32 size)
{
	return (u64)f->slot << 24 | bar << 16 | offset << 4 | size;
}

static void bar_write(struct pci_function *f, u32 bar, u64 offset, u32 size, u64 value)
{
	(void)f, (void)bar, (void)size;
	seen_offset = offset;
	seen_value = value;
}

/* Device memory is where the guest put it, inside the window, while its decoding is on. */
static void bars_are_reached_where_they_are(void **state)
{
	static const struct pci_identity id = { 0x1af4, 0x1042, 0x010000, 1, 0, 0 };
	static struct pci_function f;
	u64 at;

	(void)state;
	pci_function_init(&f, 5, 0, &id);
	pci_bar_init(&f, 1, PCI_BAR_MEMORY32, 0x2000);
	f.read = bar_read;
	f.write = bar_write;
	assert_true(pci_add(&machine.pci, &f));
	pci_place(&machine.pci, &f);
	assert_true(pci_bar_address(&f, 1, &at));
	assert_true(at >= MON_PCI_MMIO && at % 0x2000 == 0);
	assert_int_equal(mmio(at + 8, 4, false, 0), 0x05010084);
	config_write(5, 0x14, 4, 0xd0000000);
	assert_int_equal(mmio(at + 8, 4, false, 0), 0xffffffff);
	assert_int_equal(mmio(0xd0001ff8, 8, false, 0), 0x0501ff88);
	assert_int_equal(mmio(0xd0001ffc, 8, false, 0), ~0ull); /* over its end */
	mmio(0xd0000010, 4, true, 77);
	assert_int_equal(seen_offset, 0x10);
	assert_int_equal(seen_value, 77);
	config_write(5, 4, 2, 0);
	assert_int_equal(mmio(0xd0000008, 4, false, 0), 0xffffffff);
	config_write(5, 4, 2, 2);
	config_write(5, 0x14, 4, 0xfdffe000); /* the last place */
	assert_int_equal(mmio(0xfdffe000, 4, false, 0), 0x05010004);
	config_write(5, 0x14, 4, MON_IOAPIC); /* outside the window: the I/O APIC keeps its place */
	mmio(MON_IOAPIC, 4, true, 1);
	assert_int_equal(mmio(MON_IOAPIC + 0x10, 4, false, 0), 0x00170020);
	config_write(5, 0x14, 4, 0x00100000);
	assert_int_equal(mmio(0x00100000, 4, false, 0), 0xffffffff);
}

static void pins_share_wires(void **state)
{
	static const struct pci_identity id = { 0x1af4, 0x1042, 0x010000, 1, 0, 0 };
	static struct pci_function f[3];
	static const u8 slots[3] = { 4, 8, 6 }; /* wires 0, 0 and 2: one line of the PIC */
	struct ioapic *a = &machine.interrupts.ioapic;

	(void)state;
	assert_int_equal(in(PORT_ELCR + 1, 1), 0x0c);
	for (u32 i = 0; i < 3; i++) {
		pci_function_init(&f[i], slots[i], 0, &id);
		f[i].config[PCI_PIN] = PCI_PIN_A;
		assert_true(pci_add(&machine.pci, &f[i]));
		assert_int_equal(config(slots[i], 0x3c, 2), 0x010a);
		pci_interrupt(&machine.pci, &f[i], true);
	}
	assert_int_equal(a->lines, 5u << 16);
	assert_int_equal(config(4, 6, 2), 0x0008);
	pci_interrupt(&machine.pci, &f[0], false);
	assert_int_equal(a->lines, 5u << 16); /* the other one still asks */
	config_write(8, 4, 2, 0x0400);
	assert_int_equal(a->lines, 4u << 16);
	assert_int_equal(machine.interrupts.pic.chip[1].lines, 4);
	pci_interrupt(&machine.pci, &f[2], false);
	assert_int_equal(machine.interrupts.pic.chip[1].lines, 0);
	config_write(8, 4, 2, 0);
	assert_int_equal(a->lines, 1u << 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(pci_configuration, setup),
		cmocka_unit_test_setup(pci_bars, setup),
		cmocka_unit_test_setup(bars_are_reached_where_they_are, setup),
		cmocka_unit_test_setup(pins_share_wires, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
