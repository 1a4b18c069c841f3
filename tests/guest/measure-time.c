/* SPDX-License-Identifier: MIT */
/* Clocks, timers, and interrupts to oneself. */
#include "measure.h"

#define DEADLINE_VECTOR (LAPIC_VECTOR + 2)
#define TIMER_VECTOR    (LAPIC_VECTOR + 1)
#define MSR_DEADLINE 0x6e0u
#define LVT_TIMER (LAPIC_BASE + 0x320)
#define LVT_LINT0 (LAPIC_BASE + 0x350)
#define INITIAL_COUNT (LAPIC_BASE + 0x380)
#define CURRENT_COUNT (LAPIC_BASE + 0x390)
#define DIVIDE (LAPIC_BASE + 0x3e0)
#define BY_ONE 0xbu
#define MASKED 0x10000u
#define FAR 0xffffffffu
#define SPINS 20000000u /* seconds */

static uint32_t self_port;
static uint64_t lapic_ticks_per_ms;

/* ---- ready ----------------------------------------------------------------------- */

static void find_lapic_speed(void)
{
	uint64_t start, took;

	mmio_write(DIVIDE, BY_ONE);
	mmio_write(LVT_TIMER, MASKED);
	mmio_write(INITIAL_COUNT, FAR);
	start = clock_ns();
	while (clock_ns() - start < 5 * NS_PER_MS)
		__asm__ volatile("pause");
	took = clock_ns() - start;
	lapic_ticks_per_ms = (uint64_t)(FAR - mmio_read(CURRENT_COUNT)) * NS_PER_MS / took;
	mmio_write(INITIAL_COUNT, 0);
}

void measure_time_prepare(uint32_t have)
{
	struct evtchn_bind_ipi bind = { .vcpu = 0 };

	if ((have & M_XEN) && event_op(EVTCHNOP_bind_ipi, &bind) == 0) {
		self_port = bind.port;
		event_mask(self_port, false);
	}
	if (have & M_LAPIC)
		probe.on_interrupt = pc_interrupt;
	if ((have & (M_LAPIC | M_CLOCK)) == (M_LAPIC | M_CLOCK))
		find_lapic_speed();
}

/* ---- clocks ------------------------------------------------------------------------- */

bool run_tsc(unsigned n)
{
	while (n--)
		rdtsc();
	return true;
}

bool run_clock(unsigned n)
{
	while (n--)
		clock_ns();
	return true;
}

bool run_kvm_clock(unsigned n)
{
	while (n--)
		kvm_clock_ns();
	return true;
}

bool run_pm_timer(unsigned n)
{
	while (n--)
		inl((uint16_t)pc.pm_timer);
	return true;
}

/* Counter 0, as kernels do: latched, then both halves. */
bool run_pit(unsigned n)
{
	while (n--) {
		outb(0x43, 0);
		inb(0x40);
		inb(0x40);
	}
	return true;
}

/* ---- timers: none of them comes ------------------------------------------------------- */

bool run_xen_timer(unsigned n)
{
	uint64_t due = clock_ns() + 3600 * 1000 * NS_PER_MS;

	while (n--)
		if (timer_shot(due + n) != 0)
			return false;
	return HYPERCALL3(__HYPERVISOR_vcpu_op, VCPUOP_stop_singleshot_timer, 0, 0) == 0;
}

bool run_deadline_timer(unsigned n)
{
	uint64_t due = rdtsc() + (1ull << 40);

	mmio_write(LVT_TIMER, 0x40000 | DEADLINE_VECTOR);
	while (n--)
		wrmsr(MSR_DEADLINE, due + n);
	wrmsr(MSR_DEADLINE, 0);
	mmio_write(LVT_TIMER, MASKED);
	return true;
}

bool run_lapic_timer(unsigned n)
{
	mmio_write(LVT_TIMER, TIMER_VECTOR);
	while (n--)
		mmio_write(INITIAL_COUNT, FAR - n);
	mmio_write(INITIAL_COUNT, 0);
	mmio_write(LVT_TIMER, MASKED);
	return true;
}

/* ---- timers that are due when they are set, until their handler has run ---------------------- */

