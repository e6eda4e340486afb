/*
 * power: ACPI 4.8.3.2 (PM1 control: SLP_TYP, SLP_EN), and what PCs have always had for a reset.
 */
#include "x86/cpu/power.h"

#include "x86/asm/insn.h"
#include "x86/cpu/format.h"
#include "x86/cpu/log.h"
#include "x86/cpu/serial.h"
#include "x86/irq/irq.h"

#define SLP_TYP_SHIFT 10
#define SLP_TYP_MASK (7u << SLP_TYP_SHIFT)
#define SLP_EN (1u << 13)
#define SLP_TYP_UNKNOWN 0xffffu
#define SETTLE_US 20000u
#define BOCHS_SHUTDOWN_PORT 0x8900u
#define PCI_RESET_PORT 0xcf9u
#define KEYBOARD_COMMAND_PORT 0x64u
enum { PCI_RESET_HARD = 2, PCI_RESET_GO = 6, KEYBOARD_RESET = 0xfe };
#define SENTENCE_BYTES 400u

static struct { u16 pm1a, pm1b, slp_typ; } s5 = { .slp_typ = SLP_TYP_UNKNOWN };

void power_init(const struct boot_info *boot)
{
	s5.pm1a = boot->pm1a_control;
	s5.pm1b = boot->pm1b_control;
	s5.slp_typ = boot->slp_typ_s5;
}

static void sleep_by(u16 port)
{
	u32 typ = ((u32)s5.slp_typ << SLP_TYP_SHIFT) & SLP_TYP_MASK;
	u32 value = (in16(port) & ~(SLP_TYP_MASK | SLP_EN)) | typ;
	/* First the type, then the same with the bit that does it. */
	out16(port, (u16)value);
	out16(port, (u16)(value | SLP_EN));
}

_Noreturn void power_off(void)
{
	cli();
	serial_drain();
	if (s5.slp_typ != SLP_TYP_UNKNOWN && s5.pm1a) {
		sleep_by(s5.pm1a);
		if (s5.pm1b)
			sleep_by(s5.pm1b);
		delay_us(SETTLE_US);
	}
	for (const char *p = "Shutdown"; *p; p++)
		out8(BOCHS_SHUTDOWN_PORT, (u8)*p);
	for (;;)
		hlt();
}

_Noreturn void machine_reset(void)
{
	cli();
	serial_drain();
	out8(PCI_RESET_PORT, PCI_RESET_HARD);
	out8(PCI_RESET_PORT, PCI_RESET_GO);
	delay_us(SETTLE_US);
	out8(KEYBOARD_COMMAND_PORT, KEYBOARD_RESET);
	delay_us(SETTLE_US);
	lidt(&(struct table_pointer){ 0, 0 }); /* nowhere to go: a triple fault resets */
	for (;;)
		__builtin_trap();
}

_Noreturn void refuse_start(const char *format, ...)
{
	char sentence[SENTENCE_BYTES];
	va_list arguments;
	va_start(arguments, format);
	format_arguments(sentence, sizeof(sentence), format, arguments);
	va_end(arguments);
	log_line("error: %s", sentence);
	power_off();
}
