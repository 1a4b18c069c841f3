/* SPDX-License-Identifier: MIT */
/*
 * Upcalls by an interrupt line of a PC: HVM_PARAM_CALLBACK_IRQ of the types
 * GSI and PCI INTx, for a guest that knows of event channels and takes its
 * interrupts from a PC's controllers all the same.
 *
 * As on Xen, the line is asserted for as long as vCPU 0 has
 * evtchn_upcall_pending set, and no vector of its own. The guest clears that in
 * memory, of which nobody hears; so whether it still stands is looked at
 * whenever it matters (upcall_line_look): when an interrupt controller is
 * accessed, at an end of interrupt, before a vector is fetched. A level that has
 * ended so interrupts no more, and one that stands is not lost.
 *
 * Other vCPUs' events have no line. Linux binds all to vCPU 0 then.
 */
#ifndef DM_XEN_UPCALL_LINE_H
#define DM_XEN_UPCALL_LINE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct upcall;

/* Where lines end: an input of the interrupt controllers, a pin of a PCI device (pin 1-4). [any] */
struct upcall_pins {
	void (*gsi)(void *opaque, uint32_t gsi, uint32_t level);
	void (*intx)(void *opaque, uint32_t device, uint32_t pin, uint32_t level);
	void *opaque;
};

struct upcall_line {
	struct upcall_pins pins; /* gsi NULL: there are none, and nothing is delivered. Constant once the domain has started */
	pthread_mutex_t lock;
	uint64_t via;  /* the param, when its type is one of the two; 0: none. Under the lock; atomic */
	uint32_t level; /* under the lock; atomic */
};

void upcall_line_init(struct upcall *up);
void upcall_line_finish(struct upcall *up);

/* The param has changed, to anything. [vcpu] */
void upcall_line_set(struct upcall *up, uint64_t via);
/* evtchn_upcall_pending of vCPU 0 has gone from 0 to 1. [any] */
void upcall_line_event(struct upcall *up);
/* It may have gone to 0. [any] */
void upcall_line_look(struct upcall *up);

#endif
