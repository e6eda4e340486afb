/*
 * log: the hypervisor's own words, and the console's bytes. Both end on serial lines, told apart by options.
 *
 *   console=com1 (default)|com2|none   where guests' consoles and the operator are
 *   log=com2 (default)|com1|none       where the log goes
 */
#ifndef X86_CPU_LOG_H
#define X86_CPU_LOG_H

#include "abi/types.h"
#include "x86/cpu/screen.h"

/* %s %c %d %u %x %lx %lu %ld %%, width and 0 of numbers as in printf; one whole line, no newline needed. */
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Ends everything: stops the other processors by NMI, prints registers and a backtrace with names, and halts (or leaves the
 * emulator if the option panic=exit is given). */
_Noreturn void panic(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Draws a piece of what the screen lacks of the log; false: nothing. */
bool log_show(void);
/* Given by hv/: after a line of which the screen has nothing yet; any processor. */
void hv_logged(void);

void console_write(const void *bytes, u32 count);
/* Bytes typed, at most `room`; CPU_CONSOLE tells that there are some. */
u32 console_read(void *bytes, u32 room);

int format_text(char *to, size_t room, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
