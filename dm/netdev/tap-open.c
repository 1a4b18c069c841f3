/* SPDX-License-Identifier: MIT */
/*
 * The interface of backend = "tap": one that is there, or a new one that goes
 * when the domain ends. What the options ask for is only done where it is not
 * so already, so that an interface that somebody has prepared needs no privilege.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "dm/netdev/link.h"
#include "dm/netdev/tap.h"

#define DEVICE "/dev/net/tun"
/* The kernel puts a number in. */
#define NEW_NAME "gamut%d"

/* Of Linux 6.2. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

struct opening {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct tap_interface *tap;
};

static int open_device(const struct opening *o)
{
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0) {
		o->tap->fd = fd;
		return 0;
	}
	if (errno == ENOENT || errno == ENODEV)
		return o->host->fail(o->inst, errno, "%s is not there: the host needs its driver, modprobe tun", DEVICE);
	return o->host->fail(o->inst, errno, "%s: %s; it must be readable and writable for this user", DEVICE,
	                     strerror(errno));
}

static int read_name(const struct opening *o, const char **name)
{
	size_t length;

	*name = NULL;
	if (!o->host->option_string(o->inst, "ifname", name))
		return 0;
	length = strlen(*name);
	if (!length || length >= IFNAMSIZ || strpbrk(*name, "/ \t\n%:") || !strcmp(*name, ".") || !strcmp(*name, ".."))
		return o->host->fail(o->inst, EINVAL, "ifname: \"%s\" is no name of an interface: those have 1 to %d letters",
		                     *name, IFNAMSIZ - 1);
	return 0;
}

static int attach_failed(const struct opening *o, const char *name, int err)
{
	const char *shown = name ? name : "a tap interface";

	switch (err) {
	case EPERM:
		return o->host->fail(o->inst, err,
		                     "%s: to make an interface needs CAP_NET_ADMIN, and to use one, to be its owner; have one "
		                     "made: ip tuntap add dev %s mode tap user $USER, and name it by ifname",
		                     shown, name ? name : "tap0");
	case EBUSY:
		return o->host->fail(o->inst, err, "%s: is in use by another program", shown);
	case EINVAL:
		return o->host->fail(o->inst, err, "%s: is an interface, but no tap", shown);
	default:
		return o->host->fail(o->inst, err, "%s: %s", shown, strerror(err));
	}
}

static int attach(const struct opening *o, const char *name)
{
	struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	struct tap_interface *tap = o->tap;

	/* Names are shorter: read_name. */
	strncpy(r.ifr_name, name ? name : NEW_NAME, IFNAMSIZ - 1);
	if (ioctl(tap->fd, TUNSETIFF, &r)) {
		if (errno != EINVAL)
			return attach_failed(o, name, errno);
		/* One that was made for several queues must be asked for as such. */
		r.ifr_flags |= IFF_MULTI_QUEUE;
		if (ioctl(tap->fd, TUNSETIFF, &r))
			return attach_failed(o, name, errno);
	}
	memcpy(tap->name, r.ifr_name, IFNAMSIZ);
	tap->name[IFNAMSIZ - 1] = 0;
	tap->index = if_nametoindex(tap->name);
	return tap->index ? 0 : attach_failed(o, tap->name, errno);
}

/* ---- offloads ---- */

static unsigned long tun_flags(uint32_t can)
{
	unsigned long flags = 0;

	if (!(can & NETDEV_CAN_CSUM))
		return 0;
	flags |= TUN_F_CSUM;
	flags |= can & NETDEV_CAN_TCPV4 ? TUN_F_TSO4 : 0;
	flags |= can & NETDEV_CAN_TCPV6 ? TUN_F_TSO6 : 0;
	if (flags & (TUN_F_TSO4 | TUN_F_TSO6))
		flags |= can & NETDEV_CAN_ECN ? TUN_F_TSO_ECN : 0;
	flags |= can & NETDEV_CAN_UDP_L4 ? TUN_F_USO4 | TUN_F_USO6 : 0;
	return flags;
}

int tap_interface_offload(const struct tap_interface *tap, uint32_t can)
{
	return ioctl(tap->fd, TUNSETOFFLOAD, tun_flags(can)) ? -errno : 0;
}

