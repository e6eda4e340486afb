/*
 * screen: the display's place in the maps. It has one address from its first line to its last: SCREEN_BASE, and as far into it as it
 * lies into 2 MiB of physical memory, so that large pages fit.
 */
#include "core/bits.h"
#include "x86/boot/framebuffer.h"
#include "x86/boot/options.h"
#include "x86/cpu/log.h"
#include "x86/mm/mm.h"

#define ENTRIES 512u
#define TOP_SHIFT 39
#define GIB_SHIFT 30
#define ENTRY_TABLE 3ull   /* present, writable */
#define ENTRY_BLOCK 0x93ull /* and a page of 2 MiB, uncached */
#define BLANKS 0x0720072007200720ull /* four cells of VGA's text */

extern u64 boot_pml4[];

u64 screen_first, screen_end;

static u64 pdpt[ENTRIES] __attribute__((aligned(4096)));
static u64 pd[ENTRIES] __attribute__((aligned(4096)));

/* Blocks of 2 MiB: what lies beside it is mapped with it, as long as the start lasts. */
static void map_early(void)
{
	u64 block = align_down(screen_first, BLOCK_SIZE);
	for (u64 i = 0; i < ENTRIES && block < screen_end; i++, block += BLOCK_SIZE)
		pd[i] = block | ENTRY_BLOCK;
	pdpt[SCREEN_BASE >> GIB_SHIFT & (ENTRIES - 1)] = image_hpa(pd).v | ENTRY_TABLE;
	boot_pml4[SCREEN_BASE >> TOP_SHIFT & (ENTRIES - 1)] = image_hpa(pdpt).v | ENTRY_TABLE;
}

static void clear(u8 *at, u64 bytes, u64 value)
{
	for (u64 i = 0; i + sizeof(value) <= bytes; i += sizeof(value))
		__builtin_memcpy(at + i, &value, sizeof(value));
}

void screen_open(const struct loader_info *loader)
{
	const struct framebuffer *f = &loader->framebuffer;
	struct screen found;
	if (!f->width || options.screen == SCREEN_NO)
		return;
	const char *why = framebuffer_judge(f, &loader->map, features.phys_bits, &found);
	if (why) {
		log_line("no screen: %s", why);
		return;
	}
	screen_first = align_down(f->address, PAGE_SIZE);
	screen_end = align_up(f->address + framebuffer_bytes(f), PAGE_SIZE);
	map_early();
	found.at = (u8 *)SCREEN_BASE + (f->address & (BLOCK_SIZE - 1));
	clear(found.at, framebuffer_bytes(f), found.pixel_bytes ? 0 : BLANKS);
	screen = found;
	log_line("screen: %u columns, %u lines, %s at %lx", found.columns, found.rows, found.pixel_bytes ? "pixels" : "text", f->address);
}
