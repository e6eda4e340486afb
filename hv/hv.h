/*
 * hv: the hypervisor's objects, and which file knows which part of them.
 *
 *   vm        memory (pmap, nested view, space), vCPUs, monitor, keeper   vm.c, keeper.c, endings.c, pause.c
 *   vcpu      public half; the private one is x86's guest_cpu             vcpu.c, exits.c, instruction.c, msr.c, interrupts.c
 *   monitor   a ring-3 context with a queue of exits and events           monitor.c, monitor_calls.c
 *   entity    what the scheduler runs: a vCPU, a monitor, a keeper         sched.c, timer.c
 *   module    a boot module, as long as a definition may need it          modules.c
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
#include "x86/boot/machines.h"
#include "x86/cpu/cpu.h"
#include "x86/decode.h"
#include "x86/mm/mm.h"
#include "x86/mm/space.h"

#define VM_MAX_VCPUS MACHINE_VCPUS_MAX
#define VMS_MAX MACHINES_MAX

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
/* After CPU_TIMER: fires what is due; true: the slice is over. timers_arm or timer_slice must follow. */
bool timers_run(const struct cpu *c);
void timers_arm(const struct cpu *c);
/* What is armed and should have come is armed again: QEMU may lose it (docs/svm.md, "An interrupt lost"). */
void timers_arm_late(const struct cpu *c);
/* Somebody waits for this processor: the slice that runs on it ends then, unless an earlier one has not ended yet. Arms. */
void timer_slice(const struct cpu *c, u64 end);
bool timer_slicing(u32 cpu);

/* ---- what is scheduled (docs/scheduling.md) ---- */

enum entity_kind { ENTITY_VCPU, ENTITY_MONITOR, ENTITY_KEEPER, ENTITY_OPERATOR, ENTITY_KINDS };
enum entity_state { ENTITY_SLEEPING, ENTITY_QUEUED, ENTITY_RUNNING };
enum turn { TURN_YIELD, TURN_SLEEP }; /* why a turn ended: it could go on, or waits to be woken */

#define NOWHERE MAX_CPUS
struct entity {
	enum entity_kind kind;
	enum entity_state state; /* all but kind, vm, share and bound under the scheduler's lock */
	bool again;              /* woken while it ran */
	u32 bound;               /* the only processor where it may run, since that holds its registers, or NOWHERE; by __atomic */
	u32 cpu;                 /* where it runs or ran last */
	struct entity *next;
	struct vm *vm;           /* NULL: the operator */
	struct share *share;
	u64 turns, ticks;        /* ticks: TSC, while it ran */
	u64 queued_at, waited;   /* ticks for which it was ready and did not run */
};

/* Among whom the processors are shared: each VM, and the hypervisor's own work. */
struct share {
	struct entity *first, **last; /* what is ready, in the order of its turns */
	u32 running;                  /* entities that are on a processor */
	bool active;                  /* something is ready or runs */
	u64 scale;                    /* of its weight: SHARE_SCALE is the usual one */
	u64 vtime;                    /* ticks used, scaled */
	u64 busy;                     /* ticks used */
};
#define SHARE_SCALE 1024u

void sched_init(void);
void share_init(struct share *s, u64 weight);
void entity_init(struct entity *e, enum entity_kind kind, struct vm *vm, struct share *share);
/* The entity may have something to do. `here`: this processor will get to it soon, no other needs to be asked. */
void sched_wake(struct entity *e);
extern u32 sched_scrubs; /* an idle processor has free frames in hand, and calls vms_feed when they are back; by __atomic */
void sched_wake_here(struct entity *e);
/* If it is ready, it is the next of its share. */
void sched_yield_to(struct entity *e);
/* Takes what interrupted this processor: timers, console, kicks. true: return to the scheduler, other work waits. */
bool sched_events(struct cpu *c);
_Noreturn void sched_loop(void);
/* Ticks that the entity on this processor has used, its present turn included. */
u64 sched_ticks(const struct cpu *c);

/* ---- a virtual processor ---- */

enum vcpu_block { BLOCK_START = 1, BLOCK_SIPI = 2, BLOCK_HALT = 4, BLOCK_MONITOR = 8 };
enum vcpu_request { REQUEST_TIMER = 1, REQUEST_NMI = 2, REQUEST_INIT = 4, REQUEST_SIPI = 8, REQUEST_WALK = 16, REQUEST_KICK = 32 };

