/* SPDX-License-Identifier: MIT */
/* core/bench/peer-net.c by itself: prints its port, and ends when its standard input does. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/peer-net.h"

int main(void)
{
	struct peer_net *peer;
	char byte;
	int status = peer_net_start(&peer);

	if (status) {
		fprintf(stderr, "bench-peer-net: %s\n", strerror(-status));
		return 1;
	}
	printf("%u\n", peer_net_port(peer));
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	peer_net_stop(peer);
	return 0;
}
