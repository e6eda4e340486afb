/*
 * lapic: the local APIC of one vCPU, as xAPIC (a page of registers) and as x2APIC (MSRs). SDM vol. 3, chapter "APIC".
 *
 * One owner (the processor that serves the vCPU) reads and changes everything here; any other processor may only call
 * lapic_post, lapic_matches and lapic_enabled. What is posted lies in bitmaps of its own until the owner next looks:
 *
 *     any processor              the owner
 *     lapic_post  ->  posted  ->  IRR  ->  lapic_deliverable  ->  lapic_accept  ->  ISR  ->  EOI
 *
 * `look` is zero only when nothing is posted and IRR is empty, so that "nothing to do" is one test. Time is the guest's TSC, given as
 * an argument; the timer counts TSC ticks (its bus clock is the TSC), divided as the guest asks. Nothing here reads a clock, takes a
 * lock or blocks. docs/interrupts.md tells how the parts play together.
 */
#ifndef HV_LAPIC_H
#define HV_LAPIC_H

#include "abi/types.h"
#include "core/status.h"

#define LAPIC_NO_VECTOR   (-1)
#define LAPIC_NO_DEADLINE (~0ull)
#define LAPIC_WORDS       4u /* 256 vectors in words of 64 */

/* MSRs that belong here. */
#define LAPIC_MSR_BASE         0x1bu
#define LAPIC_MSR_TSC_DEADLINE 0x6e0u
#define LAPIC_MSR_X2_FIRST     0x800u
#define LAPIC_MSR_X2_LAST      0x8ffu

/* IA32_APIC_BASE */
#define LAPIC_BASE_BSP    0x100ull
#define LAPIC_BASE_X2     0x400ull
#define LAPIC_BASE_ENABLE 0x800ull

enum lapic_kind { /* in the order of the delivery mode field */
	LAPIC_FIXED, LAPIC_LOWEST, LAPIC_SMI, LAPIC_RESERVED, LAPIC_NMI, LAPIC_INIT, LAPIC_SIPI, LAPIC_EXTINT,
};

enum lapic_shorthand { LAPIC_TO_DESTINATION, LAPIC_TO_SELF, LAPIC_TO_ALL, LAPIC_TO_OTHERS };

/* An interrupt message: an IPI, or what an I/O APIC or an MSI device sends. */
struct lapic_message {
	enum lapic_kind kind;
	enum lapic_shorthand shorthand;
	u32 destination;
	u8 vector;
	bool logical; /* destination mode */
	bool level;   /* trigger mode */
	bool wide;    /* destination has 32 bits (sent in x2APIC mode), else 8 */
};

struct lapic_ops {
	/* The guest sent an IPI: find the targets with lapic_matches and deliver. Never FIXED to itself by shorthand (done here). */
	void (*send)(void *context, const struct lapic_message *message);
	/* A level-triggered vector was ended: the I/O APIC wants to know. */
	void (*eoi)(void *context, u8 vector);
};

struct lapic_timer {
	u32 initial, divide_register;
	u64 started;  /* TSC at which `initial` was written */
	u64 deadline; /* TSC-deadline mode: the MSR */
	u64 next;     /* when something happens; LAPIC_NO_DEADLINE: never (disarmed, or masked) */
	bool stopped; /* ran out as one-shot, then was made periodic: still until `initial` is written again */
};

enum lapic_lvt { LAPIC_LVT_TIMER, LAPIC_LVT_THERMAL, LAPIC_LVT_PERF, LAPIC_LVT_LINT0, LAPIC_LVT_LINT1, LAPIC_LVT_ERROR, LAPIC_LVTS };

struct lapic {
	/* What the entry path looks at, together. */
	u32 look;          /* atomic, see lapic.c */
	u8 tpr;            /* CR8 is its upper half */
	u8 in_service;     /* highest vector in ISR, 0: none */
	u8 phys_bits;      /* MAXPHYADDR: what IA32_APIC_BASE takes; 52 after a reset, the owner may lower it */
	u64 irr[LAPIC_WORDS], isr[LAPIC_WORDS], tmr[LAPIC_WORDS];
	struct lapic_timer timer;
	u64 base;          /* IA32_APIC_BASE */
	u32 id;            /* x2APIC ID; its low 8 bits are the xAPIC ID */
	u32 ldr, dfr, svr; /* ldr: as the register of the present mode reads */
	u32 esr, esr_next; /* what the guest reads; what its next write to ESR makes it read */
	u64 icr;
	u32 lvt[LAPIC_LVTS];
	const struct lapic_ops *ops;
	void *context;
	u64 posted[2 * LAPIC_WORDS]; /* atomic; edge, then level */
};

