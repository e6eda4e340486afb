/*
 * device: what all virtio devices are alike in (virtio 1.x, 2 and 3): status, features, queues; and their work, in turns.
 *
 * A device is one of a struct virtio_type and lives in a PCI function (virtio/pci.h). It works when its driver notifies it, when something
 * has come from outside, and when its own timer says that a turn has been long enough ago: one turn has a *budget* of bytes, so
 * that no request, however long, keeps the monitor from the other exits of its VM.
 */
#ifndef MONITOR_VIRTIO_DEVICE_H
#define MONITOR_VIRTIO_DEVICE_H

#include "monitor/platform/msix.h"
#include "monitor/platform/timers.h"
#include "monitor/virtio/virtqueue.h"

#define VIRTIO_QUEUES_MAX 2u
#define VIRTIO_CONFIG_BYTES 64u

#define VIRTIO_F_INDIRECT_DESC 28u
#define VIRTIO_F_EVENT_IDX     29u
#define VIRTIO_F_VERSION_1     32u
#define VIRTIO_FEATURE(bit) (1ull << (bit))
#define VIRTIO_FEATURES_ALL (VIRTIO_FEATURE(VIRTIO_F_INDIRECT_DESC) | VIRTIO_FEATURE(VIRTIO_F_EVENT_IDX) | VIRTIO_FEATURE(VIRTIO_F_VERSION_1))

/* Device status, 2.1. */
#define VIRTIO_ACKNOWLEDGE 0x01u
#define VIRTIO_DRIVER      0x02u
#define VIRTIO_DRIVER_OK   0x04u
#define VIRTIO_FEATURES_OK 0x08u
#define VIRTIO_NEEDS_RESET 0x40u
#define VIRTIO_FAILED      0x80u

/* A turn: so many bytes of buffers, each chain counted as at least VIRTIO_CHAIN_COST; then a pause in which exits are served. */
#define VIRTIO_TURN_BYTES (64u * 1024u)
#define VIRTIO_CHAIN_COST 1024u
#define VIRTIO_PAUSES_A_SECOND 20000u

struct virtio_device;

struct virtio_type {
	u16 id;          /* 5: network 1, block 2, console 3, ... */
	u32 class;       /* of the PCI function */
	u32 queues;
	u64 features;    /* besides VIRTIO_FEATURES_ALL */
	enum timer_id timer;
	/* One turn of at most `budget` bytes. True: there is more to do. */
	bool (*work)(struct virtio_device *d, u64 budget);
	void (*reset)(struct virtio_device *d);
};

struct virtio_device {
	struct pci_function function;
	const struct virtio_type *type;
	const struct guest_memory *memory;
	struct timers *timers;
	struct pci *pci;
	struct msix msix;
	u64 pause;                    /* in TSC ticks */
	u64 accepted;                 /* features, as the driver writes them */
	u32 device_feature_select, driver_feature_select;
	u16 queue_select, config_vector;
	u8 status, isr;
	u32 access_at;                /* of the window in configuration space (virtio/pci.c) */
	u8 config[VIRTIO_CONFIG_BYTES]; /* what the type tells its driver */
	struct virtqueue queue[VIRTIO_QUEUES_MAX];
};

/* Is it being driven: may it touch its queues? */
bool virtio_is_live(const struct virtio_device *d);
/* A turn, if it is. */
void virtio_work(struct virtio_device *d);
void virtio_reset(struct virtio_device *d);

/* The common configuration structure (4.1.4.3): accesses of 1 to 8 bytes. */
u64 virtio_common_read(const struct virtio_device *d, u64 offset, u32 size);
void virtio_common_write(struct virtio_device *d, u64 offset, u32 size, u64 value);

#endif
