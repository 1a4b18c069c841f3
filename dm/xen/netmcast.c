/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "dm/xen/netring.h"

static uint32_t find(const struct netmcast *m, const uint8_t addr[NETDEV_MAC])
{
	uint32_t i = 0;

	while (i < m->n && memcmp(m->addr[i], addr, NETDEV_MAC))
		i++;
	return i;
}

bool netmcast_add(struct netmcast *m, const uint8_t addr[NETDEV_MAC])
{
	if (find(m, addr) < m->n)
		return true;
	if (m->n == NETMCAST_MAX)
		return false;
	memcpy(m->addr[m->n++], addr, NETDEV_MAC);
	return true;
}

void netmcast_delete(struct netmcast *m, const uint8_t addr[NETDEV_MAC])
{
	uint32_t i = find(m, addr);

	if (i < m->n)
		memmove(m->addr[i], m->addr[--m->n], NETDEV_MAC);
}

bool netmcast_pass(const struct netmcast *m, const uint8_t destination[NETDEV_MAC])
{
	static const uint8_t broadcast[NETDEV_MAC] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	return !(destination[0] & 1) || !memcmp(destination, broadcast, NETDEV_MAC) ||
	       find(m, destination) < m->n;
}
