/* SPDX-License-Identifier: MIT */
/* An 82540EM by its manual (PCI/PCI-X Family of Gigabit Ethernet Controllers), with legacy descriptors. */
#include "io.h"
#include "pc.h"

#define DEVICE_VENDOR 0x100e8086u
#define BAR_HOME 0xfd000000u /* if nobody placed it */
#define RING 128u            /* descriptors: so many bytes as must be whole; more than slots */
#define REFILL 16u           /* buffers that are given back at a time: each time is an exit */

#define CTRL   0x0000u
#define STATUS 0x0008u
#define ICR    0x00c0u
#define IMC    0x00d8u
#define RCTL   0x0100u
#define TCTL   0x0400u
#define TIPG   0x0410u
#define RDBAL  0x2800u
#define TDBAL  0x3800u
#define LENGTH 0x08u /* from there */
#define HEAD   0x10u
#define TAIL   0x18u
#define RAL    0x5400u
#define RAH    0x5404u

#define CTRL_SLU  0x00000040u
#define CTRL_RST  0x04000000u
#define STATUS_LU 0x00000002u
#define RCTL_ON   0x04008002u /* EN, BAM, SECRC; buffers of 2048 bytes */
#define TCTL_ON   0x0004010au /* EN, PSP, thresholds of collisions */
#define TIPG_IEEE 0x0060200au
#define SEND      0x0b000000u /* EOP, IFCS, RS */
#define DONE      1u

struct tx_descriptor {
	uint64_t address;
	uint32_t command, status;
};

struct rx_descriptor {
	uint64_t address;
	uint16_t length, checksum;
	uint8_t status, errors;
	uint16_t special;
};

static struct tx_descriptor tx[RING] PAGE_ALIGNED;
static struct rx_descriptor rx[RING] PAGE_ALIGNED;
static unsigned slot_of[RING];
static unsigned tx_tail, tx_kicked, tx_seen, rx_tail, rx_seen, rx_owed;
static bool held;
static uint64_t base;

static uint32_t get(uint32_t reg)
{
	return mmio_read(base + reg);
}

static void set(uint32_t reg, uint32_t value)
{
	mmio_write(base + reg, value);
}

static void send(unsigned slot, uint32_t bytes)
{
	tx[tx_tail] = (struct tx_descriptor){ (uint64_t)nic_frame(slot), SEND | bytes, 0 };
	slot_of[tx_tail] = slot;
	tx_tail = (tx_tail + 1) % RING;
}

static void kick(void)
{
	if (tx_tail == tx_kicked)
		return;
	barrier();
	set(TDBAL + TAIL, tx_tail);
	tx_kicked = tx_tail;
}

static bool sent(unsigned *slot)
{
	if (tx_seen == tx_kicked || !(*(volatile uint32_t *)&tx[tx_seen].status & DONE))
		return false;
	*slot = slot_of[tx_seen];
	tx_seen = (tx_seen + 1) % RING;
	return true;
}

/* A ring that is not full: as many buffers as slots go around in it. */
static void offer(const uint8_t *buffer)
{
	rx[rx_tail] = (struct rx_descriptor){ .address = (uint64_t)buffer };
	rx_tail = (rx_tail + 1) % RING;
	rx_owed++;
}

static void push_rx(void)
{
	barrier();
	set(RDBAL + TAIL, rx_tail);
	rx_owed = 0;
}

static const uint8_t *receive(uint32_t *bytes)
{
	const struct rx_descriptor *d = &rx[rx_seen];

	if (held) {
		offer((const uint8_t *)d->address);
		rx_seen = (rx_seen + 1) % RING;
		d = &rx[rx_seen];
		held = false;
		if (rx_owed >= REFILL)
			push_rx();
	}
	if (!(*(const volatile uint8_t *)&d->status & DONE))
		return NULL;
	barrier();
	held = true;
	*bytes = d->errors || d->length > FRAME_SPACE ? 0 : d->length;
	return (const uint8_t *)d->address;
}

/* ---- life -------------------------------------------------------------------------- */

static bool reset(void)
{
	uint64_t deadline = clock_ns() + IO_WAIT;

	set(IMC, ~0u);
	set(CTRL, CTRL_RST);
	do
		pc_delay(10000);
	while (get(CTRL) & CTRL_RST && clock_ns() < deadline);
	set(IMC, ~0u);
	get(ICR);
	set(CTRL, get(CTRL) | CTRL_SLU);
	while (!(get(STATUS) & STATUS_LU))
		if (clock_ns() >= deadline)
			return false;
	return true;
}

static void place(uint32_t reg, const void *ring, uint32_t bytes)
{
	set(reg, (uint32_t)(uint64_t)ring);
	set(reg + 4, 0);
	set(reg + LENGTH, bytes);
	set(reg + HEAD, 0);
	set(reg + TAIL, 0);
}

static void start(void)
{
	memset(tx, 0, sizeof(tx));
	memset(rx, 0, sizeof(rx));
	tx_tail = tx_kicked = tx_seen = rx_tail = rx_seen = rx_owed = 0;
	held = false;
	place(RDBAL, rx, sizeof(rx));
	place(TDBAL, tx, sizeof(tx));
	set(TIPG, TIPG_IEEE);
	set(TCTL, TCTL_ON);
	set(RCTL, RCTL_ON);
	for (unsigned i = 0; i < NIC_SLOTS; i++)
		offer(nic_buffer(i));
	push_rx();
}

static void close(void)
{
	set(RCTL, 0);
	set(TCTL, 0);
	set(CTRL, CTRL_RST);
	pc_delay(10000);
}

enum io_found nic_e1000_open(struct nic *n)
{
	int found = probe.pc ? pci_find_id(DEVICE_VENDOR) : -1;
	uint32_t devfn = (uint32_t)found, low, high;

	if (found < 0)
		return IO_NONE;
	base = pci_bar(devfn, 0, BAR_HOME);
	pci_write(devfn, 4, (pci_read(devfn, 4) & 0xffff) | 0x406); /* memory, bus master, no INTx */
	if (!reset())
		return IO_FAILED;
	*n = (struct nic){ "e1000", { 0 }, send, kick, sent, receive, close };
	low = get(RAL);
	high = get(RAH);
	for (unsigned i = 0; i < 6; i++)
		n->mac[i] = (uint8_t)(i < 4 ? low >> 8 * i : high >> 8 * (i - 4));
	start();
	return IO_OPEN;
}
