/*
 * snoop: a device model that looks for what others left: in x87, SSE and XCR0, TSC_AUX, its stack, its heap, its disk, the memory of its machine,
 * at its start and again each time it has slept while others ran. It ends its machine with 0 if all was as new.
 */
#include "monitor/lib/call.h"
#include "monitor/lib/string.h"

int main(void);

enum { LOOKS = 200, SLEEP_MS = 2, MXCSR_AT = 24, CONTROL_AT = 0, REGISTERS_AT = 32, FX_BYTES = 512, FX_USED = 416 };
enum { CONTROL_RESET = 0x37f, MXCSR_RESET = 0x1f80, WINDOW_BYTES = 1 << 20 };

static u8 fx[FX_BYTES] __attribute__((aligned(64)));

static u64 foreign(const volatile u8 *at, u64 bytes)
{
	u64 n = 0;

	for (u64 i = 0; i < bytes; i += sizeof(u64))
		n += *(const volatile u64 *)(const volatile void *)(at + i) != 0;
	return n;
}

static u32 aux(void)
{
	u32 low, high, value;

	__asm__ volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(value));
	return value;
}

/* What is wrong with the registers that a monitor does not use. */
static const char *registers(void)
{
	__asm__ volatile("fxsave64 %0" : "=m"(fx));
	if (*(const u16 *)(const void *)(fx + CONTROL_AT) != CONTROL_RESET)
		return "the x87 control word";
	if (*(const u32 *)(const void *)(fx + MXCSR_AT) != MXCSR_RESET)
		return "MXCSR";
	if (foreign(fx + REGISTERS_AT, FX_USED - REGISTERS_AT))
		return "x87 or SSE";
	return aux() ? "TSC_AUX" : NULL;
}

static const char *memory(void)
{
	if (foreign(ring0_heap(), MON_HEAP_SIZE))
		return "the heap";
	if (foreign(ring0_disk(), ring0_info()->disk.bytes))
		return "the disk";
	if (foreign((u8 *)(MON_STACK_TOP - MON_STACK_SIZE), MON_STACK_SIZE / 2)) /* it has not come so far */
		return "the stack";
	return foreign(ring0_window(), WINDOW_BYTES) ? "the window" : NULL;
}

int main(void)
{
	const char *wrong;

	ring0_next();
	wrong = registers();
	if (!wrong)
		wrong = memory();
	for (u32 i = 0; i < LOOKS && !wrong; i++) {
		ring0_set_timer(ring0_tsc() + SLEEP_MS * ring0_info()->tsc_khz);
		ring0_next();
		wrong = registers();
	}
	if (wrong) {
		memcpy(ring0_comm()->buffer, wrong, strlen(wrong));
		ring0_log((u32)strlen(wrong));
	}
	ring0_end(MON_END_TEST, wrong != NULL);
	for (;;)
		ring0_next();
}
