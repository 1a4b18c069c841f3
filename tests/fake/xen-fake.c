/* SPDX-License-Identifier: MIT */
#include "fake/xen-fake.h"

#include <errno.h>
#include <string.h>

void xen_fake_init(struct xen_fake *x, struct host_fake *host)
{
	memset(x, 0, sizeof(*x));
	x->host = host;
}

/* ---- event channels; port 0 is never valid ---- */

uint32_t xen_fake_open(struct xen_fake *x)
{
	for (uint32_t port = 1; port < XEN_FAKE_PORTS; port++) {
		if (x->ports[port].open)
			continue;
		memset(&x->ports[port], 0, sizeof(x->ports[port]));
		x->ports[port].open = true;
		return port;
	}
	return 0;
}

static int fake_bind(void *self, uint32_t port, gamut_evtchn_fn fn, void *opaque)
{
	struct xen_fake *x = self;

	if (port >= XEN_FAKE_PORTS || !x->ports[port].open)
		return -EINVAL;
	if (x->ports[port].bound)
		return -EBUSY;
	x->ports[port].bound = true;
	x->ports[port].fn = fn;
	x->ports[port].opaque = opaque;
	return 0;
}

static int fake_alloc(void *self, gamut_evtchn_fn fn, void *opaque)
{
	uint32_t port = xen_fake_open(self);

	if (!port)
		return -ENOSPC;
	fake_bind(self, port, fn, opaque);
	return (int)port;
}

static void fake_unbind(void *self, uint32_t port)
{
	struct xen_fake *x = self;

	x->ports[port].bound = false;
}

static void fake_notify(void *self, uint32_t port)
{
	struct xen_fake *x = self;

	x->ports[port].notified++;
}

void xen_fake_send(struct xen_fake *x, uint32_t port)
{
	if (port < XEN_FAKE_PORTS && x->ports[port].bound)
		x->ports[port].fn(x->ports[port].opaque);
}

/* ---- grants ---- */

void xen_fake_grant(struct xen_fake *x, uint32_t ref, uint64_t gpa, bool readonly)
{
	x->grants[ref].granted = true;
	x->grants[ref].readonly = readonly;
	x->grants[ref].gpa = gpa;
}

void xen_fake_revoke(struct xen_fake *x, uint32_t ref)
{
	x->grants[ref].granted = false;
}

static void *fake_map(void *self, uint32_t ref, int write, uint64_t *gpa)
{
	struct xen_fake *x = self;

	if (ref >= XEN_FAKE_GRANTS || !x->grants[ref].granted || (write && x->grants[ref].readonly))
		return NULL;
	x->grants[ref].maps++;
	x->grants[ref].mapped++;
	x->maps++;
	if (gpa)
		*gpa = x->grants[ref].gpa;
	return x->host->ram + x->grants[ref].gpa;
}

static void fake_unmap(void *self, uint32_t ref, void *page, int dirty)
{
	struct xen_fake *x = self;

	(void)page;
	x->grants[ref].maps--;
	x->grants[ref].dirtied += dirty != 0;
	x->maps--;
}

const struct gamut_evtchn_ops xen_fake_evtchn = {
        .size = sizeof(struct gamut_evtchn_ops),
        .alloc = fake_alloc,
        .bind = fake_bind,
        .unbind = fake_unbind,
        .notify = fake_notify,
};

const struct gamut_grant_ops xen_fake_grants = {
        .size = sizeof(struct gamut_grant_ops),
        .map = fake_map,
        .unmap = fake_unmap,
};
