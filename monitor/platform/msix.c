/*
 * msix: see msix.h.
 */
#include "monitor/platform/msix.h"
#include "monitor/lib/bits.h"
#include "monitor/lib/call.h"
#include "monitor/lib/string.h"

#define CAPABILITY_MSIX 0x11u
#define CAPABILITY_BYTES 12u
#define CONTROL 2u /* offsets in the capability */
#define TABLE   4u
#define PBA     8u

#define CONTROL_ENABLE 0x8000u
#define CONTROL_MASK   0x4000u
#define VECTOR_MASKED 1u

void msix_init(struct msix *x, struct pci_function *f, u32 vectors, u32 bar, u32 table, u32 pba)
{
	*x = (struct msix){ .function = f, .vectors = vectors, .capability = pci_add_capability(f, CAPABILITY_MSIX, CAPABILITY_BYTES) };
	pci_put(f, x->capability + CONTROL, 2, vectors - 1);
	pci_put(f, x->capability + TABLE, 4, table | bar);
	pci_put(f, x->capability + PBA, 4, pba | bar);
	f->writable[x->capability + CONTROL + 1] = (CONTROL_ENABLE | CONTROL_MASK) >> 8;
	for (u32 i = 0; i < vectors; i++)
		x->entry[i].control = VECTOR_MASKED;
}

static u32 control(const struct msix *x) { return (u32)pci_get(x->function, x->capability + CONTROL, 2); }

bool msix_enabled(const struct msix *x) { return (control(x) & CONTROL_ENABLE) != 0; }

void msix_update(struct msix *x)
{
	if ((control(x) & (CONTROL_ENABLE | CONTROL_MASK)) != CONTROL_ENABLE || !pci_is_master(x->function))
		return;
	for (u32 i = 0; i < x->vectors; i++) {
		if ((x->pending & BIT(i)) == 0 || (x->entry[i].control & VECTOR_MASKED) != 0)
			continue;
		x->pending &= ~BIT(i);
		ring0_send_msi(x->entry[i].address, x->entry[i].data);
	}
}

void msix_send(struct msix *x, u32 vector)
{
	if (vector >= x->vectors)
		return;
	x->pending |= BIT(vector);
	msix_update(x);
}

/* The table takes whole fields: 4 or 8 bytes at their natural places. */
static bool in_table(const struct msix *x, u64 offset, u32 size)
{
	return size >= sizeof(u32) && offset % size == 0 && offset + size <= (u64)x->vectors * MSIX_ENTRY_BYTES;
}

u64 msix_table_read(const struct msix *x, u64 offset, u32 size)
{
	u64 value = 0;

	if (in_table(x, offset, size))
		memcpy(&value, (const u8 *)x->entry + offset, size);
	return value;
}

void msix_table_write(struct msix *x, u64 offset, u32 size, u64 value)
{
	if (!in_table(x, offset, size))
		return;
	memcpy((u8 *)x->entry + offset, &value, size);
	x->entry[offset / MSIX_ENTRY_BYTES].control &= VECTOR_MASKED;
	msix_update(x);
}

u64 msix_pba_read(const struct msix *x, u64 offset, u32 size)
{
	return offset < sizeof(u64) ? ((u64)x->pending >> 8 * offset) & all_ones(size) : 0;
}
