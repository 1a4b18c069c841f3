/* SPDX-License-Identifier: MIT */
#include "virtio.h"
#include "pc.h"

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_pci.h>

#define VENDOR 0x1af4u
#define DEVICE_FIRST 0x1040u
#define TRANSITIONAL 0x0fffu /* and the id: of those that old drivers can use as well, card and disk */
#define QUEUES 3u
#define CAP_VENDOR 9u
#define CAPABILITIES 16 /* that are looked at, of a list that may go in circles */
#define BAR_HOME 0xfe000000u /* for BARs that nobody placed, or beyond what is mapped */

#define FEATURE(bit) (1ull << (bit))

static struct {
	uint8_t desc[VIRTQ_MAX * sizeof(struct vring_desc)];
	uint8_t avail[PAGE_BYTES], used[PAGE_BYTES];
} memory[QUEUES] PAGE_ALIGNED;

static uint8_t get8(const volatile uint8_t *p)
{
	return *p;
}

static void put8(volatile uint8_t *p, uint8_t value)
{
	*p = value;
}

static uint16_t get16(const volatile uint8_t *p)
{
	return *(const volatile uint16_t *)p;
}

static void put16(volatile uint8_t *p, uint16_t value)
{
	*(volatile uint16_t *)p = value;
}

static uint32_t get32(const volatile uint8_t *p)
{
	return *(const volatile uint32_t *)p;
}

static void put32(volatile uint8_t *p, uint32_t value)
{
	*(volatile uint32_t *)p = value;
}

static bool is_mmio(const struct virtio *v)
{
	return v->notify_each == 0;
}

/* ---- finding: PCI -------------------------------------------------------------- */

static volatile uint8_t *region(uint32_t devfn, uint32_t cap)
{
	uint32_t bar = pci_read(devfn, cap + 4) & 7;

	if (bar > 5)
		return NULL;
	return (volatile uint8_t *)pci_bar(devfn, bar, BAR_HOME + (devfn << 16)) + pci_read(devfn, cap + 8);
}

/* 4.1.4: where the structures are. */
static bool find_structures(struct virtio *v, uint32_t devfn)
{
	uint32_t cap = pci_read(devfn, 0x34) & 0xfc;

	for (unsigned i = 0; cap >= 0x40 && i < CAPABILITIES; i++) {
		uint32_t head = pci_read(devfn, cap), type = head >> 24;

		if ((head & 0xff) == CAP_VENDOR && type == VIRTIO_PCI_CAP_COMMON_CFG && !v->registers) {
			v->registers = region(devfn, cap);
		} else if ((head & 0xff) == CAP_VENDOR && type == VIRTIO_PCI_CAP_DEVICE_CFG && !v->config) {
			v->config = region(devfn, cap);
		} else if ((head & 0xff) == CAP_VENDOR && type == VIRTIO_PCI_CAP_NOTIFY_CFG && !v->notify) {
			v->notify = region(devfn, cap);
			v->notify_each = pci_read(devfn, cap + 16);
		}
		cap = head >> 8 & 0xfc;
	}
	return v->registers && v->config && v->notify && v->notify_each;
}

static enum io_found find_pci(struct virtio *v, uint32_t id)
{
	int found = pci_find_id((DEVICE_FIRST + id) << 16 | VENDOR);

	if (found < 0)
		found = pci_find_id((TRANSITIONAL + id) << 16 | VENDOR);
	if (found < 0)
		return IO_NONE;
	pci_write((uint32_t)found, 4, (pci_read((uint32_t)found, 4) & 0xffff) | 0x406); /* memory, bus master, no INTx */
	return find_structures(v, (uint32_t)found) ? IO_OPEN : IO_FAILED;
}

/* ---- finding: MMIO ---------------------------------------------------------------- */

static const uint8_t *dsdt(void)
{
	const uint8_t *rsdp = (const void *)probe.start->rsdp_paddr, *xsdt, *table;

	if (!rsdp)
		return NULL;
	xsdt = (const void *)*(const uint64_t *)(const void *)(rsdp + 24);
	for (uint32_t i = 36; i < *(const uint32_t *)(const void *)(xsdt + 4); i += 8) {
		table = (const void *)*(const uint64_t *)(const void *)(xsdt + i);
		if (memcmp(table, "FACP", 4) == 0)
			return (const void *)*(const uint64_t *)(const void *)(table + 140);
	}
	return NULL;
}

/*
 * AML is not interpreted: behind the id that such devices have, the first 32-bit
 * fixed memory range is the device's.
 */
