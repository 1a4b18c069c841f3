/* SPDX-License-Identifier: MIT */
/*
 * The back end "user" as a guest sees it.
 */
#include "user-world.h"

/* ---- DHCP ---- */

static uint32_t make_dhcp(uint8_t *f, uint8_t type)
{
	static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	uint32_t n = 8 + 300;
	uint8_t *u = make_ip(f, all, 17, 0, 0xffffffffu, n), *b = u + 8;

	memset(u, 0, n);
	put16(u, 68);
	put16(u + 2, 67);
	put16(u + 4, n);
	memcpy(b, "\1\1\6\0\x12\x34\x56\x78", 8);
	memcpy(b + 28, mac, 6);
	memcpy(b + 236, "\x63\x82\x53\x63\x35\1", 6);
	b[242] = type;
	b[243] = 0xff;
	seal(f, 17, 6, n);
	return 34 + n;
}

static const uint8_t *dhcp_option(const uint8_t *bootp, uint32_t n, uint8_t which)
{
	for (uint32_t at = 240; at + 1 < n && bootp[at] != 0xff; at += bootp[at] ? bootp[at + 1] + 2u : 1)
		if (bootp[at] == which)
			return bootp + at + 1;
	return NULL;
}

static void dhcp_offers_an_address(void **state)
{
	struct world *w = *state;
	const uint8_t *f, *o;
	uint8_t out[512];
	uint32_t n;

	host_fake_option(w->f, "hostname", 0, "web");
	host_fake_option(w->f, "bootfile", 0, "boot.ipxe");
	host_fake_option(w->f, "domainname", 0, "example.org");
	host_fake_option(w->f, "search", 0, "a.example.org");
	host_fake_option(w->f, "search", 0, "b.example.org");
	assert_int_equal(open_dev(w), 0);
	send_frame(w, out, make_dhcp(out, 1));
	assert_int_equal(w->n_got, 0); /* never from inside send */
	host_fake_run(w->f);
	f = next_ip(w, 17, &n);
	assert_non_null(f);
	assert_int_equal(w->got[w->next - 1].flags, NETDEV_CSUM_VALID);
	assert_int_equal(get16(f + 36), 68);
	assert_int_equal(get32(f + 42 + 16), GUEST);
	assert_memory_equal(f + 42 + 28, mac, 6);
	assert_string_equal((const char *)f + 42 + 108, "boot.ipxe");
	o = dhcp_option(f + 42, n - 42, 53);
	assert_true(o && o[1] == 2);
	o = dhcp_option(f + 42, n - 42, 3);
	assert_true(o && get32(o + 1) == HOST);
	o = dhcp_option(f + 42, n - 42, 12);
	assert_true(o && o[0] == 3 && !memcmp(o + 1, "web", 3));
	assert_non_null(dhcp_option(f + 42, n - 42, 119));
	send_frame(w, out, make_dhcp(out, 3));
	host_fake_run(w->f);
	f = next_ip(w, 17, &n);
	o = f ? dhcp_option(f + 42, n - 42, 53) : NULL;
	assert_true(o && o[1] == 5);
}

static void other_networks(void **state)
{
	struct world *w = *state;
	const uint8_t *f, *o;
	uint8_t out[512];
	uint32_t n;

	host_fake_option(w->f, "network", 0, "192.168.7.0/26");
	host_fake_option(w->f, "host", 0, "192.168.7.1");
	host_fake_option(w->f, "dhcp-start", 0, "192.168.7.40");
	host_fake_option(w->f, "ipv6", 0, NULL);
	assert_int_equal(open_dev(w), 0);
	send_frame(w, out, make_dhcp(out, 1));
	host_fake_run(w->f);
	f = next_ip(w, 17, &n);
	assert_non_null(f);
	assert_int_equal(get32(f + 42 + 16), 0xc0a80728);
	o = dhcp_option(f + 42, n - 42, 1);
	assert_true(o && get32(o + 1) == 0xffffffc0);
	o = dhcp_option(f + 42, n - 42, 6);
	assert_true(o && get32(o + 1) == 0xc0a80703);
}

/* ---- ICMP ---- */

