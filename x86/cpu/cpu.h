/*
 * cpu: one processor of the host. The public half lies in the image; stacks and slots in its private part (mm/space.h).
 */
#ifndef X86_CPU_CPU_H
#define X86_CPU_CPU_H

#include "core/addr.h"
#include "core/env.h"
#include "core/tag.h"
#include "x86/asm/insn.h"

/* Ring 3's registers while it does not run. Offsets are known to asm/user.S (checked by static_assert there or in trap.c). */
struct space;

struct user_regs {
	u64 rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
	u64 rip, rflags, rsp;
};

/* Why user_run came back. */
enum user_exit { USER_SYSCALL = 0x100, USER_INTERRUPT = 0x101 }; /* below 0x100: exception vector */

/* What interrupted a processor since it last looked. */
enum cpu_event { CPU_TIMER = 1, CPU_KICK = 2, CPU_CONSOLE = 4, CPU_RESCHED = 8 /* hv's own */,
		 CPU_STARVED = 16 /* an access of ring 0 to its VM's memory found no frame */ };

struct cpu {
	struct cpu *self;    /* gs:0 */
	u64 kernel_rsp;      /* gs:8; user_run saves here, traps from ring 3 resume here */
	u64 scratch;         /* gs:16, asm */
	u32 id, apic_id;
	u32 events;          /* enum cpu_event; others set bits too: by cpu_event() only. Taken by the scheduler */
	volatile bool online;
	u64 user_fault_code, user_fault_address; /* of the last exception out of ring 3; the address is CR2 */
	struct tagger tagger;
	hpa_t host_save;     /* VM_HSAVE_PA, one page */
	hpa_t host_vmcb;     /* VMSAVE area of the host */
	u64 *top;            /* its own top-level table, and where it lies */
	hpa_t top_hpa;
	u64 *slot_table;     /* last-level entries of its slots (mm/slots.h) */
	u64 starved_at;      /* of CPU_STARVED: what alloc.came was */
	struct space *space; /* whose part is linked in (mm/space.h); NULL: neutral */
	struct { u64 vector, code, address; } fixup; /* of the last fault of this processor that asm/access.h caught */
};

extern struct cpu cpus[MAX_CPUS];
extern u32 cpu_total; /* online */

static inline struct cpu *this_cpu(void) { return read_gs0(); }
static inline void cpu_event(struct cpu *c, u32 event) { __atomic_fetch_or(&c->events, event, __ATOMIC_SEQ_CST); }

/* What the processor offers, judged once at boot (features.c); the option hide= takes features away. */
struct features {
	bool svm, npt, nrip, decode_assist, clean_bits, flush_by_asid, pause_filter;
	bool nx, smep, smap, umip, gib_pages, xsave, fsgsbase, pge, x2apic, tsc_deadline, invariant_tsc, rdtscp, x87_pointers;
	u32 asids;      /* number of ASIDs, the host's 0 included */
	u8 phys_bits;
	u32 xsave_size; /* bytes for every component in xcr0_mask */
	u64 xcr0_mask;  /* components that host and guests may use */
	char vendor[13];
};
extern struct features features;

/*
 * Runs ring 3 with the registers in `r` until a SYSCALL, an exception or an interrupt takes it back. Interrupts are enabled in
 * ring 3 and off again on return; an interrupt's handler has already run (cpu->events tells). Returns enum user_exit or the
 * vector of the exception, whose error code and CR2 are in this_cpu().
 */
u32 user_run(struct user_regs *r);

/* Opens a window of one instruction in which pending interrupts are taken (STI; NOP; CLI). */
void interrupts_take(void);
/* STI; HLT; CLI: sleeps until an interrupt has been handled. */
void cpu_idle(void);

void kick_cpu(u32 id);            /* IPI: the target's CPU_KICK is set */
void timer_arm(u64 tsc);          /* one shot of this processor, absolute TSC; ~0: off. CPU_TIMER follows, at once if past */
static inline u64 tsc_now(void) { return rdtsc(); }

#endif