static enum io_found find_mmio(struct virtio *v, uint32_t id)
{
	static const uint8_t range[] = { 0x86, 9, 0 };
	const uint8_t *b = probe.start ? dsdt() : NULL;
	uint32_t length = b ? *(const uint32_t *)(const void *)(b + 4) : 0;
	bool named = false;

	for (uint32_t i = 36; i + 12 < length; i++) {
		uint32_t base;

		named |= memcmp(b + i, "LNRO0005", 8) == 0;
		if (!named || memcmp(b + i, range, sizeof(range)) != 0)
			continue;
		named = false;
		memcpy(&base, b + i + 4, 4);
		v->registers = (volatile uint8_t *)(uint64_t)base;
		if (get32(v->registers + VIRTIO_MMIO_MAGIC_VALUE) != 0x74726976)
			return IO_FAILED;
		if (get32(v->registers + VIRTIO_MMIO_DEVICE_ID) != id)
			continue;
		v->config = v->registers + VIRTIO_MMIO_CONFIG;
		return get32(v->registers + VIRTIO_MMIO_VERSION) == 2 ? IO_OPEN : IO_FAILED;
	}
	return IO_NONE;
}

/* ---- both transports ---------------------------------------------------------------- */

static uint8_t status(const struct virtio *v)
{
	return is_mmio(v) ? (uint8_t)get32(v->registers + VIRTIO_MMIO_STATUS) :
	                    get8(v->registers + VIRTIO_PCI_COMMON_STATUS);
}

static void set_status(struct virtio *v, uint8_t value)
{
	if (is_mmio(v))
		put32(v->registers + VIRTIO_MMIO_STATUS, value);
	else
		put8(v->registers + VIRTIO_PCI_COMMON_STATUS, value);
}

/* Offered features, 32 of them. */
static uint32_t offered(struct virtio *v, uint32_t half)
{
	put32(v->registers + (is_mmio(v) ? VIRTIO_MMIO_DEVICE_FEATURES_SEL : VIRTIO_PCI_COMMON_DFSELECT), half);
	return get32(v->registers + (is_mmio(v) ? VIRTIO_MMIO_DEVICE_FEATURES : VIRTIO_PCI_COMMON_DF));
}

static void accept(struct virtio *v, uint32_t half, uint32_t features)
{
	put32(v->registers + (is_mmio(v) ? VIRTIO_MMIO_DRIVER_FEATURES_SEL : VIRTIO_PCI_COMMON_GFSELECT), half);
	put32(v->registers + (is_mmio(v) ? VIRTIO_MMIO_DRIVER_FEATURES : VIRTIO_PCI_COMMON_GF), features);
}

void virtio_close(struct virtio *v)
{
	uint64_t deadline = clock_ns() + IO_WAIT;

	set_status(v, 0);
	while (status(v) && clock_ns() < deadline)
		__asm__ volatile("pause");
}

static bool begin(struct virtio *v, uint64_t wanted, uint64_t *accepted)
{
	uint8_t steps = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;
	uint64_t has;

	virtio_close(v);
	set_status(v, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	set_status(v, steps);
	has = offered(v, 0) | (uint64_t)offered(v, 1) << 32;
	*accepted = has & (wanted | FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_RING_F_EVENT_IDX));
	accept(v, 0, (uint32_t)*accepted);
	accept(v, 1, (uint32_t)(*accepted >> 32));
	set_status(v, steps | VIRTIO_CONFIG_S_FEATURES_OK);
	v->event_index = *accepted & FEATURE(VIRTIO_RING_F_EVENT_IDX);
	return (*accepted & FEATURE(VIRTIO_F_VERSION_1)) && (status(v) & VIRTIO_CONFIG_S_FEATURES_OK);
}

enum io_found virtio_open(struct virtio *v, uint32_t id, uint64_t features, uint64_t *accepted)
{
	enum io_found found;

	memset(v, 0, sizeof(*v));
	if (probe.pv)
		return IO_NONE;
	found = probe.pc ? find_pci(v, id) : find_mmio(v, id);
	return found == IO_OPEN && !begin(v, features, accepted) ? IO_FAILED : found;
}

