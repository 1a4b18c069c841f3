/* SPDX-License-Identifier: MIT */
/* The block back end against a front end written here, honest and not, over a real bus and a disk in memory.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dm/xen/blkback.h"
#include "dm/xen/blkring.h"
#include "dm/xen/xenbus.h"
#include "fake/block-fake.h"
#include "fake/host-fake.h"
#include "fake/xen-fake.h"

#define RAM     (16ull << 20)
#define SPECIAL ((RAM >> 12) + 16)
#define DISK    (1ull << 20)
#define SECTORS (DISK / 512)
#define FRONT   "/local/domain/1/device/vbd/51712"
#define BACK    "/local/domain/0/backend/vbd/1/51712"

/* Where things are in guest memory, and under which grants. */
#define RING_GPA   0x100000u
#define RING_REF   100u
#define DATA_GPA   0x400000u
#define DATA_REF   1000u
#define DATA_PAGES 2000u
#define TABLE_GPA  0x300000u
#define TABLE_REF  900u

struct queue {
	uint8_t *ring; /* pages that are neighbours in the guest */
	uint32_t port, size, prod, cons;
};

struct fixture {
	struct host_fake *f;
	struct xen_fake x;
	struct xenbus *bus;
	struct block_fake disk;
	struct blkback *back;
	struct blkback_peers peers;
	const char *protocol;
	uint32_t pages, entry, id_at; /* layout as the test has it, not as blkabi.c says */
	struct queue q[4];
	int16_t status[1024]; /* by id */
	uint8_t op[1024];
	uint32_t answers;
};

/* ---- the front end ---- */

static void put(struct fixture *t, const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), FRONT "/%s", name);
	assert_int_equal(xenbus_ops.write(t->bus, path, value, (uint32_t)strlen(value)), 0);
}

static void putn(struct fixture *t, const char *name, uint32_t value)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", value);
	put(t, name, text);
}

static void state_to(struct fixture *t, uint32_t state)
{
	putn(t, "state", state);
	host_fake_run(t->f);
}

static int back_number(struct fixture *t, const char *name)
{
	char path[128], *text;
	int n;

	snprintf(path, sizeof(path), BACK "/%s", name);
	text = xenbus_ops.read(t->bus, path, NULL);
	n = text ? atoi(text) : -1;
	free(text);
	return n;
}

static void queue_init(struct fixture *t, uint32_t i)
{
	struct queue *q = &t->q[i];
	uint32_t n;

	q->ring = t->f->ram + RING_GPA + i * 0x10000;
	memset(q->ring, 0, t->pages * 4096);
	((struct blkif_sring *)q->ring)->req_event = ((struct blkif_sring *)q->ring)->rsp_event = 1;
	n = (t->pages * 4096 - 64) / t->entry;
	for (q->size = 1; q->size * 2 <= n; q->size *= 2)
		;
	q->prod = q->cons = 0;
	q->port = xen_fake_open(&t->x);
	for (uint32_t p = 0; p < t->pages; p++)
		xen_fake_grant(&t->x, RING_REF + i * 16 + p, RING_GPA + i * 0x10000 + p * 4096, false);
}

static void offer(struct fixture *t, uint32_t queues)
{
	char name[64], prefix[24] = "";

	for (uint32_t i = 0; i < queues; i++) {
		queue_init(t, i);
		if (queues > 1)
			snprintf(prefix, sizeof(prefix), "queue-%u/", i);
		snprintf(name, sizeof(name), "%sevent-channel", prefix);
		putn(t, name, t->q[i].port);
		for (uint32_t p = 0; p < t->pages; p++) {
			snprintf(name, sizeof(name), t->pages > 1 ? "%sring-ref%u" : "%sring-ref", prefix, p);
			putn(t, name, RING_REF + i * 16 + p);
		}
	}
	if (queues > 1)
		putn(t, "multi-queue-num-queues", queues);
	if (t->pages > 1)
		putn(t, "ring-page-order", (uint32_t)__builtin_ctz(t->pages));
	put(t, "protocol", t->protocol);
}

static void connect_front(struct fixture *t)
{
	offer(t, 1);
	state_to(t, 3);
	assert_int_equal(back_number(t, "state"), 4);
	state_to(t, 4);
}

static struct blkif_sring *sring(struct queue *q)
{
	return (struct blkif_sring *)q->ring;
}

static uint8_t *slot(struct fixture *t, struct queue *q, uint32_t index)
{
	return q->ring + 64 + (index & (q->size - 1)) * t->entry;
}

static void notify(struct fixture *t, struct queue *q)
{
	xen_fake_send(&t->x, q->port);
	host_fake_run(t->f);
}

static void publish(struct fixture *t, struct queue *q)
{
	sring(q)->req_prod = q->prod;
	notify(t, q);
}

static void put_u64(uint8_t *at, uint64_t v)
{
	memcpy(at, &v, sizeof(v));
}

/* A read, write or flush; segment i is the page DATA_REF + first_page + i. */
static void queue_rw(struct fixture *t, struct queue *q, uint8_t op, uint64_t id, uint64_t sector, uint32_t n,
                     uint32_t first_page, uint8_t first, uint8_t last)
{
	uint8_t *e = slot(t, q, q->prod++);

	memset(e, 0, t->entry);
	e[0] = op;
	e[1] = (uint8_t)n;
	put_u64(e + t->id_at, id);
	put_u64(e + t->id_at + 8, sector);
	for (uint32_t i = 0; i < n && i < 11; i++) {
		struct blkif_request_segment seg = {DATA_REF + first_page + i, first, last};

		memcpy(e + t->id_at + 16 + i * sizeof(seg), &seg, sizeof(seg));
	}
}

