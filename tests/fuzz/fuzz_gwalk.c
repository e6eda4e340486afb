/*
 * fuzz_gwalk: the guest walker against the independent MMU, on tables, modes and accesses that libFuzzer makes up.
 *
 *   0        paging mode; the pointers of PAE loaded or read        2  CR3
 *   1        bits of the registers and of the processor             4  address bits' width, then steps of 10 bytes
 *
 * A step pokes an entry anywhere, lays the next entry on the way of the present address, chooses an address, or makes an access.
 */
#include "tests/fuzz/compare_mmu.h"

#define HEAD_BYTES 5u
#define STEP_BYTES 10u
#define STEPS_MOST 200u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OFF, B32, PAE, L4, L5, KINDS };

static struct {
	struct mmu_guest guest;
	u32 kind, row; /* row: how far down the way entries have been laid */
	u64 address, table;
} f;

static u32 entry_bytes(void) { return f.kind == B32 ? 4 : 8; }

static void read_head(const u8 *data)
{
	u32 cpu = data[1];
	struct mmu_guest *g = &f.guest;
	*g = (struct mmu_guest){ .physical_bits = 32 + data[4] % 21, .nx = cpu & 1, .page1g = cpu & 2, .pse36 = cpu & 4 };
	f.kind = (data[0] & 15) % KINDS;
	walked.loaded = data[0] & 16;
	g->cr0 = (f.kind != OFF ? BIT(31) : 0) | (cpu & 8 ? BIT(16) : 0);
	g->cr4 = (cpu & 16 ? BIT(4) : 0) | (cpu & 32 ? BIT(20) : 0) | (cpu & 64 ? BIT(21) : 0) | (f.kind >= PAE ? BIT(5) : 0) |
		 (f.kind == L5 ? BIT(12) : 0);
	g->efer = (f.kind >= L4 ? BIT(10) : 0) | (cpu & 128 ? BIT(11) : 0);
	g->rflags = data[0] & 32 ? BIT(18) : 0;
	g->cr3 = (u64)(data[2] | data[3] << 8) % WALK_BYTES & (f.kind == PAE ? ~31ull : ~0xff7ull);
}

static void choose_address(u64 address)
{
	static const u32 widths[KINDS] = { 32, 32, 32, 48, 57 };
	u32 unused = 64 - widths[f.kind];
	f.address = (u64)((s64)(address << unused) >> unused);
	f.row = 0;
	f.table = f.kind == PAE ? f.guest.cr3 : f.guest.cr3 & ~PAGE_MASK;
}

static void put(u64 at, u64 entry)
{
	if (at <= WALK_BYTES - entry_bytes())
		memcpy(walked.ours + at, &entry, entry_bytes());
}

/* The entry leads on inside the memory, unless `wild`. */
static void lay(u64 entry, bool wild)
{
	static const u8 lows[KINDS][6] = { { 0 }, { 22, 12, 0 }, { 30, 21, 12, 0 }, { 39, 30, 21, 12, 0 }, { 48, 39, 30, 21, 12, 0 } };
	u32 low = lows[f.kind][f.row];
	u64 span = f.kind == PAE && f.row == 0 ? 4 : PAGE_SIZE / entry_bytes();
	if (!low)
		return;
	if (!wild)
		entry &= ~(BITS(51, 12) & ~((WALK_FRAMES - 1ull) << PAGE_SHIFT));
	put(f.table + (f.address >> low) % span * entry_bytes(), entry);
	f.table = entry & (f.kind == B32 ? BITS(31, 12) : BITS(51, 12));
	f.row++;
}

static void step(const u8 *s)
{
	static const u32 accesses[] = { 0, GW_WRITE, GW_FETCH, GW_USER, GW_USER | GW_WRITE, GW_USER | GW_FETCH, GW_WRITE, GW_USER };
	u64 value;
	memcpy(&value, s + 2, sizeof(value));
	switch (s[0] % 5) {
	case 0:
		choose_address(value);
		break;
	case 1:
	case 2:
		lay(value, s[1] & 1);
		break;
	case 3:
		put(value >> 40 & (WALK_BYTES - 4), value); /* the entry's own upper bits say where */
		break;
	default:
		compare_mmu(&f.guest, f.address ^ (value & PAGE_MASK), accesses[s[1] & 7], s[1] & 8, s[1] & 16);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < HEAD_BYTES)
		return 0;
	memset(walked.ours, 0, WALK_BYTES);
	read_head(data);
	choose_address(0);
	for (size_t at = HEAD_BYTES, n = 0; at + STEP_BYTES <= size && n < STEPS_MOST; at += STEP_BYTES, n++)
		step(data + at);
	return 0;
}
