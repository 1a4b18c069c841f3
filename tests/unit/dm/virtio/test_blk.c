/* SPDX-License-Identifier: MIT */
/* virtio-blk with a driver written here, over a disk in memory. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <linux/virtio_blk.h>

#include "dm/virtio/blk.h"
#include "fake/block-fake.h"
#include "fake/virtio-rig.h"

#define RAM    (4ull << 20)
#define DISK   (1u << 20)
#define RING   0x10000u
#define RING2  0x20000u
#define HEADER 0x100000u
#define STATUS 0x101000u
#define DATA   0x110000u
#define V1     VIRTIO_FEATURE(VIRTIO_F_VERSION_1)
#define FLUSH  VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH)
#define ALL                                                                                                            \
	(V1 | FLUSH | VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC) | VIRTIO_FEATURE(VIRTIO_BLK_F_DISCARD) |             \
	 VIRTIO_FEATURE(VIRTIO_BLK_F_WRITE_ZEROES) | VIRTIO_FEATURE(VIRTIO_BLK_F_CONFIG_WCE) |                         \
	 VIRTIO_FEATURE(VIRTIO_BLK_F_MQ) | VIRTIO_FEATURE(VIRTIO_F_RING_RESET))

struct fixture {
	struct host_fake *f;
	struct block_fake disk;
	struct vblk *blk;
	struct virtio_rig r;
	struct virtio_ring ring;
};

static void make(struct fixture *t)
{
	struct vblk_config c = {.host = t->f->host, .inst = t->f->inst, .block = &t->disk.block, .n_queues = 2,
	                        .serial = "serial-0123456789abcdef"};

	t->blk = vblk_create(&c);
	assert_non_null(t->blk);
	virtio_rig_init(&t->r, t->f, vblk_device(t->blk));
}

static int setup(void **state)
{
	struct fixture *t = calloc(1, sizeof(*t));

	t->f = host_fake_create(RAM, 1);
	block_fake_init(&t->disk, DISK);
	for (uint32_t i = 0; i < DISK; i++)
		t->disk.data[i] = (uint8_t)(i * 7 + i / 512);
	t->disk.at_once = true;
	make(t);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *t = *state;

	virtio_power_on(t->r.dev);
	vblk_destroy(t->blk);
	assert_int_equal(t->disk.n_refused, 0);
	block_fake_finish(&t->disk);
	assert_int_equal(host_fake_destroy(t->f), 0);
	free(t);
	return 0;
}

static void go(struct fixture *t, uint64_t features)
{
	assert_true(virtio_rig_features(&t->r, features));
	virtio_ring_init(&t->ring, &t->r, 0, RING, 64);
	virtio_rig_driver_ok(&t->r);
}

/* The status after a request with this data, all of it in one buffer each; `len` is what the device wrote. */
static uint8_t request(struct fixture *t, uint32_t type, uint64_t sector, uint32_t length, uint32_t *len)
{
	struct virtio_blk_outhdr *h = (void *)(t->f->ram + HEADER);
	bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	struct virtio_buf buf[3] = {{HEADER, sizeof(*h)}, {DATA, length}, {STATUS, 1}};
	struct vring_used_elem elem = {0};
	uint16_t head;

	*h = (struct virtio_blk_outhdr){.type = type, .sector = sector};
	t->f->ram[STATUS] = 0xee;
	if (!length)
		buf[1] = buf[2];
	head = virtio_ring_add(&t->ring, buf, in || !length ? 1 : 2, !length || !in ? 1 : 2);
	virtio_ring_kick(&t->ring);
	assert_true(virtio_ring_used(&t->ring, &elem));
	assert_int_equal(elem.id, head);
	if (len)
		*len = elem.len;
	assert_false(virtio_ring_used(&t->ring, &elem));
	return t->f->ram[STATUS];
}

/* ---- data ---- */

