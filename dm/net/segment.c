/* SPDX-License-Identifier: MIT */
#include "dm/net/segment.h"

static void set_ip(const struct net_cut *c, uint8_t *frame, uint32_t length, uint32_t index)
{
	uint8_t *ip = frame + c->ip;

	if (c->ipv4 && c->ip + 20 <= c->header) {
		net_put16(ip + 2, (uint16_t)(length - c->ip));
		net_put16(ip + 4, (uint16_t)(net_get16(ip + 4) + index));
	} else if (!c->ipv4 && c->ip + 40 <= c->header) {
		net_put16(ip + 4, (uint16_t)(length - c->ip - 40));
	}
}

static void set_transport(const struct net_cut *c, uint8_t *frame, uint32_t length, uint32_t sent, bool last)
{
	uint8_t *transport = frame + c->transport;

	if (c->tcp && c->transport + 20 <= c->header) {
		net_put32(transport + 4, net_get32(transport + 4) + sent);
		if (!last)
			transport[13] &= (uint8_t)~0x09; /* FIN, PSH */
	} else if (!c->tcp && c->transport + 8 <= c->header) {
		net_put16(transport + 4, (uint16_t)(length - c->transport));
	}
}

void net_segment_headers(const struct net_cut *c, uint8_t *frame, uint32_t length, uint32_t index, uint32_t sent,
                         bool last)
{
	set_ip(c, frame, length, index);
	set_transport(c, frame, length, sent, last);
}
