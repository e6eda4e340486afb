/*
 * console: what the operator's files share. What the rest of hv sees of them is in hv.h.
 */
#ifndef HV_OPERATOR_CONSOLE_H
#define HV_OPERATOR_CONSOLE_H

#include "hv/hv.h"
#include "hv/operator/say.h"

extern const struct say console; /* the serial line; ring 0, any space */

/* What a command does in its later turns. */
enum work { WORK_DONE, WORK_MORE, WORK_WAITS }; /* WAITS: for operator_entity to be woken */
/* The prompt comes when `step` says DONE; until then it is called in each turn. */
void console_work(enum work (*step)(void));
/* NULL: the operator's own. */
void console_show(struct vm *vm);

/* commands.c. `text` is taken apart. */
void command_run(char *text);
const char *command_candidate(const char *text, u32 n);

#define WORDS_MOST 4u           /* the command's name included */
#define WORDS_VCPU WORDS_MOST   /* where what follows the VM's '/' stands */
/* show.c, inspect.c: handlers of commands. `vm` is what the first word named; word[] are those that follow the command or the VM. */
void show_list(struct vm *vm, char *word[]);
void show_info(struct vm *vm, char *word[]);
void show_exits(struct vm *vm, char *word[]);
void show_ledger(struct vm *vm, char *word[]);
void inspect_audit(struct vm *vm, char *word[]);
void inspect_walk(struct vm *vm, char *word[]); /* word[WORDS_VCPU]: the processor, if one is named */
/* "running", "paused by the operator", "off (power-off)" ... */
#define STATE_BYTES 192u
const char *show_state(const struct vm *vm, char text[STATE_BYTES]);

#endif
