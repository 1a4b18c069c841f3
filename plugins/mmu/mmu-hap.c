/* SPDX-License-Identifier: MIT */
/*
 * mmu = "hap": the guest owns its page tables, and guest physical addresses
 * are translated below them: by the processor (EPT, NPT) or by the engine's
 * own two-dimensional walk. There is nothing for a plugin to do but to say so.
 */
#include "gamut/host.h"
#include "gamut/plugin.h"

static int create(const struct gamut_host *host, struct gamut_inst *inst, void **self)
{
	(void)host;
	*self = inst;
	return 0;
}

static void destroy(void *self)
{
	(void)self;
}

static const struct gamut_ops ops = {
	.size = sizeof(struct gamut_ops),
	.create = create,
	.destroy = destroy,
};

static const char *const needs[] = { "engine:hap", NULL };
static const char *const gives[] = { NULL };

static const struct gamut_descriptor descriptor = {
	.size = sizeof(struct gamut_descriptor),
	.axis = GAMUT_AXIS_MMU,
	.colour = GAMUT_COLOUR_VH,
	.score = 100,
	.choice = "hap",
	.description = "The guest's own page tables over hardware-assisted paging",
	.needs = needs,
	.gives = gives,
	.ops = &ops,
};

static const struct gamut_descriptor *const descriptors[] = { &descriptor };

GAMUT_EXPORT const struct gamut_plugin gamut_plugin = {
	GAMUT_PLUGIN_HEADER,
	.name = "mmu-hap",
	.version = "0.1.0",
	.licence = "MIT",
	.n_descriptors = 1,
	.descriptors = descriptors,
};
