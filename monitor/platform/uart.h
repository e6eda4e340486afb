/*
 * uart: the 16550A of COM1 (National PC16550D).
 *
 * Time is not modelled on the line: a byte written is sent at once, so the transmitter is always empty and a driver never waits; a
 * byte that arrives below the FIFO's trigger level is a character time-out at once. Bytes from the operator that do not fit
 * into the FIFO wait in a backlog, as if the other side heeded a full line.
 */
#ifndef MONITOR_PLATFORM_UART_H
#define MONITOR_PLATFORM_UART_H

#include "monitor/platform/console.h"
#include "monitor/platform/irq.h"

#define UART_FIFO 16u
#define UART_BACKLOG 1024u /* a power of two */

struct uart {
	struct console *console;
	struct interrupts *interrupts;
	u8 ier, lcr, mcr, scr, fcr;
	u8 lsr;          /* error bits only; DR, THRE, TEMT are computed */
	u8 msr_delta;
	u16 divisor;
	bool thre_pending; /* the transmitter-empty interrupt has not been read or answered */
	bool sending;      /* the last access wrote the transmitter */
	bool line;
	u8 fifo[UART_FIFO];
	u32 fifo_head, fifo_count;
	u8 backlog[UART_BACKLOG];
	u32 backlog_head, backlog_count;
};

void uart_init(struct uart *u, struct console *console, struct interrupts *interrupts);
u32 uart_read(struct uart *u, u32 offset);
void uart_write(struct uart *u, u32 offset, u8 value);
void uart_input(struct uart *u, const u8 *bytes, u32 count); /* what does not fit into the backlog is lost */

#endif
