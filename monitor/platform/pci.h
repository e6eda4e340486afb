/*
 * pci: configuration mechanism #1 (ports CF8h and CFCh) and the functions of bus 0.
 *
 * A function's configuration space is 256 bytes and a mask of what a guest may write in them; everything that PCI says of registers
 * follows from the two (a BAR is sized by writing ones: the mask has none below its size).
 */
#ifndef MONITOR_PLATFORM_PCI_H
#define MONITOR_PLATFORM_PCI_H

#include "abi/types.h"

#define PCI_CONFIG_BYTES 256u
#define PCI_FUNCTIONS_MAX 16u
#define PCI_BARS 6u

/* Offsets in the configuration header (PCI 3.0, 6.1). */
#define PCI_VENDOR      0x00u
#define PCI_DEVICE      0x02u
#define PCI_COMMAND     0x04u
#define PCI_STATUS      0x06u
#define PCI_REVISION    0x08u
#define PCI_CLASS       0x09u /* interface, sub-class, class */
#define PCI_HEADER_TYPE 0x0eu
#define PCI_BAR0        0x10u
#define PCI_SUBSYSTEM_VENDOR 0x2cu
#define PCI_SUBSYSTEM   0x2eu
#define PCI_CAPABILITIES 0x34u
#define PCI_LINE        0x3cu
#define PCI_PIN         0x3du

#define PCI_COMMAND_IO     0x0001u
#define PCI_COMMAND_MEMORY 0x0002u

struct pci_function {
	u8 slot, number; /* device and function number on bus 0 */
	u8 config[PCI_CONFIG_BYTES];
	u8 writable[PCI_CONFIG_BYTES];
	void (*written)(struct pci_function *f, u32 offset, u32 size); /* after a write; may be NULL */
};

struct pci {
	u32 address; /* CF8h */
	u32 count;
	struct pci_function *function[PCI_FUNCTIONS_MAX];
	struct pci_function host_bridge, isa_bridge;
};

void pci_init(struct pci *p);

/* Identity of a function, the rest zero; then pci_add(). */
struct pci_identity {
	u16 vendor, device;
	u32 class; /* class << 16 | sub-class << 8 | interface */
	u8 revision;
	u16 subsystem_vendor, subsystem;
};
void pci_function_init(struct pci_function *f, u8 slot, u8 number, const struct pci_identity *id);
bool pci_add(struct pci *p, struct pci_function *f); /* false: no room, or the place is taken */

/* A BAR of `size` bytes (a power of two; at least 16 for memory, 4 for I/O), at address 0 until a guest places it. */
enum pci_bar_kind { PCI_BAR_MEMORY32, PCI_BAR_MEMORY64, PCI_BAR_IO };
void pci_bar_init(struct pci_function *f, u32 bar, enum pci_bar_kind kind, u64 size);
/* Where it is now; false: its decoding is off. */
bool pci_bar_address(const struct pci_function *f, u32 bar, u64 *address);

u32 pci_address_read(const struct pci *p, u32 offset, u32 size);
void pci_address_write(struct pci *p, u32 offset, u32 size, u32 value);
u32 pci_data_read(const struct pci *p, u32 offset, u32 size);
void pci_data_write(struct pci *p, u32 offset, u32 size, u32 value);

#endif
