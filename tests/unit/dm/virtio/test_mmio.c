/* SPDX-License-Identifier: MIT */
/* virtio-blk in a device slot that is a fake: its registers and its interrupt. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_mmio.h>

#include "dm/virtio/blk.h"
#include "dm/virtio/place.h"
#include "fake/block-fake.h"
#include "fake/virtio-rig.h"

#define RING   0x10000u
#define HEADER 0x100000u
#define STATUS 0x101000u

struct fixture {
	struct host_fake *f;
	struct block_fake disk;
	struct vblk *blk;
	struct virtio_place place;
	const struct gamut_io_ops *ops;
	void *opaque;
	uint32_t level;
	int refuse;
	struct virtio_rig r;
	struct virtio_ring ring;
};

static int slot_add(void *self, struct gamut_inst *inst, const char *hid, uint32_t len, const struct gamut_io_ops *ops,
                    void *opaque, struct gamut_slot **slot)
{
	struct fixture *t = self;

	assert_ptr_equal(inst, t->f->inst);
	assert_string_equal(hid, "LNRO0005");
	assert_true(len >= 0x200);
	t->ops = ops;
	t->opaque = opaque;
	*slot = self;
	return t->refuse;
}

static void slot_irq(void *self, struct gamut_slot *slot, uint32_t level)
{
	assert_ptr_equal(self, slot);
	((struct fixture *)self)->level = level;
}

static const struct gamut_slots_ops slots = {.size = sizeof(slots), .add = slot_add, .irq = slot_irq};

static uint64_t get(struct fixture *t, uint64_t at, uint32_t width)
{
	return t->ops->read(t->opaque, at, width);
}

static void set(struct fixture *t, uint64_t at, uint64_t value)
{
	t->ops->write(t->opaque, at, 4, value);
}

static int setup(void **state)
{
	struct fixture *t = calloc(1, sizeof(*t));
	struct vblk_config b = {.block = &t->disk.block, .n_queues = 2};
	struct virtio_pci_config none = {0};

	t->f = host_fake_create(4 << 20, 1);
	block_fake_init(&t->disk, 1 << 20);
	b.host = t->f->host;
	b.inst = t->f->inst;
	t->blk = vblk_create(&b);
	/* With neither bus nor slots there is no place; with a full one neither. */
	assert_int_equal(virtio_place_start(&t->place, vblk_device(t->blk), &none), -ENODEV);
	host_fake_give(t->f, GAMUT_SLOTS, GAMUT_SLOTS_REVISION, &slots, t);
	t->refuse = -ENOSPC;
	assert_int_equal(virtio_place_start(&t->place, vblk_device(t->blk), &none), -ENOSPC);
	t->refuse = 0;
	assert_int_equal(virtio_place_start(&t->place, vblk_device(t->blk), &none), 0);
	t->r.f = t->f;
	t->r.dev = vblk_device(t->blk);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *t = *state;

	virtio_pause(vblk_device(t->blk));
	virtio_place_stop(&t->place);
	vblk_destroy(t->blk);
	block_fake_finish(&t->disk);
	assert_int_equal(host_fake_destroy(t->f), 0);
	free(t);
	return 0;
}

