/*
 * pci: see pci.h.
 */
#include "monitor/platform/pci.h"
#include "monitor/lib/bits.h"
#include "monitor/lib/string.h"

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

#define COMMAND_MASTER 0x0004u
#define COMMAND_NO_INTX 0x0400u

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

void pci_function_init(struct pci_function *f, u8 slot, u8 number, const struct pci_identity *id)
{
	*f = (struct pci_function){ .slot = slot, .number = number };
	put(f->config + PCI_VENDOR, 2, id->vendor);
	put(f->config + PCI_DEVICE, 2, id->device);
	put(f->config + PCI_REVISION, 1, id->revision);
	put(f->config + PCI_CLASS, 3, id->class);
	put(f->config + PCI_SUBSYSTEM_VENDOR, 2, id->subsystem_vendor);
	put(f->config + PCI_SUBSYSTEM, 2, id->subsystem);
	put(f->writable + PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | COMMAND_MASTER | COMMAND_NO_INTX);
	put(f->writable + PCI_LINE, 1, 0xff);
}

static struct pci_function *find(const struct pci *p, u32 slot, u32 number)
{
	for (u32 i = 0; i < p->count; i++)
		if (p->function[i]->slot == slot && p->function[i]->number == number)
			return p->function[i];
	return NULL;
}

bool pci_add(struct pci *p, struct pci_function *f)
{
	struct pci_function *first = find(p, f->slot, 0);

	if (p->count == PCI_FUNCTIONS_MAX || find(p, f->slot, f->number) != NULL)
		return false;
	if (f->number != 0 && first != NULL)
		first->config[PCI_HEADER_TYPE] |= HEADER_MULTIFUNCTION;
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

void pci_init(struct pci *p)
{
	*p = (struct pci){ 0 };
	pci_function_init(&p->host_bridge, 0, 0, &host_bridge);
	pci_function_init(&p->isa_bridge, 1, 0, &isa_bridge);
	pci_add(p, &p->host_bridge);
	pci_add(p, &p->isa_bridge);
}

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
	const struct pci_function *f = selected(p);

	if (f == NULL || offset + size > 4)
		return (u32)all_ones(size);
	return (u32)get(f->config + ADDRESS_REGISTER(p->address) + offset, size);
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
	if (f->written != NULL)
		f->written(f, at, size);
}
