/* SPDX-License-Identifier: MIT */
#include "dm/net/checksum.h"

#include <endian.h>
#include <string.h>

uint16_t net_sum_add(uint16_t a, uint16_t b)
{
	uint32_t sum = (uint32_t)a + b;

	return (uint16_t)(sum + (sum >> 16));
}

/* The sum does not care for byte order until its end, so whole words are added as they lie in memory. */
uint16_t net_sum(const void *data, size_t length, uint16_t sum)
{
	const uint8_t *p = data;
	uint64_t acc = 0, other = 0, eight[4];
	uint32_t word;

	/* Halves of 32 bits leave the carries room in 64, so that there is no chain of them. */
	for (; length >= 32; p += 32, length -= 32) {
		memcpy(eight, p, 32);
		acc += (eight[0] & 0xffffffff) + (eight[0] >> 32) + (eight[1] & 0xffffffff) + (eight[1] >> 32);
		other += (eight[2] & 0xffffffff) + (eight[2] >> 32) + (eight[3] & 0xffffffff) + (eight[3] >> 32);
	}
	acc += other;
	for (; length >= 4; p += 4, length -= 4) {
		memcpy(&word, p, 4);
		acc += word;
	}
	if (length) {
		word = 0;
		memcpy(&word, p, length);
		acc += word;
	}
	while (acc >> 16)
		acc = (acc & 0xffff) + (acc >> 16);
	return net_sum_add(be16toh((uint16_t)acc), sum);
}

uint16_t net_sum_iov(const struct iovec *iov, size_t n, size_t skip, uint16_t sum)
{
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		const uint8_t *p = iov[i].iov_base;
		size_t length = iov[i].iov_len;
		uint16_t part;

		if (skip >= length) {
			skip -= length;
			continue;
		}
		part = net_sum(p + skip, length - skip, 0);
		/* Behind an odd byte every word's bytes change places, and so do the sum's. */
		sum = net_sum_add(sum, at & 1 ? __builtin_bswap16(part) : part);
		at += length - skip;
		skip = 0;
	}
	return sum;
}

/* Slicing by 8: a table for each of the bytes that one turn takes. The polynomial is reflected. */
void net_fcs_init(struct net_fcs *f)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int bit = 0; bit < 8; bit++)
			c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
		f->table[0][i] = c;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int k = 1; k < 8; k++)
			f->table[k][i] = f->table[0][f->table[k - 1][i] & 0xff] ^ (f->table[k - 1][i] >> 8);
}

uint32_t net_fcs(const struct net_fcs *f, const void *data, size_t length)
{
	const uint8_t *p = data;
	uint32_t c = ~0u, word, next;

	for (; length >= 8; p += 8, length -= 8) {
		memcpy(&word, p, 4);
		memcpy(&next, p + 4, 4);
		c ^= le32toh(word);
		next = le32toh(next);
		c = f->table[7][c & 0xff] ^ f->table[6][(c >> 8) & 0xff] ^ f->table[5][(c >> 16) & 0xff] ^
		    f->table[4][c >> 24] ^ f->table[3][next & 0xff] ^ f->table[2][(next >> 8) & 0xff] ^
		    f->table[1][(next >> 16) & 0xff] ^ f->table[0][next >> 24];
	}
	for (; length; length--)
		c = f->table[0][(c ^ *p++) & 0xff] ^ (c >> 8);
	return ~c;
}
