/* SPDX-License-Identifier: MIT */
#include "dm/netdev/link.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* An interface's description is a few kilobytes; the kernel's own tools take this for it. */
#define ANSWER 32768u

struct request {
	struct nlmsghdr header;
	struct ifinfomsg info;
	uint8_t attributes[64];
};

static struct request request_for(uint16_t type, uint32_t index)
{
	return (struct request){.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
	                                   .nlmsg_type = type,
	                                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
	                                   .nlmsg_seq = 1},
	                        .info = {.ifi_family = AF_UNSPEC, .ifi_index = (int)index}};
}

/* One attribute is all that a request here has. */
static void add_attribute(struct request *r, uint16_t type, const void *data, uint16_t size)
{
	struct rtattr a = {.rta_type = type, .rta_len = (uint16_t)RTA_LENGTH(size)};

	memcpy(r->attributes, &a, sizeof(a));
	memcpy(r->attributes + RTA_LENGTH(0), data, size);
	r->header.nlmsg_len += RTA_ALIGN(a.rta_len);
}

static void read_link(const struct nlmsghdr *h, struct netdev_link *link)
{
	const struct ifinfomsg *info = NLMSG_DATA(h);
	const struct rtattr *a = IFLA_RTA(info);
	int left = (int)IFLA_PAYLOAD(h);

	*link = (struct netdev_link){.up = info->ifi_flags & IFF_UP};
	for (; RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if (a->rta_type == IFLA_MTU && RTA_PAYLOAD(a) == 4)
			memcpy(&link->mtu, RTA_DATA(a), 4);
		if (a->rta_type == IFLA_MASTER && RTA_PAYLOAD(a) == 4)
			memcpy(&link->master, RTA_DATA(a), 4);
	}
}

/* Reads until the acknowledgement, which says 0 or -errno. */
static int read_answer(int fd, struct netdev_link *link)
{
	_Alignas(struct nlmsghdr) uint8_t buf[ANSWER];

	for (;;) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);
		const struct nlmsghdr *h = (const struct nlmsghdr *)buf;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		for (size_t left = (size_t)n; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			if (h->nlmsg_type == NLMSG_ERROR)
				return ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
			if (h->nlmsg_type == RTM_NEWLINK && link)
				read_link(h, link);
		}
	}
}

static int ask(const struct request *r, struct netdev_link *link)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), err;

	if (fd < 0)
		return -errno;
	err = send(fd, r, r->header.nlmsg_len, 0) < 0 ? -errno : read_answer(fd, link);
	close(fd);
	return err;
}

int netdev_link_get(uint32_t index, struct netdev_link *link)
{
	struct request r = request_for(RTM_GETLINK, index);

	return ask(&r, link);
}

static int set(uint32_t index, uint16_t type, const void *data, uint16_t size)
{
	struct request r = request_for(RTM_NEWLINK, index);

	add_attribute(&r, type, data, size);
	return ask(&r, NULL);
}

int netdev_link_set_mtu(uint32_t index, uint32_t mtu)
{
	return set(index, IFLA_MTU, &mtu, sizeof(mtu));
}

int netdev_link_set_master(uint32_t index, uint32_t master)
{
	return set(index, IFLA_MASTER, &master, sizeof(master));
}

int netdev_link_set_address(uint32_t index, const uint8_t mac[6])
{
	return set(index, IFLA_ADDRESS, mac, 6);
}

int netdev_link_set_up(uint32_t index)
{
	struct request r = request_for(RTM_NEWLINK, index);

	r.info.ifi_flags = r.info.ifi_change = IFF_UP;
	return ask(&r, NULL);
}

/* ---- changes ---- */

int netdev_link_monitor(void)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE), err;

	if (fd < 0)
		return -errno;
	if (!bind(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

static bool names(const uint8_t *buf, size_t left, uint32_t index)
{
	const struct nlmsghdr *h = (const struct nlmsghdr *)buf;

	for (; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left))
		if ((h->nlmsg_type == RTM_NEWLINK || h->nlmsg_type == RTM_DELLINK) &&
		    h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct ifinfomsg)) &&
		    ((const struct ifinfomsg *)NLMSG_DATA(h))->ifi_index == (int)index)
			return true;
	return false;
}

bool netdev_link_changed(int fd, uint32_t index)
{
	_Alignas(struct nlmsghdr) uint8_t buf[ANSWER];
	bool changed = false;
	ssize_t n;

	/* Bounded: there may be more at once than is worth the loop's time, and the descriptor stays readable. */
	for (int i = 0; i < 64; i++) {
		n = recv(fd, buf, sizeof(buf), 0);
		/* ENOBUFS: some were lost. */
		if (n < 0 && errno != ENOBUFS)
			break;
		changed = changed || n < 0 || names(buf, (size_t)n, index);
	}
	return changed;
}
