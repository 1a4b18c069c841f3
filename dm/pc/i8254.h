/* SPDX-License-Identifier: MIT */
/*
 * The 8254 interval timer of a PC: three counters at 1.193182 MHz (Intel 8254
 * data sheet, order 231164). Counter 0 drives interrupt line 0, counter 1 was
 * memory refresh, counter 2 is the speaker's and has a gate that software sets.
 *
 * Nothing ticks: a counter is the time at which it was loaded, and what it
 * shows is computed when somebody looks. A host timer is set for the edges of
 * counter 0's output alone.
 *
 * Ticks that come too late. In modes 2 and 3 software counts interrupts to know
 * the time, so a tick that could not be given is owed: one whose host timer ran
 * late, and one that came while the tick before had not been acknowledged
 * (KVM's "reinject"; Xen's timer_mode 0 does it with the guest's clock). Where
 * the guest says that it has dealt with a tick, the next that is owed follows at
 * once: a guest whose processor was taken away waits for several ticks by its
 * TSC, as Linux does to see that the timer works, and has to find them when it
 * is back. Else what is owed is paid back between the ticks that are due, one to
 * each, at twice the rate; and no more than I8254_OWED_NS worth is
 * ever owed, the rest is lost and counted. While the line is masked, and when
 * the counter is set anew, nothing is owed. A pause needs no policy: domain
 * time stands still.
 *
 * One lock. `line` is called with it held, and may take those of the interrupt
 * controllers.
 */
#ifndef DM_PC_I8254_H
#define DM_PC_I8254_H

#include <pthread.h>
#include <stdbool.h>

#include "gamut/host.h"

#define I8254_PORT 0x40u /* four ports */
#define I8254_COUNTERS 3u
#define I8254_OWED_NS 4000000000ull

struct i8254_counter {
	uint8_t mode;   /* 0-5 */
	uint8_t access; /* 1: low byte, 2: high byte, 3: low, then high */
	bool bcd, gate;

	bool loaded;      /* a count was written since the control word */
	bool running;     /* counting was begun: by that, or by the gate's rise */
	uint64_t start;   /* tick at which the count was, or will be, n; later ticks count down */
	uint64_t held;    /* while the gate is low: ticks that had passed since start */
	uint32_t n;       /* the count under way: 1 to 65536, BCD to 10000 */
	uint32_t next;    /* a count that was written and is not under way yet; 0: none */
	uint64_t change;  /* tick at which that begins; UINT64_MAX: when the gate rises */

	uint8_t low;      /* the low byte of a count, while the high one is awaited */
	bool write_high, read_high;
	bool latched, status_latched;
	uint16_t latch;
	uint8_t status;
};

struct i8254 {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	pthread_mutex_t lock;
	struct i8254_counter counter[I8254_COUNTERS];

	/* Line 0. Returns, for a rise, what became of it: enum apic_fate. */
	int (*line)(void *opaque, uint32_t level);
	void *opaque;
	struct gamut_timer *timer;
	uint32_t level;  /* of the line */
	uint64_t rise;   /* modes 2 and 3: tick of the next rise that is due */
	bool strobe;     /* mode 4: the pulse is still to come */
	uint64_t owed;   /* interrupts; atomic for who looks without the lock */
	uint64_t repay;  /* tick at which to give one of them */
	uint64_t *lost, *late; /* statistics */
	uint64_t *programmed;  /* sign: counter 0 was loaded */
};

/* Nothing programmed. 0 or -ENOMEM. [control] */
int i8254_init(struct i8254 *p, const struct gamut_host *host, struct gamut_inst *inst,
               int (*line)(void *opaque, uint32_t level), void *opaque);
void i8254_finish(struct i8254 *p);
void i8254_reset(struct i8254 *p);
/* The guest has dealt with an interrupt of line 0. [any] */
void i8254_acknowledged(struct i8254 *p);

/* OUT of a counter. [any] */
uint32_t i8254_output(struct i8254 *p, uint32_t counter);
/* GATE of a counter; those of 0 and 1 are tied high on a PC. [any] */
void i8254_gate(struct i8254 *p, uint32_t counter, uint32_t level);
/* Toggles every 15.085 us, whatever counter 1 is set to. [any] */
uint32_t i8254_refresh(const struct i8254 *p);

/* The opaque is the timer. */
extern const struct gamut_io_ops i8254_ops;

#endif
