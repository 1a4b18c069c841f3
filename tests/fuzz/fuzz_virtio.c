/* SPDX-License-Identifier: MIT */
/*
 * A guest at a virtio disk and a virtio network card, over MMIO. The input is a
 * list of actions: registers, bytes and descriptors in the rings, heads that
 * are offered, notifications, frames from the network, completions, pauses.
 * One action negotiates and sets all queues up, so that most inputs get as far
 * as the data path.
 *
 * The disk refuses what is out of range; that it is never asked is one of the
 * checks; that every buffer is given back is another.
 */
#include "dm/virtio/blk.h"
#include "dm/virtio/mmio.h"
#include "dm/virtio/net.h"
#include "fake/block-fake.h"
#include "fake/host-fake.h"
#include "fake/netdev-fake.h"
#include "fuzz-input.h"

#include <errno.h>

#include <linux/virtio_mmio.h>

#define RAM        (1u << 20)
#define DISK       (64u << 10)
#define QUEUES     5u /* of each, at most */
#define RING_PAGES 4u
#define RINGS      0x10000u
#define DATA       0x80000u
#define SIZE       16u
#define FRAMES_MAX 64u

struct world {
	struct host_fake *f;
	struct block_fake disk;
	struct netdev_fake *net;
	struct vblk *blk;
	struct vnet *vnet;
	struct unit {
		struct virtio_dev *dev;
		struct virtio_mmio *mmio;
		const struct gamut_io_ops *ops;
		void *opaque;
	} unit[2], *adding;
	uint8_t frame[70000];
};

static int slot_add(void *self, struct gamut_inst *inst, const char *hid, uint32_t len, const struct gamut_io_ops *ops,
                    void *opaque, struct gamut_slot **slot)
{
	struct world *w = self;

	(void)inst;
	(void)hid;
	(void)len;
	w->adding->ops = ops;
	w->adding->opaque = opaque;
	*slot = self;
	return 0;
}

static void slot_irq(void *self, struct gamut_slot *slot, uint32_t level)
{
	(void)self;
	(void)slot;
	(void)level;
}

static const struct gamut_slots_ops slots = {.size = sizeof(slots), .add = slot_add, .irq = slot_irq};

/* A reset waits for the host, which is this thread. */
static void set(struct world *w, struct unit *u, uint32_t at, uint32_t width, uint64_t value)
{
	block_fake_complete(&w->disk);
	u->ops->write(u->opaque, at, width, value);
}

static uint64_t ring_at(struct world *w, const struct unit *u, uint32_t queue)
{
	return RINGS + (uint64_t)((uint32_t)(u - w->unit) * QUEUES + queue % QUEUES) * RING_PAGES * 4096;
}

static struct vring_desc *desc_of(struct world *w, const struct unit *u, uint32_t queue)
{
	return (struct vring_desc *)(w->f->ram + ring_at(w, u, queue));
}

static struct vring_avail *avail_of(struct world *w, const struct unit *u, uint32_t queue)
{
	return (struct vring_avail *)(w->f->ram + ring_at(w, u, queue) + 4096);
}

/* ---- actions ---- */

static void act_start(struct world *w, struct unit *u, struct fuzz_input *in)
{
	uint32_t low = fuzz_u32(in), shape = fuzz_u8(in), size = 1u << (shape % 6 + 1);

	set(w, u, VIRTIO_MMIO_STATUS, 4, 0);
	set(w, u, VIRTIO_MMIO_STATUS, 4, 3);
	set(w, u, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 4, 0);
	low &= (uint32_t)u->ops->read(u->opaque, VIRTIO_MMIO_DEVICE_FEATURES, 4);
	set(w, u, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 4, 0);
	set(w, u, VIRTIO_MMIO_DRIVER_FEATURES, 4, low);
	set(w, u, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 4, 1);
	set(w, u, VIRTIO_MMIO_DRIVER_FEATURES, 4, 1);
	set(w, u, VIRTIO_MMIO_STATUS, 4, 11);
	for (uint32_t q = 0; q < QUEUES; q++) {
		uint64_t base = ring_at(w, u, q);

		memset(w->f->ram + base + 4096, 0, 2 * 4096);
		set(w, u, VIRTIO_MMIO_QUEUE_SEL, 4, q);
		set(w, u, VIRTIO_MMIO_QUEUE_NUM, 4, size);
		set(w, u, VIRTIO_MMIO_QUEUE_DESC_LOW, 4, base);
		set(w, u, VIRTIO_MMIO_QUEUE_AVAIL_LOW, 4, base + 4096);
		set(w, u, VIRTIO_MMIO_QUEUE_USED_LOW, 4, base + 2 * 4096);
		set(w, u, VIRTIO_MMIO_QUEUE_READY, 4, 1);
	}
	set(w, u, VIRTIO_MMIO_STATUS, 4, 15);
}

