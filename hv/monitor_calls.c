/*
 * monitor_calls: what a monitor may ask (abi/monitor.h), as a const table.
 *
 * Its arguments are hostile: each is judged; what breaks the rules ends the VM. The comm page is read once, into a copy. A vCPU's state is
 * the monitor's only while that vCPU waits for it, or has not started.
 */
#include "core/bits.h"
#include "hv/hv.h"
#include "x86/boot/boot.h"
#include "x86/cpu/log.h"
#include "x86/cpu/regs.h"

#define GVA_BYTES_MAX 256u
/* Scrubbing two blocks takes 128 tries; beyond that another vCPU keeps changing the tables under the walk. */
#define GVA_TRIES_MAX 4096u
#define SYSCALL_BYTES 2u
#define LOG_BYTES_MAX 200u
#define LOG_LINES_PER_SECOND 50u
#define RELEASE_BUDGET 128u

static u64 broken(struct vm *vm, const char *what)
{
	vm_end(vm, RESET_END, "killed: its monitor broke the rules: %s", what);
	return 0;
}

/* The vCPU that the monitor may touch; NULL: it has ended its VM. */
static struct vcpu *held_vcpu(struct vm *vm, u64 id)
{
	struct vcpu *v = id < vm->vcpus ? &vm->vcpu[id] : NULL;
	if (v && v->blocked & (BLOCK_MONITOR | BLOCK_START) && !(vm->monitor.exits & 1u << id))
		return v;
	broken(vm, "it named a vCPU that does not wait for it");
	return NULL;
}

/* A vCPU whose exit of this kind is with the monitor. */
static struct vcpu *waiting_vcpu(struct vm *vm, u64 id, bool emulate)
{
	struct vcpu *v = held_vcpu(vm, id);
	if (!v)
		return NULL;
	u32 kind = v->p->exit.kind;
	if (v->blocked & BLOCK_MONITOR && (emulate ? kind == MON_ENTRY_EMULATE : kind == MON_ENTRY_IO || kind == MON_ENTRY_MMIO))
		return v;
	broken(vm, "it answered what was not asked");
	return NULL;
}

static u64 resume(struct vcpu *v)
{
	v->p->exit.kind = MON_ENTRY_NONE;
	__atomic_fetch_and(&v->blocked, ~(u32)BLOCK_MONITOR, __ATOMIC_SEQ_CST);
	sched_wake_here(&v->entity);
	return 0;
}

/* ---- exits answered ---- */

static void finish_in(struct vcpu *v, u64 value)
{
	u64 *rax = &v->g->gpr[MON_RAX];
	switch (v->p->exit.io.size) {
	case 1: *rax = (*rax & ~(u64)UINT8_MAX) | (u8)value; break;
	case 2: *rax = (*rax & ~(u64)UINT16_MAX) | (u16)value; break;
	default: *rax = (u32)value; break;
	}
}

static u64 call_reply(struct vm *vm, const u64 a[])
{
	struct vcpu *v = waiting_vcpu(vm, a[0], false);
	if (!v)
		return 0;
	const struct mon_entry *e = &v->p->exit;
	if (e->kind == MON_ENTRY_IO) {
		if (!e->io.out)
			finish_in(v, a[1]);
		advance(v, v->g->exit.io.next_rip);
	} else {
		if (!e->mmio.write)
			exit_finish_load(v, &v->p->insn, a[1]);
		advance(v, v->g->rip + v->p->insn.length);
	}
	return resume(v);
}

static u64 call_emulated(struct vm *vm, const u64 a[])
{
	struct vcpu *v = waiting_vcpu(vm, a[0], true);
	if (!v)
		return 0;
	struct mon_vcpu state = vm->monitor.comm->vcpu;
	u64 rip = v->g->rip, next = state.rip;
	state.rip = rip;
	state.interrupt_shadow = v->g->shadow;
	if (next - rip > INSN_MAX_BYTES && (u16)(next - rip) > INSN_MAX_BYTES)
		return broken(vm, "RIP moved by more than an instruction");
	if (backend->set(v->g, &state) != OK)
		return broken(vm, "an emulated state that no processor can have");
	advance(v, next);
	v->g->rflags |= next == rip ? state.rflags & RFLAGS_RF : 0; /* it holds for all of a REP */
	return resume(v);
}

static u64 call_emulate_retry(struct vm *vm, const u64 a[])
{
	struct vcpu *v = waiting_vcpu(vm, a[0], true);
	return v ? resume(v) : 0;
}

static u64 call_emulate_fault(struct vm *vm, const u64 a[])
{
	struct vcpu *v = waiting_vcpu(vm, a[0], true);
	if (!v)
		return 0;
	if (a[1] >= VECTOR_EXCEPTIONS || a[1] == VECTOR_NMI)
		return broken(vm, "an exception that is none");
	if (a[1] == VECTOR_PF)
		backend->write_cr(v->g, 2, a[3]);
	inject(v, (u8)a[1], a[2] & MON_HAS_ERROR, (u32)a[2]);
	return resume(v);
}

/* ---- vCPU states ---- */

