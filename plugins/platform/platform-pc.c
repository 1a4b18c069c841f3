/* SPDX-License-Identifier: MIT */
/*
 * platform = "pc": an i440FX and PIIX machine, dm/pc/machine.h.
 *
 * With Xen's interrupts, whole (intr-xen) or event channels by line (intr-apic,
 * when somebody needs them), it has Xen's parts, dm/xen/pc.h. Without, a guest
 * finds no trace of Xen.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dm/pc/machine.h"
#include "dm/xen/pc.h"
#include "dm/xen/power.h"
#include "gamut/plugin.h"
#include "gamut/slots.h"

struct platform_pc {
	struct pc_machine machine; /* first, see there */
	struct xen_pc *xen;        /* NULL: no Xen */
};

/* ---- Xen's parts ---- */

#define XEN_DOMAIN_OF(self) (&((struct platform_pc *)(self))->xen->domain)
#include "dm/xen/domain-tables.h"

static int unplug_add(void *self, uint32_t kinds, gamut_xen_unplug_fn fn, void *opaque)
{
	return xen_device_on_unplug(&((struct platform_pc *)self)->xen->device, kinds, fn, opaque);
}

static const struct gamut_xen_unplug_ops unplug_ops = {
	.size = sizeof(struct gamut_xen_unplug_ops),
	.add = unplug_add,
};

static const void *xen_interface(const char *id, uint32_t revision)
{
	if (revision == GAMUT_XEN_REVISION && !strcmp(id, GAMUT_XEN_UNPLUG))
		return &unplug_ops;
	return domain_tables(id, revision);
}

/* In start, when the interrupts are there: they say whether this is Xen. */
static int make_xen(struct platform_pc *p)
{
	const struct gamut_host *host = p->machine.host;
	struct gamut_inst *inst = p->machine.inst;
	void *ignored;
	int rc;

	if (!host->lookup(inst, GAMUT_XEN_INTERRUPTS, GAMUT_XEN_REVISION, 0, &ignored))
		return 0;
	p->xen = calloc(1, sizeof(*p->xen));
	if (!p->xen)
		return host->fail(inst, ENOMEM, "out of memory");
	rc = xen_pc_init(p->xen, host, inst);
	if (rc) {
		free(p->xen);
		p->xen = NULL;
		return rc;
	}
	/* By which guests that look no further know where they are. */
	p->machine.maker = "Xen";
	p->machine.product = "HVM domU";
	pc_boot_reserve(&p->machine.boot, p->xen->special.addr, p->xen->special.size);
	return 0;
}

static int start_xen(struct platform_pc *p)
{
	return p->xen ? xen_pc_start(p->xen, &pci_bus_ops, &p->machine.pci) : 0;
}

static int reset_xen(struct platform_pc *p)
{
	return p->xen ? xen_pc_reset(p->xen) : 0;
}

/* ---- being asked to end ---- */

/* A guest with Xen's drivers is asked as they want to be; any other sees the power button. */
static int power_request(void *self, uint32_t what)
{
	struct platform_pc *p = self;
	struct pc_machine *m = &p->machine;
	int rc = -ENOENT;

	if (p->xen)
		rc = xen_power_if_offered(&xenbus_ops, p->xen->domain.bus, m->host->domain_id(m->inst), what);
	if (rc != -ENOENT)
		return rc;
	return what == GAMUT_POWER_OFF ? piix4_pm_button(&m->pm) : -ENOTSUP;
}

static const struct gamut_power_ops power_ops = {
	.size = sizeof(struct gamut_power_ops),
	.request = power_request,
};

/* ---- life cycle ---- */

static void destroy(void *self)
{
	struct platform_pc *p = self;

	if (p->xen)
		xen_pc_finish(p->xen);
	free(p->xen);
	pc_machine_finish(&p->machine);
	free(p);
}

static int create(const struct gamut_host *host, struct gamut_inst *inst, void **self)
{
	struct platform_pc *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return host->fail(inst, ENOMEM, "out of memory");
	rc = pc_machine_init(&p->machine, host, inst);
	if (!rc)
		rc = pc_machine_choose(&p->machine);
	if (!rc)
		rc = pc_machine_make(&p->machine);
	if (rc)
		destroy(p);
	else
		*self = p;
	return rc;
}

static int start(void *self)
{
	struct platform_pc *p = self;
	struct pc_machine *m = &p->machine;
	int rc;

	m->lines = m->host->lookup(m->inst, GAMUT_IRQ_LINES, GAMUT_IRQ_REVISION, 0, &m->lines_self);
	if (!m->lines)
		return m->host->fail(m->inst, ENOENT, "nobody gives \"%s\"", GAMUT_IRQ_LINES);
	rc = make_xen(p);
	if (!rc)
		rc = pc_machine_register(m);
	if (!rc)
		rc = start_xen(p);
	if (!rc)
		rc = pc_machine_tables(m);
	if (!rc)
		rc = pc_machine_firmware(m);
	return rc ? rc : pc_machine_power_on(m);
}

