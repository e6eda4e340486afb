/*
 * clock: KVM's paravirtual clock, by which stock kernels learn the TSC's frequency without calibrating.
 *
 * The VM's time is its TSC, scaled: it starts at 0 with the machine and is the same on all its vCPUs, so a page once written stays true.
 */
#include "core/bits.h"
#include "hv/hv.h"

#define CLOCK_ENABLE 1ull
#define CLOCK_TSC_STABLE 1u
#define NS_PER_MS 1000000ull

struct clock_page { /* pvclock ABI */
	u32 version, reserved;
	u64 tsc_timestamp, system_time;
	u32 tsc_to_system_mul;
	s8 tsc_shift;
	u8 flags, reserved2[2];
};
static_assert(sizeof(struct clock_page) == 32, "pvclock");

struct wall_clock_page { u32 version, seconds, nanoseconds; };

/* ns = (ticks << shift) * mul >> 32, with mul as large as fits. */
static void scale(u64 khz, u32 *mul, s8 *shift)
{
	u64 to = NS_PER_MS, from = khz;
	*shift = 0;
	while (from > to << 1) {
		from >>= 1;
		(*shift)--;
	}
	while (from <= to) {
		from <<= 1;
		(*shift)++;
	}
	*mul = (u32)((to << 32) / from);
}

status clock_write_system_time(struct vcpu *v, u64 value)
{
	struct clock_page page = { .version = 2, .flags = host_tsc_steady ? CLOCK_TSC_STABLE : 0 };
	if (value & CLOCK_ENABLE) {
		u64 at = value & ~CLOCK_ENABLE;
		scale(host_tsc_khz, &page.tsc_to_system_mul, &page.tsc_shift);
		status r = paravirt_write(at, &page, sizeof page);
		if (r != OK)
			return r;
	}
	v->clock_page = value;
	return OK;
}

status clock_write_wall_clock(struct vcpu *v, u64 value)
{
	struct vm *vm = v->entity.vm;
	u64 since_boot = (vm->started - boot_info->boot_tsc) / (host_tsc_khz * 1000);
	struct wall_clock_page page = { .version = 2, .seconds = (u32)(boot_info->wall_clock + since_boot) };
	return paravirt_write(value, &page, sizeof page);
}