static bool came(const volatile uint32_t *seen, uint32_t before)
{
	for (unsigned i = 0; i < SPINS; i++) {
		if (*seen != before)
			return true;
		__asm__ volatile("pause" ::: "memory");
	}
	return false;
}

/* send, n times, each until what it sends was counted. */
static bool to_self(unsigned n, void (*send)(void), const volatile uint32_t *seen)
{
	bool ok = true;

	irq_on();
	while (ok && n--) {
		uint32_t before = *seen;

		send();
		ok = came(seen, before);
	}
	irq_off();
	return ok;
}

static void xen_now(void)
{
	timer_shot(1);
}

static void deadline_now(void)
{
	wrmsr(MSR_DEADLINE, rdtsc());
}

static void lapic_now(void)
{
	mmio_write(INITIAL_COUNT, 1);
}

/* Counter 0, mode 0: one tick. */
static void pit_now(void)
{
	outb(0x43, 0x30);
	outb(0x40, 1);
	outb(0x40, 0);
}

bool run_xen_interrupt(unsigned n)
{
	return to_self(n, xen_now, &probe.events[timer_port_get()]);
}

bool run_deadline_interrupt(unsigned n)
{
	bool ok;

	mmio_write(LVT_TIMER, 0x40000 | DEADLINE_VECTOR);
	ok = to_self(n, deadline_now, &pc.interrupts[DEADLINE_VECTOR]);
	mmio_write(LVT_TIMER, MASKED);
	return ok;
}

bool run_lapic_interrupt(unsigned n)
{
	bool ok;

	mmio_write(LVT_TIMER, TIMER_VECTOR);
	ok = to_self(n, lapic_now, &pc.interrupts[TIMER_VECTOR]);
	mmio_write(LVT_TIMER, MASKED);
	return ok;
}

/* Through the 8259s, and their way to the processor past the local APIC. */
bool run_pit_interrupt(unsigned n)
{
	bool ok;

	outb(0x43, 0x30); /* its output is low until it has counted */
	pic_init(0xfffe);
	mmio_write(LVT_LINT0, 0x700);
	ok = to_self(n, pit_now, &pc.interrupts[PIC_VECTOR]);
	mmio_write(LVT_LINT0, MASKED);
	pic_init(0xffff);
	return ok;
}

/* ---- lateness --------------------------------------------------------------------------- */

/* Halts until a vector has come, and says how long after due. */
static uint64_t late(uint8_t vector, uint32_t before, uint64_t due)
{
	uint64_t now;

	while (pc.interrupts[vector] == before)
		irq_wait();
	now = clock_ns();
	return now > due ? now - due : 0;
}

uint64_t deadline_lateness(void)
{
	uint32_t before = pc.interrupts[DEADLINE_VECTOR];
	uint64_t due, took;

	mmio_write(LVT_TIMER, 0x40000 | DEADLINE_VECTOR);
	due = clock_ns() + NS_PER_MS;
	wrmsr(MSR_DEADLINE, rdtsc() + (NS_PER_MS << 32) / clock_ns_per_tsc_32());
	took = late(DEADLINE_VECTOR, before, due);
	mmio_write(LVT_TIMER, MASKED);
	return took;
}

uint64_t lapic_lateness(void)
{
	uint32_t before = pc.interrupts[TIMER_VECTOR];
	uint64_t due, took;

	mmio_write(LVT_TIMER, TIMER_VECTOR);
	due = clock_ns() + NS_PER_MS;
	mmio_write(INITIAL_COUNT, (uint32_t)lapic_ticks_per_ms);
	took = late(TIMER_VECTOR, before, due);
	mmio_write(LVT_TIMER, MASKED);
	return took;
}

/* ---- interrupts to oneself, each until its handler has counted it --------------------------- */

static void send_ipi(void)
{
	mmio_write(LAPIC_BASE + 0x300, 0x40000 | LAPIC_VECTOR);
}

static void send_event(void)
{
	event_send(self_port);
}

bool run_event_self(unsigned n)
{
	return to_self(n, send_event, &probe.events[self_port]);
}

bool run_ipi_self(unsigned n)
{
	return to_self(n, send_ipi, &pc.interrupts[LAPIC_VECTOR]);
}