#define MTRR_VARIABLE 8u
#define MTRR_FIXED 11u
#define MTRR_DEF_ENABLE BIT(11)
#define MTRR_WRITE_BACK 6u
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
	bool kicked;               /* by another vCPU: a halt ends, this or the next */
	/* KVM's steal time page: the MSR, entity.waited as the page has it, its version, whether it says "preempted" */
	struct steal { u64 msr, shown; u32 version; bool told; } steal;
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
	u32 events;        /* bit per enum mon_entry_kind: START, TIMER, PIC_ACK, CONSOLE, POWER_BUTTON */
	u64 eoi[4];                /* vectors */
	u32 exits;         /* bit per vCPU whose exit waits */
	u32 console_count;
	u8 console[CONSOLE_ROOM];
	bool waiting;              /* in MON_NEXT */
	bool loading;              /* has not said MON_MODULES_DONE */
	bool again;                /* the call is to be made once more */
	u64 budget_end;            /* of its ticks: when it must be back in MON_NEXT; 0: not set */
	struct hv_timer watch;     /* looks after the budget */
	struct hv_timer timer;
	/* the PIC's INTR */
	u32 pic;           /* PIC_ASSERTED | vector */
	u64 log_from;              /* host TSC; log_lines since then */
	u32 log_lines;
	struct mon_comm *comm;     /* ring 0's own mapping of the page, in the VM's space */
};
#define PIC_ASSERTED 0x100u

/* ---- a machine ---- */

enum reap_step { REAP_REST, REAP_CLAIM, REAP_AUDIT, REAP_NESTED, REAP_WINDOW, REAP_MEMORY, REAP_PRIVATE, REAP_PMAP, REAP_POOL, REAP_GONE, REAP_DONE };
enum vm_state { VM_DEFINED, VM_STARTING, VM_RUNNING, VM_ENDING, VM_FORGOTTEN };
enum vm_pause { PAUSE_OPERATOR = 1, PAUSE_MEMORY = 2 };

struct vm {
	/* as long as its definition */
	const struct machine_definition *definition;
	owner_t owner;
	u32 state;         /* enum vm_state */
	struct share share;
	struct entity keeper;      /* makes it and takes it apart (keeper.c) */
	char ending[160];          /* how it ended last: "power-off", "test 7", "killed: ..." */
	u32 modules_held;          /* enum module_use that are left */
	/* as long as the VM */
	u32 paused;        /* enum vm_pause */
	u32 go;            /* RUNNING and not paused: vCPUs and monitor may run */
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
	struct private_list *private_list; /* vm.c */
	u64 private_frames;
	u32 end_claimed;
	bool restart;              /* it was a reset */
	bool wanted;               /* nobody has destroyed it since its start */
	enum reap_step reaping;
	u8 *scrollback;            /* PRIVATE_CONSOLE, in its space */
	bool replay;               /* the operator wants to see it */
	u64 unknown_msrs;          /* by hash: one of them was logged */
};

extern const struct backend *backend;
extern u64 host_tsc_khz;
extern bool host_tsc_steady;
extern const struct boot_info *boot_info;
extern struct vm vms[VMS_MAX]; /* number i is definition i */
extern u32 vm_count;
extern bool operator_present;

/* main.c. From the early tables into the final map and on: the other processors, which wait there for the boot processor, and that one. */
extern _Atomic u32 secondaries_waiting;
_Noreturn void hv_secondary(struct cpu *c);
_Noreturn void hv_run(void);

/* vm.c. For its keeper, in the neutral space: gives it memory, views, vCPUs and monitor. NULL, or why not (what is there then is taken apart). */
const char *vm_make(struct vm *vm);
/* Places in the VM's private ring-0 part. */
#define PRIVATE_VCPU_STRIDE 0x10000ull
#define PRIVATE_COMM (PRIVATE_VM_BASE + 0x1000000ull)
#define PRIVATE_INFO (PRIVATE_VM_BASE + 0x1010000ull)
#define PRIVATE_CONSOLE (PRIVATE_VM_BASE + 0x1100000ull)
#define CONSOLE_PAGES 4u
/* A private frame mapped at `at` of the VM's space. */
must_use status vm_map_private(struct vm *vm, u64 at, enum pt_rights rights, hfn_t *out);
/* At most `budget` private frames into the debt, once no mapping of them is left; false: none is left. */
bool vm_release_private(struct vm *vm, u32 budget, struct settlement *s);

