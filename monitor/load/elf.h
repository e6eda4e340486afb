/*
 * elf: programs of the two classes, 32 and 64 bits, little-endian x86 (System V ABI, chapters 4 and 5).
 */
#ifndef MONITOR_LOAD_ELF_H
#define MONITOR_LOAD_ELF_H

#include "monitor/load/load.h"

#define ELF_LOAD 1u
#define ELF_NOTE 4u

struct elf {
	const u8 *image;
	u64 size;
	bool is_64;
	u64 entry;   /* as the header has it: a linear address */
	u64 table;   /* offset of the program headers, all of them inside the image */
	u32 entries, entry_size;
};

struct elf_segment {
	u32 type;
	u64 offset, linear, physical, file_size, memory_size;
};

/* False if it is no such file, or its program headers are not inside it. */
bool elf_open(struct elf *e, const u8 *image, u64 size);

/* Segment i < entries; its bytes are not yet checked. */
struct elf_segment elf_segment(const struct elf *e, u32 i);

/* The segment's bytes, or NULL if they are not inside the image. */
const u8 *elf_bytes(const struct elf *e, const struct elf_segment *s);

/* Claim and fill every loadable segment at its physical address. *end: the first byte above all of them. False after log_line(). */
bool elf_load(struct loader *l, const struct elf *e, u64 *end);

/* The physical address of the entry. */
u64 elf_physical_entry(const struct elf *e);

#endif
