/*
 * monitor_blob: the monitor's program, carried inside Ringmur's image.
 *
 * Read-only and page aligned, so that its pages can be mapped into a VM's private part as they stand.
 * The build gives MONITOR_ELF, the path of the file.
 */
	.section .rodata.monitor, "a", @progbits
	.balign 4096
	.globl monitor_elf_start, monitor_elf_end
monitor_elf_start:
	.incbin MONITOR_ELF
monitor_elf_end:
	.balign 4096

	.section .note.GNU-stack, "", @progbits
