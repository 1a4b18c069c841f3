/* SPDX-License-Identifier: MIT */
/*
 * The back end "tap" on real interfaces, in a network namespace of the test's
 * own. What the host does with an interface is done by packet sockets here.
 */
#include "user-world.h"

#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>

#include "dm/netdev/link.h"

static uint32_t links, last_link;

static void link_changed(void *opaque, bool up)
{
	(void)opaque;
	links++;
	last_link = up;
}

static int open_tap(struct world *w, const char *ifname)
{
	struct netdev_front front = {.receive = receive, .writable = writable, .link = link_changed, .opaque = w};
	int error = 0;

	links = 0;
	host_fake_option(w->f, "backend", 0, "tap");
	if (ifname)
		host_fake_option(w->f, "ifname", 0, ifname);
	w->dev = netdev_open(w->f->host, w->f->inst, &front, &error);
	run_for(w, 2);
	w->n_got = w->next = 0;
	return error;
}

/* The host's end; headers says whether its frames have a virtio_net_hdr. */
static int host_end(const char *ifname, int headers)
{
	struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_protocol = htons(0x0003), .sll_ifindex = (int)if_nametoindex(ifname)};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(0x0003));

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &headers, sizeof(headers)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static uint32_t make_tcp(uint8_t *f, uint32_t n)
{
	uint8_t *p = make_ip(f, mac, 6, HOST, GUEST, 20 + n);

	memcpy(f + 6, "\x02\0\0\0\0\1", 6);
	memset(p, 0, 20);
	put16(p, 1);
	put16(p + 2, 2);
	p[12] = 5 << 4;
	p[13] = ACK;
	for (uint32_t i = 0; i < n; i++)
		p[20 + i] = (uint8_t)(i * 7 + (i >> 8));
	put16(p + 16, net_sum(f + 26, 8, (uint16_t)(6 + 20 + n)));
	return 54 + n;
}

/* The host sends TCP with n bytes, and all left to be done. */
static void host_sends(int fd, uint32_t n)
{
	static uint8_t f[NETDEV_GSO_MAX];
	struct virtio_net_hdr h = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
	                           .gso_type = n > 1460 ? VIRTIO_NET_HDR_GSO_TCPV4 : 0,
	                           .gso_size = n > 1460 ? 1460 : 0,
	                           .hdr_len = 54,
	                           .csum_start = 34,
	                           .csum_offset = 16};
	struct iovec iov[2] = {{&h, sizeof(h)}, {f, make_tcp(f, n)}};

	assert_int_equal(writev(fd, iov, 2), sizeof(h) + 54 + n);
}

static uint32_t payloads(const struct world *w, uint32_t *frames, uint8_t flags, uint8_t gso)
{
	uint32_t n = 0;

	*frames = 0;
	for (uint32_t i = 0; i < w->n_got; i++) {
		const uint8_t *f = w->got[i].data;
		uint32_t size = get16(f + 16) - 20;

		if (get16(f + 12) != 0x0800 || f[23] != 6)
			continue;
		assert_int_equal(w->got[i].flags & NETDEV_CSUM_NEEDED, flags);
		assert_int_equal(w->got[i].offload.gso_type, gso);
		if (!flags)
			assert_int_equal(net_sum(f + 34, size, net_sum(f + 26, 8, (uint16_t)(6 + size))), 0xffff);
		n += size - 20;
		(*frames)++;
	}
	return n;
}

static void frames_from_the_host(void **state)
{
	struct world *w = *state;
	uint32_t frames;
	int fd;

	assert_int_equal(open_tap(w, "t0"), 0);
	assert_string_equal(w->dev->info.name, "tap");
	assert_int_equal(w->dev->info.mtu, 1500);
	fd = host_end("t0", 1);
	/* Who takes nothing special gets plain frames. */
	host_sends(fd, 30000);
	run_for(w, 3);
	assert_int_equal(payloads(w, &frames, 0, 0), 30000);
	assert_int_equal(frames, 21);
	w->n_got = w->next = 0;
	netdev_set_offload(w->dev, NETDEV_CAN_CSUM | NETDEV_CAN_TCPV4);
	host_sends(fd, 60000);
	run_for(w, 3);
	assert_int_equal(payloads(w, &frames, NETDEV_CSUM_NEEDED, NETDEV_GSO_TCPV4), 60000);
	assert_int_equal(frames, 1);
	assert_int_equal(w->got[0].offload.gso_size, 1460);
	assert_int_equal(w->got[0].offload.csum_start, 34);
	assert_int_equal(w->got[0].offload.csum_offset, 16);
	assert_int_equal(host_fake_counter(w->f, "frames-dropped"), 0);
	close(fd);
}

