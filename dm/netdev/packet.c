/* SPDX-License-Identifier: MIT */
#include "dm/netdev/packet.h"

#include <netinet/in.h>
#include <string.h>

#include "dm/net/checksum.h"
#include "dm/net/segment.h"

#define TCP_CHECKSUM 16u
#define TCP_FLAGS    13u
#define TCP_CWR      0x80u

#define IP_MORE     0x2000u
#define IP_DONT     0x4000u
#define IP_OFFSET   0x1fffu
#define IPV6_HEADER 40u
/* The fragment header (RFC 8200, 4.5). */
#define IPV6_FRAGMENT 8u

/* ---- any frame ---- */

bool netdev_gather(uint8_t *to, const struct netdev_frame *frame)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < frame->n_iov; i++) {
		if (frame->iov[i].iov_len > frame->length - at)
			return false;
		memcpy(to + at, frame->iov[i].iov_base, frame->iov[i].iov_len);
		at += (uint32_t)frame->iov[i].iov_len;
	}
	return at == frame->length;
}

bool netdev_checksum_fits(const struct netdev_offload *o, uint32_t length)
{
	return o->csum_start >= NETDEV_HEADER && o->csum_start < length &&
	       (uint32_t)o->csum_start + o->csum_offset + 2 <= length;
}

void netdev_checksum(uint8_t *frame, uint32_t length, const struct netdev_offload *o)
{
	uint16_t sum = (uint16_t)~net_sum(frame + o->csum_start, length - o->csum_start, 0);

	/* A UDP checksum of zero says that there is none; TCP's may be either. */
	net_put16(frame + o->csum_start + o->csum_offset, sum ? sum : 0xffff);
}

/* ---- headers ---- */

static bool parse_ipv4(const uint8_t *frame, uint32_t length, struct netdev_packet *p)
{
	const uint8_t *ip = frame + NETDEV_HEADER;
	uint32_t header, total;

	if (length < NETDEV_HEADER + 20 || ip[0] >> 4 != 4)
		return false;
	header = (ip[0] & 15u) * 4u;
	total = net_get16(ip + 2);
	if (header < 20 || total < header || total > length - NETDEV_HEADER)
		return false;
	p->transport = NETDEV_HEADER + header;
	p->end = NETDEV_HEADER + total;
	p->protocol = ip[9];
	p->fragment = net_get16(ip + 6) & (IP_MORE | IP_OFFSET);
	return true;
}

static bool parse_ipv6(const uint8_t *frame, uint32_t length, struct netdev_packet *p)
{
	const uint8_t *ip = frame + NETDEV_HEADER;

	if (length < NETDEV_HEADER + IPV6_HEADER || ip[0] >> 4 != 6)
		return false;
	p->transport = NETDEV_HEADER + IPV6_HEADER;
	p->end = p->transport + net_get16(ip + 4);
	p->protocol = ip[6];
	p->fragment = p->protocol == IPPROTO_FRAGMENT;
	return p->end <= length;
}

static bool parse_transport(const uint8_t *frame, struct netdev_packet *p)
{
	uint32_t left = p->end - p->transport, header = 0;

	p->payload = p->transport;
	if (p->fragment)
		return true;
	if (p->protocol == IPPROTO_TCP)
		header = left < 20 ? UINT32_MAX : (uint32_t)(frame[p->transport + 12] >> 4) * 4u;
	else if (p->protocol == IPPROTO_UDP)
		header = 8;
	if (header > left || (p->protocol == IPPROTO_TCP && header < 20))
		return false;
	p->payload += header;
	return true;
}

bool netdev_packet_parse(const uint8_t *frame, uint32_t length, struct netdev_packet *p)
{
	uint32_t type = length < NETDEV_HEADER ? 0 : net_get16(frame + 12);

	*p = (struct netdev_packet){.ip = NETDEV_HEADER, .ipv6 = type == 0x86dd};
	if (type == 0x0800 ? !parse_ipv4(frame, length, p) : type != 0x86dd || !parse_ipv6(frame, length, p))
		return false;
	return parse_transport(frame, p);
}

/* ---- checksums ---- */

uint16_t netdev_packet_pseudo(const uint8_t *frame, const struct netdev_packet *p, uint32_t end)
{
	uint16_t sum = net_sum_add(p->protocol, (uint16_t)(end - p->transport));

	return p->ipv6 ? net_sum(frame + p->ip + 8, 32, sum) : net_sum(frame + p->ip + 12, 8, sum);
}

