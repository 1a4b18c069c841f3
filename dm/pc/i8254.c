/* SPDX-License-Identifier: MIT */
#include "dm/pc/i8254.h"

#include <errno.h>

#include "dm/pc/apic-message.h"
#include "gamut/plugin.h"

/* The clock is a twelfth of 14.31818... MHz: 105 ticks in 88 us. */
#define TICKS 105u
#define PER_NS 88000u
#define REFRESH_TICKS 18u
/* The host timer comes no more often than this, whatever the guest asks for. */
#define TIMER_MIN_NS 20000u

/* Control word. */
#define SELECT(word) ((word) >> 6)
#define ACCESS(word) ((word) >> 4 & 3)
#define MODE(word) ((word) >> 1 & 7)
#define BCD 0x01u
#define READ_BACK 3u
#define NO_COUNT 0x20u  /* read-back: do not latch the count */
#define NO_STATUS 0x10u

/* Status. */
#define STATUS_OUT 0x80u
#define STATUS_NULL 0x40u

enum { LATCH, LOW_BYTE, HIGH_BYTE, BOTH_BYTES };

/* ---- time ---- */

static uint64_t tick_at(uint64_t ns)
{
	return (uint64_t)((unsigned __int128)ns * TICKS / PER_NS);
}

/* The first nanosecond of a tick. */
static uint64_t ns_of(uint64_t tick)
{
	return (uint64_t)(((unsigned __int128)tick * PER_NS + TICKS - 1) / TICKS);
}

static uint64_t now_ns(const struct i8254 *p)
{
	return p->host->time_now(p->inst);
}

static uint64_t now(const struct i8254 *p)
{
	return tick_at(now_ns(p));
}

/* ---- a counter ---- */

static bool periodic(const struct i8254_counter *c)
{
	return c->mode == 2 || c->mode == 3;
}

/* Started by the gate. */
static bool triggered(const struct i8254_counter *c)
{
	return c->mode == 1 || c->mode == 5;
}

static bool gate_holds(const struct i8254_counter *c)
{
	return !c->gate && !triggered(c);
}

static uint64_t elapsed(const struct i8254_counter *c, uint64_t at)
{
	if (gate_holds(c))
		return c->held;
	return at > c->start ? at - c->start : 0;
}

/* Ticks of the square wave's high part. */
static uint32_t high_part(uint32_t n)
{
	return (n + 1) / 2;
}

static uint32_t from_bcd(uint32_t v)
{
	return (v & 15) + (v >> 4 & 15) * 10 + (v >> 8 & 15) * 100 + (v >> 12 & 15) * 1000;
}

static uint32_t to_bcd(uint32_t v)
{
	return v % 10 | v / 10 % 10 << 4 | v / 100 % 10 << 8 | v / 1000 % 10 << 12;
}

/* Nought is the largest count. */
static uint32_t count_of(const struct i8254_counter *c, uint16_t written)
{
	uint32_t n = c->bcd ? from_bcd(written) : written;

	return n ? n : c->bcd ? 10000 : 65536;
}

/* When a count that is written now takes over: at the end of the period, or of the square wave's half. */
static uint64_t change_at(const struct i8254_counter *c, uint64_t at)
{
	uint64_t e = elapsed(c, at), period = e - e % c->n;

	if (gate_holds(c))
		return UINT64_MAX;
	if (c->mode == 3 && e % c->n < high_part(c->n))
		return c->start + period + high_part(c->n);
	return c->start + period + c->n;
}

/* The count that was written takes over. In a square wave's middle it begins with its low half. */
static void change(struct i8254_counter *c)
{
	const bool middle = c->mode == 3 && (c->change - c->start) % c->n == high_part(c->n);

	c->n = c->next;
	c->start = c->change - (middle ? high_part(c->n) : 0);
	c->next = 0;
}

static bool changes(const struct i8254_counter *c, uint64_t at)
{
	return c->next && at >= c->change;
}

/* Loads the count with the next clock. */
static void start(struct i8254_counter *c, uint64_t at)
{
	if (c->next)
		c->n = c->next;
	c->next = 0;
	c->start = at + 1;
	c->held = 0;
	c->running = true;
}

static bool output(const struct i8254_counter *c, uint64_t at)
{
	uint64_t e = elapsed(c, at);

	if (!c->loaded || !c->running)
		return c->mode != 0;
	switch (c->mode) {
	case 0:
		return e >= c->n;
	case 1:
		return e >= c->n;
	case 2:
		return !c->gate || e % c->n != c->n - 1;
	case 3:
		return !c->gate || e % c->n < high_part(c->n);
	default:
		return e != c->n;
	}
}

