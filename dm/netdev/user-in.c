/* SPDX-License-Identifier: MIT */
/*
 * What libslirp sends, made into what the guest takes. Its IP packets are up
 * to u->slirp_mtu long, ten times what goes into a frame of the guest's: see
 * user-out.c. TCP goes on whole, to be cut by whoever looks at it last, when
 * the front end takes that, and in segments otherwise; anything else goes in
 * fragments.
 */
#include <netinet/in.h>
#include <string.h>

#include "dm/net/segment.h"
#include "dm/netdev/user-internal.h"

#define TCP_CHECKSUM 16u

static uint8_t *room(void *opaque, uint32_t length)
{
	return netdev_queue_reserve(&((struct user *)opaque)->queue, length);
}

static void put(void *opaque, uint32_t length)
{
	struct user *u = opaque;

	netdev_queue_commit(&u->queue, length, &u->offload);
}

static bool give_whole(struct user *u, const uint8_t *data, uint32_t length)
{
	u->offload = (struct netdev_offload){.flags = NETDEV_CSUM_VALID};
	return length <= NETDEV_FRAME_MAX && netdev_queue_push(&u->queue, data, length, &u->offload);
}

/* With the cutting left to the guest, and so the checksums: there is one to make for each segment. */
static bool give_large(struct user *u, const uint8_t *data, const struct netdev_packet *p, uint32_t size)
{
	uint8_t *to = netdev_queue_reserve(&u->queue, p->end);

	if (!to)
		return false;
	memcpy(to, data, p->end);
	net_put16(to + p->transport + TCP_CHECKSUM, netdev_packet_pseudo(data, p, p->end));
	u->offload = (struct netdev_offload){.flags = NETDEV_CSUM_NEEDED,
	                                     .gso_type = p->ipv6 ? NETDEV_GSO_TCPV6 : NETDEV_GSO_TCPV4,
	                                     .header_len = (uint16_t)p->payload,
	                                     .gso_size = (uint16_t)size,
	                                     .csum_start = (uint16_t)p->transport,
	                                     .csum_offset = TCP_CHECKSUM};
	netdev_queue_commit(&u->queue, p->end, &u->offload);
	return true;
}

/* What fits the guest's frames and what it said it would take, which is without TCP's options. */
static uint32_t segment_size(const struct user *u, const uint8_t *data, const struct netdev_packet *p)
{
	uint32_t headers = p->ipv6 ? USER_HEADERS6 : USER_HEADERS4, options = p->payload - p->ip - headers;
	uint32_t fits = u->netdev.info.mtu - headers, said = u->mss[net_get16(data + p->transport + 2)];
	uint32_t size = said && said < fits ? said : fits;

	/* libslirp sends options in a SYN, if at all. */
	return size > 2 * options ? size - options : size;
}

static bool give_tcp(struct user *u, const uint8_t *data, const struct netdev_packet *p)
{
	uint32_t size = segment_size(u, data, p);
	uint32_t need = NETDEV_CAN_CSUM | (p->ipv6 ? NETDEV_CAN_TCPV6 : NETDEV_CAN_TCPV4);
	struct netdev_sink sink = {.room = room, .put = put, .opaque = u};

	if (p->end - p->payload <= size)
		return give_whole(u, data, p->end);
	if ((u->can & need) == need)
		return give_large(u, data, p, size);
	u->offload = (struct netdev_offload){.flags = NETDEV_CSUM_VALID};
	return netdev_packet_segment(data, p, size, &sink);
}

/* The transport's checksum is that of the datagram, whole again; no single fragment can be said to be right. */
static bool give_fragments(struct user *u, const uint8_t *data, const struct netdev_packet *p)
{
	struct netdev_sink sink = {.room = room, .put = put, .opaque = u};

	u->offload = (struct netdev_offload){0};
	return netdev_packet_fragment(data, p, u->netdev.info.mtu, ++u->fragments, &sink);
}

static bool give(struct user *u, const uint8_t *data, uint32_t length)
{
	struct netdev_packet p;

	bool fits = length <= NETDEV_HEADER + u->netdev.info.mtu;

	if (fits && !u->small_mss)
		return give_whole(u, data, length);
	if (!netdev_packet_parse(data, length, &p))
		return fits && give_whole(u, data, length);
	if (p.protocol == IPPROTO_TCP && !p.fragment)
		return give_tcp(u, data, &p);
	return fits ? give_whole(u, data, length) : give_fragments(u, data, &p);
}

void user_give_frame(struct user *u, const uint8_t *data, uint32_t length)
{
	if (!give(u, data, length))
		user_count(u->dropped);
}