/* What the kernel has in its queue when the front end changes its mind. */
static void offloads_are_taken_back(void **state)
{
	struct world *w = *state;
	uint32_t frames;
	int fd;

	assert_int_equal(open_tap(w, "t0"), 0);
	fd = host_end("t0", 1);
	netdev_set_offload(w->dev, NETDEV_CAN_CSUM | NETDEV_CAN_TCPV4);
	host_sends(fd, 60000);
	host_sends(fd, 1000);
	netdev_set_offload(w->dev, 0);
	run_for(w, 3);
	assert_int_equal(payloads(w, &frames, 0, 0), 1000);
	assert_int_equal(host_fake_counter(w->f, "frames-dropped"), 1);
	close(fd);
}

static void back_pressure(void **state)
{
	struct world *w = *state;
	uint32_t frames, sum = 0;
	int fd;

	assert_int_equal(open_tap(w, "t0"), 0);
	fd = host_end("t0", 1);
	w->room = 3;
	for (uint32_t i = 0; i < 200; i++)
		host_sends(fd, 1000);
	run_for(w, 3);
	assert_int_equal(payloads(w, &frames, 0, 0), 3000);
	sum = w->offers;
	run_for(w, 3);
	assert_int_equal(w->offers, sum);
	w->room = UINT32_MAX;
	netdev_ready(w->dev);
	run_for(w, 3);
	assert_int_equal(payloads(w, &frames, 0, 0), 200000);
	/* Forgotten are those that wait for the front end, and the next ones come. */
	w->room = 0;
	host_sends(fd, 1000);
	run_for(w, 2);
	netdev_flush(w->dev);
	w->room = UINT32_MAX;
	w->n_got = 0;
	host_sends(fd, 500);
	run_for(w, 2);
	assert_int_equal(payloads(w, &frames, 0, 0), 500);
	close(fd);
}

/* ---- from the guest ---- */