static void queue_discard(struct fixture *t, struct queue *q, uint64_t id, uint64_t sector, uint64_t n)
{
	uint8_t *e = slot(t, q, q->prod++);

	memset(e, 0, t->entry);
	e[0] = BLKIF_OP_DISCARD;
	put_u64(e + t->id_at, id);
	put_u64(e + t->id_at + 8, sector);
	put_u64(e + t->id_at + 16, n);
}

static void queue_indirect(struct fixture *t, struct queue *q, uint8_t op, uint64_t id, uint64_t sector,
                           uint16_t n, uint32_t table)
{
	uint8_t *e = slot(t, q, q->prod++);
	uint32_t ref = TABLE_REF + table;

	memset(e, 0, t->entry);
	e[0] = BLKIF_OP_INDIRECT;
	e[1] = op;
	memcpy(e + 2, &n, 2);
	put_u64(e + t->id_at, id);
	put_u64(e + t->id_at + 8, sector);
	memcpy(e + t->id_at + 20, &ref, 4); /* after the 16-bit handle, aligned to 4 */
}

static struct blkif_request_segment *table_of(struct fixture *t, uint32_t table, uint32_t n)
{
	struct blkif_request_segment *s = (void *)(t->f->ram + TABLE_GPA + table * 4096);

	for (uint32_t i = 0; i < n; i++)
		s[i] = (struct blkif_request_segment){DATA_REF + i, 0, 7};
	return s;
}

/* Takes the responses that are there; returns how many. */
static uint32_t take(struct fixture *t, struct queue *q)
{
	uint32_t n = 0;

	while (q->cons != sring(q)->rsp_prod) {
		uint8_t *e = slot(t, q, q->cons++);
		uint64_t id;

		memcpy(&id, e, 8);
		assert_true(id < 1024);
		t->op[id] = e[8];
		memcpy(&t->status[id], e + 10, 2);
		n++;
	}
	sring(q)->rsp_event = q->cons + 1;
	t->answers += n;
	return n;
}

/* One request, its answer. */
static int16_t ask(struct fixture *t, struct queue *q)
{
	publish(t, q);
	assert_int_equal(take(t, q), 1);
	return t->status[0];
}

static uint8_t *data(struct fixture *t, uint32_t page)
{
	return t->f->ram + DATA_GPA + page * 4096;
}

static void fill(uint8_t *p, uint32_t len, uint8_t seed)
{
	for (uint32_t i = 0; i < len; i++)
		p[i] = (uint8_t)(seed + i * 13 + (i >> 8));
}

/* ---- fixtures ---- */

static void make(struct fixture *t, bool persistent)
{
	struct blkback_config c = {
	        .host = t->f->host,
	        .inst = t->f->inst,
	        .block = &t->disk.block,
	        .dev = "xvda",
	        .devid = 51712,
	        .max_queues = 4,
	        .persistent = persistent,
	};

	t->back = blkback_create(&c);
	assert_int_equal(blkback_start(t->back, &t->peers, BLKBACK_DISK), 0);
	host_fake_run(t->f);
}

static struct fixture *base(void)
{
	struct fixture *t = calloc(1, sizeof(*t));
	struct xenbus_config c = {.special_gfn = SPECIAL, .special_count = 2};

	t->f = host_fake_create(RAM, 4);
	xen_fake_init(&t->x, t->f);
	c.host = t->f->host;
	c.inst = t->f->inst;
	t->bus = xenbus_create(&c);
	assert_int_equal(xenbus_start(t->bus, &xen_fake_evtchn, &t->x), 0);
	block_fake_init(&t->disk, DISK);
	fill(t->disk.data, DISK, 3);
	t->peers =
	        (struct blkback_peers){&xenbus_ops, t->bus, &xen_fake_evtchn, &t->x, &xen_fake_grants, &t->x};
	t->protocol = "x86_64-abi";
	t->pages = 1;
	t->entry = 112;
	t->id_at = 8;
	for (uint32_t i = 0; i < DATA_PAGES; i++)
		xen_fake_grant(&t->x, DATA_REF + i, DATA_GPA + i * 4096, false);
	for (uint32_t i = 0; i < 64; i++)
		xen_fake_grant(&t->x, TABLE_REF + i, TABLE_GPA + i * 4096, true);
	return t;
}

static int setup(void **state)
{
	struct fixture *t = base();

	make(t, false);
	*state = t;
	return 0;
}

static int setup_persistent(void **state)
{
	struct fixture *t = base();

	make(t, true);
	putn(t, "feature-persistent", 1);
	*state = t;
	return 0;
}

static int setup_32(void **state)
{
	struct fixture *t = base();

	t->protocol = "x86_32-abi";
	t->entry = 108;
	t->id_at = 4;
	make(t, false);
	*state = t;
	return 0;
}

static int setup_readonly(void **state)
{
	struct fixture *t = base();

	t->disk.block.info.readonly = true;
	t->disk.block.info.discard = false;
	make(t, false);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *t = *state;

	blkback_stop(t->back);
	blkback_destroy(t->back);
	assert_int_equal(t->x.maps, 0);
	assert_int_equal(t->disk.in_flight, 0);
	/* Whatever the guest asked, the disk was never asked for what it has not. */
	assert_int_equal(t->disk.n_refused, 0);
	xenbus_destroy(t->bus);
	assert_int_equal(host_fake_destroy(t->f), 0);
	block_fake_finish(&t->disk);
	free(t);
	return 0;
}

/* ---- negotiation ---- */

