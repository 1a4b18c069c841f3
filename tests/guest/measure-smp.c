/* SPDX-License-Identifier: MIT */
/*
 * Interrupts to another vCPU and back: by event channels where they come by a
 * vector, by local APICs elsewhere. The other vCPU waits in halt for the first
 * of them, and for those of ipi-round-trip in a loop with interrupts on.
 */
#include "measure.h"
#include "smp.h"

#define PING_VECTOR (LAPIC_VECTOR + 4)
#define PONG_VECTOR (LAPIC_VECTOR + 5)
#define SPINS 200000000u

static bool by_event;
static uint32_t ping_port, pong_port;
static volatile uint32_t *pings, *pongs;
static volatile bool spinning, ready;
static uint32_t first_id;

static void send(uint32_t port, uint32_t id, uint8_t vector)
{
	if (by_event) {
		event_send(port);
		return;
	}
	mmio_write(LAPIC_BASE + 0x310, id << 24);
	mmio_write(LAPIC_BASE + 0x300, 0x4000u | vector);
}

/* ---- the other vCPU ---------------------------------------------------------------- */

/* Answers each ping; comes never back. */
static void serve(unsigned me)
{
	uint32_t served = *pings;

	(void)me;
	if (!by_event)
		lapic_enable();
	for (ready = true;;) {
		irq_on();
		while (spinning && *pings == served)
			__asm__ volatile("pause" ::: "memory");
		irq_off();
		if (*pings == served) {
			irq_wait();
			continue;
		}
		served++;
		send(pong_port, first_id, PONG_VECTOR);
	}
}

/* ---- this one ------------------------------------------------------------------------ */

static uint32_t bind(uint32_t vcpu)
{
	struct evtchn_bind_ipi arg = { .vcpu = vcpu };

	if (event_op(EVTCHNOP_bind_ipi, &arg) != 0)
		return 0;
	event_mask(arg.port, false);
	return arg.port;
}

static bool bind_both(void)
{
	ping_port = bind(AP);
	pong_port = bind(0);
	pings = &probe.events[ping_port];
	pongs = &probe.events[pong_port];
	return ping_port && pong_port && ping_port < ARRAY_LEN(probe.events) && pong_port < ARRAY_LEN(probe.events);
}

bool measure_second_start(uint32_t have)
{
	by_event = have & M_VECTOR;
	if (!by_event && !(have & M_LAPIC))
		return false;
	pings = &pc.interrupts[PING_VECTOR];
	pongs = &pc.interrupts[PONG_VECTOR];
	first_id = apic_id();
	if (!smp_start() || (by_event && !bind_both()))
		return false;
	ap_start(serve);
	while (!ready)
		__asm__ volatile("pause" ::: "memory");
	return true;
}

static bool trip(void)
{
	uint32_t before = *pongs;

	send(ping_port, ap_id, PING_VECTOR);
	for (unsigned i = 0; i < SPINS && *pongs == before; i++)
		__asm__ volatile("pause" ::: "memory");
	return *pongs != before;
}

/* Tells the other how to wait: what it does from the next trip on. */
static bool wait_by(bool spin)
{
	if (spinning == spin)
		return true;
	spinning = spin;
	return trip();
}

static uint64_t timed_trip(bool spin, uint64_t pause)
{
	uint64_t start, took, until;
	bool ok;

	irq_on();
	ok = wait_by(spin);
	for (until = clock_ns() + pause; clock_ns() < until;)
		__asm__ volatile("pause" ::: "memory");
	start = clock_ns();
	ok = ok && trip();
	took = clock_ns() - start;
	irq_off();
	return ok ? took : ~0ull;
}

uint64_t ipi_round_trip(void)
{
	return timed_trip(true, 0);
}

/* The pause is for the other to be in halt by then, where it stays. */
uint64_t ipi_wake_round_trip(void)
{
	return timed_trip(false, NS_PER_MS / 5);
}
