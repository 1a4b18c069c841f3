/* SPDX-License-Identifier: MIT */
/*
 * Segments of TCP that the guest sends one behind the other, as one packet:
 * every packet is a system call for libslirp, and cards that segment by
 * themselves send dozens in a row. Only what came in one batch is merged, so
 * nothing waits, and only data whose checksum is right or still to be made.
 */
#include <netinet/in.h>
#include <string.h>

#include "dm/net/checksum.h"
#include "dm/net/segment.h"
#include "dm/netdev/user-internal.h"

#define TCP_FLAGS 13u
#define TCP_PSH   0x08u
#define TCP_ACK   0x10u

bool user_may_hold(const uint8_t *frame, const struct netdev_packet *p)
{
	return p->protocol == IPPROTO_TCP && !p->fragment && p->payload < p->end &&
	       (frame[p->transport + TCP_FLAGS] | TCP_PSH) == (TCP_ACK | TCP_PSH);
}

/* Whether the two agree in everything but what follows from one coming behind the other. */
static bool same_flow(const uint8_t *a, const struct netdev_packet *p, const uint8_t *b,
                      const struct netdev_packet *q)
{
	uint32_t addresses = p->ip + (p->ipv6 ? 8 : 12), options = p->transport + 20;

	return p->ipv6 == q->ipv6 && p->transport == q->transport && p->payload == q->payload &&
	       !memcmp(a + addresses, b + addresses, p->ipv6 ? 32 : 8) &&
	       !memcmp(a + p->transport, b + p->transport, 4) && !memcmp(a + options, b + options, p->payload - options) &&
	       net_get32(a + p->transport + 4) + (p->end - p->payload) == net_get32(b + p->transport + 4);
}

static bool right(const uint8_t *frame, const struct netdev_packet *p)
{
	return net_sum(frame + p->transport, p->end - p->transport, netdev_packet_pseudo(frame, p, p->end)) == 0xffff;
}

bool user_merge(struct user *u, const uint8_t *frame, const struct netdev_packet *p, bool sum)
{
	struct netdev_packet *held = &u->held;
	uint32_t n = p->end - p->payload, most = held->ipv6 ? u->slirp_mtu : 65535;

	if (!u->holds || !user_may_hold(frame, p) || !same_flow(u->out, held, frame, p) ||
	    held->end - held->ip + n > most)
		return false;
	if (!u->held_sum && !right(u->out, held))
		return false;
	if (!sum && !right(frame, p))
		return false;
	/* The latest word on what has come, and on room for more. */
	memcpy(u->out + held->transport + 8, frame + p->transport + 8, 8);
	memmove(u->out + held->end, frame + p->payload, n);
	held->end += n;
	u->held_sum = u->merged = true;
	return true;
}
