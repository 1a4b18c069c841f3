/* SPDX-License-Identifier: MIT */
/*
 * Xen block back end (vbd) of one disk: the xenbus state machine. The rings
 * are in blkring.h.
 */
#ifndef DM_XEN_BLKBACK_H
#define DM_XEN_BLKBACK_H

#include <stdbool.h>
#include <stdint.h>

#include "dm/block/block.h"
#include "gamut/host.h"
#include "gamut/xen.h"

struct blkback;

struct blkback_config {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct block *block; /* borrowed; open from create to destroy */
	const char *dev;     /* "xvda"; for the store and for messages */
	uint32_t devid;      /* its number, see vdev.h */
	uint32_t max_queues; /* at least 1 */
	bool persistent;     /* offer feature-persistent */
};

/* What it needs of its peers. */
struct blkback_peers {
	const struct gamut_xenbus_ops *bus;
	void *bus_self;
	const struct gamut_evtchn_ops *evtchn;
	void *evtchn_self;
	const struct gamut_grant_ops *grants;
	void *grants_self;
};

/* What the guest is told that it is. */
enum blkback_type { BLKBACK_DISK, BLKBACK_CDROM };

/* NULL with errno set. [control] */
struct blkback *blkback_create(const struct blkback_config *config);
/* NULL is allowed. [control] */
void blkback_destroy(struct blkback *back);

/* Makes the device directories and waits for the guest. 0, or what host->fail gave. [control] */
int blkback_start(struct blkback *back, const struct blkback_peers *peers, enum blkback_type type);
/* On return nothing is in flight and no guest memory is mapped. [control] */
void blkback_pause(struct blkback *back);
/* Maps the rings again and looks at them. [control] */
void blkback_resume(struct blkback *back);
/* Guest reset, while paused: disconnected, directories as new. 0, or what host->fail gave. [control] */
int blkback_reset(struct blkback *back);
/* Ends all requests, disconnects, flushes the disk, removes the directories. [control] */
void blkback_stop(struct blkback *back);

#endif
