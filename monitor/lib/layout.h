/*
 * layout: the one address of abi/monitor.h that assembly needs (a C header cannot be included there).
 */
#ifndef MONITOR_LIB_LAYOUT_H
#define MONITOR_LIB_LAYOUT_H

#define MON_STACK_TOP_ASM 0x20000000 /* asserted equal to MON_STACK_TOP in main.c */

#endif
