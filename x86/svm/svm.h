/*
 * svm: AMD-V (APM vol. 2, chapter 15). What its files share.
 */
#ifndef X86_SVM_SVM_H
#define X86_SVM_SVM_H

#include "x86/backend.h"
#include "x86/svm/vmcb.h"

/* asm/svm.S: one world switch. `gpr` by enum mon_gpr; RAX and RSP are in the VMCB. */
void svm_switch(u64 *gpr, u64 guest_vmcb, u64 host_vmcb);

/* prepare.c: a set bit is an exit. */
#define SVM_IO_MAP_BYTES  (3 * PAGE_SIZE) /* APM 15.10.1 */
#define SVM_MSR_MAP_BYTES (2 * PAGE_SIZE) /* APM 15.11: two bits an MSR, three ranges of 2 KiB */
extern u8 svm_io_map[SVM_IO_MAP_BYTES], svm_msr_map[SVM_MSR_MAP_BYTES];

/* run.c */
enum exit_kind svm_run(struct cpu *c, struct guest_cpu *g);
extern u32 svm_clean; /* clean bits after an exit: all, or none where the processor has none */
bool svm_open(const struct guest_cpu *g);

/* assist.c */
bool svm_fetched(const struct guest_cpu *g, u8 bytes[INSN_MAX_BYTES]);
bool svm_mov_cr(const struct guest_cpu *g, struct insn *i);

/* state.c */
void svm_init_state(struct guest_cpu *g, hpa_t nested_root);
void svm_mode(const struct guest_cpu *g, struct guest_mode *m);
void svm_get(const struct guest_cpu *g, struct mon_vcpu *v);
must_use status svm_set(struct guest_cpu *g, const struct mon_vcpu *v);
u64 svm_read_cr(const struct guest_cpu *g, u32 n);
void svm_write_cr(struct guest_cpu *g, u32 n, u64 value);
void svm_write_efer(struct guest_cpu *g, u64 value);
u64 svm_read_msr(const struct guest_cpu *g, u32 msr);
void svm_write_msr(struct guest_cpu *g, u32 msr, u64 value);
u64 svm_read_dr(const struct guest_cpu *g, u32 n);
void svm_write_dr(struct guest_cpu *g, u32 n, u64 value);
void svm_write_tsc_offset(struct guest_cpu *g, u64 value);

static inline struct vmcb *vmcb_of(const struct guest_cpu *g) { return g->area; }

#endif
