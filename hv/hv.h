/*
 * hv: the hypervisor's objects, and which file knows which part of them.
 *
 *   vm        memory (pmap, nested view, space), vCPUs, monitor           vm.c, endings.c
 *   vcpu      public half; the private one is x86's guest_cpu             vcpu.c, exits.c, instruction.c, msr.c, interrupts.c
 *   monitor   a ring-3 context with a queue of exits and events           monitor.c, monitor_calls.c
 *   entity    what the scheduler runs: a vCPU or a monitor                sched.c, timer.c
 *
 * Who may touch what: a vCPU's fields belong to the processor that runs it, a vCPU that waits for its monitor to the monitor's calls; what
 * others may change is atomic and marked so. Ring 0 never blocks: a handler that must wait says so and the exit is handled again.
 */
#ifndef HV_HV_H
#define HV_HV_H

#include "abi/monitor.h"
#include "core/bits.h"
#include "core/ptview.h"
#include "hv/cpuid.h"
#include "hv/lapic.h"
#include "x86/backend.h"
#include "x86/cpu/cpu.h"
#include "x86/decode.h"
#include "x86/mm/mm.h"
#include "x86/mm/space.h"

#define VM_MAX_VCPUS 8u
#define VMS_MAX 4u

/* ---- time ---- */

struct hv_timer {
	u64 deadline; /* host TSC; TIMER_NEVER: not armed */
	struct hv_timer *next;
	u32 cpu;      /* on whose list */
	void (*fire)(struct hv_timer *t);
};
#define TIMER_NEVER (~0ull)

void timer_init(struct hv_timer *t, void (*fire)(struct hv_timer *));
/* Arms on this processor, or disarms. Any processor may call it for a timer that its caller owns. */
void timer_set(struct hv_timer *t, u64 deadline);
/* After CPU_TIMER: fires what is due and arms the processor's next. */
void timers_run(struct cpu *c);

/* ---- what is scheduled ---- */

enum entity_kind { ENTITY_VCPU, ENTITY_MONITOR };
enum entity_state { ENTITY_SLEEPING, ENTITY_QUEUED, ENTITY_RUNNING };
enum turn { TURN_YIELD, TURN_SLEEP }; /* why a turn ended: it could go on, or waits to be woken */

struct entity {
	enum entity_kind kind;
	enum entity_state state; /* these four under the scheduler's lock */
	bool again;              /* woken while it ran */
	u32 cpu;                 /* where it runs or ran last */
	struct entity *next;
	struct vm *vm;
	u64 turns;
};

void sched_init(void);
/* The entity may have something to do. `here`: this processor will get to it soon, no other needs to be asked. */
void sched_wake(struct entity *e);
void sched_wake_here(struct entity *e);
/* Takes what interrupted this processor: timers, console, kicks. true: return to the scheduler, other work waits. */
bool sched_events(struct cpu *c);
_Noreturn void sched_loop(void);
/* The vCPU whose registers this processor holds is put back into memory. */
void sched_unload(struct cpu *c);

/* ---- a virtual processor ---- */

enum vcpu_block { BLOCK_START = 1, BLOCK_SIPI = 2, BLOCK_HALT = 4, BLOCK_MONITOR = 8 };
enum vcpu_request { REQUEST_TIMER = 1, REQUEST_NMI = 2, REQUEST_INIT = 4, REQUEST_SIPI = 8 };

#define MTRR_VARIABLE 8u
#define MTRR_FIXED 11u
struct mtrrs { u64 variable[2 * MTRR_VARIABLE], fixed[MTRR_FIXED], type; };

/* What holds guest contents. */
struct vcpu_private {
	struct guest_cpu cpu;
	struct mon_entry exit; /* what the monitor is to answer, while BLOCK_MONITOR */
	struct insn insn;      /* of a MON_ENTRY_MMIO: where the value goes */
};
static_assert(sizeof(struct vcpu_private) <= PAGE_SIZE, "one page");

