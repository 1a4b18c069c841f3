/* SPDX-License-Identifier: MIT */
/* Frames: Ethernet, ARP (RFC 826), echoes (RFC 792) in IPv4. Addresses are as they lie on the wire. */
#ifndef PROBE_NET_FRAME_H
#define PROBE_NET_FRAME_H

#include "probe.h"

#define FRAME_MIN 60u

struct net_end {
	uint8_t mac[6];
	uint32_t ip;
};

struct net_ends {
	struct net_end own, peer;
};

/* To the peer: an EtherType for experiments (IEEE 802), and something in it. */
void frame_put_experiment(uint8_t *frame, const struct net_ends *e, uint32_t bytes);
/* FRAME_MIN bytes: who has the peer's address? */
void frame_put_question(uint8_t *frame, const struct net_ends *e);
/* Whether it is the answer; then peer.mac is filled. */
bool frame_is_told(const uint8_t *frame, uint32_t got, struct net_ends *e);
/* A request of so many bytes, an even number. */
void frame_put_echo(uint8_t *frame, const struct net_ends *e, uint16_t sequence, uint32_t bytes);
/* Whether it is the answer to a request of ours of this size; *sequence is whose. */
bool frame_is_answer(const uint8_t *frame, uint32_t got, const struct net_ends *e, uint32_t bytes, uint16_t *sequence);
/* Of an answer: whether every byte is what it should be. */
bool frame_is_whole(const uint8_t *frame, const struct net_ends *e, uint32_t bytes);

#endif
