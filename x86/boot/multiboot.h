/*
 * multiboot: what a Multiboot loader handed over, of either version, as plain data.
 */
#ifndef X86_BOOT_MULTIBOOT_H
#define X86_BOOT_MULTIBOOT_H

#include "core/status.h"
#include "x86/boot/memory_map.h"
#include "x86/boot/reader.h"

#define BOOT_TEXT_BYTES 16384u /* all command lines together */
#define BOOT_LINE_BYTES 4096u  /* the longest of them, NUL included */
#define RSDP_BYTES 36u

struct framebuffer { u64 address; u32 pitch, width, height; u8 bits, type; };

struct loader_info {
	struct raw_map map;
	struct framebuffer framebuffer; /* width 0: none */
	u8 rsdp[RSDP_BYTES]; /* Multiboot 2 hands a copy over */
	u32 rsdp_bytes;      /* 0: none */
	u32 text_used;
	char text[BOOT_TEXT_BYTES]; /* where boot_info's strings lie: the loader's own memory is taken over */
};

/*
 * Fills cmdline, loader and modules of `boot`, and `info`. Without a command line it is "". BAD_VALUE: `error` is one sentence.
 * Multiboot 1 strings begin with a file name, which is left out.
 */
must_use status multiboot_parse(u32 magic, u64 address, const struct reader *reader, struct boot_info *boot,
				struct loader_info *info, const char **error);

#endif