struct vcpu {
	struct entity entity;
	u32 id;
	struct vcpu_private *p;    /* private half: valid only in the VM's space */
	struct guest_cpu *g;       /* &p->cpu */
	struct lapic lapic;
	u32 requests;      /* enum vcpu_request; any processor */
	u32 blocked;       /* enum vcpu_block */
	u8 sipi_vector;
	bool nmi_pending;
	u64 iret_rip;              /* an IRET out of the NMI handler is about to run here; 0: none */
	bool iret_step;            /* ... and is being single-stepped */
	struct hv_timer timer;     /* the local APIC's */
	u64 timer_for;             /* guest TSC that it is armed for */
	u64 clock_page;            /* KVM_SYSTEM_TIME as written */
	u64 eoi_flag;              /* KVM_PV_EOI_EN as written: where the guest may end an interrupt without an exit */
	bool eoi_lent;             /* the flag is set: it may do so now */
	struct mtrrs mtrrs;
	struct gwalk_mode walk;    /* of the registers in walk_of, made again when they change */
	struct gwalk_registers walk_of;
	u64 exits[EXIT_KINDS];
	u32 mismatches;            /* exits whose instruction was another by the time it was fetched */
};

static inline struct vcpu *vcpu_of(struct entity *e) { return container_of(e, struct vcpu, entity); }

/* ---- the monitor ---- */

#define CONSOLE_ROOM 2048u /* bytes typed ahead of the guest */
struct monitor {
	struct entity entity;
	struct user_regs regs;
	struct lock lock;          /* the events below */
	u32 events;        /* bit per enum mon_entry_kind: START, TIMER, PIC_ACK, CONSOLE */
	u64 eoi[4];                /* vectors */
	u32 exits;         /* bit per vCPU whose exit waits */
	u32 console_count;
	u8 console[CONSOLE_ROOM];
	bool waiting;              /* in MON_NEXT */
	struct hv_timer timer;
	/* the PIC's INTR */
	u32 pic;           /* PIC_ASSERTED | vector */
	u64 log_from;              /* host TSC; log_lines since then */
	u32 log_lines;
	struct mon_comm *comm;     /* ring 0's own mapping of the page, in the VM's space */
};
#define PIC_ASSERTED 0x100u

/* ---- a machine ---- */

enum reap_step { REAP_AUDIT, REAP_NESTED, REAP_WINDOW, REAP_MEMORY, REAP_PRIVATE, REAP_PMAP, REAP_AUDIT_EMPTY, REAP_DONE };
enum vm_state { VM_NONE, VM_RUNNING, VM_ENDING, VM_ENDED };

struct vm {
	char name[MON_NAME_MAX];
	u32 state;         /* enum vm_state */
	owner_t owner;
	struct pmap pmap;
	struct ptview nested;
	struct space space;
	struct monitor monitor;
	u32 vcpus;
	struct vcpu vcpu[VM_MAX_VCPUS];
	struct cpuid_table cpuid;
	u64 memory;                /* bytes promised */
	u64 tsc_offset;
	u64 started;               /* host TSC */
	const struct boot_info *boot;
	u32 modules_left;  /* the modules' frames are still there */
	struct private_list *private_list; /* vm.c */
	u32 end_claimed;
	u32 reaper;        /* one processor at a time takes it apart */
	u32 reaping;               /* enum reap_step */
	char ending[160];          /* "power-off", "test 7", "killed: ..." */
	u16 unknown_msrs[64];      /* hashes of MSRs that were logged */
};

struct vm_config {
	const char *name;
	u64 memory;
	u32 vcpus;
	u16 mark_port;
};

extern const struct backend *backend;
extern u64 host_tsc_khz;
extern bool host_tsc_steady;

/* vm.c. Answers a sentence for a person if it cannot be; nothing is left then. */
const char *vm_create(struct vm *vm, owner_t owner, const struct vm_config *config, const struct boot_info *boot);
void vm_start(struct vm *vm);
/* Places in the VM's private ring-0 part. */
#define PRIVATE_VCPU_STRIDE 0x10000ull
#define PRIVATE_COMM (PRIVATE_VM_BASE + 0x1000000ull)
#define PRIVATE_INFO (PRIVATE_VM_BASE + 0x1010000ull)
/* A private frame mapped at `at` of the VM's space. */
must_use status vm_map_private(struct vm *vm, u64 at, enum pt_rights rights, hfn_t *out);
/* At most `budget` private frames into the debt, once no mapping of them is left; false: none is left. */
bool vm_release_private(struct vm *vm, u32 budget, struct settlement *s);

