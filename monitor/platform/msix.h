/*
 * msix: a function's MSI-X capability (PCI 3.0, 6.8.2): a table of messages, and a pending bit for each that is masked.
 *
 * A message leaves when the function may master the bus and neither its own mask nor the function's holds it; until then its pending bit
 * stays set, and whatever lifts the last of these sends it.
 */
#ifndef MONITOR_PLATFORM_MSIX_H
#define MONITOR_PLATFORM_MSIX_H

#include "monitor/platform/pci.h"

#include <assert.h>

#define MSIX_VECTORS_MAX 4u
#define MSIX_ENTRY_BYTES 16u

struct msix_entry { /* as it lies in the table */
	u64 address;
	u32 data, control;
};
static_assert(sizeof(struct msix_entry) == MSIX_ENTRY_BYTES, "PCI 6.8.2.6");

struct msix {
	struct pci_function *function;
	u32 capability; /* its offset in configuration space */
	u32 vectors;
	u32 pending;    /* bit n: vector n */
	struct msix_entry entry[MSIX_VECTORS_MAX];
};

/* Table and pending bits lie at these offsets of the BAR; the owner of the BAR hands accesses to them on. */
void msix_init(struct msix *x, struct pci_function *f, u32 vectors, u32 bar, u32 table, u32 pba);
bool msix_enabled(const struct msix *x);
void msix_send(struct msix *x, u32 vector); /* one that is not in the table: nothing */
void msix_update(struct msix *x);           /* configuration space was written */

u64 msix_table_read(const struct msix *x, u64 offset, u32 size);
void msix_table_write(struct msix *x, u64 offset, u32 size, u64 value);
u64 msix_pba_read(const struct msix *x, u64 offset, u32 size);

#endif
