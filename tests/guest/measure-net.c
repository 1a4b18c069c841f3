/* SPDX-License-Identifier: MIT */
/*
 * The first network card, by the best driver that there is for it.
 *
 *   net-round-trip   an echo request of 98 bytes to the gateway until its answer
 *                    is seen, one at a time
 *   net-send-small   frames of 60 bytes, as many as the card takes: seen as sent
 *   net-send-large   the same of 1514 bytes
 *   net-echo-small   echoes with a window of 16 under way: so many come back
 *   net-echo-large   the same of 1514 bytes: so much comes back
 *
 * Bytes are those of frames, without their checksums. What is only sent has an
 * EtherType for experiments (IEEE 802, 0x88b5), which whoever gets it drops: the
 * card is measured, not what is behind it. Echoes need somebody who answers:
 * the gateway of the back end `user`, 10.0.2.2, or whom the words peer= and
 * address= (the guest's own) name.
 */
#include "io.h"

#define BATCHES 101u
#define QUICK_BATCHES 21u
#define SENT_PER_BATCH 512u
#define ECHOES_PER_BATCH 128u
#define WINDOW 16u
#define TRIPS 2000u
#define QUICK_TRIPS 400u
/* Of one name; the batch that it ends in is the last. */
#define BUDGET_NS (probe.quick || probe.lean ? 100 * NS_PER_MS : 500 * NS_PER_MS)
#define ARP_NS (500 * NS_PER_MS)
#define TRIES 4u

#define SMALL 60u
#define TRIP 98u
#define ECHO_ID 0x6d61u

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

enum { ARP = 0x0806, IPV4 = 0x0800, EXPERIMENT = 0x88b5 };

static struct nic nic;
static uint32_t own, peer;
static uint8_t peer_mac[6];
static const char *failure;

static uint16_t be16(uint32_t v)
{
	return (uint16_t)(v >> 8 & 0xff) | (uint16_t)(v << 8);
}

static bool failed(const char *why)
{
	failure = why;
	return false;
}

/* ---- frames ----------------------------------------------------------------- */

