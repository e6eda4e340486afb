/*
 * rtc: the wall clock of a PC, read once at boot.
 */
#ifndef X86_CPU_RTC_H
#define X86_CPU_RTC_H

#include "abi/types.h"

/* Seconds since 1970, UTC; 0: there is no clock, or it holds no date. */
u64 rtc_read(void);

#endif
