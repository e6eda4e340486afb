/*
 * pci: a virtio device as a PCI function (virtio 1.x, 4.1): modern only, one memory BAR with a page for each structure.
 *
 *   0000h  common configuration     3000h  notifications, 4 bytes a queue
 *   1000h  ISR status               4000h  MSI-X table
 *   2000h  the device's own         5000h  MSI-X pending bits
 *
 * Capabilities in configuration space say so. Interrupts are messages when MSI-X is enabled, else the pin INTA.
 */
#ifndef MONITOR_VIRTIO_PCI_H
#define MONITOR_VIRTIO_PCI_H

#include "monitor/virtio/device.h"

/* What a device needs of its machine. */
struct virtio_bus {
	struct pci *pci;
	struct timers *timers;
	const struct guest_memory *memory;
	u64 tsc_khz;
};

/* A device after power-on, in a slot of bus 0, placed and decoded. Its config bytes are for the caller to fill. */
void virtio_pci_init(struct virtio_device *d, const struct virtio_type *type, const struct virtio_bus *bus, u8 slot);

/* Interrupts: buffers of a queue were used; the configuration (or NEEDS_RESET) changed. */
void virtio_pci_queue_used(struct virtio_device *d, u32 queue);
void virtio_pci_config_changed(struct virtio_device *d);
/* ISR status is cleared by reading it, and the pin with it. */
u8 virtio_pci_isr_take(struct virtio_device *d);

#endif
