/*
 * call: everything the monitor asks of the world outside it.
 *
 * Two implementations, chosen by the linker: lib/call.c (SYSCALL, the addresses of abi/monitor.h) and the tests' fake ring 0.
 * Names and meaning are those of enum mon_call. The comm page is filled and read by the caller.
 */
#ifndef MONITOR_LIB_CALL_H
#define MONITOR_LIB_CALL_H

#include "abi/monitor.h"

const struct mon_info *ring0_info(void);
struct mon_comm *ring0_comm(void);
u8 *ring0_window(void); /* guest-physical 0 */
u64 ring0_tsc(void);
const u8 *ring0_module(u32 i); /* the bytes of boot module i < module_count, or of the disk's image */
u8 *ring0_disk(void); /* zeroed memory, as many bytes as the disk has */
u8 *ring0_heap(void); /* zeroed memory, MON_HEAP_SIZE */

u32 ring0_next(void); /* enum mon_entry_kind */
void ring0_reply(u32 vcpu, u64 value);
void ring0_get_vcpu(u32 vcpu);
void ring0_set_vcpu(u32 vcpu);
void ring0_run(u32 vcpu);
void ring0_emulated(u32 vcpu);
void ring0_emulate_retry(u32 vcpu);
void ring0_emulate_fault(u32 vcpu, u32 vector, u64 error, u64 cr2);
u64 ring0_gva_read(u32 vcpu, u64 gva, u32 length, u32 flags);
u64 ring0_gva_write(u32 vcpu, u64 gva, u32 length);
u64 ring0_lapic_read(u32 vcpu, u64 address, u32 size);
void ring0_lapic_write(u32 vcpu, u64 address, u32 size, u64 value);
void ring0_send_msi(u64 address, u32 data);
void ring0_pic_line(bool asserted, u32 vector);
void ring0_set_timer(u64 tsc);
void ring0_console_write(u32 length);
void ring0_log(u32 length);
void ring0_modules_done(void);
void ring0_end(enum mon_end how, u32 code); /* does not come back from ring 0, but does from the tests' fake */
void ring0_mark(u32 value);

#endif