/* vcpu.c */
enum turn vcpu_turn(struct cpu *c, struct vcpu *v);
void vcpu_reset(struct vcpu *v);
/* The INIT signal, on the processor that has the vCPU loaded. */
void vcpu_init(struct vcpu *v);
static inline u64 vcpu_tsc(const struct vcpu *v) { return tsc_now() + v->g->tsc_offset; }
void vcpu_timer_changed(struct vcpu *v);

/* exits.c: what to do after an exit. */
enum action { ACTION_RESUME, ACTION_SLEEP };
enum action exit_handle(struct vcpu *v, enum exit_kind kind);
const char *exit_name(enum exit_kind kind);
/* A decoded load gets its value: into the register, extended as the instruction does. */
void exit_finish_load(struct vcpu *v, const struct insn *i, u64 value);

/* instruction.c */
#define DR6_BS BIT(14)
void inject(struct vcpu *v, u8 vector, bool has_error, u32 error);
void inject_gp(struct vcpu *v);
void inject_ud(struct vcpu *v);
void inject_pf(struct vcpu *v, u64 address, u32 error);
/* Past the instruction: clears the shadow and RF, honours TF. */
void advance(struct vcpu *v, u64 next_rip);
/* Bytes at RIP, as the processor fetches them. OK, *got bytes (up to a page's end, 15 at most, at least 1); FAULT: injected;
 * others: run the exit again. */
must_use status fetch(struct vcpu *v, const struct guest_mode *m, u8 bytes[16], u32 *got);
/* Where the instruction ends that the exit names (`plain`: its two bytes without prefixes). */
must_use status instruction_end(struct vcpu *v, u32 plain, u32 id, u64 *next_rip);
/* The instruction at RIP. NOT_THERE: none that ring 0 decodes; FAULT: injected. */
must_use status instruction_decode(struct vcpu *v, struct insn *i);
/* It must be `id`, else AGAIN. */
must_use status instruction_named(struct vcpu *v, u32 id, struct insn *i);
/* By guest-virtual address with the vCPU's own rights; both pages are checked before either is touched. FAULT: error and address in
 * `fault`; DEVICE: *device is the place. */
struct gva_fault { u8 vector; u32 error; u64 address; };
must_use status gva_copy(struct vcpu *v, gva_t at, void *bytes, u32 length, u32 access, struct gva_fault *fault, gpa_t *device);

/* msr.c */
enum action exit_msr(struct vcpu *v);

/* interrupts.c */
extern const struct lapic_ops lapic_ops;
void interrupt_message(struct vm *vm, struct vcpu *sender, const struct lapic_message *m);
/* Puts what can be delivered into the next entry, or asks for a window. */
void interrupts_prepare(struct vcpu *v);
bool interrupts_wake(struct vcpu *v); /* would a halted vCPU go on? */
/* After an exit with eoi_lent: has the guest used it? */
void interrupts_take_eoi(struct vcpu *v);
bool interrupts_stepped(struct vcpu *v);
void interrupts_requests(struct vcpu *v, u32 requests);

/* clock.c */
must_use status clock_write_system_time(struct vcpu *v, u64 value);
must_use status clock_write_wall_clock(struct vcpu *v, u64 value);

/* monitor.c, monitor_calls.c, monitor_load.c */
const char *monitor_load(struct vm *vm, const struct vm_config *config);
enum turn monitor_turn(struct cpu *c, struct vm *vm);
void monitor_post(struct vm *vm, enum mon_entry_kind kind);
/* v->p->exit is to be answered: the vCPU sleeps until then. */
void monitor_post_exit(struct vcpu *v);
/* Takes the next entry into the comm page; false: there is none. */
bool monitor_take(struct vm *vm);
void monitor_post_eoi(struct vm *vm, u8 vector);
void monitor_post_console(struct vm *vm, const u8 *bytes, u32 count);
/* The frames of the boot modules that nothing maps any more go home. */
void monitor_free_modules(struct vm *vm);
/* What the program in ring 3 asked by SYSCALL. true: it goes on; false: it sleeps in MON_NEXT. */
bool monitor_call(struct vm *vm);

/* endings.c */
void vm_end(struct vm *vm, const char *format, ...) __attribute__((format(printf, 2, 3)));
void vm_kill(struct vcpu *v, const char *format, ...) __attribute__((format(printf, 2, 3)));
void vm_mark(struct vm *vm, u64 value);
bool vms_reap(struct cpu *c); /* a slice of what an ended VM leaves; false: nothing to do */
extern struct vm vms[VMS_MAX];

#endif
