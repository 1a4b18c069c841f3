/* SPDX-License-Identifier: MIT */
/* A virtio disk (virtio 1.2, 5.2), by its first queue. */
#include "virtio.h"

#include <linux/virtio_blk.h>

#define CHAIN 3u /* descriptors of a request: header, data, status */

static struct virtio device;
static struct virtq queue;
static struct {
	struct virtio_blk_outhdr head;
	uint8_t status;
} state[DISK_DEPTH];

static void describe(unsigned i, const void *at, uint32_t bytes, unsigned flags)
{
	queue.ring.desc[i] = (struct vring_desc){ (uint64_t)at, bytes, (uint16_t)flags, (uint16_t)(i + 1) };
}

static void submit(const struct disk_request *r)
{
	unsigned at = r->tag * CHAIN;

	state[r->tag].head = (struct virtio_blk_outhdr){
		.type = r->write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN,
		.sector = r->sector,
	};
	state[r->tag].status = 0xff;
	describe(at, &state[r->tag].head, sizeof(state[0].head), VRING_DESC_F_NEXT);
	describe(at + 1, r->data, r->bytes, VRING_DESC_F_NEXT | (r->write ? 0 : VRING_DESC_F_WRITE));
	describe(at + 2, &state[r->tag].status, 1, VRING_DESC_F_WRITE);
	virtq_add(&queue, (uint16_t)at);
}

static void kick(void)
{
	virtq_kick(&queue);
}

static bool reap(unsigned *tag, bool *ok)
{
	uint32_t head, written;

	if (!virtq_reap(&queue, &head, &written))
		return false;
	*tag = head == ~0u || head % CHAIN ? ~0u : head / CHAIN;
	*ok = *tag < DISK_DEPTH && *(volatile uint8_t *)&state[*tag].status == VIRTIO_BLK_S_OK;
	return true;
}

static void close(void)
{
	virtio_close(&device);
}

/* With flushes accepted, or it would have to write through (5.2.5.1). */
enum io_found disk_virtio_open(struct disk *d)
{
	uint64_t accepted;
	enum io_found found = virtio_open(&device, 2, 1ull << VIRTIO_BLK_F_RO | 1ull << VIRTIO_BLK_F_FLUSH, &accepted);

	if (found != IO_OPEN)
		return found;
	if (!virtio_queue(&device, &queue, 0, VIRTQ_MAX) || !virtio_ready(&device)) {
		close();
		return IO_FAILED;
	}
	*d = (struct disk){
		.driver = "virtio",
		.sectors = virtio_config64(&device, 0),
		.readonly = accepted & 1ull << VIRTIO_BLK_F_RO,
		.depth = queue.ring.num / CHAIN < DISK_DEPTH ? queue.ring.num / CHAIN : DISK_DEPTH,
		.bytes = IO_BYTES,
		.submit = submit,
		.kick = kick,
		.reap = reap,
		.close = close,
	};
	return IO_OPEN;
}
