/* SPDX-License-Identifier: MIT */
/*
 * Event channels and grants for tests of Xen back ends: plain tables over the
 * RAM of a struct host_fake, and the guest's side of both.
 */
#ifndef XEN_FAKE_H
#define XEN_FAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "fake/host-fake.h"
#include "gamut/xen.h"

#define XEN_FAKE_PORTS  64
#define XEN_FAKE_GRANTS 4096

struct xen_fake {
	struct host_fake *host;
	struct {
		bool open;  /* the guest offers it, or alloc made it */
		bool bound; /* a back end has it */
		gamut_evtchn_fn fn;
		void *opaque;
		uint32_t notified; /* how often the back end notified the guest */
	} ports[XEN_FAKE_PORTS];
	struct {
		bool granted, readonly;
		uint64_t gpa;
		uint32_t maps;    /* now */
		uint32_t mapped;  /* ever */
		uint32_t dirtied; /* unmapped as dirty */
	} grants[XEN_FAKE_GRANTS];
	uint32_t maps; /* of all grants, now */
};

extern const struct gamut_evtchn_ops xen_fake_evtchn;
extern const struct gamut_grant_ops xen_fake_grants;

void xen_fake_init(struct xen_fake *x, struct host_fake *host);
/* The guest offers a port for a back end to bind; 0 when there is none left. */
uint32_t xen_fake_open(struct xen_fake *x);
/* The guest notifies; nothing happens on a port without back end. */
void xen_fake_send(struct xen_fake *x, uint32_t port);
void xen_fake_grant(struct xen_fake *x, uint32_t ref, uint64_t gpa, bool readonly);
void xen_fake_revoke(struct xen_fake *x, uint32_t ref);

#endif
