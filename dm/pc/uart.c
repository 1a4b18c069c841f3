/* SPDX-License-Identifier: MIT */
/*
 * National Semiconductor PC16550D (data sheet of June 1995): registers,
 * FIFOs, interrupts.
 *
 * Sending. A byte goes from the chip's FIFO into the stage, and the stage goes
 * to the peer on the I/O thread: one call for many bytes. The tail of the stage
 * belongs to that thread, so the peer is called without the lock.
 */
#include "dm/pc/uart.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FLUSH_NS 1000000u           /* how long a byte may wait for others */
#define FLUSH_BYTES (UART_STAGE / 4) /* and how many do not wait any longer */

enum { RBR = 0, THR = 0, IER = 1, IIR = 2, FCR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCR = 7 };

enum { IER_RX = 1, IER_TX = 2, IER_LINE = 4, IER_MODEM = 8, IER_ALL = 15 };
enum { IIR_MODEM = 0, IIR_NONE = 1, IIR_TX = 2, IIR_RX = 4, IIR_LINE = 6, IIR_TIMEOUT = 12, IIR_FIFO = 0xc0 };
enum { FCR_ENABLE = 1, FCR_CLEAR_RX = 2, FCR_CLEAR_TX = 4, FCR_DMA = 8, FCR_TRIGGER = 0xc0 };
enum { LCR_LENGTH = 3, LCR_STOP = 4, LCR_PARITY = 8, LCR_BREAK = 0x40, LCR_DLAB = 0x80 };
enum { MCR_DTR = 1, MCR_RTS = 2, MCR_OUT1 = 4, MCR_OUT2 = 8, MCR_LOOP = 16, MCR_ALL = 31 };
enum { LSR_DR = 1, LSR_OE = 2, LSR_PE = 4, LSR_FE = 8, LSR_BI = 16, LSR_THRE = 32, LSR_TEMT = 64, LSR_FIFO = 128 };
enum { LSR_BYTE = LSR_PE | LSR_FE | LSR_BI, LSR_ERRORS = LSR_OE | LSR_BYTE };
enum { MSR_RI_DELTA = 4, MSR_CTS = 16, MSR_DSR = 32, MSR_RI = 64, MSR_DCD = 128 };

#define ALLOWED_NS 20000000u /* so long may the receiver interrupt: somebody means it */

/* ---- lines and interrupts; all under the lock ---- */

static uint32_t fifo_size(const struct uart *u)
{
	return u->fcr & FCR_ENABLE ? UART_FIFO : 1;
}

static uint32_t trigger(const struct uart *u)
{
	static const uint8_t level[4] = { 1, 4, 8, 14 };

	return u->fcr & FCR_ENABLE ? level[u->fcr >> 6] : 1;
}

/* What is pending and enabled, by priority. */
static uint8_t identify(const struct uart *u)
{
	if (u->ier & IER_LINE && u->lsr_errors)
		return IIR_LINE;
	if (u->ier & IER_RX && u->rx_count >= trigger(u))
		return IIR_RX;
	if (u->ier & IER_RX && u->timed_out)
		return IIR_TIMEOUT;
	if (u->ier & IER_TX && u->thre_irq)
		return IIR_TX;
	return u->ier & IER_MODEM && u->msr_delta ? IIR_MODEM : IIR_NONE;
}

