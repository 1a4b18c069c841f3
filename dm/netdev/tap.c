/* SPDX-License-Identifier: MIT */
/*
 * The network back end "tap": frames go to and come from an interface of the
 * host's, each with a struct virtio_net_hdr in front that says what is left to
 * be done to it, by one system call each.
 *
 * What comes is read straight into the queue that the front end is offered
 * frames from. While that is past its mark nothing is read: the interface's own
 * queue fills, and then drops, as any network does.
 *
 * The interface may be deleted under the guest, or be taken down and up again.
 * To the guest both are a cable that is pulled out; after the first it stays
 * out.
 */
#include "dm/netdev/tap.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dm/netdev/link.h"
#include "dm/netdev/packet.h"
#include "dm/netdev/queue.h"

#define QUEUE_SIZE (2u << 20)
#define QUEUE_HIGH (QUEUE_SIZE / 2)
/* Frames of one visit; there may be no end of them. */
#define BATCH 256
/* Pieces of a frame that go to the kernel as they are. */
#define PIECES 64u

struct tap {
	struct netdev netdev;
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct netdev_front front;
	struct tap_interface interface;
	struct netdev_queue queue;
	uint32_t can;    /* NETDEV_CAN_*: what the front end takes */
	bool blocked;    /* the front end took less than it was offered */
	bool waiting;    /* the interface took less than it was sent */
	bool gone;       /* it was deleted */
	bool up;         /* what the front end was told last */
	bool looked;     /* at the interface, once */
	uint32_t events; /* watched */
	struct gamut_watch *watch, *monitor_watch;
	int monitor;
	struct gamut_defer *service;
	uint8_t *linear;
	uint64_t *dropped, *unsupported;
};

static struct tap *tap_of(struct netdev *dev)
{
	return (struct tap *)dev;
}