/* Power-up: xAPIC mode, software-disabled, all LVTs masked. */
void lapic_reset(struct lapic *l, u32 id, bool boot_processor, const struct lapic_ops *ops, void *context);
/* INIT: as power-up, but ID, mode and base stay. */
void lapic_init(struct lapic *l);
/* What a PC's firmware leaves on the boot processor (virtual wire, MP specification 3.6.2.2): enabled, LINT0 ExtINT, LINT1 NMI.
 * For VM images that no firmware starts. */
void lapic_virtual_wire(struct lapic *l);

/* OK, or FAULT: #GP(0), nothing changed. `now`: guest TSC. After a write lapic_deadline may have changed. */
must_use status lapic_read_msr(struct lapic *l, u32 msr, u64 now, u64 *value);
must_use status lapic_write_msr(struct lapic *l, u32 msr, u64 value, u64 now);

/* The page at lapic_page(), only while lapic_has_page(). Offset 0..0xfff. Registers are 4 bytes on 16-byte bounds: a read of any size
 * inside one gives its bytes; a write of anything but all 4 bytes is ignored. */
u64 lapic_read(struct lapic *l, u32 offset, u32 size, u64 now);
void lapic_write(struct lapic *l, u32 offset, u32 size, u64 value, u64 now);
static inline u64 lapic_page(const struct lapic *l) { return l->base & ~0xfffull; }
static inline bool lapic_x2(const struct lapic *l) { return l->base & LAPIC_BASE_X2; }
static inline bool lapic_has_page(const struct lapic *l)
{
	return (l->base & (LAPIC_BASE_ENABLE | LAPIC_BASE_X2)) == LAPIC_BASE_ENABLE;
}
static inline bool lapic_globally_enabled(const struct lapic *l) { return l->base & LAPIC_BASE_ENABLE; } /* CPUID.1:EDX.APIC */

/* ---- from any processor ---- */

/* Enabled by IA32_APIC_BASE and SVR: fixed interrupts are accepted. */
bool lapic_enabled(const struct lapic *l);
/* Makes a fixed interrupt pending (dropped when not enabled). The caller kicks the vCPU if it sleeps or runs elsewhere. */
void lapic_post(struct lapic *l, u8 vector, bool level);
/* Is `l` a target of the message? `sender` is NULL for I/O APICs and devices. LAPIC_LOWEST: the caller picks one of those that match
 * and are lapic_enabled. */
bool lapic_matches(const struct lapic *l, const struct lapic *sender, const struct lapic_message *m);

/* An MSI, as MON_SEND_MSI gives it. False: the address is none of the local APICs', or the delivery mode is reserved. */
must_use bool lapic_msi(u64 address, u64 data, struct lapic_message *m);

/* ---- the owner, at entry ---- */

int lapic_highest_slow(struct lapic *l);

/* The highest pending vector whose class is above the ones in service, whatever TPR says (V_INTR_PRIO against V_TPR decides). */
static inline int lapic_highest(struct lapic *l)
{
	if (__builtin_expect(!__atomic_load_n(&l->look, __ATOMIC_RELAXED), 1))
		return LAPIC_NO_VECTOR;
	return lapic_highest_slow(l);
}

/* Likewise, and TPR lets it through: may be injected now. */
static inline int lapic_deliverable(struct lapic *l)
{
	int v = lapic_highest(l);
	return v >> 4 > l->tpr >> 4 ? v : LAPIC_NO_VECTOR;
}

/* The processor took `vector` (a result of lapic_deliverable): IRR to ISR. */
void lapic_accept(struct lapic *l, int vector);

/* EOI: the vector in service is over. */
void lapic_end(struct lapic *l);
/* Does the I/O APIC want to hear of this vector's end? */
static inline bool lapic_is_level(const struct lapic *l, int vector)
{
	return l->tmr[vector / 64] >> vector % 64 & 1;
}

/* TPR as CR8 and V_TPR have it. */
static inline u32 lapic_cr8(const struct lapic *l) { return l->tpr >> 4; }
static inline void lapic_set_cr8(struct lapic *l, u32 cr8) { l->tpr = (u8)(cr8 << 4); }

/* May the 8259's interrupt be taken (globally disabled, or LINT0 is unmasked and ExtINT)? Its vector does not pass through IRR. */
bool lapic_accepts_extint(const struct lapic *l);

/* When lapic_timer wants to be called: guest TSC. */
static inline u64 lapic_deadline(const struct lapic *l) { return l->timer.next; }
void lapic_timer_expire(struct lapic *l, u64 now);
/* The guest's TSC was moved by `delta` (a write to IA32_TSC): what is counted down is not. */
void lapic_tsc_moved(struct lapic *l, u64 delta, u64 now);
/* Call at any time; makes the timer's interrupt pending when it is due. */
static inline void lapic_timer(struct lapic *l, u64 now)
{
	if (now >= l->timer.next)
		lapic_timer_expire(l, now);
}

#endif
