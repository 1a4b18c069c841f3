/* SPDX-License-Identifier: MIT */
#include "dm/pc/ioapic.h"

/* Offsets in the page. */
#define SELECT 0x00u
#define WINDOW 0x10u
#define EOI 0x40u

/* Registers behind the window. */
#define REG_ID 0x00u
#define REG_VERSION 0x01u
#define REG_ARBITRATION 0x02u
#define REG_ENTRY 0x10u

#define ID_MASK 0x0f000000u

/* A redirection entry. */
#define ENTRY_VECTOR 0xffull
#define ENTRY_MODE(e) ((uint8_t)((e) >> 8 & 7))
#define ENTRY_LOGICAL (1ull << 11)
#define ENTRY_REMOTE_IRR (1ull << 14)
#define ENTRY_LEVEL (1ull << 15)
#define ENTRY_MASKED (1ull << 16)
#define ENTRY_DEST_SHIFT 56
#define ENTRY_WRITABLE 0xff0000000001afffull

/* ---- sending ---- */

/* The other modes are signals: they are sent for an edge, whatever the entry says. */
static bool is_level(uint64_t entry)
{
	return entry & ENTRY_LEVEL && ENTRY_MODE(entry) <= APIC_LOWEST;
}

static int send(struct ioapic *p, uint64_t entry)
{
	const struct apic_message m = {
		.dest = (uint32_t)(entry >> ENTRY_DEST_SHIFT),
		.vector = (uint8_t)(entry & ENTRY_VECTOR),
		.mode = ENTRY_MODE(entry),
		.logical = entry & ENTRY_LOGICAL,
		.level = is_level(entry),
	};

	return p->send(p->opaque, &m);
}

/*
 * A level that is not being served yet. Remote IRR stands for a target that
 * will answer with an end of interrupt; without a target it stays clear, and
 * the pin is looked at again when it or its entry changes.
 */
static int send_level(struct ioapic *p, uint32_t pin)
{
	int fate;

	if (!(p->lines & 1u << pin) || p->entry[pin] & (ENTRY_MASKED | ENTRY_REMOTE_IRR))
		return APIC_MERGED;
	fate = send(p, p->entry[pin]);
	if (fate != APIC_NOBODY)
		p->entry[pin] |= ENTRY_REMOTE_IRR;
	return fate;
}

int ioapic_set(struct ioapic *p, uint32_t pin, uint32_t level)
{
	int fate = APIC_MERGED;
	uint64_t entry;
	bool rises;

	if (pin >= IOAPIC_PINS)
		return APIC_NOBODY;
	pthread_mutex_lock(&p->lock);
	entry = p->entry[pin];
	rises = level && !(p->lines & 1u << pin);
	p->lines = level ? p->lines | 1u << pin : p->lines & ~(1u << pin);
	if (entry & ENTRY_MASKED)
		fate = APIC_NOBODY;
	else if (rises)
		fate = is_level(entry) ? send_level(p, pin) : send(p, entry);
	pthread_mutex_unlock(&p->lock);
	return fate;
}

int ioapic_edge_vector(struct ioapic *p, uint32_t pin)
{
	uint64_t entry;

	pthread_mutex_lock(&p->lock);
	entry = p->entry[pin];
	pthread_mutex_unlock(&p->lock);
	return is_level(entry) || (entry & ENTRY_MASKED) ? -1 : (int)(entry & ENTRY_VECTOR);
}

void ioapic_eoi(struct ioapic *p, uint32_t vector)
{
	pthread_mutex_lock(&p->lock);
	for (uint32_t pin = 0; pin < IOAPIC_PINS; pin++) {
		if ((p->entry[pin] & ENTRY_VECTOR) != vector || !(p->entry[pin] & ENTRY_REMOTE_IRR))
			continue;
		p->entry[pin] &= ~ENTRY_REMOTE_IRR;
		send_level(p, pin);
	}
	pthread_mutex_unlock(&p->lock);
}

/* ---- registers ---- */

/* An entry that becomes edge triggered forgets what it waits for: software's way to end it without EOI register. */
static void entry_changed(struct ioapic *p, uint32_t pin)
{
	if (is_level(p->entry[pin]))
		send_level(p, pin);
	else
		p->entry[pin] &= ~ENTRY_REMOTE_IRR;
}

static void write_entry(struct ioapic *p, uint32_t reg, uint32_t value)
{
	const uint32_t pin = (reg - REG_ENTRY) / 2, shift = (reg & 1) * 32;
	const uint64_t writable = ENTRY_WRITABLE & 0xffffffffull << shift;

	p->entry[pin] = (p->entry[pin] & ~writable) | ((uint64_t)value << shift & writable);
	entry_changed(p, pin);
}

static uint32_t read_reg(const struct ioapic *p, uint32_t reg)
{
	if (reg >= REG_ENTRY && reg < REG_ENTRY + 2 * IOAPIC_PINS)
		return (uint32_t)(p->entry[(reg - REG_ENTRY) / 2] >> (reg & 1) * 32);
	switch (reg) {
	case REG_ID:
	case REG_ARBITRATION: /* of a bus that is not there: loaded with the id, as on reset */
		return p->id;
	case REG_VERSION:
		return (IOAPIC_PINS - 1) << 16 | IOAPIC_VERSION;
	default:
		return 0;
	}
}

static void write_reg(struct ioapic *p, uint32_t reg, uint32_t value)
{
	if (reg >= REG_ENTRY && reg < REG_ENTRY + 2 * IOAPIC_PINS)
		write_entry(p, reg, value);
	else if (reg == REG_ID)
		p->id = value & ID_MASK;
}

/* ---- the page ---- */

static uint64_t page_read(void *opaque, uint64_t offset, uint32_t width)
{
	struct ioapic *p = opaque;
	uint64_t value = 0;

	(void)width;
	if (p->look)
		p->look(p->opaque);
	pthread_mutex_lock(&p->lock);
	if ((offset & ~3ull) == SELECT)
		value = p->select;
	else if ((offset & ~3ull) == WINDOW)
		value = read_reg(p, p->select);
	pthread_mutex_unlock(&p->lock);
	return value >> (offset & 3) * 8;
}

/* The window is 32 bits wide and no less; what selects has 8. */
static void page_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct ioapic *p = opaque;

	if (p->look)
		p->look(p->opaque);
	if (offset == EOI) {
		ioapic_eoi(p, (uint32_t)value & 0xff);
		return;
	}
	pthread_mutex_lock(&p->lock);
	if (offset == SELECT)
		p->select = (uint8_t)value;
	else if (offset == WINDOW && width >= 4)
		write_reg(p, p->select, (uint32_t)value);
	pthread_mutex_unlock(&p->lock);
}

const struct gamut_io_ops ioapic_ops = { sizeof(ioapic_ops), page_read, page_write, NULL, NULL };

/* ---- life cycle ---- */

void ioapic_reset(struct ioapic *p)
{
	pthread_mutex_lock(&p->lock);
	for (uint32_t pin = 0; pin < IOAPIC_PINS; pin++)
		p->entry[pin] = ENTRY_MASKED;
	p->id = 0;
	p->select = 0;
	pthread_mutex_unlock(&p->lock);
}

void ioapic_init(struct ioapic *p, int (*send_fn)(void *opaque, const struct apic_message *message), void *opaque)
{
	*p = (struct ioapic){ .send = send_fn, .opaque = opaque };
	pthread_mutex_init(&p->lock, NULL);
	ioapic_reset(p);
}

void ioapic_finish(struct ioapic *p)
{
	pthread_mutex_destroy(&p->lock);
}
