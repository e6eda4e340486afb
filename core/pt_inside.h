/*
 * pt_inside: what the engine's two files, pt.c and reshape.c, know of a table.
 */
#ifndef CORE_PT_INSIDE_H
#define CORE_PT_INSIDE_H

#include "core/pt.h"

#define ENTRIES (1u << PT_INDEX_BITS)

static inline u64 *table_at(const struct pt *t, hfn_t table) { return pool_at(t->pool, frame_hpa(table)); }

static inline u64 load(const u64 *entry) { return __atomic_load_n(entry, __ATOMIC_RELAXED); }

/* May a table of this level leave the tree? Others link those of t->keep and above. */
static inline bool pt_may_go(const struct pt *t, u8 level) { return t->keep == 0 || level < t->keep; }

/* The table is named by no entry any more: into the debt. */
void pt_owe_table(struct pt *t, struct view *v, hfn_t table, struct settlement *s);

#endif