static void act_register(struct world *w, struct unit *u, struct fuzz_input *in)
{
	uint32_t at = fuzz_u16(in) % 0x140, width = 1u << (fuzz_u8(in) % 4);

	set(w, u, width == 4 ? at & ~3u : at, width, fuzz_u32(in));
	u->ops->read(u->opaque, at, width);
}

static void act_bytes(struct world *w, struct unit *u, struct fuzz_input *in)
{
	uint32_t page = fuzz_u8(in), at = fuzz_u16(in) % 4096;
	size_t n;
	const uint8_t *p = fuzz_bytes(in, fuzz_u8(in), &n);

	(void)u;
	n = n < 4096 - at ? n : 4096 - at;
	memcpy(w->f->ram + page * 4096u + at, p, n);
}

/* A chain of a few descriptors, most of them right, and it is offered. */
static void act_chain(struct world *w, struct unit *u, struct fuzz_input *in)
{
	uint32_t queue = fuzz_u8(in) % QUEUES, n = fuzz_u8(in) % 6, first = fuzz_u8(in) % SIZE;
	struct vring_desc *d = desc_of(w, u, queue);
	struct vring_avail *a = avail_of(w, u, queue);
	uint32_t size = virtio_queue(u->dev, queue) ? virtio_queue(u->dev, queue)->size : SIZE;

	for (uint32_t i = 0; i <= n; i++) {
		uint8_t odd = fuzz_u8(in);

		d[(first + i) % SIZE] = (struct vring_desc){
		        .addr = DATA + fuzz_u16(in) * 8u,
		        .len = odd & 8 ? fuzz_u16(in) : odd & 16 ? 512 : odd & 32 ? 16 : 1,
		        .flags = (uint16_t)((odd & 7) == 7 ? fuzz_u8(in) : (odd & 2) | (i < n ? VRING_DESC_F_NEXT : 0)),
		        .next = (uint16_t)((first + i + 1) % SIZE),
		};
	}
	if (size && size <= 256)
		a->ring[a->idx % size] = (uint16_t)first;
	a->idx++;
}

/* A request of the disk, or a frame or command, as its header says. */
static void act_header(struct world *w, struct unit *u, struct fuzz_input *in)
{
	uint32_t at = DATA + fuzz_u16(in) % 0xfff0 * 8u;
	size_t n;
	const uint8_t *p = fuzz_bytes(in, 16, &n);

	(void)u;
	memcpy(w->f->ram + at, p, n);
}

static void act_notify(struct world *w, struct unit *u, struct fuzz_input *in)
{
	set(w, u, VIRTIO_MMIO_QUEUE_NOTIFY, 4, fuzz_u8(in) % 8);
}

static void act_run(struct world *w, struct unit *u, struct fuzz_input *in)
{
	(void)u;
	(void)in;
	host_fake_run(w->f);
	w->net->n_sent = 0;
}

static void act_host(struct world *w, struct unit *u, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);

	(void)u;
	w->disk.hold = how & 1;
	w->disk.at_once = how & 2;
	w->disk.fail = how & 4 ? -EIO : 0;
	w->net->room = how & 8 ? how >> 4 : UINT32_MAX;
	if (!w->disk.hold)
		block_fake_complete(&w->disk);
	if (!(how & 8))
		w->net->front.writable(w->net->front.opaque);
	w->net->front.link(w->net->front.opaque, how & 64);
}

