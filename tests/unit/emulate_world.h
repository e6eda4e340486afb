/*
 * emulate_world.h: a small world for the instruction emulator: RAM, a device, ports, code; and dice.
 */
#ifndef TESTS_EMULATE_WORLD_H
#define TESTS_EMULATE_WORLD_H

#include <stdlib.h>
#include <string.h>

#include "monitor/emulate.h"
#include "monitor/emulate_internal.h"

#define DATA       0x10000000ull
#define DATA_BYTES 0x8000ull
#define DEVICE     0x30000000ull /* one page of a device */

/* No cmocka here: fuzzers use this too. */
static inline void world_must(bool right)
{
	if (!right)
		abort();
}

struct world {
	u8 ram[DATA_BYTES];       /* at DATA */
	u64 read_only;            /* a page in DATA that cannot be written, 0: none */
	u64 absent;               /* a page in DATA that is not there, 0: none */
	u8 device[PAGE_SIZE];     /* at DEVICE, gpa the same */
	u32 device_reads, device_writes, ins, outs, fetches, writes;
	u32 next_in;
	u8 out_bytes[1024];
	u32 out_count;
	u8 code[64];              /* what fetch gives, from fetch_base on */
	u64 fetch_base;
};

static inline bool touches(u64 page, u64 gva, u32 length)
{
	return page && gva < page + PAGE_SIZE && gva + length > page && gva + length > gva;
}

static inline enum emulate_access page_fault(u64 gva, u32 error, struct emulate_fault *fault)
{
	*fault = (struct emulate_fault){ .vector = 14, .has_error = true, .error = error, .cr2 = gva };
	return EMULATE_ACCESS_FAULT;
}

/* An access may be one over the end of all addresses. */
static inline bool within(u64 gva, u32 length, u64 first, u64 bytes)
{
	return gva - first < bytes && length <= bytes - (gva - first);
}

static inline enum emulate_access where(struct world *w, u64 gva, u32 length, bool write, u64 *gpa, struct emulate_fault *fault)
{
	if (touches(w->absent, gva, length))
		return page_fault(gva < w->absent ? w->absent : gva, write ? 2 : 0, fault);
	if (write && touches(w->read_only, gva, length))
		return page_fault(gva < w->read_only ? w->read_only : gva, 3, fault);
	if (within(gva, length, DATA, DATA_BYTES))
		return EMULATE_ACCESS_DONE;
	if (within(gva, length, DEVICE, PAGE_SIZE)) {
		*gpa = gva;
		return EMULATE_ACCESS_DEVICE;
	}
	return EMULATE_ACCESS_NOWHERE;
}

static inline enum emulate_access world_read(void *context, u64 gva, void *to, u32 length, u64 *gpa, struct emulate_fault *fault)
{
	struct world *w = context;
	enum emulate_access a = where(w, gva, length, false, gpa, fault);

	world_must(length >= 1 && length <= EMULATE_ACCESS_MAX);
	if (a == EMULATE_ACCESS_DONE)
		memcpy(to, w->ram + (gva - DATA), length);
	return a;
}

static inline enum emulate_access world_write(void *context, u64 gva, const void *from, u32 length, u64 *gpa, struct emulate_fault *fault)
{
	struct world *w = context;
	enum emulate_access a = where(w, gva, length, true, gpa, fault);

	world_must(length >= 1 && length <= EMULATE_ACCESS_MAX);
	if (a == EMULATE_ACCESS_DONE) {
		memcpy(w->ram + (gva - DATA), from, length);
		w->writes++;
	}
	return a;
}

static inline enum emulate_access world_fetch(void *context, u64 gva, void *to, u32 length, struct emulate_fault *fault)
{
	struct world *w = context;

	w->fetches++;
	if (!within(gva, length, w->fetch_base, sizeof(w->code)))
		return page_fault(gva, 0x10, fault);
	memcpy(to, w->code + (gva - w->fetch_base), length);
	return EMULATE_ACCESS_DONE;
}

static inline u64 world_mmio_read(void *context, u64 gpa, u32 size)
{
	struct world *w = context;
	u64 value = 0;

	world_must(size == 1 || size == 2 || size == 4 || size == 8);
	w->device_reads++;
	memcpy(&value, w->device + (gpa - DEVICE), size);
	return value;
}

static inline void world_mmio_write(void *context, u64 gpa, u32 size, u64 value)
{
	struct world *w = context;

	world_must(size == 1 || size == 2 || size == 4 || size == 8);
	w->device_writes++;
	memcpy(w->device + (gpa - DEVICE), &value, size);
}

static inline u32 world_in(void *context, u16 port, u32 size)
{
	struct world *w = context;

	(void)port, (void)size;
	w->ins++;
	return w->next_in++;
}

static inline void world_out(void *context, u16 port, u32 size, u32 value)
{
	struct world *w = context;

	(void)port;
	w->outs++;
	memcpy(w->out_bytes + w->out_count, &value, size);
	w->out_count += size;
}

static const struct emulate_ops world_ops = {
	world_read, world_write, world_fetch, world_mmio_read, world_mmio_write, world_in, world_out, NULL,
};

#define CODE_64 0xa9bu /* G L P S code */
#define CODE_32 0xc9bu
#define CODE_16 0x09bu
#define DATA_32 0xc93u
#define FLAT    0xffffffffu

static inline void set_mode(struct mon_vcpu *c, u32 bits)
{
	struct mon_segment data = { 0x10, DATA_32, FLAT, 0 };

	c->cr0 = 1;
	c->efer = bits == 64 ? EFER_LMA_BIT : 0;
	c->cs = (struct mon_segment){ 8, bits == 64 ? CODE_64 : bits == 32 ? CODE_32 : CODE_16, FLAT, 0 };
	c->es = c->ss = c->ds = c->fs = c->gs = data;
	c->rflags = 2;
	c->rip = 0x1000;
}

static inline enum emulate_result emulate(struct world *w, struct mon_vcpu *c, const char *bytes, u32 length, struct emulate_fault *f)
{
	return emulate_instruction(&world_ops, w, c, (const u8 *)bytes, length, f);
}
#define EMULATE(w, c, bytes, f) emulate(w, c, bytes, sizeof(bytes) - 1, f)

static inline u64 peek(const struct world *w, u64 gva, u32 size)
{
	u64 v = 0;

	memcpy(&v, w->ram + (gva - DATA), size);
	return v;
}

static inline void poke(struct world *w, u64 gva, u64 v, u32 size) { memcpy(w->ram + (gva - DATA), &v, size); }

static inline struct world *new_world(void)
{
	struct world *w = calloc(1, sizeof(*w));

	world_must(w != NULL);
	return w;
}

/* ---- dice ---- */

static u64 seed = 0x9e3779b97f4a7c15ull;

static inline u64 random64(void) /* xorshift */
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}
static inline u32 below(u32 n) { return (u32)(random64() >> 33) % n; }

#endif
