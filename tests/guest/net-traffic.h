/* SPDX-License-Identifier: MIT */
/*
 * Frames to and fro by one card, and how it goes wrong: what returns false has
 * said why in `failure`.
 */
#ifndef PROBE_NET_TRAFFIC_H
#define PROBE_NET_TRAFFIC_H

#include "io.h"
#include "net-frame.h"

struct traffic {
	struct nic nic;
	struct net_ends ends;
	const char *failure;
};

/* Asks for the peer's address for 2 s: IO_OPEN when it is in ends, IO_NONE when nobody answers, IO_FAILED. */
enum io_found traffic_resolve(struct traffic *t);
/* An echo, and nothing else under way: the time in *took, or 0 when no answer came. */
bool traffic_trip(struct traffic *t, uint16_t sequence, uint32_t bytes, uint64_t *took);
/* What all slots are filled with before frames are sent, or echoes. */
void traffic_fill(struct traffic *t, uint32_t bytes, bool echoes);
/* So many frames, as many as there are slots under way, until all are seen as sent. */
bool traffic_send(struct traffic *t, unsigned count, uint32_t bytes);
/*
 * So many echoes, 16 under way, until they are back, *back of them: when none
 * comes for 2 s, the rest is lost. look: every byte of the answers is compared.
 */
bool traffic_echo(struct traffic *t, unsigned count, uint32_t bytes, bool look, unsigned *back);

#endif
