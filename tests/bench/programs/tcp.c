// SPDX-License-Identifier: MIT
/*
 * usage: tcp HOST PORT BYTES TURNS
 *
 * Three connections to the benchmark's server, which does the timing: BYTES to
 * here, BYTES from here, and TURNS of one byte there and back.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char buffer[256 << 10];

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int open_to(const char *host, int port, char what)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
	int s = socket(AF_INET, SOCK_STREAM, 0);

	inet_pton(AF_INET, host, &to.sin_addr);
	if (s < 0 || connect(s, (struct sockaddr *)&to, sizeof(to)))
		fail("connect");
	if (write(s, &what, 1) != 1)
		fail("write");
	return s;
}

static void take(int s, size_t left)
{
	while (left) {
		ssize_t n = read(s, buffer, sizeof(buffer) < left ? sizeof(buffer) : left);

		if (n <= 0)
			fail("read");
		left -= (size_t)n;
	}
}

static void give(int s, size_t left)
{
	while (left) {
		ssize_t n = write(s, buffer, sizeof(buffer) < left ? sizeof(buffer) : left);

		if (n <= 0)
			fail("write");
		left -= (size_t)n;
	}
}

int main(int argc, char **argv)
{
	size_t bytes, turns;
	int port, s;

	if (argc != 5) {
		fputs("usage: tcp HOST PORT BYTES TURNS\n", stderr);
		return 2;
	}
	port = atoi(argv[2]);
	bytes = strtoull(argv[3], NULL, 0);
	turns = strtoull(argv[4], NULL, 0);
	s = open_to(argv[1], port, 'r');
	take(s, bytes);
	give(s, 1);
	close(s);
	s = open_to(argv[1], port, 's');
	give(s, bytes);
	take(s, 1);
	close(s);
	s = open_to(argv[1], port, 't');
	for (; turns; turns--) {
		give(s, 1);
		take(s, 1);
	}
	close(s);
	puts("tcp: done");
	return 0;
}
