/*
 * elf: see elf.h. Offsets are those of Elf32_Ehdr, Elf64_Ehdr, Elf32_Phdr and Elf64_Phdr.
 */
#include "monitor/load/elf.h"
#include "monitor/lib/bits.h"
#include "monitor/lib/log.h"
#include "monitor/lib/string.h"

#define IDENT_CLASS 4u
#define IDENT_DATA 5u
#define CLASS_32 1u
#define CLASS_64 2u
#define DATA_LITTLE 1u
#define HEADER_MACHINE 18u
#define MACHINE_386 3u
#define MACHINE_X86_64 62u
#define HEADER_ENTRY 24u

/* Where the fields lie in each class. */
static const struct layout {
	u32 header_bytes, phoff, phentsize, phnum;
	u32 segment_bytes, offset, vaddr, paddr, filesz, memsz;
} layouts[2] = {
	{ 52, 28, 42, 44, 32, 4, 8, 12, 16, 20 },
	{ 64, 32, 54, 56, 56, 8, 16, 24, 32, 40 },
};

static const struct layout *layout_of(const struct elf *e) { return &layouts[e->is_64]; }

static u64 word(const struct elf *e, const u8 *at) { return e->is_64 ? load_u64(at) : load_u32(at); }

bool elf_open(struct elf *e, const u8 *image, u64 size)
{
	static const u8 magic[4] = { 0x7f, 'E', 'L', 'F' };
	const struct layout *f;
	u32 machine;

	if (size < layouts[1].header_bytes || memcmp(image, magic, sizeof(magic)) != 0 || image[IDENT_DATA] != DATA_LITTLE ||
	    (image[IDENT_CLASS] != CLASS_32 && image[IDENT_CLASS] != CLASS_64))
		return false;
	machine = load_u16(image + HEADER_MACHINE);
	if (machine != MACHINE_386 && machine != MACHINE_X86_64)
		return false;
	*e = (struct elf){ .image = image, .size = size, .is_64 = image[IDENT_CLASS] == CLASS_64 };
	f = layout_of(e);
	e->entry = word(e, image + HEADER_ENTRY);
	e->table = word(e, image + f->phoff);
	e->entry_size = load_u16(image + f->phentsize);
	e->entries = load_u16(image + f->phnum);
	return e->entry_size >= f->segment_bytes && e->table <= size && (u64)e->entries * e->entry_size <= size - e->table;
}

struct elf_segment elf_segment(const struct elf *e, u32 i)
{
	const struct layout *f = layout_of(e);
	const u8 *at = e->image + e->table + (u64)i * e->entry_size;

	return (struct elf_segment){
		.type = load_u32(at),
		.offset = word(e, at + f->offset),
		.linear = word(e, at + f->vaddr),
		.physical = word(e, at + f->paddr),
		.file_size = word(e, at + f->filesz),
		.memory_size = word(e, at + f->memsz),
	};
}

const u8 *elf_bytes(const struct elf *e, const struct elf_segment *s)
{
	if (s->offset > e->size || s->file_size > e->size - s->offset)
		return NULL;
	return e->image + s->offset;
}

/* The part beyond the file's bytes needs no work: memory that was never touched is zero, and nobody else has claimed it. */
static bool load_segment(struct loader *l, const struct elf *e, u32 i, const struct elf_segment *s)
{
	const u8 *bytes = elf_bytes(e, s);

	if (bytes == NULL) {
		log_line("error: the kernel's segment %u, %lx bytes at %lx, is not in its file of %lu bytes, which was cut short or is damaged", i,
			 s->file_size, s->offset, e->size);
		return false;
	}
	if (s->file_size > s->memory_size) {
		log_line("error: the kernel's segment %u has %lx bytes in its file and %lx in memory, which must not be fewer", i, s->file_size,
			 s->memory_size);
		return false;
	}
	if (!place_claim(&l->place, s->physical, s->memory_size) || !load_copy(l, s->physical, bytes, s->file_size)) {
		log_line("error: the kernel's segment %u, %lx bytes at %lx, is not in free memory of this guest (%lu MiB)", i,
			 s->memory_size, s->physical, l->info->memory / MIB);
		return false;
	}
	return true;
}

bool elf_load(struct loader *l, const struct elf *e, u64 *end)
{
	u32 loaded = 0;

	*end = 0;
	for (u32 i = 0; i < e->entries; i++) {
		struct elf_segment s = elf_segment(e, i);

		if (s.type != ELF_LOAD || s.memory_size == 0)
			continue;
		if (!load_segment(l, e, i, &s))
			return false;
		*end = max_u64(*end, s.physical + s.memory_size);
		loaded++;
	}
	if (loaded == 0)
		log_line("error: the kernel is an ELF file of %lu bytes with nothing to load: it must have a segment of type LOAD", e->size);
	return loaded != 0;
}

u64 elf_physical_entry(const struct elf *e)
{
	for (u32 i = 0; i < e->entries; i++) {
		struct elf_segment s = elf_segment(e, i);

		if (s.type == ELF_LOAD && e->entry >= s.linear && e->entry - s.linear < s.memory_size)
			return e->entry - s.linear + s.physical;
	}
	return e->entry;
}