/* vcpu.c */
enum turn vcpu_turn(struct cpu *c, struct entity *e);
void vcpu_reset(struct vcpu *v);
/* The INIT signal, on the processor that has the vCPU loaded. */
void vcpu_init(struct vcpu *v);
static inline u64 vcpu_tsc(const struct vcpu *v) { return tsc_now() + v->g->tsc_offset; }
void vcpu_timer_changed(struct vcpu *v);

/* exits.c: what to do after an exit. */
enum action { ACTION_RESUME, ACTION_SLEEP, ACTION_YIELD };
enum action exit_handle(struct vcpu *v, enum exit_kind kind);
const char *exit_name(enum exit_kind kind);
/* A decoded load gets its value: into the register, extended as the instruction does. */
void exit_finish_load(struct vcpu *v, const struct insn *i, u64 value);

/* instruction.c */
#define DR6_BS BIT(14)
void inject(struct vcpu *v, u8 vector, bool has_error, u32 error);
void inject_gp(struct vcpu *v);
void inject_ud(struct vcpu *v);
/* Past the instruction, or a part of a REP, whose RIP stays: clears the shadow and RF, honours TF. */
void advance(struct vcpu *v, u64 next_rip);
/* Bytes at RIP, as the processor fetches them. OK, *got bytes (up to a page's end, 15 at most, at least 1); FAULT: injected;
 * others: run the exit again. */
must_use status fetch(struct vcpu *v, const struct guest_mode *m, u8 bytes[16], u32 *got);
/* Where the instruction ends that the exit names (`plain`: its two bytes without prefixes, or 0). AGAIN: another stands there. */
must_use status instruction_find_end(struct vcpu *v, u32 plain, u32 id, u64 *next_rip);
static inline must_use status instruction_end(struct vcpu *v, u32 plain, u32 id, u64 *next_rip)
{
	*next_rip = v->g->next_rip;
	return *next_rip ? OK : instruction_find_end(v, plain, id, next_rip);
}
/* The instruction at RIP. NOT_THERE: none that ring 0 decodes; FAULT: injected. */
must_use status instruction_decode(struct vcpu *v, struct insn *i);
/* By guest-virtual address with the vCPU's own rights; both pages are checked before either is touched. FAULT: error and address in
 * `fault`; DEVICE: *device is the place. */
struct gva_fault { u8 vector; u32 error; u64 address; };
must_use status gva_copy(struct vcpu *v, gva_t at, void *bytes, u32 length, u32 access, struct gva_fault *fault, gpa_t *device);

/* How the vCPU's own tables are walked, by its registers as they are. */
struct gwalk_mode vcpu_walk_now(struct vcpu *v);

/* msr.c */
enum action exit_msr(struct vcpu *v);

/* interrupts.c */
extern const struct lapic_ops lapic_ops;
void interrupt_message(struct vm *vm, struct vcpu *sender, const struct lapic_message *m);
void interrupts_deliver(struct vcpu *v, const struct lapic_message *m); /* to this one, whatever the message's destination */
/* Leaves it for the vCPU's next look, and wakes it. */
void interrupts_request(struct vcpu *v, u32 what);
/* Puts what can be delivered into the next entry, or asks for a window. */
void interrupts_prepare(struct vcpu *v);
bool interrupts_wake(struct vcpu *v); /* would a halted vCPU go on? */
/* After an exit with eoi_lent, and when the entry does not come: has the guest used it? */
void interrupts_take_eoi(struct vcpu *v);
bool interrupts_stepped(struct vcpu *v);
void interrupts_requests(struct vcpu *v, u32 requests);

/* clock.c */
must_use status clock_write_system_time(struct vcpu *v, u64 value);
must_use status clock_write_wall_clock(struct vcpu *v, u64 value);

/* paravirt.c */
enum action paravirt_call(struct vcpu *v);
/* Into a page that the guest has named. FAULT: there is no RAM that could be written. */
must_use status paravirt_write(u64 at, const void *page, u64 bytes);
must_use status paravirt_write_steal(struct vcpu *v, u32 msr, u64 value);
/* The end of a turn whose vCPU could go on: says so in its page. */
enum turn paravirt_yield(struct vcpu *v);
/* It has one again. false: it must not run yet, its page cannot be reached yet. */
must_use bool paravirt_resume(struct vcpu *v);

