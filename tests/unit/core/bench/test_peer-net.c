/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "bench/peer-net.h"

#define MIB (1u << 20)

static struct peer_net *peer;
static uint8_t bytes[MIB], back[MIB];

static int setup(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < MIB; i++)
		bytes[i] = (uint8_t)(i * 7 + (i >> 8));
	return peer_net_start(&peer);
}

static int setup_impatient(void **state)
{
	(void)state;
	return peer_net_start_patient(&peer, 50);
}

static int teardown(void **state)
{
	(void)state;
	peer_net_stop(peer);
	return 0;
}

/* Blocking, and with an end to it. */
static int dial(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval patience = { .tv_sec = 20 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_port = htons(peer_net_port(peer));
	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void give(int fd, const uint8_t *from, size_t n)
{
	for (ssize_t m; n; from += m, n -= (size_t)m) {
		m = send(fd, from, n, MSG_NOSIGNAL);
		assert_true(m > 0);
	}
}

static void take(int fd, uint8_t *to, size_t n)
{
	for (ssize_t m; n; to += m, n -= (size_t)m) {
		m = recv(fd, to, n, 0);
		assert_true(m > 0);
	}
}

static void expect(int fd, const char *text)
{
	size_t n = strlen(text);

	take(fd, back, n);
	assert_memory_equal(back, text, n);
}

/* The other side has gone: an end, or a reset for what it had not read. */
static void expect_end(int fd)
{
	char byte;

	errno = 0;
	assert_true(recv(fd, &byte, 1, 0) <= 0);
	assert_true(errno != EAGAIN);
	close(fd);
}

static void test_sink(void **state)
{
	int fd = dial();

	(void)state;
	assert_true(peer_net_port(peer) != 0);
	say(fd, "sink 1048576\n");
	give(fd, bytes, MIB);
	expect(fd, "ok\n");
	say(fd, "sink 0\n");
	expect(fd, "ok\n");
	close(fd);
}

static void test_source(void **state)
{
	int fd = dial();

	(void)state;
	for (int i = 0; i < 20; i++) {
		say(fd, "source 1048576\n");
		take(fd, back, MIB);
	}
	say(fd, "source 0\nsink 0\n");
	expect(fd, "ok\n");
	close(fd);
}

static void test_echo(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, "echo 64 100\n");
	for (int i = 0; i < 100; i++) {
		give(fd, bytes + i * 64, 64);
		take(fd, back, 64);
		assert_memory_equal(back, bytes + i * 64, 64);
	}
	say(fd, "echo 16384 5\n");
	for (int i = 0; i < 5; i++) {
		give(fd, bytes + i, PEER_NET_MESSAGE);
		take(fd, back, PEER_NET_MESSAGE);
		assert_memory_equal(back, bytes + i, PEER_NET_MESSAGE);
	}
	close(fd);
}

/* Commands and what belongs to them in one go, and in single bytes. */
static void test_any_pieces(void **state)
{
	static const char text[] = "echo 3 2\nabcdefsink 4\nABCDecho 1 3\nxyzsource 2\nsink 0\necho 5 0\nsink 1\n!";
	int fd = dial();

	(void)state;
	for (int round = 0; round < 2; round++) {
		if (round)
			for (size_t i = 0; i < sizeof(text) - 1; i++)
				give(fd, (const uint8_t *)text + i, 1);
		else
			say(fd, text);
		expect(fd, "abcdefok\nxyz");
		take(fd, back, 2);
		expect(fd, "ok\nok\n");
	}
	close(fd);
}

/* More than a round's worth, and more commands behind it, all there from the beginning. */
static void test_behind_a_round(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, "source 1048576\nsource 1048576\nsource 262144\necho 1 1\nx");
	take(fd, back, MIB);
	take(fd, back, MIB);
	take(fd, back, MIB / 4);
	expect(fd, "x");
	close(fd);
}

static void test_several_at_a_time(void **state)
{
	int fds[8];

	(void)state;
	for (int i = 0; i < 8; i++) {
		fds[i] = dial();
		say(fds[i], i % 2 ? "source 1048576\n" : "echo 4 1\n");
	}
	for (int i = 0; i < 8; i += 2) {
		say(fds[i], "ping");
		expect(fds[i], "ping");
	}
	for (int i = 1; i < 8; i += 2)
		take(fds[i], back, MIB);
	for (int i = 0; i < 8; i++)
		close(fds[i]);
}

