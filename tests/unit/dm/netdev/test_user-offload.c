/* SPDX-License-Identifier: MIT */
/* The back end "user" with what a guest leaves to be done, and what it can do itself. */
#include "user-world.h"

#define PAYLOAD 60000u

static uint8_t pattern(uint32_t i)
{
	return (uint8_t)(i * 7 + (i >> 8) * 3);
}

/* What the host's end has got; waits for n bytes. */
static uint32_t read_all(struct world *w, int fd, uint8_t *to, uint32_t n)
{
	uint32_t have = 0;

	for (int i = 0; i < 500 && have < n; i++) {
		ssize_t got = read(fd, to + have, n - have);

		have += got > 0 ? (uint32_t)got : 0;
		run_for(w, got <= 0);
	}
	return have;
}

/* ---- from the guest ---- */

/* A frame of 60000 bytes in pieces of odd sizes, with nothing in the checksum but the pseudo header's. */
static void send_large(struct world *w, struct tcp *t, uint8_t flags)
{
	static uint8_t f[NETDEV_GSO_MAX];
	struct iovec iov[64];
	struct netdev_frame frame = {.iov = iov,
	                             .length = 54 + PAYLOAD,
	                             .offload = {.flags = flags,
	                                         .gso_type = NETDEV_GSO_TCPV4,
	                                         .header_len = 54,
	                                         .gso_size = 1460,
	                                         .csum_start = 34,
	                                         .csum_offset = 16}};
	uint8_t *p = make_ip(f, w->peer, 6, GUEST, HOST, 20 + PAYLOAD);

	memset(p, 0, 20);
	put16(p, t->from);
	put16(p + 2, t->to);
	put32(p + 4, t->seq);
	put32(p + 8, t->ack);
	p[12] = 5 << 4;
	p[13] = ACK | PSH;
	put16(p + 14, t->window);
	put16(p + 16, net_sum(f + 26, 8, (uint16_t)(6 + 20 + PAYLOAD)));
	for (uint32_t i = 0; i < PAYLOAD; i++)
		p[20 + i] = pattern(i);
	for (uint32_t at = 0, n; at < frame.length; at += n) {
		n = frame.n_iov == 63 ? frame.length - at : 1 + frame.n_iov * 37;
		n = n < frame.length - at ? n : frame.length - at;
		iov[frame.n_iov++] = (struct iovec){f + at, n};
	}
	t->seq += PAYLOAD;
	assert_int_equal(netdev_send(w->dev, &frame, 1), 1);
}

static void large_frames_arrive_whole(void **state)
{
	struct world *w = *state;
	static uint8_t in[PAYLOAD];
	struct tcp t;
	uint32_t n;
	int fd;

	assert_int_equal(open_dev(w), 0);
	assert_true(w->dev->info.can_send & NETDEV_CAN_TCPV4);
	fd = connect_guest(w, &t);
	send_large(w, &t, NETDEV_CSUM_NEEDED);
	assert_int_equal(read_all(w, fd, in, PAYLOAD), PAYLOAD);
	for (uint32_t i = 0; i < PAYLOAD; i++)
		assert_int_equal(in[i], pattern(i));
	tcp_take(w, &t, NULL, &n);
	assert_int_equal(host_fake_counter(w->f, "frames-unsupported"), 0);
	/* libslirp looks at checksums: one that nobody was asked to make is wrong. */
	send_large(w, &t, 0);
	assert_int_equal(read_all(w, fd, in, 1), 0);
	close(fd);
}

#define ROW 30u
#define ROW_SIZE 1000u

