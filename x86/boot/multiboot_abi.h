/*
 * multiboot_abi: the numbers of the Multiboot Specifications 0.6.96 and 2.0. Included by assembly as well.
 */
#ifndef X86_BOOT_MULTIBOOT_ABI_H
#define X86_BOOT_MULTIBOOT_ABI_H

#define MULTIBOOT1_HEADER_MAGIC 0x1badb002
#define MULTIBOOT1_HEADER_FLAGS 0x00010003 /* modules page aligned, memory map, address fields */
#define MULTIBOOT1_MAGIC        0x2badb002 /* in EAX */

#define MULTIBOOT2_HEADER_MAGIC 0xe85250d6
#define MULTIBOOT2_MAGIC        0x36d76289 /* in EAX */

#define MULTIBOOT2_HEADER_END     0
#define MULTIBOOT2_HEADER_ADDRESS 2
#define MULTIBOOT2_HEADER_ENTRY   3
#define MULTIBOOT2_HEADER_FRAMEBUFFER 5
#define MULTIBOOT2_HEADER_ALIGN   6
#define MULTIBOOT2_HEADER_OPTIONAL 1 /* in a tag's flags */

/* What kind of display the loader tells of. */
#define FRAMEBUFFER_RGB  1
#define FRAMEBUFFER_TEXT 2

#endif
