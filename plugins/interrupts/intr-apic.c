/* SPDX-License-Identifier: MIT */
/*
 * interrupts = "apic": those of a PC, 8259 pair, 8254, I/O APIC and local APICs,
 * of our own or, where the engine has hardware for it, the engine's. Without a
 * PC it is I/O APIC, local APICs and 8254.
 *
 * A guest of a PC with Xen's PV drivers needs event channels: they are there when
 * somebody needs them, and interrupt by a line (dm/xen/upcall-line.h). What the
 * guest has done about its events is in its memory, and has to be looked at when
 * an interrupt ends; so the controllers are our own then.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dm/pc/intr-instance.h"
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

#define WHY_OWN "Xen's event channels interrupt by a line that only our own controllers can look at"

static int init(struct apic *x, const struct gamut_host *host, struct gamut_inst *inst)
{
	int rc;

	if (!x->with_xen)
		return pc_intr_create(&x->pc, host, inst, PC_INTR_TIMER);
	rc = pc_intr_must_be_own(host, inst, WHY_OWN);
	if (rc)
		return rc;
	rc = xen_intr_init_pc(&x->xen, host, inst, 0);
	if (rc)
		return host->fail(inst, -rc, "cannot make the interrupt controllers: %s", strerror(-rc));
	pc_intr_options(&x->pc);
	return 0;
}

static int create(const struct gamut_host *host, struct gamut_inst *inst, void **self)
{
	struct apic *x = calloc(1, sizeof(*x));
	int rc;

	if (!x)
		return host->fail(inst, ENOMEM, "out of memory");
	x->with_xen = wants_xen(host, inst);
	rc = init(x, host, inst);
	if (rc)
		free(x);
	else
		*self = x;
	return rc;
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
	return pc_intr_interface(&x->pc, id, revision);
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
static const struct gamut_option options[] = { PC_INTR_OPTIONS };

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
