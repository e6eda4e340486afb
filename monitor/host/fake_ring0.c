/*
 * fake_ring0: see fake_ring0.h.
 */
#include "monitor/host/fake_ring0.h"
#include "monitor/memory.h"
#include "monitor/queue.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_FAULT 14u
#define PAGE_FAULT_ERROR 4ull

struct fake_ring0 fake;

void fake_reset(u64 memory)
{
	free(fake.window);
	free(fake.disk);
	free(fake.heap);
	memset(&fake, 0, sizeof(fake));
	fake.window = calloc(1, memory); /* exactly: the sanitizer sees one byte too many */
	fake.info.version = MON_ABI_VERSION;
	fake.info.vcpus = 1;
	fake.info.memory = memory;
	fake.info.tsc_khz = FAKE_TSC_KHZ;
	strcpy(fake.info.name, "test");
}

#define DISK_MODULE MON_MAX_MODULES
#define HEAP_BLOCK_BYTES (PAGE_SIZE * 8) /* of a disk, for each byte that it may use of the heap */

void fake_disk(u64 bytes, const u8 *image)
{
	free(fake.disk);
	free(fake.heap);
	fake.disk = calloc(1, bytes);
	fake.heap = calloc(1, (bytes + HEAP_BLOCK_BYTES - 1) / HEAP_BLOCK_BYTES); /* exactly, too */
	fake.module[DISK_MODULE] = image;
	fake.info.module[DISK_MODULE].size = image != NULL ? bytes : 0;
	fake.info.disk = (struct mon_disk){ image != NULL ? MON_DISK_IMAGE : MON_DISK_MEMORY, DISK_MODULE, bytes };
}

void fake_enter(struct machine *m)
{
	fake.answer = FAKE_NOTHING;
	fake.next_kind = fake.comm.entry.kind;
	queue_serve(m);
}

const struct mon_info *ring0_info(void) { return &fake.info; }
struct mon_comm *ring0_comm(void) { return &fake.comm; }
u8 *ring0_window(void) { return fake.window; }
u64 ring0_tsc(void) { return fake.tsc; }
const u8 *ring0_module(u32 i) { return fake.module[i]; }
u8 *ring0_disk(void) { return fake.disk; }
u8 *ring0_heap(void) { return fake.heap; }

u32 ring0_next(void)
{
	u32 kind = fake.next_kind;

	fake.next_kind = MON_ENTRY_NONE;
	return kind;
}

void ring0_reply(u32 vcpu, u64 value)
{
	(void)vcpu;
	fake.answer = FAKE_REPLIED;
	fake.value = value;
}

void ring0_get_vcpu(u32 vcpu)
{
	(void)vcpu;
	fake.comm.vcpu = fake.vcpu;
}

void ring0_set_vcpu(u32 vcpu)
{
	(void)vcpu;
	fake.vcpu = fake.comm.vcpu;
	fake.vcpu_set = true;
}

void ring0_run(u32 vcpu)
{
	(void)vcpu;
	fake.running = true;
}

void ring0_emulated(u32 vcpu)
{
	ring0_set_vcpu(vcpu);
	fake.answer = FAKE_EMULATED;
}

void ring0_emulate_retry(u32 vcpu)
{
	(void)vcpu;
	fake.answer = FAKE_RETRIED;
}

void ring0_emulate_fault(u32 vcpu, u32 vector, u64 error, u64 cr2)
{
	(void)vcpu;
	fake.answer = FAKE_FAULTED;
	fake.fault_vector = vector;
	fake.fault_error = error;
	fake.fault_cr2 = cr2;
}

/* Linear addresses are guest-physical ones here; what is not RAM is a device. */
static u64 access(u64 gva, u32 length, bool write)
{
	struct guest_memory m;
	u8 *at;

	if (fake.gva_fault_at != 0 && gva <= fake.gva_fault_at && fake.gva_fault_at < gva + length) {
		fake.comm.vcpu.cr2 = fake.gva_fault_at;
		return MON_ACCESS_FAULT | PAGE_FAULT_ERROR << 8 | PAGE_FAULT;
	}
	guest_memory_init(&m, fake.window, fake.info.memory);
	at = guest_ptr(&m, gva, length);
	if (at == NULL)
		return MON_ACCESS_DEVICE | gva;
	if (write)
		memcpy(at, fake.comm.buffer, length);
	else
		memcpy(fake.comm.buffer, at, length);
	return 0;
}

u64 ring0_gva_read(u32 vcpu, u64 gva, u32 length, u32 flags)
{
	(void)vcpu, (void)flags;
	return access(gva, length, false);
}

u64 ring0_gva_write(u32 vcpu, u64 gva, u32 length)
{
	(void)vcpu;
	return access(gva, length, true);
}

u64 ring0_lapic_read(u32 vcpu, u64 address, u32 size) { (void)vcpu, (void)address, (void)size; return ~0ull; }
void ring0_lapic_write(u32 vcpu, u64 address, u32 size, u64 value)
{
	(void)vcpu, (void)address, (void)size, (void)value;
	fake.lapic_writes++;
}

void ring0_send_msi(u64 address, u32 data)
{
	if (fake.msis < FAKE_MSIS) {
		fake.msi[fake.msis].address = address;
		fake.msi[fake.msis].data = data;
	}
	fake.msis++;
}

void ring0_pic_line(bool asserted, u32 vector)
{
	fake.pic_asserted = asserted;
	fake.pic_vector = vector;
	fake.pic_calls++;
}

void ring0_set_timer(u64 tsc)
{
	fake.timer = tsc;
	fake.timer_calls++;
}

static void append(char *text, u32 *count, u32 length)
{
	if (*count + length >= FAKE_TEXT)
		*count = 0;
	memcpy(text + *count, fake.comm.buffer, length);
	*count += length;
	text[*count] = '\0';
}

void ring0_console_write(u32 length)
{
	fake.console_calls++;
	append(fake.console, &fake.console_count, length);
}

void ring0_log(u32 length)
{
	append(fake.log, &fake.log_count, length);
	fake.comm.buffer[0] = '\n';
	append(fake.log, &fake.log_count, 1);
}

void ring0_modules_done(void) { fake.modules_done = true; }

void ring0_end(enum mon_end how, u32 code)
{
	fake.ended = true;
	fake.end = how;
	fake.end_code = code;
}

void ring0_mark(u32 value)
{
	fake.marks++;
	fake.mark = value;
}
