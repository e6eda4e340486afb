/*
 * lines: the two serial lines set up.
 */
#include "x86/asm/insn.h"
#include "x86/boot/start.h"
#include "x86/cpu/log.h"
#include "x86/cpu/serial.h"
#include "x86/irq/irq.h"

enum { IER_RECEIVE = 1, FCR_ENABLE_CLEAR = 7, LCR_8N1 = 3, LCR_DIVISOR = 0x80, MCR_DTR_RTS_OUT2 = 0x0b };
#define DIVISOR_115200 1
#define NO_UART 0xff /* what an empty bus reads */

static void uart_init(u16 port, bool *alive)
{
	*alive = in8(port + UART_LSR) != NO_UART;
	if (!*alive)
		return;
	out8(port + UART_IER, 0);
	out8(port + UART_LCR, LCR_DIVISOR | LCR_8N1);
	out8(port + UART_DATA, DIVISOR_115200);
	out8(port + UART_IER, 0);
	out8(port + UART_LCR, LCR_8N1);
	out8(port + UART_FCR, FCR_ENABLE_CLEAR);
	out8(port + UART_MCR, MCR_DTR_RTS_OUT2);
}

void serial_init(void)
{
	for (u32 i = 0; i < LINE_NONE; i++)
		uart_init(uarts[i].port, &uarts[i].alive);
}

void serial_listen(const struct boot_info *boot)
{
	enum option_line line = (enum option_line)options.console;
	if (line == LINE_NONE || !uarts[line].alive)
		return;
	serial_listened = line;
	if (!ioapic_route_isa(boot, uarts[line].irq, VECTOR_SERIAL)) {
		log_line("console: no I/O APIC has its interrupt, so nothing can be typed");
		return;
	}
	out8(uarts[line].port + UART_IER, IER_RECEIVE);
}
