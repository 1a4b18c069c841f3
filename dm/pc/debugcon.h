/* SPDX-License-Identifier: MIT */
/*
 * The debug port of firmware in virtual machines, 0x402: what SeaBIOS and OVMF
 * say while they run, line by line to the domain's log at debug level. It
 * reads as 0xe9, by which they know that it is there.
 */
#ifndef DM_PC_DEBUGCON_H
#define DM_PC_DEBUGCON_H

#include <pthread.h>

#include "gamut/host.h"

#define DEBUGCON_PORT 0x402u
#define DEBUGCON_LINE 200u

struct debugcon {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	pthread_mutex_t lock; /* over all below */
	char line[DEBUGCON_LINE];
	uint32_t len;
};

extern const struct gamut_io_ops debugcon_ops; /* opaque is the device */

int debugcon_init(struct debugcon *d, const struct gamut_host *host, struct gamut_inst *inst);
int debugcon_register(struct debugcon *d);
void debugcon_reset(struct debugcon *d);
void debugcon_finish(struct debugcon *d);

#endif
