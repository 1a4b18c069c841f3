/* SPDX-License-Identifier: MIT */
/*
 * Host network back ends: what is at the other end of a guest's cable.
 *
 * A back end is a struct netdev behind struct netdev_ops; a front end (e1000,
 * netback, virtio-net) is a struct netdev_front that it calls. Frames go both
 * ways in batches and by reference: their memory belongs to the caller and is
 * only valid during the call, so whoever takes a frame has copied it, or
 * given it to the host, on return.
 *
 * Back pressure. Both directions answer with how many frames were taken, from
 * the first on. What the front end does not take stays in the back end's
 * queue, which is bounded, and the back end stops asking the host for more;
 * it offers the same frames again after netdev_ready. What the back end does
 * not take stays in the front end's ring until front->writable. A frame that
 * can never be delivered counts as taken and is dropped by whom it reached.
 *
 * Threads. Everything here runs on [io], but for open, close and flush, which
 * are [control] while [io] is parked. No locks. Calls do not nest: receive and
 * writable are never called from inside send or ready, nor must they call
 * send; a front end answers from a deferred call of its own.
 */
#ifndef NETDEV_NETDEV_H
#define NETDEV_NETDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "gamut/host.h"
#include "gamut/plugin.h"

#define NETDEV_MAC 6u
/* Destination, source, type. */
#define NETDEV_HEADER 14u
/* The longest frame without segmentation offload: 9 KiB of payload and a VLAN tag fit. Longer ones are dropped. */
#define NETDEV_FRAME_MAX 16384u
/* The longest with it: IP's 64 KiB, headers included, and Ethernet's own. */
#define NETDEV_GSO_MAX (65535u + NETDEV_HEADER + 4u)

/*
 * What is left to do to a frame, or known of it. Laid out so that both
 * struct virtio_net_hdr (virtio 1.2, 5.1.6) and the flags and extra info of
 * Xen's netif requests (xen/io/netif.h) can be made from it and into it.
 */
enum netdev_flags {
	/* The bytes from csum_start to the end, summed, belong at csum_start + csum_offset, which holds the pseudo header's
	   sum. */
	NETDEV_CSUM_NEEDED = 1,
	/* The transport checksum was found right, or cannot be wrong. */
	NETDEV_CSUM_VALID = 2,
};

enum netdev_gso {
	NETDEV_GSO_NONE = 0,
	NETDEV_GSO_TCPV4 = 1,
	NETDEV_GSO_UDP = 3, /* fragmentation; virtio's numbers */
	NETDEV_GSO_TCPV6 = 4,
	NETDEV_GSO_UDP_L4 = 5,
	NETDEV_GSO_ECN = 0x80, /* or'ed: the TCP segment has CWR set */
};

struct netdev_offload {
	uint8_t flags;       /* enum netdev_flags */
	uint8_t gso_type;    /* enum netdev_gso */
	uint16_t header_len; /* bytes that every segment repeats; 0 when not known */
	uint16_t gso_size;   /* payload bytes of a segment */
	uint16_t csum_start, csum_offset;
};

/* An Ethernet frame without its FCS. */
struct netdev_frame {
	const struct iovec *iov;
	uint32_t n_iov;
	uint32_t length; /* what the iov add up to */
	struct netdev_offload offload;
};

/* A mask of what one side can take from the other. */
#define NETDEV_CAN_CSUM 1u   /* frames with NETDEV_CSUM_NEEDED */
#define NETDEV_CAN_TCPV4 2u  /* NETDEV_GSO_TCPV4 */
#define NETDEV_CAN_TCPV6 4u
#define NETDEV_CAN_ECN 8u
#define NETDEV_CAN_UDP_L4 16u

struct netdev;

/* The front end, filled by it and constant from open to close. */
struct netdev_front {
	/* n frames for the guest; returns how many are taken. [io] */
	uint32_t (*receive)(void *opaque, const struct netdev_frame *frames, uint32_t n);
	/* send takes frames again. [io] */
	void (*writable)(void *opaque);
	/* The cable was plugged in or pulled out; may be NULL. It is in at first. [io] */
	void (*link)(void *opaque, bool up);
	void *opaque;
	uint8_t mac[NETDEV_MAC]; /* the guest's, for back ends that give out addresses */
};

/* What a back end is; constant from open to close. */
struct netdev_info {
	const char *name;  /* "user", for logs */
	uint32_t can_send; /* NETDEV_CAN_*: with what send takes frames; others are dropped and counted */
	uint32_t can_give; /* NETDEV_CAN_*: what set_offload may allow */
	uint32_t mtu;      /* of the network, bytes of payload */
};

struct netdev_ops {
	/* n frames from the guest; returns how many are taken. After fewer than n, writable will be called. [io] */
	uint32_t (*send)(struct netdev *dev, const struct netdev_frame *frames, uint32_t n);
	/* The front end has room again, after receive took fewer than it was given. [io] */
	void (*ready)(struct netdev *dev);
	/* What the front end takes from now on, of info.can_give; nothing at first. NULL: can_give is 0. [io] [control] */
	void (*set_offload)(struct netdev *dev, uint32_t can);
	/* The guest was reset: forgets the frames that wait for the front end, and what it had at the other end. [control] */
	void (*flush)(struct netdev *dev);
	/* Frees everything. [control] */
	void (*close)(struct netdev *dev);
};