static void test_offer(void **state)
{
	struct fixture *t = *state;

	assert_int_equal(back_number(t, "state"), 2);
	assert_int_equal(back_number(t, "feature-flush-cache"), 1);
	assert_int_equal(back_number(t, "feature-barrier"), 0);
	assert_int_equal(back_number(t, "feature-persistent"), 0);
	assert_int_equal(back_number(t, "feature-max-indirect-segments"), 256);
	assert_int_equal(back_number(t, "max-ring-page-order"), 4);
	assert_int_equal(back_number(t, "multi-queue-max-queues"), 4);
	assert_int_equal(back_number(t, "feature-discard"), 1);
	assert_int_equal(back_number(t, "discard-granularity"), 4096);
	connect_front(t);
	assert_int_equal(back_number(t, "sectors"), SECTORS);
	assert_int_equal(back_number(t, "sector-size"), 512);
	assert_int_equal(back_number(t, "physical-sector-size"), 4096);
	assert_int_equal(back_number(t, "info"), 0);
}

static void test_readonly(void **state)
{
	struct fixture *t = *state;
	char *mode = xenbus_ops.read(t->bus, BACK "/mode", NULL);

	assert_string_equal(mode, "r");
	free(mode);
	connect_front(t);
	assert_int_equal(back_number(t, "info"), VDISK_READONLY);
	assert_int_equal(back_number(t, "feature-discard"), -1);
	queue_rw(t, &t->q[0], BLKIF_OP_READ, 0, 0, 1, 0, 0, 7);
	assert_int_equal(ask(t, &t->q[0]), BLKIF_RSP_OKAY);
	queue_rw(t, &t->q[0], BLKIF_OP_WRITE, 0, 0, 1, 0, 0, 7);
	assert_int_equal(ask(t, &t->q[0]), BLKIF_RSP_ERROR);
	queue_rw(t, &t->q[0], BLKIF_OP_FLUSH_DISKCACHE, 0, 0, 1, 0, 0, 7);
	assert_int_equal(ask(t, &t->q[0]), BLKIF_RSP_ERROR);
	queue_discard(t, &t->q[0], 0, 0, 8);
	assert_int_equal(ask(t, &t->q[0]), BLKIF_RSP_EOPNOTSUPP);
}

static void test_close_and_again(void **state)
{
	struct fixture *t = *state;

	for (int i = 0; i < 3; i++) {
		connect_front(t);
		queue_rw(t, &t->q[0], BLKIF_OP_READ, 0, 0, 1, 0, 0, 7);
		assert_int_equal(ask(t, &t->q[0]), BLKIF_RSP_OKAY);
		state_to(t, 5);
		assert_int_equal(back_number(t, "state"), 5);
		assert_int_equal(t->x.maps, 0);
		assert_false(t->x.ports[t->q[0].port].bound);
		t->x.ports[t->q[0].port].open = false;
		state_to(t, 6);
		assert_int_equal(back_number(t, "state"), 6);
		state_to(t, 1);
		assert_int_equal(back_number(t, "state"), 2);
	}
}

/* Closed and Initialising, or Initialising at once, seen as one change. */
static void test_starts_over(void **state)
{
	struct fixture *t = *state;

	connect_front(t);
	state_to(t, 5);
	putn(t, "state", 6);
	state_to(t, 1);
	assert_int_equal(back_number(t, "state"), 2);
	t->x.ports[t->q[0].port].open = false;
	connect_front(t);
	state_to(t, 1);
	assert_int_equal(back_number(t, "state"), 2);
	assert_int_equal(t->x.maps, 0);
	assert_false(t->x.ports[t->q[0].port].bound);
}

static void test_front_vanishes(void **state)
{
	struct fixture *t = *state;

	connect_front(t);
	xenbus_ops.rm(t->bus, FRONT);
	host_fake_run(t->f);
	assert_int_equal(back_number(t, "state"), 6);
	assert_int_equal(t->x.maps, 0);
}

static void test_bad_terms(void **state)
{
	static const struct {
		const char *name, *value;
	} bad[] = {
	        {"ring-ref", "99999"},
	        {"ring-ref", "x"},
	        {"ring-ref", "-1"},
	        {"ring-ref", "4294967396"}, /* RING_REF + 2^32 */
	        {"event-channel", "60"},
	        {"event-channel", ""},
	        {"protocol", "arm-abi"},
	        {"ring-page-order", "5"},
	        {"ring-page-order", "1"},
	        {"multi-queue-num-queues", "0"},
	        {"multi-queue-num-queues", "5"},
	        {"multi-queue-num-queues", "2"},
	};
	struct fixture *t = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		offer(t, 1);
		put(t, bad[i].name, bad[i].value);
		state_to(t, 3);
		assert_int_equal(back_number(t, "state"), 5);
		assert_int_equal(t->x.maps, 0);
		xenbus_ops.rm(t->bus, FRONT "/multi-queue-num-queues");
		xenbus_ops.rm(t->bus, FRONT "/ring-page-order");
		t->x.ports[t->q[0].port].open = false;
		state_to(t, 6);
		state_to(t, 1);
		assert_int_equal(back_number(t, "state"), 2);
	}
	connect_front(t);
}

/* States in any order, and rubbish, never do harm. */
static void test_any_states(void **state)
{
	struct fixture *t = *state;
	uint32_t r = 12345;

	offer(t, 1);
	for (int i = 0; i < 500; i++) {
		r = r * 1103515245 + 12345;
		state_to(t, (r >> 16) % 10);
	}
	put(t, "state", "4x");
	host_fake_run(t->f);
	put(t, "state", "99999999999");
	host_fake_run(t->f);
	state_to(t, 6);
	assert_int_equal(back_number(t, "state"), 6);
	state_to(t, 1);
	connect_front(t);
}

