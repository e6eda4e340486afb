/*
 * pci: see pci.h.
 */
#include "monitor/platform/pci.h"
#include "abi/monitor.h"
#include "monitor/lib/bits.h"

#define ADDRESS_ENABLE 0x80000000u
#define ADDRESS_KEPT   0x80fffffcu
#define ADDRESS_BUS(a) ((a) >> 16 & 0xffu)
#define ADDRESS_SLOT(a) ((a) >> 11 & 0x1fu)
#define ADDRESS_FUNCTION(a) ((a) >> 8 & 7u)
#define ADDRESS_REGISTER(a) ((a) & 0xfcu)

#define BAR_IO 0x1u
#define BAR_MEMORY64 0x4u
#define BAR_FLAGS_IO 0x3u
#define BAR_FLAGS_MEMORY 0xfu
#define BAR_BYTES 4u
#define HEADER_MULTIFUNCTION 0x80u

#define COMMAND_NO_INTX 0x0400u
#define STATUS_INTERRUPT 0x0008u
#define STATUS_CAPABILITIES 0x0010u

#define CAPABILITIES_FIRST 0x40u
#define CAPABILITY_ALIGNMENT 4u

/* Interrupt wires, as dsdt.asl tells: four at the I/O APIC, taken in turn by slots and pins, and two lines of the PIC for them. */
#define WIRES 4u
#define WIRE_FIRST_PIN 16u
#define PIC_LINES_FOR_WIRES 2u
#define WIRE_FIRST_LINE 10u
#define SLAVE_ELCR 1u
#define SLAVE_FIRST_LINE 8u

/* A host bridge and an ISA bridge that every system knows and expects nothing of. */
static const struct pci_identity host_bridge = { 0x8086, 0x1237, 0x060000, 2, 0x1af4, 0x1100 };
static const struct pci_identity isa_bridge = { 0x8086, 0x7110, 0x060100, 1, 0x1af4, 0x1100 };

static void put(u8 *bytes, u32 size, u64 value)
{
	for (u32 i = 0; i < size; i++)
		bytes[i] = (u8)(value >> 8 * i);
}

static u64 get(const u8 *bytes, u32 size)
{
	u64 value = 0;

	for (u32 i = 0; i < size; i++)
		value |= (u64)bytes[i] << 8 * i;
	return value;
}

u64 pci_get(const struct pci_function *f, u32 offset, u32 size) { return get(f->config + offset, size); }
void pci_put(struct pci_function *f, u32 offset, u32 size, u64 value) { put(f->config + offset, size, value); }

void pci_function_init(struct pci_function *f, u8 slot, u8 number, const struct pci_identity *id)
{
	*f = (struct pci_function){ .slot = slot, .number = number, .capabilities_end = CAPABILITIES_FIRST };
	for (u32 bar = 0; bar < PCI_BARS; bar++)
		f->bar_at[bar] = PCI_NOWHERE;
	put(f->config + PCI_VENDOR, 2, id->vendor);
	put(f->config + PCI_DEVICE, 2, id->device);
	put(f->config + PCI_REVISION, 1, id->revision);
	put(f->config + PCI_CLASS, 3, id->class);
	put(f->config + PCI_SUBSYSTEM_VENDOR, 2, id->subsystem_vendor);
	put(f->config + PCI_SUBSYSTEM, 2, id->subsystem);
	put(f->writable + PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | COMMAND_NO_INTX);
	put(f->writable + PCI_LINE, 1, 0xff);
}

u32 pci_add_capability(struct pci_function *f, u8 id, u32 bytes)
{
	u32 link = PCI_CAPABILITIES, at = f->capabilities_end;

	while (f->config[link] != 0)
		link = f->config[link] + 1u;
	f->config[link] = (u8)at;
	f->config[at] = id;
	f->config[PCI_STATUS] |= STATUS_CAPABILITIES;
	f->capabilities_end = (u8)align_up(at + bytes, CAPABILITY_ALIGNMENT);
	return at;
}

static struct pci_function *find(const struct pci *p, u32 slot, u32 number)
{
	for (u32 i = 0; i < p->count; i++)
		if (p->function[i]->slot == slot && p->function[i]->number == number)
			return p->function[i];
	return NULL;
}

