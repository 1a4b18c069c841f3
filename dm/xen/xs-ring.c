/* SPDX-License-Identifier: MIT */
#include "dm/xen/xs-ring.h"

#include <errno.h>
#include <string.h>

void xs_ring_init(struct xs_ring *ring, void *page)
{
	struct xenstore_domain_interface *p = page;

	*ring = (struct xs_ring){.page = p, .notify = true};
	__atomic_store_n(&p->req_prod, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&p->req_cons, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&p->rsp_prod, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&p->rsp_cons, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&p->server_features,
	                 XENSTORE_SERVER_FEATURE_RECONNECTION | XENSTORE_SERVER_FEATURE_ERROR,
	                 __ATOMIC_RELAXED);
	__atomic_store_n(&p->error, XENSTORE_ERROR_NONE, __ATOMIC_RELAXED);
	/* Last: the guest waits for it and then uses the indices. */
	__atomic_store_n(&p->connection, XENSTORE_CONNECTED, __ATOMIC_RELEASE);
}

static uint32_t min32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

int xs_ring_read(struct xs_ring *ring, void *buf, uint32_t len)
{
	XENSTORE_RING_IDX prod = __atomic_load_n(&ring->page->req_prod, __ATOMIC_ACQUIRE);
	uint32_t avail = prod - ring->req_cons;
	uint32_t at = MASK_XENSTORE_IDX(ring->req_cons);
	uint32_t part;

	if (avail > XENSTORE_RING_SIZE)
		return -EIO;
	len = min32(len, avail);
	if (!len)
		return 0;
	part = min32(len, XENSTORE_RING_SIZE - at);
	memcpy(buf, ring->page->req + at, part);
	memcpy((char *)buf + part, ring->page->req, len - part);
	ring->req_cons += len;
	__atomic_store_n(&ring->page->req_cons, ring->req_cons, __ATOMIC_RELEASE);
	ring->notify = true;
	return (int)len;
}

int xs_ring_write(struct xs_ring *ring, const void *buf, uint32_t len)
{
	XENSTORE_RING_IDX cons = __atomic_load_n(&ring->page->rsp_cons, __ATOMIC_ACQUIRE);
	uint32_t used = ring->rsp_prod - cons;
	uint32_t at = MASK_XENSTORE_IDX(ring->rsp_prod);
	uint32_t part;

	if (used > XENSTORE_RING_SIZE)
		return -EIO;
	len = min32(len, XENSTORE_RING_SIZE - used);
	if (!len)
		return 0;
	part = min32(len, XENSTORE_RING_SIZE - at);
	memcpy(ring->page->rsp + at, buf, part);
	memcpy(ring->page->rsp, (const char *)buf + part, len - part);
	ring->rsp_prod += len;
	__atomic_store_n(&ring->page->rsp_prod, ring->rsp_prod, __ATOMIC_RELEASE);
	ring->notify = true;
	return (int)len;
}

void xs_ring_set_error(struct xs_ring *ring, uint32_t error)
{
	__atomic_store_n(&ring->page->error, error, __ATOMIC_RELEASE);
	ring->notify = true;
}

bool xs_ring_reconnect(struct xs_ring *ring)
{
	if (__atomic_load_n(&ring->page->connection, __ATOMIC_ACQUIRE) != XENSTORE_RECONNECT)
		return false;
	xs_ring_init(ring, ring->page);
	return true;
}
