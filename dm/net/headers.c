/* SPDX-License-Identifier: MIT */
#include "dm/net/headers.h"

#include <netinet/in.h>

#include "dm/net/checksum.h"
#include "dm/net/segment.h"

#define ETHERNET  14u
#define TYPE_IPV4 0x0800u
#define TYPE_IPV6 0x86ddu
#define TYPE_VLAN 0x8100u
#define TYPE_QINQ 0x88a8u
#define TCP_CWR   0x80u

/* Offset and type of what Ethernet carries. */
static bool find_network(const uint8_t *head, uint32_t n, uint32_t *at, uint32_t *type)
{
	*at = ETHERNET;
	if (n < ETHERNET)
		return false;
	*type = net_get16(head + 12);
	for (int tags = 0; *type == TYPE_VLAN || *type == TYPE_QINQ; tags++) {
		if (tags == 2 || n - *at < 4)
			return false;
		*type = net_get16(head + *at + 2);
		*at += 4;
	}
	return true;
}

static bool find_ipv4(const uint8_t *head, uint32_t n, uint32_t length, uint32_t at, struct net_headers *h)
{
	const uint8_t *ip = head + at;
	uint32_t size, total;

	if (n - at < 20 || ip[0] >> 4 != 4)
		return false;
	size = (ip[0] & 15u) * 4;
	total = net_get16(ip + 2);
	if (size < 20 || size > n - at || total < size || total > length - at || net_get16(ip + 6) & 0x3fff)
		return false;
	h->ip = 4;
	h->protocol = ip[9];
	h->transport = (uint16_t)(at + size);
	h->total = at + total;
	h->routed = size > 20;
	return true;
}

static bool find_ipv6(const uint8_t *head, uint32_t n, uint32_t length, uint32_t at, struct net_headers *h)
{
	uint32_t total;
	uint8_t next;

	if (n - at < 40 || head[at] >> 4 != 6)
		return false;
	total = 40u + net_get16(head + at + 4);
	if (total > length - at)
		return false;
	h->ip = 6;
	h->total = at + total;
	next = head[at + 6];
	at += 40;
	while (next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS) {
		if (n - at < 8)
			return false;
		h->routed |= next == IPPROTO_ROUTING;
		next = head[at];
		at += (head[at + 1] + 1u) * 8;
		if (at > n)
			return false;
	}
	h->protocol = next;
	h->transport = (uint16_t)at;
	return at <= h->total;
}

static bool find_transport(const uint8_t *head, uint32_t n, struct net_headers *h)
{
	uint32_t least = h->protocol == IPPROTO_TCP ? 20 : 8, size = least;

	if (h->protocol != IPPROTO_TCP && h->protocol != IPPROTO_UDP)
		return false;
	if (n - h->transport < least)
		return false;
	if (h->protocol == IPPROTO_TCP) {
		size = (head[h->transport + 12] >> 4) * 4u;
		h->cwr = head[h->transport + 13] & TCP_CWR;
	}
	h->csum_offset = h->protocol == IPPROTO_TCP ? 16 : 6;
	h->end = (uint16_t)(h->transport + size);
	return size >= least && h->end <= n && h->end <= h->total;
}

bool net_headers_find(const uint8_t *head, uint32_t n, uint32_t length, struct net_headers *h)
{
	uint32_t at, type;

	*h = (struct net_headers){0};
	if (n > length)
		n = length;
	if (n > NET_HEADERS_MAX)
		n = NET_HEADERS_MAX;
	if (!find_network(head, n, &at, &type))
		return false;
	h->network = (uint16_t)at;
	if (type == TYPE_IPV4 ? !find_ipv4(head, n, length, at, h)
	                      : type != TYPE_IPV6 || !find_ipv6(head, n, length, at, h))
		return false;
	return find_transport(head, n, h);
}

uint16_t net_headers_pseudo(const uint8_t *head, const struct net_headers *h)
{
	uint32_t size = h->total - h->transport; /* below 64 KiB */
	uint16_t sum = net_sum_add((uint16_t)size, h->protocol);

	return h->ip == 4 ? net_sum(head + h->network + 12, 8, sum) : net_sum(head + h->network + 8, 32, sum);
}

/* Multiply and fold; a flow need only keep to one queue, and several flows spread. */
static uint32_t mix(uint32_t hash, const uint8_t *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		hash = (hash ^ p[i]) * 16777619u;
	return hash;
}

uint32_t net_headers_hash(const uint8_t *head, uint32_t n, uint32_t length)
{
	struct net_headers h;
	uint32_t hash = 2166136261u;

	if (net_headers_find(head, n, length, &h)) {
		hash = h.ip == 4 ? mix(hash, head + h.network + 12, 8) : mix(hash, head + h.network + 8, 32);
		hash = mix(hash, head + h.transport, 4);
	} else if (n >= ETHERNET) {
		hash = mix(hash, head, 12);
	}
	return hash ^ hash >> 16;
}
