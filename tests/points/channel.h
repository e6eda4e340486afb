/*
 * channel: how a guest speaks with the marked points of a test build: CPUID with POINTS_LEAF in EAX and a command in ECX. CPUID's own answer
 * is in the usual registers; arguments and answer of the command are in RSI, RDI and R8. Shared by points.c and the hostile guests.
 */
#ifndef POINTS_CHANNEL_H
#define POINTS_CHANNEL_H

#define POINTS_LEAF  0x4f504e54u
#define POINTS_THERE 0x706f696e7473ull /* the answer of POINTS_HELLO; in other builds RSI stays as it is */
#define POINTS_GO    0xffffu           /* as `until`: nothing but the command lets it go on */

enum points_command {
	POINTS_HELLO,
	POINTS_STOP,    /* RDI: the point, R8: the vCPU and until which point of another processor (points_order()) */
	POINTS_STATE,   /* answer: enum points_state */
	POINTS_LET_GO,  /* the one that is stopped goes on; answer: what the state was */
	POINTS_ASK,     /* the processor of the one that is stopped is to look whether others wait */
	POINTS_FORGET,  /* the order, if nobody has come to the point yet */
	POINTS_TAG,     /* RDI: vCPU. Answer: which tag its translations are under, another number for every new one; 0: none */
	POINTS_SPLIT,   /* RDI: guest-physical address: the nested view's large leaf there becomes small ones */
	POINTS_MERGE,   /* the reverse, in the truth too */
	POINTS_PUNCH,   /* the page there is given back to the host: the next access finds zeros */
	POINTS_PROTECT, /* the page loses write access; answer: enum points_protect, of its first word */
};

/* `again`: after LET_GO the order stands anew. A vCPU that orders for itself is meant from its next exit on. */
static inline unsigned long points_order(unsigned vcpu, unsigned until, int again)
{
	return vcpu | (unsigned long)until << 16 | (unsigned long)(again != 0) << 32;
}

enum points_state { POINTS_NONE, POINTS_LATER, POINTS_WAITING, POINTS_STOPPED, POINTS_WENT_ON, POINTS_GAVE_UP };
enum points_protect { POINTS_STABLE, POINTS_CHANGED, POINTS_UNDECIDED, POINTS_REFUSED };

#endif
