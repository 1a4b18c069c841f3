/* SPDX-License-Identifier: MIT */
/*
 * platform = "pvh": no chip set at all. A kernel is booted directly, at its PVH
 * entry, onto a bare board (dm/bare/board.h).
 *
 * Under interrupts = "xen" it finds Xen through CPUID, and gets everything else
 * by hypercall: a PVH domain. Under others it finds none of that, but what the
 * board's tables tell of and, under kvmclock, KVM: what others call a microvm.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dm/bare/board.h"
#include "dm/xen/domain.h"
#include "dm/xen/power.h"
#include "dm/xen/pvh.h"
#include "gamut/plugin.h"
#include "gamut/power.h"

/* Frames for host pages that HVM params name, where Xen's tool stack has them: below 4 GiB, never RAM. */
#define SPECIAL_GFN 0xfeff8ull
#define SPECIAL_COUNT 8u

enum { MAP_ACPI, MAP_LAPIC, MAP_SPECIAL, MAP_COUNT };

struct platform_pvh {
	struct bare_board board; /* first, see there */
	struct xen_domain domain;
	bool xen; /* it is there: since start */
	struct pvh_config boot;
	struct xen_e820 map[MAP_COUNT]; /* what is not RAM, ascending; with acpi = false the first is left out */
};

#define XEN_DOMAIN_OF(self) (&((struct platform_pvh *)(self))->domain)
#include "dm/xen/domain-tables.h"

/* What the guest's memory map shows beside RAM. */
static void make_map(struct platform_pvh *p)
{
	uint64_t tables = bare_board_tables(&p->board);
	uint32_t skip = tables ? 0 : 1;

	p->map[MAP_ACPI] = (struct xen_e820){ BARE_ACPI_GPA, tables, XEN_E820_ACPI };
	p->map[MAP_LAPIC] = (struct xen_e820){ ACPI_LAPIC_ADDR, XEN_PAGE_SIZE, XEN_E820_RESERVED };
	p->map[MAP_SPECIAL] = (struct xen_e820){ SPECIAL_GFN << XEN_PAGE_SHIFT, SPECIAL_COUNT * XEN_PAGE_SIZE,
		                                 XEN_E820_RESERVED };
	p->boot.extra = p->map + skip;
	p->boot.n_extra = MAP_COUNT - skip;
	p->boot.rsdp = tables ? BARE_ACPI_GPA : 0;
}

/*
 * All that can be wrong with the image is found here, before a disk or the
 * network has been touched.
 */
static int create(const struct gamut_host *host, struct gamut_inst *inst, void **self)
{
	struct platform_pvh *p = calloc(1, sizeof(*p));
	int rc, acpi = 1;

	if (!p)
		return host->fail(inst, ENOMEM, "out of memory");
	p->boot = (struct pvh_config){ .host = host, .inst = inst };
	host->option_bool(inst, "acpi", &acpi);
	rc = bare_board_init(&p->board, host, inst, acpi);
	if (rc)
		goto free_self;
	make_map(p);
	rc = pvh_check(&p->boot);
	if (rc)
		goto finish_board;
	*self = p;
	return 0;

finish_board:
	bare_board_finish(&p->board);
free_self:
	free(p);
	return rc;
}

/* ---- Xen ---- */

/* PVH kernels take events by a vector: without that, what there is of Xen is of no use to them. */
static bool finds_xen(const struct gamut_host *host, struct gamut_inst *inst)
{
	const struct gamut_xen_intr_ops *ops;
	void *self;

	ops = host->lookup(inst, GAMUT_XEN_INTERRUPTS, GAMUT_XEN_REVISION, 0, &self);
	if (!ops)
		return false;
	return !GAMUT_HAS(ops, struct gamut_xen_intr_ops, can) || !ops->can || ops->can(self) & GAMUT_XEN_INTR_VECTOR;
}

static bool wants_xen(const struct gamut_host *host, struct gamut_inst *inst)
{
	return host->needed(inst, GAMUT_GRANTS) || host->needed(inst, GAMUT_XENBUS);
}