static int pause_op(void *self)
{
	struct platform_pc *p = self;

	pc_machine_flush(&p->machine);
	return 0;
}

static int resume(void *self)
{
	struct platform_pc *p = self;

	pc_machine_resume(&p->machine);
	return 0;
}

/* The guest's own map first: a page of ours may lie where the machine wants to put something. */
static int reset(void *self)
{
	struct platform_pc *p = self;
	int rc = reset_xen(p);

	return rc ? rc : pc_machine_power_on(&p->machine);
}

static void stop(void *self)
{
	struct platform_pc *p = self;

	pc_machine_flush(&p->machine);
	if (p->xen)
		xen_pc_stop(p->xen);
}

static const void *interface(void *self, const char *id, uint32_t revision)
{
	struct platform_pc *p = self;
	const void *found = pc_machine_interface(id, revision);

	if (!strcmp(id, GAMUT_POWER))
		return revision == GAMUT_POWER_REVISION ? &power_ops : NULL;
	return found || !p->xen ? found : xen_interface(id, revision);
}

static const struct gamut_ops ops = {
	.size = sizeof(struct gamut_ops),
	.create = create,
	.start = start,
	.pause = pause_op,
	.resume = resume,
	.reset = reset,
	.stop = stop,
	.destroy = destroy,
	.interface = interface,
};

static const char *const boots[] = { "auto", "direct", "bios", NULL };

static const struct gamut_option options[] = {
	{ .size = sizeof(struct gamut_option),
	  .type = GAMUT_OPTION_CHOICE,
	  .name = "boot",
	  .help = "how boot.kernel starts: without firmware, through the BIOS, or what its entries suggest",
	  .default_value = "auto",
	  .choices = boots },
	{ .size = sizeof(struct gamut_option),
	  .type = GAMUT_OPTION_PATH,
	  .name = "firmware",
	  .help = "image that ends at 4 GiB: SeaBIOS, OVMF",
	  .default_value = PC_FIRMWARE_FILE },
	{ .size = sizeof(struct gamut_option),
	  .type = GAMUT_OPTION_PATH,
	  .name = "vgabios",
	  .help = "option ROM of the VGA for SeaBIOS; empty: none",
	  .default_value = PC_VGA_BIOS_FILE },
	{ .size = sizeof(struct gamut_option),
	  .type = GAMUT_OPTION_STRING,
	  .name = "order",
	  .help = "what the BIOS boots from: up to three of disk, cdrom, network, floppy, with commas",
	  .default_value = "disk,cdrom,network" },
	{ .size = sizeof(struct gamut_option),
	  .type = GAMUT_OPTION_BOOL,
	  .name = "serial_screen",
	  .help = "The BIOS shows its screen on COM1, too, and takes keys from there",
	  .default_value = "false" },
	{ .size = sizeof(struct gamut_option),
	  .type = GAMUT_OPTION_BOOL,
	  .name = "testdev",
	  .help = "Add the devices that kvm-unit-tests drives",
	  .default_value = "false" },
};

static const char *const needs[] = { GAMUT_IRQ_LINES, NULL };
static const char *const gives[] = { GAMUT_PCI_BUS,         GAMUT_SERIAL_PORTS, GAMUT_TEXT_SCREEN, GAMUT_KEYBOARD,
	                             GAMUT_FIRMWARE_CONFIG, GAMUT_POWER,        GAMUT_GRANTS,      GAMUT_XENBUS,
	                             GAMUT_XEN_UNPLUG,      GAMUT_VIRTIO_TRANSPORT, NULL };

static const struct gamut_descriptor descriptor = {
	.size = sizeof(struct gamut_descriptor),
	.axis = GAMUT_AXIS_PLATFORM,
	.colour = GAMUT_COLOUR_V,
	.score = 50,
	.choice = "pc",
	.description = "a PC (i440FX, PIIX): PCI and ISA buses, VGA, serial ports, ACPI; BIOS or direct boot",
	.needs = needs,
	.gives = gives,
	.options = options,
	.n_options = sizeof(options) / sizeof(options[0]),
	.ops = &ops,
};

static const struct gamut_descriptor *const descriptors[] = { &descriptor };

GAMUT_EXPORT const struct gamut_plugin gamut_plugin = {
	GAMUT_PLUGIN_HEADER,
	.name = "platform-pc",
	.version = "0.1.0",
	.licence = "MIT",
	.n_descriptors = 1,
	.descriptors = descriptors,
};
