/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "dm/xen/netring.h"

/* ---- attention -------------------------------------------------------------------------- */

void netqueue_attend(struct netqueue *q, uint32_t what)
{
	__atomic_fetch_or(&q->attention, what, __ATOMIC_RELEASE);
	q->vif->host->defer_run(q->vif->inst, q->vif->defer);
}

/* [vcpu] [io] */
static void notified_tx(void *opaque)
{
	netqueue_attend(opaque, NETQUEUE_TX);
}

static void notified_rx(void *opaque)
{
	netqueue_attend(opaque, NETQUEUE_RX);
}

static void notified_both(void *opaque)
{
	netqueue_attend(opaque, NETQUEUE_TX | NETQUEUE_RX);
}

bool netqueue_work(struct netqueue *q)
{
	uint32_t what = __atomic_exchange_n(&q->attention, 0, __ATOMIC_ACQUIRE);
	bool more = false;

	if (!q->tx || q->vif->broken)
		return false;
	if (what & NETQUEUE_TX)
		more = nettx_work(q);
	if (what & NETQUEUE_RX && netrx_ready(q))
		netdev_ready(q->vif->netdev);
	if (more)
		__atomic_fetch_or(&q->attention, NETQUEUE_TX, __ATOMIC_RELAXED);
	return more;
}

void netqueue_break(struct netqueue *q, const char *why)
{
	struct netvif *vif = q->vif;

	if (vif->broken)
		return;
	vif->broken = true;
	netring_count(vif->counters.broken, 1);
	vif->host->log(vif->inst, GAMUT_LOG_WARN,
	               "the guest's network rings make no sense (%s): the card is disconnected", why);
	/* Not from here: the network may have called. */
	vif->host->defer_run(vif->inst, vif->defer);
}

void netqueue_publish(struct netqueue *q, RING_IDX *shared, const RING_IDX *event, RING_IDX *published,
                      RING_IDX rsp, uint32_t port)
{
	RING_IDX old = *published, wanted;

	if (old == rsp)
		return;
	*published = rsp;
	__atomic_store_n(shared, rsp, __ATOMIC_RELEASE);
	/* The index before the question whether the guest waits for it. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	wanted = __atomic_load_n(event, __ATOMIC_RELAXED);
	if ((RING_IDX)(rsp - wanted) < (RING_IDX)(rsp - old)) {
		netring_count(q->vif->counters.notifies, 1);
		q->vif->evtchn->notify(q->vif->evtchn_self, port);
	}
}

/* ---- life ------------------------------------------------------------------------------- */

static void unmap_rings(struct netqueue *q)
{
	struct netvif *vif = q->vif;

	if (q->tx)
		vif->grants->unmap(vif->grants_self, q->tx_ref, q->tx, 1);
	if (q->rx)
		vif->grants->unmap(vif->grants_self, q->rx_ref, q->rx, 1);
	q->tx = NULL;
	q->rx = NULL;
}

static int map_rings(struct netqueue *q)
{
	struct netvif *vif = q->vif;

	q->tx = vif->grants->map(vif->grants_self, q->tx_ref, 1, NULL);
	q->rx = vif->grants->map(vif->grants_self, q->rx_ref, 1, NULL);
	if (q->tx && q->rx)
		return 0;
	unmap_rings(q);
	return -EFAULT;
}

static int bind_ports(struct netqueue *q)
{
	struct netvif *vif = q->vif;
	bool both = q->tx_port == q->rx_port;
	int err = vif->evtchn->bind(vif->evtchn_self, q->tx_port, both ? notified_both : notified_tx, q);

	q->tx_bound = !err;
	if (err || both)
		return err;
	err = vif->evtchn->bind(vif->evtchn_self, q->rx_port, notified_rx, q);
	q->rx_bound = !err;
	return err;
}

/*
 * A front end that comes back to rings with history (a restarted back end) is
 * taken up where its responses ended; fresh rings have zeros there.
 */
static void read_indices(struct netqueue *q)
{
	q->tx_cons = q->tx_rsp = q->tx_published = __atomic_load_n(&q->tx->rsp_prod, __ATOMIC_ACQUIRE);
	q->rx_cons = q->rx_published = __atomic_load_n(&q->rx->rsp_prod, __ATOMIC_ACQUIRE);
}

struct netqueue *netqueue_create(struct netvif *vif, const struct netqueue_place *place)
{
	struct netqueue *q = calloc(1, sizeof(*q));
	int err = -ENOMEM;

	if (!q)
		goto fail;
	q->vif = vif;
	q->tx_ref = place->tx_ref;
	q->rx_ref = place->rx_ref;
	q->tx_port = place->tx_port;
	q->rx_port = place->rx_port;
	err = map_rings(q);
	if (err)
		goto fail;
	read_indices(q);
	err = bind_ports(q);
	if (err)
		goto fail;
	/* Requests may be there already. */
	netqueue_attend(q, NETQUEUE_TX | NETQUEUE_RX);
	return q;
fail:
	netqueue_destroy(q);
	errno = -err;
	return NULL;
}

void netqueue_destroy(struct netqueue *q)
{
	if (!q)
		return;
	if (q->tx_bound)
		q->vif->evtchn->unbind(q->vif->evtchn_self, q->tx_port);
	if (q->rx_bound)
		q->vif->evtchn->unbind(q->vif->evtchn_self, q->rx_port);
	nettx_rewind(q);
	unmap_rings(q);
	free(q);
}

void netqueue_suspend(struct netqueue *q)
{
	nettx_rewind(q);
	unmap_rings(q);
}

int netqueue_resume(struct netqueue *q)
{
	int err = map_rings(q);

	if (!err)
		netqueue_attend(q, NETQUEUE_TX | NETQUEUE_RX);
	return err;
}