static int find_offloads(const struct opening *o)
{
	int size = sizeof(struct virtio_net_hdr), little = 1;
	struct tap_interface *tap = o->tap;

	if (ioctl(tap->fd, TUNSETVNETHDRSZ, &size) || ioctl(tap->fd, TUNSETVNETLE, &little))
		return o->host->fail(o->inst, errno, "%s: this kernel's tap takes no virtio_net_hdr: %s", tap->name,
		                     strerror(errno));
	tap->can = NETDEV_CAN_CSUM | NETDEV_CAN_TCPV4 | NETDEV_CAN_TCPV6 | NETDEV_CAN_ECN;
	if (!tap_interface_offload(tap, tap->can | NETDEV_CAN_UDP_L4))
		tap->can |= NETDEV_CAN_UDP_L4;
	return tap_interface_offload(tap, 0) ? o->host->fail(o->inst, errno, "%s: offloads: %s", tap->name, strerror(errno))
	                                     : 0;
}

/* ---- what it is connected to ---- */

static int change_failed(const struct opening *o, const char *what, const char *remedy, int err)
{
	if (err == -EPERM)
		return o->host->fail(o->inst, EPERM, "%s: to %s needs CAP_NET_ADMIN; or have it done before: %s", o->tap->name,
		                     what, remedy);
	return o->host->fail(o->inst, -err, "%s: cannot %s: %s", o->tap->name, what, strerror(-err));
}

static int set_mtu(const struct opening *o, struct netdev_link *link)
{
	int64_t mtu;
	int err;

	if (!o->host->option_int(o->inst, "mtu", &mtu) || (uint32_t)mtu == link->mtu)
		return 0;
	err = netdev_link_set_mtu(o->tap->index, (uint32_t)mtu);
	if (err)
		return change_failed(o, "set its MTU", "ip link set TAP mtu MTU", err);
	link->mtu = (uint32_t)mtu;
	return 0;
}

static int set_bridge(const struct opening *o, const struct netdev_link *link)
{
	/* A bridge takes the lowest of its ports' addresses, which must not change with its guests; this is as Xen has it. */
	static const uint8_t highest[6] = {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff};
	const char *name;
	uint32_t bridge;
	int err;

	if (!o->host->option_string(o->inst, "bridge", &name))
		return 0;
	bridge = if_nametoindex(name);
	if (!bridge)
		return o->host->fail(o->inst, ENODEV, "bridge: there is no interface \"%s\"; make it: ip link add %s type bridge",
		                     name, name);
	if (link->master == bridge)
		return 0;
	err = netdev_link_set_address(o->tap->index, highest);
	if (!err)
		err = netdev_link_set_master(o->tap->index, bridge);
	if (err == -EOPNOTSUPP || err == -EINVAL)
		return o->host->fail(o->inst, -err, "bridge: \"%s\" is none", name);
	return err ? change_failed(o, "put it into a bridge", "ip link set TAP master BRIDGE", err) : 0;
}

/* An interface that is down may come up later, and the guest's cable goes in then. */
static int bring_up(const struct opening *o, const struct netdev_link *link)
{
	int err = link->up ? 0 : netdev_link_set_up(o->tap->index);

	if (err)
		o->host->log(o->inst, GAMUT_LOG_WARN, "%s is down, and cannot be brought up: %s; ip link set %s up", o->tap->name,
		             strerror(-err), o->tap->name);
	return 0;
}

static int set_up(const struct opening *o)
{
	struct netdev_link link;
	int err = netdev_link_get(o->tap->index, &link);

	if (err)
		return o->host->fail(o->inst, -err, "%s: %s", o->tap->name, strerror(-err));
	err = set_mtu(o, &link);
	if (!err)
		err = set_bridge(o, &link);
	if (!err)
		err = bring_up(o, &link);
	o->tap->mtu = link.mtu;
	return err;
}

int tap_interface_open(const struct gamut_host *host, struct gamut_inst *inst, struct tap_interface *tap)
{
	struct opening o = {host, inst, tap};
	const char *name;
	int err = read_name(&o, &name);

	tap->fd = -1;
	if (!err)
		err = open_device(&o);
	if (!err)
		err = attach(&o, name);
	if (!err)
		err = find_offloads(&o);
	if (!err)
		err = set_up(&o);
	if (err && tap->fd >= 0) {
		close(tap->fd);
		tap->fd = -1;
	}
	return err;
}