static void ping(struct world *w)
{
	const uint8_t *f;
	uint8_t out[98], *i;
	uint32_t n;

	arp(w);
	i = make_ip(out, w->peer, 1, GUEST, HOST, 64);
	memset(i, 0x5a, 64);
	i[0] = 8;
	i[1] = 0;
	put16(i + 2, 0);
	put16(i + 2, (uint16_t)~net_sum(i, 64, 0));
	send_frame(w, out, sizeof(out));
	host_fake_run(w->f);
	f = next_ip(w, 1, &n);
	assert_non_null(f);
	assert_int_equal(f[34], 0);
	assert_memory_equal(f + 42, i + 8, 56);
	assert_memory_equal(f, mac, 6);
}

static void the_host_answers_pings(void **state)
{
	assert_int_equal(open_dev(*state), 0);
	ping(*state);
}

/* ---- TCP ---- */

static void tcp_to_the_hosts_loopback(void **state)
{
	struct world *w = *state;
	uint8_t buf[4096], flags = 0;
	struct tcp t;
	uint32_t n;
	int fd;

	assert_int_equal(open_dev(w), 0);
	fd = connect_guest(w, &t);
	tcp_send(w, &t, ACK | PSH, "hello", 5);
	run_for(w, 2);
	assert_int_equal(read(fd, buf, sizeof(buf)), 5);
	assert_memory_equal(buf, "hello", 5);
	assert_int_equal(write(fd, "world!", 6), 6);
	for (int i = 0; i < 500 && !(flags & PSH); i++) {
		run_for(w, 1);
		flags |= tcp_take(w, &t, buf, &n);
	}
	assert_int_equal(n, 6);
	assert_memory_equal(buf, "world!", 6);
	tcp_send(w, &t, ACK | FIN, NULL, 0);
	run_for(w, 5);
	assert_int_equal(read(fd, buf, sizeof(buf)), 0);
	close(fd);
	run_for(w, 5);
	flags = tcp_take(w, &t, buf, &n);
	assert_true(flags & FIN);
	assert_int_equal(host_fake_counter(w->f, "frames-dropped"), 0);
}

/* A guest that takes nothing: frames are kept, the host's sender is held up, and nothing is lost. */
static void a_full_ring_loses_nothing(void **state)
{
	struct world *w = *state;
	static uint8_t out[1 << 20], in[1 << 20];
	uint32_t sent = 0, have = 0, n, idle = 0;
	struct tcp t;
	int fd;

	assert_int_equal(open_dev(w), 0);
	fd = connect_guest(w, &t);
	for (uint32_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7 + (i >> 8));
	w->room = 0;
	for (int i = 0; i < 20; i++) {
		ssize_t put = write(fd, out + sent, sizeof(out) - sent);

		sent += put > 0 ? (uint32_t)put : 0;
		run_for(w, 1);
	}
	n = w->offers;
	run_for(w, 3);
	assert_int_equal(w->offers, n); /* not asked again until ready */
	assert_int_equal(w->next, w->n_got);
	while (have < sizeof(in) && idle++ < 3000) {
		ssize_t put = write(fd, out + sent, sizeof(out) - sent);

		sent += put > 0 ? (uint32_t)put : 0;
		w->room = 3;
		w->n_got = w->next = 0;
		netdev_ready(w->dev);
		run_for(w, idle % 16 == 0);
		tcp_take(w, &t, in + have, &n);
		have += n;
		if (n)
			idle = 0;
		w->room = 3;
		tcp_send(w, &t, ACK, NULL, 0);
	}
	assert_int_equal(have, sizeof(in));
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(host_fake_counter(w->f, "frames-dropped"), 0);
	close(fd);
}

/* Connects to the host's port that leads to the guest's 22; the SYN that comes there. */
static const uint8_t *knock(struct world *w, uint16_t port, int *fd)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const uint8_t *f = NULL;
	uint32_t n;

	*fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(!connect(*fd, (struct sockaddr *)&a, sizeof(a)) || errno == EINPROGRESS);
	for (int i = 0; i < 200 && !f; i++) {
		run_for(w, 1);
		f = next_ip(w, 6, &n);
	}
	assert_non_null(f);
	assert_int_equal(f[47], SYN);
	assert_int_equal(get16(f + 36), 22);
	return f;
}