static void test_log_is_bounded(void **state)
{
	struct fixture *t = *state;

	for (int i = 0; i < 200; i++) {
		put(t, "event-channel", "bad");
		state_to(t, 3);
		state_to(t, 6);
	}
	assert_true(t->f->logs[GAMUT_LOG_WARN] <= 16);
}

/* ---- data ---- */

static void do_read_write(struct fixture *t)
{
	uint8_t want[3 * 4096];
	struct queue *q = &t->q[0];

	connect_front(t);
	queue_rw(t, q, BLKIF_OP_READ, 0, 16, 3, 0, 0, 7);
	assert_int_equal(ask(t, q), BLKIF_RSP_OKAY);
	assert_int_equal(t->op[0], BLKIF_OP_READ);
	assert_memory_equal(data(t, 0), t->disk.data + 16 * 512, sizeof(want));
	assert_int_equal(t->disk.log[0].n_iov, 1); /* neighbours are one entry */
	fill(data(t, 0), sizeof(want), 99);
	memcpy(want, data(t, 0), sizeof(want));
	queue_rw(t, q, BLKIF_OP_WRITE, 0, 800, 3, 0, 0, 7);
	assert_int_equal(ask(t, q), BLKIF_RSP_OKAY);
	assert_memory_equal(t->disk.data + 800 * 512, want, sizeof(want));
	/* Parts of pages. */
	memset(data(t, 4), 0, 2 * 4096);
	queue_rw(t, q, BLKIF_OP_READ, 0, 1, 2, 4, 2, 4);
	assert_int_equal(ask(t, q), BLKIF_RSP_OKAY);
	assert_memory_equal(data(t, 4) + 1024, t->disk.data + 512, 1536);
	assert_memory_equal(data(t, 5) + 1024, t->disk.data + 512 + 1536, 1536);
	assert_int_equal(data(t, 4)[1023], 0);
	assert_int_equal(data(t, 4)[1024 + 1536], 0);
	assert_int_equal(t->x.maps, t->pages); /* the ring alone */
}

static void test_read_write(void **state)
{
	struct fixture *t = *state;

	do_read_write(t);
	assert_int_equal(t->x.grants[DATA_REF].dirtied, 1); /* by the read, not by the write */
	assert_int_equal(host_fake_counter(t->f, "reads"), 2);
	assert_int_equal(host_fake_counter(t->f, "writes"), 1);
}

static void test_32_bit(void **state)
{
	struct fixture *t = *state;
	struct queue *q = &t->q[0];

	do_read_write(t);
	table_of(t, 0, 20);
	queue_indirect(t, q, BLKIF_OP_READ, 0, 8, 20, 0);
	assert_int_equal(ask(t, q), BLKIF_RSP_OKAY);
	assert_memory_equal(data(t, 0), t->disk.data + 8 * 512, 20 * 4096);
	queue_discard(t, q, 0, 8, 8);
	assert_int_equal(ask(t, q), BLKIF_RSP_OKAY);
	assert_int_equal(t->disk.data[8 * 512], 0);
}

static void test_native_protocol(void **state)
{
	struct fixture *t = *state;

	t->protocol = "";
	connect_front(t);
	queue_rw(t, &t->q[0], BLKIF_OP_READ, 0, 0, 1, 0, 0, 7);
	assert_int_equal(ask(t, &t->q[0]), BLKIF_RSP_OKAY);
}

/* Rings of many pages: entries lie across pages; indices go round several times. */
static void test_large_ring(void **state)
{
	struct fixture *t = *state;
	struct queue *q = &t->q[0];
	uint32_t done = 0;

	t->pages = 16;
	connect_front(t);
	assert_int_equal(q->size, 512);
	for (int round = 0; round < 4; round++) {
		memset(t->status, 0x55, sizeof(t->status));
		for (uint32_t i = 0; i < q->size; i++)
			queue_rw(t, q, i & 1 ? BLKIF_OP_READ : BLKIF_OP_WRITE, i, i % 100, 1, i, 0, 0);
		publish(t, q);
		assert_int_equal(take(t, q), q->size);
		for (uint32_t i = 0; i < q->size; i++)
			assert_int_equal(t->status[i], BLKIF_RSP_OKAY);
		done += q->size;
	}
	assert_int_equal(done, t->answers);
}

static void test_queues(void **state)
{
	struct fixture *t = *state;

	t->pages = 2;
	offer(t, 4);
	state_to(t, 3);
	assert_int_equal(back_number(t, "state"), 4);
	for (uint32_t i = 0; i < 4; i++)
		queue_rw(t, &t->q[i], BLKIF_OP_READ, i, i * 8, 1, i, 0, 7);
	for (uint32_t i = 0; i < 4; i++)
		publish(t, &t->q[i]);
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(take(t, &t->q[i]), 1);
		assert_int_equal(t->status[i], BLKIF_RSP_OKAY);
		assert_memory_equal(data(t, i), t->disk.data + i * 4096, 4096);
	}
}

static void test_indirect(void **state)
{
	struct fixture *t = *state;
	struct queue *q = &t->q[0];
	struct blkif_request_segment *s;

	connect_front(t);
	table_of(t, 0, 256);
	queue_indirect(t, q, BLKIF_OP_READ, 0, 0, 256, 0);
	assert_int_equal(ask(t, q), BLKIF_RSP_OKAY);
	assert_int_equal(t->op[0], BLKIF_OP_READ); /* the inner operation */
	assert_memory_equal(data(t, 0), t->disk.data, DISK);
	fill(data(t, 0), 4096, 50);
	s = table_of(t, 1, 12);
	s[11].first_sect = s[11].last_sect = 3;
	queue_indirect(t, q, BLKIF_OP_WRITE, 0, 100, 12, 1);
	assert_int_equal(ask(t, q), BLKIF_RSP_OKAY);
	assert_memory_equal(t->disk.data + 100 * 512, data(t, 0), 11 * 4096);
	assert_memory_equal(t->disk.data + 100 * 512 + 11 * 4096, data(t, 11) + 3 * 512, 512);
}

