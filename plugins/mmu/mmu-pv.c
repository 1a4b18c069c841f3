/* SPDX-License-Identifier: MIT */
/* mmu = "pv": the guest's kernel runs in ring 3, and what it may not do there it asks of a monitor: dm/xen/pv. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dm/xen/pv/monitor.h"
#include "gamut/plugin.h"

static int create(const struct gamut_host *host, struct gamut_inst *inst, void **self)
{
	struct pv_domain *d = calloc(1, sizeof(*d));
	int rc = d ? pv_domain_init(d, host, inst) : -ENOMEM;

	if (rc) {
		free(d);
		return host->fail(inst, -rc, "cannot make the monitor of a PV guest: %s", strerror(-rc));
	}
	*self = d;
	return 0;
}

static int start(void *self)
{
	struct pv_domain *d = self;
	int rc = pv_domain_start(d);

	if (rc)
		return d->env.host->fail(d->env.inst, -rc, "cannot start the monitor of a PV guest: %s", strerror(-rc));
	return 0;
}

static int pause_op(void *self)
{
	pv_domain_pause(self);
	return 0;
}

static int resume(void *self)
{
	pv_domain_resume(self);
	return 0;
}

static void destroy(void *self)
{
	pv_domain_finish(self);
	free(self);
}

static const void *interface(void *self, const char *id, uint32_t revision)
{
	(void)self;
	return revision == GAMUT_XEN_REVISION && !strcmp(id, GAMUT_PV_MONITOR) ? &pv_monitor_ops : NULL;
}

static const struct gamut_ops ops = {
	.size = sizeof(struct gamut_ops),
	.create = create,
	.start = start,
	.pause = pause_op,
	.resume = resume, /* no reset: the platform boots the image anew through "pv-monitor", and that is all of it */
	.destroy = destroy,
	.interface = interface,
};

static const char *const needs[] = { "engine:pv-ring3", GAMUT_EVENT_CHANNELS, NULL };
static const char *const gives[] = { GAMUT_PV_MONITOR, NULL };

static const struct gamut_descriptor descriptor = {
	.size = sizeof(struct gamut_descriptor),
	.axis = GAMUT_AXIS_MMU,
	.colour = GAMUT_COLOUR_P,
	.score = 50,
	.choice = "pv",
	.description = "Xen's PV MMU: the kernel in ring 3, direct paging through hypercalls",
	.needs = needs,
	.gives = gives,
	.ops = &ops,
};

static const struct gamut_descriptor *const descriptors[] = { &descriptor };

GAMUT_EXPORT const struct gamut_plugin gamut_plugin = {
	GAMUT_PLUGIN_HEADER,
	.name = "mmu-pv",
	.version = "0.1.0",
	.licence = "MIT",
	.n_descriptors = 1,
	.descriptors = descriptors,
};
