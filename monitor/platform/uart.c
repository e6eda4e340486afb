/*
 * uart: see uart.h. Register and bit names are the PC16550D's.
 */
#include "monitor/platform/uart.h"
#include "monitor/lib/bits.h"

enum { RBR_THR_DLL, IER_DLM, IIR_FCR, LCR, MCR, LSR, MSR, SCR };

#define IER_RDI  0x01u
#define IER_THRI 0x02u
#define IER_RLSI 0x04u
#define IER_MSI  0x08u
#define IER_ALL  0x0fu

#define IIR_NONE 0x01u
#define IIR_MSI  0x00u
#define IIR_THRI 0x02u
#define IIR_RDI  0x04u
#define IIR_RLSI 0x06u
#define IIR_TIMEOUT 0x0cu
#define IIR_FIFOS 0xc0u

#define FCR_ENABLE 0x01u
#define FCR_CLEAR_RX 0x02u
#define FCR_TRIGGER_SHIFT 6u
#define FCR_KEPT 0xc9u /* enable, DMA mode, trigger */

#define LCR_DLAB 0x80u

#define MCR_DTR 0x01u
#define MCR_RTS 0x02u
#define MCR_OUT1 0x04u
#define MCR_OUT2 0x08u
#define MCR_LOOP 0x10u
#define MCR_ALL 0x1fu

#define LSR_DR 0x01u
#define LSR_OE 0x02u
#define LSR_ERRORS 0x1eu
#define LSR_THRE 0x20u
#define LSR_TEMT 0x40u

#define MSR_CTS 0x10u
#define MSR_DSR 0x20u
#define MSR_RI  0x40u
#define MSR_DCD 0x80u
#define MSR_LINES_SHIFT 4u

#define DIVISOR_9600 12u

static const u8 trigger_level[4] = { 1, 4, 8, 14 };

static u32 fifo_size(const struct uart *u) { return u->fcr & FCR_ENABLE ? UART_FIFO : 1; }

/* The interrupt of highest priority, as IIR names it. */
static u32 pending(const struct uart *u)
{
	if ((u->ier & IER_RLSI) && (u->lsr & LSR_ERRORS))
		return IIR_RLSI;
	if ((u->ier & IER_RDI) && u->fifo_count != 0)
		return !(u->fcr & FCR_ENABLE) || u->fifo_count >= trigger_level[u->fcr >> FCR_TRIGGER_SHIFT] ? IIR_RDI :
													       IIR_TIMEOUT;
	if ((u->ier & IER_THRI) && u->thre_pending)
		return IIR_THRI;
	if ((u->ier & IER_MSI) && u->msr_delta != 0)
		return IIR_MSI;
	return IIR_NONE;
}