static void start(struct fixture *t)
{
	set(t, VIRTIO_MMIO_STATUS, 0);
	set(t, VIRTIO_MMIO_STATUS, 3);
	set(t, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	assert_true(get(t, VIRTIO_MMIO_DEVICE_FEATURES, 4) & 1);
	set(t, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	set(t, VIRTIO_MMIO_DRIVER_FEATURES, 1);
	set(t, VIRTIO_MMIO_STATUS, 11);
	assert_int_equal(get(t, VIRTIO_MMIO_STATUS, 4), 11);
	virtio_ring_init(&t->ring, &t->r, 99, RING, 16);
	set(t, VIRTIO_MMIO_QUEUE_SEL, 0);
	assert_int_equal(get(t, VIRTIO_MMIO_QUEUE_NUM_MAX, 4), 256);
	assert_int_equal(get(t, VIRTIO_MMIO_QUEUE_READY, 4), 0);
	set(t, VIRTIO_MMIO_QUEUE_NUM, 16);
	set(t, VIRTIO_MMIO_QUEUE_DESC_LOW, RING);
	set(t, VIRTIO_MMIO_QUEUE_DESC_HIGH, 0);
	set(t, VIRTIO_MMIO_QUEUE_AVAIL_LOW, virtio_ring_avail_at(RING));
	set(t, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, 0);
	set(t, VIRTIO_MMIO_QUEUE_USED_LOW, virtio_ring_used_at(RING));
	set(t, VIRTIO_MMIO_QUEUE_USED_HIGH, 0);
	set(t, VIRTIO_MMIO_QUEUE_READY, 1);
	assert_int_equal(get(t, VIRTIO_MMIO_QUEUE_READY, 4), 1);
	set(t, VIRTIO_MMIO_STATUS, 15);
}

static bool flush(struct fixture *t)
{
	struct virtio_buf buf[] = {{HEADER, 16}, {STATUS, 1}};
	struct vring_used_elem elem;

	*(struct virtio_blk_outhdr *)(t->f->ram + HEADER) = (struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_FLUSH};
	virtio_ring_add(&t->ring, buf, 1, 1);
	set(t, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	host_fake_run(t->f);
	return virtio_ring_used(&t->ring, &elem);
}

static void identity(void **state)
{
	struct fixture *t = *state;

	assert_int_equal(get(t, VIRTIO_MMIO_MAGIC_VALUE, 4), 0x74726976);
	assert_int_equal(get(t, VIRTIO_MMIO_VERSION, 4), 2);
	assert_int_equal(get(t, VIRTIO_MMIO_DEVICE_ID, 4), 2);
	assert_int_equal(get(t, VIRTIO_MMIO_SHM_LEN_LOW, 4), UINT32_MAX);
	assert_int_equal(get(t, VIRTIO_MMIO_CONFIG, 8), (1 << 20) / 512);
	assert_int_equal(get(t, VIRTIO_MMIO_CONFIG + 1, 1), (1 << 20) / 512 >> 8);
	assert_int_equal(get(t, VIRTIO_MMIO_MAGIC_VALUE, 1), 0);
	for (uint32_t at = 0; at < 0x1000; at += 4)
		get(t, at, 4);
}

static void interrupt(void **state)
{
	struct fixture *t = *state;

	start(t);
	assert_true(flush(t));
	assert_int_equal(t->level, 1);
	assert_int_equal(get(t, VIRTIO_MMIO_INTERRUPT_STATUS, 4), VIRTIO_MMIO_INT_VRING);
	set(t, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_CONFIG);
	assert_int_equal(t->level, 1);
	set(t, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
	assert_int_equal(t->level, 0);
	t->ring.avail->idx = 999;
	set(t, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	assert_int_equal(get(t, VIRTIO_MMIO_INTERRUPT_STATUS, 4), VIRTIO_MMIO_INT_CONFIG);
	assert_int_equal(get(t, VIRTIO_MMIO_STATUS, 4), 15 | VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(get(t, VIRTIO_MMIO_CONFIG_GENERATION, 4), 1);
	set(t, VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(t->level, 0);
	assert_int_equal(get(t, VIRTIO_MMIO_STATUS, 4), 0);
}

/* A driver gives a queue back by saying that it is not ready. */
static void queue_given_back(void **state)
{
	struct fixture *t = *state;

	start(t);
	assert_true(flush(t));
	set(t, VIRTIO_MMIO_QUEUE_SEL, 0);
	set(t, VIRTIO_MMIO_QUEUE_READY, 0);
	assert_int_equal(get(t, VIRTIO_MMIO_QUEUE_READY, 4), 0);
	assert_int_equal(t->f->gets, 0);
	assert_false(flush(t));
}

static void machine_reset(void **state)
{
	struct fixture *t = *state;

	start(t);
	assert_true(flush(t));
	virtio_pause(vblk_device(t->blk));
	assert_int_equal(virtio_place_reset(&t->place), 0);
	virtio_resume(vblk_device(t->blk));
	assert_int_equal(get(t, VIRTIO_MMIO_STATUS, 4), 0);
	assert_int_equal(t->level, 0);
	start(t);
	assert_true(flush(t));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(identity),
	        TEST(interrupt),
	        TEST(queue_given_back),
	        TEST(machine_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
