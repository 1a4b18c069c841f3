/* SPDX-License-Identifier: MIT */
/*
 * Event channels, two-level. Ports that belong to rings stay masked and are
 * polled with SCHEDOP_poll; only the checks here and the timer take upcalls.
 */
#include "pc.h"
#include "pv.h"
#include "smp.h"

#include <xen/errno.h>

#define WORD_BITS 64

static bool test_bit(const xen_ulong_t *words, uint32_t bit)
{
	return __atomic_load_n(&words[bit / WORD_BITS], __ATOMIC_ACQUIRE) >> (bit % WORD_BITS) & 1;
}

static bool test_and_clear(xen_ulong_t *words, uint32_t bit)
{
	uint64_t mask = 1ull << (bit % WORD_BITS);

	return __atomic_fetch_and(&words[bit / WORD_BITS], ~mask, __ATOMIC_SEQ_CST) & mask;
}

void event_mask(uint32_t port, bool masked)
{
	xen_ulong_t *word = &probe.shared->evtchn_mask[port / WORD_BITS];
	uint64_t bit = 1ull << (port % WORD_BITS);
	struct evtchn_unmask arg = { .port = port };

	if (masked)
		__atomic_fetch_or(word, bit, __ATOMIC_SEQ_CST);
	else
		event_op(EVTCHNOP_unmask, &arg); /* also delivers what is pending */
}

long event_op(int op, void *arg)
{
	return HYPERCALL2(__HYPERVISOR_event_channel_op, op, arg);
}

void event_send(uint32_t port)
{
	struct evtchn_send arg = { .port = port };

	event_op(EVTCHNOP_send, &arg);
}

uint32_t event_alloc(void)
{
	struct evtchn_alloc_unbound arg = { .dom = DOMID_SELF, .remote_dom = 0 };

	if (event_op(EVTCHNOP_alloc_unbound, &arg) != 0)
		return 0;
	event_mask(arg.port, true);
	return arg.port;
}

static void upcall_word(unsigned w)
{
	uint64_t ready = probe.shared->evtchn_pending[w] & ~probe.shared->evtchn_mask[w];

	for (; ready; ready &= ready - 1) {
		uint32_t port = w * WORD_BITS + (uint32_t)__builtin_ctzll(ready);

		if (test_and_clear(probe.shared->evtchn_pending, port) && port < ARRAY_LEN(probe.events)) {
			probe.events[port]++;
			if (probe.on_event)
				probe.on_event(port);
		}
	}
}

static bool lapic_there(void)
{
	static bool asked, there;
	uint32_t r[4];

	if (!asked) {
		cpuid(1, 0, r);
		there = r[3] & 1u << 9;
		asked = true;
	}
	return there;
}

/* Only a local APIC that exists wants an end of interrupt. */
static void upcall_eoi(void)
{
	if (!probe.pv && lapic_there())
		*(volatile uint32_t *)0xfee000b0 = 0;
}

static struct vcpu_info *this_vcpu(void)
{
	return on_second() ? &probe.shared->vcpu_info[AP] : probe.vcpu;
}

void event_upcall(void)
{
	struct vcpu_info *v = this_vcpu();
	uint64_t words;

	probe.upcalls++;
	if (!probe.by_line) /* whose level would still stand */
		upcall_eoi();
	while (__atomic_exchange_n(&v->evtchn_upcall_pending, 0, __ATOMIC_SEQ_CST)) {
		words = __atomic_exchange_n(&v->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
		for (; words; words &= words - 1)
			upcall_word((unsigned)__builtin_ctzll(words));
	}
	if (probe.by_line)
		upcall_eoi();
}

bool events_init(void)
{
	struct xen_hvm_param arg = {
		.domid = DOMID_SELF,
		.index = HVM_PARAM_CALLBACK_IRQ,
		.value = (uint64_t)HVM_PARAM_CALLBACK_TYPE_VECTOR << 56 | UPCALL_VECTOR,
	};

	if (!probe.shared)
		return false;
	memset(probe.shared->evtchn_mask, 0xff, sizeof(probe.shared->evtchn_mask));
	return HYPERCALL2(__HYPERVISOR_hvm_op, HVMOP_set_param, &arg) == 0;
}

#define EVENT_LINE 10u /* nobody else's here */

bool events_by_line(void)
{
	struct xen_hvm_param arg = { .domid = DOMID_SELF, .index = HVM_PARAM_CALLBACK_IRQ, .value = EVENT_LINE };

	ioapic_line(EVENT_LINE, UPCALL_VECTOR);
	return HYPERCALL2(__HYPERVISOR_hvm_op, HVMOP_set_param, &arg) == 0;
}

void irq_on(void)
{
	if (!probe.pv) {
		__asm__ volatile("sti" ::: "memory");
		return;
	}
	__atomic_store_n(&this_vcpu()->evtchn_upcall_mask, 0, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&this_vcpu()->evtchn_upcall_pending, __ATOMIC_SEQ_CST))
		pv_force_upcall();
}

void irq_off(void)
{
	if (probe.pv)
		__atomic_store_n(&this_vcpu()->evtchn_upcall_mask, 1, __ATOMIC_SEQ_CST);
	else
		__asm__ volatile("cli" ::: "memory");
}

void irq_wait(void)
{
	if (!probe.pv) {
		__asm__ volatile("sti; hlt; cli" ::: "memory");
		return;
	}
	HYPERCALL2(__HYPERVISOR_sched_op, SCHEDOP_block, 0);
	irq_off();
}