static void set_ip_checksum(uint8_t *frame, const struct netdev_packet *p)
{
	uint8_t *ip = frame + p->ip;

	if (p->ipv6)
		return;
	net_put16(ip + 10, 0);
	net_put16(ip + 10, (uint16_t)~net_sum(ip, p->transport - p->ip, 0));
}

static void set_checksums(uint8_t *frame, const struct netdev_packet *p, uint32_t end)
{
	uint8_t *at = frame + p->transport + TCP_CHECKSUM;

	set_ip_checksum(frame, p);
	net_put16(at, 0);
	net_put16(at, (uint16_t)~net_sum(frame + p->transport, end - p->transport, netdev_packet_pseudo(frame, p, end)));
}

void netdev_packet_seal(uint8_t *frame, const struct netdev_packet *p)
{
	if (p->ipv6)
		net_put16(frame + p->ip + 4, (uint16_t)(p->end - p->transport));
	else
		net_put16(frame + p->ip + 2, (uint16_t)(p->end - p->ip));
	set_checksums(frame, p, p->end);
}

/* ---- several of one ---- */

bool netdev_packet_segment(const uint8_t *frame, const struct netdev_packet *p, uint32_t size,
                           const struct netdev_sink *sink)
{
	struct net_cut cut = {
	        .header = p->payload, .ip = p->ip, .transport = p->transport, .ipv4 = !p->ipv6, .tcp = true};
	uint32_t total = p->end - p->payload, sent = 0;

	for (uint32_t i = 0; sent < total || !i; i++) {
		uint32_t n = total - sent < size ? total - sent : size;
		uint8_t *to = sink->room(sink->opaque, p->payload + n);

		if (!to)
			return false;
		memcpy(to, frame, p->payload);
		memcpy(to + p->payload, frame + p->payload + sent, n);
		net_segment_headers(&cut, to, p->payload + n, i, sent, sent + n == total);
		/* "Congestion window reduced" is said once (RFC 3168, 6.1.2). */
		if (i)
			to[p->transport + TCP_FLAGS] &= (uint8_t)~TCP_CWR;
		set_checksums(to, p, p->payload + n);
		sink->put(sink->opaque, p->payload + n);
		sent += n;
	}
	return true;
}

/* The header of the fragment that holds n bytes from `at` on, both counted in the packet at hand. */
static void set_fragment4(uint8_t *to, const struct netdev_packet *p, const uint8_t *frame, uint32_t at, uint32_t n)
{
	/* The packet may be a fragment itself. */
	uint16_t field = (uint16_t)(net_get16(frame + p->ip + 6) + at / 8);

	if (p->transport + at + n < p->end)
		field |= IP_MORE;
	net_put16(to + p->ip + 2, (uint16_t)(p->transport - p->ip + n));
	net_put16(to + p->ip + 6, field);
	set_ip_checksum(to, p);
}

static void set_fragment6(uint8_t *to, const struct netdev_packet *p, uint32_t id, uint32_t at, uint32_t n)
{
	uint8_t *extension = to + p->transport;

	extension[0] = p->protocol;
	extension[1] = 0;
	net_put16(extension + 2, (uint16_t)(at | (p->transport + at + n < p->end)));
	net_put32(extension + 4, id);
	to[p->ip + 6] = IPPROTO_FRAGMENT;
	net_put16(to + p->ip + 4, (uint16_t)(IPV6_FRAGMENT + n));
}

static bool may_fragment(const uint8_t *frame, const struct netdev_packet *p)
{
	return p->ipv6 ? !p->fragment : !(net_get16(frame + p->ip + 6) & IP_DONT);
}

bool netdev_packet_fragment(const uint8_t *frame, const struct netdev_packet *p, uint32_t mtu, uint32_t id,
                            const struct netdev_sink *sink)
{
	uint32_t header = p->transport + (p->ipv6 ? IPV6_FRAGMENT : 0), total = p->end - p->transport, n;
	uint32_t size = (mtu - (header - p->ip)) & ~7u;

	if (!may_fragment(frame, p))
		return false;
	for (uint32_t at = 0; at < total; at += n) {
		uint8_t *to;

		n = total - at < size ? total - at : size;
		to = sink->room(sink->opaque, header + n);
		if (!to)
			return false;
		memcpy(to, frame, p->transport);
		memcpy(to + header, frame + p->transport + at, n);
		if (p->ipv6)
			set_fragment6(to, p, id, at, n);
		else
			set_fragment4(to, p, frame, at, n);
		sink->put(sink->opaque, header + n);
	}
	return true;
}