/* The interrupt line of a PC's serial port goes through a gate that OUT2 opens; loopback closes it. */
static void update_line(struct uart *u)
{
	bool line = pending(u) != IIR_NONE && (u->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;

	if (line == u->line)
		return;
	u->line = line;
	irq_set(u->interrupts, IRQ_COM1, line);
}

void uart_init(struct uart *u, struct console *console, struct interrupts *interrupts)
{
	*u = (struct uart){ .console = console, .interrupts = interrupts, .divisor = DIVISOR_9600 };
}

static void receive(struct uart *u, u8 byte)
{
	if (u->fifo_count == fifo_size(u)) {
		u->lsr |= LSR_OE;
		if (u->fcr & FCR_ENABLE)
			return; /* the shift register is overwritten, the FIFO keeps what it has */
		u->fifo_count = 0;
	}
	u->fifo[(u->fifo_head + u->fifo_count++) % UART_FIFO] = byte;
}

/* Move what waits into the FIFO while there is room. In loopback the line is not listened to. */
static void refill(struct uart *u)
{
	while (u->backlog_count != 0 && u->fifo_count < fifo_size(u) && !(u->mcr & MCR_LOOP)) {
		receive(u, u->backlog[u->backlog_head]);
		u->backlog_head = (u->backlog_head + 1) % UART_BACKLOG;
		u->backlog_count--;
	}
}

void uart_input(struct uart *u, const u8 *bytes, u32 count)
{
	for (u32 i = 0; i < count && u->backlog_count < UART_BACKLOG; i++)
		u->backlog[(u->backlog_head + u->backlog_count++) % UART_BACKLOG] = bytes[i];
	refill(u);
	update_line(u);
}

static u32 read_rbr(struct uart *u)
{
	u32 byte = 0;

	if (u->fifo_count != 0) {
		byte = u->fifo[u->fifo_head];
		u->fifo_head = (u->fifo_head + 1) % UART_FIFO;
		u->fifo_count--;
	}
	if (u->fifo_count == 0)
		update_line(u); /* it falls: the next character would take its time */
	refill(u);
	return byte;
}

static u32 read_iir(struct uart *u)
{
	u32 iir = pending(u);

	if (iir == IIR_THRI)
		u->thre_pending = false;
	return iir | (u->fcr & FCR_ENABLE ? IIR_FIFOS : 0);
}

static u32 read_lsr(struct uart *u)
{
	u32 lsr = u->lsr | LSR_THRE | LSR_TEMT | (u->fifo_count != 0 ? LSR_DR : 0);

	u->lsr = 0;
	return lsr;
}

/* The modem's answers: ready and connected; in loopback, our own outputs. */
static u32 modem_lines(const struct uart *u)
{
	if (!(u->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (u->mcr & MCR_RTS ? MSR_CTS : 0) | (u->mcr & MCR_DTR ? MSR_DSR : 0) | (u->mcr & MCR_OUT1 ? MSR_RI : 0) |
	       (u->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

static u32 read_msr(struct uart *u)
{
	u32 msr = modem_lines(u) | u->msr_delta;

	u->msr_delta = 0;
	return msr;
}

u32 uart_read(struct uart *u, u32 offset)
{
	bool dlab = (u->lcr & LCR_DLAB) != 0;
	u32 value;

	u->sending = false;
	switch (offset) {
	case RBR_THR_DLL:
		value = dlab ? u->divisor & 0xffu : read_rbr(u);
		break;
	case IER_DLM:
		value = dlab ? (u32)u->divisor >> 8 : u->ier;
		break;
	case IIR_FCR:
		value = read_iir(u);
		break;
	case LCR:
		return u->lcr;
	case MCR:
		return u->mcr;
	case LSR:
		if (u->lsr == 0) /* the common case: polling for the transmitter, no state changes */
			return read_lsr(u);
		value = read_lsr(u);
		break;
	case MSR:
		value = read_msr(u);
		break;
	default:
		return u->scr;
	}
	update_line(u);
	return value;
}

static void write_thr(struct uart *u, u8 value)
{
	if (u->mcr & MCR_LOOP)
		receive(u, value);
	else
		console_put(u->console, CONSOLE_COM1, value);
	if (!u->sending) { /* the register is full for a while; of what follows at once only the end is told */
		u->thre_pending = false;
		update_line(u);
	}
	u->thre_pending = u->sending = true;
}

static void write_ier(struct uart *u, u8 value)
{
	/* Enabling it with an empty transmitter is a reason for the interrupt: drivers start sending that way. */
	if ((value & IER_THRI) && !(u->ier & IER_THRI))
		u->thre_pending = true;
	u->ier = value & IER_ALL;
}

static void write_fcr(struct uart *u, u8 value)
{
	bool switched = ((value ^ u->fcr) & FCR_ENABLE) != 0;

	if (switched || ((value & FCR_ENABLE) && (value & FCR_CLEAR_RX)))
		u->fifo_count = 0;
	u->fcr = value & FCR_ENABLE ? value & FCR_KEPT : 0; /* the other bits count only with FIFOs on */
	refill(u);
}

static void write_mcr(struct uart *u, u8 value)
{
	u32 before = modem_lines(u), changed;

	u->mcr = value & MCR_ALL;
	changed = before ^ modem_lines(u);
	if ((changed & MSR_RI) && !(before & MSR_RI))
		changed &= ~MSR_RI; /* TERI is the trailing edge of ring only */
	u->msr_delta |= (u8)(changed >> MSR_LINES_SHIFT);
	refill(u);
}

void uart_write(struct uart *u, u32 offset, u8 value)
{
	bool dlab = (u->lcr & LCR_DLAB) != 0;

	u->sending = u->sending && offset == RBR_THR_DLL;
	switch (offset) {
	case RBR_THR_DLL:
		if (dlab)
			u->divisor = (u16)((u->divisor & 0xff00u) | value);
		else
			write_thr(u, value);
		break;
	case IER_DLM:
		if (dlab)
			u->divisor = (u16)((u->divisor & 0xffu) | (u32)value << 8);
		else
			write_ier(u, value);
		break;
	case IIR_FCR:
		write_fcr(u, value);
		break;
	case LCR:
		u->lcr = value;
		return;
	case MCR:
		write_mcr(u, value);
		break;
	case SCR:
		u->scr = value;
		return;
	default: /* LSR and MSR: writes are for the factory */
		return;
	}
	update_line(u);
}