static void reads(void **state)
{
	struct fixture *t = *state;
	uint32_t len;

	go(t, ALL);
	assert_int_equal(request(t, VIRTIO_BLK_T_IN, 3, 4096, &len), VIRTIO_BLK_S_OK);
	assert_int_equal(len, 4097);
	assert_memory_equal(t->f->ram + DATA, t->disk.data + 3 * 512, 4096);
	assert_int_equal(t->disk.n_at_once, 1);
	assert_int_equal(t->disk.kicks, 0);
	assert_int_equal(t->r.irqs[0], 1);
	assert_int_equal(host_fake_counter(t->f, "virtio-blk requests"), 1);
	assert_int_equal(host_fake_counter(t->f, "virtio driver ok"), 1);
}

static void reads_on_io(void **state)
{
	struct fixture *t = *state;

	t->disk.at_once = false;
	go(t, ALL);
	assert_int_equal(request(t, VIRTIO_BLK_T_IN, 3, 4096, NULL), VIRTIO_BLK_S_OK);
	assert_memory_equal(t->f->ram + DATA, t->disk.data + 3 * 512, 4096);
	assert_int_equal(t->disk.kicks, 1);
}

static void writes(void **state)
{
	struct fixture *t = *state;
	uint32_t len;

	go(t, ALL);
	memset(t->f->ram + DATA, 0x5a, 1024);
	assert_int_equal(request(t, VIRTIO_BLK_T_OUT, 8, 1024, &len), VIRTIO_BLK_S_OK);
	assert_int_equal(len, 1);
	assert_memory_equal(t->disk.data + 8 * 512, t->f->ram + DATA, 1024);
	assert_memory_not_equal(t->disk.stable + 8 * 512, t->f->ram + DATA, 1024);
	assert_int_equal(request(t, VIRTIO_BLK_T_FLUSH, 0, 0, NULL), VIRTIO_BLK_S_OK);
	assert_memory_equal(t->disk.stable + 8 * 512, t->f->ram + DATA, 1024);
}

/* Without FLUSH, and with write-through chosen, what is answered is safe. */
static void write_through(void **state)
{
	struct fixture *t = *state;

	go(t, ALL & ~FLUSH & ~VIRTIO_FEATURE(VIRTIO_BLK_F_CONFIG_WCE));
	memset(t->f->ram + DATA, 0x5a, 1024);
	assert_int_equal(request(t, VIRTIO_BLK_T_OUT, 8, 1024, NULL), VIRTIO_BLK_S_OK);
	assert_memory_equal(t->disk.stable + 8 * 512, t->f->ram + DATA, 1024);
	virtio_set_status(t->r.dev, 0);
	go(t, ALL);
	assert_int_equal(virtio_config_read(t->r.dev, offsetof(struct virtio_blk_config, wce), 1), 1);
	virtio_config_write(t->r.dev, offsetof(struct virtio_blk_config, wce), 1, 0);
	assert_int_equal(virtio_config_read(t->r.dev, offsetof(struct virtio_blk_config, wce), 1), 0);
	memset(t->f->ram + DATA, 0xa5, 1024);
	assert_int_equal(request(t, VIRTIO_BLK_T_OUT, 8, 1024, NULL), VIRTIO_BLK_S_OK);
	assert_memory_equal(t->disk.stable + 8 * 512, t->f->ram + DATA, 1024);
	virtio_set_status(t->r.dev, 0);
	assert_int_equal(virtio_config_read(t->r.dev, offsetof(struct virtio_blk_config, wce), 1), 1);
}

