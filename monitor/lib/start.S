/*
 * start: where ring 0 enters the monitor. The stack is empty, nothing is in registers; main never returns.
 */
#include "monitor/lib/layout.h"

	.text
	.globl _start
	.type _start, @function
_start:
	mov $MON_STACK_TOP_ASM, %esp
	xor %ebp, %ebp
	cld
	call main
	ud2
	.size _start, . - _start

	.section .note.GNU-stack, "", @progbits
