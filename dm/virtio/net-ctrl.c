/* SPDX-License-Identifier: MIT */
/*
 * The control queue of virtio-net: 5.1.6.5. A command is a class and a number,
 * its data, and a byte for the answer; the data is copied once. What is not
 * known, not negotiated or of the wrong length is answered with an error.
 */
#include "dm/virtio/net-internal.h"

#include <errno.h>
#include <string.h>

/* Commands before the other queues get their turn. */
#define ROUND 64

#define GUEST_OFFLOADS                                                                                                 \
	(VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_CSUM) | VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO4) |                           \
	 VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO6) | VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_ECN))

/* The data of a command. */
struct data {
	const struct virtq_chain *chain;
	uint32_t at, left;
};

static bool get(struct data *d, void *to, uint32_t n)
{
	if (d->left < n)
		return false;
	virtq_copy_out(d->chain, d->at, to, n);
	d->at += n;
	d->left -= n;
	return true;
}

/* Data that is exactly n bytes. */
static bool get_all(struct data *d, void *to, uint32_t n)
{
	return d->left == n && get(d, to, n);
}

/* ---- what to receive -------------------------------------------------------------------- */

static bool rx_mode(struct vnet *n, uint8_t command, struct data *d)
{
	struct vnet_filter *f = &n->filter;
	bool *const modes[] = {
	        [VIRTIO_NET_CTRL_RX_PROMISC] = &f->promisc, [VIRTIO_NET_CTRL_RX_ALLMULTI] = &f->allmulti,
	        [VIRTIO_NET_CTRL_RX_ALLUNI] = &f->alluni,   [VIRTIO_NET_CTRL_RX_NOMULTI] = &f->nomulti,
	        [VIRTIO_NET_CTRL_RX_NOUNI] = &f->nouni,     [VIRTIO_NET_CTRL_RX_NOBCAST] = &f->nobcast,
	};
	uint32_t feature = command > VIRTIO_NET_CTRL_RX_ALLMULTI ? VIRTIO_NET_F_CTRL_RX_EXTRA : VIRTIO_NET_F_CTRL_RX;
	uint8_t on;

	if (command > VIRTIO_NET_CTRL_RX_NOBCAST || !virtio_has(&n->dev, feature) || !get_all(d, &on, 1))
		return false;
	*modes[command] = on;
	return true;
}

/* One of the two lists of addresses; of too many none is kept, and all pass. */
static bool get_table(struct data *d, uint8_t table[VNET_TABLE][NETDEV_MAC], uint32_t *count, bool *any)
{
	uint32_t entries;

	if (!get(d, &entries, sizeof(entries)) || entries > d->left / NETDEV_MAC)
		return false;
	*any = entries > VNET_TABLE;
	*count = *any ? 0 : entries;
	get(d, table, *count * NETDEV_MAC);
	d->at += (entries - *count) * NETDEV_MAC;
	d->left -= (entries - *count) * NETDEV_MAC;
	return true;
}

static bool mac_table(struct vnet *n, struct data *d)
{
	struct vnet_filter f = n->filter;

	if (!virtio_has(&n->dev, VIRTIO_NET_F_CTRL_RX) || !get_table(d, f.unicast, &f.n_unicast, &f.any_unicast) ||
	    !get_table(d, f.multicast, &f.n_multicast, &f.any_multicast) || d->left)
		return false;
	n->filter = f;
	return true;
}

static bool mac_address(struct vnet *n, struct data *d)
{
	uint8_t mac[NETDEV_MAC];

	if (!virtio_has(&n->dev, VIRTIO_NET_F_CTRL_MAC_ADDR) || !get_all(d, mac, sizeof(mac)))
		return false;
	memcpy(n->filter.mac, mac, sizeof(mac));
	return true;
}

static bool mac(struct vnet *n, uint8_t command, struct data *d)
{
	return command == VIRTIO_NET_CTRL_MAC_TABLE_SET  ? mac_table(n, d) :
	       command == VIRTIO_NET_CTRL_MAC_ADDR_SET ? mac_address(n, d) :
	                                                 false;
}

static bool vlan(struct vnet *n, uint8_t command, struct data *d)
{
	uint16_t id;

	if (!n->filter.by_vlan || command > VIRTIO_NET_CTRL_VLAN_DEL || !get_all(d, &id, sizeof(id)) || id > 4095)
		return false;
	if (command == VIRTIO_NET_CTRL_VLAN_ADD)
		n->filter.vlan[id / 32] |= 1u << (id % 32);
	else
		n->filter.vlan[id / 32] &= ~(1u << (id % 32));
	return true;
}

