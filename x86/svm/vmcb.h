/*
 * vmcb: the virtual machine control block, in the manual's order (APM vol. 2, appendix B).
 *
 * Fields under a clean bit change only through the setters at the end, which clear it. Where the processor has no clean bits the
 * field is ignored and everything is read at each VMRUN.
 */
#ifndef X86_SVM_VMCB_H
#define X86_SVM_VMCB_H

#include "core/addr.h"
#include "core/bits.h"
#include "core/check.h"

struct vmcb_segment {
	u16 selector, attributes;
	u32 limit;
	u64 base;
};

struct vmcb {
	/* control area */
	u16 cr_read, cr_write; /* 000: bit n intercepts CRn */
	u16 dr_read, dr_write; /* 004 */
	u32 exceptions;        /* 008: by vector */
	u32 intercepts1;       /* 00c: enum vmcb_intercept1 */
	u32 intercepts2;       /* 010: enum vmcb_intercept2 */
	u32 intercepts3;       /* 014 */
	u8 reserved018[0x3c - 0x18];
	u16 pause_threshold;   /* 03c */
	u16 pause_count;       /* 03e */
	u64 iopm_base;         /* 040 */
	u64 msrpm_base;        /* 048 */
	u64 tsc_offset;        /* 050 */
	u32 asid;              /* 058 */
	u8 tlb_control;        /* 05c */
	u8 reserved05d[3];
	u64 virtual_interrupt; /* 060: enum vmcb_vintr */
	u64 interrupt_shadow;  /* 068: bit 0 */
	u64 exit_code;         /* 070 */
	u64 exit_info1;        /* 078 */
	u64 exit_info2;        /* 080 */
	u64 exit_int_info;     /* 088 */
	u64 nested_control;    /* 090: bit 0 NP_ENABLE */
	u64 avic_apic_bar;     /* 098 */
	u64 ghcb;              /* 0a0 */
	u64 event_injection;   /* 0a8 */
	u64 nested_cr3;        /* 0b0 */
	u64 lbr_control;       /* 0b8 */
	u32 clean;             /* 0c0: enum vmcb_clean */
	u32 reserved0c4;
	u64 next_rip;          /* 0c8 */
	u8 fetched;            /* 0d0: bytes that follow, with decode assists */
	u8 instruction[15];    /* 0d1 */
	u8 reserved0e0[0x400 - 0xe0];
	/* state save area */
	struct vmcb_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr; /* 400 */
	u8 reserved4a0[0x4cb - 0x4a0];
	u8 cpl;                /* 4cb */
	u32 reserved4cc;
	u64 efer;              /* 4d0 */
	u8 reserved4d8[0x548 - 0x4d8];
	u64 cr4;               /* 548 */
	u64 cr3, cr0, dr7, dr6, rflags, rip; /* 550 */
	u8 reserved580[0x5d8 - 0x580];
	u64 rsp;               /* 5d8 */
	u64 s_cet, ssp, isst;  /* 5e0 */
	u64 rax;               /* 5f8 */
	u64 star, lstar, cstar, sfmask, kernel_gs_base, sysenter_cs, sysenter_esp, sysenter_eip; /* 600 */
	u64 cr2;               /* 640 */
	u8 reserved648[0x668 - 0x648];
	u64 g_pat;             /* 668 */
	u64 debugctl;          /* 670 */
	u64 br_from, br_to, last_exception_from, last_exception_to; /* 678 */
	u8 reserved698[0x1000 - 0x698];
};

#define VMCB_AT(field, offset) static_assert(offsetof(struct vmcb, field) == (offset), #field)
VMCB_AT(exceptions, 0x8);
VMCB_AT(iopm_base, 0x40);
VMCB_AT(asid, 0x58);
VMCB_AT(virtual_interrupt, 0x60);
VMCB_AT(exit_code, 0x70);
VMCB_AT(exit_int_info, 0x88);
VMCB_AT(event_injection, 0xa8);
VMCB_AT(clean, 0xc0);
VMCB_AT(next_rip, 0xc8);
VMCB_AT(es, 0x400);
VMCB_AT(tr, 0x490);
VMCB_AT(cpl, 0x4cb);
VMCB_AT(efer, 0x4d0);
VMCB_AT(cr4, 0x548);
VMCB_AT(rip, 0x578);
VMCB_AT(rsp, 0x5d8);
VMCB_AT(rax, 0x5f8);
VMCB_AT(star, 0x600);
VMCB_AT(cr2, 0x640);
VMCB_AT(g_pat, 0x668);
static_assert(sizeof(struct vmcb) == PAGE_SIZE, "one page");

/* 00c */
enum vmcb_intercept1 {
	INTERCEPT_INTR = 1u << 0, INTERCEPT_NMI = 1u << 1, INTERCEPT_SMI = 1u << 2, INTERCEPT_INIT = 1u << 3,
	INTERCEPT_VINTR = 1u << 4, INTERCEPT_RDPMC = 1u << 15, INTERCEPT_CPUID = 1u << 18,
	INTERCEPT_RSM = 1u << 19, INTERCEPT_IRET = 1u << 20, INTERCEPT_INVD = 1u << 22, INTERCEPT_PAUSE = 1u << 23,
	INTERCEPT_HLT = 1u << 24, INTERCEPT_INVLPGA = 1u << 26, INTERCEPT_IO = 1u << 27, INTERCEPT_MSR = 1u << 28,
	INTERCEPT_SHUTDOWN = 1u << 31,
};

