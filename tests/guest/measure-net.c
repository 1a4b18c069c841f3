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
#include "net-traffic.h"

#define BATCHES 101u
#define QUICK_BATCHES 21u
#define SENT_PER_BATCH 512u
#define ECHOES_PER_BATCH 128u
#define TRIPS 2000u
#define QUICK_TRIPS 400u
#define TRIP_BYTES 98u
#define LOSSES 4u
/* Of one name; the batch that it ends in is the last. */
#define BUDGET_NS (probe.quick || probe.lean ? 100 * NS_PER_MS : 500 * NS_PER_MS)

struct pattern {
	const char *name;
	bool echo;
	uint32_t bytes;
	const char *unit;
	uint64_t divisor; /* of the unit, from frames or bytes a second */
};

static const struct pattern patterns[] = {
	{ "net-send-small", false, FRAME_MIN, "packets/s", 1 },
	{ "net-send-large", false, FRAME_MAX, "MB/s", 1000000 },
	{ "net-echo-small", true, FRAME_MIN, "packets/s", 1 },
	{ "net-echo-large", true, FRAME_MAX, "MB/s", 1000000 },
};

static struct traffic traffic;

static bool measure_trips(struct traffic *t)
{
	static uint64_t took[TRIPS];
	unsigned wanted = probe.quick ? QUICK_TRIPS : TRIPS, n = 0, lost = 0;
	uint64_t begin = clock_ns();

	if (!traffic_trip(t, 0, TRIP_BYTES, &took[0]))
		return false;
	for (uint16_t i = 1; n < wanted && (n == 0 || clock_ns() - begin < BUDGET_NS); i++) {
		if (!traffic_trip(t, i, TRIP_BYTES, &took[n]))
			return false;
		if (took[n]) {
			n++;
		} else if (++lost == LOSSES) {
			t->failure = "echoes are lost";
			return false;
		}
	}
	measure_values("net-round-trip", took, n, 1);
	return true;
}

/* *done: how many there were. Answers are looked at if they are not timed. */
static bool batch(struct traffic *t, const struct pattern *p, bool timed, unsigned *done)
{
	*done = SENT_PER_BATCH;
	return p->echo ? traffic_echo(t, ECHOES_PER_BATCH, p->bytes, !timed, done) :
	                 traffic_send(t, SENT_PER_BATCH, p->bytes);
}

static bool measure_batches(struct traffic *t, const struct pattern *p)
{
	unsigned batches = probe.quick ? QUICK_BATCHES : BATCHES, n = 0, done;
	uint64_t rates[BATCHES], begin, start, took;

	traffic_fill(t, p->bytes, p->echo);
	if (!batch(t, p, false, &done))
		return false;
	begin = clock_ns();
	while (n < batches && (n == 0 || clock_ns() - begin < BUDGET_NS)) {
		start = clock_ns();
		if (!batch(t, p, true, &done))
			return false;
		took = clock_ns() - start;
		rates[n++] = (uint64_t)done * (p->divisor > 1 ? p->bytes : 1) * 1000000000 / (took ? took : 1);
	}
	measure_rate_per(p->name, p->unit, rates, n, p->divisor);
	return true;
}

/* ---- one after the other ------------------------------------------------------------ */

static void skip_all(const char *why)
{
	measure_skip("net-round-trip", why);
	for (unsigned i = 0; i < ARRAY_LEN(patterns); i++)
		measure_skip(patterns[i].name, why);
}

static void broken(const struct traffic *t, const char *name)
{
	check(false, "network by %s: %s: %s", t->nic.driver, name, t->failure);
	measure_skip(name, t->failure);
}

/* What needs no answer is measured without anybody there, too. */
static void measure_card(struct traffic *t, bool there)
{
	static const char nobody[] = "nobody answers there";

	if (!there)
		measure_skip("net-round-trip", nobody);
	else if (!measure_trips(t))
		broken(t, "net-round-trip");
	for (unsigned i = 0; i < ARRAY_LEN(patterns); i++)
		if (patterns[i].echo && !there)
			measure_skip(patterns[i].name, nobody);
		else if (!clock_ns_per_tsc_32())
			measure_skip(patterns[i].name, "no clock tells how long a second is");
		else if (!measure_batches(t, &patterns[i]))
			broken(t, patterns[i].name);
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

static enum io_found open_first(struct nic *n)
{
	enum io_found (*const open[])(struct nic *) = { nic_xen_open, nic_virtio_open, nic_e1000_open };
	enum io_found found = IO_NONE;

	for (unsigned i = 0; i < ARRAY_LEN(open) && found == IO_NONE; i++)
		found = open[i](n);
	return found;
}

static void measure_opened(struct traffic *t)
{
	const uint8_t *m = t->nic.mac;
	enum io_found peer;

	print("# network by %s, %02x:%02x:%02x:%02x:%02x:%02x\n", t->nic.driver, m[0], m[1], m[2], m[3], m[4], m[5]);
	t->ends = (struct net_ends){
		.own.ip = address("address=", 10 | 2 << 16 | 15 << 24),
		.peer = { { 2, 0, 0, 0, 0, 1 }, address("peer=", 10 | 2 << 16 | 2 << 24) },
	};
	memcpy(t->ends.own.mac, m, 6);
	peer = traffic_resolve(t);
	if (peer == IO_FAILED) {
		check(false, "network by %s: %s", t->nic.driver, t->failure);
		skip_all(t->failure);
	} else {
		measure_card(t, peer == IO_OPEN);
	}
}

void measure_net(void)
{
	switch (open_first(&traffic.nic)) {
	case IO_NONE:
		skip_all("no network card, or none that the probe has a driver for");
		return;
	case IO_FAILED:
		check(false, "network: connect");
		skip_all("the network card does not answer");
		return;
	case IO_OPEN:
		measure_opened(&traffic);
		traffic.nic.close();
	}
}
