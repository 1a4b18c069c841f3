/* SPDX-License-Identifier: MIT */
/*
 * backend = "user": the guest's network ends in this process, which speaks for
 * it with ordinary sockets (libslirp). Needs no privilege and nothing set up.
 * user.c runs it, user-config.c reads its options.
 */
#ifndef NETDEV_USER_H
#define NETDEV_USER_H

#include <slirp/libslirp.h>

#include "dm/netdev/netdev.h"

/* See netdev_open. */
struct netdev *netdev_user_open(const struct gamut_host *host, struct gamut_inst *inst,
                                const struct netdev_front *front, int *error);

/* ---- user-config.c ---- */

#define USER_SEARCH_MAX 16

/* What SlirpConfig points to lives here or in the instance's options. */
struct user_config {
	SlirpConfig slirp;
	const char *search[USER_SEARCH_MAX + 1];
	uint32_t connections;
	uint32_t mtu; /* of the guest's network; libslirp's is larger */
};

/* Reads and checks every option but "forward". 0 or -errno after host->fail. [control] */
int user_config_read(const struct gamut_host *host, struct gamut_inst *inst, struct user_config *config);

/* A port of the host that leads to one of the guest. */
struct user_forward {
	bool udp;
	struct sockaddr_storage host, guest;
	socklen_t length; /* of both: they are of one family */
};

/*
 * "tcp:127.0.0.1:2222-:22", "udp::69-10.0.2.15:69", "tcp:[::1]:80-[fec0::15]:80".
 * No host address: any; no guest address: the first that DHCP gives (0.0.0.0
 * here). False when it is none.
 */
bool user_forward_parse(const char *text, struct user_forward *forward);

#endif
