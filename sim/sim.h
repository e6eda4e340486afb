/*
 * sim: a machine in a process: RAM, processors with tagged TLBs, and VMs whose guests mark what is theirs.
 *
 * The adversary is the TLB. It forgets only what it is told to forget, and at any moment (between steps, in each call that
 * core makes to its environment, or between any two instructions: sim/step.h) it may fill any entry that the tables then
 * allow, and use any entry whose tag is live. Each use is judged: the frame must be the VM's own guest RAM, and hold nothing but
 * zeros and the VM's own marks. A table pointer that a processor has cached is walked on from: it must still be a table of the VM.
 *
 * Everything is decided by one seed.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include "core/audit.h"
#include "core/ptview.h"
#include "core/tag.h"
#include "sim/mmu.h"

#define SIM_CPUS 4u
#define SIM_VMS 4u
#define SIM_VCPUS 2u
#define SIM_TLB 48u
#define SIM_HOT 16u
#define SIM_HOST_TAG 0u
#define SIM_WINDOW_BASE (1ull << 39) /* as in the hypervisor: slot 1 of the top table */
#define SIM_GFNS 4096u               /* guest frames that a VM may have, counted from 0 */
#define SIM_RAM_FIRST 512u           /* guest frame at which a VM's RAM begins, below: nothing */

struct sim_vm {
	struct pmap pmap;
	struct ptview nested, window;
	u64 key, ram; /* key: of this life; ram: guest frames */
	bool alive;
	u8 no_write[SIM_GFNS]; /* SIM_NESTED, SIM_WINDOW: what a test has taken write access away from, until it says otherwise */
	u64 hot[SIM_HOT]; /* guest frames touched of late: what the adversary likes to keep */
	struct sim_vcpu {
		struct sim_vm *vm;
		struct tag tag;
	} vcpu[SIM_VCPUS];
};

struct sim_entry { /* of a TLB */
	bool valid, write;
	bool table;     /* a paging-structure entry: `frame` is a table of `level` */
	u32 tag, level;
	u64 page;       /* address >> 12 of what it covers, aligned to its size */
	u64 pages;
	u64 frame;
};

struct sim_cpu {
	struct tagger tagger;
	struct sim_entry tlb[SIM_TLB];
	struct sim_vcpu *running; /* in guest mode */
	struct sim_vm *space;     /* whose host address space */
	u64 guest_root, space_root; /* what the registers hold: byte addresses of the tables */
	struct view *entering;    /* of an entry that is under way */
	bool kicked;
};

enum { SIM_NESTED = 1, SIM_WINDOW = 2 };

struct sim_config {
	u64 frames; /* 0: 8192 */
	u32 tags;   /* 0: 16 */
	bool flush_by_tag;
	bool small; /* pmaps without 2 MiB leaves */
	void *ram;  /* `frames` of memory that stay the caller's; NULL: allocated, and freed by sim_free */
	u64 seed;
};

struct sim {
	struct mmu_ram ram;
	struct frame_table frames;
	void *alloc_memory;
	struct mem_env env;
	struct alloc alloc;
	struct pool pool;
	struct settler settler;
	struct sim_cpu cpu[SIM_CPUS];
	struct sim_vm vm[SIM_VMS];
	unsigned current; /* processor that runs core */
	u64 random;
	u32 patience;     /* of a waiting settler */
	bool quiet;       /* the adversary sleeps */
	bool pool_map_fails;
	u64 fills, uses, flushes, wraps, scrubs; /* statistics: a test that never fills shows nothing */
	void *own_ram;    /* to be freed */
	u64 starts;       /* of VMs */
};

struct sim *sim_new(const struct sim_config *c);
void sim_free(struct sim *s);
_Noreturn void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
u64 sim_random(struct sim *s, u64 below);

/* A VM with `ram` frames at guest frame SIM_RAM_FIRST, and a device page right behind. NO_MEMORY: nothing is left of it. */
must_use status sim_vm_start(struct sim *s, struct sim_vm *vm, owner_t owner, u64 ram);
void sim_vm_end(struct sim *s, struct sim_vm *vm);

/* Guest mode and back, as a hypervisor does it: view_enter, tag_take, flush what it says. */
void sim_enter(struct sim *s, unsigned cpu, struct sim_vcpu *vcpu);
void sim_leave(struct sim *s, unsigned cpu);
/* A VM's host address space on a processor; NULL: the neutral one. Not in guest mode. */
void sim_space(struct sim *s, unsigned cpu, struct sim_vm *vm);
/* The processor's own look at the space it is in: it forgets if a settler wants it to. */
void sim_serve(struct sim *s, unsigned cpu);
/* The guest, or ring 0 through the window, reads or writes (and marks) a frame, as the hardware would. false: it faults. */
must_use bool sim_access(struct sim *s, unsigned cpu, u64 gfn, bool write);
/* The guest reads or writes (and marks) a frame of its own, faulting through core until it succeeds or is refused. */
must_use status sim_touch(struct sim *s, unsigned cpu, u64 gfn, bool write);
/* The monitor does, through the window. */
must_use status sim_touch_window(struct sim *s, unsigned cpu, u64 gfn, bool write);
/* One frame's change of hands after the other: drop from both views, release, settle. */
must_use status sim_release(struct sim *s, struct sim_vm *vm, u64 gfn, u64 count, u32 budget);

/* Takes a view apart, slice by slice; nobody is in it. */
void sim_destroy_view(struct sim *s, struct ptview *v);

/* The adversary's turn: some processors fill and use entries. */
void sim_adversary(struct sim *s, u32 turns);
/* Whatever a processor could use right now is its VM's, and it may. */
void sim_judge(struct sim *s);
/* A guest frame that was touched of late. */
u64 sim_hot(struct sim *s, const struct sim_vm *vm);
/* Is there an entry for that guest frame which its processor could use right now? */
bool sim_usable_on(const struct sim *s, unsigned cpu, const struct sim_vm *vm, u64 gfn, bool write);
bool sim_usable(const struct sim *s, const struct sim_vm *vm, u64 gfn, bool write);

/* Everything core can say about itself. Ends the test on a finding. */
void sim_audit(struct sim *s);
/* An audit_finding: says it on standard error. */
void sim_finding(void *context, const char *what, u64 owner, u64 where);

/* The whole audit at once. Returns the number of findings. */
u64 audit_all(const struct audit_host *host, audit_finding *finding, void *context);

#endif
