/* SPDX-License-Identifier: MIT */
#include "dm/xen/netback.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dm/xen/netring.h"
#include "dm/xen/xenback.h"

#define PATH 160u

struct netback {
	struct xenback x;
	struct netvif vif;
	struct netback_config c;
	char name[16];
	struct gamut_xs_watch *filter_watch;
	struct netqueue **queues; /* c.max_queues of them */
	uint32_t n_queues;
	bool stalled;       /* the network was left with a frame */
	uint64_t *connects; /* sign */
};

/* ---- publishing ------------------------------------------------------------------------- */

static int publish_identity(struct netback *b)
{
	const char *const dirs[] = {b->x.back, b->x.front};
	const uint8_t *m = b->c.mac;
	int err = xenback_put(&b->x, b->x.back, "type", "vif");

	for (int i = 0; !err && i < 2; i++) {
		err = xenback_put(&b->x, dirs[i], "handle", "%u", b->c.devid);
		if (!err)
			err = xenback_put(&b->x, dirs[i], "mac", "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1],
			                  m[2], m[3], m[4], m[5]);
		if (!err)
			err = xenback_put(&b->x, dirs[i], "mtu", "%u", b->vif.netdev->info.mtu);
	}
	return err ? err : xenback_put(&b->x, b->x.back, "hotplug-status", "connected");
}

/*
 * What the rings can do. That the network has no checksums of its own does not
 * show here: front ends leave them out whatever they are told, and they are
 * made on the way.
 */
static int publish_features(struct netback *b)
{
	uint32_t can = b->vif.netdev->info.can_send;
	const struct {
		const char *name;
		uint32_t value;
	} features[] = {
	        {"feature-rx-copy", 1},
	        {"feature-rx-flip", 0},
	        {"feature-rx-notify", 1},
	        {"feature-sg", 1},
	        {"feature-gso-tcpv4", can & NETDEV_CAN_TCPV4 ? 1 : 0},
	        {"feature-gso-tcpv6", can & NETDEV_CAN_TCPV6 ? 1 : 0},
	        {"feature-no-csum-offload", 0},
	        {"feature-ipv6-csum-offload", 1},
	        {"feature-split-event-channels", 1},
	        {"feature-multicast-control", 1},
	        {"feature-dynamic-multicast-control", 1},
	        {"feature-ctrl-ring", 0},
	        {"multi-queue-max-queues", b->c.max_queues},
	        {"carrier", 1},
	};
	int err = 0;

	for (size_t i = 0; !err && i < sizeof(features) / sizeof(features[0]); i++)
		err = xenback_put(&b->x, b->x.back, features[i].name, "%u", features[i].value);
	return err;
}

static int publish(void *opaque)
{
	int err = publish_identity(opaque);

	return err ? err : publish_features(opaque);
}

/* ---- what the front end wants ----------------------------------------------------------- */

static bool flag(struct netback *b, const char *name)
{
	uint32_t value = 0;

	xenback_number(&b->x, name, &value);
	return value;
}

static bool read_terms(struct netback *b, struct netterms *t)
{
	uint32_t queues = 1;

	if (!flag(b, "request-rx-copy"))
		return xenback_complain(&b->x, "request-rx-copy is not set, and pages are not flipped");
	if (xenback_number(&b->x, "multi-queue-num-queues", &queues) == XENBACK_WRONG || !queues ||
	    queues > b->c.max_queues)
		return xenback_complain(&b->x, "multi-queue-num-queues is not within 1 to %u",
		                        b->c.max_queues);
	*t = (struct netterms){
	        .queues = queues,
	        .sg = flag(b, "feature-sg"),
	        .csum_ipv4 = !flag(b, "feature-no-csum-offload"),
	        .csum_ipv6 = flag(b, "feature-ipv6-csum-offload"),
	        .rx_notify = flag(b, "feature-rx-notify"),
	        .multicast = flag(b, "request-multicast-control"),
	};
	/* Segmentation needs both. */
	t->gso_tcpv4 = flag(b, "feature-gso-tcpv4") && t->sg && t->csum_ipv4;
	t->gso_tcpv6 = flag(b, "feature-gso-tcpv6") && t->sg && t->csum_ipv6;
	return true;
}

static uint32_t can_take(const struct netterms *t)
{
	return (t->csum_ipv4 || t->csum_ipv6 ? NETDEV_CAN_CSUM : 0) | (t->gso_tcpv4 ? NETDEV_CAN_TCPV4 : 0) |
	       (t->gso_tcpv6 ? NETDEV_CAN_TCPV6 : 0);
}

static bool read_port(struct netback *b, const char *prefix, const char *name, uint32_t *port)
{
	char path[64];

	snprintf(path, sizeof(path), "%s%s", prefix, name);
	return xenback_number(&b->x, path, port) == XENBACK_FOUND;
}