/* 010 */
enum vmcb_intercept2 {
	INTERCEPT_VMRUN = 1u << 0, INTERCEPT_VMMCALL = 1u << 1, INTERCEPT_VMLOAD = 1u << 2, INTERCEPT_VMSAVE = 1u << 3,
	INTERCEPT_STGI = 1u << 4, INTERCEPT_CLGI = 1u << 5, INTERCEPT_SKINIT = 1u << 6, INTERCEPT_WBINVD = 1u << 9,
	INTERCEPT_MONITOR = 1u << 10, INTERCEPT_MWAIT = 1u << 11, INTERCEPT_MWAIT_ARMED = 1u << 12, INTERCEPT_XSETBV = 1u << 13, INTERCEPT_RDPRU = 1u << 14,
};

enum vmcb_vintr {
	VINTR_IRQ = 1 << 8, VINTR_IGNORE_TPR = 1 << 20, VINTR_MASKING = 1 << 24,
};

enum vmcb_tlb_control { TLB_KEEP = 0, TLB_FLUSH_ALL = 1, TLB_FLUSH_ASID = 3 };

/* 0a8 and 088 */
#define EVENT_VALID  BIT(31)
#define EVENT_ERROR  BIT(11)
#define EVENT_TYPE(e) ((u32)((e) >> 8) & 7)
#define EVENT_VECTOR(e) ((u32)(e) & 0xff)

/* 0c0 */
enum vmcb_clean {
	CLEAN_INTERCEPTS = 1 << 0, CLEAN_PERMISSIONS = 1 << 1, CLEAN_ASID = 1 << 2, CLEAN_TPR = 1 << 3, CLEAN_NESTED = 1 << 4,
	CLEAN_CR = 1 << 5, CLEAN_DR = 1 << 6, CLEAN_DT = 1 << 7, CLEAN_SEGMENTS = 1 << 8, CLEAN_CR2 = 1 << 9, CLEAN_LBR = 1 << 10,
	CLEAN_ALL = (1 << 11) - 1,
};

#define VMCB_SETTER(field, type, bit) \
	static inline void vmcb_set_##field(struct vmcb *b, type value) \
	{ \
		b->field = value; \
		b->clean &= ~(u32)(bit); \
	}
VMCB_SETTER(intercepts1, u32, CLEAN_INTERCEPTS)
VMCB_SETTER(tsc_offset, u64, CLEAN_INTERCEPTS)
VMCB_SETTER(virtual_interrupt, u64, CLEAN_TPR)
VMCB_SETTER(cr4, u64, CLEAN_CR)
VMCB_SETTER(efer, u64, CLEAN_CR)
VMCB_SETTER(dr6, u64, CLEAN_DR)
VMCB_SETTER(dr7, u64, CLEAN_DR)
VMCB_SETTER(cr2, u64, CLEAN_CR2)

/* Exit codes, APM vol. 2, appendix C. The upper half of a VMEXIT_INVALID may be zero: compare 32 bits. */
enum vmexit {
	VMEXIT_CR0_READ = 0x000, VMEXIT_CR0_WRITE = 0x010,
	VMEXIT_EXCEPTION = 0x040, VMEXIT_INTR = 0x060, VMEXIT_NMI = 0x061, VMEXIT_SMI = 0x062, VMEXIT_INIT = 0x063,
	VMEXIT_VINTR = 0x064, VMEXIT_RDPMC = 0x06f, VMEXIT_CPUID = 0x072, VMEXIT_RSM = 0x073,
	VMEXIT_IRET = 0x074, VMEXIT_INVD = 0x076, VMEXIT_PAUSE = 0x077, VMEXIT_HLT = 0x078, VMEXIT_INVLPGA = 0x07a,
	VMEXIT_IO = 0x07b, VMEXIT_MSR = 0x07c, VMEXIT_SHUTDOWN = 0x07f, VMEXIT_VMRUN = 0x080,
	VMEXIT_VMMCALL = 0x081, VMEXIT_VMLOAD = 0x082, VMEXIT_VMSAVE = 0x083, VMEXIT_STGI = 0x084, VMEXIT_CLGI = 0x085,
	VMEXIT_SKINIT = 0x086, VMEXIT_WBINVD = 0x089, VMEXIT_MONITOR = 0x08a, VMEXIT_MWAIT = 0x08b, VMEXIT_MWAIT_ARMED = 0x08c,
	VMEXIT_XSETBV = 0x08d, VMEXIT_RDPRU = 0x08e, VMEXIT_CODES = 0x090, VMEXIT_NPF = 0x400,
};
#define VMEXIT_INVALID 0xffffffffu

/* EXITINFO1 of an IN or OUT, 15.10.2 */
enum vmexit_io { IOIO_IN = 1, IOIO_STRING = 4, IOIO_SIZE_SHIFT = 4, IOIO_SIZE_MASK = 0x70, IOIO_PORT_SHIFT = 16 };
/* EXITINFO1 of a nested page fault, 15.25.6 */
#define NPF_WRITE BIT(1)
#define NPF_FETCH BIT(4)
#define NPF_TABLE BIT(33)
/* EXITINFO1 of an access to a control register, with decode assists, 15.8.1: the general register is in bits 3:0 */
#define CR_IS_MOV BIT(63)

#endif
