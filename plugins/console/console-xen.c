/* SPDX-License-Identifier: MIT */
/* console = "xen": the domain's PV console, hvc0 in Linux, on the domain's terminal. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dm/xen/console.h"
#include "gamut/plugin.h"

/* The instance is the console's own object and the two things that start needs. */
struct console_xen {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct xen_console *console;
};

static void destroy(void *self)
{
	struct console_xen *c = self;

	xen_console_destroy(c->console);
	free(c);
}

static int create(const struct gamut_host *host, struct gamut_inst *inst, void **self)
{
	struct console_xen *c = calloc(1, sizeof(*c));

	if (!c)
		return host->fail(inst, ENOMEM, "out of memory");
	c->host = host;
	c->inst = inst;
	c->console = xen_console_create(host, inst);
	if (!c->console) {
		int err = errno;

		destroy(c);
		return host->fail(inst, err, "cannot make the console: %s", strerror(err));
	}
	*self = c;
	return 0;
}

static int start(void *self)
{
	struct console_xen *c = self;
	const struct gamut_xenbus_ops *bus;
	const struct gamut_evtchn_ops *evtchn;
	void *bus_self, *evtchn_self;

	bus = c->host->lookup(c->inst, GAMUT_XENBUS, GAMUT_XEN_REVISION, 0, &bus_self);
	evtchn = c->host->lookup(c->inst, GAMUT_EVENT_CHANNELS, GAMUT_XEN_REVISION, 0, &evtchn_self);
	if (!bus || !evtchn)
		return c->host->fail(c->inst, ENODEV, "the Xen console needs a platform with %s and %s",
		                     GAMUT_XENBUS, GAMUT_EVENT_CHANNELS);
	return xen_console_start(c->console, bus, bus_self, evtchn, evtchn_self);
}

static int reset(void *self)
{
	return xen_console_reset(((struct console_xen *)self)->console);
}

static void stop(void *self)
{
	xen_console_stop(((struct console_xen *)self)->console);
}

static const struct gamut_ops ops = {
        .size = sizeof(struct gamut_ops),
        .create = create,
        .start = start,
        .reset = reset,
        .stop = stop,
        .destroy = destroy,
};

static const char *const needs[] = {GAMUT_EVENT_CHANNELS, GAMUT_XENBUS, NULL};
static const char *const gives[] = {NULL};

static const struct gamut_descriptor descriptor = {
        .size = sizeof(struct gamut_descriptor),
        .axis = GAMUT_AXIS_CONSOLE,
        .colour = GAMUT_COLOUR_P,
        .score = 100,
        .choice = "xen",
        .description = "Xen PV console (hvc0)",
        .needs = needs,
        .gives = gives,
        .ops = &ops,
};

static const struct gamut_descriptor *const descriptors[] = {&descriptor};

GAMUT_EXPORT const struct gamut_plugin gamut_plugin = {
        GAMUT_PLUGIN_HEADER, .name = "console-xen", .version = "0.1.0",
        .licence = "MIT",    .n_descriptors = 1,    .descriptors = descriptors,
};