static void test_indirect_bad(void **state)
{
	struct fixture *t = *state;
	struct queue *q = &t->q[0];
	struct blkif_request_segment *s = table_of(t, 0, 256);

	connect_front(t);
	queue_indirect(t, q, BLKIF_OP_READ, 0, 0, 257, 0);
	assert_int_equal(ask(t, q), BLKIF_RSP_ERROR);
	queue_indirect(t, q, BLKIF_OP_READ, 0, 0, 0, 0);
	assert_int_equal(ask(t, q), BLKIF_RSP_ERROR);
	queue_indirect(t, q, BLKIF_OP_READ, 0, 0, 65535, 0);
	assert_int_equal(ask(t, q), BLKIF_RSP_ERROR);
	queue_indirect(t, q, BLKIF_OP_INDIRECT, 0, 0, 5, 0);
	assert_int_equal(ask(t, q), BLKIF_RSP_ERROR);
	queue_indirect(t, q, BLKIF_OP_DISCARD, 0, 0, 5, 0);
	assert_int_equal(ask(t, q), BLKIF_RSP_ERROR);
	queue_indirect(t, q, BLKIF_OP_READ, 0, 0, 5, 70); /* no such grant */
	assert_int_equal(ask(t, q), BLKIF_RSP_ERROR);
	s[4].gref = 4000;
	queue_indirect(t, q, BLKIF_OP_READ, 0, 0, 5, 0);
	assert_int_equal(ask(t, q), BLKIF_RSP_ERROR);
	s[4] = (struct blkif_request_segment){DATA_REF, 0, 8};
	queue_indirect(t, q, BLKIF_OP_READ, 0, 0, 5, 0);
	assert_int_equal(ask(t, q), BLKIF_RSP_ERROR);
	assert_int_equal(t->disk.n_log, 0);
	assert_int_equal(t->x.maps, 1);
	assert_int_equal(host_fake_counter(t->f, "bad-requests"), 8);
}

/* More indirect requests than there is room for at a time: they wait, and all are answered. */
static void test_indirect_many(void **state)
{
	struct fixture *t = *state;
	struct queue *q = &t->q[0];

	t->pages = 4;
	connect_front(t);
	table_of(t, 0, 20);
	t->disk.hold = true;
	for (uint32_t i = 0; i < q->size; i++)
		queue_indirect(t, q, BLKIF_OP_READ, i, i, 20, 0);
	publish(t, q);
	assert_int_equal(t->disk.in_flight, BLKRING_MAX_LARGE);
	assert_int_equal(take(t, q), 0);
	t->disk.hold = false;
	block_fake_complete(&t->disk);
	host_fake_run(t->f);
	assert_int_equal(take(t, q), q->size);
}

static void test_flush(void **state)
{
	struct fixture *t = *state;
	struct queue *q = &t->q[0];

	connect_front(t);
	fill(data(t, 0), 4096, 77);
	queue_rw(t, q, BLKIF_OP_WRITE, 0, 0, 1, 0, 0, 7);
	assert_int_equal(ask(t, q), BLKIF_RSP_OKAY);
	assert_int_not_equal(memcmp(t->disk.stable, data(t, 0), 4096), 0);
	queue_rw(t, q, BLKIF_OP_FLUSH_DISKCACHE, 0, 0, 0, 0, 0, 0);
	assert_int_equal(ask(t, q), BLKIF_RSP_OKAY);
	assert_int_equal(t->op[0], BLKIF_OP_FLUSH_DISKCACHE);
	assert_memory_equal(t->disk.stable, data(t, 0), 4096);
	/* With data: flush, then write. */
	t->disk.n_log = 0;
	fill(data(t, 1), 4096, 78);
	queue_rw(t, q, BLKIF_OP_FLUSH_DISKCACHE, 0, 8, 1, 1, 0, 7);
	assert_int_equal(ask(t, q), BLKIF_RSP_OKAY);
	assert_int_equal(t->disk.n_log, 2);
	assert_int_equal(t->disk.log[0].op, BLOCK_FLUSH);
	assert_int_equal(t->disk.log[1].op, BLOCK_WRITE);
	assert_memory_equal(t->disk.data + 4096, data(t, 1), 4096);
	t->disk.fail = -EIO;
	queue_rw(t, q, BLKIF_OP_FLUSH_DISKCACHE, 0, 0, 0, 0, 0, 0);
	assert_int_equal(ask(t, q), BLKIF_RSP_ERROR);
	t->disk.fail = 0;
}

static void test_discard(void **state)
{
	struct fixture *t = *state;
	struct queue *q = &t->q[0];

	connect_front(t);
	queue_discard(t, q, 0, 8, 16);
	assert_int_equal(ask(t, q), BLKIF_RSP_OKAY);
	assert_int_equal(t->disk.data[4096], 0);
	queue_discard(t, q, 0, SECTORS - 8, 8);
	assert_int_equal(ask(t, q), BLKIF_RSP_OKAY);
	queue_discard(t, q, 0, SECTORS - 8, 9);
	assert_int_equal(ask(t, q), BLKIF_RSP_ERROR);
	queue_discard(t, q, 0, UINT64_MAX, 8);
	assert_int_equal(ask(t, q), BLKIF_RSP_ERROR);
	queue_discard(t, q, 0, 8, UINT64_MAX - 4);
	assert_int_equal(ask(t, q), BLKIF_RSP_ERROR);
	queue_discard(t, q, 0, 0, 0);
	assert_int_equal(ask(t, q), BLKIF_RSP_OKAY);
	assert_int_equal(t->disk.n_log, 2);
}

