/*
 * status: the names, for logs and tests.
 */
#include "core/status.h"
#include "core/bits.h"

static const char *const names[] = {
	[OK] = "ok", [NO_MEMORY] = "no memory", [AGAIN] = "again", [BAD_ADDRESS] = "bad address",
	[BAD_VALUE] = "bad value", [DENIED] = "denied", [NOT_THERE] = "not there", [IN_USE] = "in use", [DEVICE] = "device",
	[FAULT] = "fault", [UNSUPPORTED] = "unsupported",
};

const char *status_name(status s)
{
	return (size_t)s < ARRAY_SIZE(names) ? names[s] : "unknown status";
}
