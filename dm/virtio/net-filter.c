/* SPDX-License-Identifier: MIT */
#include "dm/virtio/net-internal.h"

#include <string.h>

#define TYPE_VLAN 0x8100u
#define TYPE_IPV4 0x0800u
#define TYPE_IPV6 0x86ddu
#define PROTO_TCP 6u
#define PROTO_UDP 17u

static uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

/* As hardware without a driver: all frames, since there are drivers that never set a filter. */
void vnet_filter_reset(struct vnet_filter *f, const uint8_t mac[NETDEV_MAC])
{
	memset(f, 0, sizeof(*f));
	memcpy(f->mac, mac, sizeof(f->mac));
	f->promisc = true;
}

static bool listed(uint8_t (*table)[NETDEV_MAC], uint32_t n, const uint8_t *mac)
{
	for (uint32_t i = 0; i < n; i++)
		if (!memcmp(table[i], mac, NETDEV_MAC))
			return true;
	return false;
}

static bool vlan_ok(const struct vnet_filter *f, const uint8_t *header, uint32_t n)
{
	uint32_t id;

	if (!f->by_vlan || n < NETDEV_HEADER + 4 || get16(header + 12) != TYPE_VLAN)
		return true;
	id = get16(header + 14) & 0xfff;
	return f->vlan[id / 32] >> (id % 32) & 1;
}

bool vnet_filter_wants(const struct vnet_filter *f, const uint8_t *header, uint32_t n)
{
	static const uint8_t broadcast[NETDEV_MAC] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	if (f->promisc)
		return true;
	if (!vlan_ok(f, header, n))
		return false;
	if (!memcmp(header, broadcast, NETDEV_MAC))
		return !f->nobcast;
	if (header[0] & 1)
		return !f->nomulti && (f->allmulti || f->any_multicast ||
		                       listed((uint8_t(*)[NETDEV_MAC])f->multicast, f->n_multicast, header));
	if (f->nouni)
		return false;
	return f->alluni || f->any_unicast || !memcmp(header, f->mac, NETDEV_MAC) ||
	       listed((uint8_t(*)[NETDEV_MAC])f->unicast, f->n_unicast, header);
}

/* ---- flows ------------------------------------------------------------------------------ */

/* Both directions alike: the two ends of each are combined by xor. */
static uint32_t mix(const uint8_t *addresses, uint32_t size, const uint8_t *ports)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < size; i += 4) {
		uint32_t a, b;

		memcpy(&a, addresses + i, 4);
		memcpy(&b, addresses + size + i, 4);
		sum ^= a ^ b;
	}
	if (ports)
		sum ^= get16(ports) ^ get16(ports + 2);
	return sum * 0x9e3779b1u >> 24;
}

uint32_t vnet_flow(const uint8_t *header, uint32_t n)
{
	uint32_t type, at = NETDEV_HEADER, ports;
	bool has;

	if (n < NETDEV_HEADER + 4)
		return 0;
	type = get16(header + 12);
	if (type == TYPE_VLAN) {
		type = get16(header + 16);
		at += 4;
	}
	if (type == TYPE_IPV4 && n >= at + 20) {
		ports = at + (header[at] & 15u) * 4;
		has = (header[at + 9] == PROTO_TCP || header[at + 9] == PROTO_UDP) &&
		      !(get16(header + at + 6) & 0x3fff) && n >= ports + 4;
		return mix(header + at + 12, 4, has ? header + ports : NULL);
	}
	if (type == TYPE_IPV6 && n >= at + 40) {
		ports = at + 40;
		has = (header[at + 6] == PROTO_TCP || header[at + 6] == PROTO_UDP) && n >= ports + 4;
		return mix(header + at + 8, 16, has ? header + ports : NULL);
	}
	return 0;
}
