/* SPDX-License-Identifier: MIT */
/*
 * The I/O ports of a PV guest: channel 2 of an interval timer with its gate,
 * as Xen gives to every PV guest, and nothing else.
 */
#ifndef DM_XEN_PV_PORTS_H
#define DM_XEN_PV_PORTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct pv_domain;

struct pv_pit {
	pthread_mutex_t lock;
	uint64_t start;     /* domain time when count was loaded or the gate rose */
	uint32_t count;     /* 1 to 65536 */
	uint16_t latched;   /* read instead of the counter while latches > 0 */
	uint8_t latches;    /* bytes of latched still to be read */
	uint8_t status;     /* read-back of the status, when status_latched */
	bool status_latched;
	uint8_t mode, access; /* of the control word: 0 to 5; 1 low byte, 2 high byte, 3 both */
	uint8_t write_low;
	bool write_high_next, read_high_next;
	bool loaded;        /* a count was written since the control word */
	bool gate, speaker;
	uint8_t cmos_index;
};

void pv_pit_init(struct pv_pit *pit);
void pv_pit_finish(struct pv_pit *pit);
/* Power-on state. */
void pv_pit_reset(struct pv_pit *pit);

/* One access of 1, 2 or 4 bytes; what is not there reads as ones. [vcpu] */
uint32_t pv_port_read(struct pv_domain *d, uint32_t port, uint32_t bytes);
void pv_port_write(struct pv_domain *d, uint32_t port, uint32_t bytes, uint32_t value);

#endif