bool event_wait(uint32_t port, uint64_t deadline)
{
	evtchn_port_t ports[1] = { port };
	struct sched_poll poll = { .nr_ports = 1, .timeout = deadline };

	set_xen_guest_handle(poll.ports, ports);
	while (!test_and_clear(probe.shared->evtchn_pending, port)) {
		if (clock_ns() >= deadline)
			return false;
		if (HYPERCALL2(__HYPERVISOR_sched_op, SCHEDOP_poll, &poll) != 0)
			HYPERCALL2(__HYPERVISOR_sched_op, SCHEDOP_yield, 0);
	}
	return true;
}

bool event_take(uint32_t port, uint32_t count, uint64_t deadline)
{
	const volatile uint32_t *seen = &probe.events[port];

	irq_on();
	while ((int32_t)(*seen - count) < 0 && clock_ns() < deadline)
		__asm__ volatile("pause" ::: "memory");
	irq_off();
	return (int32_t)(*seen - count) >= 0;
}

/* ---- checks ----------------------------------------------------------- */

static uint64_t soon(void)
{
	return clock_ns() + 500 * NS_PER_MS;
}

static void check_masking(uint32_t port)
{
	event_mask(port, true);
	event_send(port);
	check(test_bit(probe.shared->evtchn_pending, port), "events: a masked port gets pending");
	check(!event_take(port, 2, clock_ns() + 2 * NS_PER_MS), "events: and makes no upcall");
	event_mask(port, false);
	check(event_take(port, 2, soon()), "events: unmasking delivers it");
}

/* Interrupts are on for one instruction only; what is pending must come in there. */
static void check_window(uint32_t port)
{
	const volatile uint32_t *seen = &probe.events[port];
	uint32_t before = *seen;

	event_send(port);
	if (probe.pv) {
		irq_on();
		irq_off();
	} else {
		__asm__ volatile("sti; nop; nop; cli" ::: "memory");
	}
	check(*seen == before + 1, "events: taken between sti and cli");
	event_take(port, before + 1, soon());
}

static void check_vcpu_vector(uint32_t port)
{
	struct xen_hvm_evtchn_upcall_vector arg = { .vcpu = 0, .vector = UPCALL_VECTOR - 1 };
	uint32_t seen = probe.events[port];

	if (!check(HYPERCALL2(__HYPERVISOR_hvm_op, HVMOP_set_evtchn_upcall_vector, &arg) == 0,
	           "events: a vector of the vCPU's own"))
		return;
	event_send(port);
	check(event_take(port, seen + 1, soon()), "events: is used");
}

static void check_status(uint32_t port)
{
	struct evtchn_status status = { .dom = DOMID_SELF, .port = port };
	struct evtchn_close close = { .port = port };
	struct evtchn_send send = { .port = port };

	check(event_op(EVTCHNOP_status, &status) == 0 && status.status == EVTCHNSTAT_ipi, "events: status of an IPI port");
	check(event_op(EVTCHNOP_close, &close) == 0, "events: close");
	check(event_op(EVTCHNOP_send, &send) == -XEN_EINVAL, "events: no send on a closed port");
	status.port = port;
	check(event_op(EVTCHNOP_status, &status) == 0 && status.status == EVTCHNSTAT_closed, "events: its status is closed");
}

static void check_refusals(void)
{
	struct evtchn_send send = { .port = 0xffffffff };
	struct evtchn_bind_virq virq = { .virq = 9999 };
	struct evtchn_bind_ipi ipi = { .vcpu = 9999 };
	struct evtchn_close zero = { .port = 0 };

	check(event_op(EVTCHNOP_send, &send) == -XEN_EINVAL, "events: send on a port that cannot be");
	if (probe.shim) /* which dies of it */
		skip("events: close of port 0", "xen-shim");
	else
		check(event_op(EVTCHNOP_close, &zero) == -XEN_EINVAL, "events: close of port 0");
	check(event_op(EVTCHNOP_bind_virq, &virq) == -XEN_EINVAL, "events: a VIRQ that cannot be");
	check(event_op(EVTCHNOP_bind_ipi, &ipi) < 0, "events: an IPI to a vCPU that is not there");
	check(event_op(9999, &send) == (probe.shim ? -XEN_EOPNOTSUPP : -XEN_ENOSYS),
	      "events: an operation that is not there");
}

static void check_no_vcpu_vector(void)
{
	struct xen_hvm_evtchn_upcall_vector arg = { .vcpu = 0, .vector = UPCALL_VECTOR - 1 };

	check(HYPERCALL2(__HYPERVISOR_hvm_op, HVMOP_set_evtchn_upcall_vector, &arg) == -XEN_ENOSYS,
	      "events: no vector of the vCPU's own");
}

/* One interrupt for each event, and none for what has been taken without one. */
static void check_line(uint32_t port)
{
	uint32_t seen = probe.events[port], upcalls = probe.upcalls;

	for (unsigned i = 1; i <= 100; i++) {
		event_send(port);
		event_take(port, seen + i, soon());
	}
	check(probe.events[port] == seen + 100, "events: a hundred by the line");
	check(probe.upcalls - upcalls == 100, "events: in a hundred interrupts");
}

void check_events(void)
{
	struct evtchn_bind_ipi bind = { .vcpu = 0 };

	if (probe.by_line)
		check(events_by_line(), "events: by an interrupt line");
	if (!check(event_op(EVTCHNOP_bind_ipi, &bind) == 0 && bind.port, "events: bind an IPI to this vCPU"))
		return;
	event_mask(bind.port, false);
	event_send(bind.port);
	check(event_take(bind.port, 1, soon()), "events: sent and taken as an upcall");
	check_masking(bind.port);
	check_window(bind.port);
	if (probe.by_line) {
		check_line(bind.port);
		check_no_vcpu_vector();
	} else if (!probe.pv) {
		check_vcpu_vector(bind.port);
	}
	check_status(bind.port);
	check_refusals();
}