/* Header, data and status cut anywhere (2.7.4). */
static void any_framing(void **state)
{
	struct fixture *t = *state;
	struct virtio_blk_outhdr h = {.type = VIRTIO_BLK_T_OUT, .sector = 4};
	struct virtio_buf out[] = {{DATA, 5}, {DATA + 5, 20}, {DATA + 25, 503}, {STATUS, 1}};
	struct virtio_buf in[] = {{HEADER, 16}, {DATA, 100}, {DATA + 100, 413}};
	struct vring_used_elem elem = {0};

	go(t, ALL);
	memcpy(t->f->ram + DATA, &h, 16);
	memset(t->f->ram + DATA + 16, 0x77, 512);
	virtio_ring_add(&t->ring, out, 3, 1);
	virtio_ring_kick(&t->ring);
	assert_int_equal(t->f->ram[STATUS], VIRTIO_BLK_S_OK);
	assert_memory_equal(t->disk.data + 4 * 512, t->f->ram + DATA + 16, 512);
	h.type = VIRTIO_BLK_T_IN;
	memcpy(t->f->ram + HEADER, &h, 16);
	memset(t->f->ram + DATA, 0xff, 513);
	virtio_ring_add(&t->ring, in, 1, 2);
	virtio_ring_kick(&t->ring);
	assert_int_equal(t->f->ram[DATA + 512], VIRTIO_BLK_S_OK);
	assert_memory_equal(t->f->ram + DATA, t->disk.data + 4 * 512, 512);
	assert_true(virtio_ring_used(&t->ring, &elem));
	assert_true(virtio_ring_used(&t->ring, &elem));
	assert_int_equal(elem.len, 513);
}

/* Many pieces, more than a request has room for by itself, on both threads. */
static void many_pieces(void **state)
{
	struct fixture *t = *state;
	struct vring_desc *table = (void *)(t->f->ram + 0x180000);
	struct virtio_blk_outhdr *h = (void *)(t->f->ram + HEADER);

	for (int at_once = 0; at_once < 2; at_once++) {
		virtio_set_status(t->r.dev, 0);
		go(t, ALL);
		t->disk.at_once = at_once;
		*h = (struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_IN, .sector = 1};
		table[0] = (struct vring_desc){.addr = HEADER, .len = 16, .flags = VRING_DESC_F_NEXT, .next = 1};
		for (uint16_t i = 1; i <= 256; i++)
			table[i] = (struct vring_desc){.addr = DATA + 1024u * (256u - i),
			                               .len = 512,
			                               .flags = VRING_DESC_F_NEXT | VRING_DESC_F_WRITE,
			                               .next = (uint16_t)(i + 1)};
		table[257] = (struct vring_desc){.addr = STATUS, .len = 1, .flags = VRING_DESC_F_WRITE};
		t->ring.desc[0] = (struct vring_desc){.addr = 0x180000, .len = 258 * 16, .flags = VRING_DESC_F_INDIRECT};
		virtio_ring_offer(&t->ring, 0);
		t->f->ram[STATUS] = 0xee;
		virtio_ring_kick(&t->ring);
		assert_int_equal(t->f->ram[STATUS], VIRTIO_BLK_S_OK);
		for (uint32_t i = 1; i <= 256; i++)
			assert_memory_equal(t->f->ram + DATA + 1024u * (256u - i), t->disk.data + i * 512, 512);
	}
}

/* ---- the other operations ---- */

static void serial(void **state)
{
	struct fixture *t = *state;

	go(t, ALL);
	assert_int_equal(request(t, VIRTIO_BLK_T_GET_ID, 0, 20, NULL), VIRTIO_BLK_S_OK);
	assert_memory_equal(t->f->ram + DATA, "serial-0123456789abc", 20);
}

static void set_range(struct fixture *t, uint32_t i, uint64_t sector, uint32_t n, uint32_t flags)
{
	struct virtio_blk_discard_write_zeroes *r = (void *)(t->f->ram + DATA);

	r[i] = (struct virtio_blk_discard_write_zeroes){.sector = sector, .num_sectors = n, .flags = flags};
}

