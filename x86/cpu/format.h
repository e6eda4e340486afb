/*
 * format: format_text with its arguments as a list. Returns the length written, at most room - 1: what does not fit is cut off.
 */
#ifndef X86_CPU_FORMAT_H
#define X86_CPU_FORMAT_H

#include "abi/types.h"

#include <stdarg.h>

int format_arguments(char *to, size_t room, const char *format, va_list arguments);

#endif