static void count(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

/* ---- the interface ---- */

static void set_events(struct tap *t)
{
	bool room = !t->blocked && t->queue.used < QUEUE_HIGH;
	uint32_t events = (room ? GAMUT_FD_IN : 0) | (t->waiting ? GAMUT_FD_OUT : 0);

	if (!t->gone && events != t->events && !t->host->fd_modify(t->inst, t->watch, events))
		t->events = events;
}

static void tell_link(struct tap *t, bool up)
{
	if (up == t->up)
		return;
	t->up = up;
	if (t->front.link)
		t->front.link(t->front.opaque, up);
}

/* Whether errno says that there is no interface behind the descriptor any more. */
static bool is_gone(int err)
{
	return err == EBADFD || err == ENXIO || err == ENODEV;
}

/* Not from inside of send: `link` is a call like any other. */
static void vanish(struct tap *t)
{
	if (t->gone)
		return;
	t->gone = true;
	t->waiting = false;
	t->host->fd_unwatch(t->inst, t->watch);
	t->watch = NULL;
	t->host->log(t->inst, GAMUT_LOG_WARN, "%s is gone: the guest's network cable is out, for good", t->interface.name);
	tell_link(t, false);
	/* What the front end still has goes nowhere, but it goes. */
	t->front.writable(t->front.opaque);
}

static void check_link(struct tap *t)
{
	struct netdev_link link;

	/* If it went to another network namespace, it cannot be asked any more, but works. */
	if (!t->gone && !netdev_link_get(t->interface.index, &link))
		tell_link(t, link.up);
}

static void on_change(void *opaque, int fd, uint32_t mask)
{
	struct tap *t = opaque;

	(void)mask;
	if (netdev_link_changed(fd, t->interface.index))
		check_link(t);
}

/* ---- to the guest ---- */

static uint32_t needs(uint8_t gso_type)
{
	static const uint32_t can[] = {[NETDEV_GSO_TCPV4] = NETDEV_CAN_TCPV4,
	                               [NETDEV_GSO_UDP] = UINT32_MAX,
	                               [NETDEV_GSO_TCPV6] = NETDEV_CAN_TCPV6,
	                               [NETDEV_GSO_UDP_L4] = NETDEV_CAN_UDP_L4};
	uint8_t type = gso_type & (uint8_t)~NETDEV_GSO_ECN;

	return (type < sizeof(can) / sizeof(can[0]) ? can[type] : UINT32_MAX) |
	       (gso_type & NETDEV_GSO_ECN ? NETDEV_CAN_ECN : 0);
}

/*
 * What the header says, in our words. The kernel knows what the front end
 * takes, but may have had the frame in its queue before it was told so: a
 * missing checksum is made, and a frame that is too large is lost. False: it is.
 */
static bool read_header(const struct tap *t, const struct virtio_net_hdr *h, uint8_t *frame, uint32_t length,
                        struct netdev_offload *o)
{
	*o = (struct netdev_offload){.gso_type = h->gso_type};
	if (h->gso_type != VIRTIO_NET_HDR_GSO_NONE && (needs(h->gso_type) & ~t->can))
		return false;
	if (h->gso_type == VIRTIO_NET_HDR_GSO_NONE && length > NETDEV_FRAME_MAX)
		return false;
	o->header_len = le16toh(h->hdr_len);
	o->gso_size = le16toh(h->gso_size);
	if (h->flags & VIRTIO_NET_HDR_F_DATA_VALID)
		o->flags |= NETDEV_CSUM_VALID;
	if (!(h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return true;
	o->flags |= NETDEV_CSUM_NEEDED;
	o->csum_start = le16toh(h->csum_start);
	o->csum_offset = le16toh(h->csum_offset);
	if (t->can & NETDEV_CAN_CSUM)
		return true;
	if (!netdev_checksum_fits(o, length))
		return false;
	netdev_checksum(frame, length, o);
	*o = (struct netdev_offload){.flags = NETDEV_CSUM_VALID};
	return true;
}

/* One frame into the queue: 0, or -errno of the interface. */
static int read_frame(struct tap *t, uint8_t *to)
{
	struct virtio_net_hdr header;
	struct iovec iov[2] = {{&header, sizeof(header)}, {to, NETDEV_GSO_MAX}};
	struct netdev_offload offload;
	ssize_t n = readv(t->interface.fd, iov, 2);

	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof(header) + NETDEV_HEADER ||
	    !read_header(t, &header, to, (uint32_t)n - (uint32_t)sizeof(header), &offload))
		count(t->dropped);
	else
		netdev_queue_commit(&t->queue, (uint32_t)n - (uint32_t)sizeof(header), &offload);
	return 0;
}

/* -errno when the interface is gone. */
static int read_frames(struct tap *t)
{
	for (int i = 0; i < BATCH && t->queue.used < QUEUE_HIGH; i++) {
		uint8_t *to = netdev_queue_reserve(&t->queue, NETDEV_GSO_MAX);
		int err = to ? read_frame(t, to) : -EAGAIN;

		if (err && err != -EINTR)
			return is_gone(-err) ? err : 0;
	}
	return 0;
}

static void pump(struct tap *t)
{
	if (!t->blocked)
		t->blocked = !netdev_queue_offer(&t->queue, &t->front);
	set_events(t);
}

static void on_ready(void *opaque, int fd, uint32_t mask)
{
	struct tap *t = opaque;
	bool gone = mask & GAMUT_FD_ERR;

	(void)fd;
	if (mask & GAMUT_FD_IN && !t->blocked)
		gone = read_frames(t) || gone;
	pump(t);
	if (gone) {
		vanish(t);
	} else if (mask & GAMUT_FD_OUT && t->waiting) {
		t->waiting = false;
		set_events(t);
		t->front.writable(t->front.opaque);
	}
}

static void service(void *opaque)
{
	struct tap *t = opaque;

	/* It may be down from the beginning; later on, changes are told. */
	if (!t->looked)
		check_link(t);
	t->looked = true;
	pump(t);
}

/* ---- from the guest ---- */

static bool write_header(struct virtio_net_hdr *h, const struct netdev_frame *frame)
{
	const struct netdev_offload *o = &frame->offload;

	*h = (struct virtio_net_hdr){.gso_type = VIRTIO_NET_HDR_GSO_NONE};
	if (o->flags & NETDEV_CSUM_NEEDED) {
		if (!netdev_checksum_fits(o, frame->length))
			return false;
		h->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		h->csum_start = htole16(o->csum_start);
		h->csum_offset = htole16(o->csum_offset);
	} else if (o->flags & NETDEV_CSUM_VALID) {
		h->flags = VIRTIO_NET_HDR_F_DATA_VALID;
	}
	if (!o->gso_type)
		return true;
	h->gso_type = o->gso_type;
	h->gso_size = htole16(o->gso_size);
	h->hdr_len = htole16(o->header_len);
	return o->gso_size && o->header_len < frame->length;
}

static bool takes(const struct tap *t, const struct netdev_frame *frame)
{
	if (frame->length < NETDEV_HEADER)
		return false;
	if (!frame->offload.gso_type)
		return frame->length <= NETDEV_FRAME_MAX;
	return frame->length <= NETDEV_GSO_MAX && !(needs(frame->offload.gso_type) & ~t->interface.can);
}

/* 0, or -errno of the system call. */
static int write_frame(struct tap *t, const struct netdev_frame *frame)
{
	struct virtio_net_hdr header;
	struct iovec iov[1 + PIECES] = {{&header, sizeof(header)}};
	uint32_t n = frame->n_iov;

	if (!takes(t, frame) || !write_header(&header, frame))
		return -EINVAL;
	if (n <= PIECES) {
		memcpy(iov + 1, frame->iov, n * sizeof(*iov));
	} else {
		if (!netdev_gather(t->linear, frame))
			return -EINVAL;
		iov[1] = (struct iovec){t->linear, frame->length};
		n = 1;
	}
	return writev(t->interface.fd, iov, (int)n + 1) < 0 ? -errno : 0;
}

/* False: it has to wait. */
static bool send_one(struct tap *t, const struct netdev_frame *frame)
{
	int err = write_frame(t, frame);

	while (err == -EINTR)
		err = write_frame(t, frame);
	if (err == -EAGAIN)
		return false;
	if (err == -EINVAL)
		count(t->unsupported);
	else if (err)
		/* EIO: the interface is down. */
		count(t->dropped);
	return true;
}

static uint32_t tap_send(struct netdev *dev, const struct netdev_frame *frames, uint32_t n)
{
	struct tap *t = tap_of(dev);
	uint32_t i;

	for (i = 0; i < n; i++) {
		if (!t->gone && !send_one(t, &frames[i])) {
			t->waiting = true;
			set_events(t);
			break;
		}
		if (t->gone)
			count(t->dropped);
	}
	return i;
}

/* ---- the front end's other calls ---- */

static void tap_ready(struct netdev *dev)
{
	struct tap *t = tap_of(dev);

	if (!t->blocked)
		return;
	t->blocked = false;
	t->host->defer_run(t->inst, t->service);
}

static void tap_set_offload(struct netdev *dev, uint32_t can)
{
	struct tap *t = tap_of(dev);
	int err = t->gone ? 0 : tap_interface_offload(&t->interface, can);

	if (err && !is_gone(-err))
		t->host->log(t->inst, GAMUT_LOG_WARN, "%s: offloads: %s", t->interface.name, strerror(-err));
	/* What lies in the queue may have been made for a front end that took more. */
	if (t->can & ~can)
		netdev_queue_clear(&t->queue);
	t->can = can;
}

static void tap_flush(struct netdev *dev)
{
	struct tap *t = tap_of(dev);

	netdev_queue_clear(&t->queue);
	t->blocked = t->waiting = false;
	set_events(t);
}

/* ---- life ---- */

static void tap_close(struct netdev *dev)
{
	struct tap *t = tap_of(dev);

	t->host->fd_unwatch(t->inst, t->watch);
	t->host->fd_unwatch(t->inst, t->monitor_watch);
	if (t->service)
		t->host->defer_destroy(t->inst, t->service);
	if (t->monitor >= 0)
		close(t->monitor);
	if (t->interface.fd >= 0)
		close(t->interface.fd);
	netdev_queue_finish(&t->queue);
	free(t->linear);
	free(t);
}

static const struct netdev_ops tap_ops = {
        .send = tap_send,
        .ready = tap_ready,
        .set_offload = tap_set_offload,
        .flush = tap_flush,
        .close = tap_close,
};

static int make(struct tap *t)
{
	int err = tap_interface_open(t->host, t->inst, &t->interface);

	if (err)
		return err;
	t->netdev.info = (struct netdev_info){
	        .name = "tap", .can_send = t->interface.can, .can_give = t->interface.can, .mtu = t->interface.mtu};
	t->monitor = netdev_link_monitor();
	if (t->monitor < 0)
		return t->host->fail(t->inst, -t->monitor, "rtnetlink: %s", strerror(-t->monitor));
	t->linear = malloc(NETDEV_GSO_MAX);
	t->service = t->host->defer_create(t->inst, service, t);
	t->watch = t->host->fd_watch(t->inst, t->interface.fd, GAMUT_FD_IN, on_ready, t);
	t->monitor_watch = t->host->fd_watch(t->inst, t->monitor, GAMUT_FD_IN, on_change, t);
	t->events = GAMUT_FD_IN;
	if (!t->linear || !t->service || !t->watch || !t->monitor_watch || netdev_queue_init(&t->queue, QUEUE_SIZE))
		return t->host->fail(t->inst, ENOMEM, "out of memory");
	t->host->defer_run(t->inst, t->service);
	t->host->log(t->inst, GAMUT_LOG_INFO, "the network is %s", t->interface.name);
	return 0;
}

struct netdev *netdev_tap_open(const struct gamut_host *host, struct gamut_inst *inst, const struct netdev_front *front,
                               int *error)
{
	struct tap *t = calloc(1, sizeof(*t));

	if (!t) {
		*error = host->fail(inst, ENOMEM, "out of memory");
		return NULL;
	}
	t->netdev.ops = &tap_ops;
	t->host = host;
	t->inst = inst;
	t->front = *front;
	t->up = true;
	t->interface.fd = t->monitor = -1;
	t->dropped = host->counter(inst, "frames-dropped");
	t->unsupported = host->counter(inst, "frames-unsupported");
	*error = make(t);
	if (!*error)
		return &t->netdev;
	tap_close(&t->netdev);
	return NULL;
}