static void discards(void **state)
{
	static const uint8_t zeros[1024];
	struct fixture *t = *state;

	go(t, ALL);
	set_range(t, 0, 2, 2, 0);
	set_range(t, 1, 9, 0, 0);
	set_range(t, 2, 100, 1, 0);
	assert_int_equal(request(t, VIRTIO_BLK_T_DISCARD, 0, 48, NULL), VIRTIO_BLK_S_OK);
	assert_memory_equal(t->disk.data + 1024, zeros, 1024);
	assert_memory_equal(t->disk.data + 51200, zeros, 512);
	assert_memory_not_equal(t->disk.data + 9 * 512, zeros, 512);
	assert_int_equal(t->disk.n_log, 2);
	set_range(t, 0, 20, 2, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP);
	assert_int_equal(request(t, VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, NULL), VIRTIO_BLK_S_OK);
	assert_memory_equal(t->disk.data + 20 * 512, zeros, 1024);
	assert_int_equal(t->disk.log[2].op, BLOCK_WRITE_ZEROES);
}

static void wrong_ranges(void **state)
{
	struct fixture *t = *state;

	go(t, ALL);
	set_range(t, 0, 2, 2, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP);
	assert_int_equal(request(t, VIRTIO_BLK_T_DISCARD, 0, 16, NULL), VIRTIO_BLK_S_UNSUPP);
	set_range(t, 0, 2, 2, 2);
	assert_int_equal(request(t, VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, NULL), VIRTIO_BLK_S_UNSUPP);
	set_range(t, 0, DISK / 512 - 1, 2, 0);
	assert_int_equal(request(t, VIRTIO_BLK_T_DISCARD, 0, 16, NULL), VIRTIO_BLK_S_IOERR);
	set_range(t, 0, UINT64_MAX, 2, 0);
	assert_int_equal(request(t, VIRTIO_BLK_T_DISCARD, 0, 16, NULL), VIRTIO_BLK_S_IOERR);
	set_range(t, 0, 0, UINT32_MAX, 0);
	assert_int_equal(request(t, VIRTIO_BLK_T_DISCARD, 0, 16, NULL), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(t, VIRTIO_BLK_T_DISCARD, 0, 15, NULL), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(t, VIRTIO_BLK_T_DISCARD, 0, 17 * 16, NULL), VIRTIO_BLK_S_IOERR);
	assert_int_equal(t->disk.n_log, 0);
	assert_int_equal(host_fake_counter(t->f, "bad requests"), 7);
}

/* ---- refusals and errors ---- */

