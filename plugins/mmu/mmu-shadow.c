/* SPDX-License-Identifier: MIT */
/*
 * mmu = "shadow": the guest's page tables are not what is walked; the engine
 * keeps tables of its own that follow them. The tables are the engine's
 * (engine/bt/shadow.c, or the host's KVM where it has no nested paging), and
 * the guest sees no difference: there is nothing for a plugin to do but to say
 * so.
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

static const char *const needs[] = { "engine:shadow", NULL };
static const char *const gives[] = { NULL };

static const struct gamut_descriptor descriptor = {
	.size = sizeof(struct gamut_descriptor),
	.axis = GAMUT_AXIS_MMU,
	.colour = GAMUT_COLOUR_V,
	.score = 20,
	.choice = "shadow",
	.description = "Shadow page tables, kept in step with the guest's own",
	.needs = needs,
	.gives = gives,
	.ops = &ops,
};

static const struct gamut_descriptor *const descriptors[] = { &descriptor };

GAMUT_EXPORT const struct gamut_plugin gamut_plugin = {
	GAMUT_PLUGIN_HEADER,
	.name = "mmu-shadow",
	.version = "0.1.0",
	.licence = "MIT",
	.n_descriptors = 1,
	.descriptors = descriptors,
};