/* A batch of small segments; `bad` has a wrong byte under a checksum of its own. sum: all are to be made. */
static void send_row(struct world *w, struct tcp *t, bool sum, uint32_t bad)
{
	static uint8_t f[ROW][54 + ROW_SIZE];
	struct netdev_frame frames[ROW];
	struct iovec iov[ROW];

	for (uint32_t i = 0; i < ROW; i++) {
		uint8_t *p = make_ip(f[i], w->peer, 6, GUEST, HOST, 20 + ROW_SIZE);

		memset(p, 0, 20);
		put16(p, t->from);
		put16(p + 2, t->to);
		put32(p + 4, t->seq + i * ROW_SIZE);
		put32(p + 8, t->ack);
		p[12] = 5 << 4;
		p[13] = ACK | (i % 8 ? 0 : PSH);
		put16(p + 14, t->window);
		for (uint32_t k = 0; k < ROW_SIZE; k++)
			p[20 + k] = pattern(i * ROW_SIZE + k);
		iov[i] = (struct iovec){f[i], sizeof(f[i])};
		frames[i] = (struct netdev_frame){.iov = &iov[i], .n_iov = 1, .length = sizeof(f[i])};
		if (sum) {
			put16(p + 16, net_sum(f[i] + 26, 8, 6 + 20 + ROW_SIZE));
			frames[i].offload = (struct netdev_offload){NETDEV_CSUM_NEEDED, .csum_start = 34, .csum_offset = 16};
		} else {
			seal(f[i], 6, 16, 20 + ROW_SIZE);
		}
		p[20] ^= i == bad;
	}
	assert_int_equal(netdev_send(w->dev, frames, ROW), ROW);
}

static void rows_of_segments(void **state)
{
	struct world *w = *state;
	static uint8_t in[ROW * ROW_SIZE + 1];
	struct tcp t;
	uint32_t n, acks;
	int fd;

	assert_int_equal(open_dev(w), 0);
	fd = connect_guest(w, &t);
	for (uint32_t sum = 0; sum < 2; sum++) {
		acks = w->n_got;
		send_row(w, &t, sum, UINT32_MAX);
		t.seq += ROW * ROW_SIZE;
		assert_int_equal(read_all(w, fd, in, ROW * ROW_SIZE), ROW * ROW_SIZE);
		for (uint32_t i = 0; i < ROW * ROW_SIZE; i++)
			assert_int_equal(in[i], pattern(i));
		assert_true(w->n_got - acks < 4); /* as one packet they are acknowledged */
	}
	/* What is wrong stays wrong, in the middle of a row, too; what comes behind it waits for it. */
	send_row(w, &t, false, 10);
	assert_int_equal(read_all(w, fd, in, sizeof(in)), 10 * ROW_SIZE);
	tcp_take(w, &t, NULL, &n);
	t.seq += 10 * ROW_SIZE;
	for (uint32_t k = 0; k < ROW_SIZE; k++)
		in[k] = pattern(10 * ROW_SIZE + k);
	tcp_send(w, &t, ACK, in, ROW_SIZE);
	assert_int_equal(read_all(w, fd, in, sizeof(in)), (ROW - 10) * ROW_SIZE);
	for (uint32_t i = 0; i < (ROW - 10) * ROW_SIZE; i++)
		assert_int_equal(in[i], pattern(10 * ROW_SIZE + i));
	close(fd);
}

/* UDP, with a checksum to make. */
static void datagrams_get_their_checksum(void **state)
{
	struct world *w = *state;
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	uint8_t f[128], in[64], *p;
	struct iovec iov = {f, 34 + 8 + 5};
	struct netdev_frame frame = {.iov = &iov,
	                             .n_iov = 1,
	                             .length = 34 + 8 + 5,
	                             .offload = {.flags = NETDEV_CSUM_NEEDED, .csum_start = 34, .csum_offset = 6}};

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	assert_int_equal(open_dev(w), 0);
	arp(w);
	p = make_ip(f, w->peer, 17, GUEST, HOST, 13);
	put16(p, 5000);
	put16(p + 2, ntohs(a.sin_port));
	put16(p + 4, 13);
	put16(p + 6, net_sum(f + 26, 8, 17 + 13));
	memcpy(p + 8, "hello", 5);
	assert_int_equal(netdev_send(w->dev, &frame, 1), 1);
	run_for(w, 2);
	assert_int_equal(read(fd, in, sizeof(in)), 5);
	assert_memory_equal(in, "hello", 5);
	close(fd);
}