/* ---- the rest --------------------------------------------------------------------------- */

static bool announce(struct vnet *n, uint8_t command, struct data *d)
{
	if (command != VIRTIO_NET_CTRL_ANNOUNCE_ACK || !virtio_has(&n->dev, VIRTIO_NET_F_GUEST_ANNOUNCE) || d->left)
		return false;
	n->announce = false;
	return true;
}

/* Queues that were not read from until now may hold frames. */
static bool pairs(struct vnet *n, uint8_t command, struct data *d)
{
	uint16_t count;

	if (command != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET || !virtio_has(&n->dev, VIRTIO_NET_F_MQ) ||
	    !get_all(d, &count, sizeof(count)) || !count || count > n->c.pairs)
		return false;
	n->pairs = count;
	memset(n->flow, 0, sizeof(n->flow));
	for (uint32_t i = 0; i < count; i++)
		vnet_ask(n, 1ull << vnet_tx_index(i) | 1ull << vnet_rx_index(i));
	return true;
}

static bool offloads(struct vnet *n, uint8_t command, struct data *d)
{
	uint64_t wanted;

	if (command != VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET || !virtio_has(&n->dev, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) ||
	    !get_all(d, &wanted, sizeof(wanted)) || wanted & ~(n->dev.features & GUEST_OFFLOADS))
		return false;
	n->can = vnet_can(wanted);
	vnet_ask(n, VNET_ASK_OFFLOAD);
	return true;
}

/* ---- commands --------------------------------------------------------------------------- */

static bool (*const classes[])(struct vnet *n, uint8_t command, struct data *d) = {
        [VIRTIO_NET_CTRL_RX] = rx_mode,
        [VIRTIO_NET_CTRL_MAC] = mac,
        [VIRTIO_NET_CTRL_VLAN] = vlan,
        [VIRTIO_NET_CTRL_ANNOUNCE] = announce,
        [VIRTIO_NET_CTRL_MQ] = pairs,
        [VIRTIO_NET_CTRL_GUEST_OFFLOADS] = offloads,
};

static void command(struct vnet *n, struct virtq *q, const struct virtq_chain *c)
{
	struct virtio_net_ctrl_hdr h;
	struct data d = {.chain = c, .at = sizeof(h), .left = c->out_len - (uint32_t)sizeof(h)};
	uint8_t answer;

	virtq_copy_out(c, 0, &h, sizeof(h));
	answer = h.class < sizeof(classes) / sizeof(classes[0]) && classes[h.class](n, h.cmd, &d) ? VIRTIO_NET_OK
	                                                                                          : VIRTIO_NET_ERR;
	virtq_copy_in(c, 0, &answer, 1);
	virtq_put(q, c->seg, c->n_out, c->n_in, 1);
	virtq_push(q, c->head, 1);
	virtio_add(n->n.commands, 1);
}

/* One command; false when there is none, or no more. */
static bool next_command(struct vnet *n, struct virtq *q, uint32_t index)
{
	struct virtq_chain c;
	int got = virtq_pop(q, &c, n->rx.segs, VNET_BATCH_SEGS);

	if (!got)
		return virtq_listen(q);
	if (got > 0 && (c.out_len < sizeof(struct virtio_net_ctrl_hdr) || !c.in_len)) {
		virtq_put(q, c.seg, c.n_out, c.n_in, 0);
		q->fault = "a command without room for itself or its answer";
		got = -EPROTO;
	}
	if (got < 0) {
		virtio_broken(&n->dev, index, q->fault);
		return false;
	}
	command(n, q, &c);
	return true;
}

void vnet_ctrl_run(struct vnet *n)
{
	uint32_t index = vnet_ctrl_index(n);
	struct virtq *q = &n->dev.queues[index];
	bool more = true;

	pthread_mutex_lock(&q->lock);
	if (q->live && virtio_has(&n->dev, VIRTIO_NET_F_CTRL_VQ)) {
		for (int i = 0; i < ROUND && more; i++)
			more = next_command(n, q, index);
		virtio_publish(&n->dev, index);
		if (more)
			vnet_ask(n, 1ull << index);
	}
	pthread_mutex_unlock(&q->lock);
}
