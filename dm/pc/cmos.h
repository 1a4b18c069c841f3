/* SPDX-License-Identifier: MIT */
/*
 * Motorola MC146818A, the PC's clock, and its memory: 128 bytes at ports
 * 0x70/0x71 and 128 more at 0x72/0x73.
 *
 * The time of day is the host's and goes on while the domain is paused; what
 * the guest sets is kept as a difference to it. Periodic interrupts are domain
 * time. NMI's mask in bit 7 of port 0x70 is told to whoever wants to know.
 */
#ifndef DM_PC_CMOS_H
#define DM_PC_CMOS_H

#include <pthread.h>
#include <stdbool.h>

#include "dm/pc/isa.h"

#define CMOS_INDEX 0x70u /* base of the four ports */
#define CMOS_PORTS 4u
#define CMOS_SIZE 256u

struct cmos_config {
	uint64_t ram_below_4g, ram_above_4g; /* bytes; below includes the first MiB */
	uint32_t cpus;
	uint8_t boot[3];       /* SeaBIOS: 1 floppy, 2 disk, 3 CD, 4 network; 0 none: first, second, third choice */
	uint8_t local;         /* the clock shows local time, not UTC */
	uint8_t no_mouse;      /* equipment byte */
	/* The wall clock in ns since 1970, UTC; NULL: the host's. [any] */
	int64_t (*wall)(void *opaque);
	void (*nmi_mask)(void *opaque, uint32_t masked); /* may be NULL. [vcpu], the lock held */
	void *opaque;
};

struct cmos {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct cmos_config config;
	struct isa_line line;
	pthread_mutex_t lock; /* over all below */

	uint8_t ram[CMOS_SIZE]; /* registers A-D and the alarm included; the time only while SET */
	uint8_t index[2];       /* of port 0x70, with the NMI bit, and of 0x72 */
	int64_t offset;         /* ns: what the clock shows beyond the wall clock */
	int64_t last_second;    /* for update-ended and alarm: seconds since 1970 that have been looked at */
	uint64_t periodic_at;   /* domain ns of the next one */
	uint32_t level;
	struct gamut_timer *periodic, *update;
	uint64_t *ticks, *sets; /* counters */
};

extern const struct gamut_io_ops cmos_io_ops;

int cmos_init(struct cmos *c, const struct gamut_host *host, struct gamut_inst *inst,
              const struct cmos_config *config);
int cmos_register(struct cmos *c, const struct gamut_irq_lines_ops *lines, void *lines_self);
/* Its battery keeps time and memory: what firmware is told is written anew, interrupts are off. */
void cmos_reset(struct cmos *c);
/* The periodic timer stands still with the domain; this sets the update's anew, as the wall clock went on. */
void cmos_resume(struct cmos *c);
void cmos_finish(struct cmos *c);

#endif