static bool read_place(struct netback *b, uint32_t index, struct netqueue_place *p)
{
	char prefix[24] = "";

	if (b->vif.terms.queues > 1)
		snprintf(prefix, sizeof(prefix), "queue-%u/", index);
	if (!read_port(b, prefix, "tx-ring-ref", &p->tx_ref) ||
	    !read_port(b, prefix, "rx-ring-ref", &p->rx_ref))
		return xenback_complain(&b->x, "%stx-ring-ref or rx-ring-ref is missing or no number",
		                        prefix);
	if (read_port(b, prefix, "event-channel-tx", &p->tx_port) &&
	    read_port(b, prefix, "event-channel-rx", &p->rx_port))
		return true;
	if (!read_port(b, prefix, "event-channel", &p->tx_port))
		return xenback_complain(&b->x, "%sevent-channel is missing or no number", prefix);
	p->rx_port = p->tx_port;
	return true;
}

/* ---- connecting ------------------------------------------------------------------------- */

static void drop_queues(struct netback *b)
{
	bool any = b->n_queues;

	for (uint32_t i = 0; i < b->n_queues; i++) {
		netqueue_destroy(b->queues[i]);
		b->queues[i] = NULL;
	}
	b->n_queues = 0;
	b->vif.broken = false;
	b->vif.mcast.n = 0;
	if (any)
		netdev_set_offload(b->vif.netdev, 0);
}

static void disconnect(void *opaque)
{
	struct netback *b = opaque;
	bool was = b->n_queues;

	drop_queues(b);
	if (was && b->c.connected)
		b->c.connected(b->c.opaque, false);
	/* A frame that waits for buffers waits for nobody now: on [io] the network hears of it at once. */
	if (b->stalled)
		b->vif.host->defer_run(b->vif.inst, b->vif.defer);
}

static bool connect_queue(struct netback *b, uint32_t index)
{
	struct netqueue_place p;

	if (!read_place(b, index, &p))
		return false;
	b->queues[index] = netqueue_create(&b->vif, &p);
	if (!b->queues[index])
		return xenback_complain(&b->x, "queue %u (grants %u and %u, ports %u and %u): %s", index,
		                        p.tx_ref, p.rx_ref, p.tx_port, p.rx_port, strerror(errno));
	b->n_queues++;
	return true;
}

static bool connect_front(void *opaque)
{
	struct netback *b = opaque;

	if (!read_terms(b, &b->vif.terms))
		return false;
	for (uint32_t i = 0; i < b->vif.terms.queues; i++)
		if (!connect_queue(b, i))
			return false;
	if (b->c.connected)
		b->c.connected(b->c.opaque, true);
	netdev_set_offload(b->vif.netdev, can_take(&b->vif.terms));
	netring_count(b->connects, 1);
	return true;
}

static const struct xenback_ops back_ops = {
        .publish = publish,
        .connect = connect_front,
        .disconnect = disconnect,
};

/* The wish for a filter may change while connected. [io] */
static void filter_changed(void *opaque, const char *path)
{
	struct netback *b = opaque;

	(void)path;
	if (b->x.started && b->n_queues)
		b->vif.terms.multicast = flag(b, "request-multicast-control");
}

/* ---- the network ------------------------------------------------------------------------ */

static uint32_t queue_of(const struct netback *b, const struct netdev_frame *f)
{
	uint8_t buf[NET_HEADERS_MAX];
	const uint8_t *head;
	uint32_t n;

	if (b->n_queues == 1)
		return 0;
	head = netrx_head(f, buf, &n);
	return net_headers_hash(head, n, f->length) % b->n_queues;
}

/* Frames of one flow come one after the other, so that runs of them go to one queue. */
static uint32_t deliver(struct netback *b, const struct netdev_frame *frames, uint32_t n)
{
	uint32_t done = 0, queue = n ? queue_of(b, frames) : 0;

	while (done < n) {
		uint32_t end = done + 1, next = queue, taken;

		while (end < n && (next = queue_of(b, &frames[end])) == queue)
			end++;
		taken = netrx_receive(b->queues[queue], frames + done, end - done);
		netrx_publish(b->queues[queue]);
		done += taken;
		if (b->vif.broken || done < end)
			break;
		queue = next;
	}
	return done;
}

/* With nobody there a frame is lost, as on any cable. [io] */
static uint32_t receive(void *opaque, const struct netdev_frame *frames, uint32_t n)
{
	struct netback *b = opaque;
	uint32_t done;

	if (!b->n_queues || b->vif.broken) {
		netring_count(b->vif.counters.rx_dropped, n);
		return n;
	}
	done = deliver(b, frames, n);
	b->stalled = done < n;
	return done;
}

/* [io] */
static void writable(void *opaque)
{
	struct netback *b = opaque;

	b->vif.blocked = false;
	for (uint32_t i = 0; i < b->n_queues; i++)
		netqueue_attend(b->queues[i], NETQUEUE_TX);
}

/* [io] */
static void link_changed(void *opaque, bool up)
{
	struct netback *b = opaque;

	if (b->x.started)
		xenback_put(&b->x, b->x.back, "carrier", "%d", up);
}

