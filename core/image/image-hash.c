/* SPDX-License-Identifier: MIT */
/*
 * Four independent lanes of multiply and rotate take 32 bytes a round, which
 * keeps the multiplier busy; the lanes are then mixed into both words in
 * different orders.
 */
#include "image/image-hash.h"

#include <string.h>

/* Odd, with no pattern in their bits: fractional parts of the square roots of 2, 3, 5 and 7. */
#define K0 0x6a09e667f3bcc909ull
#define K1 0xbb67ae8584caa73bull
#define K2 0x3c6ef372fe94f82bull
#define K3 0xa54ff53a5f1d36f1ull

static uint64_t rotate(uint64_t x, unsigned int n)
{
	return x << n | x >> (64 - n);
}

static uint64_t absorb(uint64_t lane, uint64_t word)
{
	return rotate((lane ^ word) * K1, 29) + K3;
}

/* Every bit of the input reaches every bit of the result. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 32) * K1;
	x = (x ^ x >> 29) * K3;
	return x ^ x >> 32;
}

struct image_hash image_hash(const void *data, size_t size)
{
	uint64_t lane[4] = {K0 ^ size, K1, K2, K3 + size};
	const uint8_t *p = data;
	uint64_t word[4];
	struct image_hash hash;
	size_t left = size;

	for (; left >= sizeof(word); left -= sizeof(word), p += sizeof(word)) {
		memcpy(word, p, sizeof(word));
		for (int i = 0; i < 4; i++)
			lane[i] = absorb(lane[i], word[i]);
	}
	/* The size is in the lanes already: padding with zeros is unambiguous. */
	memset(word, 0, sizeof(word));
	memcpy(word, p, left);
	for (int i = 0; i < 4; i++)
		lane[i] = absorb(lane[i], word[i]);
	hash.word[0] = mix(lane[0] + mix(lane[1] + mix(lane[2] + mix(lane[3]))));
	hash.word[1] = mix(lane[3] ^ mix(lane[1] ^ mix(lane[0] ^ mix(lane[2] ^ hash.word[0]))));
	return hash;
}