bool virtio_ready(struct virtio *v)
{
	set_status(v, status(v) | VIRTIO_CONFIG_S_DRIVER_OK);
	return !(status(v) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

static uint32_t generation(const struct virtio *v)
{
	return is_mmio(v) ? get32(v->registers + VIRTIO_MMIO_CONFIG_GENERATION) :
	                    get8(v->registers + VIRTIO_PCI_COMMON_CFGGENERATION);
}

/* The generation tells of a change between the halves (2.5.3). */
uint64_t virtio_config64(const struct virtio *v, unsigned at)
{
	uint32_t before;
	uint64_t value;
	unsigned tries = 0;

	do {
		before = generation(v);
		value = get32(v->config + at) | (uint64_t)get32(v->config + at + 4) << 32;
	} while (generation(v) != before && ++tries < 100);
	return value;
}

/* ---- queues ---------------------------------------------------------------------------- */

static void place(struct virtio *v, unsigned mmio, unsigned pci, const void *p)
{
	uint64_t at = (uint64_t)p;

	put32(v->registers + (is_mmio(v) ? mmio : pci), (uint32_t)at);
	put32(v->registers + (is_mmio(v) ? mmio : pci) + 4, (uint32_t)(at >> 32));
}

static unsigned size_of(struct virtio *v, uint32_t index)
{
	if (is_mmio(v)) {
		put32(v->registers + VIRTIO_MMIO_QUEUE_SEL, index);
		return get32(v->registers + VIRTIO_MMIO_QUEUE_NUM_MAX);
	}
	put16(v->registers + VIRTIO_PCI_COMMON_Q_SELECT, (uint16_t)index);
	return get16(v->registers + VIRTIO_PCI_COMMON_Q_SIZE);
}

bool virtio_queue(struct virtio *v, struct virtq *q, uint32_t index, unsigned size)
{
	unsigned most = index < QUEUES ? size_of(v, index) : 0;

	if (!most || size > VIRTQ_MAX)
		return false;
	memset(&memory[index], 0, sizeof(memory[index]));
	*q = (struct virtq){
		.device = v,
		.index = index,
		.ring = { size < most ? size : most, (void *)memory[index].desc, (void *)memory[index].avail,
		          (void *)memory[index].used },
	};
	q->ring.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	vring_used_event(&q->ring) = 0xffff;
	place(v, VIRTIO_MMIO_QUEUE_DESC_LOW, VIRTIO_PCI_COMMON_Q_DESCLO, q->ring.desc);
	place(v, VIRTIO_MMIO_QUEUE_AVAIL_LOW, VIRTIO_PCI_COMMON_Q_AVAILLO, q->ring.avail);
	place(v, VIRTIO_MMIO_QUEUE_USED_LOW, VIRTIO_PCI_COMMON_Q_USEDLO, q->ring.used);
	if (is_mmio(v)) {
		q->notify = (volatile uint16_t *)(v->registers + VIRTIO_MMIO_QUEUE_NOTIFY);
		put32(v->registers + VIRTIO_MMIO_QUEUE_NUM, q->ring.num);
		put32(v->registers + VIRTIO_MMIO_QUEUE_READY, 1);
		return get32(v->registers + VIRTIO_MMIO_QUEUE_READY) == 1;
	}
	q->notify = (volatile uint16_t *)(v->notify + v->notify_each * get16(v->registers + VIRTIO_PCI_COMMON_Q_NOFF));
	put16(v->registers + VIRTIO_PCI_COMMON_Q_SIZE, (uint16_t)q->ring.num);
	put16(v->registers + VIRTIO_PCI_COMMON_Q_ENABLE, 1);
	return get16(v->registers + VIRTIO_PCI_COMMON_Q_ENABLE) == 1;
}

void virtq_add(struct virtq *q, uint16_t head)
{
	q->ring.avail->ring[q->added++ % q->ring.num] = head;
}

static bool wants_kick(const struct virtq *q)
{
	const volatile uint16_t *event = &vring_avail_event(&q->ring);

	if (q->device->event_index)
		return vring_need_event(*event, q->added, q->kicked);
	return !(*(const volatile uint16_t *)&q->ring.used->flags & VRING_USED_F_NO_NOTIFY);
}

void virtq_kick(struct virtq *q)
{
	if (q->added == q->kicked)
		return;
	__atomic_store_n(&q->ring.avail->idx, q->added, __ATOMIC_RELEASE);
	__sync_synchronize();
	if (wants_kick(q)) {
		if (is_mmio(q->device))
			*(volatile uint32_t *)q->notify = q->index;
		else
			*q->notify = (uint16_t)q->index;
	}
	q->kicked = q->added;
}

/* The event that is asked for is always the last one, which has been: none comes for what is polled. */
bool virtq_reap(struct virtq *q, uint32_t *head, uint32_t *written)
{
	struct vring_used_elem e;

	if (__atomic_load_n(&q->ring.used->idx, __ATOMIC_ACQUIRE) == q->seen)
		return false;
	e = q->ring.used->ring[q->seen % q->ring.num];
	*(volatile uint16_t *)&vring_used_event(&q->ring) = q->seen++;
	*head = e.id < q->ring.num ? e.id : ~0u;
	*written = e.len;
	return true;
}