/* Offsets that lead nowhere, and large frames that are no TCP. */
static void senseless_offloads_are_dropped(void **state)
{
	static const struct netdev_offload bad[] = {
	        {.flags = NETDEV_CSUM_NEEDED, .csum_start = 0, .csum_offset = 16},
	        {.flags = NETDEV_CSUM_NEEDED, .csum_start = 54, .csum_offset = 16},
	        {.flags = NETDEV_CSUM_NEEDED, .csum_start = 34, .csum_offset = 19},
	        {.flags = NETDEV_CSUM_NEEDED, .csum_start = 65535, .csum_offset = 65535},
	        {.gso_type = NETDEV_GSO_UDP},
	        {.gso_type = NETDEV_GSO_UDP_L4},
	        {.gso_type = 99},
	        {.gso_type = NETDEV_GSO_TCPV4},
	};
	struct world *w = *state;
	uint8_t f[54];
	struct iovec iov = {f, 54};

	assert_int_equal(open_dev(w), 0);
	for (uint32_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct netdev_frame frame = {.iov = &iov, .n_iov = 1, .length = 54, .offload = bad[i]};

		memset(make_ip(f, mac, i == 7 ? 17 : 6, GUEST, HOST, 20), 0, 20);
		f[46] = 5 << 4;
		assert_int_equal(netdev_send(w->dev, &frame, 1), 1);
		assert_int_equal(host_fake_counter(w->f, "frames-unsupported"), i + 1);
	}
	host_fake_run(w->f);
}

/* ---- to the guest ---- */

/* Takes the stream until n bytes have come, acknowledging; every frame must be of `most` at most. */
static uint32_t take_stream(struct world *w, struct tcp *t, uint8_t *to, uint32_t n, uint32_t *most)
{
	uint32_t have = 0, got;

	*most = 0;
	for (int i = 0; i < 300 && have < n; i++) {
		w->n_got = w->next = 0;
		run_for(w, 1);
		for (uint32_t k = 0; k < w->n_got; k++)
			*most = w->got[k].length > *most ? w->got[k].length : *most;
		tcp_take(w, t, to + have, &got);
		have += got;
		if (got)
			tcp_send(w, t, ACK, NULL, 0);
	}
	return have;
}

static void check_sums(const struct world *w, uint32_t size)
{
	for (uint32_t k = 0; k < w->n_got; k++) {
		const uint8_t *f = w->got[k].data;
		uint32_t n = get16(f + 16) - 20;

		if (get16(f + 12) != 0x0800 || f[23] != 6)
			continue;
		assert_int_equal(net_sum(f + 14, 20, 0), 0xffff);
		if (w->got[k].offload.gso_type) {
			assert_int_equal(w->got[k].flags, NETDEV_CSUM_NEEDED);
			assert_int_equal(get16(f + 50), net_sum(f + 26, 8, (uint16_t)(6 + n)));
			assert_int_equal(w->got[k].offload.gso_size, size);
			assert_int_equal(w->got[k].offload.header_len, 54);
			assert_int_equal(w->got[k].offload.csum_start, 34);
			assert_int_equal(w->got[k].offload.csum_offset, 16);
		} else {
			assert_int_equal(w->got[k].flags, NETDEV_CSUM_VALID);
			assert_int_equal(net_sum(f + 34, n, net_sum(f + 26, 8, (uint16_t)(6 + n))), 0xffff);
		}
	}
}

static void stream(struct world *w, uint16_t mss, uint32_t can, uint32_t at_least, uint32_t at_most)
{
	static uint8_t out[PAYLOAD], in[PAYLOAD];
	struct tcp t;
	uint32_t most, have = 0, size;
	int fd;

	assert_int_equal(open_dev(w), 0);
	netdev_set_offload(w->dev, can);
	fd = connect_guest_mss(w, &t, mss);
	for (uint32_t i = 0; i < PAYLOAD; i++)
		out[i] = pattern(i);
	assert_int_equal(write(fd, out, PAYLOAD), PAYLOAD);
	while (have < PAYLOAD && (size = take_stream(w, &t, in + have, 1, &most))) {
		check_sums(w, mss);
		assert_true(most <= at_most);
		have += size;
		at_least = most >= at_least ? 0 : at_least;
	}
	assert_int_equal(have, PAYLOAD);
	assert_memory_equal(in, out, PAYLOAD);
	assert_int_equal(at_least, 0);
	assert_int_equal(host_fake_counter(w->f, "frames-dropped"), 0);
	close(fd);
}

#define CAN_ALL (NETDEV_CAN_CSUM | NETDEV_CAN_TCPV4 | NETDEV_CAN_TCPV6)

