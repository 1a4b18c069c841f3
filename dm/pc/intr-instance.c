/* SPDX-License-Identifier: MIT */
#include "dm/pc/intr-instance.h"

#include <errno.h>
#include <string.h>

#include "gamut/pc.h"
#include "gamut/slots.h"

const char *const pc_intr_irqchips[] = { "auto", "kernel", "own", NULL };

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

void pc_intr_options(struct pc_intr *x)
{
	x->apics.no_x2apic = !offers_x2apic(x->host, x->inst);
}

int pc_intr_must_be_own(const struct gamut_host *host, struct gamut_inst *inst, const char *why)
{
	const char *choice = "auto";

	host->option_string(inst, "irqchip", &choice);
	if (strcmp(choice, "kernel"))
		return 0;
	return host->fail(inst, EINVAL, "irqchip = \"kernel\": %s; use \"auto\" or \"own\"", why);
}

bool pc_intr_on_pc(const struct gamut_host *host, struct gamut_inst *inst)
{
	return host->needed(inst, GAMUT_IRQ_LINES);
}

bool pc_intr_has_devices(const struct gamut_host *host, struct gamut_inst *inst)
{
	return host->needed(inst, GAMUT_SLOTS) || host->needed(inst, GAMUT_VIRTIO_TRANSPORT) ||
	       host->needed(inst, GAMUT_SERIAL_PORTS);
}

/* The engine's are a PC's wherever they are: a bare platform does not tell of what is too much. */
int pc_intr_create(struct pc_intr *x, const struct gamut_host *host, struct gamut_inst *inst, enum pc_intr_kind bare)
{
	int rc = ask_engine(host, inst);

	if (rc < 0)
		return rc;
	rc = pc_intr_init(x, host, inst, rc ? PC_INTR_KERNEL : pc_intr_on_pc(host, inst) ? PC_INTR_OWN : bare);
	if (rc)
		return host->fail(inst, -rc, "cannot make the interrupt controllers: %s", strerror(-rc));
	pc_intr_options(x);
	return 0;
}

int pc_intr_start(struct pc_intr *x)
{
	int rc = pc_intr_register(x);

	return rc ? x->host->fail(x->inst, -rc, "cannot register the interrupt controllers: %s", strerror(-rc)) : 0;
}
