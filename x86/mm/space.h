/*
 * space: the part of the host's address space that belongs to one VM: its monitor's program, the window on its memory, the private
 * halves of its vCPUs. Linked into a processor's own top-level table while the processor serves the VM, and only then.
 *
 * The window is a view (core/view.h): a processor is inside it from space_link to the next space_link.
 */
#ifndef X86_MM_SPACE_H
#define X86_MM_SPACE_H

#include "abi/monitor.h"
#include "core/ptview.h"
#include "x86/asm/access.h"
#include "x86/cpu/cpu.h"

#define SPACE_TOPS 3u

struct space {
	struct ptview window; /* its table holds all three parts */
	u64 top[SPACE_TOPS];  /* entries of the top-level table: fixed from space_init on */
};

must_use status space_init(struct space *s, struct pmap *pmap, struct settler *settler);
/* Maps a private frame at a fixed place: monitor or ring-0 half. Takes the pmap's lock. */
must_use status space_map(struct space *s, u64 at, hfn_t frame, enum pt_rights rights);

/* Links `s` in (NULL: the neutral space) and forgets whatever the processor cached of the former one. */
void space_link(struct cpu *c, struct space *s);
/* Called by the kick's interrupt handler and by whoever waits: forgets the shared map and the window if they have lost entries since. */
void space_serve(struct cpu *c);
void space_flush_here(struct cpu *c, struct view *view);

/*
 * Copies between ring 0 and the VM that is linked in, by guest-physical address. A fault is resolved like the guest's own. Statuses as
 * pmap_resolve; on anything but OK an unknown part has been copied.
 */
must_use status window_read(gpa_t at, void *to, u64 bytes);
must_use status window_write(gpa_t at, const void *from, u64 bytes);
/* For the walker (gwalk_memory): sizes 4 and 8, aligned. `context` is not used. */
must_use status window_load_slow(gpa_t at, u32 size, u64 *value);
static inline status window_load(void *context, gpa_t at, u32 size, u64 *value)
{
	u64 slow;
	(void)context;
	if (__builtin_expect(size == sizeof(u64) && !(at.v >> MON_WINDOW_BITS) && !features.smap, 1) &&
	    __builtin_expect(load64_or_fault((u64 *)(MON_WINDOW + at.v), value), 1))
		return OK;
	status r = window_load_slow(at, size, &slow);
	*value = slow;
	return r;
}
must_use status window_exchange(void *context, gpa_t at, u32 size, u64 expected, u64 value);

#endif
