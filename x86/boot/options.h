/*
 * options: Ringmur's own command line, judged once.
 *
 *   console=com1|com2|none  log=com2|com1|none  panic=halt|exit     one of the words
 *   mem=1G  scrub=512M                                              bytes, with K, M, G or T
 *   vcpus=1  cpus=N  mark-port=0xNN                                 a number, decimal or 0x
 *   fail-alloc=N                                                    tests: the N-th allocation for the guest fails
 *   probe=N                                                         measures how long interrupts are off, to within N ticks (x86/irq/timer.c)
 *   name=guest                                                      a word
 *   operator=auto|no|yes                                            whether the console is the operator's (hv/operator)
 *   screen=yes|no                                                   whether the log is shown on the display (x86/cpu/screen.h)
 *   hide=nrip,npt,...                                               processor features to do without
 *
 * Words are parted by blanks; "..." keeps blanks together. The last of two equal options wins.
 */
#ifndef X86_BOOT_OPTIONS_H
#define X86_BOOT_OPTIONS_H

#include "core/status.h"
#include "x86/boot/boot.h"
#include "x86/cpu/cpu.h"

enum option_line { LINE_COM1, LINE_COM2, LINE_NONE };
enum option_panic { PANIC_HALT, PANIC_EXIT };
enum option_screen { SCREEN_YES, SCREEN_NO };
enum option_answer { ANSWER_AUTO, ANSWER_NO, ANSWER_YES };

struct options {
	u32 console, log;  /* enum option_line */
	u32 panic;         /* enum option_panic */
	u32 operator;      /* enum option_answer; auto: if there is a module `vms` */
	u32 screen;        /* enum option_screen */
	u64 mem;           /* bytes of the guest's memory */
	u64 scrub;         /* bytes of memory scrubbed at boot */
	u64 vcpus, cpus;
	u64 mark_port;     /* 0: none */
	u64 fail_alloc;    /* 0: none */
	u64 probe;         /* 0: none */
	u64 hide;          /* bit n: feature n of option_feature() */
	char name[WORD_NAME_BYTES];
};

/* What the machine was started with: filled before ringmur_main. */
extern struct options options;

void options_defaults(struct options *o);
/* As words_parse. */
must_use status options_parse(struct options *o, const char *text, char error[WORDS_ERROR_BYTES]);

/* The features that hide= knows: name and place of the bool in struct features. NULL after the last. */
const char *option_feature(u32 index, u32 *offset);

#endif
