/* SPDX-License-Identifier: MIT */
/*
 * platform = "pv": no chipset and no firmware. A kernel is entered in ring 3
 * with start_info in a register, and gets everything by hypercall. This file
 * wires up the domain builder, the hypercalls and the store, and hands the
 * finished domain to the monitor; it gives grants and xenbus.
 *
 * Machine addresses of what is the host's and not RAM: shared_info, and behind
 * it the frames of the grant table. The two rings, of the store and of the
 * console, are pages of RAM to the guest, with host pages over them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dm/xen/domain.h"
#include "dm/xen/pv/build.h"
#include "gamut/plugin.h"
#include "gamut/power.h"

#define SHARED_INFO_GPA 0xf0000000ull /* never RAM, and below the local APICs' page */
#define GRANT_GPA (SHARED_INFO_GPA + XEN_PAGE_SIZE)
#define RINGS 2u

struct platform_pv {
	struct xen_domain domain; /* first, see there */
	struct pv_build build;
	const struct gamut_pv_monitor_ops *monitor;
	void *monitor_self;
	uint64_t console_frame;
	uint32_t console_port;
};

/*
 * The console tells where its ring and port are as it does any Xen guest, by
 * HVM params; a PV guest reads them in start_info. Console plugins start and
 * reset after the platform, when start_info has been written.
 */
static int param_set(void *opaque, uint32_t index, uint64_t value)
{
	struct platform_pv *p = opaque;

	if (index == HVM_PARAM_CONSOLE_PFN)
		p->console_frame = value;
	else if (index == HVM_PARAM_CONSOLE_EVTCHN)
		p->console_port = (uint32_t)value;
	else
		return 0;
	return pv_build_console(&p->build, p->console_frame, p->console_port);
}

/* ---- life cycle ---- */

static int init(struct platform_pv *p)
{
	struct xenbus_config bus = {
		.host = p->build.host,
		.inst = p->build.inst,
		.special_count = RINGS,
		.param_set = param_set,
		.opaque = p,
	};
	int rc = pv_build_check(&p->build);

	if (rc)
		return rc;
	bus.special_gfn = pv_build_frame(&p->build, p->build.layout.xenstore);
	rc = xen_domain_init(&p->domain, &xen_flavour_pv, &bus, NULL, 0);
	if (rc)
		return rc;
	p->domain.xen.started = bus.host->sign(bus.inst, GAMUT_AXIS_PLATFORM, GAMUT_COLOUR_P, "start of day");
	p->domain.xen.grants.home = GRANT_GPA;
	p->domain.xen.memory.pv.rings = bus.special_gfn;
	p->domain.xen.memory.pv.n_rings = RINGS;
	return 0;
}

/*
 * All that can be wrong with the image is found here, before a disk or the
 * network has been touched.
 */
static int create(const struct gamut_host *host, struct gamut_inst *inst, void **self)
{
	struct platform_pv *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return host->fail(inst, ENOMEM, "out of memory");
	p->build = (struct pv_build){ .host = host, .inst = inst, .shared_info = SHARED_INFO_GPA };
	rc = init(p);
	if (rc)
		free(p);
	else
		*self = p;
	return rc;
}

/* Upcalls are masked at first on every vCPU, for the guest has no place for them yet. */
static int place_shared_info(struct platform_pv *p)
{
	const struct gamut_host *host = p->build.host;
	const struct xen_platform *xen = &p->domain.xen;
	const uint8_t masked = 1;
	int rc = xen->intr->shared_info_place(xen->intr_self, SHARED_INFO_GPA);

	for (uint32_t i = 0; i < XEN_LEGACY_MAX_VCPUS && !rc; i++)
		rc = host->mem_write(p->build.inst,
		                     SHARED_INFO_GPA + offsetof(struct shared_info, vcpu_info[i].evtchn_upcall_mask),
		                     &masked, sizeof(masked));
	return rc ? host->fail(p->build.inst, -rc, "cannot place shared_info: %s", strerror(-rc)) : 0;
}

/* Everything is at power-on: the image, and the monitor takes over. */
static int boot(struct platform_pv *p)
{
	uint64_t port = 0;
	int rc = place_shared_info(p);

	if (rc)
		return rc;
	xenbus_hvm_param_get(p->domain.bus, HVM_PARAM_STORE_EVTCHN, &port);
	rc = pv_build_load(&p->build, (uint32_t)port);
	if (rc)
		return rc;
	rc = p->monitor->boot(p->monitor_self, &p->build.boot);
	return rc ? p->build.host->fail(p->build.inst, -rc, "the PV monitor cannot take the domain over: %s",
	                                strerror(-rc)) :
	            0;
}

static int start(void *self)
{
	struct platform_pv *p = self;
	const struct gamut_host *host = p->build.host;
	struct pv_memory *memory = &p->domain.xen.memory.pv;
	int rc;

	p->monitor = host->lookup(p->build.inst, GAMUT_PV_MONITOR, GAMUT_XEN_REVISION, 0, &p->monitor_self);
	if (!p->monitor)
		return host->fail(p->build.inst, ENODEV, "the PV platform needs a PV monitor: use mmu = \"pv\"");
	memory->monitor = p->monitor;
	memory->monitor_self = p->monitor_self;
	rc = xen_domain_start(&p->domain);
	return rc ? rc : boot(p);
}

static int reset(void *self)
{
	struct platform_pv *p = self;
	int rc = xen_domain_reset(&p->domain);

	return rc ? rc : boot(p);
}

static void destroy(void *self)
{
	struct platform_pv *p = self;

	xen_domain_finish(&p->domain);
	free(p);
}

static const struct gamut_ops ops = {
	.size = sizeof(struct gamut_ops),
	.create = create,
	.start = start,
	.reset = reset,
	.stop = xen_domain_stop,
	.destroy = destroy,
	.interface = xen_domain_interface,
};

static const char *const needs[] = { GAMUT_EVENT_CHANNELS, GAMUT_PV_MONITOR, NULL };
static const char *const gives[] = { GAMUT_GRANTS, GAMUT_XENBUS, GAMUT_POWER, NULL };

static const struct gamut_descriptor descriptor = {
	.size = sizeof(struct gamut_descriptor),
	.axis = GAMUT_AXIS_PLATFORM,
	.colour = GAMUT_COLOUR_P,
	.score = 90,
	.choice = "pv",
	.description = "Xen PV: start_info direct boot, hypercalls, grant tables and xenstore; no chipset",
	.needs = needs,
	.gives = gives,
	.ops = &ops,
};

static const struct gamut_descriptor *const descriptors[] = { &descriptor };

GAMUT_EXPORT const struct gamut_plugin gamut_plugin = {
	GAMUT_PLUGIN_HEADER,
	.name = "platform-pv",
	.version = "0.1.0",
	.licence = "MIT",
	.n_descriptors = 1,
	.descriptors = descriptors,
};