static void test_unsupported(void **state)
{
	static const uint8_t ops[] = {BLKIF_OP_WRITE_BARRIER, BLKIF_OP_RESERVED_1, 7, 100, 255};
	struct fixture *t = *state;

	connect_front(t);
	for (size_t i = 0; i < sizeof(ops); i++) {
		queue_rw(t, &t->q[0], ops[i], 0, 0, 1, 0, 0, 7);
		assert_int_equal(ask(t, &t->q[0]), BLKIF_RSP_EOPNOTSUPP);
		assert_int_equal(t->op[0], ops[i]);
	}
	assert_int_equal(t->disk.n_log, 0);
}

static void test_bad_requests(void **state)
{
	static const struct {
		uint64_t sector;
		uint32_t n, page;
		uint8_t first, last;
	} bad[] = {
	        {0, 0, 0, 0, 7},
	        {0, 12, 0, 0, 7},
	        {0, 255, 0, 0, 7},
	        {0, 1, 0, 0, 8},
	        {0, 1, 0, 5, 4},
	        {0, 1, 0, 0, 255},
	        {0, 1, 0, 255, 255},
	        {SECTORS, 1, 0, 0, 0},
	        {SECTORS - 7, 1, 0, 0, 7},
	        {UINT64_MAX, 1, 0, 0, 7},
	        {UINT64_MAX - 7, 1, 0, 0, 7},
	        {1ull << 55, 1, 0, 0, 7},
	        {0, 3, DATA_PAGES - 2, 0, 7}, /* the last page is not granted */
	};
	struct fixture *t = *state;

	connect_front(t);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		for (uint8_t op = BLKIF_OP_READ; op <= BLKIF_OP_WRITE; op++) {
			queue_rw(t, &t->q[0], op, 0, bad[i].sector, bad[i].n, bad[i].page, bad[i].first,
			         bad[i].last);
			assert_int_equal(ask(t, &t->q[0]), BLKIF_RSP_ERROR);
		}
	}
	assert_int_equal(t->disk.n_log, 0);
	assert_int_equal(t->x.maps, 1);
}

/* A page that is granted for reading may be written to disk, not read into. */
static void test_readonly_grant(void **state)
{
	struct fixture *t = *state;

	connect_front(t);
	xen_fake_grant(&t->x, DATA_REF, DATA_GPA, true);
	queue_rw(t, &t->q[0], BLKIF_OP_WRITE, 0, 0, 1, 0, 0, 7);
	assert_int_equal(ask(t, &t->q[0]), BLKIF_RSP_OKAY);
	queue_rw(t, &t->q[0], BLKIF_OP_READ, 0, 0, 1, 0, 0, 7);
	assert_int_equal(ask(t, &t->q[0]), BLKIF_RSP_ERROR);
}

static void test_io_errors(void **state)
{
	struct fixture *t = *state;

	connect_front(t);
	t->disk.fail = -EIO;
	queue_rw(t, &t->q[0], BLKIF_OP_READ, 0, 0, 1, 0, 0, 7);
	assert_int_equal(ask(t, &t->q[0]), BLKIF_RSP_ERROR);
	t->disk.fail = -ENOSPC;
	queue_rw(t, &t->q[0], BLKIF_OP_WRITE, 0, 0, 1, 0, 0, 7);
	assert_int_equal(ask(t, &t->q[0]), BLKIF_RSP_ERROR);
	t->disk.fail = -EOPNOTSUPP;
	queue_discard(t, &t->q[0], 0, 0, 8);
	assert_int_equal(ask(t, &t->q[0]), BLKIF_RSP_EOPNOTSUPP);
	t->disk.fail = 0;
	t->disk.refuse = -EINVAL;
	queue_rw(t, &t->q[0], BLKIF_OP_READ, 0, 0, 1, 0, 0, 7);
	assert_int_equal(ask(t, &t->q[0]), BLKIF_RSP_ERROR);
	t->disk.refuse = 0;
	assert_int_equal(host_fake_counter(t->f, "io-errors"), 4);
}

/* ---- the ring ---- */

static void test_batching(void **state)
{
	struct fixture *t = *state;
	struct queue *q = &t->q[0];

	connect_front(t);
	t->disk.kicks = 0;
	for (uint32_t i = 0; i < 20; i++)
		queue_rw(t, q, BLKIF_OP_READ, i, i, 1, i, 0, 7);
	publish(t, q);
	assert_int_equal(take(t, q), 20);
	assert_int_equal(t->disk.kicks, 1);
	assert_int_equal(t->x.ports[q->port].notified, 1);
	/* A guest that does not want to hear of it is not told. */
	sring(q)->rsp_event = q->cons + 10;
	queue_rw(t, q, BLKIF_OP_READ, 0, 0, 1, 0, 0, 7);
	publish(t, q);
	assert_int_equal(take(t, q), 1);
	assert_int_equal(t->x.ports[q->port].notified, 1);
	assert_int_equal(sring(q)->req_event, q->prod + 1);
}

