/*
 * power: ACPI 4.8.3.2 (PM1 control: SLP_TYP, SLP_EN).
 */
#include "x86/cpu/power.h"

#include "x86/asm/insn.h"
#include "x86/cpu/serial.h"
#include "x86/irq/irq.h"

#define SLP_TYP_SHIFT 10
#define SLP_TYP_MASK (7u << SLP_TYP_SHIFT)
#define SLP_EN (1u << 13)
#define SLP_TYP_UNKNOWN 0xffffu
#define SETTLE_US 20000u
#define BOCHS_SHUTDOWN_PORT 0x8900u

static const struct boot_info *machine; /* NULL: not known yet */

void power_init(const struct boot_info *boot) { machine = boot; }

static void sleep_by(u16 port)
{
	u32 typ = ((u32)machine->slp_typ_s5 << SLP_TYP_SHIFT) & SLP_TYP_MASK;
	u32 value = (in16(port) & ~(SLP_TYP_MASK | SLP_EN)) | typ;
	/* First the type, then the same with the bit that does it. */
	out16(port, (u16)value);
	out16(port, (u16)(value | SLP_EN));
}

_Noreturn void power_off(void)
{
	cli();
	serial_drain();
	if (machine && machine->slp_typ_s5 != SLP_TYP_UNKNOWN && machine->pm1a_control) {
		sleep_by(machine->pm1a_control);
		if (machine->pm1b_control)
			sleep_by(machine->pm1b_control);
		delay_us(SETTLE_US);
	}
	for (const char *p = "Shutdown"; *p; p++)
		out8(BOCHS_SHUTDOWN_PORT, (u8)*p);
	for (;;)
		hlt();
}
