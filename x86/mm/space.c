#include "x86/mm/space.h"

#include "abi/monitor.h"
#include "x86/asm/access.h"
#include "x86/asm/insn.h"
#include "x86/mm/mm.h"

#define TOP_SHIFT 39
#define TOP_OF(address) ((address) >> TOP_SHIFT & 511)

static const u64 part_base[SPACE_TOPS] = { MON_TEXT, MON_WINDOW, PRIVATE_VM_BASE };

static inline void link_parts(u64 *table, const u64 top[SPACE_TOPS])
{
	table[TOP_OF(MON_TEXT)] = top[0];
	table[TOP_OF(MON_WINDOW)] = top[1];
	table[TOP_OF(PRIVATE_VM_BASE)] = top[2];
}

status space_init(struct space *s, struct pmap *pmap, struct settler *settler)
{
	status r = ptview_init(&s->window, "window", &fmt_host, pmap, settler, MON_WINDOW, PT_READ | PT_WRITE | PT_USER);
	s->window.span = MON_WINDOW_SIZE;
	s->window.table.keep = 3; /* processors hold copies of the top entries */
	for (u32 i = 0; i < SPACE_TOPS && r == OK; i++) {
		struct pt_slot slot;
		r = pt_reach(&s->window.table, part_base[i], 3, &slot);
		if (r == OK) {
			const u64 *root = pool_at(&mm.pool, frame_hpa(s->window.table.root));
			s->top[i] = root[TOP_OF(part_base[i])];
		}
	}
	return r;
}

status space_map(struct space *s, u64 at, hfn_t frame, enum pt_rights rights)
{
	struct lock *lock = &s->window.pmap->lock;
	lock_take(lock);
	status r = pt_map(&s->window.table, at, frame, 1, rights);
	lock_give(lock);
	return r;
}

void space_link(struct cpu *c, struct space *s)
{
	static const u64 neutral[SPACE_TOPS];
	struct space *old = c->space;
	u64 generation = 0;
	if (old == s)
		return;
	if (s)
		generation = view_enter(&s->window.view, c->id);
	link_parts(c->top, s ? s->top : neutral);
	c->space = s;
	write_cr3(c->top_hpa.v);
	if (s)
		view_flushed(&s->window.view, c->id, generation);
	if (old)
		view_leave(&old->window.view, c->id);
}

void space_serve(struct cpu *c)
{
	struct space *s = c->space;
	if (mm.shared.cpu[c->id].flushed < __atomic_load_n(&mm.shared.generation, __ATOMIC_SEQ_CST))
		mm_cpu_load(c);
	if (!s)
		return;
	u64 generation = __atomic_load_n(&s->window.view.generation, __ATOMIC_SEQ_CST);
	if (s->window.view.cpu[c->id].flushed >= generation)
		return;
	write_cr3(c->top_hpa.v);
	view_flushed(&s->window.view, c->id, generation);
}

void space_flush_here(struct cpu *c, struct view *view)
{
	/* Ring 0 is never inside a nested view: only the shared map and the window can be asked for here. */
	CHECK(view == &mm.shared || (c->space && view == &c->space->window.view));
	space_serve(c);
}

/* ---- access ---- */

static inline void *window_at(gpa_t at)
{
	return (void *)(MON_WINDOW + at.v);
}

static inline bool in_window(gpa_t at, u64 bytes)
{
	return at.v < MON_WINDOW_SIZE && bytes <= MON_WINDOW_SIZE - at.v;
}

static inline void open_window(void)
{
	if (features.smap)
		stac();
}

static inline void close_window(void)
{
	if (features.smap)
		clac();
}

/* Resolves what the last access of this processor faulted on. */
static __attribute__((noinline)) status window_fault(enum pmap_access access)
{
	struct cpu *c = this_cpu();
	u64 at = c->fixup.address - MON_WINDOW;
	if (!c->space || at >= MON_WINDOW_SIZE)
		return BAD_ADDRESS;
	u64 came = __atomic_load_n(&mm.alloc.came, __ATOMIC_SEQ_CST);
	status r = ptview_resolve(&c->space->window, gpa(at), access);
	if (r == NO_MEMORY) {
		c->starved_at = came;
		cpu_event(c, CPU_STARVED);
	}
	return r;
}

/* Between the window and memory of ours: PMAP_READ fills `here`. */
static status window_copy(gpa_t at, u8 *here, u64 bytes, enum pmap_access access)
{
	status r = in_window(at, bytes) ? OK : BAD_ADDRESS;
	while (r == OK) {
		open_window();
		u64 left = access == PMAP_READ ? copy_or_fault(here, window_at(at), bytes) : copy_or_fault(window_at(at), here, bytes);
		close_window();
		if (!left)
			break;
		at.v += bytes - left;
		here += bytes - left;
		bytes = left;
		r = window_fault(access);
	}
	return r;
}

status window_read(gpa_t at, void *to, u64 bytes) { return window_copy(at, to, bytes, PMAP_READ); }
status window_write(gpa_t at, const void *from, u64 bytes) { return window_copy(at, (u8 *)from, bytes, PMAP_WRITE); }

status window_load_slow(gpa_t at, u32 size, u64 *value)
{
	*value = 0;
	if (!in_window(at, size))
		return BAD_ADDRESS;
	for (;;) {
		u32 narrow = 0;
		open_window();
		bool good = size == sizeof(u64) ? load64_or_fault(window_at(at), value) : load32_or_fault(window_at(at), &narrow);
		close_window();
		if (good) {
			if (size != sizeof(u64))
				*value = narrow;
			return OK;
		}
		status r = window_fault(PMAP_READ);
		if (r != OK)
			return r;
	}
}

status window_exchange(void *context, gpa_t at, u32 size, u64 expected, u64 value)
{
	(void)context;
	if (!in_window(at, size))
		return BAD_ADDRESS;
	for (;;) {
		u64 seen = expected;
		u32 narrow = (u32)expected;
		open_window();
		bool good = size == sizeof(u64) ? cmpxchg64_or_fault(window_at(at), &seen, value)
						: cmpxchg32_or_fault(window_at(at), &narrow, (u32)value);
		close_window();
		if (good)
			return (size == sizeof(u64) ? seen == expected : narrow == (u32)expected) ? OK : AGAIN;
		status r = window_fault(PMAP_WRITE);
		if (r != OK)
			return r;
	}
}
