// SPDX-License-Identifier: MIT
/* TCP with the host's end, which is core/bench/peer-net.h's: the clock is the guest's. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "bench.h"

#define PIECE   (64u << 10)
#define MESSAGE 64u

static uint8_t buffer[PIECE];
static int peer;

static bool parse(const char *text, struct sockaddr_in *to)
{
	char host[64];
	unsigned port;

	if (sscanf(text, "%63[0-9.]:%u", host, &port) != 2 || port > 65535)
		return false;
	*to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	return inet_pton(AF_INET, host, &to->sin_addr) == 1;
}

static const char *begin_net(void)
{
	struct timeval patience = {.tv_sec = 20};
	struct sockaddr_in to;
	int one = 1;

	if (!options.peer)
		return "no peer, or no network card";
	if (!parse(options.peer, &to))
		return "the peer is not ADDRESS:PORT";
	peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (peer < 0)
		return "no socket";
	setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(peer, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (!connect(peer, (struct sockaddr *)&to, sizeof(to)))
		return NULL;
	close(peer);
	return strerror(errno);
}

static void end_net(void)
{
	close(peer);
}

static void give(size_t left)
{
	while (left) {
		ssize_t n = write(peer, buffer, left < PIECE ? left : PIECE);

		if (n <= 0)
			give_up("to the peer");
		left -= (size_t)n;
	}
}

static void take(size_t left)
{
	while (left) {
		ssize_t n = read(peer, buffer, left < PIECE ? left : PIECE);

		if (n <= 0)
			give_up("from the peer");
		left -= (size_t)n;
	}
}

static void say(const char *what, unsigned long long a, unsigned long long b)
{
	char line[64];
	int n = b ? snprintf(line, sizeof(line), "%s %llu %llu\n", what, a, b)
	          : snprintf(line, sizeof(line), "%s %llu\n", what, a);

	if (write(peer, line, (size_t)n) != n)
		give_up("to the peer");
}

/* Done when the peer says that it has all. */
static void do_send(uint32_t n)
{
	say("sink", (unsigned long long)n * PIECE, 0);
	give((size_t)n * PIECE);
	take(strlen("ok\n"));
}

static void do_receive(uint32_t n)
{
	say("source", (unsigned long long)n * PIECE, 0);
	take((size_t)n * PIECE);
}

static void do_echo(uint32_t n)
{
	say("echo", MESSAGE, n);
	for (uint32_t i = 0; i < n; i++) {
		give(MESSAGE);
		take(MESSAGE);
	}
}

const struct workload net_workloads[] = {
        {"tcp-send", UNIT_MB_S, do_send, .bytes = PIECE, .first = 16, .most = 8192, .begin = begin_net,
         .end = end_net},
        {"tcp-receive", UNIT_MB_S, do_receive, .bytes = PIECE, .first = 16, .most = 8192, .begin = begin_net,
         .end = end_net},
        {"tcp-round-trip", UNIT_US, do_echo, .first = 4, .most = 1 << 20, .begin = begin_net, .end = end_net},
        {0},
};