static void forwards_lead_to_the_guest(void **state)
{
	struct world *w = *state;
	uint8_t flags = 0;
	char text[64];
	struct tcp t = {.seq = 77, .window = 65535};
	uint16_t port;
	const uint8_t *f;
	uint32_t n;
	int fd = listener(&port);

	close(fd);
	snprintf(text, sizeof(text), "tcp:127.0.0.1:%u-:22", port);
	host_fake_option(w->f, "forward", 0, text);
	assert_int_equal(open_dev(w), 0);
	arp(w);
	f = knock(w, port, &fd);
	assert_int_equal(get32(f + 30), GUEST);
	t.from = 22;
	t.to = (uint16_t)get16(f + 34);
	t.ack = get32(f + 38) + 1;
	tcp_send(w, &t, SYN | ACK, NULL, 0);
	run_for(w, 2);
	assert_int_equal(write(fd, "x", 1), 1);
	for (int i = 0; i < 200 && !(flags & PSH); i++) {
		run_for(w, 1);
		flags |= tcp_take(w, &t, NULL, &n);
	}
	assert_int_equal(n, 1);
	close(fd);
}

/* ---- TFTP ---- */

static void tftp_serves_the_folder(void **state)
{
	struct world *w = *state;
	char dir[] = "/tmp/gamut-test-XXXXXX", path[64];
	uint8_t f[128], *u;
	const uint8_t *a;
	uint32_t n;
	int fd;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/boot", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, "payload", 7), 7);
	close(fd);
	host_fake_option(w->f, "tftp", 0, dir);
	assert_int_equal(open_dev(w), 0);
	arp(w);
	u = make_ip(f, w->peer, 17, GUEST, HOST, 8 + 13);
	put16(u, 5000);
	put16(u + 2, 69);
	put16(u + 4, 8 + 13);
	memcpy(u + 8, "\0\1boot\0octet", 13);
	seal(f, 17, 6, 8 + 13);
	send_frame(w, f, 34 + 8 + 13);
	host_fake_run(w->f);
	a = next_ip(w, 17, &n);
	assert_non_null(a);
	assert_int_equal(get16(a + 36), 5000);
	assert_memory_equal(a + 42, "\0\3\0\1payload", 11);
	unlink(path);
	rmdir(dir);
}

/* ---- what does not fit ---- */

static void odd_frames_are_dropped(void **state)
{
	struct world *w = *state;
	uint8_t data[64] = {0xff};
	struct iovec iov[2] = {{data, 64}, {data, 64}};
	struct netdev_frame frames[] = {
	        {.iov = iov, .n_iov = 1, .length = 64, .offload.flags = NETDEV_CSUM_NEEDED},
	        {.iov = iov, .n_iov = 1, .length = 64, .offload.gso_type = NETDEV_GSO_TCPV4},
	        {.iov = iov, .n_iov = 1, .length = 13},
	        {.iov = iov, .n_iov = 2, .length = 100}, /* the pieces are more */
	        {.iov = iov, .n_iov = 2, .length = 200}, /* or less */
	        {.iov = iov, .n_iov = 1, .length = NETDEV_FRAME_MAX + 1},
	};

	assert_int_equal(open_dev(w), 0);
	assert_int_equal(netdev_send(w->dev, frames, 6), 6);
	assert_int_equal(host_fake_counter(w->f, "frames-unsupported"), 6);
	host_fake_run(w->f);
}

