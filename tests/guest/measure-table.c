/* SPDX-License-Identifier: MIT */
/*
 * Everything that is measured, in the order of its lines. All modes name all
 * of it: what one lacks is a line `skip`.
 */
#include "measure.h"

#define RUN(f) .run = run_##f
#define MIB (1u << 20)

/* clang-format off */
const struct operation measure_table[] = {
	/* The processor by itself: 1000 instructions, 40 a turn. */
	{ "loop",                 0,                      200, RUN(loop) },

	/* Exits, each the cheapest of its kind. */
	{ "hypercall",            M_XEN,                  500, RUN(hypercall) },
	{ "hypercall",            M_KVM,                  500, RUN(hypercall_kvm) },
	{ "hypercall-page",       M_XEN | M_PAGE,         500, RUN(hypercall_page) },
	{ "multicall-entry",      M_XEN,                  512, RUN(multicall) },
	{ "cpuid",                0,                      500, RUN(cpuid) },
	{ "msr-read",             0,                      500, RUN(msr_read) },
	{ "msr-write",            M_MSR_WRITE,            500, RUN(msr_write) },
	{ "port-in",              0,                      500, RUN(port_in) },
	{ "port-out",             0,                      500, RUN(port_out) },
	{ "mmio-read",            M_IOAPIC,               300, RUN(mmio_read) },
	{ "mmio-write",           M_IOAPIC,               300, RUN(mmio_write) },
	{ "lapic-read",           M_LAPIC,                300, RUN(lapic_read) },
	{ "pci-config-read",      M_PC,                   200, RUN(pci_read) },
	{ "vga-write",            M_PC,                   200, RUN(vga_write) },
	{ "xenstore-read",        M_XEN,                   20, RUN(store) },

	/* Interrupts: closing and opening the gate, one to oneself until its handler has run, one to another vCPU and back. */
	{ "interrupt-flag",       M_NATIVE,              1000, RUN(interrupt_flag) },
	{ "interrupt-flag",       M_PV,                  1000, RUN(event_mask) },
	{ "interrupt-self",       M_XEN | M_VECTOR,       200, RUN(event_self) },
	{ "interrupt-self",       M_LAPIC,                200, RUN(ipi_self) },
	{ "event-self",           M_XEN,                  200, RUN(event_self) },
	{ "ipi-self",             M_LAPIC,                200, RUN(ipi_self) },
	{ "ipi-round-trip",       M_SECOND,                 1, .sample = ipi_round_trip },
	{ "ipi-wake-round-trip",  M_SECOND,                 1, .sample = ipi_wake_round_trip },

	/* Time. clock-read is of the clock that a kernel would take; lateness, from a deadline 1 ms ahead, in halt. */
	{ "clock-read",           M_XEN_TIME,            1000, RUN(clock) },
	{ "clock-read",           M_PVCLOCK,             1000, RUN(kvm_clock) },
	{ "clock-read",           0,                     1000, RUN(tsc) },
	{ "tsc-read",             0,                     1000, RUN(tsc) },
	{ "pm-timer-read",        M_PM_TIMER,             200, RUN(pm_timer) },
	{ "pit-read",             M_PIT,                  100, RUN(pit) },
	{ "timer-program",        M_XEN_TIME,             200, RUN(xen_timer) },
	{ "timer-program",        M_LAPIC | M_DEADLINE,   200, RUN(deadline_timer) },
	{ "timer-program",        M_LAPIC,                200, RUN(lapic_timer) },
	{ "timer-interrupt",      M_XEN_TIME,              50, RUN(xen_interrupt) },
	{ "timer-interrupt",      M_LAPIC | M_DEADLINE,    50, RUN(deadline_interrupt) },
	{ "timer-interrupt",      M_LAPIC,                 50, RUN(lapic_interrupt) },
	{ "pit-interrupt",        M_PC | M_LAPIC,          50, RUN(pit_interrupt) },
	{ "timer-lateness",       M_XEN_TIME,               1, .sample = timer_lateness },
	{ "timer-lateness",       M_LAPIC | M_DEADLINE | M_CLOCK, 1, .sample = deadline_lateness },
	{ "timer-lateness",       M_LAPIC | M_CLOCK,        1, .sample = lapic_lateness },

	/* User mode. */
	{ "syscall",              M_FULL,                1000, RUN(syscall) },
	{ "page-fault-user",      M_FULL,                 300, RUN(page_fault_user) },
	{ "page-fault",           0,                      300, RUN(page_fault) },

	/* Page tables: one entry changed and the old translation dropped; also read through; a list of 16, for each. */
	{ "pte-update",           M_NATIVE,               500, RUN(pte_native) },
	{ "pte-update",           M_PV,                   500, RUN(va_mapping) },
	{ "pte-update-touch",     M_NATIVE,               500, RUN(pte_touch_native) },
	{ "pte-update-touch",     M_PV,                   500, RUN(pte_touch_pv) },
	{ "pte-update-batched",   M_NATIVE,               512, RUN(pte_batch_native) },
	{ "pte-update-batched",   M_PV,                   512, RUN(mmu_update_list) },
	{ "pte-store",            0,                      200, RUN(pte_store) },
	{ "mmu-update",           M_PV,                   500, RUN(mmu_update) },
	{ "update-va-mapping",    M_PV,                   500, RUN(va_mapping) },
	{ "address-space-switch", M_NATIVE,               500, RUN(space_native) },
	{ "address-space-switch", M_PV,                   500, RUN(space_pv) },
	{ "tlb-flush",            M_NATIVE,               500, RUN(flush_native) },
	{ "tlb-flush",            M_PV,                   500, RUN(flush_pv) },
	{ "tlb-flush-page",       M_NATIVE,               500, RUN(flush_page_native) },
	{ "tlb-flush-page",       M_PV,                   500, RUN(flush_page_pv) },
	{ "stack-switch",         M_PV,                   500, RUN(stack_switch) },
	{ "segment-base",         M_PV,                   500, RUN(segment_base) },

	/* Memory: a read in each of 512 pages after a flush, and again; the first write to a page; MB/s over 2 MiB. */
	{ "tlb-miss",             0,                      512, RUN(strides), .setup = setup_tlb_cold },
	{ "tlb-hit",              0,                      512, RUN(strides), .setup = setup_tlb_warm },
	{ "touch-first",          M_FRESH,                 64, RUN(touch), .setup = setup_fresh },
	{ "memory-read",          M_FULL | M_CLOCK,         1, RUN(read), .bytes = 2 * MIB },
	{ "memory-write",         M_FULL | M_CLOCK,         1, RUN(write), .bytes = 2 * MIB },
	{ "memory-copy",          M_FULL | M_CLOCK,         1, RUN(copy), .bytes = 2 * MIB },
};
/* clang-format on */

const unsigned measure_table_len = ARRAY_LEN(measure_table);
