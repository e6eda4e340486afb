/*
 * segments: the selectors, the same on every processor. Included by assembly as well.
 *
 * The order of the user segments is SYSRET's: STAR[63:48] + 8 is SS, + 16 is CS. SYSCALL's: STAR[47:32] is CS, + 8 is SS.
 */
#ifndef X86_CPU_SEGMENTS_H
#define X86_CPU_SEGMENTS_H

#define SEGMENT_KERNEL_CODE  0x08
#define SEGMENT_KERNEL_DATA  0x10
#define SEGMENT_EARLY_CODE32 0x18 /* only in the boot table; later this is SYSRET's base, never loaded */
#define SEGMENT_USER_DATA    0x20
#define SEGMENT_USER_CODE    0x28
#define SEGMENT_TSS          0x30 /* two entries */
#define SEGMENT_ENTRIES      8
#define SEGMENT_RPL3         3

#define DESCRIPTOR_KERNEL_CODE  0x00af9b000000ffff /* flat, long mode, DPL 0 */
#define DESCRIPTOR_KERNEL_DATA  0x00cf93000000ffff
#define DESCRIPTOR_EARLY_CODE32 0x00cf9b000000ffff
#define DESCRIPTOR_USER_DATA    0x00cff3000000ffff
#define DESCRIPTOR_USER_CODE    0x00affb000000ffff

#endif
