/* SPDX-License-Identifier: MIT */
/* Network interfaces of the host, by rtnetlink(7). All of this is [control] or [io]; calls wait for the kernel's answer. */
#ifndef NETDEV_LINK_H
#define NETDEV_LINK_H

#include <stdbool.h>
#include <stdint.h>

struct netdev_link {
	uint32_t mtu;
	uint32_t master; /* index of the bridge that it is in; 0: none */
	bool up;
};

/* 0 or -errno: -ENODEV where there is none of this index. */
int netdev_link_get(uint32_t index, struct netdev_link *link);
/* 0 or -errno: -EPERM without CAP_NET_ADMIN. */
int netdev_link_set_mtu(uint32_t index, uint32_t mtu);
int netdev_link_set_master(uint32_t index, uint32_t master);
int netdev_link_set_address(uint32_t index, const uint8_t mac[6]);
int netdev_link_set_up(uint32_t index);

/* A descriptor that is readable when interfaces change; or -errno. */
int netdev_link_monitor(void);
/* Whether one of the changes that have been read may be this interface's. */
bool netdev_link_changed(int fd, uint32_t index);

#endif