/* The counting element, as the bytes show it. */
static uint16_t value(const struct i8254_counter *c, uint64_t at)
{
	const uint32_t wrap = c->bcd ? 10000 : 65536;
	uint64_t e = elapsed(c, at), v;

	if (!c->running)
		v = c->n % wrap;
	else if (c->mode == 2)
		v = c->n - e % c->n;
	else if (c->mode != 3)
		v = (c->n + wrap - e % wrap) % wrap;
	else /* by two in each half, from the even number below */
		v = (c->n & ~1u) - 2 * (e % c->n < high_part(c->n) ? e % c->n : e % c->n - high_part(c->n));
	v %= wrap;
	return (uint16_t)(c->bcd ? to_bcd((uint32_t)v) : v);
}

/* ---- counter 0's line ---- */

static int set_line(struct i8254 *p, uint32_t level)
{
	if (p->level == level)
		return APIC_MERGED;
	p->level = level;
	return p->line(p->opaque, level);
}

/* Ticks of a period: gives one edge, and says what became of it. */
static int give_tick(struct i8254 *p)
{
	set_line(p, 0);
	return set_line(p, 1);
}

static void owed_are(struct i8254 *p, uint64_t ticks)
{
	__atomic_store_n(&p->owed, ticks, __ATOMIC_RELAXED);
}

static void forget(struct i8254 *p)
{
	owed_are(p, 0);
	p->repay = UINT64_MAX;
}

static void owe(struct i8254 *p, uint64_t ticks)
{
	const struct i8254_counter *c = &p->counter[0];
	const uint64_t most = tick_at(I8254_OWED_NS) / c->n + 1;

	ticks += p->owed;
	if (ticks > most)
		__atomic_fetch_add(p->lost, ticks - most, __ATOMIC_RELAXED);
	owed_are(p, ticks > most ? most : ticks);
}

static void settle(struct i8254 *p, int fate, uint64_t missed)
{
	if (fate == APIC_NOBODY)
		forget(p);
	else
		owe(p, missed + (fate == APIC_MERGED));
}

/* The rises up to a tick, which are no longer due then. */
static uint64_t rises_until(struct i8254 *p, uint64_t tick)
{
	const uint32_t n = p->counter[0].n;
	uint64_t due = tick < p->rise ? 0 : (tick - p->rise) / n + 1;

	p->rise += due * n;
	return due;
}

static uint64_t rises_due(struct i8254 *p, uint64_t at)
{
	struct i8254_counter *c = &p->counter[0];
	uint64_t due = 0;

	if (changes(c, at)) {
		due = rises_until(p, c->change);
		change(c);
		p->rise = c->start + c->n;
	}
	return due + rises_until(p, at);
}

static void pay_back(struct i8254 *p)
{
	int fate = give_tick(p);

	if (fate == APIC_TAKEN)
		owed_are(p, p->owed - 1);
	else if (fate == APIC_NOBODY)
		forget(p);
}

static void drive_periodic(struct i8254 *p, uint64_t at)
{
	const uint32_t half = p->counter[0].n / 2;
	uint64_t due = rises_due(p, at);

	if (due) {
		__atomic_fetch_add(p->late, due - 1, __ATOMIC_RELAXED);
		settle(p, give_tick(p), due - 1);
		p->repay = at + half;
		return;
	}
	set_line(p, 1);
	if (!p->owed || at < p->repay)
		return;
	/* One between two that are due. */
	pay_back(p);
	p->repay = UINT64_MAX;
}

/* When something is to happen to the line; UINT64_MAX: never. */
static uint64_t next_event(const struct i8254 *p, uint64_t at)
{
	const struct i8254_counter *c = &p->counter[0];
	uint64_t next;

	if (!c->running || gate_holds(c))
		return UINT64_MAX;
	if (periodic(c)) {
		next = p->owed && p->repay < p->rise ? p->repay : p->rise;
		return c->next && c->change < next ? c->change : next;
	}
	/* The strobes fall at the end and rise a tick later. */
	next = c->start + c->n + (c->mode >= 4);
	return next > at ? next : UINT64_MAX;
}

static void arm(struct i8254 *p, uint64_t at)
{
	uint64_t next = next_event(p, at), ns, least = now_ns(p) + TIMER_MIN_NS;

	if (next == UINT64_MAX) {
		p->host->timer_cancel(p->inst, p->timer);
		return;
	}
	ns = ns_of(next);
	/* One is exact; many in a row keep their distance. */
	p->host->timer_set(p->inst, p->timer, periodic(&p->counter[0]) && ns < least ? least : ns);
}

/*
 * Counter 0's line and timer after something has happened. In modes 2 and 3 the
 * line falls only when it is to rise: nothing but the request that is still
 * waiting could tell, and that is not to be lost. A strobe is shorter than any
 * timer, and given at its end.
 */
