/* SPDX-License-Identifier: MIT */
/*
 * interrupts = "apic": those of a PC, 8259 pair, 8254, I/O APIC and local APICs,
 * of our own or, where the engine has hardware for it, the engine's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dm/pc/intr.h"
#include "gamut/plugin.h"

static bool engine_may(const struct gamut_host *host)
{
	return GAMUT_HAS(host, struct gamut_host, irqchip_msi) && host->irqchip_create;
}

/* 1: the engine has them; 0: it has not; or -errno, and the user knows. */
static int ask_engine(const struct gamut_host *host, struct gamut_inst *inst)
{
	const char *choice = "auto";
	int rc;

	host->option_string(inst, "irqchip", &choice);
	if (!strcmp(choice, "own"))
		return 0;
	rc = engine_may(host) ? host->irqchip_create(inst, GAMUT_IRQCHIP_WHOLE, NULL, NULL) : -ENOTSUP;
	if (!rc)
		return 1;
	if (rc != -ENOTSUP)
		return host->fail(inst, -rc, "the engine cannot make its interrupt controllers: %s", strerror(-rc));
	if (strcmp(choice, "kernel"))
		return 0;
	return host->fail(inst, ENOTSUP, "irqchip = \"kernel\": this engine has no interrupt controllers on this host");
}

static bool offers_x2apic(const struct gamut_host *host, struct gamut_inst *inst)
{
	int on = 1;

	host->option_bool(inst, "x2apic", &on);
	return on;
}

static int create(const struct gamut_host *host, struct gamut_inst *inst, void **self)
{
	struct pc_intr *x;
	int rc = ask_engine(host, inst);

	if (rc < 0)
		return rc;
	x = calloc(1, sizeof(*x));
	rc = x ? pc_intr_init(x, host, inst, rc != 0) : -ENOMEM;
	if (rc) {
		free(x);
		return host->fail(inst, -rc, "cannot make the interrupt controllers: %s", strerror(-rc));
	}
	x->apics.no_x2apic = !offers_x2apic(host, inst);
	*self = x;
	return 0;
}

static int start(void *self)
{
	struct pc_intr *x = self;
	int rc = pc_intr_register(x);

	return rc ? x->host->fail(x->inst, -rc, "cannot register the interrupt controllers: %s", strerror(-rc)) : 0;
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
static const char *const irqchips[] = { "auto", "kernel", "own", NULL };

static const struct gamut_option options[] = {
	{
		.size = sizeof(struct gamut_option),
		.type = GAMUT_OPTION_CHOICE,
		.name = "irqchip",
		.help = "whose controllers: the host kernel's where the engine is KVM on hardware, or Gamut's own",
		.default_value = "auto",
		.choices = irqchips,
	},
	{
		.size = sizeof(struct gamut_option),
		.type = GAMUT_OPTION_BOOL,
		.name = "x2apic",
		.help = "offer the x2APIC mode of local APICs",
		.default_value = "true",
	},
};

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
