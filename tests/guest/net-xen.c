/* SPDX-License-Identifier: MIT */
/* A Xen network front end: one queue, one event channel, no offloads. */
#include "io.h"

#define xen_mb() __sync_synchronize()
#define xen_rmb() barrier()
#define xen_wmb() barrier()
#include <xen/io/netif.h>
#include <xen/io/xenbus.h>

#define REFILL 16u /* buffers that are given back at a time */

static union {
	struct netif_tx_sring ring;
	char bytes[PAGE_BYTES];
} tx_page PAGE_ALIGNED;
static union {
	struct netif_rx_sring ring;
	char bytes[PAGE_BYTES];
} rx_page PAGE_ALIGNED;

static struct xenbus_front bus;
static struct netif_tx_front_ring tx;
static struct netif_rx_front_ring rx;
static uint32_t refs[IO_PAGES], tx_ref, rx_ref, port;
static uint32_t held; /* the buffer that the caller looks at, + 1 */

static uint32_t ref_of(const uint8_t *p)
{
	return refs[(p - io_buffer) / PAGE_BYTES];
}

static void offer(uint32_t i)
{
	struct netif_rx_request *slot = RING_GET_REQUEST(&rx, rx.req_prod_pvt);

	*slot = (struct netif_rx_request){ .id = (uint16_t)i, .gref = ref_of(nic_buffer(i)) };
	rx.req_prod_pvt++;
}

static void push_rx(void)
{
	int notify;

	RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&rx, notify);
	if (notify)
		event_send(port);
}

static void send(unsigned slot, uint32_t bytes)
{
	const uint8_t *frame = nic_frame(slot);

	*RING_GET_REQUEST(&tx, tx.req_prod_pvt) = (struct netif_tx_request){
		.gref = ref_of(frame),
		.offset = (uint16_t)((uint64_t)frame % PAGE_BYTES),
		.id = (uint16_t)slot,
		.size = (uint16_t)bytes,
	};
	tx.req_prod_pvt++;
}

static void kick(void)
{
	int notify;

	RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&tx, notify);
	if (notify)
		event_send(port);
}

/* In both directions rsp_event is left behind, so that no event comes for what is polled. */
static bool sent(unsigned *slot)
{
	struct netif_tx_response rsp;

	if (__atomic_load_n(&tx.sring->rsp_prod, __ATOMIC_ACQUIRE) == tx.rsp_cons)
		return false;
	rsp = *RING_GET_RESPONSE(&tx, tx.rsp_cons);
	tx.rsp_cons++;
	*slot = rsp.status == NETIF_RSP_OKAY && rsp.id < NIC_SLOTS ? rsp.id : ~0u;
	return true;
}

static const uint8_t *receive(uint32_t *bytes)
{
	struct netif_rx_response rsp;

	if (held) {
		offer(held - 1);
		held = 0;
		if (rx.req_prod_pvt - rx.sring->req_prod >= REFILL)
			push_rx();
	}
	if (__atomic_load_n(&rx.sring->rsp_prod, __ATOMIC_ACQUIRE) == rx.rsp_cons)
		return NULL;
	rsp = *RING_GET_RESPONSE(&rx, rx.rsp_cons);
	rx.rsp_cons++;
	if (rsp.id >= NIC_SLOTS)
		return NULL;
	held = rsp.id + 1u;
	*bytes = rsp.status > 0 && rsp.offset + rsp.status <= (int)PAGE_BYTES ? (uint32_t)rsp.status : 0;
	return nic_buffer(rsp.id) + rsp.offset % PAGE_BYTES;
}

/* ---- life ------------------------------------------------------------------------------ */

static bool make_rings(void)
{
	bool all = true;

	memset(&tx_page, 0, PAGE_BYTES);
	memset(&rx_page, 0, PAGE_BYTES);
	SHARED_RING_INIT(&tx_page.ring);
	SHARED_RING_INIT(&rx_page.ring);
	FRONT_RING_INIT(&tx, &tx_page.ring, PAGE_BYTES);
	FRONT_RING_INIT(&rx, &rx_page.ring, PAGE_BYTES);
	for (unsigned i = 0; i < IO_PAGES; i++)
		all &= (refs[i] = grant_page(io_buffer + i * PAGE_BYTES, false)) != 0;
	tx_ref = grant_page(&tx_page, false);
	rx_ref = grant_page(&rx_page, false);
	port = event_alloc();
	held = 0;
	for (unsigned i = 0; all && i < NIC_SLOTS; i++)
		offer(i);
	RING_PUSH_REQUESTS(&rx); /* the back end looks when it connects */
	return all && tx_ref && rx_ref && port;
}

static void end_grants(void)
{
	for (unsigned i = 0; i < IO_PAGES; i++)
		grant_end(refs[i]);
	grant_end(tx_ref);
	grant_end(rx_ref);
}

static void close(void)
{
	xenbus_end(&bus);
	end_grants();
}

static bool publish(void)
{
	return xenbus_put_uint(&bus, "tx-ring-ref", tx_ref) && xenbus_put_uint(&bus, "rx-ring-ref", rx_ref) &&
	       xenbus_put_uint(&bus, "event-channel", port) && xenbus_put_uint(&bus, "request-rx-copy", 1) &&
	       xenbus_put_uint(&bus, "feature-rx-notify", 1) && xenbus_put_uint(&bus, "feature-no-csum-offload", 1) &&
	       xenbus_put_uint(&bus, "state", XenbusStateConnected) && xenbus_wait(&bus, XenbusStateConnected);
}

/* "00:16:3e:01:02:03" */
static bool read_mac(uint8_t mac[6])
{
	char path[96], text[32];

	format_to(path, sizeof(path), "%s/mac", bus.front);
	if (store_read(path, text, sizeof(text)) != 17)
		return false;
	for (unsigned i = 0; i < 6; i++) {
		mac[i] = 0;
		for (unsigned k = 0; k < 2; k++) {
			char c = text[3 * i + k];

			mac[i] = (uint8_t)(mac[i] * 16 + (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10));
		}
	}
	return true;
}

enum io_found nic_xen_open(struct nic *n)
{
	memset(&bus, 0, sizeof(bus));
	if (!probe.xen_base || !xenbus_find(&bus, "device/vif"))
		return IO_NONE;
	*n = (struct nic){ "Xen", { 0 }, send, kick, sent, receive, close };
	if (!xenbus_begin(&bus) || !read_mac(n->mac))
		return IO_FAILED;
	if (make_rings() && publish())
		return IO_OPEN;
	close();
	return IO_FAILED;
}
