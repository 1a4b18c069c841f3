/* SPDX-License-Identifier: MIT */
/* A network for unit tests of front ends: it keeps what is sent, and gives what the test says. */
#ifndef NETDEV_FAKE_H
#define NETDEV_FAKE_H

#include "dm/netdev/netdev.h"

#define NETDEV_FAKE_FRAMES 2048

struct netdev_fake {
	struct netdev netdev; /* hand this to the front end */
	struct netdev_front front;
	struct {
		uint8_t *data;
		uint32_t length;
		struct netdev_offload offload;
	} *sent; /* NETDEV_FAKE_FRAMES of them */
	uint32_t n_sent, n_calls;
	uint32_t room; /* frames that send still takes; UINT32_MAX at first */
	uint32_t readies, flushes;
	uint32_t can; /* what set_offload said last */
};

struct netdev_fake *netdev_fake_create(void);
void netdev_fake_destroy(struct netdev_fake *n);
/* One frame to the guest; whether it was taken. */
bool netdev_fake_give(struct netdev_fake *n, const void *data, uint32_t length, uint8_t flags);

#endif