/* OUT2 enables the line's driver; the loop takes the pin away from MCR. */
static void update(struct uart *u)
{
	isa_line_set(&u->line, identify(u) != IIR_NONE && (u->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2);
}

/* Bits 4-7 of MSR. */
static uint8_t modem_inputs(const struct uart *u)
{
	if (u->mcr & MCR_LOOP)
		return (u->mcr & MCR_DTR ? MSR_DSR : 0) | (u->mcr & MCR_RTS ? MSR_CTS : 0) |
		       (u->mcr & MCR_OUT1 ? MSR_RI : 0) | (u->mcr & MCR_OUT2 ? MSR_DCD : 0);
	return u->peer.receive ? MSR_CTS | MSR_DSR | MSR_DCD : 0;
}

/* RI's delta is of its trailing edge only. */
static void modem_changed(struct uart *u, uint8_t before)
{
	uint8_t now = modem_inputs(u), changed = before ^ now;

	if (now & MSR_RI)
		changed &= (uint8_t)~MSR_RI;
	u->msr_delta |= changed >> 4;
}

/* ---- receiver ---- */

/* A start bit, the data, parity, stop bits; the clock is 1.8432 MHz / 16. */
static uint64_t character_ns(const struct uart *u)
{
	uint32_t bits = 1 + 5 + (u->lcr & LCR_LENGTH) + !!(u->lcr & LCR_PARITY) + (u->lcr & LCR_STOP ? 2 : 1);

	return (uint64_t)bits * (u->divisor ? u->divisor : 1) * 1000000000u / 115200;
}

/* The time-out counts from the last byte that came or was read. The timer is set once and looks again. */
static void restart_timeout(struct uart *u)
{
	u->timed_out = 0;
	if (!(u->fcr & FCR_ENABLE) || !u->rx_count)
		return;
	u->timeout_at = u->host->time_now(u->inst) + 4 * character_ns(u);
	if (!u->timeout_set)
		u->host->timer_set(u->inst, u->timeout, u->timeout_at);
	u->timeout_set = 1;
}

static void timeout_fired(void *opaque)
{
	struct uart *u = opaque;

	pthread_mutex_lock(&u->lock);
	u->timeout_set = 0;
	if (u->fcr & FCR_ENABLE && u->rx_count && !u->timed_out) {
		if (u->host->time_now(u->inst) >= u->timeout_at) {
			u->timed_out = 1;
			update(u);
		} else {
			u->timeout_set = 1;
			u->host->timer_set(u->inst, u->timeout, u->timeout_at);
		}
	}
	pthread_mutex_unlock(&u->lock);
}

/* The errors of the byte that has come to the head show in LSR. */
static void show_head(struct uart *u)
{
	if (!u->rx_count)
		return;
	u->lsr_errors |= u->rx_errors[u->rx_head];
	u->rx_errors[u->rx_head] = 0;
}

/* The last byte of a full FIFO is lost; a receiver without one is written over. */
static void receive(struct uart *u, uint8_t byte, uint8_t errors)
{
	uint32_t size = fifo_size(u), at;

	if (u->rx_count == size) {
		u->lsr_errors |= LSR_OE;
		if (u->fcr & FCR_ENABLE)
			return;
		u->rx_count = 0;
	}
	at = (u->rx_head + u->rx_count++) % UART_FIFO;
	u->rx[at] = byte;
	u->rx_errors[at] = errors;
	if (u->rx_count == 1)
		show_head(u);
	restart_timeout(u);
}

/*
 * The peer obeys RTS, as with a cable that has it on CTS: what is sent to a
 * driver that has not opened the port yet would be thrown away when it empties
 * the FIFOs. Software that leaves RTS alone is heard by what it does: it lets
 * the receiver interrupt, for some time and not only while it sets up the chip,
 * or reads LSR again and again.
 */
static bool listens(const struct uart *u)
{
	if (u->mcr & MCR_LOOP)
		return false;
	return u->mcr & MCR_RTS || u->polls >= UART_POLLS ||
	       (u->ier & IER_RX && u->host->time_now(u->inst) >= u->allowed_at + ALLOWED_NS);
}

static void tell_room(struct uart *u)
{
	if (!u->starved || !listens(u) || u->rx_count == fifo_size(u))
		return;
	u->starved = 0;
	if (u->peer.receive && u->peer.room)
		u->peer.room(u->peer_opaque);
}

static void allowed_long(void *opaque)
{
	struct uart *u = opaque;

	pthread_mutex_lock(&u->lock);
	tell_room(u);
	pthread_mutex_unlock(&u->lock);
}

static uint8_t read_rbr(struct uart *u)
{
	uint8_t byte = u->rx[u->rx_head];

	if (!u->rx_count)
		return byte;
	u->rx_head = (u->rx_head + 1) % UART_FIFO;
	u->rx_count--;
	show_head(u);
	restart_timeout(u);
	tell_room(u);
	return byte;
}

static void clear_rx(struct uart *u)
{
	u->rx_count = 0;
	u->timed_out = 0;
	memset(u->rx_errors, 0, sizeof(u->rx_errors));
	tell_room(u);
}

static uint8_t read_lsr(struct uart *u)
{
	uint8_t value = u->lsr_errors | (u->rx_count ? LSR_DR : 0) | (u->tx_count ? 0 : LSR_THRE | LSR_TEMT);
	uint8_t behind = u->lsr_errors & LSR_BYTE;

	for (uint32_t i = 0; i < u->rx_count; i++)
		behind |= u->rx_errors[(u->rx_head + i) % UART_FIFO];
	if (behind && u->fcr & FCR_ENABLE)
		value |= LSR_FIFO;
	u->lsr_errors = 0;
	/* Without THRE it is the transmitter that is waited for. */
	if (!(value & LSR_DR) && value & LSR_THRE && u->polls < UART_POLLS && ++u->polls == UART_POLLS)
		tell_room(u);
	return value;
}

/* ---- transmitter ---- */

static uint32_t staged(const struct uart *u)
{
	return u->stage_head - u->stage_tail;
}

/* With nobody at the other end a byte is sent, and gone. */
static void stage(struct uart *u, uint8_t byte)
{
	if (!u->peer.receive)
		return;
	u->stage[u->stage_head++ % UART_STAGE] = byte;
	if (staged(u) == FLUSH_BYTES && !u->peer_slow)
		u->host->defer_run(u->inst, u->flush);
	if (u->flush_set || u->peer_slow)
		return;
	u->flush_set = 1;
	u->host->timer_set(u->inst, u->flush_timer, u->host->time_now(u->inst) + FLUSH_NS);
}

/* The chip's FIFO empties as far as there is room; when it is empty, that is THRE's interrupt. */
static void shift_out(struct uart *u)
{
	if (!u->tx_count)
		return;
	while (u->tx_count && (u->mcr & MCR_LOOP || staged(u) < UART_STAGE)) {
		uint8_t byte = u->tx[u->tx_head];

		u->tx_head = (u->tx_head + 1) % UART_FIFO;
		u->tx_count--;
		if (u->mcr & MCR_LOOP)
			receive(u, byte, 0);
		else
			stage(u, byte);
	}
	if (!u->tx_count)
		u->thre_irq = 1;
}

/* Behind a full FIFO the byte is lost, as on the chip: THRE has not asked for it. */
static void write_thr(struct uart *u, uint8_t byte)
{
	uint32_t size = fifo_size(u);

	u->polls = 0;
	u->thre_irq = 0;
	if (u->tx_count == size) {
		if (size > 1)
			return;
		u->tx_count = 0;
	}
	u->tx[(u->tx_head + u->tx_count++) % UART_FIFO] = byte;
	isa_count(u->sent, 1);
	shift_out(u);
	if (u->tx_count == 1)
		isa_count(u->held, 1);
}

static void clear_tx(struct uart *u)
{
	if (u->tx_count)
		u->thre_irq = 1;
	u->tx_count = 0;
}

/* One piece of the stage to the peer, without the lock. Whether to go on. */
static bool flush_piece(struct uart *u)
{
	uint32_t at = u->stage_tail % UART_STAGE, n = staged(u), took;

	if (n > UART_STAGE - at)
		n = UART_STAGE - at;
	if (!n || !u->peer.receive)
		return false;
	/* A kick that comes from within the call takes this back. */
	u->peer_slow = 1;
	pthread_mutex_unlock(&u->lock);
	took = u->peer.receive(u->peer_opaque, u->stage + at, n);
	pthread_mutex_lock(&u->lock);
	u->stage_tail += took < n ? took : n;
	if (took >= n)
		u->peer_slow = 0;
	shift_out(u);
	return took >= n;
}

static void flush(void *opaque)
{
	struct uart *u = opaque;

	pthread_mutex_lock(&u->lock);
	u->flush_set = 0;
	/* A guest that sends all the time keeps this up for one stage at most. */
	for (int piece = 0; piece < 2 && !u->peer_slow && flush_piece(u); piece++)
		;
	if (staged(u) && !u->peer_slow && !u->flush_set) {
		u->flush_set = 1;
		u->host->timer_set(u->inst, u->flush_timer, u->host->time_now(u->inst) + FLUSH_NS);
	}
	update(u);
	pthread_mutex_unlock(&u->lock);
}

void uart_flush(struct uart *u)
{
	flush(u);
}

/* ---- registers ---- */

static uint8_t read_iir(struct uart *u)
{
	uint8_t value = identify(u);

	if (value == IIR_TX)
		u->thre_irq = 0;
	return value | (u->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static uint8_t read_msr(struct uart *u)
{
	uint8_t value = modem_inputs(u) | u->msr_delta;

	u->msr_delta = 0;
	return value;
}

static void write_ier(struct uart *u, uint8_t value)
{
	if (value & ~u->ier & IER_TX && !u->tx_count)
		u->thre_irq = 1;
	if (value & ~u->ier & IER_RX) {
		u->allowed_at = u->host->time_now(u->inst);
		u->host->timer_set(u->inst, u->allowed, u->allowed_at + ALLOWED_NS);
	}
	u->ier = value & IER_ALL;
}

/* The other bits count only together with bit 0; a change of bit 0 empties both FIFOs. */
static void write_fcr(struct uart *u, uint8_t value)
{
	uint8_t before = u->fcr;

	u->fcr = value & FCR_ENABLE ? value & (FCR_ENABLE | FCR_DMA | FCR_TRIGGER) : 0;
	if ((before ^ value) & FCR_ENABLE)
		value |= FCR_CLEAR_RX | FCR_CLEAR_TX;
	else if (!(value & FCR_ENABLE))
		return;
	if (value & FCR_CLEAR_RX)
		clear_rx(u);
	if (value & FCR_CLEAR_TX)
		clear_tx(u);
}

/* A break that begins is, in the loop, a zero without a stop bit. */
static void write_lcr(struct uart *u, uint8_t value)
{
	if (value & ~u->lcr & LCR_BREAK && u->mcr & MCR_LOOP)
		receive(u, 0, LSR_BI | LSR_FE);
	u->lcr = value;
}

static void write_mcr(struct uart *u, uint8_t value)
{
	uint8_t before = modem_inputs(u);

	u->mcr = value & MCR_ALL;
	modem_changed(u, before);
	shift_out(u);
	tell_room(u);
}

static uint8_t read_register(struct uart *u, uint32_t reg)
{
	bool dlab = u->lcr & LCR_DLAB;

	switch (reg) {
	case RBR:
		return dlab ? (uint8_t)u->divisor : read_rbr(u);
	case IER:
		return dlab ? (uint8_t)(u->divisor >> 8) : u->ier;
	case IIR:
		return read_iir(u);
	case LCR:
		return u->lcr;
	case MCR:
		return u->mcr;
	case LSR:
		return read_lsr(u);
	case MSR:
		return read_msr(u);
	default:
		return u->scratch;
	}
}

static void write_register(struct uart *u, uint32_t reg, uint8_t value)
{
	bool dlab = u->lcr & LCR_DLAB;

	switch (reg) {
	case THR:
		if (dlab)
			u->divisor = (u->divisor & 0xff00) | value;
		else
			write_thr(u, value);
		break;
	case IER:
		if (dlab)
			u->divisor = (uint16_t)((u->divisor & 0xff) | value << 8);
		else
			write_ier(u, value);
		break;
	case FCR:
		write_fcr(u, value);
		break;
	case LCR:
		write_lcr(u, value);
		break;
	case MCR:
		write_mcr(u, value);
		break;
	case SCR:
		u->scratch = value;
		break;
	default: /* LSR and MSR: for the factory's tests; nothing changes */
		break;
	}
}

static uint8_t port_read(void *opaque, uint32_t offset)
{
	struct uart *u = opaque;
	uint8_t value;

	pthread_mutex_lock(&u->lock);
	value = read_register(u, offset % UART_PORTS);
	update(u);
	pthread_mutex_unlock(&u->lock);
	return value;
}

static void port_write(void *opaque, uint32_t offset, uint8_t value)
{
	struct uart *u = opaque;

	pthread_mutex_lock(&u->lock);
	write_register(u, offset % UART_PORTS, value);
	update(u);
	pthread_mutex_unlock(&u->lock);
}

static uint64_t io_read(void *opaque, uint64_t offset, uint32_t width)
{
	return isa_read(port_read, opaque, offset, width);
}

static void io_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	isa_write(port_write, opaque, offset, width, value);
}

const struct gamut_io_ops uart_io_ops = {
	.size = sizeof(struct gamut_io_ops),
	.read = io_read,
	.write = io_write,
};

/* ---- life ---- */

static uint64_t *counter(struct uart *u, const char *name, const char *what)
{
	char full[48];

	snprintf(full, sizeof(full), "%s-%s", name, what);
	return u->host->counter(u->inst, full);
}

int uart_init(struct uart *u, const struct gamut_host *host, struct gamut_inst *inst, const char *name)
{
	memset(u, 0, sizeof(*u));
	u->host = host;
	u->inst = inst;
	pthread_mutex_init(&u->lock, NULL);
	u->timeout = host->timer_create(inst, timeout_fired, u);
	u->flush_timer = host->timer_create(inst, flush, u);
	u->allowed = host->timer_create(inst, allowed_long, u);
	u->flush = host->defer_create(inst, flush, u);
	if (!u->timeout || !u->flush_timer || !u->allowed || !u->flush) {
		uart_finish(u);
		return -ENOMEM;
	}
	u->sent = counter(u, name, "sent");
	u->received = counter(u, name, "received");
	u->held = counter(u, name, "held");
	u->divisor = 12;
	uart_reset(u);
	return 0;
}

int uart_register(struct uart *u, uint16_t base, const struct gamut_irq_lines_ops *lines, void *lines_self,
                  uint32_t line)
{
	u->line = (struct isa_line){ .ops = lines, .self = lines_self, .number = line };
	return u->host->pio_register(u->inst, base, UART_PORTS, &uart_io_ops, u);
}

/* The master reset pin leaves divisor and scratch alone. What has been sent is on the line already. */
void uart_reset(struct uart *u)
{
	pthread_mutex_lock(&u->lock);
	u->ier = u->fcr = u->lcr = u->mcr = 0;
	u->msr_delta = u->lsr_errors = 0;
	u->tx_count = 0;
	u->thre_irq = 0;
	u->polls = 0;
	clear_rx(u);
	/* The FIFO's bytes, too: RBR shows one whether there is any or not. */
	u->rx_head = 0;
	memset(u->rx, 0, sizeof(u->rx));
	update(u);
	pthread_mutex_unlock(&u->lock);
}

void uart_finish(struct uart *u)
{
	if (!u->host)
		return;
	if (u->timeout)
		u->host->timer_destroy(u->inst, u->timeout);
	if (u->flush_timer)
		u->host->timer_destroy(u->inst, u->flush_timer);
	if (u->allowed)
		u->host->timer_destroy(u->inst, u->allowed);
	if (u->flush)
		u->host->defer_destroy(u->inst, u->flush);
	pthread_mutex_destroy(&u->lock);
	u->host = NULL;
}

/* ---- the other end ---- */

/* The I/O thread is parked: what is staged is ours. */
static void detach(struct uart *u)
{
	u->peer_slow = 0;
	while (flush_piece(u))
		;
	memset(&u->peer, 0, sizeof(u->peer));
	u->stage_tail = u->stage_head;
}

/* A peer that goes is given what has been sent to it, as far as it takes it. */
int uart_attach(struct uart *u, const struct gamut_serial_peer *peer, void *opaque)
{
	uint8_t before;

	if (peer && (!GAMUT_HAS(peer, struct gamut_serial_peer, receive) || !peer->receive))
		return -EINVAL;
	pthread_mutex_lock(&u->lock);
	if (peer && u->peer.receive) {
		pthread_mutex_unlock(&u->lock);
		return -EBUSY;
	}
	before = modem_inputs(u);
	detach(u);
	if (peer)
		memcpy(&u->peer, peer, peer->size < sizeof(u->peer) ? peer->size : sizeof(u->peer));
	u->peer_opaque = opaque;
	u->peer_slow = u->starved = 0;
	modem_changed(u, before);
	shift_out(u);
	update(u);
	pthread_mutex_unlock(&u->lock);
	return 0;
}

uint32_t uart_send(struct uart *u, const void *buf, uint32_t len)
{
	const uint8_t *p = buf;
	uint32_t n = 0;

	pthread_mutex_lock(&u->lock);
	while (n < len && listens(u) && u->rx_count < fifo_size(u))
		receive(u, p[n++], 0);
	u->starved = n < len;
	update(u);
	pthread_mutex_unlock(&u->lock);
	isa_count(u->received, n);
	return n;
}

void uart_kick(struct uart *u)
{
	pthread_mutex_lock(&u->lock);
	u->peer_slow = 0;
	u->host->defer_run(u->inst, u->flush);
	pthread_mutex_unlock(&u->lock);
}

/* ---- all of a PC's ---- */

static int ports_attach(void *self, uint32_t port, const struct gamut_serial_peer *peer, void *opaque)
{
	struct serial_ports *s = self;

	return port < s->ops.count ? uart_attach(&s->uart[port], peer, opaque) : -ENOENT;
}

static uint32_t ports_send(void *self, uint32_t port, const void *buf, uint32_t len)
{
	struct serial_ports *s = self;

	return port < s->ops.count ? uart_send(&s->uart[port], buf, len) : 0;
}

static void ports_kick(void *self, uint32_t port)
{
	struct serial_ports *s = self;

	if (port < s->ops.count)
		uart_kick(&s->uart[port]);
}

void serial_ports_init(struct serial_ports *s, struct uart *uart, uint32_t n)
{
	s->uart = uart;
	s->ops = (struct gamut_serial_ops){
		.size = sizeof(struct gamut_serial_ops),
		.count = n,
		.attach = ports_attach,
		.send = ports_send,
		.kick = ports_kick,
	};
}
