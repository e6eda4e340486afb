/*
 * monitor: what ring 0 and a VM's monitor (ring 3) agree on.
 *
 * A monitor is one preemptible ring-3 context per VM. It takes one *entry* at a time from its queue (mon_next): an exit of a
 * vCPU that ring 0 could not settle, or an event. While it works on a vCPU's exit that vCPU is off the run queue; mon_reply puts it
 * back. All else it asks by calls. Numbers are in RAX, arguments in RDI RSI RDX R10 R8, the answer in RAX (SYSCALL
 * clobbers RCX and R11). A call that breaks the rules (bad vCPU, bad range, reply to nobody) ends the VM.
 *
 * Its addresses (host linear):
 *   MON_TEXT    its program                    MON_STACK_TOP  its stack, grows down, MON_STACK_SIZE
 *   MON_INFO    struct mon_info, read-only     MON_COMM       struct mon_comm, where entries arrive
 *   MON_MODULES boot modules, read-only, until MON_MODULES_DONE (a disk's image: always)
 *   MON_DISK    zeroed private memory on first touch, as many bytes as the VM's disk has
 *   MON_WINDOW  the VM's memory: guest-physical address + MON_WINDOW; touching RAM that was never touched gives it zeroed
 *   MON_HEAP    zeroed private memory on first touch, MON_HEAP_SIZE
 */
#ifndef ABI_MONITOR_H
#define ABI_MONITOR_H

#include "abi/types.h"
#include <assert.h>

#define MON_TEXT       0x0000000000400000ull
#define MON_INFO       0x0000000010000000ull
#define MON_COMM       0x0000000010010000ull /* after mon_info, which has several pages */
#define MON_STACK_TOP  0x0000000020000000ull
#define MON_STACK_SIZE 0x0000000000010000ull
#define MON_HEAP       0x0000000030000000ull
#define MON_HEAP_SIZE  0x0000000000400000ull
#define MON_DISK       0x0000002000000000ull
#define MON_DISK_MAX   0x0000001000000000ull /* 64 GiB */
#define MON_MODULES    0x0000004000000000ull
#define MON_WINDOW     0x0000008000000000ull
#define MON_WINDOW_BITS 39
#define MON_WINDOW_SIZE (1ull << MON_WINDOW_BITS) /* 512 GiB */

#define MON_ABI_VERSION 2u
#define MON_MAX_MODULES 8u
#define MON_CMDLINE_MAX 2048u
#define MON_NAME_MAX 32u

struct mon_module {
	u64 address; /* in MON_MODULES, page aligned */
	u64 size;    /* bytes */
	char cmdline[MON_CMDLINE_MAX]; /* as given with the module, NUL-terminated */
};

enum mon_disk_kind {
	MON_DISK_NONE,
	MON_DISK_IMAGE,  /* begins as the module says; what the guest writes is its own, in MON_DISK */
	MON_DISK_MEMORY, /* begins as zeros, in MON_DISK */
};

struct mon_disk {
	u32 kind;   /* enum mon_disk_kind */
	u32 module; /* MON_DISK_IMAGE: its index in module[], beyond those that are counted */
	u64 bytes;  /* a multiple of 512, or of the image's size rounded down to one */
};

/* What the monitor is told once. Module 0 is the kernel. */
struct mon_info {
	u32 version;
	u32 vcpus;
	u64 memory;      /* bytes of RAM promised; below MON_PCI_HOLE, the rest from 4 GiB up */
	u64 tsc_khz;     /* the TSC is invariant as the monitor sees it (RDTSC allowed) */
	u64 wall_clock;  /* seconds since 1970 at TSC 0 */
	u32 module_count;
	u32 mark_port;   /* 0, or an I/O port whose writes go to MON_MARK */
	char name[MON_NAME_MAX];
	char cmdline[MON_CMDLINE_MAX]; /* of the guest kernel */
	struct mon_disk disk;
	struct mon_module module[MON_MAX_MODULES + 1]; /* one more for a disk's image */
};
static_assert(MON_INFO + sizeof(struct mon_info) <= MON_COMM, "mon_info has room");