static int start_xen(struct platform_pvh *p)
{
	const struct gamut_host *host = p->boot.host;
	struct gamut_inst *inst = p->boot.inst;
	const struct xenbus_config bus = {
		.host = host, .inst = inst, .special_gfn = SPECIAL_GFN, .special_count = SPECIAL_COUNT
	};
	int rc = xen_domain_init(&p->domain, &xen_flavour_hvm, &bus, p->boot.extra, p->boot.n_extra);

	if (rc)
		return rc;
	p->xen = p->boot.xen = true;
	p->domain.xen.started = host->sign(inst, GAMUT_AXIS_PLATFORM, GAMUT_COLOUR_P, "start of day");
	rc = xen_domain_start(&p->domain);
	if (rc)
		return rc;
	rc = xen_cpuid_set_mtrr(&p->domain.xen);
	if (!rc)
		rc = xen_console_port_register(&p->domain.xen);
	return rc ? host->fail(inst, -rc, "cannot offer MTRRs and the debug console: %s", strerror(-rc)) : 0;
}

/* ---- life cycle ---- */

static int start(void *self)
{
	struct platform_pvh *p = self;
	const struct gamut_host *host = p->boot.host;
	struct gamut_inst *inst = p->boot.inst;
	int rc = 0;

	if (finds_xen(host, inst))
		rc = start_xen(p);
	else if (wants_xen(host, inst))
		rc = host->fail(inst, ENODEV, "Xen's devices need event channels by a vector: use interrupts = \"xen\"");
	if (!rc)
		rc = bare_board_start(&p->board, p->xen);
	return rc ? rc : pvh_load(&p->boot);
}

static int pause_op(void *self)
{
	bare_board_flush(self);
	return 0;
}

/* The guest's map first: a page of ours may lie where the kernel goes. */
static int reset(void *self)
{
	struct platform_pvh *p = self;
	int rc = p->xen ? xen_domain_reset(&p->domain) : 0;

	if (!rc)
		rc = bare_board_reset(&p->board);
	return rc ? rc : pvh_load(&p->boot);
}

static void stop(void *self)
{
	struct platform_pvh *p = self;

	bare_board_flush(&p->board);
	if (p->xen)
		xen_domain_stop(&p->domain);
}

static void destroy(void *self)
{
	struct platform_pvh *p = self;

	if (p->xen)
		xen_domain_finish(&p->domain);
	bare_board_finish(&p->board);
	free(p);
}

static int power_request(void *self, uint32_t what)
{
	return xen_power_request(bus_of(self), what);
}

static const struct gamut_power_ops power = { sizeof(power), power_request };

/* A bare board has no button: who wants the guest to end has to ask in the guest. */
static const void *xen_interface(const char *id, uint32_t revision)
{
	if (!strcmp(id, GAMUT_POWER))
		return revision == GAMUT_POWER_REVISION ? &power : NULL;
	return domain_tables(id, revision);
}

static const void *interface(void *self, const char *id, uint32_t revision)
{
	struct platform_pvh *p = self;
	const void *ops = p->xen ? xen_interface(id, revision) : NULL;

	return ops ? ops : bare_board_interface(&p->board, id, revision);
}

static const struct gamut_ops ops = {
	.size = sizeof(struct gamut_ops),
	.create = create,
	.start = start,
	.pause = pause_op,
	.reset = reset,
	.stop = stop,
	.destroy = destroy,
	.interface = interface,
};

static const struct gamut_option options[] = {
	{ .size = sizeof(struct gamut_option),
	  .type = GAMUT_OPTION_BOOL,
	  .name = "acpi",
	  .help = "Give the guest ACPI tables, without which Linux finds no processors but the first",
	  .default_value = "true" },
};

static const char *const needs[] = { NULL };
static const char *const gives[] = { GAMUT_GRANTS, GAMUT_XENBUS,           GAMUT_SERIAL_PORTS,
	                             GAMUT_SLOTS,  GAMUT_VIRTIO_TRANSPORT, GAMUT_POWER, NULL };

static const struct gamut_descriptor descriptor = {
	.size = sizeof(struct gamut_descriptor),
	.axis = GAMUT_AXIS_PLATFORM,
	.colour = GAMUT_COLOUR_P,
	.score = 100,
	.choice = "pvh",
	.description = "direct boot and no chip set; under Xen's interrupts hypercalls, grant tables and xenstore",
	.needs = needs,
	.gives = gives,
	.options = options,
	.n_options = sizeof(options) / sizeof(options[0]),
	.ops = &ops,
};

static const struct gamut_descriptor *const descriptors[] = { &descriptor };

GAMUT_EXPORT const struct gamut_plugin gamut_plugin = {
	GAMUT_PLUGIN_HEADER,
	.name = "platform-pvh",
	.version = "0.1.0",
	.licence = "MIT",
	.n_descriptors = 1,
	.descriptors = descriptors,
};
