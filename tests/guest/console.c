/* SPDX-License-Identifier: MIT */
/* The PV console, or COM1 and port 0xe9 where there is none; a PV guest's emergency console until it is found. */
#include "probe.h"

#include <xen/io/console.h>

#define COM1 0x3f8

void console_init(void)
{
	uint64_t pfn, port;

	if (!hvm_param_get(HVM_PARAM_CONSOLE_PFN, &pfn) || !hvm_param_get(HVM_PARAM_CONSOLE_EVTCHN, &port) || !pfn)
		return;
	probe.console_port = (uint32_t)port;
	probe.console = (struct xencons_interface *)(pfn * PAGE_BYTES);
}

static void serial_write(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		outb(0xe9, (uint8_t)s[i]);
		while (!(inb(COM1 + 5) & 0x20))
			;
		outb(COM1, (uint8_t)s[i]);
	}
}

/* Waits for room rather than lose output: the back end takes at its own pace. */
static void ring_put(struct xencons_interface *c, char byte)
{
	XENCONS_RING_IDX prod = c->out_prod;

	while (prod - __atomic_load_n(&c->out_cons, __ATOMIC_ACQUIRE) >= sizeof(c->out)) {
		event_send(probe.console_port);
		HYPERCALL2(__HYPERVISOR_sched_op, SCHEDOP_yield, 0);
	}
	c->out[MASK_XENCONS_IDX(prod, c->out)] = byte;
	__atomic_store_n(&c->out_prod, prod + 1, __ATOMIC_RELEASE);
}

void console_write(const char *s, size_t n)
{
	if (!probe.console && probe.pv) {
		HYPERCALL3(__HYPERVISOR_console_io, CONSOLEIO_write, n, s);
		return;
	}
	if (!probe.console) {
		serial_write(s, n);
		return;
	}
	for (size_t i = 0; i < n; i++)
		ring_put(probe.console, s[i]);
	event_send(probe.console_port);
}

void check_console(void)
{
	struct xencons_interface *c = probe.console;
	uint64_t deadline = clock_ns() + 2000 * NS_PER_MS;

	if (!check((c != NULL) == !probe.no_console, probe.no_console ? "console: none" : "console: a ring") || !c)
		return;
	while (__atomic_load_n(&c->out_cons, __ATOMIC_ACQUIRE) != c->out_prod && clock_ns() < deadline)
		HYPERCALL2(__HYPERVISOR_sched_op, SCHEDOP_yield, 0);
	check(c->out_cons == c->out_prod, "console: the back end takes all output");
}