/* Every length and a lot of noise behind the headers of each protocol. */
static void noise(void **state)
{
	struct world *w = *state;
	uint32_t seed = 12345;
	uint8_t f[256];

	host_fake_option(w->f, "restrict", 1, NULL); /* nothing leaves this machine */
	assert_int_equal(open_dev(w), 0);
	arp(w);
	for (uint32_t i = 0; i < 20000; i++) {
		static const uint16_t types[] = {0x0800, 0x86dd, 0x0806, 0x88f8};
		static const uint8_t protocols[] = {1, 6, 17, 58, 2};
		struct iovec iov = {f, 14 + i % 200};
		struct netdev_frame frame = {.iov = &iov, .n_iov = 1, .length = 14 + i % 200};

		for (uint32_t k = 0; k < sizeof(f); k++) {
			seed = seed * 1664525 + 1013904223;
			f[k] = (uint8_t)(seed >> 24);
		}
		memcpy(f, w->peer, 6);
		memcpy(f + 6, mac, 6);
		put16(f + 12, types[seed >> 8 & 3]);
		if (i & 1) {
			make_ip(f, w->peer, protocols[(seed >> 11) % 5], GUEST, seed >> 10 & 1 ? HOST : 0xffffffffu,
			        i % 200 > 20 ? i % 200 - 20 : 0);
			put16(f + 36, seed >> 12 & 1 ? 67 : 69);
		}
		netdev_send(w->dev, &frame, 1);
		if (i % 64 == 0) {
			w->n_got = w->next = 0;
			host_fake_run(w->f);
		}
	}
	ping(w);
}

/* Sockets that a guest makes the host open have an end. */
static void connections_are_bounded(void **state)
{
	struct world *w = *state;
	struct tcp t = {.seq = 1, .window = 65535};
	uint16_t port;
	int fd = listener(&port);

	host_fake_option(w->f, "connections", 16, NULL);
	assert_int_equal(open_dev(w), 0);
	arp(w);
	for (uint16_t i = 0; i < 40; i++) {
		t.from = (uint16_t)(2000 + i);
		t.to = port;
		t.seq = 1;
		tcp_send(w, &t, SYN, NULL, 0);
	}
	run_for(w, 2);
	assert_int_equal(host_fake_counter(w->f, "connections-refused"), 40 - 16);
	close(fd);
}

static void flush_forgets(void **state)
{
	struct world *w = *state;
	uint8_t out[512];

	assert_int_equal(open_dev(w), 0);
	w->room = 0;
	send_frame(w, out, make_dhcp(out, 1));
	host_fake_run(w->f);
	assert_true(w->offers > 0);
	netdev_flush(w->dev);
	w->room = UINT32_MAX;
	host_fake_run(w->f);
	assert_int_equal(w->n_got, 0);
}

/* A guest that was reset is another one: what its forerunner had open is closed, and its ports are free. */
static void a_reset_ends_connections(void **state)
{
	struct world *w = *state;
	struct tcp t = {.seq = 70000, .from = 40000, .window = 65535};
	uint8_t flags = 0, buf[4];
	uint32_t n;
	int fd = listener(&t.to), peers[2];

	assert_int_equal(open_dev(w), 0);
	for (int turn = 0; turn < 2; turn++) {
		arp(w);
		tcp_send(w, &t, SYN, NULL, 0);
		for (int i = 0; i < 500 && !(flags & SYN); i++) {
			run_for(w, 1);
			flags |= tcp_take(w, &t, NULL, &n);
		}
		assert_int_equal(flags, SYN | ACK);
		tcp_send(w, &t, ACK, NULL, 0);
		run_for(w, 2);
		peers[turn] = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		assert_true(peers[turn] >= 0);
		if (turn)
			break;
		netdev_flush(w->dev);
		assert_int_equal(read(peers[0], buf, sizeof(buf)), 0);
		/* From the same port, and behind what the old connection had come to. */
		t.seq = 500;
		flags = 0;
	}
	assert_int_equal(read(peers[1], buf, sizeof(buf)), -1);
	assert_int_equal(errno, EAGAIN);
	close(peers[0]);
	close(peers[1]);
	close(fd);
}

