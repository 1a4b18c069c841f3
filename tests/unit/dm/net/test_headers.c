/* SPDX-License-Identifier: MIT */
/* What is found in headers of every kind, and that nothing is read past their end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "dm/net/checksum.h"
#include "dm/net/headers.h"

#define UDP4                                                                                                 \
	"\1\2\3\4\5\6\7\10\11\12\13\14\x08\x00"                                                              \
	"\x45\0\0\x20\0\0\0\0\x40\x11\0\0\x0a\0\2\x0f\x0a\0\2\2"                                             \
	"\0\1\0\2\0\x0c\0\0"                                                                                 \
	"abcd"
#define ETH "\1\2\3\4\5\6\7\10\11\12\13\14"

/* A copy of exactly n bytes, so that sanitizers see a read beyond. */
static bool find(const void *frame, uint32_t n, uint32_t length, struct net_headers *h)
{
	uint8_t *copy = malloc(n ? n : 1);
	bool found;

	memcpy(copy, frame, n);
	found = net_headers_find(copy, n, length, h);
	net_headers_hash(copy, n, length);
	free(copy);
	return found;
}

static void udp_in_ipv4(void **state)
{
	struct net_headers h;

	(void)state;
	assert_true(find(UDP4, 46, 46, &h));
	assert_int_equal(h.network, 14);
	assert_int_equal(h.transport, 34);
	assert_int_equal(h.csum_offset, 6);
	assert_int_equal(h.end, 42);
	assert_int_equal(h.total, 46);
	assert_int_equal(h.ip, 4);
	assert_false(h.routed);
	/* 0a00 + 020f + 0a00 + 0202 + 17 + 12 */
	assert_int_equal(net_headers_pseudo((const uint8_t *)UDP4, &h), 0x182e);
	/* Padding is no part of it, and a packet longer than its frame none. */
	assert_true(find(UDP4 "1234567890abcd", 60, 60, &h));
	assert_int_equal(h.total, 46);
	assert_false(find(UDP4, 45, 45, &h));
}

static void every_length(void **state)
{
	struct net_headers h;

	(void)state;
	for (uint32_t n = 0; n < 46; n++) {
		assert_int_equal(find(UDP4, n, 46, &h), n >= 42);
		assert_false(find(UDP4, n, n, &h));
	}
}

static void tags(void **state)
{
	uint8_t frame[64];
	struct net_headers h;

	(void)state;
	memcpy(frame, ETH "\x88\xa8\0\1\x81\0\0\2", 20);
	memcpy(frame + 20, (const uint8_t *)UDP4 + 12, 34);
	assert_true(find(frame, 54, 54, &h));
	assert_int_equal(h.network, 22);
	/* Three are too many. */
	memcpy(frame + 20, "\x81\0\0\3\x81\0", 6);
	assert_false(find(frame, 54, 54, &h));
}

static void tcp_in_ipv6(void **state)
{
	uint8_t frame[128] = ETH "\x86\xdd\x60\0\0\0\0\x24\0\x40"; /* 36 bytes after a hop-by-hop header */
	struct net_headers h;

	(void)state;
	frame[14 + 40] = 6;
	frame[14 + 40 + 1] = 0;
	frame[14 + 48 + 12] = 0x60;
	frame[14 + 48 + 13] = 0x80;
	assert_true(find(frame, 90, 90, &h));
	assert_int_equal(h.transport, 62);
	assert_int_equal(h.csum_offset, 16);
	assert_int_equal(h.end, 86);
	assert_int_equal(h.total, 90);
	assert_int_equal(h.ip, 6);
	assert_true(h.cwr);
	assert_int_equal(net_headers_pseudo(frame, &h), 28 + 6);
	/* A routing header says that the destination is another. */
	frame[20] = 43;
	assert_true(find(frame, 90, 90, &h));
	assert_true(h.routed);
	/* A header longer than the frame, a TCP header longer than the packet, one shorter than 20 bytes. */
	frame[14 + 40 + 1] = 255;
	assert_false(find(frame, 90, 90, &h));
	frame[14 + 40 + 1] = 0;
	frame[14 + 48 + 12] = 0xf0;
	assert_false(find(frame, 90, 90, &h));
	frame[14 + 48 + 12] = 0x40;
	assert_false(find(frame, 90, 90, &h));
}

static void no_transport(void **state)
{
	uint8_t frame[46];
	struct net_headers h;

	(void)state;
	memcpy(frame, UDP4, 46);
	frame[23] = 1;
	assert_false(find(frame, 46, 46, &h));
	frame[23] = 17;
	frame[20] = 0x20; /* a first fragment */
	assert_false(find(frame, 46, 46, &h));
	frame[20] = 0x40; /* a packet that must not be one */
	assert_true(find(frame, 46, 46, &h));
	frame[14] = 0x44;
	assert_false(find(frame, 46, 46, &h));
	frame[14] = 0x4f;
	assert_false(find(frame, 46, 46, &h));
	frame[14] = 0x65;
	assert_false(find(frame, 46, 46, &h));
	memcpy(frame + 12, "\x08\x06", 2);
	assert_false(find(frame, 46, 46, &h));
}

static void flows(void **state)
{
	uint8_t a[46], b[46];

	(void)state;
	memcpy(a, UDP4, 46);
	memcpy(b, UDP4, 46);
	b[45] ^= 1;
	assert_int_equal(net_headers_hash(a, 46, 46), net_headers_hash(b, 46, 46));
	b[35] ^= 1;
	assert_int_not_equal(net_headers_hash(a, 46, 46), net_headers_hash(b, 46, 46));
}

static void sum_of_pieces(void **state)
{
	uint8_t data[200];

	(void)state;
	for (uint32_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 37 + 11);
	for (uint32_t cut = 0; cut <= 60; cut++)
		for (uint32_t skip = 0; skip < 70; skip += 3) {
			struct iovec iov[] = {
			        {data, cut}, {data + cut, 0}, {data + cut, 13}, {data + cut + 13, 187 - cut}};

			assert_int_equal(net_sum_iov(iov, 4, skip, 5), net_sum(data + skip, 200 - skip, 5));
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(udp_in_ipv4),   cmocka_unit_test(every_length), cmocka_unit_test(tags),
	        cmocka_unit_test(tcp_in_ipv6),   cmocka_unit_test(no_transport), cmocka_unit_test(flows),
	        cmocka_unit_test(sum_of_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
