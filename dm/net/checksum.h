/* SPDX-License-Identifier: MIT */
/* The Internet checksum (RFC 1071) and Ethernet's FCS (IEEE 802.3, 3.2.9). */
#ifndef NET_CHECKSUM_H
#define NET_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/*
 * Ones' complement sum of big-endian 16-bit words, folded to 16 bits, in host
 * order, not complemented. An odd last byte counts as the upper one of a word.
 * `sum` is that of what comes before, which must be an even number of bytes.
 */
uint16_t net_sum(const void *data, size_t length, uint16_t sum);
/* Sum of two sums. */
uint16_t net_sum_add(uint16_t a, uint16_t b);

/* net_sum of what the n pieces hold from byte `skip` on, odd pieces included. */
uint16_t net_sum_iov(const struct iovec *iov, size_t n, size_t skip, uint16_t sum);

struct net_fcs {
	uint32_t table[8][256];
};

void net_fcs_init(struct net_fcs *f);
/* The FCS of a frame, first byte on the wire lowest. */
uint32_t net_fcs(const struct net_fcs *f, const void *data, size_t length);

#endif