/* Its forwards stay, and what it had does not count against the limit. */
static void a_reset_keeps_forwards(void **state)
{
	struct world *w = *state;
	struct tcp t = {.seq = 1, .window = 65535};
	uint16_t port;
	char text[64];
	int fd = listener(&port), server = listener(&t.to);

	close(fd);
	snprintf(text, sizeof(text), "tcp:127.0.0.1:%u-:22", port);
	host_fake_option(w->f, "forward", 0, text);
	host_fake_option(w->f, "connections", 16, NULL);
	assert_int_equal(open_dev(w), 0);
	for (uint32_t turn = 0; turn < 4; turn++) {
		arp(w);
		for (uint16_t i = 0; i < 10; i++) {
			t.from = (uint16_t)(2000 + turn * 100 + i);
			t.seq = 1;
			tcp_send(w, &t, SYN, NULL, 0);
		}
		run_for(w, 2);
		netdev_flush(w->dev);
	}
	assert_int_equal(host_fake_counter(w->f, "connections-refused"), 0);
	arp(w);
	knock(w, port, &fd);
	close(fd);
	close(server);
}

/* ---- options ---- */

static void options_that_are_refused(void **state)
{
	static const struct {
		const char *name, *value, *says;
	} bad[] = {
	        {"network", "10.0.2.0", "network: \"10.0.2.0\" is none"},
	        {"network", "10.0.2.0/33", "network:"},
	        {"network", "10.0.2.0/24x", "network:"},
	        {"network", "10.0.2.1/24", "has bits beyond its first 24"},
	        {"network", "10.0.2.0/29", "dhcp-start: the network has no room"},
	        {"host", "10.0.3.2", "host: is no address"},
	        {"host", "10.0.2.255", "host: is no address"},
	        {"dns", "nowhere", "dns: \"nowhere\" is no IPv4 address"},
	        {"dns", "10.0.2.2", "must be three addresses"},
	        {"forward", "tcp:127.0.0.1:2222", "forward:"},
	        {"forward", "sctp:127.0.0.1:2222-:22", "forward:"},
	        {"forward", "tcp:127.0.0.1:0-:22", "forward:"},
	        {"forward", "tcp:127.0.0.1:70000-:22", "forward:"},
	        {"forward", "tcp:127.0.0.1:22-:22x", "forward:"},
	        {"forward", "tcp:[::1]:2222-10.0.2.15:22", "forward:"},
	        {"forward", "tcp:[::1:2222-:22", "forward:"},
	        {"forward", "tcp:192.0.2.1:2222-:22", "cannot be had"},
	        {"backend", "tun", "there is no network back end \"tun\""},
	        {"hostname", "a-name-that-is-longer-than-the-answer-has-room-for", "hostname: is longer"},
	        {"search", "", "search:"},
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		w->f->n_options = 0;
		w->f->fails = 0;
		host_fake_option(w->f, bad[i].name, 0, bad[i].value);
		if (open_dev(w) >= 0 || w->dev || w->f->fails != 1 || !strstr(w->f->last_fail, bad[i].says))
			fail_msg("%s = \"%s\": \"%s\" after %u", bad[i].name, bad[i].value, w->f->last_fail,
			         w->f->fails);
	}
}

static void forwards_are_parsed(void **state)
{
	struct user_forward f;

	(void)state;
	assert_true(user_forward_parse("udp::69-10.0.2.20:70", &f));
	assert_true(f.udp);
	assert_int_equal(((struct sockaddr_in *)&f.host)->sin_addr.s_addr, 0);
	assert_int_equal(ntohs(((struct sockaddr_in *)&f.host)->sin_port), 69);
	assert_int_equal(ntohl(((struct sockaddr_in *)&f.guest)->sin_addr.s_addr), 0x0a000214);
	assert_true(user_forward_parse("tcp:[::1]:80-[fec0::15]:81", &f));
	assert_false(f.udp);
	assert_int_equal(f.guest.ss_family, AF_INET6);
	assert_int_equal(ntohs(((struct sockaddr_in6 *)&f.guest)->sin6_port), 81);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        T(dhcp_offers_an_address),
	        T(other_networks),
	        T(the_host_answers_pings),
	        T(tcp_to_the_hosts_loopback),
	        T(a_full_ring_loses_nothing),
	        T(forwards_lead_to_the_guest),
	        T(tftp_serves_the_folder),
	        T(odd_frames_are_dropped),
	        T(noise),
	        T(connections_are_bounded),
	        T(flush_forgets),
	        T(a_reset_ends_connections),
	        T(a_reset_keeps_forwards),
	        T(options_that_are_refused),
	        cmocka_unit_test(forwards_are_parsed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
