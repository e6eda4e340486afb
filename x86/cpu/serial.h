/*
 * serial: two 16550s. Sending never waits for ever: what is sent to a port that does not drain is dropped, until it does.
 */
#ifndef X86_CPU_SERIAL_H
#define X86_CPU_SERIAL_H

#include "abi/types.h"
#include "x86/boot/options.h"

enum uart_register { UART_DATA, UART_IER, UART_FCR, UART_LCR, UART_MCR, UART_LSR };
extern struct uart { u16 port; u8 irq; bool alive, stuck; } uarts[];
extern enum option_line serial_listened; /* whose receive interrupts come to processor 0 */

void serial_write(enum option_line line, const void *bytes, u32 count);
/* Waits until the last bit is on the line: before the power goes. */
void serial_drain(void);
/* The handler: moves what has come into a ring; whether there was anything. */
bool serial_interrupt(void);
u32 serial_read(void *bytes, u32 room);

#endif