static void put_ethernet(struct ethernet *e, const uint8_t to[6], unsigned type)
{
	memcpy(e->to, to, 6);
	memcpy(e->from, nic.mac, 6);
	e->type = be16(type);
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

static void put_arp(struct arp *a)
{
	static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	memset(a, 0, SMALL);
	put_ethernet(&a->eth, all, ARP);
	a->hardware = be16(1);
	a->protocol = be16(IPV4);
	a->lengths[0] = 6;
	a->lengths[1] = 4;
	a->operation = be16(1);
	memcpy(a->sender_mac, nic.mac, 6);
	a->sender = own;
	a->target = peer;
}

/* bytes: of the frame, even. */
static void put_echo(struct echo *e, uint16_t sequence, uint32_t bytes)
{
	put_ethernet(&e->eth, peer_mac, IPV4);
	e->version = 0x45;
	e->service = 0;
	e->length = be16(bytes - sizeof(e->eth));
	e->id = e->fragment = e->checksum = 0;
	e->ttl = 64;
	e->protocol = 1;
	e->from = own;
	e->to = peer;
	e->checksum = checksum(&e->version, 20);
	e->type = 8;
	e->code = 0;
	e->sum = 0;
	e->echo_id = ECHO_ID;
	e->sequence = sequence;
	for (uint32_t i = 0; i < bytes - sizeof(*e); i++)
		e->data[i] = (uint8_t)(i + sequence);
	e->sum = checksum(&e->type, bytes - (uint32_t)offsetof(struct echo, type));
}

/* Whether a frame is the answer to an echo request of ours of this size; *sequence is whose. */
static bool is_answer(const uint8_t *frame, uint32_t got, uint32_t bytes, uint16_t *sequence)
{
	const struct echo *e = (const void *)frame;

	if (got < bytes || e->eth.type != be16(IPV4) || e->version != 0x45 || e->protocol != 1 || e->type != 0 ||
	    e->from != peer || e->to != own || e->echo_id != ECHO_ID || e->length != be16(bytes - sizeof(e->eth)))
		return false;
	*sequence = e->sequence;
	return true;
}

/* Every byte of it. */
static bool is_whole(const uint8_t *frame, uint32_t bytes)
{
	const struct echo *e = (const void *)frame;
	bool same = checksum(&e->type, bytes - (uint32_t)offsetof(struct echo, type)) == 0 &&
	            checksum(&e->version, 20) == 0 && memcmp(e->eth.to, nic.mac, 6) == 0;

	for (uint32_t i = 0; i < bytes - sizeof(*e); i++)
		same &= e->data[i] == (uint8_t)(i + e->sequence);
	return same;
}

/* ---- one at a time -------------------------------------------------------------- */

/* What is in slot 0, until the card has it. */
static bool send_one(uint32_t bytes)
{
	uint64_t deadline = clock_ns() + IO_WAIT;
	unsigned slot;

	nic.send(0, bytes);
	nic.kick();
	while (!nic.sent(&slot)) {
		if (clock_ns() >= deadline)
			return failed("a frame was not sent within 2 s");
		__asm__ volatile("pause");
	}
	return slot == 0 || failed("the card says that it sent what it was not given, or could not send");
}

static bool resolve(void)
{
	struct arp request;
	uint32_t got;

	for (unsigned i = 0; i < TRIES; i++) {
		uint64_t deadline = clock_ns() + ARP_NS;

		memset(nic_frame(0), 0, SMALL);
		put_arp((struct arp *)(void *)nic_frame(0));
		if (!send_one(SMALL))
			return false;
		while (clock_ns() < deadline) {
			const uint8_t *frame = nic.receive(&got);

			if (!frame || got < sizeof(request))
				continue;
			memcpy(&request, frame, sizeof(request));
			if (request.eth.type != be16(ARP) || request.operation != be16(2) || request.sender != peer)
				continue;
			memcpy(peer_mac, request.sender_mac, 6);
			return true;
		}
	}
	return failed("nobody answers there");
}

/* The ns that it took, 0 when there was no answer, or ~0 when the card failed. Answers of earlier ones are dropped. */
static uint64_t trip(uint16_t sequence)
{
	uint64_t start, now, deadline;
	const uint8_t *frame;
	uint16_t whose;
	uint32_t got;

	put_echo((struct echo *)(void *)nic_frame(0), sequence, TRIP);
	start = clock_ns();
	deadline = start + IO_WAIT;
	if (!send_one(TRIP))
		return ~0ull;
	do {
		frame = nic.receive(&got);
		now = clock_ns();
		if (!frame)
			__asm__ volatile("pause");
		else if (is_answer(frame, got, TRIP, &whose) && whose == sequence) {
			if (is_whole(frame, TRIP))
				return now - start;
			failed("an answer is not what was sent");
			return ~0ull;
		}
	} while (now < deadline);
	return 0;
}

static bool measure_trips(void)
{
	static uint64_t took[TRIPS];
	unsigned wanted = probe.quick ? QUICK_TRIPS : TRIPS, n = 0, lost = 0;
	uint64_t begin = clock_ns();

	trip(0);
	for (uint16_t i = 1; n < wanted && (n == 0 || clock_ns() - begin < BUDGET_NS); i++) {
		took[n] = trip(i);
		if (took[n] == ~0ull)
			return false;
		if (took[n])
			n++;
		else if (++lost == TRIES)
			return failed("echoes are lost");
	}
	measure_values("net-round-trip", took, n, 1);
	return true;
}

/* ---- out --------------------------------------------------------------------------- */

static void drain(void)
{
	uint32_t got;

	while (nic.receive(&got))
		;
}

static bool send_many(unsigned count, uint32_t bytes)
{
	unsigned given = 0, done = 0, slot;
	uint64_t deadline = clock_ns() + IO_WAIT;

	while (given < NIC_SLOTS && given < count)
		nic.send(given++, bytes);
	nic.kick();
	while (done < count) {
		bool any = false;

		while (done < count && nic.sent(&slot)) {
			if (slot >= NIC_SLOTS)
				return failed("the card says that it sent what it was not given, or could not send");
			any = true;
			done++;
			if (given < count)
				nic.send(slot, bytes), given++;
		}
		if (any) {
			nic.kick();
			deadline = clock_ns() + IO_WAIT;
			continue;
		}
		if (clock_ns() >= deadline)
			return failed("a frame was not sent within 2 s");
		drain(); /* what others say must not stand in the way */
	}
	return true;
}

static void fill(uint32_t bytes)
{
	for (unsigned i = 0; i < NIC_SLOTS; i++) {
		uint8_t *frame = nic_frame(i);

		for (uint32_t k = sizeof(struct ethernet); k < bytes; k++)
			frame[k] = (uint8_t)(k * 7 + i);
		put_ethernet((struct ethernet *)(void *)frame, peer_mac, EXPERIMENT);
	}
}

/* ---- and back in ---------------------------------------------------------------------- */

/* So many echoes, some under way, whole if `look`; when none comes for 2 s, the rest is given up. *back is how many came. */
static bool echo_many(unsigned count, uint32_t bytes, bool look, unsigned *back)
{
	unsigned given = 0, under_way = 0, slot;
	uint64_t deadline = clock_ns() + IO_WAIT;
	bool busy[NIC_SLOTS] = { false };

	*back = 0;
	while (given < count || under_way) {
		const uint8_t *frame;
		uint16_t whose;
		uint32_t got;
		bool any = false;

		while (nic.sent(&slot)) {
			if (slot >= NIC_SLOTS)
				return failed("the card says that it sent what it was not given, or could not send");
			busy[slot] = false;
		}
		for (; given < count && under_way < WINDOW && !busy[given % NIC_SLOTS]; given++, under_way++, any = true) {
			busy[given % NIC_SLOTS] = true;
			nic.send(given % NIC_SLOTS, bytes);
		}
		if (any)
			nic.kick();
		while (under_way && (frame = nic.receive(&got))) {
			if (!is_answer(frame, got, bytes, &whose) || whose >= NIC_SLOTS)
				continue;
			if (look && !is_whole(frame, bytes))
				return failed("an answer is not what was sent");
			under_way--;
			++*back;
			any = true;
		}
		if (any)
			deadline = clock_ns() + IO_WAIT;
		else if (clock_ns() >= deadline)
			break;
	}
	for (deadline = clock_ns() + IO_WAIT; clock_ns() < deadline;) {
		bool all = true;

		while (nic.sent(&slot))
			if (slot < NIC_SLOTS)
				busy[slot] = false;
		for (unsigned i = 0; i < NIC_SLOTS; i++)
			all &= !busy[i];
		if (all)
			return *back >= count / 2 || failed("most echoes are lost");
	}
	return failed("a frame was not sent within 2 s");
}

static void fill_echoes(uint32_t bytes)
{
	for (unsigned i = 0; i < NIC_SLOTS; i++)
		put_echo((struct echo *)(void *)nic_frame(i), (uint16_t)i, bytes);
}

/* ---- each ---------------------------------------------------------------------------- */

struct pattern {
	const char *name;
	bool echo;
	uint32_t bytes;
	const char *unit;
};

static const struct pattern patterns[] = {
	{ "net-send-small", false, SMALL, "packets/s" },
	{ "net-send-large", false, FRAME_MAX, "MB/s" },
	{ "net-echo-small", true, SMALL, "packets/s" },
	{ "net-echo-large", true, FRAME_MAX, "MB/s" },
};

/* *count: what it was of. Answers are looked at if they are not timed. */
static bool one_batch(const struct pattern *p, bool timed, unsigned *count)
{
	*count = p->echo ? ECHOES_PER_BATCH : SENT_PER_BATCH;
	return p->echo ? echo_many(*count, p->bytes, !timed, count) : send_many(*count, p->bytes);
}

static bool measure_pattern(const struct pattern *p)
{
	unsigned batches = probe.quick ? QUICK_BATCHES : BATCHES, done = 0, count;
	bool large = p->bytes == FRAME_MAX;
	uint64_t rates[BATCHES], begin, start, took;

	if (!clock_ns_per_tsc_32()) {
		measure_skip(p->name, "no clock tells how long a second is");
		return true;
	}
	if (p->echo)
		fill_echoes(p->bytes);
	else
		fill(p->bytes);
	if (!one_batch(p, false, &count))
		return false;
	begin = clock_ns();
	while (done < batches && (done == 0 || clock_ns() - begin < BUDGET_NS)) {
		start = clock_ns();
		if (!one_batch(p, true, &count))
			return false;
		took = clock_ns() - start;
		rates[done++] = (uint64_t)count * (large ? p->bytes : 1) * 1000000000 / (took ? took : 1);
	}
	measure_rate_per(p->name, p->unit, rates, done, large ? 1000000 : 1);
	return true;
}

static enum io_found open_first(void)
{
	enum io_found (*const open[])(struct nic *) = { nic_xen_open, nic_virtio_open, nic_e1000_open };
	enum io_found found = IO_NONE;

	for (unsigned i = 0; i < ARRAY_LEN(open) && found == IO_NONE; i++)
		found = open[i](&nic);
	return found;
}

/* "10.0.2.2" as it lies on the wire; otherwise when the word is not there. */
static uint32_t address(const char *word, uint32_t otherwise)
{
	const char *s = cmdline_word(word);
	uint32_t value = 0;

	if (!s)
		return otherwise;
	for (unsigned i = 0; i < 4; i++) {
		value |= (uint32_t)(parse_uint(s) & 0xff) << 8 * i;
		while (*s >= '0' && *s <= '9')
			s++;
		s += *s == '.';
	}
	return value;
}

static void skip_all(const char *why)
{
	measure_skip("net-round-trip", why);
	for (unsigned i = 0; i < ARRAY_LEN(patterns); i++)
		measure_skip(patterns[i].name, why);
}

static void broken(const char *name)
{
	check(false, "network by %s: %s: %s", nic.driver, name, failure);
	measure_skip(name, failure);
}

/* What needs no answer is measured without anybody there, too. */
static void measure_card(void)
{
	static const uint8_t nobody[6] = { 0x02, 0, 0, 0, 0, 1 };
	bool there = resolve(), works = there || strcmp(failure, "nobody answers there") == 0;

	if (!works) {
		check(false, "network by %s: %s", nic.driver, failure);
		skip_all(failure);
		return;
	}
	if (!there) {
		memcpy(peer_mac, nobody, 6);
		measure_skip("net-round-trip", failure);
	} else if (!measure_trips()) {
		broken("net-round-trip");
	}
	for (unsigned i = 0; i < ARRAY_LEN(patterns); i++)
		if (patterns[i].echo && !there)
			measure_skip(patterns[i].name, "nobody answers there");
		else if (!measure_pattern(&patterns[i]))
			broken(patterns[i].name);
}

void measure_net(void)
{
	enum io_found found = open_first();

	own = address("address=", 10 | 2 << 16 | 15 << 24);
	peer = address("peer=", 10 | 2 << 16 | 2 << 24);
	if (found != IO_OPEN) {
		if (found == IO_FAILED)
			check(false, "network: connect");
		skip_all(found == IO_FAILED ? "the network card does not answer" :
		                              "no network card, or none that the probe has a driver for");
		return;
	}
	print("# network by %s, %02x:%02x:%02x:%02x:%02x:%02x\n", nic.driver, nic.mac[0], nic.mac[1], nic.mac[2],
	      nic.mac[3], nic.mac[4], nic.mac[5]);
	measure_card();
	nic.close();
}
