/* SPDX-License-Identifier: MIT */
/* Event upcalls by the mask of vcpu_info, blocking, multicalls, and a vcpu_info elsewhere. */
#include "pv.h"

#include <xen/errno.h>

static uint32_t port, depth, deepest;
static uint8_t mask_inside;

/* Sends itself another with events on, until it stands three deep. */
static void nest(uint32_t p)
{
	if (p != port)
		return;
	if (++depth > deepest) {
		deepest = depth;
		mask_inside = probe.vcpu->evtchn_upcall_mask;
		if (deepest < 3) {
			event_send(port);
			irq_on();
		}
	}
	depth--;
}

static void check_mask(void)
{
	uint32_t before = probe.events[port];

	irq_off();
	event_send(port);
	pv_force_upcall();
	check(probe.events[port] == before && probe.vcpu->evtchn_upcall_pending, "mask: keeps an event pending");
	irq_on();
	check(probe.events[port] == before + 1, "mask: clear, and it comes with the next hypercall");
	event_send(port);
	check(probe.events[port] == before + 2, "mask: clear, and it comes at once");
	irq_off();
	check((probe.upcall_frame.cs & 0xffff) == (FLAT_KERNEL_CS & ~3u) && probe.upcall_frame.cs >> 32 == 0 &&
	              (probe.upcall_frame.rflags & 0x200),
	      "upcall: its frame says kernel, events on");
}

static void check_nesting(void)
{
	probe.on_event = nest;
	irq_on();
	event_send(port);
	check(probe.vcpu->evtchn_upcall_mask == 0, "nesting: events are on again behind it");
	irq_off();
	probe.on_event = NULL;
	check(deepest == 3 && depth == 0, "nesting: three deep");
	check(mask_inside == 1, "nesting: masked on the way in");
}

static void check_block(void)
{
	uint32_t timer = timer_port_get(), seen = probe.events[port];
	uint64_t due = clock_ns() + 5 * NS_PER_MS;

	event_send(port);
	irq_wait();
	check(probe.events[port] == seen + 1, "block: does not, when an event is pending");
	seen = probe.events[timer];
	check(timer && timer_shot(due) == 0, "block: a timer");
	while (probe.events[timer] == seen && clock_ns() < due + 1000 * NS_PER_MS)
		irq_wait();
	check(probe.events[timer] != seen && clock_ns() >= due, "block: until it comes");
}

static struct multicall_entry call(unsigned op, uint64_t a, uint64_t b)
{
	return (struct multicall_entry){ .op = op, .result = 0x5555, .args = { a, b } };
}

static void check_multicall(void)
{
	struct evtchn_send send = { .port = port }, bad = { .port = ~0u };
	struct multicall_entry list[] = {
		call(__HYPERVISOR_xen_version, XENVER_version, 0),
		call(__HYPERVISOR_xen_version, 9999, 0),
		call(__HYPERVISOR_event_channel_op, EVTCHNOP_send, (uint64_t)&send),
		call(__HYPERVISOR_event_channel_op, EVTCHNOP_send, (uint64_t)&bad),
		call(63, 0, 0),
	};
	uint32_t seen = probe.events[port];

	check(HYPERCALL2(__HYPERVISOR_multicall, list, ARRAY_LEN(list)) == 0, "multicall: five");
	check((long)list[0].result == HYPERCALL2(__HYPERVISOR_xen_version, XENVER_version, 0), "multicall: a result");
	check((long)list[1].result == -XEN_ENOSYS && (long)list[3].result == -XEN_EINVAL &&
	              (long)list[4].result == -XEN_ENOSYS,
	      "multicall: errors, each for itself");
	irq_on();
	irq_off();
	check(list[2].result == 0 && probe.events[port] == seen + 1, "multicall: an event sent in it");
	check(HYPERCALL2(__HYPERVISOR_multicall, UNMAPPED, 1) == -XEN_EFAULT, "multicall: nowhere");
	check(HYPERCALL2(__HYPERVISOR_multicall, list, 0) == 0, "multicall: none");
}

