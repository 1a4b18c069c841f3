/* SPDX-License-Identifier: MIT */
/* The back end "user" and IPv6: a port of the host's that leads to the guest, and large frames both ways. */
#include "user-world.h"

#define PAYLOAD 60000u
#define TCP_AT  54u /* Ethernet's and IPv6's headers */
#define DATA_AT 74u

static uint8_t guest[16], router[16];

static uint8_t pattern(uint32_t i)
{
	return (uint8_t)(i * 7 + (i >> 8) * 3);
}

static uint16_t pseudo(const uint8_t *f, uint8_t protocol, uint32_t n)
{
	return net_sum_add(net_sum(f + 22, 32, 0), net_sum_add(protocol, (uint16_t)n));
}

/* To whoever asked: where the payload of n bytes goes. */
static uint8_t *make_ip6(struct world *w, uint8_t *f, uint8_t protocol, uint32_t n)
{
	memcpy(f, w->peer, 6);
	memcpy(f + 6, mac, 6);
	put16(f + 12, 0x86dd);
	memset(f + 14, 0, 8);
	f[14] = 0x60;
	put16(f + 18, n);
	f[20] = protocol;
	f[21] = 255;
	memcpy(f + 22, guest, 16);
	memcpy(f + 38, router, 16);
	return f + TCP_AT;
}

static const uint8_t *next_ip6(struct world *w, uint8_t protocol, uint32_t *at)
{
	while (w->next < w->n_got) {
		const uint8_t *f = w->got[w->next].data;

		*at = w->next++;
		if (w->got[*at].length >= TCP_AT && get16(f + 12) == 0x86dd && f[20] == protocol)
			return f;
	}
	return NULL;
}

/* The host looks for the guest: neighbour solicitation and advertisement (RFC 4861, 4.3, 4.4). */
static void answer_neighbour(struct world *w)
{
	const uint8_t *f = NULL;
	uint8_t out[128], *p;
	uint32_t at;

	for (int i = 0; i < 500 && !f; i++) {
		run_for(w, 1);
		do
			f = next_ip6(w, 58, &at);
		while (f && (f[TCP_AT] != 135 || memcmp(f + 62, guest, 16)));
	}
	if (!f) {
		fail_msg("nobody looks for the guest");
		return;
	}
	memcpy(w->peer, f + 6, 6);
	memcpy(router, f + 22, 16);
	p = make_ip6(w, out, 58, 32);
	memset(p, 0, 32);
	p[0] = 136;
	p[4] = 0x60;
	memcpy(p + 8, guest, 16);
	p[24] = 2;
	p[25] = 1;
	memcpy(p + 26, mac, 6);
	put16(p + 2, (uint16_t)~net_sum(p, 32, pseudo(out, 58, 32)));
	send_frame(w, out, TCP_AT + 32);
}

static void tcp6_header(uint8_t *p, const struct tcp *t, uint8_t flags, uint32_t header)
{
	memset(p, 0, header);
	put16(p, t->from);
	put16(p + 2, t->to);
	put32(p + 4, t->seq);
	put32(p + 8, t->ack);
	p[12] = (uint8_t)(header << 2);
	p[13] = flags;
	put16(p + 14, 65535);
}

static void tcp6_send(struct world *w, struct tcp *t, uint8_t flags)
{
	uint32_t header = flags & SYN ? 24 : 20;
	uint8_t f[128], *p = make_ip6(w, f, 6, header);

	tcp6_header(p, t, flags, header);
	if (flags & SYN) {
		put16(p + 20, 0x0204);
		put16(p + 22, 1440);
	}
	put16(p + 16, (uint16_t)~net_sum(p, header, pseudo(f, 6, header)));
	t->seq += !!(flags & SYN);
	send_frame(w, f, TCP_AT + header);
}

/* From the host's [::1] to the guest's port 22; the host's end of it. */
static int connect_to_guest(struct world *w, struct tcp *t)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t len = sizeof(a);
	const uint8_t *f = NULL;
	char text[64];
	uint32_t at;

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a))) {
		close(fd);
		return -1; /* a host without IPv6 */
	}
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	close(fd);
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	snprintf(text, sizeof(text), "tcp:[::1]:%u-[fec0::15]:22", ntohs(a.sin6_port));
	host_fake_option(w->f, "forward", 0, text);
	assert_int_equal(open_dev(w), 0);
	run_for(w, 1);
	assert_true(!connect(fd, (struct sockaddr *)&a, sizeof(a)) || errno == EINPROGRESS);
	inet_pton(AF_INET6, "fec0::15", guest);
	answer_neighbour(w);
	for (int i = 0; i < 3000 && !f; i++) {
		run_for(w, 1);
		f = next_ip6(w, 6, &at);
	}
	if (!f) {
		fail_msg("nobody connects");
		return -1;
	}
	assert_int_equal(f[TCP_AT + 13], SYN);
	assert_int_equal(get16(f + TCP_AT + 2), 22);
	memcpy(router, f + 22, 16);
	*t = (struct tcp){.seq = 7000, .ack = get32(f + TCP_AT + 4) + 1, .from = 22, .to = (uint16_t)get16(f + TCP_AT)};
	tcp6_send(w, t, SYN | ACK);
	run_for(w, 2);
	return fd;
}

