/*
 * test_monitor_uart: the 16550A register by register, and the console behind it.
 */
#include "monitor/host/fake_ring0.h"
#include "monitor/platform/uart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR };
#define FCR IIR

static struct timers timers;
static struct console console;
static struct interrupts interrupts;
static struct uart uart;

static int setup(void **state)
{
	(void)state;
	fake_reset(PAGE_SIZE);
	timers_init(&timers);
	console_init(&console, &timers, FAKE_TSC_KHZ);
	pic_init(&interrupts.pic);
	ioapic_init(&interrupts.ioapic);
	uart_init(&uart, &console, &interrupts);
	uart_write(&uart, MCR, 0x08);
	return 0;
}

static bool line(void) { return (interrupts.ioapic.lines & 1u << IRQ_COM1) != 0; }

static void input(const char *text) { uart_input(&uart, (const u8 *)text, (u32)strlen(text)); }

static void output(const char *text)
{
	for (; *text != '\0'; text++)
		uart_write(&uart, DATA, (u8)*text);
}

static void after_reset(void **state)
{
	(void)state;
	uart_init(&uart, &console, &interrupts);
	assert_int_equal(uart_read(&uart, IER), 0);
	assert_int_equal(uart_read(&uart, IIR), 0x01);
	assert_int_equal(uart_read(&uart, LCR), 0);
	assert_int_equal(uart_read(&uart, MCR), 0);
	assert_int_equal(uart_read(&uart, LSR), 0x60);
	assert_int_equal(uart_read(&uart, MSR), 0xb0);
}

static void plain_registers_keep(void **state)
{
	(void)state;
	uart_write(&uart, SCR, 0xa5);
	assert_int_equal(uart_read(&uart, SCR), 0xa5);
	uart_write(&uart, IER, 0xff);
	assert_int_equal(uart_read(&uart, IER), 0x0f);
	uart_write(&uart, MCR, 0xff);
	assert_int_equal(uart_read(&uart, MCR), 0x1f);
	uart_write(&uart, LSR, 0xff);
	uart_write(&uart, MSR, 0xff);
	assert_int_equal(uart_read(&uart, LSR) & 0xe0, 0x60);
}

static void the_divisor_hides_behind_dlab(void **state)
{
	(void)state;
	uart_write(&uart, IER, 0x05);
	uart_write(&uart, LCR, 0x83);
	uart_write(&uart, DATA, 0x34);
	uart_write(&uart, IER, 0x12);
	assert_int_equal(uart_read(&uart, DATA), 0x34);
	assert_int_equal(uart_read(&uart, IER), 0x12);
	uart_write(&uart, LCR, 0x03);
	assert_int_equal(uart_read(&uart, IER), 0x05);
	assert_int_equal(fake.console_count, 0);
	assert_int_equal(console.count, 0);
}

static void a_line_is_one_call(void **state)
{
	(void)state;
	output("hello\n");
	assert_int_equal(fake.console_calls, 1);
	assert_string_equal(fake.console, "hello\n");
	output("a prompt> ");
	assert_int_equal(fake.console_calls, 1);
	assert_int_equal(timers.deadline[TIMER_CONSOLE], fake.tsc + FAKE_SECOND / CONSOLE_DELAY_HZ);
	console_flush(&console);
	assert_string_equal(fake.console, "hello\na prompt> ");
	for (u32 i = 0; i < CONSOLE_BUFFER; i++)
		uart_write(&uart, DATA, 'x');
	assert_int_equal(fake.console_calls, 3);
}

static void the_transmitter_is_always_ready(void **state)
{
	(void)state;
	output("x");
	assert_int_equal(uart_read(&uart, LSR) & 0x60, 0x60);
}

static void thre_interrupts_when_enabled_and_after_each_byte(void **state)
{
	(void)state;
	uart_write(&uart, IER, 0x02);
	assert_true(line());
	assert_int_equal(uart_read(&uart, IIR), 0x02);
	assert_false(line()); /* reading it was the answer */
	assert_int_equal(uart_read(&uart, IIR), 0x01);
	output("x");
	assert_true(line());
	assert_int_equal(uart_read(&uart, IIR), 0x02);
	uart_write(&uart, IER, 0x00);
	assert_false(line());
	uart_write(&uart, IER, 0x02); /* how Linux starts sending */
	assert_true(line());
}

static void out2_gates_the_line(void **state)
{
	(void)state;
	uart_write(&uart, MCR, 0);
	uart_write(&uart, IER, 0x02);
	assert_false(line());
	uart_write(&uart, MCR, 0x08);
	assert_true(line());
}

static void one_byte_without_fifo(void **state)
{
	(void)state;
	uart_write(&uart, IER, 0x01);
	input("ab");
	assert_true(line());
	assert_int_equal(uart_read(&uart, IIR), 0x04);
	assert_int_equal(uart_read(&uart, LSR), 0x61); /* no overrun: the rest waits on the line */
	assert_int_equal(uart_read(&uart, DATA), 'a');
	assert_true(line());
	assert_int_equal(uart_read(&uart, DATA), 'b');
	assert_false(line());
	assert_int_equal(uart_read(&uart, LSR), 0x60);
	assert_int_equal(uart_read(&uart, DATA), 0);
}

