/* SPDX-License-Identifier: MIT */
/*
 * interrupts = "apic": those of a PC, 8259 pair, 8254, I/O APIC and local APICs,
 * of our own or, where the engine has hardware for it, the engine's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dm/pc/intr-instance.h"
#include "gamut/plugin.h"

static int create(const struct gamut_host *host, struct gamut_inst *inst, void **self)
{
	struct pc_intr *x = calloc(1, sizeof(*x));
	int rc = x ? pc_intr_create(x, host, inst) : host->fail(inst, ENOMEM, "out of memory");

	if (rc)
		free(x);
	else
		*self = x;
	return rc;
}

static int start(void *self)
{
	return pc_intr_start(self);
}

static int resume(void *self)
{
	pc_intr_resume(self);
	return 0;
}

static int reset(void *self)
{
	pc_intr_reset(self);
	return 0;
}

static void destroy(void *self)
{
	pc_intr_finish(self);
	free(self);
}

static const void *interface(void *self, const char *id, uint32_t revision)
{
	(void)self;
	return !strcmp(id, GAMUT_IRQ_LINES) && revision == GAMUT_IRQ_REVISION ? &pc_irq_lines : NULL;
}

static const struct gamut_ops ops = {
	.size = sizeof(struct gamut_ops),
	.create = create,
	.start = start,
	.resume = resume,
	.reset = reset,
	.destroy = destroy,
	.interface = interface,
};

static const char *const needs[] = { NULL };
static const char *const gives[] = { GAMUT_IRQ_LINES, NULL };
static const struct gamut_option options[] = { PC_INTR_OPTIONS };

static const struct gamut_descriptor descriptor = {
	.size = sizeof(struct gamut_descriptor),
	.axis = GAMUT_AXIS_INTERRUPTS,
	.colour = GAMUT_COLOUR_V,
	.score = 50,
	.choice = "apic",
	.description = "8259s, 8254, I/O APIC and local APICs",
	.needs = needs,
	.gives = gives,
	.options = options,
	.n_options = sizeof(options) / sizeof(options[0]),
	.ops = &ops,
};

static const struct gamut_descriptor *const descriptors[] = { &descriptor };

GAMUT_EXPORT const struct gamut_plugin gamut_plugin = {
	GAMUT_PLUGIN_HEADER,
	.name = "intr-apic",
	.version = "0.1.0",
	.licence = "MIT",
	.n_descriptors = 1,
	.descriptors = descriptors,
};
