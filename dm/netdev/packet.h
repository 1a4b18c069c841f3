/* SPDX-License-Identifier: MIT */
/*
 * What back ends do to frames themselves: checksums that are left to do, and IP
 * packets that must go as several: where their headers are, segmentation of
 * TCP and fragmentation of everything else. Frames are in one piece, and IP
 * is only found without a VLAN tag. What is not to be trusted is copied before it comes here.
 */
#ifndef NETDEV_PACKET_H
#define NETDEV_PACKET_H

#include "dm/netdev/netdev.h"

/* Copies a frame of any content into one piece of frame->length bytes; false when its pieces do not add up to that. */
bool netdev_gather(uint8_t *to, const struct netdev_frame *frame);

/* Whether the places that NETDEV_CSUM_NEEDED speaks of lie in a frame of that length, behind Ethernet's header. */
bool netdev_checksum_fits(const struct netdev_offload *o, uint32_t length);
/* Does what it asks for. */
void netdev_checksum(uint8_t *frame, uint32_t length, const struct netdev_offload *o);

/* Offsets into the frame. */
struct netdev_packet {
	uint32_t ip, transport;
	uint32_t payload; /* behind the transport header; of TCP and UDP only, else as transport */
	uint32_t end;     /* of the packet, by its own length: what follows is padding */
	uint8_t protocol; /* IPv6: the next header; extension headers are not looked behind */
	bool ipv6;
	bool fragment;
};

/* False when the frame holds no whole and sound IP packet. */
bool netdev_packet_parse(const uint8_t *frame, uint32_t length, struct netdev_packet *p);

/* The pseudo header's sum, for a transport packet that ends at `end`. */
uint16_t netdev_packet_pseudo(const uint8_t *frame, const struct netdev_packet *p, uint32_t end);

/* Puts length and checksums into the headers of a TCP packet that has come to end at p->end. */
void netdev_packet_seal(uint8_t *frame, const struct netdev_packet *p);

/* Where the frames go that one is made into. */
struct netdev_sink {
	/* Room for a frame of length bytes; NULL: there is none, and the rest is not made. */
	uint8_t *(*room)(void *opaque, uint32_t length);
	/* It has been written. */
	void (*put)(void *opaque, uint32_t length);
	void *opaque;
};

/*
 * A TCP packet, not a fragment, as segments with `size` bytes of payload and
 * all checksums. False when the sink had no room for all.
 */
bool netdev_packet_segment(const uint8_t *frame, const struct netdev_packet *p, uint32_t size,
                           const struct netdev_sink *sink);

/*
 * A packet as fragments that fit `mtu`, at least 1280; `id` is IPv6's
 * identification. False when the sink had no room for all, or the packet must
 * not be fragmented.
 */
bool netdev_packet_fragment(const uint8_t *frame, const struct netdev_packet *p, uint32_t mtu, uint32_t id,
                            const struct netdev_sink *sink);

#endif
