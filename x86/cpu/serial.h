/*
 * serial: two 16550s. Sending never waits for ever: a port that does not drain is given up, and what is sent to it is dropped.
 */
#ifndef X86_CPU_SERIAL_H
#define X86_CPU_SERIAL_H

#include "abi/types.h"
#include "x86/boot/boot.h"
#include "x86/boot/options.h"

/* 115200 8N1. Both are set up, whatever the options say: the early words of a start that fails need one. */
void serial_init(void);
void serial_write(enum option_line line, const void *bytes, u32 count);
/* Waits until the last bit is on the line: before the power goes. */
void serial_drain(void);
/* Receive interrupts of the line to processor 0. */
void serial_listen(enum option_line line, const struct boot_info *boot);
/* The handler: moves what has come into a ring; whether there was anything. */
bool serial_interrupt(void);
u32 serial_read(void *bytes, u32 room);

#endif