static void act_frame(struct world *w, struct unit *u, struct fuzz_input *in)
{
	struct iovec iov[2] = {{w->frame, fuzz_u8(in)}, {w->frame + 256, fuzz_u16(in)}};
	struct netdev_frame f = {.iov = iov, .n_iov = 2, .length = (uint32_t)(iov[0].iov_len + iov[1].iov_len)};
	size_t n;
	const uint8_t *p;

	(void)u;
	f.offload.flags = fuzz_u8(in) & 3;
	f.offload.gso_type = fuzz_u8(in);
	p = fuzz_bytes(in, fuzz_u8(in) % 64, &n);
	memcpy(w->frame, p, n);
	FUZZ_CHECK(w->net->front.receive(w->net->front.opaque, &f, 1) <= 1);
}

static void act_life(struct world *w, struct unit *u, struct fuzz_input *in)
{
	switch (fuzz_u8(in) % 3) {
	case 0:
		virtio_pause(u->dev);
		virtio_resume(u->dev);
		break;
	case 1:
		block_fake_complete(&w->disk);
		virtio_pause(u->dev);
		virtio_mmio_reset(u->mmio);
		virtio_resume(u->dev);
		break;
	case 2:
		block_fake_complete(&w->disk);
		virtio_set_dma(u->dev, fuzz_u8(in) & 1);
		break;
	}
}

static void (*const actions[])(struct world *w, struct unit *u, struct fuzz_input *in) = {
        act_start, act_register, act_bytes, act_chain, act_header, act_notify,
        act_run,   act_host,     act_frame, act_life,  act_chain,  act_notify,
};

/* ---- the world ---- */

static void plug_in(struct world *w, uint32_t i, struct virtio_dev *dev)
{
	w->adding = &w->unit[i];
	w->unit[i].dev = dev;
	FUZZ_CHECK(!virtio_mmio_create(dev, &slots, w, &w->unit[i].mmio));
}

static void build(struct world *w)
{
	struct vblk_config b = {.block = &w->disk.block, .n_queues = 2, .serial = "fuzz"};
	struct vnet_config n = {.mac = {0, 0x16, 0x3e, 1, 2, 3}, .pairs = 2};

	w->f = host_fake_create(RAM, 2);
	block_fake_init(&w->disk, DISK);
	w->net = netdev_fake_create();
	w->net->netdev.info.can_send = w->net->netdev.info.can_give =
	        NETDEV_CAN_CSUM | NETDEV_CAN_TCPV4 | NETDEV_CAN_TCPV6 | NETDEV_CAN_ECN;
	w->net->netdev.info.mtu = 1500;
	b.host = n.host = w->f->host;
	b.inst = n.inst = w->f->inst;
	w->blk = vblk_create(&b);
	w->vnet = vnet_create(&n);
	vnet_front(w->vnet, &w->net->front);
	vnet_connect(w->vnet, &w->net->netdev);
	plug_in(w, 0, vblk_device(w->blk));
	plug_in(w, 1, vnet_device(w->vnet));
}

static void tear_down(struct world *w)
{
	w->disk.hold = false;
	for (uint32_t i = 0; i < 2; i++) {
		virtio_pause(w->unit[i].dev);
		FUZZ_CHECK(i == 0 || !w->f->gets);
	}
	virtio_mmio_destroy(w->unit[0].mmio);
	virtio_mmio_destroy(w->unit[1].mmio);
	vblk_destroy(w->blk);
	vnet_destroy(w->vnet);
	FUZZ_CHECK(!w->disk.n_refused);
	block_fake_finish(&w->disk);
	netdev_fake_destroy(w->net);
	FUZZ_CHECK(!host_fake_destroy(w->f));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world *w = calloc(1, sizeof(*w));
	struct fuzz_input in = {data, size};

	build(w);
	while (in.left) {
		uint8_t what = fuzz_u8(&in);

		actions[(what & 0x7f) % (sizeof(actions) / sizeof(actions[0]))](w, &w->unit[what >> 7], &in);
		if (w->net->n_sent > FRAMES_MAX)
			w->net->n_sent = 0;
	}
	host_fake_run(w->f);
	tear_down(w);
	free(w);
	return 0;
}
