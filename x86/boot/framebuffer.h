/*
 * framebuffer: the display that the loader tells of, judged as any other input.
 */
#ifndef X86_BOOT_FRAMEBUFFER_H
#define X86_BOOT_FRAMEBUFFER_H

#include "x86/boot/multiboot.h"
#include "x86/cpu/screen.h"

/* All of it can be reached by one table of 2 MiB pages, wherever in the first it begins. */
#define FRAMEBUFFER_MOST (511ull << 21)

/* NULL, and `s` is filled but for its address; or why it is of no use: what comes after `no screen: `. Pure, builds hosted. */
const char *framebuffer_judge(const struct framebuffer *f, const struct raw_map *map, u32 phys_bits, struct screen *s);
static inline u64 framebuffer_bytes(const struct framebuffer *f) { return (u64)f->pitch * f->height; }

/* screen.c: maps it in the early map, at the address that it keeps, and clears it; from here on the log is seen. */
void screen_open(const struct loader_info *loader);
/* Its pages; the same: there is none. */
extern u64 screen_first, screen_end;

#endif
