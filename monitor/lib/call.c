/*
 * call: lib/call.h by SYSCALL, in ring 3 of the real machine. The monitor's only file with assembly statements.
 */
#include "monitor/lib/call.h"

static inline u64 call(enum mon_call number, u64 a, u64 b, u64 c, u64 d)
{
	register u64 r10 __asm__("r10") = d;
	u64 answer = number;

	__asm__ volatile("syscall"
			 : "+a"(answer)
			 : "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return answer;
}

/* Bases that the compiler cannot know to be constants, so that it does not reason about objects at fixed addresses. */
static inline void *at(u64 address)
{
	__asm__("" : "+r"(address));
	return (void *)address;
}

const struct mon_info *ring0_info(void) { return at(MON_INFO); }
struct mon_comm *ring0_comm(void) { return at(MON_COMM); }
u8 *ring0_window(void) { return at(MON_WINDOW); }
const u8 *ring0_module(u32 i) { return at(ring0_info()->module[i].address); }

u8 *ring0_disk(void) { return at(MON_DISK); }
u8 *ring0_heap(void) { return at(MON_HEAP); }

u64 ring0_tsc(void)
{
	u32 low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (u64)high << 32 | low;
}

u32 ring0_next(void) { return (u32)call(MON_NEXT, 0, 0, 0, 0); }
void ring0_reply(u32 vcpu, u64 value) { call(MON_REPLY, vcpu, value, 0, 0); }
void ring0_get_vcpu(u32 vcpu) { call(MON_GET_VCPU, vcpu, 0, 0, 0); }
void ring0_set_vcpu(u32 vcpu) { call(MON_SET_VCPU, vcpu, 0, 0, 0); }
void ring0_run(u32 vcpu) { call(MON_RUN, vcpu, 0, 0, 0); }
void ring0_emulated(u32 vcpu) { call(MON_EMULATED, vcpu, 0, 0, 0); }
void ring0_emulate_retry(u32 vcpu) { call(MON_EMULATE_RETRY, vcpu, 0, 0, 0); }

void ring0_emulate_fault(u32 vcpu, u32 vector, u64 error, u64 cr2)
{
	call(MON_EMULATE_FAULT, vcpu, vector, error, cr2);
}

u64 ring0_gva_read(u32 vcpu, u64 gva, u32 length, u32 flags) { return call(MON_GVA_READ, vcpu, gva, length, flags); }
u64 ring0_gva_write(u32 vcpu, u64 gva, u32 length) { return call(MON_GVA_WRITE, vcpu, gva, length, 0); }
u64 ring0_lapic_read(u32 vcpu, u64 address, u32 size) { return call(MON_LAPIC_READ, vcpu, address, size, 0); }
void ring0_lapic_write(u32 vcpu, u64 address, u32 size, u64 value) { call(MON_LAPIC_WRITE, vcpu, address, size, value); }
void ring0_send_msi(u64 address, u32 data) { call(MON_SEND_MSI, address, data, 0, 0); }
void ring0_pic_line(bool asserted, u32 vector) { call(MON_PIC_LINE, asserted, vector, 0, 0); }
void ring0_set_timer(u64 tsc) { call(MON_SET_TIMER, tsc, 0, 0, 0); }
void ring0_console_write(u32 length) { call(MON_CONSOLE_WRITE, length, 0, 0, 0); }
void ring0_log(u32 length) { call(MON_LOG, length, 0, 0, 0); }
void ring0_modules_done(void) { call(MON_MODULES_DONE, 0, 0, 0, 0); }
void ring0_end(enum mon_end how, u32 code) { call(MON_END, how, code, 0, 0); }
void ring0_mark(u32 value) { call(MON_MARK, value, 0, 0, 0); }
