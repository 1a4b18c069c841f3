/* SPDX-License-Identifier: MIT */
/* virtio-blk over a real PCI bus: found by its capabilities, driven through its BAR and through the window. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_pci.h>

#include "dm/virtio/blk.h"
#include "dm/virtio/pci.h"
#include "fake/block-fake.h"
#include "fake/pci-rig.h"
#include "fake/virtio-rig.h"

#define BAR0   0xe0000000u
#define MSIX   0xe0010000u
#define RING   0x10000u
#define HEADER 0x100000u
#define STATUS 0x101000u
#define ISR    0x1000u
#define CONFIG 0x2000u
#define NOTIFY 0x3000u

struct fixture {
	struct pci_rig rig;
	struct block_fake disk;
	struct vblk *blk;
	struct virtio_pci *pci;
	uint32_t devfn;
	uint32_t cap[8]; /* by type */
	uint32_t msix;
	struct virtio_rig r;
	struct virtio_ring ring;
};

static uint64_t get(struct fixture *t, uint64_t at, uint32_t width)
{
	return host_fake_in(t->rig.f, GAMUT_SPACE_MMIO, BAR0 + at, width);
}

static void set(struct fixture *t, uint64_t at, uint32_t width, uint64_t value)
{
	host_fake_out(t->rig.f, GAMUT_SPACE_MMIO, BAR0 + at, width, value);
}

static void find_caps(struct fixture *t)
{
	uint32_t at = rig_get(&t->rig, t->devfn, PCI_REG_CAPABILITIES, 1);

	for (int i = 0; at && i < 16; i++) {
		if (rig_get(&t->rig, t->devfn, at, 1) == 0x11)
			t->msix = at;
		else if (rig_get(&t->rig, t->devfn, at, 1) == 0x09)
			t->cap[rig_get(&t->rig, t->devfn, at + 3, 1) & 7] = at;
		at = rig_get(&t->rig, t->devfn, at + 1, 1);
	}
	assert_int_equal(at, 0);
}

