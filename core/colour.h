/* SPDX-License-Identifier: MIT */
/*
 * The true colour of a domain: which row of the spectrum its guest is in,
 * told from what the guest was seen to do and from nothing else.
 *
 * Plugins count signs (host->sign): a request served by the Xen ring, the
 * callback vector set, the PIT programmed. Each is of one colour on one axis,
 * and of one plugin's family ("xen", "virtio", "ide"). On an axis the guest is
 * taken for what its strongest signs say: paravirtual over hardware over
 * emulated, because every guest touches emulated parts on its way to better
 * ones, its firmware does so longer than its kernel, and a CD-ROM drive that
 * is asked for its disc every other second beside a quiet PV disk does not
 * make another guest of it. Only a PC is one once it is touched. Among equals
 * the busiest of late counts.
 *
 * The row follows from the axes by a table. Pure: what is put in is all there is.
 */
#ifndef COLOUR_H
#define COLOUR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gamut/plugin.h"

/* One sign of one plugin instance. */
struct colour_sign {
	uint8_t axis;       /* enum gamut_axis: what it speaks of */
	uint8_t colour;     /* enum gamut_colour */
	const char *family; /* the choice whose plugin saw it: "xen", "ide", ... */
	const char *name;
	uint64_t count;     /* since power-on */
	uint64_t recent;    /* since the last look, or count when this is the first */
};

/* What was observed on an axis. */
struct colour_axis {
	bool seen;          /* any sign at all */
	uint8_t colour;     /* enum gamut_colour; of the axis' strongest signs */
	const char *family; /* likewise; NULL: not seen */
};

struct colour {
	struct colour_axis axis[GAMUT_AXIS_COUNT];
	const char *row; /* "HVM", "HVM with PV drivers", "PVHVM", "PVH", "PV", "KVM", ...; "none yet" */
	const char *why; /* the rule, in words */
};

void colour_derive(const struct colour_sign *signs, size_t n, struct colour *colour);

#endif
