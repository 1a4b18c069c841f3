/* SPDX-License-Identifier: MIT */
/*
 * What changes in the headers from one segment of a packet to the next,
 * whoever cuts it: a card that does so by its descriptors, or a back end for a
 * guest that takes no large ones. Checksums are the caller's.
 */
#ifndef NET_SEGMENT_H
#define NET_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

static inline uint16_t net_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline void net_put16(uint8_t *p, uint16_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static inline uint32_t net_get32(const uint8_t *p)
{
	return (uint32_t)net_get16(p) << 16 | net_get16(p + 2);
}

static inline void net_put32(uint8_t *p, uint32_t value)
{
	net_put16(p, (uint16_t)(value >> 16));
	net_put16(p + 2, (uint16_t)value);
}

/* Where the headers are; offsets into a segment. */
struct net_cut {
	uint32_t header; /* bytes that every segment begins with */
	uint32_t ip, transport;
	bool ipv4; /* else IPv6 */
	bool tcp;  /* else UDP */
};

/*
 * Lengths, identification, sequence number and flags of the segment `index`
 * (0 first), `length` bytes with its headers, `sent` bytes of payload being in
 * those before it. A header that does not fit c->header is left alone.
 */
void net_segment_headers(const struct net_cut *c, uint8_t *frame, uint32_t length, uint32_t index, uint32_t sent,
                         bool last);

#endif