static void drive(struct i8254 *p)
{
	const struct i8254_counter *c = &p->counter[0];
	uint64_t at = now(p);

	if (c->running && periodic(c)) {
		drive_periodic(p, at);
	} else if (p->strobe && at > c->start + c->n) {
		p->strobe = false;
		give_tick(p);
	} else {
		set_line(p, output(c, at) || p->strobe);
	}
	arm(p, at);
}

static void timer_fires(void *opaque)
{
	struct i8254 *p = opaque;

	pthread_mutex_lock(&p->lock);
	drive(p);
	pthread_mutex_unlock(&p->lock);
}

void i8254_acknowledged(struct i8254 *p)
{
	const struct i8254_counter *c = &p->counter[0];

	pthread_mutex_lock(&p->lock);
	if (p->owed && c->running && periodic(c) && p->level)
		pay_back(p);
	pthread_mutex_unlock(&p->lock);
}

/* ---- what software and the gate do ---- */

/* What has happened by now has happened before what is done now. */
static void catch_up(struct i8254 *p, struct i8254_counter *c, uint64_t at)
{
	if (!changes(c, at))
		return;
	if (c == &p->counter[0])
		drive(p);
	else
		change(c);
}

/* Counter 0 was started anew. */
static void restarted(struct i8254 *p)
{
	const struct i8254_counter *c = &p->counter[0];

	p->rise = c->start + c->n;
	p->strobe = c->running && c->mode == 4;
	forget(p);
}

static void write_count(struct i8254 *p, struct i8254_counter *c, uint16_t written)
{
	uint64_t at = now(p);
	const bool goes_on = c->running && periodic(c);

	c->next = count_of(c, written);
	c->loaded = true;
	if (c == &p->counter[0])
		__atomic_fetch_add(p->programmed, 1, __ATOMIC_RELAXED);
	if (goes_on) {
		c->change = change_at(c, at);
	} else if (triggered(c)) {
		c->change = UINT64_MAX;
	} else {
		start(c, at);
		if (c == &p->counter[0])
			restarted(p);
	}
}

static void write_byte(struct i8254 *p, struct i8254_counter *c, uint8_t byte)
{
	if (c == &p->counter[0])
		drive(p);
	catch_up(p, c, now(p));
	if (c->access == BOTH_BYTES && !c->write_high) {
		c->low = byte;
		c->write_high = true;
		/* Half a count stops mode 0. */
		if (c->mode == 0)
			c->loaded = c->running = false;
	} else {
		write_count(p, c, (uint16_t)(c->access == LOW_BYTE ? byte
		                             : byte << 8 | (c->access == BOTH_BYTES ? c->low : 0)));
		c->write_high = false;
	}
	if (c == &p->counter[0])
		drive(p);
}

static void latch_count(struct i8254_counter *c, uint64_t at)
{
	if (c->latched)
		return;
	c->latched = true;
	c->latch = value(c, at);
}

static bool null_count(const struct i8254_counter *c, uint64_t at)
{
	return !c->loaded || c->next || at < c->start;
}

static void latch_status(struct i8254_counter *c, uint64_t at)
{
	if (c->status_latched)
		return;
	c->status_latched = true;
	c->status = (uint8_t)((output(c, at) ? STATUS_OUT : 0) | (null_count(c, at) ? STATUS_NULL : 0) |
	                      c->access << 4 | c->mode << 1 | (c->bcd ? BCD : 0));
}

static void read_back(struct i8254 *p, uint8_t word)
{
	uint64_t at = now(p);

	for (uint32_t i = 0; i < I8254_COUNTERS; i++) {
		if (!(word & 2u << i))
			continue;
		catch_up(p, &p->counter[i], at);
		if (!(word & NO_COUNT))
			latch_count(&p->counter[i], at);
		if (!(word & NO_STATUS))
			latch_status(&p->counter[i], at);
	}
}

/* A new mode: everything starts from here but the gate. Modes 6 and 7 are 2 and 3. */
static void set_mode(struct i8254 *p, struct i8254_counter *c, uint8_t word)
{
	*c = (struct i8254_counter){
		.gate = c->gate,
		.access = ACCESS(word),
		.mode = MODE(word) > 5 ? MODE(word) - 4 : MODE(word),
		.bcd = word & BCD,
		.n = 65536,
	};
	if (c == &p->counter[0]) {
		restarted(p);
		drive(p);
	}
}

static void write_control(struct i8254 *p, uint8_t word)
{
	struct i8254_counter *c;

	if (SELECT(word) == READ_BACK) {
		read_back(p, word);
		return;
	}
	c = &p->counter[SELECT(word)];
	catch_up(p, c, now(p));
	if (ACCESS(word) == LATCH) {
		latch_count(c, now(p));
		return;
	}
	if (c == &p->counter[0])
		drive(p);
	set_mode(p, c, word);
}

