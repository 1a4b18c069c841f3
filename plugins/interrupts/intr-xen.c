/* SPDX-License-Identifier: MIT */
/*
 * interrupts = "xen": event channels, upcalls, PV timers and clocks, and local
 * APICs. On a PC, whose devices need lines, all of its interrupt controllers
 * are there beside them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dm/xen/intr.h"
#include "gamut/plugin.h"

static int create(const struct gamut_host *host, struct gamut_inst *inst, void **self)
{
	struct xen_intr *x = calloc(1, sizeof(*x));
	int rc;

	if (!x)
		rc = -ENOMEM;
	else if (host->needed(inst, GAMUT_IRQ_LINES))
		rc = xen_intr_init_pc(x, host, inst, GAMUT_XEN_INTR_VECTOR | GAMUT_XEN_INTR_TIME);
	else
		rc = xen_intr_init(x, host, inst);
	if (rc) {
		free(x);
		return host->fail(inst, -rc, "cannot make event channels: %s", strerror(-rc));
	}
	*self = x;
	return 0;
}

static int start(void *self)
{
	struct xen_intr *x = self;
	int rc = xen_intr_register(x);

	if (rc)
		return x->env.host->fail(x->env.inst, -rc, "cannot register event channels: %s", strerror(-rc));
	xen_intr_start(x);
	return 0;
}

static int pause_op(void *self)
{
	xen_intr_pause(self);
	return 0;
}

static int resume(void *self)
{
	xen_intr_resume(self);
	return 0;
}

static int reset(void *self)
{
	xen_intr_reset(self);
	return 0;
}

static void destroy(void *self)
{
	xen_intr_finish(self);
	free(self);
}

static const void *interface(void *self, const char *id, uint32_t revision)
{
	return xen_intr_interface(self, id, revision);
}

static const struct gamut_ops ops = {
	.size = sizeof(struct gamut_ops),
	.create = create,
	.start = start,
	.pause = pause_op,
	.resume = resume,
	.reset = reset,
	.destroy = destroy,
	.interface = interface,
};

static const char *const needs[] = { NULL };
static const char *const gives[] = { GAMUT_EVENT_CHANNELS, GAMUT_XEN_INTERRUPTS, GAMUT_IRQ_LINES, NULL };

static const struct gamut_descriptor descriptor = {
	.size = sizeof(struct gamut_descriptor),
	.axis = GAMUT_AXIS_INTERRUPTS,
	.colour = GAMUT_COLOUR_P,
	.score = 100,
	.choice = "xen",
	.description = "Xen event channels, PV timers, pvclock and local APICs; on a PC beside its own controllers",
	.needs = needs,
	.gives = gives,
	.ops = &ops,
};

static const struct gamut_descriptor *const descriptors[] = { &descriptor };

GAMUT_EXPORT const struct gamut_plugin gamut_plugin = {
	GAMUT_PLUGIN_HEADER,
	.name = "intr-xen",
	.version = "0.1.0",
	.licence = "MIT",
	.n_descriptors = 1,
	.descriptors = descriptors,
};
