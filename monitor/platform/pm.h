/*
 * pm: ACPI's fixed hardware (ACPI 6, 4.8): PM1a event and control registers, the PM timer, and the ways to end or reset the machine.
 */
#ifndef MONITOR_PLATFORM_PM_H
#define MONITOR_PLATFORM_PM_H

#include "monitor/platform/clock.h"
#include "monitor/platform/irq.h"
#include "monitor/platform/timers.h"

#define PM_TIMER_HZ 3579545u

/* Ports, as the FADT says. */
#define PM1A_EVENT   0x600u /* status, enable: 2 bytes each */
#define PM1A_CONTROL 0x604u
#define PM_TIMER     0x608u
#define RESET_PORT   0xcf9u
#define RESET_VALUE  0x06u
#define FAST_A20_PORT 0x92u
#define KEYBOARD_COMMAND_PORT 0x64u

#define PM_S5_TYPE 5u /* SLP_TYPa of _S5 in dsdt.asl */

enum pm_request { PM_NOTHING, PM_POWER_OFF, PM_RESET };

struct pm {
	struct clock clock;
	struct timers *timers;
	struct interrupts *interrupts;
	u64 seen; /* PM timer ticks up to which TMR_STS has been made up */
	u16 status, enable, control;
	u8 a20, reset;
	enum pm_request request; /* what the guest asked for; the machine acts on it */
};

void pm_init(struct pm *p, struct timers *timers, struct interrupts *interrupts, u64 tsc_khz);
void pm_update(struct pm *p); /* its timer has come */
void pm_power_button(struct pm *p);

u32 pm_event_read(struct pm *p, u32 offset);              /* 16 bits wide, offset 0 or 2 */
void pm_event_write(struct pm *p, u32 offset, u16 value);
u32 pm_control_read(const struct pm *p);
void pm_control_write(struct pm *p, u16 value);
u32 pm_timer_read(const struct pm *p);
u32 pm_reset_read(const struct pm *p);
void pm_reset_write(struct pm *p, u8 value);
u32 pm_a20_read(const struct pm *p);
void pm_a20_write(struct pm *p, u8 value);
void pm_keyboard_write(struct pm *p, u8 value); /* there is no keyboard controller, but its reset pulse everyone knows */

#endif
