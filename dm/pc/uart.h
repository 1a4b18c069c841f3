/* SPDX-License-Identifier: MIT */
/*
 * National Semiconductor PC16550D: a serial port with FIFOs, as in PCs (OUT2
 * gates the interrupt). And the serial ports of a PC together, as consoles see
 * them: GAMUT_SERIAL_PORTS.
 *
 * The line is as fast as the peer: what the guest sends leaves the transmitter
 * at once, into a buffer that is emptied a millisecond later or when enough has
 * come together. When the peer is slow and the buffer fills, the
 * transmitter stays full (THRE is 0) until there is room again: nothing is
 * dropped. Received bytes come as fast as the guest takes them. The receiver's
 * time-out is in character times of the divisor and frame that are set. The
 * peer sends only while somebody listens: see listens() in uart.c.
 */
#ifndef DM_PC_UART_H
#define DM_PC_UART_H

#include <pthread.h>
#include <stdbool.h>

#include "dm/pc/isa.h"
#include "gamut/pc.h"

#define UART_FIFO 16u
#define UART_PORTS 8u      /* size of its range of ports */
#define UART_POLLS 16u      /* so many mean that somebody waits for a byte */
#define UART_STAGE 4096u   /* bytes on their way to the peer; power of two */

struct uart {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct isa_line line;
	pthread_mutex_t lock; /* over all below */

	uint8_t ier, fcr, lcr, mcr, scratch;
	uint8_t msr_delta;  /* bits 0-3 of MSR */
	uint8_t lsr_errors; /* OE, and PE FE BI of the byte at the FIFO's head */
	uint16_t divisor;
	uint32_t thre_irq;  /* the transmitter's interrupt is pending */
	uint32_t timed_out; /* the character time-out's is */

	/* Receiver: a FIFO of one without FCR bit 0. errors are LSR bits of the bytes behind the head. */
	uint8_t rx[UART_FIFO], rx_errors[UART_FIFO];
	uint32_t rx_head, rx_count;
	uint64_t timeout_at; /* domain ns */
	uint32_t timeout_set; /* the timer runs */
	struct gamut_timer *timeout;
	uint32_t starved; /* send took less than it was given */
	uint64_t allowed_at; /* domain ns at which IER let the receiver interrupt */
	struct gamut_timer *allowed;
	uint32_t polls;   /* reads of LSR that found nothing since the last byte was sent, up to UART_POLLS */

	/* Transmitter: the chip's FIFO, which fills only when the stage is full. */
	uint8_t tx[UART_FIFO];
	uint32_t tx_head, tx_count;
	uint8_t stage[UART_STAGE];
	uint32_t stage_head, stage_tail; /* free running; the tail is moved on [io] only */
	uint32_t flush_set;              /* the timer runs */
	uint32_t peer_slow;              /* it took less than it was given: wait for kick */
	struct gamut_timer *flush_timer;
	struct gamut_defer *flush;

	struct gamut_serial_peer peer; /* receive NULL: none */
	void *peer_opaque;
	uint64_t *sent, *received, *held; /* counters: bytes, bytes, times that the transmitter had to wait */
};

extern const struct gamut_io_ops uart_io_ops;

/* name is what its counters begin with: "com1". */
int uart_init(struct uart *u, const struct gamut_host *host, struct gamut_inst *inst, const char *name);
/* base is 0x3f8, 0x2f8, ...; line 4, 3, ... */
int uart_register(struct uart *u, uint16_t base, const struct gamut_irq_lines_ops *lines, void *lines_self,
                  uint32_t line);
void uart_reset(struct uart *u);
/* What the guest has sent goes to the peer now, as far as it takes it. In stop and pause. [control] */
void uart_flush(struct uart *u);
void uart_finish(struct uart *u);

/* See struct gamut_serial_ops. */
int uart_attach(struct uart *u, const struct gamut_serial_peer *peer, void *opaque);
uint32_t uart_send(struct uart *u, const void *buf, uint32_t len);
void uart_kick(struct uart *u);

/* &ops is what interface() returns for GAMUT_SERIAL_PORTS; self is this. */
struct serial_ports {
	struct gamut_serial_ops ops;
	struct uart *uart; /* ops.count of them */
};

void serial_ports_init(struct serial_ports *s, struct uart *uart, uint32_t n);

#endif
