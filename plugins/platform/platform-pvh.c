/* SPDX-License-Identifier: MIT */
/*
 * platform = "pvh": no chipset at all. A kernel is booted directly, finds Xen
 * through CPUID, and gets everything else by hypercall. This file wires up
 * the loader, the hypercalls and the store; it gives grants and xenbus.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dm/acpi/acpi.h"
#include "dm/pc/lapic.h"
#include "dm/xen/domain.h"
#include "dm/xen/pvh.h"
#include "gamut/plugin.h"
#include "gamut/power.h"

/* Frames for host pages that HVM params name, where Xen's tool stack has them: below 4 GiB, never RAM. */
#define SPECIAL_GFN 0xfeff8ull
#define SPECIAL_COUNT 8u

/* And the ACPI tables. */
#define ACPI_GPA 0xfc000000ull

/* The reset control register of PCs, as good a place as any: it is found through the FADT. */
#define RESET_PORT 0xcf9u
#define RESET_VALUE 0x06u /* "reset the processor, and hard" */

enum { MAP_ACPI, MAP_LAPIC, MAP_SPECIAL, MAP_COUNT };

struct platform_pvh {
	struct xen_domain domain; /* first, see there */
	struct pvh_config boot;
	struct xen_e820 map[MAP_COUNT]; /* what is not RAM, ascending; with acpi = false the first is left out */
	struct gamut_page *acpi;        /* pages of the tables; NULL: none */
	void *tables;                   /* the same, ours to write */
	struct acpi_config acpi_config;
	uint32_t *apic_id;
	uint64_t *resets; /* counter */
};

/* ---- ACPI ---- */

static uint64_t reset_read(void *opaque, uint64_t offset, uint32_t width)
{
	(void)opaque;
	(void)offset;
	(void)width;
	return 0;
}

static void reset_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct platform_pvh *p = opaque;

	(void)offset;
	(void)width;
	if ((value & RESET_VALUE) != RESET_VALUE)
		return;
	__atomic_fetch_add(p->resets, 1, __ATOMIC_RELAXED);
	p->boot.host->domain_end(p->boot.inst, GAMUT_END_REBOOT);
}

static const struct gamut_io_ops reset_ops = {
	.size = sizeof(struct gamut_io_ops),
	.read = reset_read,
	.write = reset_write,
};

static uint64_t acpi_bytes(const struct platform_pvh *p)
{
	return (acpi_size(&p->acpi_config) + XEN_PAGE_SIZE - 1) & ~(uint64_t)(XEN_PAGE_SIZE - 1);
}

static int acpi_create(struct platform_pvh *p)
{
	const struct gamut_host *host = p->boot.host;
	uint32_t n = host->vcpu_count(p->boot.inst);

	p->apic_id = calloc(n, sizeof(*p->apic_id));
	if (!p->apic_id)
		return host->fail(p->boot.inst, ENOMEM, "out of memory");
	for (uint32_t i = 0; i < n; i++)
		p->apic_id[i] = lapic_id_of(i);
	p->acpi_config = (struct acpi_config){ p->apic_id, n, RESET_PORT, RESET_VALUE };
	p->acpi = host->page_alloc(p->boot.inst, (uint32_t)(acpi_bytes(p) / XEN_PAGE_SIZE), &p->tables);
	if (!p->acpi)
		return host->fail(p->boot.inst, ENOMEM, "no memory for the ACPI tables");
	return 0;
}

static void acpi_destroy(struct platform_pvh *p)
{
	if (p->acpi)
		p->boot.host->page_free(p->boot.inst, p->acpi);
	free(p->apic_id);
}

/* Memory that the guest may write to, and take away: all of it is made anew. */
static int acpi_place(struct platform_pvh *p)
{
	const struct gamut_host *host = p->boot.host;
	uint64_t bytes = acpi_bytes(p);
	int rc = 0;

	if (!p->acpi)
		return 0;
	memset(p->tables, 0, bytes);
	rc = acpi_build(&p->acpi_config, ACPI_GPA, p->tables, bytes);
	for (uint32_t i = 0; i < bytes / XEN_PAGE_SIZE && !rc; i++) {
		host->page_unmap(p->boot.inst, p->acpi, i);
		rc = host->page_map(p->boot.inst, p->acpi, i, ACPI_GPA + i * XEN_PAGE_SIZE);
		host->mem_dirty(p->boot.inst, ACPI_GPA + i * XEN_PAGE_SIZE, XEN_PAGE_SIZE);
	}
	return rc ? host->fail(p->boot.inst, -rc, "cannot place the ACPI tables: %s", strerror(-rc)) : 0;
}

