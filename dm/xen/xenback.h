/* SPDX-License-Identifier: MIT */
/*
 * What all Xen back ends have in common: the two directories of a device in
 * the store, and the state machine that their states are. xenback.c has it.
 *
 * All of it on [io], or on [control] while the I/O thread is parked.
 */
#ifndef DM_XEN_XENBACK_H
#define DM_XEN_XENBACK_H

#include <stdbool.h>
#include <stdint.h>

#include <xen/io/xenbus.h>

#include "gamut/host.h"
#include "gamut/xen.h"

/* What a kind of device does; opaque is struct xenback's. */
struct xenback_ops {
	/* Writes what is to be in both directories before the guest looks. 0 or -errno. */
	int (*publish)(void *opaque);
	/* Reads the front end's directory and takes up its rings. False after xenback_complain. */
	bool (*connect)(void *opaque);
	/* On return nothing of the guest's is used any more. Also called when nothing is connected. */
	void (*disconnect)(void *opaque);
};

/* The first part is the owner's to fill, the rest is ours. */
struct xenback {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	const struct xenback_ops *ops;
	void *opaque;
	const char *type; /* "vif": the class in the store */
	const char *name; /* for messages */
	uint32_t devid;

	const struct gamut_xenbus_ops *bus;
	void *bus_self;
	char front[96], back[96];
	struct gamut_xs_watch *watch;
	enum xenbus_state state;
	bool started;
	uint32_t complaints;
};

/* Makes the directories and waits for the guest. 0 or -errno; -EEXIST: there is such a device. */
int xenback_start(struct xenback *x, const struct gamut_xenbus_ops *bus, void *bus_self);
/* Guest reset: disconnected, directories as new. 0 or -errno. */
int xenback_reset(struct xenback *x);
/* Disconnects and removes the directories. */
void xenback_stop(struct xenback *x);
/* Disconnects and says so to the guest, which may start over. */
void xenback_close(struct xenback *x);

/* Writes dir/name; dir is x->front or x->back. 0 or -errno. */
int GAMUT_PRINTF(4, 5)
        xenback_put(struct xenback *x, const char *dir, const char *name, const char *fmt, ...);
/* A value of the front end's directory, to be freed; NULL when there is none. */
char *xenback_get(struct xenback *x, const char *name);

enum xenback_found { XENBACK_ABSENT, XENBACK_FOUND, XENBACK_WRONG };

/* A decimal number of the front end's directory; *value is changed only when it is FOUND. */
enum xenback_found xenback_number(struct xenback *x, const char *name, uint32_t *value);

/* The guest's fault: a line in the log, but not any number of them. False. */
bool GAMUT_PRINTF(2, 3) xenback_complain(struct xenback *x, const char *fmt, ...);

#endif