static void fifo_trigger_and_timeout(void **state)
{
	(void)state;
	uart_write(&uart, FCR, 0xc1); /* 14 bytes */
	assert_int_equal(uart_read(&uart, IIR), 0xc1);
	uart_write(&uart, IER, 0x01);
	input("abc");
	assert_int_equal(uart_read(&uart, IIR), 0xcc);
	input("defghijklmn");
	assert_int_equal(uart_read(&uart, IIR), 0xc4);
	assert_int_equal(uart_read(&uart, DATA), 'a');
	assert_int_equal(uart_read(&uart, IIR), 0xcc);
	uart_write(&uart, FCR, 0xc3); /* and clear the receiver */
	assert_int_equal(uart_read(&uart, LSR), 0x60);
	assert_false(line());
}

static void long_input_waits(void **state)
{
	char text[UART_BACKLOG + 101];

	(void)state;
	for (u32 i = 0; i < sizeof(text) - 1; i++)
		text[i] = (char)('a' + i % 26);
	text[sizeof(text) - 1] = '\0';
	uart_write(&uart, FCR, 0x01);
	input(text);
	for (u32 i = 0; i < UART_BACKLOG; i++) {
		assert_int_equal(uart_read(&uart, LSR), 0x61);
		assert_int_equal(uart_read(&uart, DATA), (u8)text[i]);
	}
	assert_int_equal(uart_read(&uart, LSR), 0x60); /* the bytes beyond the backlog are lost */
}

static void loopback(void **state)
{
	(void)state;
	uart_write(&uart, MCR, 0x1f);
	assert_int_equal(uart_read(&uart, MSR) & 0xf0, 0xf0);
	uart_write(&uart, MCR, 0x12);
	assert_int_equal(uart_read(&uart, MSR) & 0xf0, 0x10);
	uart_write(&uart, MCR, 0x1a); /* how Linux looks for a port: RTS and OUT2 must show */
	assert_int_equal(uart_read(&uart, MSR) & 0xf0, 0x90);
	output("z");
	input("q"); /* not listened to */
	assert_int_equal(uart_read(&uart, LSR), 0x61);
	assert_int_equal(uart_read(&uart, DATA), 'z');
	assert_int_equal(uart_read(&uart, LSR), 0x60);
	output("12");
	assert_int_equal(uart_read(&uart, LSR), 0x63); /* overrun, reported once */
	assert_int_equal(uart_read(&uart, LSR), 0x61);
	assert_int_equal(uart_read(&uart, DATA), '2');
	uart_write(&uart, MCR, 0x08);
	assert_int_equal(uart_read(&uart, DATA), 'q');
	assert_int_equal(console.count + fake.console_count, 0);
}

static void modem_changes_and_priorities(void **state)
{
	(void)state;
	uart_write(&uart, MCR, 0x18);
	uart_read(&uart, MSR);
	uart_write(&uart, IER, 0x0f);
	uart_write(&uart, MCR, 0x1a); /* CTS rises */
	assert_int_equal(uart_read(&uart, MSR), 0x91);
	assert_int_equal(uart_read(&uart, MSR), 0x90);
	uart_write(&uart, MCR, 0x18);
	output("12"); /* overrun, data, transmitter, modem: in this order */
	assert_int_equal(uart_read(&uart, IIR), 0x06);
	uart_read(&uart, LSR);
	assert_int_equal(uart_read(&uart, IIR), 0x04);
	uart_read(&uart, DATA);
	assert_int_equal(uart_read(&uart, IIR), 0x02);
	assert_int_equal(uart_read(&uart, IIR), 0x00);
	uart_read(&uart, MSR);
	assert_int_equal(uart_read(&uart, IIR), 0x01);
	uart_write(&uart, MCR, 0x1c);
	uart_read(&uart, MSR);
	uart_write(&uart, MCR, 0x18); /* the end of a ring */
	assert_int_equal(uart_read(&uart, MSR) & 0x0f, 0x04);
}

/* Who reads one character an interrupt, or sends without asking why it came, gets the next one: the line has fallen in between. */
static void each_character_has_its_edge(void **state)
{
	(void)state;
	ioapic_write(&interrupts.ioapic, 0, 4, 0x10 + 2 * IRQ_COM1);
	ioapic_write(&interrupts.ioapic, 0x10, 4, 0x30);
	uart_write(&uart, IER, 0x01);
	input("abc");
	assert_int_equal(fake.msis, 1);
	assert_int_equal(uart_read(&uart, DATA), 'a');
	assert_int_equal(fake.msis, 2);
	assert_int_equal(uart_read(&uart, DATA), 'b');
	assert_int_equal(fake.msis, 3);
	assert_int_equal(uart_read(&uart, DATA), 'c');
	assert_false(line());
	uart_write(&uart, IER, 0x02);
	assert_int_equal(fake.msis, 4);
	for (u32 i = 5; i < 10; i++) {
		(void)uart_read(&uart, LSR);
		output("xyz"); /* what is sent in one go is told once */
		assert_int_equal(fake.msis, i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(after_reset, setup),
		cmocka_unit_test_setup(plain_registers_keep, setup),
		cmocka_unit_test_setup(the_divisor_hides_behind_dlab, setup),
		cmocka_unit_test_setup(a_line_is_one_call, setup),
		cmocka_unit_test_setup(the_transmitter_is_always_ready, setup),
		cmocka_unit_test_setup(thre_interrupts_when_enabled_and_after_each_byte, setup),
		cmocka_unit_test_setup(out2_gates_the_line, setup),
		cmocka_unit_test_setup(one_byte_without_fifo, setup),
		cmocka_unit_test_setup(each_character_has_its_edge, setup),
		cmocka_unit_test_setup(fifo_trigger_and_timeout, setup),
		cmocka_unit_test_setup(long_input_waits, setup),
		cmocka_unit_test_setup(loopback, setup),
		cmocka_unit_test_setup(modem_changes_and_priorities, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
