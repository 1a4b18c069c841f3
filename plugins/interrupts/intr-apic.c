/* SPDX-License-Identifier: MIT */
/*
 * interrupts = "apic": those of a PC, 8259 pair, 8254, I/O APIC and local APICs,
 * of our own or, where the engine has hardware for it, the engine's.
 *
 * A guest of a PC with Xen's PV drivers needs event channels: they are there when
 * somebody needs them, and interrupt by a line (dm/xen/upcall-line.h). What the
 * guest has done about its events is in its memory, and has to be looked at when
 * an interrupt ends; so the controllers are our own then.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dm/xen/intr.h"
#include "gamut/plugin.h"

/* Begins with the controllers, which is all that there is of it without Xen. */
struct apic {
	union {
		struct pc_intr pc;
		struct xen_intr xen;
	};
	bool with_xen;
};

static bool wants_xen(const struct gamut_host *host, struct gamut_inst *inst)
{
	return host->needed(inst, GAMUT_EVENT_CHANNELS) || host->needed(inst, GAMUT_GRANTS) ||
	       host->needed(inst, GAMUT_XENBUS);
}

static bool engine_may(const struct gamut_host *host)
{
	return GAMUT_HAS(host, struct gamut_host, irqchip_msi) && host->irqchip_create;
}

/* 1: the engine has them; 0: it has not; or -errno, and the user knows. */
static int ask_engine(const struct gamut_host *host, struct gamut_inst *inst, bool with_xen)
{
	const char *choice = "auto";
	int rc;

	host->option_string(inst, "irqchip", &choice);
	if (with_xen && !strcmp(choice, "kernel"))
		return host->fail(inst, EINVAL,
		                  "irqchip = \"kernel\": Xen's event channels interrupt by a line that only our own "
		                  "controllers can look at; use \"auto\" or \"own\"");
	if (with_xen || !strcmp(choice, "own"))
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
	bool with_xen = wants_xen(host, inst);
	struct apic *x;
	int rc = ask_engine(host, inst, with_xen);

	if (rc < 0)
		return rc;
	x = calloc(1, sizeof(*x));
	if (!x)
		return host->fail(inst, ENOMEM, "out of memory");
	x->with_xen = with_xen;
	rc = with_xen ? xen_intr_init_pc(&x->xen, host, inst, 0) :
	                pc_intr_init(&x->pc, host, inst, rc ? PC_INTR_KERNEL : PC_INTR_OWN);
	if (rc) {
		free(x);
		return host->fail(inst, -rc, "cannot make the interrupt controllers: %s", strerror(-rc));
	}
	x->pc.apics.no_x2apic = !offers_x2apic(host, inst);
	*self = x;
	return 0;
}

static int start(void *self)
{
	struct apic *x = self;
	int rc = x->with_xen ? xen_intr_register(&x->xen) : pc_intr_register(&x->pc);

	return rc ? x->pc.host->fail(x->pc.inst, -rc, "cannot register the interrupt controllers: %s", strerror(-rc)) : 0;
}

static int pause_op(void *self)
{
	struct apic *x = self;

	if (x->with_xen)
		xen_intr_pause(&x->xen);
	return 0;
}

static int resume(void *self)
{
	struct apic *x = self;

	if (x->with_xen)
		xen_intr_resume(&x->xen);
	else
		pc_intr_resume(&x->pc);
	return 0;
}

static int reset(void *self)
{
	struct apic *x = self;

	if (x->with_xen)
		xen_intr_reset(&x->xen);
	else
		pc_intr_reset(&x->pc);
	return 0;
}

static void destroy(void *self)
{
	struct apic *x = self;

	if (x->with_xen)
		xen_intr_finish(&x->xen);
	else
		pc_intr_finish(&x->pc);
	free(x);
}

static const void *interface(void *self, const char *id, uint32_t revision)
{
	struct apic *x = self;

	if (x->with_xen)
		return xen_intr_interface(&x->xen, id, revision);
	return !strcmp(id, GAMUT_IRQ_LINES) && revision == GAMUT_IRQ_REVISION ? &pc_irq_lines : NULL;
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
static const char *const gives[] = { GAMUT_IRQ_LINES, GAMUT_EVENT_CHANNELS, GAMUT_XEN_INTERRUPTS, NULL };
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
	.description = "8259s, 8254, I/O APIC and local APICs; Xen event channels by an interrupt line",
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
