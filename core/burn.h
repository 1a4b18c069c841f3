/* SPDX-License-Identifier: MIT */
/*
 * Time wasted on purpose, for tests of the measuring itself: so long on each
 * exit that the plugins of an axis handle, and on each of their calls on the
 * I/O thread. It is spent inside what the accounts measure, so that it must
 * show up in the accounts of that axis and of no other.
 */
#ifndef BURN_H
#define BURN_H

#include <stdint.h>
#include <x86intrin.h>

#define BURN_MAX_NS 1000000000u

struct domain;

static inline void burn_ticks(uint64_t ticks)
{
	uint64_t begun = __rdtsc();

	while (__rdtsc() - begun < ticks)
		_mm_pause();
}

/* "disk=20000" into ns[axis]. CMD_OK, or CMD_USAGE after a message of the command `what`. */
int burn_parse(const char *text, const char *what, uint64_t *ns);

/* Gives the domain's accounts what its options say; its clock is calibrated. 0 or -ENOMEM. [control] */
int domain_burn(struct domain *d);

#endif