/* monitor.c, monitor_calls.c, monitor_load.c */
const char *monitor_load(struct vm *vm);
void monitor_begin(struct vm *vm); /* a queue without entries */
enum turn monitor_turn(struct cpu *c, struct entity *e);
void monitor_post(struct vm *vm, enum mon_entry_kind kind);
/* v->p->exit is to be answered: the vCPU sleeps until then, ACTION_SLEEP. */
enum action monitor_post_exit(struct vcpu *v);
/* Takes the next entry into the comm page; false: there is none. */
bool monitor_take(struct vm *vm);
void monitor_post_eoi(struct vm *vm, u8 vector);
void monitor_post_console(struct vm *vm, const u8 *bytes, u32 count);
/* What the program in ring 3 asked by SYSCALL. true: it goes on; false: it sleeps in MON_NEXT. */
bool monitor_call(struct vm *vm);

/* modules.c: which definition may still need a boot module. */
enum module_use { USE_IMAGES = 1, USE_DISK = 2, USE_MONITOR = 4, USE_ALL = 7 };
void modules_hold(struct vm *vm);
/* What nobody needs any more goes home. Nothing maps it for this VM. */
void modules_drop(struct vm *vm, u32 uses);
void modules_free_unused(void);
extern _Atomic u32 modules_changing; /* so many are at it */
u64 modules_frames(void); /* that are held */
/* Number n of what the monitor sees at MON_MODULES: kernel, modules, disk image. NULL: there are not so many. */
const struct boot_module *module_of(const struct vm *vm, u32 n);

/* endings.c */
/* `then`: whether it starts again. */
void vm_end(struct vm *vm, enum machine_reset then, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Its guest cannot go on, or must not: with a record. ACTION_SLEEP, for its exit. */
enum action vm_kill(struct vcpu *v, const char *format, ...) __attribute__((format(printf, 2, 3)));
void vm_record(struct vcpu *v); /* registers into the log */
void vm_mark(struct vm *vm, u64 value);
u64 vm_exits_of(const struct vm *vm, enum exit_kind kind);
u64 vm_exits(const struct vm *vm); /* of all kinds */
static inline bool vm_starts_again(const struct vm *vm) { return vm->restart && vm->wanted && vm->modules_held == USE_ALL; }
/* A slice of what an ended VM leaves. false: nothing is left. */
bool vm_take_apart(struct vm *vm);

/* auditing.c: one audit of the running host at a time. `gone`: it looks for what is left of that VM, too; NULL: of every VM that is there. */
bool audit_claim(const void *by);
void audit_call(bool on); /* the operator is the next to get it, and is woken then */
void audit_unclaim(const void *by);
void audit_start(struct vm *gone);
/* A VM begins, or lets images go: call it with the VM's state changed and before a frame changes hands. An audit sums up no more. */
void audit_disturb(void);
/* false: it is over, and *result tells, until the claim is given up. */
struct audit_state;
bool audit_slice(const struct audit_state **result);

/* keeper.c: what may be asked of a machine. NULL, or a sentence why not. */
enum turn keeper_turn(struct cpu *c, struct entity *e);
const char *vm_start(struct vm *vm);
const char *vm_destroy(struct vm *vm);
const char *vm_reset(struct vm *vm);
const char *vm_forget(struct vm *vm);
struct vm *vm_find(const char *name);
/* All machines are ended, then the host's power is switched off. */
void host_quit(void);

/* pause.c */
void vm_wake(struct vm *vm); /* its vCPUs and its monitor look what there is to do */
void vm_become(struct vm *vm, enum vm_state state);
static inline bool change_state(u32 *state, u32 from, u32 to)
{
	return __atomic_compare_exchange_n(state, &from, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
void vm_pause(struct vm *vm, enum vm_pause why);
void vm_resume(struct vm *vm, enum vm_pause why);
/* The host had no memory for it, at this count of what came back to the allocator: it is paused until there is some. */
void vm_starve(struct vm *vm, u64 came_at);
/* Frames have become free: those that wait for memory try again. */
void vms_feed(void);

/* operator/ */
extern struct entity operator_entity;
void operator_init(void);
enum turn operator_turn(struct cpu *c, struct entity *e);
void operator_input(const u8 *bytes, u32 count);                   /* any processor, any space */
void operator_output(struct vm *vm, const u8 *bytes, u32 count);   /* in its space */
void operator_replay(struct vm *vm);                               /* in its space */
void operator_walk(struct vcpu *v);                                /* in its space, its registers in memory */
void operator_note(const char *format, ...) __attribute__((format(printf, 1, 2))); /* a line that log and operator get */

#endif
