/*
 * pm: see pm.h.
 */
#include "monitor/platform/pm.h"
#include "monitor/lib/call.h"

#define STS_TMR  0x0001u
#define STS_PWRBTN 0x0100u
#define STS_WRITABLE 0x8731u /* write one to clear */
#define EN_WRITABLE 0x4721u
#define EN_TMR 0x0001u

#define CNT_SCI_EN 0x0001u
#define CNT_SLP_TYP_SHIFT 10u
#define CNT_SLP_TYP 0x1c00u
#define CNT_SLP_EN 0x2000u
#define CNT_KEPT 0x1c03u

#define TIMER_TOP_SHIFT 31u /* TMR_STS is set when the top bit of the 32-bit timer changes */

#define RESET_CPU 0x04u
#define A20_FAST_RESET 0x01u
#define A20_ON 0x02u
#define KEYBOARD_PULSE 0xf0u /* 1111bbbb: pulse the outputs whose bit is 0; bit 0 is reset */
#define KEYBOARD_NO_RESET 0x01u

static u64 now(const struct pm *p) { return clock_ticks(&p->clock, ring0_tsc()); }

void pm_init(struct pm *p, struct timers *timers, struct interrupts *interrupts, u64 tsc_khz)
{
	*p = (struct pm){ .timers = timers, .interrupts = interrupts, .a20 = A20_ON, .control = CNT_SCI_EN };
	clock_init(&p->clock, PM_TIMER_HZ, tsc_khz);
}

void pm_update(struct pm *p)
{
	u64 ticks = now(p), next = (ticks >> TIMER_TOP_SHIFT) + 1;

	if (ticks >> TIMER_TOP_SHIFT != p->seen >> TIMER_TOP_SHIFT)
		p->status |= STS_TMR;
	p->seen = ticks;
	irq_set(p->interrupts, IRQ_SCI, (p->status & p->enable) != 0);
	if ((p->enable & EN_TMR) && !(p->status & STS_TMR))
		timer_set(p->timers, TIMER_PM, clock_tsc(&p->clock, next << TIMER_TOP_SHIFT));
}

void pm_power_button(struct pm *p)
{
	p->status |= STS_PWRBTN;
	pm_update(p);
}

u32 pm_event_read(struct pm *p, u32 offset)
{
	pm_update(p);
	return offset == 0 ? p->status : p->enable;
}

void pm_event_write(struct pm *p, u32 offset, u16 value)
{
	pm_update(p);
	if (offset == 0)
		p->status &= (u16)~(value & STS_WRITABLE);
	else
		p->enable = value & EN_WRITABLE;
	pm_update(p);
}

/* There is no legacy mode: ACPI is always on. */
u32 pm_control_read(const struct pm *p) { return p->control; }

void pm_control_write(struct pm *p, u16 value)
{
	p->control = (u16)((value & CNT_KEPT) | CNT_SCI_EN);
	if ((value & CNT_SLP_EN) && (value & CNT_SLP_TYP) >> CNT_SLP_TYP_SHIFT == PM_S5_TYPE)
		p->request = PM_POWER_OFF;
}

u32 pm_timer_read(const struct pm *p) { return (u32)now(p); }

u32 pm_reset_read(const struct pm *p) { return p->reset; }

void pm_reset_write(struct pm *p, u8 value)
{
	p->reset = value & (u8)~RESET_CPU;
	if (value & RESET_CPU)
		p->request = PM_RESET;
}

u32 pm_a20_read(const struct pm *p) { return p->a20; }

/* A20 itself is always on, whatever the bit says. */
void pm_a20_write(struct pm *p, u8 value)
{
	p->a20 = value & (u8)~A20_FAST_RESET;
	if (value & A20_FAST_RESET)
		p->request = PM_RESET;
}

void pm_keyboard_write(struct pm *p, u8 value)
{
	if ((value & KEYBOARD_PULSE) == KEYBOARD_PULSE && !(value & KEYBOARD_NO_RESET))
		p->request = PM_RESET;
}
