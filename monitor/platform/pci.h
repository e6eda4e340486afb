/*
 * pci: configuration mechanism #1 (ports CF8h and CFCh), the functions of bus 0, their memory and their interrupt pins.
 *
 * A function's configuration space is 256 bytes and a mask of what a guest may write in them; everything that PCI says of registers
 * follows from the two (a BAR is sized by writing ones: the mask has none below its size). Accesses reach a memory BAR wherever the
 * guest has placed it inside the host bridge's window, while its decoding is on. Pins of several functions may share a wire.
 */
#ifndef MONITOR_PLATFORM_PCI_H
#define MONITOR_PLATFORM_PCI_H

#include "monitor/platform/irq.h"

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
#define PCI_COMMAND_MASTER 0x0004u

#define PCI_PIN_A 1u

/* Any of the functions may be NULL. */
struct pci_function {
	u8 slot, number; /* device and function number on bus 0 */
	u8 config[PCI_CONFIG_BYTES];
	u8 writable[PCI_CONFIG_BYTES];
	u8 capabilities_end; /* where the next capability goes */
	bool interrupt;      /* what its pin wants */
	u64 bar_size[PCI_BARS]; /* of memory BARs */
	u64 bar_at[PCI_BARS];   /* where they are decoded now, or PCI_NOWHERE */
	void (*reading)(struct pci_function *f, u32 offset, u32 size); /* before a read of configuration space */
	void (*written)(struct pci_function *f, u32 offset, u32 size); /* after a write to it */
	u64 (*read)(struct pci_function *f, u32 bar, u64 offset, u32 size);
	void (*write)(struct pci_function *f, u32 bar, u64 offset, u32 size, u64 value);
};

/* Slots of bus 0; those of the bridges are 0 and 1. */
#define SLOT_VIRTIO_CONSOLE 2u
#define SLOT_VIRTIO_BLOCK   3u

#define PCI_NOWHERE (~0ull)

struct pci {
	struct interrupts *interrupts;
	u64 next_bar; /* where pci_place() goes on */
	u32 address;  /* CF8h */
	u32 count;
	struct pci_function *function[PCI_FUNCTIONS_MAX];
	struct pci_function host_bridge, isa_bridge;
};

void pci_init(struct pci *p, struct interrupts *interrupts);

/* Identity of a function, the rest zero; then pci_add(). */
struct pci_identity {
	u16 vendor, device;
	u32 class; /* class << 16 | sub-class << 8 | interface */
	u8 revision;
	u16 subsystem_vendor, subsystem;
};
void pci_function_init(struct pci_function *f, u8 slot, u8 number, const struct pci_identity *id);
bool pci_add(struct pci *p, struct pci_function *f); /* false: no room, or the place is taken */

/* Registers of configuration space, little-endian, of 1 to 8 bytes; what a guest may write is another matter. */
u64 pci_get(const struct pci_function *f, u32 offset, u32 size);
void pci_put(struct pci_function *f, u32 offset, u32 size, u64 value);
/* A capability of `bytes` bytes, id and link included, at the end of the list: its offset. */
u32 pci_add_capability(struct pci_function *f, u8 id, u32 bytes);

/* A BAR of `size` bytes (a power of two; at least 16 for memory, 4 for I/O), at address 0 until a guest places it. */
enum pci_bar_kind { PCI_BAR_MEMORY32, PCI_BAR_MEMORY64, PCI_BAR_IO };
void pci_bar_init(struct pci_function *f, u32 bar, enum pci_bar_kind kind, u64 size);
/* Where it is now; false: its decoding is off. */
bool pci_bar_address(const struct pci_function *f, u32 bar, u64 *address);
/* What firmware does: an address for each memory BAR, decoding on. */
void pci_place(struct pci *p, struct pci_function *f);

/* May it read and write memory, and send interrupt messages? */
bool pci_is_master(const struct pci_function *f);
/* Its interrupt pin, a level. */
void pci_interrupt(struct pci *p, struct pci_function *f, bool asserted);

/* An access to device memory: false if no BAR has all of it. */
bool pci_memory_read(struct pci *p, u64 address, u32 size, u64 *value);
bool pci_memory_write(struct pci *p, u64 address, u32 size, u64 value);

u32 pci_address_read(const struct pci *p, u32 offset, u32 size);
void pci_address_write(struct pci *p, u32 offset, u32 size, u32 value);
u32 pci_data_read(const struct pci *p, u32 offset, u32 size);
void pci_data_write(struct pci *p, u32 offset, u32 size, u32 value);

#endif