static void test_bad_index(void **state)
{
	struct fixture *t = *state;
	struct queue *q = &t->q[0];

	connect_front(t);
	queue_rw(t, q, BLKIF_OP_READ, 0, 0, 1, 0, 0, 7);
	sring(q)->req_prod = q->size + 1;
	notify(t, q);
	assert_int_equal(t->disk.n_log, 0);
	assert_int_equal(host_fake_counter(t->f, "broken-rings"), 1);
	sring(q)->req_prod = 1;
	notify(t, q);
	assert_int_equal(t->disk.n_log, 0);
	/* A new connection mends it. */
	state_to(t, 5);
	state_to(t, 6);
	state_to(t, 1);
	connect_front(t);
	queue_rw(t, q, BLKIF_OP_READ, 0, 0, 1, 0, 0, 7);
	assert_int_equal(ask(t, q), BLKIF_RSP_OKAY);
}

static void test_index_goes_back(void **state)
{
	struct fixture *t = *state;
	struct queue *q = &t->q[0];

	connect_front(t);
	queue_rw(t, q, BLKIF_OP_READ, 0, 0, 1, 0, 0, 7);
	queue_rw(t, q, BLKIF_OP_READ, 1, 0, 1, 0, 0, 7);
	publish(t, q);
	sring(q)->req_prod = 1;
	notify(t, q);
	assert_int_equal(t->disk.n_log, 2);
	assert_int_equal(host_fake_counter(t->f, "broken-rings"), 1);
	assert_int_equal(take(t, q), 2);
}

/* Answers out of order, a full ring, and requests that come while it is full. */
static void test_full(void **state)
{
	struct fixture *t = *state;
	struct queue *q = &t->q[0];

	connect_front(t);
	t->disk.hold = true;
	for (uint32_t i = 0; i < q->size; i++)
		queue_rw(t, q, BLKIF_OP_READ, i, i, 1, i, 0, 7);
	publish(t, q);
	assert_int_equal(t->disk.in_flight, q->size);
	/* One more than the ring may hold unanswered. */
	sring(q)->req_prod = q->prod + 1;
	notify(t, q);
	assert_int_equal(t->disk.in_flight, q->size);
	assert_int_equal(host_fake_counter(t->f, "broken-rings"), 1);
	t->disk.hold = false;
	block_fake_complete(&t->disk);
	host_fake_run(t->f);
	assert_int_equal(take(t, q), q->size);
}

/* Random bytes as requests: each is answered, nothing is left mapped. */
static void test_noise(void **state)
{
	struct fixture *t = *state;
	struct queue *q = &t->q[0];
	uint32_t r = 1;

	connect_front(t);
	for (int round = 0; round < 300; round++) {
		for (uint32_t i = 0; i < q->size; i++) {
			uint8_t *e = slot(t, q, q->prod++);

			for (uint32_t k = 0; k < t->entry; k++) {
				r = r * 1664525 + 1013904223;
				e[k] = (uint8_t)(r >> 24);
			}
			e[0] &= 7;
			put_u64(e + t->id_at, i);
		}
		publish(t, q);
		assert_int_equal(take(t, q), q->size);
		assert_int_equal(t->x.maps, 1);
	}
}

/* ---- persistent grants ---- */

static void test_persistent(void **state)
{
	struct fixture *t = *state;
	struct queue *q = &t->q[0];

	assert_int_equal(back_number(t, "feature-persistent"), 1);
	connect_front(t);
	for (int i = 0; i < 5; i++) {
		queue_rw(t, q, i & 1 ? BLKIF_OP_READ : BLKIF_OP_WRITE, 0, 0, 4, 0, 0, 7);
		assert_int_equal(ask(t, q), BLKIF_RSP_OKAY);
	}
	assert_int_equal(t->x.grants[DATA_REF].mapped, 1);
	assert_int_equal(t->x.maps, 5);
	assert_int_equal(t->f->dirtied, 2 * 4 * 4096); /* two reads */
	/* A page granted for reading only is not kept. */
	xen_fake_grant(&t->x, DATA_REF + 50, DATA_GPA + 50 * 4096, true);
	queue_rw(t, q, BLKIF_OP_WRITE, 0, 0, 1, 50, 0, 7);
	assert_int_equal(ask(t, q), BLKIF_RSP_OKAY);
	assert_int_equal(t->x.maps, 5);
	state_to(t, 5);
	assert_int_equal(t->x.maps, 0);
}

static void test_persistent_bound(void **state)
{
	struct fixture *t = *state;
	struct queue *q = &t->q[0];

	connect_front(t);
	for (uint32_t i = 0; i < DATA_PAGES - 11; i += 11) {
		queue_rw(t, q, BLKIF_OP_READ, 0, 0, 11, i, 0, 7);
		assert_int_equal(ask(t, q), BLKIF_RSP_OKAY);
		/* The first pages are used again and again, so they stay. */
		queue_rw(t, q, BLKIF_OP_READ, 0, 0, 11, 0, 0, 7);
		assert_int_equal(ask(t, q), BLKIF_RSP_OKAY);
		assert_true(t->x.maps <= BLKGRANT_LIMIT + 1);
	}
	assert_int_equal(t->x.maps, BLKGRANT_LIMIT + 1);
	assert_int_equal(t->x.grants[DATA_REF].mapped, 1);
	queue_rw(t, q, BLKIF_OP_READ, 0, 0, 1, 100, 0, 7);
	assert_int_equal(ask(t, q), BLKIF_RSP_OKAY);
	assert_int_equal(t->x.grants[DATA_REF + 100].mapped, 2); /* went, came back */
}

/* More in flight at once than may be kept. */
static void test_persistent_all_used(void **state)
{
	struct fixture *t = *state;
	struct queue *q = &t->q[0];

	t->pages = 16;
	connect_front(t);
	t->disk.hold = true;
	for (uint32_t i = 0; i < 170; i++)
		queue_rw(t, q, BLKIF_OP_READ, i, 0, 11, i * 11, 0, 7);
	publish(t, q);
	assert_int_equal(t->x.maps, 16 + 170 * 11);
	t->disk.hold = false;
	block_fake_complete(&t->disk);
	host_fake_run(t->f);
	assert_int_equal(take(t, q), 170);
	assert_int_equal(t->x.maps, 16 + BLKGRANT_LIMIT);
}