static int setup(void **state)
{
	struct fixture *t = calloc(1, sizeof(*t));
	struct virtio_pci_config c = {.bus = &pci_bus_ops, .class_code = 0x010000};
	struct vblk_config b = {.block = &t->disk.block, .n_queues = 2};

	assert_int_equal(pci_rig_init(&t->rig), 0);
	block_fake_init(&t->disk, 1 << 20);
	b.host = t->rig.f->host;
	b.inst = t->rig.f->inst;
	c.bus_self = &t->rig.bus;
	t->blk = vblk_create(&b);
	assert_int_equal(virtio_pci_create(vblk_device(t->blk), &c, &t->pci), 0);
	t->r.f = t->rig.f;
	t->r.dev = vblk_device(t->blk);
	while (rig_get(&t->rig, t->devfn, 0, 2) != 0x1af4)
		t->devfn++;
	rig_set(&t->rig, t->devfn, PCI_REG_BAR + 4, 4, MSIX);
	rig_set(&t->rig, t->devfn, PCI_REG_BAR + 16, 4, BAR0);
	rig_set(&t->rig, t->devfn, PCI_REG_BAR + 20, 4, 0);
	rig_set(&t->rig, t->devfn, PCI_REG_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	find_caps(t);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *t = *state;

	virtio_pause(vblk_device(t->blk));
	virtio_pci_destroy(t->pci);
	vblk_destroy(t->blk);
	block_fake_finish(&t->disk);
	assert_int_equal(pci_rig_finish(&t->rig), 0);
	free(t);
	return 0;
}

static void set_queue(struct fixture *t, uint16_t index)
{
	set(t, VIRTIO_PCI_COMMON_Q_SELECT, 2, index);
	set(t, VIRTIO_PCI_COMMON_Q_SIZE, 2, 16);
	set(t, VIRTIO_PCI_COMMON_Q_DESCLO, 4, RING);
	set(t, VIRTIO_PCI_COMMON_Q_DESCHI, 4, 0);
	set(t, VIRTIO_PCI_COMMON_Q_AVAILLO, 4, virtio_ring_avail_at(RING));
	set(t, VIRTIO_PCI_COMMON_Q_USEDLO, 8, virtio_ring_used_at(RING));
	set(t, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
}

static void negotiate(struct fixture *t)
{
	set(t, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	set(t, VIRTIO_PCI_COMMON_STATUS, 1, 3);
	set(t, VIRTIO_PCI_COMMON_DFSELECT, 4, 1);
	assert_true(get(t, VIRTIO_PCI_COMMON_DF, 4) & 1);
	set(t, VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
	set(t, VIRTIO_PCI_COMMON_GF, 4, 1 | 1 << (VIRTIO_F_RING_RESET - 32));
	assert_true(get(t, VIRTIO_PCI_COMMON_GF, 4) & 1);
	set(t, VIRTIO_PCI_COMMON_STATUS, 1, 11);
	assert_int_equal(get(t, VIRTIO_PCI_COMMON_STATUS, 1), 11);
}

static void start(struct fixture *t)
{
	negotiate(t);
	virtio_ring_init(&t->ring, &t->r, 99, RING, 16);
	set_queue(t, 0);
	set(t, VIRTIO_PCI_COMMON_STATUS, 1, 15);
}

static bool flush(struct fixture *t)
{
	struct virtio_buf buf[] = {{HEADER, 16}, {STATUS, 1}};
	struct vring_used_elem elem;

	*(struct virtio_blk_outhdr *)(t->rig.f->ram + HEADER) = (struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_FLUSH};
	virtio_ring_add(&t->ring, buf, 1, 1);
	set(t, NOTIFY, 2, 0);
	host_fake_run(t->rig.f);
	return virtio_ring_used(&t->ring, &elem);
}

/* ---- tests ---- */

static void identity(void **state)
{
	struct fixture *t = *state;

	assert_int_equal(rig_get(&t->rig, t->devfn, 2, 2), 0x1042);
	assert_int_equal(rig_get(&t->rig, t->devfn, 8, 4), 0x01000001);
	assert_true(rig_get(&t->rig, t->devfn, PCI_REG_STATUS, 2) & PCI_STATUS_CAPABILITIES);
	for (uint32_t i = VIRTIO_PCI_CAP_COMMON_CFG; i <= VIRTIO_PCI_CAP_PCI_CFG; i++)
		assert_true(t->cap[i]);
	assert_true(t->msix);
	assert_int_equal(rig_get(&t->rig, t->devfn, t->cap[VIRTIO_PCI_CAP_NOTIFY_CFG] + 16, 4), 4);
	assert_int_equal(rig_get(&t->rig, t->devfn, t->cap[VIRTIO_PCI_CAP_NOTIFY_CFG] + 8, 4), NOTIFY);
	assert_int_equal(rig_get(&t->rig, t->devfn, t->cap[VIRTIO_PCI_CAP_DEVICE_CFG] + 8, 4), CONFIG);
	assert_int_equal(rig_get(&t->rig, t->devfn, t->cap[VIRTIO_PCI_CAP_ISR_CFG] + 8, 4), ISR);
	assert_int_equal(rig_get(&t->rig, t->devfn, t->cap[VIRTIO_PCI_CAP_COMMON_CFG] + 4, 1), 4);
}

static void registers(void **state)
{
	struct fixture *t = *state;

	assert_int_equal(get(t, VIRTIO_PCI_COMMON_NUMQ, 2), 2);
	assert_int_equal(get(t, VIRTIO_PCI_COMMON_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
	assert_int_equal(get(t, CONFIG, 4), (1 << 20) / 512);
	set(t, VIRTIO_PCI_COMMON_Q_SELECT, 2, 1);
	assert_int_equal(get(t, VIRTIO_PCI_COMMON_Q_SELECT, 2), 1);
	assert_int_equal(get(t, VIRTIO_PCI_COMMON_Q_SIZE, 2), 256);
	assert_int_equal(get(t, VIRTIO_PCI_COMMON_Q_NOFF, 2), 1);
	set(t, VIRTIO_PCI_COMMON_Q_USEDLO, 8, 0x123456789abcull);
	assert_int_equal(get(t, VIRTIO_PCI_COMMON_Q_USEDHI, 4), 0x1234);
	assert_int_equal(get(t, VIRTIO_PCI_COMMON_Q_USEDLO, 8), 0x123456789abcull);
	set(t, VIRTIO_PCI_COMMON_Q_MSIX, 2, 2);
	assert_int_equal(get(t, VIRTIO_PCI_COMMON_Q_MSIX, 2), 2);
	set(t, VIRTIO_PCI_COMMON_Q_MSIX, 2, 3); /* there are three */
	assert_int_equal(get(t, VIRTIO_PCI_COMMON_Q_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
	set(t, VIRTIO_PCI_COMMON_Q_SELECT, 2, 2); /* a queue that is not there */
	assert_int_equal(get(t, VIRTIO_PCI_COMMON_Q_SIZE, 2), 0);
	set(t, VIRTIO_PCI_COMMON_Q_SIZE, 2, 4);
	set(t, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	set(t, NOTIFY + 0xffc, 2, 1023);
	for (uint32_t at = 0; at < 0x4000; at += 8) /* nothing of it may harm */
		get(t, at, 8);
}

static void interrupts_by_line(void **state)
{
	struct fixture *t = *state;

	start(t);
	assert_true(flush(t));
	assert_int_not_equal(t->rig.pirq, 0);
	assert_int_equal(t->rig.messages, 0);
	assert_int_equal(get(t, ISR, 1), 1);
	assert_int_equal(t->rig.pirq, 0);
	assert_int_equal(get(t, ISR, 1), 0);
}

static void interrupts_by_message(void **state)
{
	struct fixture *t = *state;

	for (uint32_t i = 0; i < 3; i++) {
		host_fake_out(t->rig.f, GAMUT_SPACE_MMIO, MSIX + 16 * i, 4, 0xfee00000);
		host_fake_out(t->rig.f, GAMUT_SPACE_MMIO, MSIX + 16 * i + 8, 4, 0x40 + i);
		host_fake_out(t->rig.f, GAMUT_SPACE_MMIO, MSIX + 16 * i + 12, 4, 0);
	}
	rig_set(&t->rig, t->devfn, t->msix + 2, 2, 0x8000);
	negotiate(t);
	set(t, VIRTIO_PCI_COMMON_MSIX, 2, 0);
	virtio_ring_init(&t->ring, &t->r, 99, RING, 16);
	set(t, VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
	set(t, VIRTIO_PCI_COMMON_Q_MSIX, 2, 1);
	set_queue(t, 0);
	set(t, VIRTIO_PCI_COMMON_STATUS, 1, 15);
	assert_true(flush(t));
	assert_int_equal(t->rig.messages, 1);
	assert_int_equal(t->rig.data, 0x41);
	assert_int_equal(t->rig.pirq, 0);
	/* A broken ring is told by the configuration's vector. */
	t->ring.avail->idx = 1000;
	set(t, NOTIFY, 2, 0);
	assert_int_equal(t->rig.messages, 2);
	assert_int_equal(t->rig.data, 0x40);
	assert_int_equal(get(t, VIRTIO_PCI_COMMON_STATUS, 1), 15 | VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(get(t, VIRTIO_PCI_COMMON_CFGGENERATION, 1), 1);
	/* A queue without a vector does not interrupt at all. */
	start(t);
	assert_true(flush(t));
	assert_int_equal(t->rig.messages, 2);
	assert_int_equal(t->rig.pirq, 0);
}

static void reset_forgets(void **state)
{
	struct fixture *t = *state;

	start(t);
	assert_true(flush(t));
	set(t, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	assert_int_equal(get(t, VIRTIO_PCI_COMMON_STATUS, 1), 0);
	assert_int_equal(t->rig.pirq, 0);
	assert_int_equal(get(t, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	assert_int_equal(get(t, VIRTIO_PCI_COMMON_Q_DESCLO, 4), 0);
	assert_int_equal(get(t, VIRTIO_PCI_COMMON_GF, 4), 0);
	assert_int_equal(t->rig.f->gets, 0);
	start(t);
	assert_true(flush(t));
}

static void queue_reset(void **state)
{
	struct fixture *t = *state;

	start(t);
	set(t, VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
	set(t, VIRTIO_PCI_COMMON_Q_RESET, 2, 1);
	assert_int_equal(get(t, VIRTIO_PCI_COMMON_Q_RESET, 2), 0);
	assert_int_equal(get(t, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	virtio_ring_init(&t->ring, &t->r, 99, RING, 16);
	set_queue(t, 0);
	assert_true(flush(t));
}

/* Off and on again, as a bus's reset and a driver do. */
static void bus_mastering(void **state)
{
	struct fixture *t = *state;

	start(t);
	rig_set(&t->rig, t->devfn, PCI_REG_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(t->rig.f->gets, 0);
	assert_false(flush(t));
	rig_set(&t->rig, t->devfn, PCI_REG_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_true(flush(t));
}

static void machine_reset(void **state)
{
	struct fixture *t = *state;

	start(t);
	virtio_pause(vblk_device(t->blk));
	pci_bus_reset(&t->rig.bus);
	virtio_pci_reset(t->pci);
	virtio_resume(vblk_device(t->blk));
	assert_int_equal(virtio_status(vblk_device(t->blk)), 0);
	assert_false(vblk_device(t->blk)->dma);
	assert_int_equal(t->rig.f->gets, 0);
}

static void window(void **state)
{
	struct fixture *t = *state;
	uint32_t at = t->cap[VIRTIO_PCI_CAP_PCI_CFG];

	rig_set(&t->rig, t->devfn, at + VIRTIO_PCI_CAP_BAR, 1, 4);
	rig_set(&t->rig, t->devfn, at + VIRTIO_PCI_CAP_OFFSET, 4, CONFIG);
	rig_set(&t->rig, t->devfn, at + VIRTIO_PCI_CAP_LENGTH, 4, 4);
	assert_int_equal(rig_get(&t->rig, t->devfn, at + 16, 4), (1 << 20) / 512);
	rig_set(&t->rig, t->devfn, at + VIRTIO_PCI_CAP_OFFSET, 4, VIRTIO_PCI_COMMON_STATUS);
	rig_set(&t->rig, t->devfn, at + VIRTIO_PCI_CAP_LENGTH, 4, 1);
	rig_set(&t->rig, t->devfn, at + 16, 1, 3);
	assert_int_equal(get(t, VIRTIO_PCI_COMMON_STATUS, 1), 3);
	assert_int_equal(rig_get(&t->rig, t->devfn, at + 16, 1), 3);
	/* Nowhere, and of no width: what was written last is there. */
	rig_set(&t->rig, t->devfn, at + VIRTIO_PCI_CAP_OFFSET, 4, 0xfffffffc);
	rig_set(&t->rig, t->devfn, at + VIRTIO_PCI_CAP_LENGTH, 4, 4);
	rig_set(&t->rig, t->devfn, at + 16, 4, 0x12345678);
	assert_int_equal(rig_get(&t->rig, t->devfn, at + 16, 4), 0x12345678);
	rig_set(&t->rig, t->devfn, at + VIRTIO_PCI_CAP_OFFSET, 4, 0);
	rig_set(&t->rig, t->devfn, at + VIRTIO_PCI_CAP_LENGTH, 4, 3);
	rig_set(&t->rig, t->devfn, at + 16, 4, 0);
	assert_int_equal(rig_get(&t->rig, t->devfn, at + 16, 4), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(identity),
	        TEST(registers),
	        TEST(interrupts_by_line),
	        TEST(interrupts_by_message),
	        TEST(reset_forgets),
	        TEST(queue_reset),
	        TEST(bus_mastering),
	        TEST(machine_reset),
	        TEST(window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
