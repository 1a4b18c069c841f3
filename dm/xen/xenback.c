/* SPDX-License-Identifier: MIT */
/*
 * The two halves of a device meet in the store. Each has a directory with a
 * state; the guest's half is watched, and this is what its states do:
 *
 *     front end                back end, if it was
 *     Initialising             disconnect -> InitWait (the driver starts over)
 *     InitWait                 nothing
 *     Initialised, Connected   InitWait -> connect -> Connected
 *     Closing                  disconnect -> Closing
 *     Closed, gone             disconnect -> Closed
 *
 * The guest may write anything there at any time. Only the present state
 * counts, not the order of changes: a front end that goes from Closing to
 * Initialising may have been through Closed too quickly to be seen. Everything
 * is read again on connect.
 * What cannot be connected ends in Closing, as with Linux' back ends, and the
 * guest may start over from there.
 */
#include "dm/xen/xenback.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Lines in the log that one guest may cause by misuse. */
#define MAX_COMPLAINTS 16u
#define PATH           160u

/* ---- the store -------------------------------------------------------------------------- */

int xenback_put(struct xenback *x, const char *dir, const char *name, const char *fmt, ...)
{
	char path[PATH], value[128];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(value, sizeof(value), fmt, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof(value))
		return -E2BIG;
	n = snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	return x->bus->write(x->bus_self, path, value, (uint32_t)strlen(value));
}

char *xenback_get(struct xenback *x, const char *name)
{
	char path[PATH];
	int n = snprintf(path, sizeof(path), "%s/%s", x->front, name);

	return n < 0 || (size_t)n >= sizeof(path) ? NULL : x->bus->read(x->bus_self, path, NULL);
}

static bool parse_number(const char *text, uint32_t *value)
{
	unsigned long long n;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || *end || n > UINT32_MAX)
		return false;
	*value = (uint32_t)n;
	return true;
}

enum xenback_found xenback_number(struct xenback *x, const char *name, uint32_t *value)
{
	char *text = xenback_get(x, name);
	enum xenback_found found = XENBACK_ABSENT;

	if (text)
		found = parse_number(text, value) ? XENBACK_FOUND : XENBACK_WRONG;
	free(text);
	return found;
}

bool xenback_complain(struct xenback *x, const char *fmt, ...)
{
	char text[160];
	va_list args;

	if (x->complaints++ >= MAX_COMPLAINTS)
		return false;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	x->host->log(x->inst, GAMUT_LOG_WARN, "%s: cannot connect: %s", x->name, text);
	return false;
}

static void set_state(struct xenback *x, enum xenbus_state state)
{
	int err;

	if (x->state == state)
		return;
	x->state = state;
	err = xenback_put(x, x->back, "state", "%d", state);
	if (err)
		x->host->log(x->inst, GAMUT_LOG_ERROR, "%s: cannot write the state to the store: %s", x->name,
		             strerror(-err));
}

/* ---- the state machine ------------------------------------------------------------------ */

static void disconnect_to(struct xenback *x, enum xenbus_state state)
{
	x->ops->disconnect(x->opaque);
	set_state(x, state);
}

static void front_initialising(struct xenback *x)
{
	if (x->state != XenbusStateInitWait)
		disconnect_to(x, XenbusStateInitWait);
}

static void front_ready(struct xenback *x)
{
	if (x->state == XenbusStateConnected)
		return;
	/* From Closing too: a front end may mend its ways without going through Closed. */
	x->ops->disconnect(x->opaque);
	if (x->ops->connect(x->opaque))
		set_state(x, XenbusStateConnected);
	else
		disconnect_to(x, XenbusStateClosing);
}

static void front_closing(struct xenback *x)
{
	disconnect_to(x, XenbusStateClosing);
}

static void front_closed(struct xenback *x)
{
	disconnect_to(x, XenbusStateClosed);
}

static void (*const on_front[])(struct xenback *x) = {
        [XenbusStateUnknown] = front_closed,    [XenbusStateInitialising] = front_initialising,
        [XenbusStateInitialised] = front_ready, [XenbusStateConnected] = front_ready,
        [XenbusStateClosing] = front_closing,   [XenbusStateClosed] = front_closed,
};

/* The front end's state changed, or may have. [io] */
static void front_changed(void *opaque, const char *path)
{
	struct xenback *x = opaque;
	uint32_t state = XenbusStateUnknown;

	(void)path;
	if (!x->started || xenback_number(x, "state", &state) == XENBACK_WRONG)
		return;
	if (state < sizeof(on_front) / sizeof(on_front[0]) && on_front[state])
		on_front[state](x);
}

/* ---- life ------------------------------------------------------------------------------- */

/* Both directories as a tool stack and a fresh back end leave them. */
static int announce(struct xenback *x)
{
	int err = x->bus->device_add(x->bus_self, x->type, x->devid, x->front, sizeof(x->front), x->back,
	                             sizeof(x->back));

	x->state = XenbusStateInitialising;
	if (!err)
		err = x->ops->publish(x->opaque);
	if (!err)
		set_state(x, XenbusStateInitWait);
	return err;
}

int xenback_start(struct xenback *x, const struct gamut_xenbus_ops *bus, void *bus_self)
{
	char path[PATH];
	int err;

	x->bus = bus;
	x->bus_self = bus_self;
	err = announce(x);
	if (err)
		return err;
	snprintf(path, sizeof(path), "%s/state", x->front);
	x->watch = bus->watch(bus_self, path, front_changed, x);
	if (!x->watch) {
		err = -errno;
		bus->device_remove(bus_self, x->type, x->devid);
		return err;
	}
	x->started = true;
	return 0;
}

int xenback_reset(struct xenback *x)
{
	x->ops->disconnect(x->opaque);
	x->complaints = 0;
	/* Gone with the store's old tree, as a rule. */
	x->bus->device_remove(x->bus_self, x->type, x->devid);
	return announce(x);
}

void xenback_close(struct xenback *x)
{
	disconnect_to(x, XenbusStateClosing);
}

void xenback_stop(struct xenback *x)
{
	if (!x->started)
		return;
	x->started = false;
	x->ops->disconnect(x->opaque);
	x->bus->unwatch(x->bus_self, x->watch);
	x->watch = NULL;
	x->bus->device_remove(x->bus_self, x->type, x->devid);
}