static u32 wire_of(const struct pci_function *f) { return (f->slot + f->config[PCI_PIN] - PCI_PIN_A) % WIRES; }
static u32 wire_line(u32 wire) { return WIRE_FIRST_LINE + wire % PIC_LINES_FOR_WIRES; }

bool pci_add(struct pci *p, struct pci_function *f)
{
	struct pci_function *first = find(p, f->slot, 0);

	if (p->count == PCI_FUNCTIONS_MAX || find(p, f->slot, f->number) != NULL)
		return false;
	if (f->number != 0 && first != NULL)
		first->config[PCI_HEADER_TYPE] |= HEADER_MULTIFUNCTION;
	if (f->config[PCI_PIN] != 0)
		f->config[PCI_LINE] = (u8)wire_line(wire_of(f));
	p->function[p->count++] = f;
	return true;
}

void pci_bar_init(struct pci_function *f, u32 bar, enum pci_bar_kind kind, u64 size)
{
	u32 offset = PCI_BAR0 + bar * BAR_BYTES;
	u64 mask = ~(size - 1);

	if (kind == PCI_BAR_IO) {
		put(f->config + offset, 4, BAR_IO);
		put(f->writable + offset, 4, mask & ~(u64)BAR_FLAGS_IO);
	} else {
		put(f->config + offset, 4, kind == PCI_BAR_MEMORY64 ? BAR_MEMORY64 : 0);
		put(f->writable + offset, kind == PCI_BAR_MEMORY64 ? 8 : 4, mask & ~(u64)BAR_FLAGS_MEMORY);
		f->bar_size[bar] = size;
	}
}

bool pci_bar_address(const struct pci_function *f, u32 bar, u64 *address)
{
	const u8 *at = f->config + PCI_BAR0 + bar * BAR_BYTES;
	u32 command = (u32)get(f->config + PCI_COMMAND, 2);

	if (at[0] & BAR_IO) {
		*address = get(at, 4) & ~(u64)BAR_FLAGS_IO;
		return (command & PCI_COMMAND_IO) != 0;
	}
	*address = get(at, at[0] & BAR_MEMORY64 ? 8 : 4) & ~(u64)BAR_FLAGS_MEMORY;
	return (command & PCI_COMMAND_MEMORY) != 0;
}

/* After its registers were changed: which accesses are for this function. The host bridge passes on its window only. */
static void decode(struct pci_function *f)
{
	for (u32 bar = 0; bar < PCI_BARS; bar++) {
		u64 at, size = f->bar_size[bar];
		bool on = size != 0 && pci_bar_address(f, bar, &at) && at >= MON_PCI_MMIO && at < MON_PCI_MMIO_END &&
			  size <= MON_PCI_MMIO_END - at;

		f->bar_at[bar] = on ? at : PCI_NOWHERE;
	}
}

void pci_place(struct pci *p, struct pci_function *f)
{
	for (u32 bar = 0; bar < PCI_BARS; bar++) {
		u32 offset = PCI_BAR0 + bar * BAR_BYTES, size = f->config[offset] & BAR_MEMORY64 ? 8 : 4;
		u64 at = align_up(p->next_bar, max_u64(f->bar_size[bar], PAGE_SIZE));

		if (f->bar_size[bar] == 0)
			continue;
		pci_put(f, offset, size, at | f->config[offset]);
		p->next_bar = at + f->bar_size[bar];
	}
	f->config[PCI_COMMAND] |= PCI_COMMAND_MEMORY;
	decode(f);
}

bool pci_is_master(const struct pci_function *f) { return (f->config[PCI_COMMAND] & PCI_COMMAND_MASTER) != 0; }

static bool asserts(const struct pci_function *f)
{
	return f->interrupt && (pci_get(f, PCI_COMMAND, 2) & COMMAND_NO_INTX) == 0;
}

/* What this function's wire and line carry: who shares them asserts them together. */
static void drive(struct pci *p, const struct pci_function *f)
{
	u32 wire = wire_of(f), line = wire_line(wire);
	bool on_wire = false, on_line = false;

	for (u32 i = 0; i < p->count; i++) {
		const struct pci_function *g = p->function[i];

		if (g->config[PCI_PIN] == 0 || !asserts(g))
			continue;
		on_wire = on_wire || wire_of(g) == wire;
		on_line = on_line || wire_line(wire_of(g)) == line;
	}
	pic_set_line(&p->interrupts->pic, line, on_line);
	ioapic_set_pin(&p->interrupts->ioapic, WIRE_FIRST_PIN + wire, on_wire);
}

