/* SPDX-License-Identifier: MIT */
/* A virtio network card (virtio 1.2, 5.1): one pair of queues, no offloads. */
#include "virtio.h"

#include <linux/virtio_net.h>

#define HEADER 12u /* struct virtio_net_hdr_v1; all zero is a frame as it stands */
#define CHAIN  2u  /* descriptors of a frame to send */
#define REFILL 16u /* buffers that are given back at a time */

static struct virtio device;
static struct virtq rx, tx;
static uint8_t header[HEADER];
static uint32_t held, owed; /* the buffer that the caller looks at, + 1; given back without a kick */

static void offer(uint32_t i)
{
	rx.ring.desc[i] = (struct vring_desc){ (uint64_t)nic_buffer(i), FRAME_SPACE, VRING_DESC_F_WRITE, 0 };
	virtq_add(&rx, (uint16_t)i);
}

static void send(unsigned slot, uint32_t bytes)
{
	unsigned at = slot * CHAIN;

	tx.ring.desc[at] = (struct vring_desc){ (uint64_t)header, HEADER, VRING_DESC_F_NEXT, (uint16_t)(at + 1) };
	tx.ring.desc[at + 1] = (struct vring_desc){ (uint64_t)nic_frame(slot), bytes, 0, 0 };
	virtq_add(&tx, (uint16_t)at);
}

static void kick(void)
{
	virtq_kick(&tx);
}

static bool sent(unsigned *slot)
{
	uint32_t head, written;

	if (!virtq_reap(&tx, &head, &written))
		return false;
	*slot = head == ~0u || head % CHAIN || head / CHAIN >= NIC_SLOTS ? ~0u : head / CHAIN;
	return true;
}

static void give_back(void)
{
	if (!held)
		return;
	offer(held - 1);
	held = 0;
	if (++owed % REFILL == 0)
		virtq_kick(&rx);
}

static const uint8_t *receive(uint32_t *bytes)
{
	uint32_t head, written;

	give_back();
	if (!virtq_reap(&rx, &head, &written) || head >= NIC_SLOTS || written < HEADER || written > FRAME_SPACE)
		return NULL;
	held = head + 1;
	*bytes = written - HEADER;
	return nic_buffer(head) + HEADER;
}

static void close(void)
{
	virtio_close(&device);
}

enum io_found nic_virtio_open(struct nic *n)
{
	uint64_t accepted;
	enum io_found found = virtio_open(&device, 1, 1ull << VIRTIO_NET_F_MAC, &accepted);

	if (found != IO_OPEN)
		return found;
	if (!virtio_queue(&device, &rx, 0, VIRTQ_MAX) || !virtio_queue(&device, &tx, 1, VIRTQ_MAX) ||
	    rx.ring.num < NIC_SLOTS || tx.ring.num < NIC_SLOTS * CHAIN || !virtio_ready(&device) ||
	    !(accepted & 1ull << VIRTIO_NET_F_MAC)) {
		close();
		return IO_FAILED;
	}
	*n = (struct nic){ "virtio", { 0 }, send, kick, sent, receive, close };
	for (unsigned i = 0; i < sizeof(n->mac); i++)
		n->mac[i] = device.config[i];
	held = owed = 0;
	for (unsigned i = 0; i < NIC_SLOTS; i++)
		offer(i);
	virtq_kick(&rx);
	return IO_OPEN;
}
