/*
 * pt: one engine that walks and changes page tables of every format. A format is data (fmt_*.c).
 *
 * Levels count from 1 (4 KiB leaves) upward. Tables are pool frames. Building goes before publishing: a new table is
 * filled, then linked by one store. Entries change by exchange, so that A and D bits set meanwhile are not lost.
 */
#ifndef CORE_PT_H
#define CORE_PT_H

#include "core/settle.h"

enum pt_rights { PT_NONE = 0, PT_READ = 1, PT_WRITE = 2, PT_EXEC = 4, PT_USER = 8, PT_GLOBAL = 16, PT_UNCACHED = 32 };

struct pt_format {
	u8 levels;      /* levels of a full table */
	u8 leaf_levels; /* bit n: level n may hold leaves */
	u64 present;    /* classify: any of these set */
	u64 table;      /* fixed bits of an entry that names a table */
	u64 leaf;       /* fixed bits of every leaf (e.g. present, U/S in NPT) */
	u64 large;      /* PS */
	u64 write, user, no_exec, global, uncached, accessed, dirty;
	u64 address;    /* bits that hold the frame's address */
};

extern const struct pt_format fmt_host, fmt_npt;

#define PT_INDEX_BITS 9u
/* Bytes that one entry of a table of that level covers. */
static inline u64 pt_span(u8 level) { return PAGE_SIZE << (PT_INDEX_BITS * (level - 1u)); }

/* Likewise in frames. */
static inline u32 pt_frames(u8 level) { return (u32)(pt_span(level) >> PAGE_SHIFT); }

enum pt_what { PT_HOLE, PT_TABLE, PT_LEAF };

struct pt {
	const struct pt_format *format;
	struct pool *pool;
	owner_t owner; /* of its tables */
	hfn_t root;
	u64 tables, changes; /* tables that exist, the root included; how often one came or went */
	/* What happens to a leaf's frames that pt_drop took out; NULL: they are stamped for its view. */
	void (*dropped)(struct pt *t, hfn_t first, u32 frames, struct settlement *s);
	u8 keep;    /* tables of this level and above stay when pt_drop empties them, for others link them too; 0: none */
};

/* What stands at one place of a table. */
struct pt_slot {
	u64 *entry; /* by __atomic only: a processor may set A and D */
	u8 level;
	enum pt_what what;
};

must_use status pt_init(struct pt *t, const struct pt_format *format, struct pool *pool, owner_t owner);
enum pt_what pt_classify(const struct pt_format *f, u64 entry, u8 level);
hfn_t pt_entry_frame(const struct pt_format *f, u64 entry);
u64 pt_leaf(const struct pt_format *f, hfn_t to, u8 level, enum pt_rights rights);
enum pt_rights pt_entry_rights(const struct pt_format *f, u64 entry);

/* Down to the leaf or hole that covers `address`, never below `level`. */
struct pt_slot pt_find(const struct pt *t, u64 address, u8 level);
/* As pt_find, but makes the tables down to `level` (splitting a large leaf on the way, A/D and rights kept).
 * A split weakens nothing and needs no flush; NO_MEMORY changes nothing visible. */
must_use status pt_reach(struct pt *t, u64 address, u8 level, struct pt_slot *out);
/* Fills a hole with a leaf. IN_USE if something else stands there; the same leaf is OK. */
must_use status pt_map(struct pt *t, u64 address, hfn_t to, u8 level, enum pt_rights rights);
/* Takes leaves out of [address, address + length): entries by exchange, frames stamped for `v`, emptied tables into the
 * debt. `v` is NULL for a tree that no processor walks. A leaf that sticks out is split first. Stops early (AGAIN) when the settlement is full or after `budget`
 * entries; *done tells how far it came. */
must_use status pt_drop(struct pt *t, struct view *v, u64 address, u64 length, u32 budget, struct settlement *s, u64 *done);
/* reshape.c: the mirror image of a split: a table whose leaves are one aligned run of frames, with the same rights, becomes a leaf of `level`, by
 * exchange: no translation is missing meanwhile. The table joins the debt. NOT_THERE: it is no such table; AGAIN: the debt is full. */
must_use status pt_merge(struct pt *t, struct view *v, u64 address, u8 level, struct settlement *s);
/* Calls `visit` for each leaf, in order of address; false from it stops. Bounded by the caller's range. */
typedef bool pt_visitor(void *context, u64 address, u64 entry, u8 level);
bool pt_visit(const struct pt *t, u64 address, u64 length, pt_visitor *visit, void *context);
/* Calls `visit` for each table frame, upper ones first; false from it stops. Goes on with the table of `level` at `address`, as `visit`
 * was told them; from the root: the format's levels and 0. */
typedef bool pt_table_visitor(void *context, hfn_t table, u8 level, u64 address);
bool pt_visit_tables(const struct pt *t, u8 level, u64 address, pt_table_visitor *visit, void *context);
/* A view's whole table, root included, into the debt, in slices: AGAIN until it is gone. The leaves' frames are
 * stamped. Nobody runs on the table any more, and nobody else links its tables. */
must_use status pt_destroy(struct pt *t, struct view *v, struct settlement *s);

#endif