/* The guest-physical layout. RAM: [0, min(memory, hole)), and the rest from 4 GiB. */
#define MON_PCI_HOLE      0xc0000000ull /* 3 GiB: RAM never reaches in here ... */
#define MON_PCI_HOLE_END  0x100000000ull
#define MON_PCI_MMIO      0xc0000000ull /* ... BARs from here ... */
#define MON_PCI_MMIO_END  0xfe000000ull
#define MON_IOAPIC        0xfec00000ull /* one page, monitor */
#define MON_LAPIC         0xfee00000ull /* one page, ring 0 */

/* ---- the state of a vCPU, as both sides copy it ---- */

struct mon_segment { /* attributes as in the VMCB: type 3:0, S 4, DPL 6:5, P 7, AVL 8, L 9, D/B 10, G 11 */
	u16 selector, attributes;
	u32 limit;
	u64 base;
};

enum mon_gpr { MON_RAX, MON_RCX, MON_RDX, MON_RBX, MON_RSP, MON_RBP, MON_RSI, MON_RDI,
	       MON_R8, MON_R9, MON_R10, MON_R11, MON_R12, MON_R13, MON_R14, MON_R15, MON_GPRS };

struct mon_vcpu {
	u64 gpr[MON_GPRS];
	u64 rip, rflags;
	u64 cr0, cr2, cr3, cr4, efer;
	struct mon_segment es, cs, ss, ds, fs, gs, ldtr, tr, gdtr, idtr;
	u32 cpl;
	u32 interrupt_shadow; /* 1: the instruction after STI or MOV SS */
};

/* ---- entries ---- */

enum mon_entry_kind {
	MON_ENTRY_NONE = 0,
	MON_ENTRY_START,   /* first of all: load the images, set up vCPU 0 (MON_SET_VCPU, then MON_RUN) */
	MON_ENTRY_IO,      /* one IN or OUT without string or REP: io; mon_reply(vcpu, value read) */
	MON_ENTRY_MMIO,    /* one decoded access: mmio; mon_reply(vcpu, value read) */
	MON_ENTRY_EMULATE, /* anything else (string I/O, odd instructions on devices): MON_EMULATED when done */
	MON_ENTRY_TIMER,   /* MON_SET_TIMER's time has come */
	MON_ENTRY_EOI,     /* a level-triggered vector was EOIed by a local APIC: eoi.vector */
	MON_ENTRY_PIC_ACK, /* a vCPU took the PIC's interrupt: perform INTA */
	MON_ENTRY_CONSOLE, /* bytes from the operator: console */
	MON_ENTRY_POWER_BUTTON, /* the operator pressed it */
	MON_ENTRY_KINDS
};

#define MON_CONSOLE_BYTES 64u
#define MON_NO_PAGE (~0ull)
#define MON_CONSOLE_WRITE_BYTES 256u /* 22 ms on a line of 115,200 baud */

struct mon_entry {
	u32 kind; /* enum mon_entry_kind */
	u32 vcpu; /* exits only */
	union {
		struct { u16 port; u8 size, out; u32 reserved; u64 value; } io;   /* value: what OUT writes */
		struct { u64 address; u8 size, write; u16 reserved[3]; u64 value; } mmio; /* guest-physical */
		struct { u64 address; u8 is_mmio, write; u16 port, length, port_bytes; u8 bytes[16]; u64 lapic; } emulate;
		/* bytes: fetched at RIP; lapic: the page of the vCPU's local APIC, MON_NO_PAGE: it has none */
		struct { u32 vector; } eoi;
		struct { u32 count; u8 bytes[MON_CONSOLE_BYTES]; } console;
	};
};