/* ---- to the guest ---- */

static void check_frame(const struct world *w, uint32_t at, bool large)
{
	const uint8_t *f = w->got[at].data;
	uint32_t n = get16(f + 18);

	assert_int_equal(w->got[at].length, TCP_AT + n);
	if (w->got[at].offload.gso_type) {
		assert_true(large);
		assert_int_equal(w->got[at].offload.gso_type, NETDEV_GSO_TCPV6);
		assert_int_equal(w->got[at].offload.gso_size, 1440);
		assert_int_equal(w->got[at].offload.header_len, DATA_AT);
		assert_int_equal(w->got[at].offload.csum_start, TCP_AT);
		assert_int_equal(get16(f + TCP_AT + 16), pseudo(f, 6, n));
	} else {
		assert_true(w->got[at].length <= 1514);
		assert_int_equal(net_sum(f + TCP_AT, n, pseudo(f, 6, n)), 0xffff);
	}
}

static void host_sends(struct world *w, bool large)
{
	static uint8_t out[PAYLOAD];
	uint32_t have = 0, most = 0, at;
	struct tcp t;
	int fd = connect_to_guest(w, &t);

	if (fd < 0)
		skip();
	if (large)
		netdev_set_offload(w->dev, NETDEV_CAN_CSUM | NETDEV_CAN_TCPV4 | NETDEV_CAN_TCPV6);
	for (uint32_t i = 0; i < PAYLOAD; i++)
		out[i] = pattern(i);
	assert_int_equal(write(fd, out, PAYLOAD), PAYLOAD);
	for (int i = 0; i < 500 && have < PAYLOAD; i++) {
		const uint8_t *f;

		run_for(w, 1);
		while ((f = next_ip6(w, 6, &at))) {
			uint32_t n = get16(f + 18) - 20;

			check_frame(w, at, large);
			most = w->got[at].length > most ? w->got[at].length : most;
			if (!n || get32(f + TCP_AT + 4) != t.ack)
				continue;
			assert_true(have + n <= PAYLOAD);
			assert_memory_equal(f + DATA_AT, out + have, n);
			have += n;
			t.ack += n;
		}
		tcp6_send(w, &t, ACK);
		w->n_got = w->next = 0;
	}
	assert_int_equal(have, PAYLOAD);
	if (large)
		assert_true(most > 10000);
	else
		assert_int_equal(most, 1514);
	close(fd);
}

static void segments_to_the_guest(void **state)
{
	host_sends(*state, false);
}

static void large_frames_to_the_guest(void **state)
{
	host_sends(*state, true);
}

/* ---- from the guest ---- */

/* Longer than libslirp takes by IPv6. */
static void large_frames_from_the_guest(void **state)
{
	struct world *w = *state;
	static uint8_t f[NETDEV_GSO_MAX], in[PAYLOAD];
	struct iovec iov = {f, DATA_AT + PAYLOAD};
	struct netdev_frame frame = {.iov = &iov,
	                             .n_iov = 1,
	                             .length = DATA_AT + PAYLOAD,
	                             .offload = {.flags = NETDEV_CSUM_NEEDED,
	                                         .gso_type = NETDEV_GSO_TCPV6 | NETDEV_GSO_ECN,
	                                         .header_len = DATA_AT,
	                                         .gso_size = 1440,
	                                         .csum_start = TCP_AT,
	                                         .csum_offset = 16}};
	uint32_t have = 0;
	struct tcp t;
	uint8_t *p;
	int fd = connect_to_guest(w, &t);

	if (fd < 0)
		skip();
	tcp6_send(w, &t, ACK);
	p = make_ip6(w, f, 6, 20 + PAYLOAD);
	tcp6_header(p, &t, ACK | PSH, 20);
	put16(p + 16, pseudo(f, 6, 20 + PAYLOAD));
	for (uint32_t i = 0; i < PAYLOAD; i++)
		p[20 + i] = pattern(i);
	assert_int_equal(netdev_send(w->dev, &frame, 1), 1);
	for (int i = 0; i < 500 && have < PAYLOAD; i++) {
		ssize_t n = read(fd, in + have, PAYLOAD - have);

		have += n > 0 ? (uint32_t)n : 0;
		run_for(w, n <= 0);
	}
	assert_int_equal(have, PAYLOAD);
	for (uint32_t i = 0; i < PAYLOAD; i++)
		assert_int_equal(in[i], pattern(i));
	assert_int_equal(host_fake_counter(w->f, "frames-unsupported"), 0);
	close(fd);
}

/* libslirp believes what IPv6 says of its length. */
static void lengths_that_are_not(void **state)
{
	struct world *w = *state;
	uint8_t f[128];

	assert_int_equal(open_dev(w), 0);
	for (uint32_t n = 0; n < 40; n++) {
		memset(make_ip6(w, f, 17, n + 1), 0, 40);
		send_frame(w, f, TCP_AT + n);
		assert_int_equal(host_fake_counter(w->f, "frames-unsupported"), n + 1);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(segments_to_the_guest),
	        TEST(large_frames_to_the_guest),
	        TEST(large_frames_from_the_guest),
	        TEST(lengths_that_are_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