static uint8_t read_byte(struct i8254 *p, struct i8254_counter *c)
{
	uint64_t at = now(p);
	uint16_t v;
	bool high;

	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	catch_up(p, c, at);
	v = c->latched ? c->latch : value(c, at);
	high = c->access == HIGH_BYTE || (c->access == BOTH_BYTES && c->read_high);
	if (c->access == BOTH_BYTES)
		c->read_high = !c->read_high;
	/* A latch holds until all of it is read. */
	if (c->access != BOTH_BYTES || high)
		c->latched = false;
	return (uint8_t)(high ? v >> 8 : v);
}

/* A fall stops the count; a rise goes on (0, 4) or starts again (the others). */
static void set_gate(struct i8254 *p, struct i8254_counter *c, bool level)
{
	uint64_t at = now(p);

	if (c->gate == level)
		return;
	catch_up(p, c, at);
	if (!level) {
		c->held = elapsed(c, at);
		c->gate = false;
		if (c->next)
			c->change = UINT64_MAX;
		return;
	}
	c->gate = true;
	if (!c->loaded)
		return;
	if (c->mode == 0 || c->mode == 4)
		c->start = at - (c->held < at ? c->held : at);
	else
		start(c, at);
}

/* ---- for the platform ---- */

uint32_t i8254_output(struct i8254 *p, uint32_t counter)
{
	struct i8254_counter *c;
	uint32_t level;
	uint64_t at;

	if (counter >= I8254_COUNTERS)
		return 0;
	pthread_mutex_lock(&p->lock);
	c = &p->counter[counter];
	at = now(p);
	catch_up(p, c, at);
	level = output(c, at);
	pthread_mutex_unlock(&p->lock);
	return level;
}

void i8254_gate(struct i8254 *p, uint32_t counter, uint32_t level)
{
	if (counter != 2)
		return;
	pthread_mutex_lock(&p->lock);
	set_gate(p, &p->counter[counter], level != 0);
	pthread_mutex_unlock(&p->lock);
}

uint32_t i8254_refresh(const struct i8254 *p)
{
	return now(p) / REFRESH_TICKS & 1;
}

/* ---- ports; a wider access is one of bytes in a row ---- */

static uint64_t port_read(void *opaque, uint64_t offset, uint32_t width)
{
	struct i8254 *p = opaque;
	uint64_t value_read = 0;

	pthread_mutex_lock(&p->lock);
	for (uint32_t i = 0; i < width; i++) {
		/* The control word cannot be read. */
		uint64_t byte = offset + i < I8254_COUNTERS ? read_byte(p, &p->counter[offset + i]) : 0xff;

		value_read |= byte << i * 8;
	}
	pthread_mutex_unlock(&p->lock);
	return value_read;
}

static void port_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value_written)
{
	struct i8254 *p = opaque;

	pthread_mutex_lock(&p->lock);
	for (uint32_t i = 0; i < width && offset + i <= I8254_COUNTERS; i++) {
		uint8_t byte = (uint8_t)(value_written >> i * 8);

		if (offset + i == I8254_COUNTERS)
			write_control(p, byte);
		else
			write_byte(p, &p->counter[offset + i], byte);
	}
	pthread_mutex_unlock(&p->lock);
}

const struct gamut_io_ops i8254_ops = { sizeof(i8254_ops), port_read, port_write, NULL, NULL };

/* ---- life cycle ---- */

void i8254_reset(struct i8254 *p)
{
	pthread_mutex_lock(&p->lock);
	for (uint32_t i = 0; i < I8254_COUNTERS; i++)
		p->counter[i] = (struct i8254_counter){ .access = BOTH_BYTES, .n = 65536, .gate = i != 2 };
	restarted(p);
	drive(p);
	pthread_mutex_unlock(&p->lock);
}

int i8254_init(struct i8254 *p, const struct gamut_host *host, struct gamut_inst *inst,
               int (*line)(void *opaque, uint32_t level), void *opaque)
{
	*p = (struct i8254){ .host = host, .inst = inst, .line = line, .opaque = opaque };
	p->timer = host->timer_create(inst, timer_fires, p);
	if (!p->timer)
		return -ENOMEM;
	p->late = host->counter(inst, "pit-ticks-late");
	p->programmed = host->sign(inst, GAMUT_AXIS_INTERRUPTS, GAMUT_COLOUR_V, "PIT timer");
	p->lost = host->counter(inst, "pit-ticks-lost");
	pthread_mutex_init(&p->lock, NULL);
	i8254_reset(p);
	return 0;
}

void i8254_finish(struct i8254 *p)
{
	p->host->timer_destroy(p->inst, p->timer);
	pthread_mutex_destroy(&p->lock);
}