static void test_nonsense(void **state)
{
	static const char *const words[] = {
		"\n", "sink\n", "sink \n", "sink  1\n", "sink x\n", "sink 1x\n", "sink -1\n", "sink +1\n", "sink 1 \n",
		"sink 1 2\n", "sinks 1\n", "SINK 1\n", "sink 1099511627777\n", "sink 99999999999999999999999999\n",
		"source 18446744073709551616\n", "echo 1\n", "echo 0 1\n", "echo 16385 1\n", "echo 1 1099511627777\n",
		"echo 4294967297 1\n", "echo 1 1 1\n", "sink 1\r\n", "\t", "GET / HTTP/1.1\r\n\r\n",
		"0123456789012345678901234567890123456789012345678901234567890123456789",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		int fd = dial();

		say(fd, words[i]);
		if (!strcmp(words[i], "\t"))
			shutdown(fd, SHUT_WR); /* a beginning may still become something */
		expect_end(fd);
	}
}

/* A NUL is not the end of a line. */
static void test_nul(void **state)
{
	int fd = dial();

	(void)state;
	give(fd, (const uint8_t *)"sink 0\0\n", 8);
	expect_end(fd);
}

/* Whoever does not read is not waited for by the others. */
static void test_deaf(void **state)
{
	int deaf[4], fd;

	(void)state;
	for (int i = 0; i < 4; i++) {
		deaf[i] = dial();
		say(deaf[i], i % 2 ? "source 1099511627776\n" : "echo 16384 1000000\n");
	}
	for (int i = 0; i < 4; i += 2)
		while (send(deaf[i], bytes, MIB, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
			;
	fd = dial();
	say(fd, "echo 1 1\nx");
	expect(fd, "x");
	close(fd);
	for (int i = 0; i < 4; i++)
		close(deaf[i]);
}

static void test_gone_in_the_middle(void **state)
{
	struct linger now = { .l_onoff = 1 };

	(void)state;
	for (int i = 0; i < 50; i++) {
		int fd = dial();

		say(fd, i % 2 ? "source 1048576\n" : "sink 1048576\nx");
		if (i & 4)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(fd);
	}
	test_sink(state);
}

/* One more takes the place of the one that was silent the longest. */
static void test_too_many(void **state)
{
	int fds[PEER_NET_CONNECTIONS + 1];

	(void)state;
	for (uint32_t i = 0; i < PEER_NET_CONNECTIONS; i++) {
		fds[i] = dial();
		say(fds[i], "echo 1 2\nx");
		expect(fds[i], "x");
		if (i == 1)
			usleep(5000);
	}
	say(fds[0], "y");
	expect(fds[0], "y");
	fds[PEER_NET_CONNECTIONS] = dial();
	say(fds[PEER_NET_CONNECTIONS], "echo 1 1\nz");
	expect(fds[PEER_NET_CONNECTIONS], "z");
	expect_end(fds[1]);
	for (uint32_t i = 0; i <= PEER_NET_CONNECTIONS; i++)
		if (i != 1)
			close(fds[i]);
}

static void test_silence(void **state)
{
	int quiet = dial(), deaf = dial();

	(void)state;
	say(deaf, "source 1099511627776\n");
	say(quiet, "sink 10\nabc");
	expect_end(quiet);
	while (recv(deaf, back, MIB, 0) > 0 && !poll(NULL, 0, 60)) /* what had been sent, and then the end */
		;
	close(deaf);
}

static void test_stop(void **state)
{
	struct peer_net *other;
	int fd;

	(void)state;
	peer_net_stop(NULL);
	assert_int_equal(peer_net_start(&other), 0);
	assert_int_not_equal(peer_net_port(other), peer_net_port(peer));
	peer_net_stop(other);
	fd = dial();
	say(fd, "source 1099511627776\n");
	take(fd, back, MIB);
	peer_net_stop(peer);
	while (recv(fd, back, MIB, 0) > 0)
		;
	close(fd);
	assert_int_equal(peer_net_start(&peer), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sink, setup, teardown),
		cmocka_unit_test_setup_teardown(test_source, setup, teardown),
		cmocka_unit_test_setup_teardown(test_echo, setup, teardown),
		cmocka_unit_test_setup_teardown(test_any_pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_behind_a_round, setup, teardown),
		cmocka_unit_test_setup_teardown(test_several_at_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nonsense, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nul, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deaf, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone_in_the_middle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_silence, setup_impatient, teardown),
		cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
