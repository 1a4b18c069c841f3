/* SPDX-License-Identifier: MIT */
/*
 * The byte transport of xen/io/xs_wire.h, the server's end of it.
 *
 * The page is shared with a hostile guest. The two indices that are ours,
 * req_cons and rsp_prod, live here and are only ever written to the page; the
 * guest's two are read once per call and refused when they claim more than a
 * ring holds.
 */
#ifndef DM_XEN_XS_RING_H
#define DM_XEN_XS_RING_H

#include <stdbool.h>
#include <stdint.h>

#include <xen/io/xs_wire.h>

struct xs_ring {
	struct xenstore_domain_interface *page; /* NULL: not connected */
	XENSTORE_RING_IDX req_cons, rsp_prod;
	bool notify; /* the guest has to hear of what was done */
};

/* Empties both rings and announces the features. page is zeroed memory or a ring to take over afresh. */
void xs_ring_init(struct xs_ring *ring, void *page);
/* Copies up to len bytes out of, or into, the page: how many, or -EIO for indices that cannot be. */
int xs_ring_read(struct xs_ring *ring, void *buf, uint32_t len);
int xs_ring_write(struct xs_ring *ring, const void *buf, uint32_t len);
/* Tells the guest through the page why it is not served any more: XENSTORE_ERROR_*. */
void xs_ring_set_error(struct xs_ring *ring, uint32_t error);
/* True when the guest asks to start over; then xs_ring_init has been done. */
bool xs_ring_reconnect(struct xs_ring *ring);

#endif
