/*
 * backend: what hv asks of the processor's virtualisation, whoever made it. One const table of verbs a maker.
 *
 * A `guest_cpu` is the private half of a vCPU: all that holds guest contents. It lies in frames of its VM, mapped only in the VM's space.
 */
#ifndef X86_BACKEND_H
#define X86_BACKEND_H

#include "abi/monitor.h"
#include "core/gwalk.h"
#include "core/tag.h"
#include "x86/decode.h"

struct cpu;

/* Why the guest stopped, without the maker's numbers. */
enum exit_kind {
	EXIT_INTERRUPT,  /* the host's: take it */
	EXIT_NMI,        /* the host's */
	EXIT_WINDOW,     /* the guest can take an interrupt now */
	EXIT_NMI_WINDOW, /* the guest has ended its NMI handler */
	EXIT_NESTED,     /* info.nested */
	EXIT_IO,         /* info.io */
	EXIT_MSR,        /* info.msr_write */
	EXIT_CPUID,
	EXIT_HLT,
	EXIT_CR,         /* MOV to CR4, MOV to or from CR8: decode */
	EXIT_EXCEPTION,  /* info.exception: the guest's own, to be reflected */
	EXIT_XSETBV,
	EXIT_WBINVD,     /* WBINVD, INVD: nothing to do */
	EXIT_PAUSE,
	EXIT_HYPERCALL,
	EXIT_MACHINE_CHECK, /* of the host */
	EXIT_UNDEFINED,  /* an instruction that this guest's processor does not have: #UD */
	EXIT_PRIVILEGED, /* one that it has and may not use: #GP */
	EXIT_SHUTDOWN,   /* triple fault */
	EXIT_INVALID,    /* the processor refused the state */
	EXIT_UNKNOWN,
	EXIT_KINDS
};

struct exit_info {
	u32 code; /* the maker's number, for the record */
	union {
		struct { gpa_t at; u8 access; /* enum pmap_access */ bool table; } nested; /* table: while walking the guest's tables */
		struct { u16 port; u8 size; bool in, string; u64 next_rip; } io;
		struct { u8 vector; bool has_error; u32 error; } exception;
		bool msr_write;
	};
};

/* An event on its way into the guest: SDM/APM types. */
enum event_type { EVENT_OF_INTERRUPT = 0, EVENT_OF_NMI = 2, EVENT_OF_EXCEPTION = 3, EVENT_OF_SOFTWARE = 4 };
struct event {
	bool valid, has_error;
	u8 type, vector;
	u32 error;
};

struct windows {
	bool interrupt; /* exit as soon as an interrupt can be taken */
	bool nmi;       /* exit when the NMI handler ends */
};

struct guest_cpu {
	u64 gpr[MON_GPRS]; /* RAX and RSP are copied in at the exit and out at the entry */
	u64 rip, rflags;
	u64 next_rip;      /* known length: where the instruction ends; 0: decode */
	struct exit_info exit;
	struct event event;       /* to deliver at the next entry, re-injection first */
	bool shadow;              /* interrupt shadow */
	bool nmi_blocked;
	struct windows want, have; /* asked for; in force */
	struct tag tag;
	u8 flush;                 /* enum tag_action for the next entry */
	/* switched by backend_load and backend_unload */
	u64 dr[4];
	u64 xcr0;
	u64 tsc_aux;
	u64 tsc_offset;
	void *area;               /* of the maker: a VMCB */
	hpa_t area_hpa;
	void *xsave;              /* features.xsave_size bytes, 64-byte aligned */
};

/* What fetching and decoding needs. */
struct guest_mode {
	struct gwalk_registers paging;
	u64 cs_base;
	u8 bits; /* 16, 32, 64: code size */
	u8 cpl;
};

struct backend {
	const char *name;
	void (*cpu_start)(struct cpu *c);
	/* Makes the processor state of power-on; `nested_root` is the root of the nested tables. */
	void (*init)(struct guest_cpu *g, hpa_t nested_root);
	/* Enters with what g->flush says; returns on the next exit, with gpr, rip, rflags, exit, event filled. Interrupts off. */
	enum exit_kind (*run)(struct cpu *c, struct guest_cpu *g);
	/* Whether an external interrupt could be delivered right now: IF, no shadow, nothing else on its way. */
	bool (*open)(const struct guest_cpu *g);
	void (*mode)(const struct guest_cpu *g, struct guest_mode *m);
	/* What the processor tells of the exit's instruction; false: nothing, it must be fetched. */
	bool (*fetched)(const struct guest_cpu *g, u8 bytes[INSN_MAX_BYTES]);
	bool (*mov_cr)(const struct guest_cpu *g, struct insn *i);
	void (*get)(const struct guest_cpu *g, struct mon_vcpu *v);
	/* DENIED: a state that the processor could not have; nothing changed. */
	must_use status (*set)(struct guest_cpu *g, const struct mon_vcpu *v);
	u64 (*read_cr)(const struct guest_cpu *g, u32 n);
	void (*write_cr)(struct guest_cpu *g, u32 n, u64 value); /* 2 or 4; has been judged */
	void (*write_efer)(struct guest_cpu *g, u64 value);
	u64 (*read_msr)(const struct guest_cpu *g, u32 msr);     /* those that live in the area */
	void (*write_msr)(struct guest_cpu *g, u32 msr, u64 value);
	u64 (*read_dr)(const struct guest_cpu *g, u32 n);
	void (*write_dr)(struct guest_cpu *g, u32 n, u64 value);
	void (*write_tsc_offset)(struct guest_cpu *g, u64 value);
};

extern const struct backend svm_backend;
/* Its part of the start: NULL, and what all processors share is made. Else what is missing, in words for a person. */
const char *svm_prepare(void);

/* Eager switch of what VMRUN leaves alone: x87/SSE/AVX, XCR0, DR0-3, TSC_AUX. Between the two calls the processor holds the
 * guest's; afterwards it holds the initial state, so that nobody reads what a guest left. */
void backend_init_extended(struct guest_cpu *g);
void backend_load(struct guest_cpu *g);
/* DR0-3 of the vCPU that is loaded become 0. */
void backend_clear_debug(struct guest_cpu *g);
void backend_unload(struct guest_cpu *g);
/* The same but for the initial state: backend_load of another follows, before anyone could look. */
void backend_save(struct guest_cpu *g);
/* x87, SSE, AVX become initial; nobody is loaded. */
void backend_clear_extended(void);

#endif
