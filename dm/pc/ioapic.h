/* SPDX-License-Identifier: MIT */
/*
 * The I/O APIC: an Intel 82093AA (data sheet 290566) with 24 pins, of version
 * 0x20, that is with the EOI register of its later kin (ICH, "I/O APIC"): both
 * Linux and SeaBIOS take either version, and with the register an end of
 * interrupt can be told to this I/O APIC alone.
 *
 * It has one lock. `send` is called with it held, and may take those of local
 * APICs; these hold none when they broadcast an end of interrupt to here.
 */
#ifndef DM_PC_IOAPIC_H
#define DM_PC_IOAPIC_H

#include <pthread.h>

#include "dm/pc/apic-message.h"
#include "gamut/host.h"
#include "gamut/irq.h"

#define IOAPIC_BASE GAMUT_IOAPIC_BASE
#define IOAPIC_SIZE 0x1000u
#define IOAPIC_PINS 24u
#define IOAPIC_VERSION 0x20u

struct ioapic {
	pthread_mutex_t lock;
	uint64_t entry[IOAPIC_PINS]; /* the redirection table as the guest reads it */
	uint32_t lines;              /* the pins, 1: asserted, whatever the polarity */
	uint32_t id;                 /* in bits 27:24 */
	uint8_t select;
	/* Returns enum apic_fate. */
	int (*send)(void *opaque, const struct apic_message *message);
	/* As of the 8259 pair. For an end of interrupt it is for the caller of ioapic_eoi to do. */
	void (*look)(void *opaque);
	void *opaque;
};

/* In power-on state, all pins low. [control] */
void ioapic_init(struct ioapic *p, int (*send)(void *opaque, const struct apic_message *message), void *opaque);
void ioapic_finish(struct ioapic *p);
/* Power-on state; the pins are what they were. [control] */
void ioapic_reset(struct ioapic *p);

/*
 * The level of a pin. Returns what became of a rising edge, enum apic_fate;
 * APIC_NOBODY also for a masked pin, APIC_MERGED when nothing was sent. [any]
 */
int ioapic_set(struct ioapic *p, uint32_t pin, uint32_t level);
/* The vector that the pin sends, edge-triggered and not masked; -1: another kind of entry. [any] */
int ioapic_edge_vector(struct ioapic *p, uint32_t pin);
/* A local APIC's end of interrupt for a level-triggered vector. [any] */
void ioapic_eoi(struct ioapic *p, uint32_t vector);

/* The opaque is the I/O APIC. */
extern const struct gamut_io_ops ioapic_ops;

#endif
