/*
 * log: one line to the hypervisor's log, by a small format language: %s, %u (u32), %lu (u64), %x (u32), %lx (u64), %%.
 */
#ifndef MONITOR_LIB_LOG_H
#define MONITOR_LIB_LOG_H

#include "abi/types.h"

__attribute__((format(printf, 1, 2))) void log_line(const char *format, ...);

#endif