static void frames_to_the_host(void **state)
{
	struct world *w = *state;
	static uint8_t f[NETDEV_GSO_MAX], in[NETDEV_GSO_MAX + 16];
	struct virtio_net_hdr h;
	struct iovec iov[200];
	struct netdev_frame frame = {.iov = iov, .length = make_tcp(f, 60000)};
	ssize_t n;
	int fd;

	assert_int_equal(open_tap(w, "t0"), 0);
	assert_true(w->dev->info.can_send & NETDEV_CAN_TCPV4);
	fd = host_end("t0", 1);
	memcpy(f, "\x02\0\0\0\0\1", 6);
	frame.offload = (struct netdev_offload){.flags = NETDEV_CSUM_NEEDED,
	                                        .gso_type = NETDEV_GSO_TCPV4,
	                                        .header_len = 54,
	                                        .gso_size = 1460,
	                                        .csum_start = 34,
	                                        .csum_offset = 16};
	/* In few pieces and in many. */
	for (uint32_t pieces = 2; pieces <= 200; pieces += 198) {
		uint32_t at = 0;

		frame.n_iov = pieces;
		for (uint32_t i = 0; i < pieces; i++) {
			uint32_t size = i + 1 == pieces ? frame.length - at : 54 + i % 7;

			iov[i] = (struct iovec){f + at, size};
			at += size;
		}
		assert_int_equal(netdev_send(w->dev, &frame, 1), 1);
		do
			n = read(fd, in, sizeof(in));
		while (n > 0 && (get16(in + 10 + 12) != 0x0800));
		assert_int_equal(n, sizeof(h) + frame.length);
		memcpy(&h, in, sizeof(h));
		assert_int_equal(h.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
		assert_int_equal(h.gso_size, 1460);
		assert_memory_equal(in + sizeof(h), f, frame.length);
	}
	assert_int_equal(host_fake_counter(w->f, "frames-unsupported"), 0);
	close(fd);
}

static void senseless_frames(void **state)
{
	static const struct netdev_offload bad[] = {
	        {.flags = NETDEV_CSUM_NEEDED, .csum_start = 0, .csum_offset = 16},
	        {.flags = NETDEV_CSUM_NEEDED, .csum_start = 65535, .csum_offset = 65535},
	        {.gso_type = NETDEV_GSO_UDP, .gso_size = 100},
	        {.gso_type = 99, .gso_size = 100},
	        {.gso_type = NETDEV_GSO_TCPV4, .header_len = 54},
	        {.gso_type = NETDEV_GSO_TCPV4, .header_len = 60000, .gso_size = 100},
	};
	struct world *w = *state;
	uint8_t f[100];
	struct iovec iov[100] = {{f, 74}};
	struct netdev_frame many = {.iov = iov, .n_iov = 100, .length = 74};

	assert_int_equal(open_tap(w, "t0"), 0);
	make_tcp(f, 20);
	for (uint32_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct netdev_frame frame = {.iov = iov, .n_iov = 1, .length = 74, .offload = bad[i]};

		assert_int_equal(netdev_send(w->dev, &frame, 1), 1);
		assert_int_equal(host_fake_counter(w->f, "frames-unsupported"), i + 1);
	}
	for (uint32_t i = 0; i < 100; i++)
		iov[i] = (struct iovec){f, i ? 1 : 0}; /* 99 bytes */
	assert_int_equal(netdev_send(w->dev, &many, 1), 1);
	many.length = 13;
	assert_int_equal(netdev_send(w->dev, &many, 1), 1);
	many.length = NETDEV_FRAME_MAX + 1;
	assert_int_equal(netdev_send(w->dev, &many, 1), 1);
	assert_int_equal(host_fake_counter(w->f, "frames-unsupported"), 9);
}

/* ---- the cable ---- */

static void down_and_up(void **state)
{
	struct world *w = *state;
	uint8_t f[100];
	struct iovec iov = {f, 74};
	struct netdev_frame frame = {.iov = &iov, .n_iov = 1, .length = make_tcp(f, 20)};

	assert_int_equal(open_tap(w, "t0"), 0);
	assert_int_equal(links, 0); /* it was brought up */
	assert_int_equal(system("ip link set t0 down"), 0);
	run_for(w, 2);
	assert_int_equal(links, 1);
	assert_int_equal(last_link, false);
	assert_int_equal(netdev_send(w->dev, &frame, 1), 1);
	assert_int_equal(host_fake_counter(w->f, "frames-dropped"), 1);
	assert_int_equal(system("ip link set t0 up"), 0);
	run_for(w, 2);
	assert_int_equal(links, 2);
	assert_int_equal(last_link, true);
	assert_int_equal(netdev_send(w->dev, &frame, 1), 1);
	assert_int_equal(host_fake_counter(w->f, "frames-dropped"), 1);
}

static void deleted(void **state)
{
	struct world *w = *state;
	uint8_t f[100];
	struct iovec iov = {f, 74};
	struct netdev_frame frame = {.iov = &iov, .n_iov = 1, .length = make_tcp(f, 20)};
	uint32_t warnings;

	assert_int_equal(open_tap(w, "t0"), 0);
	warnings = w->f->logs[GAMUT_LOG_WARN];
	assert_int_equal(system("ip link del t0"), 0);
	assert_int_equal(netdev_send(w->dev, &frame, 1), 1); /* before it is noticed */
	run_for(w, 3);
	assert_int_equal(links, 1);
	assert_int_equal(last_link, false);
	assert_int_equal(w->f->logs[GAMUT_LOG_WARN], warnings + 1);
	assert_non_null(strstr(w->f->last_log, "t0 is gone"));
	assert_int_equal(netdev_send(w->dev, &frame, 1), 1);
	assert_int_equal(host_fake_counter(w->f, "frames-dropped"), 2);
	netdev_set_offload(w->dev, NETDEV_CAN_CSUM);
	netdev_ready(w->dev);
	netdev_flush(w->dev);
	run_for(w, 2);
	assert_int_equal(w->f->logs[GAMUT_LOG_WARN], warnings + 1);
}

/* ---- which interface ---- */

static void a_new_one_goes_with_us(void **state)
{
	struct world *w = *state;

	assert_int_equal(open_tap(w, NULL), 0);
	assert_int_not_equal(if_nametoindex("gamut0"), 0);
	netdev_close(w->dev);
	w->dev = NULL;
	assert_int_equal(if_nametoindex("gamut0"), 0);
}

static void a_prepared_one_stays(void **state)
{
	struct world *w = *state;
	struct netdev_link link;

	assert_int_equal(system("ip tuntap add dev kept mode tap multi_queue && ip link set kept mtu 4000"), 0);
	assert_int_equal(open_tap(w, "kept"), 0);
	assert_int_equal(w->dev->info.mtu, 4000);
	netdev_close(w->dev);
	w->dev = NULL;
	assert_int_equal(netdev_link_get(if_nametoindex("kept"), &link), 0);
	assert_true(link.up);
	assert_int_equal(system("ip link del kept"), 0);
}

static void bridge_and_mtu(void **state)
{
	struct world *w = *state;
	struct netdev_link link;

	assert_int_equal(system("ip link add br0 type bridge"), 0);
	host_fake_option(w->f, "bridge", 0, "br0");
	host_fake_option(w->f, "mtu", 9000, NULL);
	assert_int_equal(open_tap(w, "t0"), 0);
	assert_int_equal(w->dev->info.mtu, 9000);
	assert_int_equal(netdev_link_get(if_nametoindex("t0"), &link), 0);
	assert_int_equal(link.mtu, 9000);
	assert_int_equal(link.master, if_nametoindex("br0"));
	assert_true(link.up);
	assert_int_equal(system("ip link show t0 | grep -q fe:ff:ff:ff:ff:ff"), 0);
	netdev_close(w->dev);
	w->dev = NULL;
	assert_int_equal(system("ip link del br0"), 0);
}

static void refused(struct world *w, const char *option, const char *value, int error, const char *words)
{
	w->f->n_options = 0;
	host_fake_option(w->f, option, 0, value);
	assert_int_equal(open_tap(w, strcmp(option, "ifname") ? "t0" : NULL), -error);
	assert_null(w->dev);
	if (!strstr(w->f->last_fail, words))
		fail_msg("\"%s\" has no \"%s\"", w->f->last_fail, words);
}

static void what_is_refused(void **state)
{
	struct world *w = *state;

	refused(w, "ifname", "a-name-that-is-too-long", EINVAL, "no name of an interface");
	refused(w, "ifname", "", EINVAL, "no name of an interface");
	refused(w, "ifname", "tap%d", EINVAL, "no name of an interface");
	refused(w, "ifname", "../x", EINVAL, "no name of an interface");
	refused(w, "ifname", "lo", EINVAL, "lo: is an interface, but no tap");
	refused(w, "bridge", "br7", ENODEV, "ip link add br7 type bridge");
	refused(w, "bridge", "lo", EOPNOTSUPP, "bridge: \"lo\" is none");
	refused(w, "forward", "tcp::80-:80", EINVAL, "forward: is for backend = \"user\", and this is \"tap\"");
	refused(w, "restrict", NULL, EINVAL, "restrict: is for");
	refused(w, "connections", NULL, EINVAL, "connections: is for");
	assert_int_equal(if_nametoindex("t0"), 0);
}

static void in_use(void **state)
{
	struct world *w = *state;
	struct netdev_front front = {.receive = receive, .writable = writable, .opaque = w};
	int error;

	assert_int_equal(open_tap(w, "t0"), 0);
	assert_null(netdev_open(w->f->host, w->f->inst, &front, &error));
	assert_int_equal(error, -EBUSY);
	assert_non_null(strstr(w->f->last_fail, "t0: is in use"));
}

static bool put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return good;
}

/* A network namespace of our own, in which we may do everything. */
static bool leave(void)
{
	char map[32];

	snprintf(map, sizeof(map), "0 %u 1", geteuid());
	if (!unshare(CLONE_NEWNET))
		return true;
	return !unshare(CLONE_NEWUSER | CLONE_NEWNET) && put_file("/proc/self/setgroups", "deny") &&
	       put_file("/proc/self/uid_map", map);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(frames_from_the_host),
	        TEST(offloads_are_taken_back),
	        TEST(back_pressure),
	        TEST(frames_to_the_host),
	        TEST(senseless_frames),
	        TEST(down_and_up),
	        TEST(deleted),
	        TEST(a_new_one_goes_with_us),
	        TEST(a_prepared_one_stays),
	        TEST(bridge_and_mtu),
	        TEST(what_is_refused),
	        TEST(in_use),
	};

	if (access("/dev/net/tun", R_OK | W_OK) || !leave() || system("ip link set lo up")) {
		printf("SKIP: needs /dev/net/tun, user namespaces and ip(8)\n");
		return 77;
	}
	/* Or the host's neighbour discovery comes between. */
	put_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
