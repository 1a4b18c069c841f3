/* SPDX-License-Identifier: MIT */
/*
 * Where things are in an Ethernet frame: what offloads need to know of its
 * headers. They are read from a private copy of the frame's first bytes, which
 * may be anything.
 */
#ifndef NET_HEADERS_H
#define NET_HEADERS_H

#include <stdbool.h>
#include <stdint.h>

/* As many bytes of a frame as are enough for any sensible headers. */
#define NET_HEADERS_MAX 256u

struct net_headers {
	uint16_t network;     /* offset of the IP header */
	uint16_t transport;   /* of the TCP or UDP header */
	uint16_t csum_offset; /* of the checksum in that */
	uint16_t end;         /* of the TCP or UDP header: where the payload begins */
	uint32_t total;       /* where the IP packet ends; what follows in the frame is padding */
	uint8_t ip;           /* 4 or 6 */
	uint8_t protocol;     /* IPPROTO_TCP or IPPROTO_UDP */
	bool cwr;             /* TCP's flag */
	bool routed; /* has a source route: the pseudo header has another destination than the IP header */
};

/*
 * Finds TCP or UDP in a frame of `length` bytes, of which the first n are at
 * head: Ethernet with up to two VLAN tags, IPv4 or IPv6. False when it is
 * anything else, a fragment, or its lengths contradict each other or do not
 * lie within the n bytes.
 */
bool net_headers_find(const uint8_t *head, uint32_t n, uint32_t length, struct net_headers *h);

/* The pseudo header's sum, not complemented, as CSUM_NEEDED wants it in the checksum's place. */
uint16_t net_headers_pseudo(const uint8_t *head, const struct net_headers *h);

/* A hash that is the same for all frames of a flow (addresses and, if there are any, ports). */
uint32_t net_headers_hash(const uint8_t *head, uint32_t n, uint32_t length);

#endif
