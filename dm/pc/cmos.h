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
	uint64_t *reads;      /* sign */
	pthread_mutex_t lock; /* over all below */

	uint8_t ram[CMOS_SIZE]; /* the time's bytes count only while the clock is stopped */
	uint8_t index[2];       /* as written to 0x70 and 0x72 */
	int64_t offset, phase;  /* seconds, and ns below a second, that the clock is ahead of the wall clock */
	int64_t seen;           /* seconds shown when flags and daylight saving were last looked at */
	uint8_t weekday;        /* day of the week beyond the calendar's, 0-6: the guest sets it at will */
	uint8_t fell_back;      /* daylight saving has ended this year */
	uint64_t ticks_seen;    /* 1/32768 s of domain time, likewise */
	struct gamut_timer *periodic, *update;
	uint64_t *interrupts, *sets; /* counters */
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