/* ---- life cycle ---- */

/* What the guest's memory map shows beside RAM. */
static void make_map(struct platform_pvh *p)
{
	uint32_t skip = p->acpi ? 0 : 1;

	p->map[MAP_ACPI] = (struct xen_e820){ ACPI_GPA, p->acpi ? acpi_bytes(p) : 0, XEN_E820_ACPI };
	p->map[MAP_LAPIC] = (struct xen_e820){ ACPI_LAPIC_ADDR, XEN_PAGE_SIZE, XEN_E820_RESERVED };
	p->map[MAP_SPECIAL] = (struct xen_e820){ SPECIAL_GFN << XEN_PAGE_SHIFT, SPECIAL_COUNT * XEN_PAGE_SIZE,
		                                 XEN_E820_RESERVED };
	p->boot.extra = p->map + skip;
	p->boot.n_extra = MAP_COUNT - skip;
	p->boot.rsdp = p->acpi ? ACPI_GPA : 0;
}

/*
 * All that can be wrong with the image is found here, before a disk or the
 * network has been touched.
 */
static int create(const struct gamut_host *host, struct gamut_inst *inst, void **self)
{
	struct platform_pvh *p = calloc(1, sizeof(*p));
	const struct xenbus_config bus = {
		.host = host, .inst = inst, .special_gfn = SPECIAL_GFN, .special_count = SPECIAL_COUNT
	};
	int rc, acpi = 1;

	if (!p)
		return host->fail(inst, ENOMEM, "out of memory");
	p->boot = (struct pvh_config){ .host = host, .inst = inst };
	host->option_bool(inst, "acpi", &acpi);
	rc = acpi ? acpi_create(p) : 0;
	if (rc)
		goto free_self;
	make_map(p);
	rc = pvh_check(&p->boot);
	if (rc)
		goto free_self;
	rc = xen_domain_init(&p->domain, &xen_flavour_hvm, &bus, p->boot.extra, p->boot.n_extra);
	if (rc)
		goto free_self;
	p->domain.xen.started = host->sign(inst, GAMUT_AXIS_PLATFORM, GAMUT_COLOUR_P, "start of day");
	*self = p;
	return 0;

free_self:
	acpi_destroy(p);
	free(p);
	return rc;
}

static int start(void *self)
{
	struct platform_pvh *p = self;
	const struct gamut_host *host = p->boot.host;
	struct gamut_inst *inst = p->boot.inst;
	int rc = xen_domain_start(&p->domain);

	if (rc)
		return rc;
	rc = xen_cpuid_set_mtrr(&p->domain.xen);
	if (!rc)
		rc = xen_console_port_register(&p->domain.xen);
	if (rc)
		return host->fail(inst, -rc, "cannot offer MTRRs and the debug console: %s", strerror(-rc));
	p->resets = host->counter(inst, "resets-by-register");
	rc = p->acpi ? host->pio_register(inst, RESET_PORT, 1, &reset_ops, p) : 0;
	if (!rc)
		rc = acpi_place(p);
	return rc ? rc : pvh_load(&p->boot);
}

/* The guest's map first: a page of ours may lie where the kernel goes. */
static int reset(void *self)
{
	struct platform_pvh *p = self;
	int rc = xen_domain_reset(&p->domain);

	if (!rc)
		rc = acpi_place(p);
	return rc ? rc : pvh_load(&p->boot);
}

static void destroy(void *self)
{
	struct platform_pvh *p = self;

	xen_domain_finish(&p->domain);
	acpi_destroy(p);
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

static const struct gamut_option options[] = {
	{ .size = sizeof(struct gamut_option),
	  .type = GAMUT_OPTION_BOOL,
	  .name = "acpi",
	  .help = "Give the guest ACPI tables, without which Linux finds no processors but the first",
	  .default_value = "true" },
};

static const char *const needs[] = { GAMUT_EVENT_CHANNELS, NULL };
static const char *const gives[] = { GAMUT_GRANTS, GAMUT_XENBUS, GAMUT_POWER, NULL };

static const struct gamut_descriptor descriptor = {
	.size = sizeof(struct gamut_descriptor),
	.axis = GAMUT_AXIS_PLATFORM,
	.colour = GAMUT_COLOUR_P,
	.score = 100,
	.choice = "pvh",
	.description = "Xen PVH: direct boot, hypercalls, grant tables and xenstore; no chipset",
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
