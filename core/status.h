/*
 * status: what a function can answer. Must be used.
 *
 * A status tells what a guest, a monitor, a tool or a person has caused; our own bugs are
 * CHECKs (check.h). Numbers that guests see are made at the edge, from these.
 */
#ifndef CORE_STATUS_H
#define CORE_STATUS_H

enum status {
	OK = 0,
	NO_MEMORY,  /* nothing was changed; may succeed later */
	AGAIN,      /* progress was made or a race was lost: call again with the same arguments */
	BAD_ADDRESS,/* outside what the object has */
	BAD_VALUE,  /* an argument that can never be right */
	DENIED,     /* right there, but not with this access */
	NOT_THERE,  /* nothing at that place */
	IN_USE,     /* something else is already there */
	DEVICE,     /* the place is a device: the monitor answers */
	FAULT,      /* a guest fault is to be delivered; the result says which */
	UNSUPPORTED,/* the processor or this build lacks it */
};
typedef enum status status;
#define must_use __attribute__((warn_unused_result))

const char *status_name(status s);

#endif