static void beyond_the_end(void **state)
{
	struct fixture *t = *state;

	go(t, ALL);
	memset(t->f->ram + DATA, 0xcc, 1024);
	assert_int_equal(request(t, VIRTIO_BLK_T_IN, DISK / 512 - 1, 1024, NULL), VIRTIO_BLK_S_IOERR);
	assert_int_equal(t->f->ram[DATA], 0); /* nothing of it is left */
	assert_int_equal(request(t, VIRTIO_BLK_T_IN, UINT64_MAX, 512, NULL), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(t, VIRTIO_BLK_T_OUT, UINT64_MAX / 512, 512, NULL), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(t, VIRTIO_BLK_T_IN, 0, 511, NULL), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(t, VIRTIO_BLK_T_IN, 0, 0, NULL), VIRTIO_BLK_S_OK);
	assert_int_equal(request(t, 99, 0, 512, NULL), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(request(t, UINT32_MAX, 0, 0, NULL), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(t->disk.n_log + t->disk.n_at_once, 0);
}

static void host_errors(void **state)
{
	struct fixture *t = *state;

	go(t, ALL);
	t->disk.fail = -EIO;
	assert_int_equal(request(t, VIRTIO_BLK_T_IN, 0, 512, NULL), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(t, VIRTIO_BLK_T_FLUSH, 0, 0, NULL), VIRTIO_BLK_S_IOERR);
	t->disk.fail = -EOPNOTSUPP;
	set_range(t, 0, 0, 1, 0);
	assert_int_equal(request(t, VIRTIO_BLK_T_DISCARD, 0, 16, NULL), VIRTIO_BLK_S_UNSUPP);
	t->disk.fail = 0;
	t->disk.refuse = -EIO;
	assert_int_equal(request(t, VIRTIO_BLK_T_OUT, 0, 512, NULL), VIRTIO_BLK_S_IOERR);
	assert_int_equal(host_fake_counter(t->f, "I/O errors"), 4);
}

static void read_only(void **state)
{
	struct fixture *t = *state;
	uint64_t offered;

	vblk_destroy(t->blk);
	t->disk.block.info.readonly = true;
	make(t);
	offered = virtio_offered(t->r.dev, 0);
	assert_true(offered & VIRTIO_FEATURE(VIRTIO_BLK_F_RO));
	assert_false(offered & VIRTIO_FEATURE(VIRTIO_BLK_F_DISCARD));
	go(t, V1 | FLUSH);
	assert_int_equal(request(t, VIRTIO_BLK_T_OUT, 0, 512, NULL), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(t, VIRTIO_BLK_T_DISCARD, 0, 16, NULL), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(request(t, VIRTIO_BLK_T_IN, 0, 512, NULL), VIRTIO_BLK_S_OK);
}

/* ---- broken rings ---- */

static void no_room_for_status(void **state)
{
	struct fixture *t = *state;
	struct virtio_buf buf[] = {{HEADER, 16}, {DATA, 512}};
	struct vring_used_elem elem = {0};

	go(t, ALL);
	memset(t->f->ram + HEADER, 0, 16);
	virtio_ring_add(&t->ring, buf, 2, 0);
	virtio_ring_kick(&t->ring);
	assert_false(virtio_ring_used(&t->ring, &elem));
	assert_true(virtio_status(t->r.dev) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(t->r.config_irqs, 1);
	assert_int_equal(host_fake_counter(t->f, "rings broken"), 1);
	virtio_ring_kick(&t->ring);
	assert_int_equal(host_fake_counter(t->f, "rings broken"), 1);
	/* A reset mends it. */
	virtio_set_status(t->r.dev, 0);
	assert_int_equal(virtio_status(t->r.dev), 0);
	go(t, ALL);
	assert_int_equal(request(t, VIRTIO_BLK_T_IN, 3, 512, NULL), VIRTIO_BLK_S_OK);
}

static void rings_that_are_not_there(void **state)
{
	struct fixture *t = *state;

	assert_true(virtio_rig_features(&t->r, ALL));
	virtio_set_address(virtio_queue(t->r.dev, 0), &virtio_queue(t->r.dev, 0)->used, true, 1);
	virtio_enable(t->r.dev, 0);
	virtio_rig_driver_ok(&t->r);
	assert_true(virtio_status(t->r.dev) & VIRTIO_CONFIG_S_NEEDS_RESET);
	virtio_notify(t->r.dev, 0);
	virtio_notify(t->r.dev, 1);
	virtio_notify(t->r.dev, 77);
	host_fake_run(t->f);
	assert_int_equal(t->f->gets, 0);
}

/* ---- negotiation ---- */

static void negotiation(void **state)
{
	struct fixture *t = *state;

	assert_false(virtio_rig_features(&t->r, ALL & ~V1)); /* a legacy driver */
	virtio_rig_driver_ok(&t->r);
	assert_false(virtio_status(t->r.dev) & VIRTIO_CONFIG_S_DRIVER_OK);
	virtio_set_status(t->r.dev, 0);
	assert_false(virtio_rig_features(&t->r, ALL | VIRTIO_FEATURE(VIRTIO_F_RING_PACKED)));
	virtio_set_status(t->r.dev, 0);
	assert_true(virtio_rig_features(&t->r, V1));
	/* Chosen is chosen. */
	virtio_accept(t->r.dev, 0, UINT32_MAX);
	assert_int_equal(virtio_accepted(t->r.dev, 0), 0);
	assert_int_equal(virtio_offered(t->r.dev, 2), 0);
}

static void nothing_before_driver_ok(void **state)
{
	struct fixture *t = *state;
	struct virtio_buf buf[] = {{HEADER, 16}, {STATUS, 1}};
	struct virtio_blk_outhdr *h = (void *)(t->f->ram + HEADER);
	struct vring_used_elem elem = {0};

	assert_true(virtio_rig_features(&t->r, ALL));
	virtio_ring_init(&t->ring, &t->r, 0, RING, 64);
	*h = (struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_FLUSH};
	virtio_ring_add(&t->ring, buf, 1, 1);
	virtio_ring_kick(&t->ring);
	assert_false(virtio_ring_used(&t->ring, &elem));
	virtio_rig_driver_ok(&t->r);
	host_fake_run(t->f);
	assert_true(virtio_ring_used(&t->ring, &elem));
}

static void config_space(void **state)
{
	struct fixture *t = *state;
	struct virtio_dev *dev = t->r.dev;

	assert_int_equal(virtio_config_read(dev, 0, 8), DISK / 512);
	assert_int_equal(virtio_config_read(dev, offsetof(struct virtio_blk_config, num_queues), 2), 2);
	assert_int_equal(virtio_config_read(dev, offsetof(struct virtio_blk_config, blk_size), 4), 512);
	assert_true(virtio_config_read(dev, offsetof(struct virtio_blk_config, seg_max), 4) > 100);
	assert_int_equal(virtio_config_read(dev, 4096, 8), 0);
	assert_int_equal(virtio_config_read(dev, UINT64_MAX, 8), 0);
	virtio_config_write(dev, UINT64_MAX, 8, 0);
	virtio_config_write(dev, 0, 8, 0);
	assert_int_equal(virtio_config_read(dev, 0, 8), DISK / 512);
}

/* ---- life ---- */

/* Three in flight, on the host for long; the pause waits for them, and the guest has them after it. */
static void pause_in_flight(void **state)
{
	struct fixture *t = *state;
	struct virtio_blk_outhdr *h = (void *)(t->f->ram + HEADER);
	struct virtio_buf buf[] = {{HEADER, 16}, {DATA, 512}, {STATUS, 1}};
	struct vring_used_elem elem = {0};

	t->disk.at_once = false;
	t->disk.hold = true;
	go(t, ALL);
	*h = (struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_IN};
	for (int i = 0; i < 3; i++)
		virtio_ring_add(&t->ring, buf, 1, 2);
	virtio_ring_kick(&t->ring);
	assert_int_equal(t->disk.in_flight, 3);
	virtio_notify(t->r.dev, 0);
	virtio_ring_add(&t->ring, buf, 1, 2);
	virtio_notify(t->r.dev, 0); /* taken, and not submitted yet */
	virtio_pause(t->r.dev);
	assert_int_equal(t->f->gets, 0);
	assert_int_equal(t->ring.used->idx, 4);
	for (int i = 0; i < 4; i++)
		assert_true(virtio_ring_used(&t->ring, &elem));
	virtio_ring_add(&t->ring, buf, 1, 2); /* restored with the guest, say */
	t->disk.hold = false;
	virtio_resume(t->r.dev);
	host_fake_run(t->f);
	assert_true(virtio_ring_used(&t->ring, &elem));
}

/* A ring that the guest gives away meanwhile. */
static void pause_without_ring(void **state)
{
	struct fixture *t = *state;

	go(t, ALL);
	virtio_pause(t->r.dev);
	t->f->hole[RING >> 12] = 1;
	virtio_resume(t->r.dev);
	assert_true(virtio_status(t->r.dev) & VIRTIO_CONFIG_S_NEEDS_RESET);
	host_fake_run(t->f);
	t->f->hole[RING >> 12] = 0;
}

static void *finish_later(void *opaque)
{
	struct timespec ts = {.tv_nsec = 50000000};
	struct fixture *t = opaque;

	nanosleep(&ts, NULL);
	t->disk.hold = false;
	block_fake_complete(&t->disk);
	return NULL;
}

/* The write that resets waits for what is in flight, which is never answered. */
static void reset_in_flight(void **state)
{
	struct fixture *t = *state;
	struct virtio_blk_outhdr *h = (void *)(t->f->ram + HEADER);
	struct virtio_buf buf[] = {{HEADER, 16}, {DATA, 512}, {STATUS, 1}};
	pthread_t thread;

	t->disk.at_once = false;
	t->disk.hold = true;
	go(t, ALL);
	*h = (struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_IN};
	virtio_ring_add(&t->ring, buf, 1, 2);
	virtio_ring_kick(&t->ring);
	virtio_ring_add(&t->ring, buf, 1, 2);
	virtio_notify(t->r.dev, 0);
	pthread_create(&thread, NULL, finish_later, t);
	virtio_set_status(t->r.dev, 0);
	assert_int_equal(t->disk.in_flight, 0);
	assert_int_equal(t->f->gets, 0);
	assert_int_equal(t->ring.used->idx, 0);
	pthread_join(thread, NULL);
	host_fake_run(t->f);
	go(t, ALL);
	assert_int_equal(request(t, VIRTIO_BLK_T_IN, 0, 512, NULL), VIRTIO_BLK_S_OK);
}

static void one_queue_reset(void **state)
{
	struct fixture *t = *state;
	struct virtio_ring other;

	go(t, ALL);
	virtio_ring_init(&other, &t->r, 1, RING2, 16);
	assert_int_equal(request(t, VIRTIO_BLK_T_IN, 0, 512, NULL), VIRTIO_BLK_S_OK);
	virtio_queue_reset(t->r.dev, 0);
	assert_false(virtio_queue(t->r.dev, 0)->enabled);
	assert_true(virtio_queue(t->r.dev, 1)->live);
	virtio_ring_init(&t->ring, &t->r, 0, RING, 32);
	assert_int_equal(request(t, VIRTIO_BLK_T_IN, 0, 512, NULL), VIRTIO_BLK_S_OK);
}

/* A device whose bus mastering is off is not let at memory. */
static void without_dma(void **state)
{
	struct fixture *t = *state;
	struct vring_used_elem elem = {0};
	struct virtio_buf buf[] = {{HEADER, 16}, {STATUS, 1}};

	go(t, ALL);
	virtio_set_dma(t->r.dev, false);
	assert_int_equal(t->f->gets, 0);
	*(struct virtio_blk_outhdr *)(t->f->ram + HEADER) = (struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_FLUSH};
	virtio_ring_add(&t->ring, buf, 1, 1);
	virtio_ring_kick(&t->ring);
	assert_false(virtio_ring_used(&t->ring, &elem));
	virtio_set_dma(t->r.dev, true);
	host_fake_run(t->f);
	assert_true(virtio_ring_used(&t->ring, &elem));
}

/* More in one notification than a vCPU moves by itself: the rest is [io]'s. */
static void budget(void **state)
{
	struct fixture *t = *state;
	struct virtio_blk_outhdr *h = (void *)(t->f->ram + HEADER);
	struct virtio_buf buf[] = {{HEADER, 16}, {DATA, 512 << 10}, {STATUS, 1}};

	go(t, ALL);
	*h = (struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_IN};
	for (int i = 0; i < 4; i++)
		virtio_ring_add(&t->ring, buf, 1, 2);
	virtio_notify(t->r.dev, 0);
	assert_int_equal(t->disk.n_at_once, 2);
	assert_int_equal(t->ring.used->idx, 2);
	host_fake_run(t->f);
	assert_int_equal(t->ring.used->idx, 4);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(reads),
	        TEST(reads_on_io),
	        TEST(writes),
	        TEST(write_through),
	        TEST(any_framing),
	        TEST(many_pieces),
	        TEST(serial),
	        TEST(discards),
	        TEST(wrong_ranges),
	        TEST(beyond_the_end),
	        TEST(host_errors),
	        TEST(read_only),
	        TEST(no_room_for_status),
	        TEST(rings_that_are_not_there),
	        TEST(negotiation),
	        TEST(nothing_before_driver_ok),
	        TEST(config_space),
	        TEST(pause_in_flight),
	        TEST(pause_without_ring),
	        TEST(reset_in_flight),
	        TEST(one_queue_reset),
	        TEST(without_dma),
	        TEST(budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
