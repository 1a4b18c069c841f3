/* SPDX-License-Identifier: MIT */
#include "net-frame.h"

#define ECHO_ID 0x6d61u

enum { ARP = 0x0806, IPV4 = 0x0800, EXPERIMENT = 0x88b5 };
enum { ARP_QUESTION = 1, ARP_ANSWER = 2, ICMP = 1, ECHO_ANSWER = 0, ECHO_REQUEST = 8 };

struct __attribute__((packed)) ethernet {
	uint8_t to[6], from[6];
	uint16_t type; /* all on the wire are big-endian */
};

struct __attribute__((packed)) arp {
	struct ethernet eth;
	uint16_t hardware, protocol;
	uint8_t lengths[2];
	uint16_t operation;
	uint8_t sender_mac[6];
	uint32_t sender;
	uint8_t target_mac[6];
	uint32_t target;
};

struct __attribute__((packed)) echo {
	struct ethernet eth;
	uint8_t version, service;
	uint16_t length, id, fragment;
	uint8_t ttl, protocol;
	uint16_t checksum;
	uint32_t from, to;
	uint8_t type, code;
	uint16_t sum, echo_id, sequence;
	uint8_t data[];
};

#define IP_HEADER 20u
#define ICMP_AT ((uint32_t)offsetof(struct echo, type))

static uint16_t be16(uint32_t v)
{
	return (uint16_t)((v >> 8 & 0xff) | v << 8);
}

static void put_ethernet(struct ethernet *h, const struct net_ends *e, const uint8_t to[6], unsigned type)
{
	memcpy(h->to, to, 6);
	memcpy(h->from, e->own.mac, 6);
	h->type = be16(type);
}

void frame_put_experiment(uint8_t *frame, const struct net_ends *e, uint32_t bytes)
{
	for (uint32_t i = sizeof(struct ethernet); i < bytes; i++)
		frame[i] = (uint8_t)(i * 7);
	put_ethernet((struct ethernet *)(void *)frame, e, e->peer.mac, EXPERIMENT);
}

void frame_put_question(uint8_t *frame, const struct net_ends *e)
{
	static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct arp *a = (void *)frame;

	memset(frame, 0, FRAME_MIN);
	put_ethernet(&a->eth, e, all, ARP);
	a->hardware = be16(1);
	a->protocol = be16(IPV4);
	a->lengths[0] = 6;
	a->lengths[1] = 4;
	a->operation = be16(ARP_QUESTION);
	memcpy(a->sender_mac, e->own.mac, 6);
	a->sender = e->own.ip;
	a->target = e->peer.ip;
}

bool frame_is_told(const uint8_t *frame, uint32_t got, struct net_ends *e)
{
	const struct arp *a = (const void *)frame;

	if (got < sizeof(*a) || a->eth.type != be16(ARP) || a->operation != be16(ARP_ANSWER) || a->sender != e->peer.ip)
		return false;
	memcpy(e->peer.mac, a->sender_mac, 6);
	return true;
}

/* RFC 1071, of an even number of bytes; in the order of the wire. */
static uint16_t checksum(const void *p, uint32_t bytes)
{
	const uint16_t *words = p;
	uint32_t sum = 0;

	for (uint32_t i = 0; i < bytes / 2; i++)
		sum += words[i];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

void frame_put_echo(uint8_t *frame, const struct net_ends *ends, uint16_t sequence, uint32_t bytes)
{
	struct echo *e = (void *)frame;

	memset(e, 0, sizeof(*e));
	put_ethernet(&e->eth, ends, ends->peer.mac, IPV4);
	e->version = 0x45;
	e->length = be16(bytes - sizeof(e->eth));
	e->ttl = 64;
	e->protocol = ICMP;
	e->from = ends->own.ip;
	e->to = ends->peer.ip;
	e->checksum = checksum(&e->version, IP_HEADER);
	e->type = ECHO_REQUEST;
	e->echo_id = ECHO_ID;
	e->sequence = sequence;
	for (uint32_t i = 0; i < bytes - sizeof(*e); i++)
		e->data[i] = (uint8_t)(i + sequence);
	e->sum = checksum(&e->type, bytes - ICMP_AT);
}

bool frame_is_answer(const uint8_t *frame, uint32_t got, const struct net_ends *ends, uint32_t bytes, uint16_t *sequence)
{
	const struct echo *e = (const void *)frame;

	if (got < bytes || e->eth.type != be16(IPV4) || e->version != 0x45 || e->protocol != ICMP ||
	    e->length != be16(bytes - sizeof(e->eth)) || e->from != ends->peer.ip || e->to != ends->own.ip ||
	    e->type != ECHO_ANSWER || e->echo_id != ECHO_ID)
		return false;
	*sequence = e->sequence;
	return true;
}

bool frame_is_whole(const uint8_t *frame, const struct net_ends *ends, uint32_t bytes)
{
	const struct echo *e = (const void *)frame;
	bool same = checksum(&e->type, bytes - ICMP_AT) == 0 && checksum(&e->version, IP_HEADER) == 0 &&
	            memcmp(e->eth.to, ends->own.mac, 6) == 0;

	for (uint32_t i = 0; i < bytes - sizeof(*e); i++)
		same &= e->data[i] == (uint8_t)(i + e->sequence);
	return same;
}