static void large_frames_are_given(void **state)
{
	stream(*state, 1460, CAN_ALL, 54 + 16060, 54 + 16060);
}

static void who_takes_none_gets_segments(void **state)
{
	stream(*state, 1460, 0, 1514, 1514);
}

static void checksums_alone_are_not_enough(void **state)
{
	stream(*state, 1460, NETDEV_CAN_CSUM, 1514, 1514);
}

/* A guest that says less than fits its frames means it. */
static void a_smaller_segment_is_kept(void **state)
{
	stream(*state, 1000, 0, 1054, 1054);
}

static void a_smaller_segment_is_handed_on(void **state)
{
	stream(*state, 1000, CAN_ALL, 54 + 16060, 54 + 16060);
}

static void another_mtu(void **state)
{
	struct world *w = *state;

	host_fake_option(w->f, "mtu", 9000, NULL);
	stream(w, 8960, 0, 9014, 9014);
	assert_int_equal(w->dev->info.mtu, 9000);
}

/* The driver that could is gone: what was made for it is not given to the next one. */
static void offloads_are_taken_back(void **state)
{
	struct world *w = *state;
	static uint8_t out[PAYLOAD];
	struct tcp t;
	int fd;

	assert_int_equal(open_dev(w), 0);
	netdev_set_offload(w->dev, CAN_ALL);
	fd = connect_guest_mss(w, &t, 1460);
	w->room = 0;
	assert_int_equal(write(fd, out, PAYLOAD), PAYLOAD);
	run_for(w, 3);
	netdev_set_offload(w->dev, 0);
	w->room = UINT32_MAX;
	w->n_got = w->next = 0;
	netdev_ready(w->dev);
	run_for(w, 3);
	for (uint32_t k = 0; k < w->n_got; k++)
		assert_int_equal(w->got[k].offload.gso_type, 0);
	close(fd);
}

/* Datagrams that fit no frame go in fragments. */
static void datagrams_are_fragmented(void **state)
{
	struct world *w = *state;
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, peer;
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	static uint8_t out[20000], in[20000 + 8];
	uint8_t f[64], *p;
	uint32_t have = 0, n, last = 0;
	const uint8_t *g;

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	assert_int_equal(open_dev(w), 0);
	arp(w);
	p = make_ip(f, w->peer, 17, GUEST, HOST, 9);
	memset(p, 0, 9);
	put16(p, 5000);
	put16(p + 2, ntohs(a.sin_port));
	put16(p + 4, 9);
	send_frame(w, f, 43);
	run_for(w, 2);
	len = sizeof(peer);
	assert_int_equal(recvfrom(fd, f, sizeof(f), 0, (struct sockaddr *)&peer, &len), 1);
	for (uint32_t i = 0; i < sizeof(out); i++)
		out[i] = pattern(i);
	assert_int_equal(sendto(fd, out, sizeof(out), 0, (struct sockaddr *)&peer, len), sizeof(out));
	run_for(w, 3);
	while ((g = next_ip(w, 17, &n))) {
		uint32_t at = (get16(g + 20) & 0x1fff) * 8, size = get16(g + 16) - 20;

		assert_true(n <= 1514);
		assert_int_equal(net_sum(g + 14, 20, 0), 0xffff);
		assert_true(at + size <= sizeof(in));
		memcpy(in + at, g + 34, size);
		have += size;
		last += !(get16(g + 20) & 0x2000);
		assert_int_equal(!(get16(g + 20) & 0x2000), at + size == sizeof(in));
	}
	assert_int_equal(have, sizeof(in));
	assert_int_equal(last, 1);
	assert_memory_equal(in + 8, out, sizeof(out));
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(large_frames_arrive_whole),
	        TEST(rows_of_segments),
	        TEST(datagrams_get_their_checksum),
	        TEST(senseless_offloads_are_dropped),
	        TEST(large_frames_are_given),
	        TEST(who_takes_none_gets_segments),
	        TEST(checksums_alone_are_not_enough),
	        TEST(a_smaller_segment_is_kept),
	        TEST(a_smaller_segment_is_handed_on),
	        TEST(another_mtu),
	        TEST(offloads_are_taken_back),
	        TEST(datagrams_are_fragmented),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