void pci_interrupt(struct pci *p, struct pci_function *f, bool asserted)
{
	if (asserted == f->interrupt)
		return;
	f->interrupt = asserted;
	f->config[PCI_STATUS] = (u8)((f->config[PCI_STATUS] & ~STATUS_INTERRUPT) | (asserted ? STATUS_INTERRUPT : 0));
	drive(p, f);
}

void pci_init(struct pci *p, struct interrupts *interrupts)
{
	*p = (struct pci){ .interrupts = interrupts, .next_bar = MON_PCI_MMIO };
	pic_elcr_write(&interrupts->pic, SLAVE_ELCR, (BIT(PIC_LINES_FOR_WIRES) - 1) << (WIRE_FIRST_LINE - SLAVE_FIRST_LINE));
	pci_function_init(&p->host_bridge, 0, 0, &host_bridge);
	pci_function_init(&p->isa_bridge, 1, 0, &isa_bridge);
	pci_add(p, &p->host_bridge);
	pci_add(p, &p->isa_bridge);
}

/* ---- device memory ---- */

static struct pci_function *owner_of(const struct pci *p, u64 address, u32 size, u32 *bar)
{
	for (u32 i = 0; i < p->count; i++)
		for (*bar = 0; *bar < PCI_BARS; (*bar)++) {
			struct pci_function *f = p->function[i];
			u64 at = f->bar_at[*bar];

			if (at != PCI_NOWHERE && address >= at && address - at <= f->bar_size[*bar] - size)
				return f;
		}
	return NULL;
}

bool pci_memory_read(struct pci *p, u64 address, u32 size, u64 *value)
{
	u32 bar;
	struct pci_function *f = owner_of(p, address, size, &bar);

	if (f == NULL || f->read == NULL)
		return false;
	*value = f->read(f, bar, address - f->bar_at[bar], size);
	return true;
}

bool pci_memory_write(struct pci *p, u64 address, u32 size, u64 value)
{
	u32 bar;
	struct pci_function *f = owner_of(p, address, size, &bar);

	if (f == NULL || f->write == NULL)
		return false;
	f->write(f, bar, address - f->bar_at[bar], size, value);
	return true;
}

/* ---- configuration mechanism #1 ---- */

/* Only a whole 32-bit access reaches CF8h; narrower ones pass by to ISA, where nobody is. */
u32 pci_address_read(const struct pci *p, u32 offset, u32 size)
{
	return offset == 0 && size == 4 ? p->address : (u32)all_ones(size);
}

void pci_address_write(struct pci *p, u32 offset, u32 size, u32 value)
{
	if (offset == 0 && size == 4)
		p->address = value & ADDRESS_KEPT;
}

static struct pci_function *selected(const struct pci *p)
{
	if ((p->address & ADDRESS_ENABLE) == 0 || ADDRESS_BUS(p->address) != 0)
		return NULL;
	return find(p, ADDRESS_SLOT(p->address), ADDRESS_FUNCTION(p->address));
}

u32 pci_data_read(const struct pci *p, u32 offset, u32 size)
{
	struct pci_function *f = selected(p);
	u32 at = ADDRESS_REGISTER(p->address) + offset;

	if (f == NULL || offset + size > 4)
		return (u32)all_ones(size);
	if (f->reading != NULL)
		f->reading(f, at, size);
	return (u32)pci_get(f, at, size);
}

void pci_data_write(struct pci *p, u32 offset, u32 size, u32 value)
{
	struct pci_function *f = selected(p);
	u32 at = ADDRESS_REGISTER(p->address) + offset;

	if (f == NULL || offset + size > 4)
		return;
	for (u32 i = 0; i < size; i++) {
		u8 mask = f->writable[at + i];

		f->config[at + i] = (u8)((f->config[at + i] & ~(u32)mask) | ((value >> 8 * i) & mask));
	}
	decode(f);
	if (f->config[PCI_PIN] != 0)
		drive(p, f); /* COMMAND_NO_INTX */
	if (f->written != NULL)
		f->written(f, at, size);
}