/* One page, both sides write it, neither trusts it: ring 0 copies out once. */
struct mon_comm {
	struct mon_entry entry;  /* filled by MON_NEXT */
	struct mon_vcpu vcpu;    /* MON_GET_VCPU, MON_SET_VCPU, MON_EMULATED; filled for MON_ENTRY_EMULATE */
	u8 buffer[2048];         /* MON_CONSOLE_WRITE, MON_LOG, MON_GVA_READ, MON_GVA_WRITE */
};
static_assert(sizeof(struct mon_comm) <= PAGE_SIZE, "one page");

/* ---- calls ---- */

enum mon_call {
	MON_NEXT = 1,      /* () -> kind; sleeps until there is an entry; the entry is in comm->entry */
	MON_REPLY,         /* (vcpu, value) the IO or MMIO exit is done: ring 0 writes the register and advances */
	MON_GET_VCPU,      /* (vcpu) -> comm->vcpu; only while that vCPU waits for us or has not run */
	MON_SET_VCPU,      /* (vcpu) <- comm->vcpu; likewise */
	MON_RUN,           /* (vcpu) after START: it may run */
	MON_EMULATED,      /* (vcpu) the instruction of an EMULATE exit has been carried out: registers <- comm->vcpu; ring 0
	                      checks RIP's advance (at most 15) and clears the shadow and RF, honours TF */
	MON_EMULATE_RETRY, /* (vcpu) run it again, nothing was changed */
	MON_EMULATE_FAULT, /* (vcpu, vector, error | MON_HAS_ERROR, cr2) deliver this exception instead */
	MON_GVA_READ,      /* (vcpu, gva, length <= 256, MON_FETCH or 0) -> comm->buffer; answers mon_access */
	MON_GVA_WRITE,     /* (vcpu, gva, length <= 256) <- comm->buffer; both pages are checked before either is written */
	MON_LAPIC_READ,    /* (vcpu, guest-physical address, size) -> value: its own local APIC's page, while it waits for an emulation */
	MON_LAPIC_WRITE,   /* (vcpu, guest-physical address, size, value) */
	MON_SEND_MSI,      /* (address, data) an interrupt message to the local APICs; what an I/O APIC or MSI device sends */
	MON_PIC_LINE,      /* (asserted, vector) the PIC's INTR output and the vector its INTA would give */
	MON_SET_TIMER,     /* (tsc) one shot, absolute; 0: none. MON_ENTRY_TIMER follows */
	MON_CONSOLE_WRITE, /* (length <= MON_CONSOLE_WRITE_BYTES) comm->buffer to the VM's console */
	MON_LOG,           /* (length) comm->buffer as one line of the hypervisor's log, rate-limited */
	MON_MODULES_DONE,  /* () the images are copied: their frames are freed */
	MON_END,           /* (enum mon_end, code) the VM is over */
	MON_MARK,          /* (value) measuring: log the VM's exit counts so far with this mark */
	MON_CALLS
};

#define MON_FETCH 1u
#define MON_HAS_ERROR (1ull << 32)

/* Answer of MON_GVA_*: 0: done. Else a fault to deliver: vector | error << 8 | MON_ACCESS_FAULT, comm->vcpu.cr2 set; or
 * MON_ACCESS_DEVICE | gpa: the place is a device, or one half of an access over two pages is: both may be accessed, and the monitor does it
 * half by half. */
#define MON_ACCESS_FAULT  (1ull << 62)
#define MON_ACCESS_DEVICE (1ull << 63)
#define MON_ACCESS_ENDED  (1ull << 61) /* the address is in nothing that can be accessed */

enum mon_end {
	MON_END_POWER_OFF, /* orderly */
	MON_END_RESET,     /* asked for a reset */
	MON_END_TEST,      /* wrote code to the test-exit port */
	MON_END_FAILED,    /* the image cannot be started: the reason was logged */
};

#endif
