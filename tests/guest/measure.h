/* SPDX-License-Identifier: MIT */
/* Between measure.c, which takes samples, the table of what is measured, and the files that have the operations. */
#ifndef PROBE_MEASURE_H
#define PROBE_MEASURE_H

#include "pc.h"
#include "pv.h"

/* What there is in this mode; an operation needs some of it. */
enum {
	M_NATIVE = 1u << 0,   /* ring 0, and page tables of one's own */
	M_PV = 1u << 1,
	M_XEN = 1u << 2,      /* Xen's hypercalls */
	M_KVM = 1u << 3,      /* KVM's */
	M_PAGE = 1u << 4,     /* a hypercall page */
	M_VECTOR = 1u << 5,   /* Xen's events come by a vector, or as a PV guest's */
	M_XEN_TIME = 1u << 6, /* Xen's clock and timers */
	M_PVCLOCK = 1u << 7,  /* that, or KVM's */
	M_LAPIC = 1u << 8,
	M_DEADLINE = 1u << 9, /* of the TSC, by the local APIC */
	M_IOAPIC = 1u << 10,
	M_PIT = 1u << 11,
	M_PM_TIMER = 1u << 12,
	M_PC = 1u << 13,
	M_CLOCK = 1u << 14,   /* something tells ns */
	M_MSR_WRITE = 1u << 15,
	M_FULL = 1u << 16,    /* a processor that is no interpreter with holes */
	M_FRESH = 1u << 17,   /* RAM that nobody has touched */
	M_SECOND = 1u << 18,  /* a second vCPU, started */
};

/*
 * One operation. Rows of one name are ways to do the same thing, of which the
 * first that the mode has is measured: the mode's own.
 */
struct operation {
	const char *name;
	uint32_t needs;              /* M_*, all of them */
	uint32_t count;              /* in one sample */
	bool (*run)(unsigned n);     /* n of it, timed; false: it does not work */
	void (*setup)(unsigned n);   /* before each run, not timed; may be NULL */
	uint64_t (*sample)(void);    /* instead of run: takes one sample itself, in clock_ns; ~0: it does not work */
	uint32_t bytes;              /* of one of it: a rate in MB/s is told, not a time */
};

extern const struct operation measure_table[];
extern const unsigned measure_table_len;

/* Finds out what there is, and gets it ready: M_*. (measure-have.c) */
uint32_t measure_prepare(void);
/* Why something of these is not there. */
const char *measure_lack(uint32_t missing);

/* ---- measure-cpu.c: exits, and what stays within the processor ---- */
bool run_loop(unsigned n);
bool run_hypercall(unsigned n);
bool run_hypercall_kvm(unsigned n);
bool run_hypercall_page(unsigned n);
bool run_multicall(unsigned n);
bool run_cpuid(unsigned n);
bool run_msr_read(unsigned n);
bool run_msr_write(unsigned n);
bool run_port_in(unsigned n);
bool run_port_out(unsigned n);
bool run_mmio_read(unsigned n);
bool run_mmio_write(unsigned n);
bool run_lapic_read(unsigned n);
bool run_pci_read(unsigned n);
bool run_vga_write(unsigned n);
bool run_interrupt_flag(unsigned n);
bool run_event_mask(unsigned n);
bool run_syscall(unsigned n);
bool run_page_fault(unsigned n);
bool run_page_fault_user(unsigned n);
bool run_stack_switch(unsigned n);
bool run_segment_base(unsigned n);
bool run_store(unsigned n);
bool msr_write_works(void);
bool kvm_hypercall_works(void);

/* ---- measure-time.c: clocks, timers, interrupts to oneself ---- */
void measure_time_prepare(uint32_t have);
bool kvm_clock_start(void);
bool run_tsc(unsigned n);
bool run_clock(unsigned n);
bool run_kvm_clock(unsigned n);
bool run_pm_timer(unsigned n);
bool run_pit(unsigned n);
bool run_xen_timer(unsigned n);
bool run_deadline_timer(unsigned n);
bool run_lapic_timer(unsigned n);
bool run_xen_interrupt(unsigned n);
bool run_deadline_interrupt(unsigned n);
bool run_lapic_interrupt(unsigned n);
bool run_pit_interrupt(unsigned n);
uint64_t deadline_lateness(void);
uint64_t lapic_lateness(void);
bool run_event_self(unsigned n);
bool run_ipi_self(unsigned n);

/* ---- measure-memory.c ---- */
bool measure_memory_prepare(void); /* false: no RAM is fresh */
bool run_pte_native(unsigned n);
bool run_pte_store(unsigned n);
bool run_pte_batch_native(unsigned n);
bool run_va_mapping(unsigned n);
bool run_mmu_update(unsigned n);
bool run_mmu_update_list(unsigned n);
bool run_pte_touch_native(unsigned n);
bool run_pte_touch_pv(unsigned n);
bool run_space_native(unsigned n);
bool run_space_pv(unsigned n);
bool run_flush_native(unsigned n);
bool run_flush_pv(unsigned n);
bool run_flush_page_native(unsigned n);
bool run_flush_page_pv(unsigned n);
bool run_strides(unsigned n);
void setup_tlb_cold(unsigned n);
void setup_tlb_warm(unsigned n);
bool run_touch(unsigned n);
void setup_fresh(unsigned n);
bool run_read(unsigned n);
bool run_write(unsigned n);
bool run_copy(unsigned n);

/* ---- measure-smp.c ---- */
bool measure_second_start(uint32_t have);
uint64_t ipi_round_trip(void);
uint64_t ipi_wake_round_trip(void);

#endif
