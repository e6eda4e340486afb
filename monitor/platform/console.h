/*
 * console: bytes from devices to the operator, gathered so that a line costs one call.
 *
 * They leave when what was written ends with a newline, when the buffer is full, before the VM ends, and otherwise CONSOLE_DELAY after the
 * first of them (a prompt has no newline).
 */
#ifndef MONITOR_PLATFORM_CONSOLE_H
#define MONITOR_PLATFORM_CONSOLE_H

#include "abi/monitor.h"
#include "monitor/platform/timers.h"

#define CONSOLE_BUFFER MON_CONSOLE_WRITE_BYTES
#define CONSOLE_DELAY_HZ 500u /* 2 ms */

enum console_device { CONSOLE_COM1, CONSOLE_VIRTIO };

struct console {
	enum console_device last; /* where the guest printed last: it listens there */
	struct timers *timers;
	u64 delay; /* in TSC ticks */
	u32 count;
	u8 bytes[CONSOLE_BUFFER];
};

void console_init(struct console *c, struct timers *timers, u64 tsc_khz);
void console_write(struct console *c, enum console_device from, const u8 *bytes, u64 count);
void console_put(struct console *c, enum console_device from, u8 byte);
void console_flush(struct console *c);

#endif
