/*
 * serial: the 16550 (National Semiconductor PC16550D), polled for sending, interrupting for receiving.
 *
 * The FIFO is 16 bytes: once the transmitter is empty that many are sent without another look. The ring has one writer, processor 0's
 * interrupt handler, and one reader.
 */
#include "x86/cpu/serial.h"

#include "x86/asm/insn.h"

enum { LSR_READY = 1, LSR_EMPTY = 0x20, LSR_IDLE = 0x40 };
#define FIFO_BYTES 16u
#define SEND_LOOKS 2000000u /* some seconds: an emulator's other threads may get no processor for as long */
#define RING_BYTES 1024u /* a power of two */

struct uart uarts[] = { [LINE_COM1] = { 0x3f8, 4, false, false }, [LINE_COM2] = { 0x2f8, 3, false, false } };

static u8 ring[RING_BYTES];
static u32 ring_in, ring_out;
enum option_line serial_listened = LINE_NONE;

static bool wait_for(u16 port, u8 bit, u32 looks)
{
	for (u32 i = 0; i < looks; i++) {
		if (in8(port + UART_LSR) & bit)
			return true;
		pause();
	}
	return false;
}

/* One that has not drained gets a single look each time, until it has. */
static bool drained(struct uart *u, u8 bit)
{
	u->stuck = !wait_for(u->port, bit, u->stuck ? 1 : SEND_LOOKS);
	return !u->stuck;
}

void serial_write(enum option_line line, const void *bytes, u32 count)
{
	const u8 *p = bytes;
	if (line == LINE_NONE || !uarts[line].alive)
		return;
	for (u32 i = 0; i < count; i++) {
		if (i % FIFO_BYTES == 0 && !drained(&uarts[line], LSR_EMPTY))
			return;
		out8(uarts[line].port, p[i]);
	}
}

void serial_drain(void)
{
	for (u32 i = 0; i < LINE_NONE; i++)
		if (uarts[i].alive)
			(void)drained(&uarts[i], LSR_IDLE);
}

bool serial_interrupt(void)
{
	bool any = false;
	if (serial_listened == LINE_NONE)
		return false;
	u16 port = uarts[serial_listened].port;
	/* A line that always claims to be ready must not keep us here. */
	for (u32 i = 0; i < RING_BYTES && (in8(port + UART_LSR) & LSR_READY); i++) {
		u8 byte = in8(port + UART_DATA);
		u32 in = ring_in;
		if (in - __atomic_load_n(&ring_out, __ATOMIC_ACQUIRE) < RING_BYTES) {
			ring[in % RING_BYTES] = byte;
			__atomic_store_n(&ring_in, in + 1, __ATOMIC_RELEASE);
		}
		any = true;
	}
	return any;
}

u32 serial_read(void *bytes, u32 room)
{
	u8 *to = bytes;
	u32 out = ring_out, n = 0;
	while (n < room && out != __atomic_load_n(&ring_in, __ATOMIC_ACQUIRE))
		to[n++] = ring[out++ % RING_BYTES];
	__atomic_store_n(&ring_out, out, __ATOMIC_RELEASE);
	return n;
}