/* As kernels do it with page tables: many updates, one call. */
static void check_multicall_mmu(void)
{
	static uint64_t page[512] PAGE_ALIGNED;
	struct multicall_entry list[16];

	for (unsigned i = 0; i < ARRAY_LEN(list); i++)
		list[i] = (struct multicall_entry){
			.op = __HYPERVISOR_update_va_mapping,
			.args = { WINDOW + (uint64_t)i * PAGE_BYTES, pv_machine(page) | PTE_RW, UVMF_INVLPG },
		};
	page[0] = 0x77;
	check(HYPERCALL2(__HYPERVISOR_multicall, list, ARRAY_LEN(list)) == 0 &&
	              *(volatile uint64_t *)(WINDOW + 15 * PAGE_BYTES) == 0x77,
	      "multicall: of mappings");
	for (unsigned i = 0; i < ARRAY_LEN(list); i++)
		list[i].args[1] = 0;
	check(HYPERCALL2(__HYPERVISOR_multicall, list, ARRAY_LEN(list)) == 0, "multicall: and away");
}

static long register_info(uint64_t frame, uint32_t offset)
{
	struct vcpu_register_vcpu_info arg = { .mfn = frame, .offset = offset };

	return HYPERCALL3(__HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 0, &arg);
}

/* The hypervisor writes there at times, but with the guest's rights. */
static void check_runstate(void)
{
	struct vcpu_register_runstate_memory_area area = { .addr.p = (uint64_t)&window_l1[256] };
	static struct vcpu_runstate_info state;
	uint64_t due = clock_ns() + 2 * NS_PER_MS;

	HYPERCALL3(__HYPERVISOR_vcpu_op, VCPUOP_register_runstate_memory_area, 0, &area);
	timer_port_get();
	timer_shot(due);
	while (clock_ns() < due)
		irq_wait();
	check(window_l1[256] == 0 && window_l1[257] == 0, "runstate: is not written to a page table");
	area.addr.p = (uint64_t)&state;
	check(HYPERCALL3(__HYPERVISOR_vcpu_op, VCPUOP_register_runstate_memory_area, 0, &area) == 0 &&
	              state.state == RUNSTATE_running && state.time[RUNSTATE_running],
	      "runstate: is written where it may be");
}

/* Everything that was in the old place goes on in the new. */
static void check_vcpu_info(void)
{
	static uint8_t page[PAGE_BYTES] PAGE_ALIGNED;
	uint32_t seen;

	check(register_info(1ull << 40, 0) < 0, "vcpu_info: not on what is no frame");
	check(register_info(frame_of(window_l1), 0) < 0, "vcpu_info: not on a page table");
	check(register_info(frame_of(page), PAGE_BYTES - 8) < 0, "vcpu_info: not across a page");
	if (!check(register_info(frame_of(page), 128) == 0, "vcpu_info: on a page of RAM"))
		return;
	probe.vcpu = (struct vcpu_info *)(page + 128);
	check(probe.vcpu->evtchn_upcall_mask == 1 && probe.vcpu->time.tsc_to_system_mul, "vcpu_info: is as it was");
	seen = probe.events[port];
	irq_on();
	event_send(port);
	irq_off();
	check(probe.events[port] == seen + 1, "vcpu_info: an upcall by it");
	check_trap("page fault with vcpu_info there", TRAPS("movq (%[a]), %%rcx", [a] "r"(UNMAPPED + 8)), 14, 0);
	check(probe.trap.cr2 == UNMAPPED + 8, "vcpu_info: cr2 is in it");
	check(register_info(frame_of(page), 256) < 0, "vcpu_info: only once");
}

void check_pv_event(void)
{
	struct evtchn_bind_ipi bind = { .vcpu = 0 };

	if (!check(event_op(EVTCHNOP_bind_ipi, &bind) == 0, "upcall: a port"))
		return;
	port = bind.port;
	event_mask(port, false);
	check_mask();
	check_nesting();
	check_block();
	check_multicall();
	check_multicall_mmu();
	check_runstate();
	check_vcpu_info();
}