static u64 call_get_vcpu(struct vm *vm, const u64 a[])
{
	struct vcpu *v = held_vcpu(vm, a[0]);
	if (v)
		backend->get(v->g, &vm->monitor.comm->vcpu);
	return 0;
}

static u64 call_set_vcpu(struct vm *vm, const u64 a[])
{
	struct vcpu *v = held_vcpu(vm, a[0]);
	if (!v)
		return 0;
	struct mon_vcpu state = vm->monitor.comm->vcpu;
	return backend->set(v->g, &state) == OK ? 0 : broken(vm, "a state that no processor can have");
}

static u64 call_run(struct vm *vm, const u64 a[])
{
	struct vcpu *v = held_vcpu(vm, a[0]);
	if (!v)
		return 0;
	for (u32 i = 0; i < vm->vcpus; i++) {
		__atomic_fetch_and(&vm->vcpu[i].blocked, ~(u32)BLOCK_START, __ATOMIC_SEQ_CST);
		sched_wake_here(&vm->vcpu[i].entity);
	}
	return 0;
}

/* ---- guest-virtual memory ---- */

static u64 copy_gva(struct vm *vm, const u64 a[], bool write)
{
	struct vcpu *v = waiting_vcpu(vm, a[0], true);
	u8 bytes[GVA_BYTES_MAX];
	struct gva_fault fault = { .vector = 0 };
	struct guest_mode m;
	gpa_t device = gpa(0);
	if (!v)
		return MON_ACCESS_ENDED;
	if (a[2] == 0 || a[2] > sizeof bytes)
		return broken(vm, "a guest-virtual access of that length");
	backend->mode(v->g, &m);
	u32 access = (m.cpl == 3 ? GW_USER : 0) | (write ? GW_WRITE : 0) | (!write && a[3] & MON_FETCH ? GW_FETCH : 0);
	if (write)
		__builtin_memcpy(bytes, vm->monitor.comm->buffer, a[2]);
	status r = AGAIN;
	for (u32 tries = 0; r == AGAIN && tries < GVA_TRIES_MAX; tries++) {
		interrupts_take(); /* nothing is held between two tries */
		r = gva_copy(v, gva(a[1]), bytes, (u32)a[2], access, &fault, &device);
	}
	if (r == NO_MEMORY) {
		vm->monitor.again = true;
		return 0;
	}
	if (r == AGAIN) {
		vm_kill(v, "its page tables for %lx never stay as they are", a[1]);
		return MON_ACCESS_ENDED;
	}
	if (r == OK && !write)
		__builtin_memcpy(vm->monitor.comm->buffer, bytes, a[2]);
	if (r == OK)
		return 0;
	if (r == FAULT) {
		vm->monitor.comm->vcpu.cr2 = fault.address;
		return fault.vector | (u64)fault.error << 8 | MON_ACCESS_FAULT;
	}
	return r == DEVICE || r == BAD_ADDRESS ? MON_ACCESS_DEVICE | device.v : MON_ACCESS_ENDED;
}

static u64 call_gva_read(struct vm *vm, const u64 a[])
{
	return copy_gva(vm, a, false);
}

static u64 call_gva_write(struct vm *vm, const u64 a[])
{
	return copy_gva(vm, a, true);
}

/* ---- the local APIC, for instructions that only the emulator knows ---- */

static bool is_lapic(const struct vcpu *v, u64 address, u64 size)
{
	return lapic_has_page(&v->lapic) && (address & ~PAGE_MASK) == lapic_page(&v->lapic) && size && size <= sizeof(u64) &&
	       (address & PAGE_MASK) + size <= PAGE_SIZE;
}

static u64 call_lapic_read(struct vm *vm, const u64 a[])
{
	struct vcpu *v = waiting_vcpu(vm, a[0], true);
	if (!v || !is_lapic(v, a[1], a[2]))
		return ~0ull;
	return lapic_read(&v->lapic, a[1] & PAGE_MASK, (u32)a[2], vcpu_tsc(v));
}

static u64 call_lapic_write(struct vm *vm, const u64 a[])
{
	struct vcpu *v = waiting_vcpu(vm, a[0], true);
	if (!v || !is_lapic(v, a[1], a[2]))
		return 0;
	lapic_write(&v->lapic, a[1] & PAGE_MASK, (u32)a[2], a[3], vcpu_tsc(v));
	__atomic_fetch_or(&v->requests, REQUEST_TIMER, __ATOMIC_SEQ_CST); /* its timer is its processor's, which may just be looking at it */
	return 0;
}

/* ---- interrupts and time ---- */

static u64 call_send_msi(struct vm *vm, const u64 a[])
{
	struct lapic_message message;
	if (lapic_msi(a[0], a[1], &message))
		interrupt_message(vm, NULL, &message);
	return 0;
}

static u64 call_pic_line(struct vm *vm, const u64 a[])
{
	vm->monitor.pic = a[0] ? PIC_ASSERTED | (u8)a[1] : 0;
	if (a[0])
		sched_wake(&vm->vcpu[0].entity);
	return 0;
}

static u64 call_set_timer(struct vm *vm, const u64 a[])
{
	timer_set(&vm->monitor.timer, a[0] ? a[0] : TIMER_NEVER);
	return 0;
}