static void test_persistent_refused(void **state)
{
	struct fixture *t = *state;

	/* The front end does not want it: pages go back at once. */
	putn(t, "feature-persistent", 0);
	connect_front(t);
	queue_rw(t, &t->q[0], BLKIF_OP_READ, 0, 0, 4, 0, 0, 7);
	assert_int_equal(ask(t, &t->q[0]), BLKIF_RSP_OKAY);
	assert_int_equal(t->x.maps, 1);
}

/* ---- life ---- */

static void test_pause(void **state)
{
	struct fixture *t = *state;
	struct queue *q = &t->q[0];

	connect_front(t);
	t->disk.hold = true;
	queue_rw(t, q, BLKIF_OP_READ, 0, 0, 4, 0, 0, 7);
	publish(t, q);
	assert_int_equal(t->disk.in_flight, 1);
	blkback_pause(t->back);
	assert_int_equal(t->disk.in_flight, 0);
	assert_int_equal(t->x.maps, 0);
	assert_int_equal(take(t, q), 1);
	t->disk.hold = false;
	/* A request that is already in the ring is found on resume. */
	queue_rw(t, q, BLKIF_OP_READ, 1, 0, 4, 0, 0, 7);
	publish(t, q);
	assert_int_equal(take(t, q), 0);
	blkback_resume(t->back);
	host_fake_run(t->f);
	assert_int_equal(take(t, q), 1);
}

static void test_resume_without_ring(void **state)
{
	struct fixture *t = *state;

	connect_front(t);
	blkback_pause(t->back);
	xen_fake_revoke(&t->x, RING_REF);
	blkback_resume(t->back);
	host_fake_run(t->f);
	assert_int_equal(back_number(t, "state"), 5);
	notify(t, &t->q[0]);
}

static void test_reset(void **state)
{
	struct fixture *t = *state;

	connect_front(t);
	queue_rw(t, &t->q[0], BLKIF_OP_READ, 0, 0, 4, 0, 0, 7);
	assert_int_equal(ask(t, &t->q[0]), BLKIF_RSP_OKAY);
	blkback_pause(t->back);
	assert_int_equal(xenbus_reset(t->bus), 0);
	assert_int_equal(blkback_reset(t->back), 0);
	blkback_resume(t->back);
	host_fake_run(t->f);
	assert_int_equal(back_number(t, "state"), 2);
	assert_int_equal(t->x.maps, 0);
	t->x.ports[t->q[0].port].open = false;
	connect_front(t);
	queue_rw(t, &t->q[0], BLKIF_OP_READ, 0, 0, 4, 0, 0, 7);
	assert_int_equal(ask(t, &t->q[0]), BLKIF_RSP_OKAY);
}

/* What is in flight at the end is written, and safe. */
static void test_stop(void **state)
{
	struct fixture *t = *state;

	connect_front(t);
	fill(data(t, 0), 4096, 9);
	t->disk.hold = true;
	queue_rw(t, &t->q[0], BLKIF_OP_WRITE, 0, 0, 1, 0, 0, 7);
	publish(t, &t->q[0]);
	blkback_stop(t->back);
	assert_memory_equal(t->disk.stable, data(t, 0), 4096);
	assert_null(xenbus_ops.read(t->bus, FRONT, NULL));
	assert_null(xenbus_ops.read(t->bus, BACK, NULL));
}

static void test_same_name_twice(void **state)
{
	struct fixture *t = *state;
	struct blkback_config c = {
	        .host = t->f->host,
	        .inst = t->f->inst,
	        .block = &t->disk.block,
	        .dev = "xvda",
	        .devid = 51712,
	        .max_queues = 1,
	};
	struct blkback *second = blkback_create(&c);

	assert_int_equal(blkback_start(second, &t->peers, BLKBACK_DISK), -EEXIST);
	assert_non_null(strstr(t->f->last_fail, "xvda"));
	blkback_destroy(second);
	assert_int_equal(back_number(t, "state"), 2);
}

#define T(name)     cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TS(name, s) cmocka_unit_test_setup_teardown(name, s, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        T(test_offer),
	        TS(test_readonly, setup_readonly),
	        T(test_close_and_again),
	        T(test_starts_over),
	        T(test_front_vanishes),
	        T(test_bad_terms),
	        T(test_any_states),
	        T(test_log_is_bounded),
	        T(test_read_write),
	        TS(test_32_bit, setup_32),
	        T(test_native_protocol),
	        T(test_large_ring),
	        T(test_queues),
	        T(test_indirect),
	        T(test_indirect_bad),
	        T(test_indirect_many),
	        T(test_flush),
	        T(test_discard),
	        T(test_unsupported),
	        T(test_bad_requests),
	        T(test_readonly_grant),
	        T(test_io_errors),
	        T(test_batching),
	        T(test_bad_index),
	        T(test_index_goes_back),
	        T(test_full),
	        T(test_noise),
	        TS(test_noise, setup_persistent),
	        TS(test_noise, setup_32),
	        TS(test_persistent, setup_persistent),
	        TS(test_persistent_bound, setup_persistent),
	        TS(test_persistent_all_used, setup_persistent),
	        TS(test_persistent_refused, setup_persistent),
	        T(test_pause),
	        TS(test_pause, setup_persistent),
	        T(test_resume_without_ring),
	        T(test_reset),
	        T(test_stop),
	        T(test_same_name_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