/* The head of every back end's own struct. */
struct netdev {
	const struct netdev_ops *ops;
	struct netdev_info info;
};

/*
 * Opens the back end that the instance's options name, `front` being copied.
 * On failure NULL, and *error is what create shall return: host->fail has
 * been called. [control]
 */
struct netdev *netdev_open(const struct gamut_host *host, struct gamut_inst *inst, const struct netdev_front *front,
                           int *error);

/*
 * The address of the instance: its option "mac", else one in Xen's range
 * (00:16:3e) made from the domain's uuid and the unit. 0, or -EINVAL after
 * host->fail: no address, or one of a group. [control]
 */
int netdev_mac(const struct gamut_host *host, struct gamut_inst *inst, uint8_t mac[NETDEV_MAC]);

static inline uint32_t netdev_send(struct netdev *dev, const struct netdev_frame *frames, uint32_t n)
{
	return dev->ops->send(dev, frames, n);
}

static inline void netdev_ready(struct netdev *dev)
{
	dev->ops->ready(dev);
}

static inline void netdev_set_offload(struct netdev *dev, uint32_t can)
{
	if (dev->ops->set_offload)
		dev->ops->set_offload(dev, can & dev->info.can_give);
}

static inline void netdev_flush(struct netdev *dev)
{
	dev->ops->flush(dev);
}

/* dev may be NULL. */
static inline void netdev_close(struct netdev *dev)
{
	if (dev)
		dev->ops->close(dev);
}

/*
 * The options that every plugin of the net axis has, as entries of its table;
 * netdev_backends are the values of "backend", NULL-terminated. Those of one
 * back end have no default here, so that netdev_open sees when they are given
 * to another and says so.
 */
extern const char *const netdev_backends[];

#define NETDEV_OPTION(t, n, h, d)                                                                            \
	.size = sizeof(struct gamut_option), .type = GAMUT_OPTION_##t, .name = n, .help = h,                 \
	.default_value = d

#define NETDEV_OPTIONS                                                                                       \
	{NETDEV_OPTION(STRING, "mac", "Address of the card, 00:16:3e:01:02:03; made from the uuid if not given", NULL)}, \
	{NETDEV_OPTION(CHOICE, "backend",                                                                    \
	               "What is at the other end: a network inside of this process, or an interface of the host", "user"), \
	 .choices = netdev_backends},                                                                        \
	{NETDEV_OPTION(INT, "mtu", "Bytes of payload in a frame; if not given, user: 1500, tap: as it is", NULL), \
	 .min = 1280, .max = 16000},                                                                         \
	{NETDEV_OPTION(STRING, "rate",                                                                       \
	               "Bound of what the guest sends, \"10Mb/s\", \"1MB/s@20ms\": the time by which it may be ahead", NULL)}, \
	{NETDEV_OPTION(STRING, "rate-in", "Bound of what the guest receives, in the same way", NULL)},       \
	{NETDEV_OPTION(STRING, "ifname", "tap: the interface; if not given, a new one, gamut0 or so", NULL)}, \
	{NETDEV_OPTION(STRING, "bridge", "tap: the bridge that it is put into", NULL)},                      \
	{NETDEV_OPTION(LIST, "forward",                                                                      \
	               "user: ports of the host that lead to the guest, \"tcp:127.0.0.1:2222-:22\" or udp", NULL)}, \
	{NETDEV_OPTION(PATH, "tftp", "user: folder that TFTP serves, for network boot", NULL)},              \
	{NETDEV_OPTION(STRING, "bootfile", "user: file that DHCP tells a network boot to load", NULL)},      \
	{NETDEV_OPTION(STRING, "hostname", "user: name that DHCP gives to the guest", NULL)},                \
	{NETDEV_OPTION(STRING, "domainname", "user: domain that DHCP gives to the guest", NULL)},            \
	{NETDEV_OPTION(LIST, "search", "user: domains that DHCP gives to the guest to search for names", NULL)}, \
	{NETDEV_OPTION(STRING, "network", "user: the guest's IPv4 network; 10.0.2.0/24 if not given", NULL)}, \
	{NETDEV_OPTION(STRING, "host", "user: the host's address in it; the second if not given", NULL)},    \
	{NETDEV_OPTION(STRING, "dns", "user: the name server's address in it; the third if not given", NULL)}, \
	{NETDEV_OPTION(STRING, "dhcp-start", "user: the first address DHCP gives; the fifteenth if not given", NULL)}, \
	{NETDEV_OPTION(BOOL, "ipv4", "user: offer IPv4; true if not given", NULL)},                          \
	{NETDEV_OPTION(BOOL, "ipv6", "user: offer IPv6 (fec0::/64); true if not given", NULL)},              \
	{NETDEV_OPTION(BOOL, "restrict", "user: nothing beyond the host's own services and the forwards", NULL)}, \
	{NETDEV_OPTION(INT, "connections", "user: sockets that the guest may make the host open; 1024 if not given", NULL), \
	 .min = 16, .max = 65536}

#endif
