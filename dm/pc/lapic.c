/* SPDX-License-Identifier: MIT */
/*
 * Requests, priorities, service.
 *
 * A vector's upper four bits are its class. A request is delivered when its
 * class is above that of the processor priority, which is the higher of the
 * task priority and the class in service; the guest ends service with EOI.
 */
#include "dm/pc/lapic-internal.h"

#include <errno.h>
#include <stdlib.h>

#include "gamut/plugin.h"

/* ---- 256-bit registers ---- */

static uint32_t load(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

/* False when it was set. */
static bool set_bit(uint32_t map[8], uint32_t n)
{
	return !(__atomic_fetch_or(&map[n / 32], 1u << n % 32, __ATOMIC_SEQ_CST) & 1u << n % 32);
}

static bool test_bit(const uint32_t map[8], uint32_t n)
{
	return load(&map[n / 32]) & 1u << n % 32;
}

static void clear_bit(uint32_t map[8], uint32_t n)
{
	__atomic_fetch_and(&map[n / 32], ~(1u << n % 32), __ATOMIC_SEQ_CST);
}

/* -1 when there is none. */
static int highest(const uint32_t map[8])
{
	for (int i = 7; i >= 0; i--) {
		uint32_t word = load(&map[i]);

		if (word)
			return i * 32 + 31 - __builtin_clz(word);
	}
	return -1;
}

/* ---- priorities ---- */

uint32_t lapic_ppr(const struct lapic *a)
{
	uint32_t tpr = load(&a->tpr);
	int isr = highest(a->isr);
	uint32_t class = isr < 0 ? 0 : (uint32_t)isr & 0xf0;

	return (tpr & 0xf0) >= class ? tpr : class;
}

/* The vector that may be delivered now, or -1. */
static int deliverable(const struct lapic *a)
{
	int vector;

	if (!lapic_enabled(a))
		return -1;
	vector = highest(a->irr);
	return vector >= 0 && ((uint32_t)vector & 0xf0) > (lapic_ppr(a) & 0xf0) ? vector : -1;
}

static void raise_irq(const struct lapic *a)
{
	a->set->host->irq_raise(a->set->inst, a->vcpu);
}

/*
 * With an offer of PV EOI out (lapic-pveoi.c), what looks in service may have
 * ended: whoever waits for that is to be looked at, and is by lapic_accept.
 */
static bool maybe_deliverable(const struct lapic *a)
{
	if (deliverable(a) >= 0 || lapic_extint(a))
		return true;
	return load(&a->pv_offered) && lapic_enabled(a) && highest(a->irr) >= 0;
}

void lapic_recheck(struct lapic *a)
{
	if (maybe_deliverable(a))
		raise_irq(a);
}

bool lapic_end_can_wait(const struct lapic *a, uint32_t vector)
{
	return highest(a->irr) < 0 && !test_bit(a->tmr, vector);
}

/*
 * The kick comes after every request, not only after the first of its vector:
 * what an earlier kick has led to cannot be seen from here.
 */
bool lapic_request(struct lapic *a, uint8_t vector, bool level)
{
	bool new;

	if (level)
		set_bit(a->tmr, vector);
	else
		clear_bit(a->tmr, vector);
	new = set_bit(a->irr, vector);
	raise_irq(a);
	return new;
}

/* The end of a level-triggered one goes on to the I/O APIC, unless software does that by itself. */
void lapic_eoi(struct lapic *a)
{
	const struct lapics *s = a->set;
	int vector;
	bool broadcast;

	pthread_mutex_lock(&a->lock);
	vector = highest(a->isr);
	if (vector >= 0) {
		clear_bit(a->isr, (uint32_t)vector);
		lapic_lint_eoi(a, (uint32_t)vector);
	}
	broadcast = vector >= 0 && test_bit(a->tmr, (uint32_t)vector) && !(load(&a->svr) & SVR_SUPPRESS);
	pthread_mutex_unlock(&a->lock);
	if (broadcast && s->eoi)
		s->eoi(s->board, (uint32_t)vector);
	if (vector >= 0 && s->owing && __atomic_load_n(s->owing, __ATOMIC_RELAXED))
		s->ended(s->board, (uint32_t)vector);
	lapic_recheck(a);
}

void lapic_error(struct lapic *a, uint32_t bit)
{
	uint32_t entry = a->lvt[LVT_ERROR];

	lapic_count(a->set->errors);
	a->errors |= bit;
	if (entry & LVT_MASKED || !lapic_enabled(a))
		return;
	if ((entry & LVT_VECTOR) >= FIRST_VECTOR)
		lapic_request(a, (uint8_t)entry, false);
	else
		a->errors |= ESR_RECEIVE_VECTOR;
}

void lapic_lvt_fire(struct lapic *a, enum lapic_lvt which)
{
	uint32_t entry = a->lvt[which];

	if (entry & LVT_MASKED || !lapic_enabled(a))
		return;
	if ((entry & LVT_VECTOR) < FIRST_VECTOR)
		lapic_error(a, ESR_RECEIVE_VECTOR);
	else
		lapic_request(a, (uint8_t)entry, false);
}

/* ---- for others ---- */

void lapic_set_irq(struct lapics *s, uint32_t vcpu, uint8_t vector)
{
	struct lapic *a = &s->apic[vcpu];

	if (vector >= FIRST_VECTOR) {
		lapic_request(a, vector, false);
		return;
	}
	pthread_mutex_lock(&a->lock);
	lapic_error(a, ESR_RECEIVE_VECTOR);
	pthread_mutex_unlock(&a->lock);
}

/* What the 8259s have goes first, as it does not ask for priorities. */
static int accept_extint(struct lapic *a)
{
	const struct lapics *s = a->set;

	if (!lapic_extint(a) || !s->intack)
		return -1;
	return s->intack(s->board, __atomic_exchange_n(&a->extint, 0, __ATOMIC_SEQ_CST) != 0);
}

static int accept_own(struct lapic *a)
{
	int vector;

	if (deliverable(a) < 0)
		return -1;
	pthread_mutex_lock(&a->lock);
	vector = deliverable(a);
	if (vector >= 0) {
		clear_bit(a->irr, (uint32_t)vector);
		set_bit(a->isr, (uint32_t)vector);
	}
	pthread_mutex_unlock(&a->lock);
	if (vector >= 0 && a->set->pv_eois)
		lapic_pv_eoi_offer(a, (uint32_t)vector);
	return vector;
}

int lapic_accept(struct lapics *s, uint32_t vcpu)
{
	struct lapic *a = &s->apic[vcpu];
	int vector;

	lapic_pv_eoi_sync(a);
	vector = accept_extint(a);
	if (vector < 0)
		vector = accept_own(a);
	if (vector < 0)
		return -1;
	lapic_count(s->accepted);
	if (s->taken)
		s->taken(s->taken_opaque, vcpu);
	return vector;
}

int lapic_pending(const struct lapics *s, uint32_t vcpu)
{
	return maybe_deliverable(&s->apic[vcpu]);
}

/* ---- life cycle ---- */

void lapic_clear(struct lapic *a)
{
	for (int i = 0; i < 8; i++) {
		__atomic_store_n(&a->irr[i], 0, __ATOMIC_SEQ_CST);
		__atomic_store_n(&a->isr[i], 0, __ATOMIC_SEQ_CST);
		__atomic_store_n(&a->tmr[i], 0, __ATOMIC_SEQ_CST);
	}
	__atomic_store_n(&a->tpr, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&a->svr, 0xff, __ATOMIC_SEQ_CST);
	__atomic_store_n(&a->ldr, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&a->dfr, UINT32_MAX, __ATOMIC_SEQ_CST);
	a->esr = a->errors = 0;
	a->icr = 0;
	__atomic_store_n(&a->extint, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&a->pv_offered, 0, __ATOMIC_SEQ_CST);
	a->pv_eoi = 0;
	for (int i = 0; i < LVT_COUNT; i++)
		lapic_set_lvt(a, i, LVT_MASKED);
	lapic_timer_clear(a);
}

void lapic_reset_id(struct lapic *a)
{
	__atomic_store_n(&a->id, lapic_id(a) & 0xff, __ATOMIC_RELEASE);
}

static void power_on(struct lapic *a)
{
	pthread_mutex_lock(&a->lock);
	lapic_clear(a);
	lapic_reset_id(a);
	a->wait_sipi = a->vcpu != 0;
	__atomic_store_n(&a->base, LAPIC_BASE | BASE_ENABLE | (a->vcpu ? 0 : BASE_BSP), __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&a->lock);
}

static int apic_init(struct lapics *s, uint32_t vcpu)
{
	struct lapic *a = &s->apic[vcpu];

	*a = (struct lapic){ .set = s, .vcpu = vcpu };
	pthread_mutex_init(&a->lock, NULL);
	if (lapic_timer_init(a)) {
		pthread_mutex_destroy(&a->lock);
		return -ENOMEM;
	}
	power_on(a);
	return 0;
}

static void make_counters(struct lapics *s)
{
	s->accepted = s->host->counter(s->inst, "apic-interrupts");
	s->ipis = s->host->counter(s->inst, "apic-ipis");
	s->timer_fires = s->host->counter(s->inst, "apic-timer");
	s->errors = s->host->counter(s->inst, "apic-errors");
	s->refused = s->host->counter(s->inst, "apic-ipis-refused");
	s->moved = s->host->counter(s->inst, "apic-moved");
	s->smi = s->host->counter(s->inst, "apic-smi-dropped");
	s->timer_armed = s->host->sign(s->inst, GAMUT_AXIS_INTERRUPTS, GAMUT_COLOUR_V, "APIC timer");
}

int lapics_init(struct lapics *s, const struct gamut_host *host, struct gamut_inst *inst)
{
	uint32_t n = host->vcpu_count(inst);

	*s = (struct lapics){ .host = host, .inst = inst, .id_shift = 1 };
	s->apic = calloc(n, sizeof(*s->apic));
	if (!s->apic)
		return -ENOMEM;
	make_counters(s);
	for (; s->n < n; s->n++) {
		if (apic_init(s, s->n)) {
			lapics_finish(s);
			return -ENOMEM;
		}
	}
	return 0;
}

void lapics_finish(struct lapics *s)
{
	for (uint32_t i = 0; i < s->n; i++) {
		lapic_timer_finish(&s->apic[i]);
		pthread_mutex_destroy(&s->apic[i].lock);
	}
	free(s->apic);
	s->apic = NULL;
	s->n = 0;
}

void lapics_reset(struct lapics *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		power_on(&s->apic[i]);
}

void lapics_resume(struct lapics *s)
{
	for (uint32_t i = 0; i < s->n; i++) {
		struct lapic *a = &s->apic[i];

		pthread_mutex_lock(&a->lock);
		lapic_timer_resync(a);
		pthread_mutex_unlock(&a->lock);
	}
}