/* Queues want attention. [io] */
static void work(void *opaque)
{
	struct netback *b = opaque;
	bool more = false;

	for (uint32_t i = 0; i < b->n_queues; i++)
		more |= netqueue_work(b->queues[i]);
	if (b->vif.broken)
		xenback_close(&b->x);
	if (!b->n_queues && b->stalled) {
		b->stalled = false;
		netdev_ready(b->vif.netdev);
	}
	if (more)
		b->vif.host->defer_run(b->vif.inst, b->vif.defer);
}

/* ---- life ------------------------------------------------------------------------------- */

static struct netcounters counters_of(const struct gamut_host *host, struct gamut_inst *inst)
{
	return (struct netcounters){
	        .tx_frames = host->counter(inst, "tx-frames"),
	        .tx_bytes = host->counter(inst, "tx-bytes"),
	        .rx_frames = host->counter(inst, "rx-frames"),
	        .rx_bytes = host->counter(inst, "rx-bytes"),
	        .rx_dropped = host->counter(inst, "rx-dropped"),
	        .rx_errors = host->counter(inst, "rx-errors"),
	        .bad = host->counter(inst, "bad-requests"),
	        .broken = host->counter(inst, "broken-rings"),
	        .notifies = host->counter(inst, "notifications"),
	        .frames = host->sign(inst, GAMUT_AXIS_NET, GAMUT_COLOUR_P, "frames"),
	};
}

struct netback *netback_create(const struct netback_config *config)
{
	struct netback *b = calloc(1, sizeof(*b));

	if (!b)
		goto fail;
	b->c = *config;
	snprintf(b->name, sizeof(b->name), "vif %u", config->devid);
	b->x = (struct xenback){
	        .host = config->host,
	        .inst = config->inst,
	        .ops = &back_ops,
	        .opaque = b,
	        .type = "vif",
	        .name = b->name,
	        .devid = config->devid,
	};
	b->vif.host = config->host;
	b->vif.inst = config->inst;
	b->vif.counters = counters_of(config->host, config->inst);
	b->connects = config->host->sign(config->inst, GAMUT_AXIS_NET, GAMUT_COLOUR_P, "ring connected");
	b->queues = calloc(config->max_queues, sizeof(b->queues[0]));
	b->vif.defer = config->host->defer_create(config->inst, work, b);
	if (!b->queues || !b->vif.defer)
		goto fail;
	return b;
fail:
	netback_destroy(b);
	errno = ENOMEM;
	return NULL;
}

void netback_destroy(struct netback *b)
{
	if (!b)
		return;
	if (b->vif.defer)
		b->vif.host->defer_destroy(b->vif.inst, b->vif.defer);
	free(b->queues);
	free(b);
}

void netback_front(struct netback *b, struct netdev_front *front)
{
	*front = (struct netdev_front){
	        .receive = receive,
	        .writable = writable,
	        .link = link_changed,
	        .opaque = b,
	};
	memcpy(front->mac, b->c.mac, NETDEV_MAC);
}

void netback_attach(struct netback *b, struct netdev *netdev)
{
	b->vif.netdev = netdev;
}

static int failed(struct netback *b, int err)
{
	return b->x.host->fail(b->x.inst, -err, "%s: cannot make the device's nodes in the store: %s",
	                       b->name, strerror(-err));
}

int netback_start(struct netback *b, const struct netback_peers *peers)
{
	char path[PATH];
	int err;

	b->vif.evtchn = peers->evtchn;
	b->vif.evtchn_self = peers->evtchn_self;
	b->vif.grants = peers->grants;
	b->vif.grants_self = peers->grants_self;
	err = xenback_start(&b->x, peers->bus, peers->bus_self);
	if (err)
		return failed(b, err);
	snprintf(path, sizeof(path), "%s/request-multicast-control", b->x.front);
	b->filter_watch = peers->bus->watch(peers->bus_self, path, filter_changed, b);
	if (b->filter_watch)
		return 0;
	err = failed(b, -errno);
	xenback_stop(&b->x);
	return err;
}

void netback_pause(struct netback *b)
{
	for (uint32_t i = 0; i < b->n_queues; i++)
		netqueue_suspend(b->queues[i]);
}

void netback_resume(struct netback *b)
{
	bool dead = false;

	for (uint32_t i = 0; i < b->n_queues; i++)
		dead |= netqueue_resume(b->queues[i]) != 0;
	if (!dead)
		return;
	xenback_complain(&b->x, "the guest no longer grants its rings");
	xenback_close(&b->x);
}

int netback_reset(struct netback *b)
{
	int err = xenback_reset(&b->x);

	netdev_flush(b->vif.netdev);
	/* Whoever refused the old guest's frames has forgotten it. */
	b->vif.blocked = b->stalled = false;
	return err ? failed(b, err) : 0;
}

void netback_stop(struct netback *b)
{
	if (b->filter_watch)
		b->x.bus->unwatch(b->x.bus_self, b->filter_watch);
	b->filter_watch = NULL;
	xenback_stop(&b->x);
}
