/* SPDX-License-Identifier: MIT */
/*
 * The other end of a guest's connections: a TCP server on 127.0.0.1, in a
 * thread of its own, that takes bytes, gives bytes, and gives back what it got. The
 * guest comes to it through the network back end "user" (as 10.0.2.2), and has the
 * clock.
 *
 * A connection carries commands, each a line, one after the other:
 *
 *     sink N          N bytes follow; "ok\n" is answered when they are here
 *     source N        N bytes are sent, of any content
 *     echo SIZE N     N messages of SIZE bytes follow, one or several at a time; each is sent back when
 *                     it is here as a whole
 *
 * N is at most PEER_NET_MOST, SIZE from 1 to PEER_NET_MESSAGE. Whatever else is said ends the
 * connection, as does a silence of PEER_NET_SILENCE_MS, or of a peer that does not
 * read. There are PEER_NET_CONNECTIONS at a time; one more takes the place of the
 * one that has been silent the longest.
 */
#ifndef BENCH_PEER_NET_H
#define BENCH_PEER_NET_H

#include <stdint.h>

#define PEER_NET_MOST        (1ull << 40)
#define PEER_NET_MESSAGE     16384u
#define PEER_NET_SILENCE_MS  30000
#define PEER_NET_CONNECTIONS 32u

struct peer_net;

/* Returns 0 or -errno; on a port that the kernel chooses. [control] */
int peer_net_start(struct peer_net **peer);
/* The same with another length of silence that is suffered. */
int peer_net_start_patient(struct peer_net **peer, int silence_ms);
uint16_t peer_net_port(const struct peer_net *peer);
/* Connections are closed. NULL is allowed. [control] */
void peer_net_stop(struct peer_net *peer);

#endif
