/*
 * mm: the host's memory: one frame table, one allocator, one pool, and the map that all processors share.
 *
 *   slot  address              what                                        shared by
 *   0     0                    the monitor's program                       VM's space (space.h)
 *   1     0x0000008000000000   MON_WINDOW: the VM's memory                 VM's space
 *   256   0xffff800000000000   pool: base + hpa, pool blocks only          all
 *   257   0xffff808000000000   frame table and allocator's bookkeeping     all
 *   258   0xffff810000000000   the xAPIC, if it is used, uncached           all
 *         0xffff810040000000   the screen, if there is one, uncached       all
 *   509   0xfffffe8000000000   private halves of a VM's vCPUs              VM's space
 *   510   0xffffff0000000000   stack and slots of one processor            nobody
 *   511   0xffffffff80000000   Ringmur's image, W^X                        all
 *
 * Of the image the start (x86/boot) is in no final map. There is no map of all memory: a free frame is in no map, a VM's only in its space.
 */
#ifndef X86_MM_MM_H
#define X86_MM_MM_H

#include "core/pt.h"
#include "x86/boot/boot.h"
#include "x86/cpu/cpu.h"

#define POOL_BASE        0xffff800000000000ull
#define FRAMES_BASE      0xffff808000000000ull
#define DEVICES_BASE     0xffff810000000000ull
#define SCREEN_BASE      (DEVICES_BASE + (1ull << 30))
#define PRIVATE_VM_BASE  0xfffffe8000000000ull
#define PRIVATE_CPU_BASE 0xffffff0000000000ull
#define IMAGE_BASE       0xffffffff80000000ull

struct mm {
	struct frame_table frames;
	struct alloc alloc;
	struct pool pool;
	struct settler settler;
	struct pt kernel;     /* template: what all top-level tables share */
	struct view shared;   /* of it: each processor is inside, always */
	bool mapped;          /* the final map is made; until then the pool is seen through the early map */
	u8 *image_end;        /* of what the final map has of the image */
};
extern struct mm mm;
extern const struct mem_env mm_env;

/* Gives the processor its top-level table and private part, then loads it: the early identity map is gone for it. To load it again is to
 * forget all that this processor has cached of the host's maps. */
void mm_cpu_init(struct cpu *c);
void mm_cpu_load(struct cpu *c);
/* One block that the pool does not use leaves the map of all processors and becomes free memory. false: there is none. */
bool mm_shrink_pool(void);
/* All processors have loaded their tables: the code and data of the start (x86/boot) become free memory, and stacks for processors that
 * the machine does not have. */
void mm_forget_boot(void);
/* Of an object of Ringmur's image. */
static inline hpa_t image_hpa(const void *object) { return hpa((u64)object - IMAGE_BASE); }
/* Top of this processor's own stack. */
#define CPU_STACK_SIZE 0x8000ull
#define CPU_STACK_TOP  (PRIVATE_CPU_BASE + 0x100000ull)

/* Continues with `run` on the stack that ends at `top`. */
_Noreturn void stack_switch(u64 top, void (*run)(void));

#endif
