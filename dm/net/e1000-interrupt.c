/* SPDX-License-Identifier: MIT */
/*
 * Interrupts of the 82540EM (13.4.17 to 13.4.21, 3.2.7, 3.4.3): causes in ICR
 * under the mask IMS, the throttle ITR between two interrupts, and the timers
 * that put off the causes RXT0 (RDTR, and RADV as the longest) and TXDW (TIDV,
 * TADV). One timer of the host serves them all, set to the nearest.
 */
#include "dm/net/e1000-internal.h"

#define TICK     1024ull /* ns; of the delays */
#define ITR_TICK 256ull

static void set_level(struct e1000 *d, bool level)
{
	if (d->intr.level == level || !d->function)
		return;
	d->intr.level = level;
	d->bus->irq(d->bus_self, d->function, level);
}

static uint64_t nearer(uint64_t a, uint64_t b)
{
	if (!a || !b)
		return a ? a : b;
	return a < b ? a : b;
}

static void set_timer(struct e1000 *d, bool throttled)
{
	struct e1000_interrupt *i = &d->intr;
	uint64_t when = nearer(nearer(i->rx, i->rx_limit), nearer(i->tx, i->tx_limit));

	if (throttled)
		when = nearer(when, i->throttled);
	/* One that fires too early only looks, so it is not put off. */
	if (!when || (i->timer && i->timer <= when))
		return;
	i->timer = when;
	d->host->timer_set(d->inst, i->host_timer, when);
}

static void update(struct e1000 *d)
{
	struct e1000_interrupt *i = &d->intr;
	uint32_t itr = *e1000_reg(d, E1000_ITR) & 0xffff;
	uint64_t now;

	if (!(*e1000_reg(d, E1000_ICR) & *e1000_reg(d, E1000_IMS))) {
		set_level(d, false);
		return;
	}
	if (i->level)
		return;
	if (itr) {
		now = d->host->time_now(d->inst);
		if (i->throttled > now) {
			set_timer(d, true);
			return;
		}
		i->throttled = now + itr * ITR_TICK;
	}
	set_level(d, true);
}

void e1000_causes(struct e1000 *d, uint32_t causes)
{
	*e1000_reg(d, E1000_ICR) |= causes;
	update(d);
}

uint32_t e1000_icr_read(struct e1000 *d)
{
	uint32_t value = *e1000_reg(d, E1000_ICR);

	if (value) {
		*e1000_reg(d, E1000_ICR) = 0;
		update(d);
	}
	return value;
}

void e1000_rx_done(struct e1000 *d)
{
	struct e1000_interrupt *i = &d->intr;
	uint64_t now, delay = *e1000_reg(d, E1000_RDTR) & 0xffff, limit = *e1000_reg(d, E1000_RADV) & 0xffff;

	if (!delay) {
		e1000_causes(d, ICR_RXT0);
		return;
	}
	now = d->host->time_now(d->inst);
	i->rx = now + delay * TICK;
	if (limit && !i->rx_limit)
		i->rx_limit = now + limit * TICK;
	set_timer(d, false);
}

void e1000_tx_done(struct e1000 *d, bool delayed)
{
	struct e1000_interrupt *i = &d->intr;
	uint64_t now, delay = *e1000_reg(d, E1000_TIDV) & 0xffff, limit = *e1000_reg(d, E1000_TADV) & 0xffff;

	if (!delayed || !delay) {
		e1000_causes(d, ICR_TXDW);
		return;
	}
	now = d->host->time_now(d->inst);
	i->tx = now + delay * TICK;
	if (limit && !i->tx_limit)
		i->tx_limit = now + limit * TICK;
	set_timer(d, false);
}

static bool due(uint64_t when, uint64_t now)
{
	return when && when <= now;
}

void e1000_interrupt_timer(void *opaque)
{
	struct e1000 *d = opaque;
	struct e1000_interrupt *i = &d->intr;
	uint32_t causes = 0;
	uint64_t now;

	pthread_mutex_lock(&d->lock);
	now = d->host->time_now(d->inst);
	i->timer = 0;
	if (due(i->rx, now) || due(i->rx_limit, now)) {
		i->rx = i->rx_limit = 0;
		causes |= ICR_RXT0;
	}
	if (due(i->tx, now) || due(i->tx_limit, now)) {
		i->tx = i->tx_limit = 0;
		causes |= ICR_TXDW;
	}
	e1000_causes(d, causes);
	set_timer(d, false);
	pthread_mutex_unlock(&d->lock);
}

void e1000_interrupt_reset(struct e1000 *d)
{
	struct e1000_interrupt *i = &d->intr;

	set_level(d, false);
	d->host->timer_cancel(d->inst, i->host_timer);
	i->throttled = i->rx = i->rx_limit = i->tx = i->tx_limit = i->timer = 0;
}
