/*
 * operator: who the console belongs to. Without an operator (operator=no) it is the first machine's: bytes go through, both ways.
 */
#include <stdarg.h>

#include "hv/hv.h"
#include "x86/cpu/format.h"
#include "x86/cpu/log.h"

#define NOTE_BYTES 256u

struct entity operator_entity;
static struct share operator_share;

void operator_init(void)
{
	share_init(&operator_share, MACHINE_WEIGHT);
	entity_init(&operator_entity, ENTITY_OPERATOR, NULL, &operator_share);
}

enum turn operator_turn(struct cpu *c, struct entity *e)
{
	(void)c, (void)e;
	return TURN_SLEEP;
}

void operator_input(const u8 *bytes, u32 count)
{
	if (vms[0].state == VM_RUNNING)
		monitor_post_console(&vms[0], bytes, count);
}

void operator_output(struct vm *vm, const u8 *bytes, u32 count)
{
	(void)vm;
	console_write(bytes, count);
}

void operator_replay(struct vm *vm)
{
	vm->replay = false;
}

void operator_walk(struct vcpu *v)
{
	(void)v;
}

void operator_note(const char *format, ...)
{
	char text[NOTE_BYTES];
	va_list arguments;
	va_start(arguments, format);
	format_arguments(text, sizeof text, format, arguments);
	va_end(arguments);
	log_line("%s", text);
}