/* ---- words ---- */

static u64 call_console_write(struct vm *vm, const u64 a[])
{
	struct mon_comm *comm = vm->monitor.comm;
	if (a[0] > MON_CONSOLE_WRITE_BYTES)
		return broken(vm, "a console write of that length");
	operator_output(vm, comm->buffer, (u32)a[0]);
	return 0;
}

static bool may_log(struct monitor *m)
{
	u64 now = tsc_now();
	if (now - m->log_from > host_tsc_khz * 1000) {
		m->log_from = now;
		m->log_lines = 0;
	}
	return m->log_lines++ < LOG_LINES_PER_SECOND;
}

static u64 call_log(struct vm *vm, const u64 a[])
{
	char text[LOG_BYTES_MAX + 1];
	u64 length = min_u64(a[0], LOG_BYTES_MAX);
	for (u64 i = 0; i < length; i++) {
		u8 c = vm->monitor.comm->buffer[i];
		text[i] = c >= ' ' && c < 127 ? (char)c : '.';
	}
	text[length] = 0;
	if (may_log(&vm->monitor))
		log_line("%s: %s", vm->definition->name, text);
	return 0;
}

/* ---- the boot modules' end ---- */

/* They leave the monitor's map; what it needs of a disk's image comes again. The frames stay as long as a definition needs them. */
static void monitor_release_modules(struct vm *vm)
{
	u64 at = MON_MODULES;
	while (at < MON_WINDOW) {
		SETTLEMENT(s, &mm.settler);
		u64 done = 0;
		lock_take(&vm->pmap.lock);
		status r = pt_drop(&vm->space.window.table, &vm->space.window.view, at, MON_WINDOW - at, RELEASE_BUDGET, &s, &done);
		lock_give(&vm->pmap.lock);
		settle(&s);
		CHECK(r == OK || r == AGAIN);
		at = r == OK ? MON_WINDOW : at + done;
		interrupts_take();
	}
}

static u64 call_modules_done(struct vm *vm, const u64 a[])
{
	const struct machine_definition *d = vm->definition;
	(void)a;
	if (!vm->monitor.loading)
		return 0;
	vm->monitor.loading = false;
	monitor_release_modules(vm);
	if (d->reset == RESET_END && d->start == START_YES)
		modules_drop(vm, USE_IMAGES);
	vms_feed();
	return 0;
}

/* ---- endings and measuring ---- */

static u64 call_end(struct vm *vm, const u64 a[])
{
	switch (a[0]) {
	case MON_END_POWER_OFF: vm_end(vm, RESET_END, "power-off"); break;
	case MON_END_RESET: vm_end(vm, vm->definition->reset, "reset"); break;
	case MON_END_TEST: vm_end(vm, RESET_END, "test %u", (u8)a[1]); break;
	case MON_END_FAILED: vm_end(vm, RESET_END, "failed"); break;
	default: return broken(vm, "an ending that is none");
	}
	return 0;
}

static u64 call_mark(struct vm *vm, const u64 a[])
{
	if (options.mark_port) /* else anyone could fill the log */
		vm_mark(vm, a[0]);
	return 0;
}

static u64 (*const calls[MON_CALLS])(struct vm *vm, const u64 arguments[]) = {
	[MON_REPLY] = call_reply, [MON_GET_VCPU] = call_get_vcpu, [MON_SET_VCPU] = call_set_vcpu, [MON_RUN] = call_run,
	[MON_EMULATED] = call_emulated, [MON_EMULATE_RETRY] = call_emulate_retry, [MON_EMULATE_FAULT] = call_emulate_fault,
	[MON_GVA_READ] = call_gva_read, [MON_GVA_WRITE] = call_gva_write,
	[MON_LAPIC_READ] = call_lapic_read, [MON_LAPIC_WRITE] = call_lapic_write, [MON_SEND_MSI] = call_send_msi,
	[MON_PIC_LINE] = call_pic_line, [MON_SET_TIMER] = call_set_timer, [MON_CONSOLE_WRITE] = call_console_write,
	[MON_LOG] = call_log, [MON_MODULES_DONE] = call_modules_done, [MON_END] = call_end, [MON_MARK] = call_mark,
};

bool monitor_call(struct vm *vm)
{
	struct monitor *m = &vm->monitor;
	struct user_regs *r = &m->regs;
	if (r->rax == MON_NEXT) {
		m->budget_end = 0;
		m->waiting = !monitor_take(vm);
		r->rax = m->waiting ? 0 : m->comm->entry.kind;
		return !m->waiting;
	}
	if (r->rax >= MON_CALLS || !calls[r->rax]) {
		broken(vm, "a call that is none");
		return true;
	}
	const u64 arguments[] = { r->rdi, r->rsi, r->rdx, r->r10, r->r8 };
	u64 answer = calls[r->rax](vm, arguments);
	if (m->again)
		r->rip -= SYSCALL_BYTES; /* the host's memory is full: the VM is paused, then it asks once more */
	else
		r->rax = answer;
	m->again = false;
	return true;
}
