/* SPDX-License-Identifier: MIT */
/*
 * What the monitor of a guest in ring 3 may ask of the engine: the entries of
 * struct gamut_pv_cpu_ops, with gamut/pv.h for what each does, and what their
 * files share.
 */
#ifndef BT_PV_OPS_H
#define BT_PV_OPS_H

#include "engine/bt/bt.h"

#define ROOT_ADDR 0x000ffffffffff000ull

static inline struct bt_vcpu *pv_vcpu_of(const struct gamut_pv_cpu *cpu)
{
	return (struct bt_vcpu *)((uintptr_t)cpu - offsetof(struct bt_vcpu, pv.cpu));
}

/* rip and rflags from the monitor's struct. */
void pv_take_back(struct bt_vcpu *v);
/*
 * A table entry's host address. The caller has checked gpa, and a mistake must
 * not reach the host's memory all the same: NULL.
 */
uint64_t *pv_entry(const struct bt_vcpu *v, uint64_t gpa);

/* ---- pv-space.c ------------------------------------------------------------------------------ */

void pv_op_roots(struct gamut_pv_cpu *cpu, uint64_t kernel, uint64_t user);
void pv_op_enter(struct gamut_pv_cpu *cpu, int user);
void pv_op_flush(struct gamut_pv_cpu *cpu);
void pv_op_flush_page(struct gamut_pv_cpu *cpu, uint64_t va);
void pv_op_flush_others(struct gamut_pv_cpu *cpu, uint64_t va);
void pv_op_pte_write(struct gamut_pv_cpu *cpu, uint64_t gpa, uint64_t value);
uint64_t pv_op_pte_exchange(struct gamut_pv_cpu *cpu, uint64_t gpa, uint64_t expected, uint64_t value);

/* ---- pv-step.c ------------------------------------------------------------------------------- */

int pv_op_read(struct gamut_pv_cpu *cpu, uint64_t va, void *buf, uint32_t len, uint64_t *fault);
int pv_op_write(struct gamut_pv_cpu *cpu, uint64_t va, const void *buf, uint32_t len, uint64_t *fault);
int pv_op_emulate_write(struct gamut_pv_cpu *cpu, uint64_t gpa,
                        int (*fn)(void *opaque, uint64_t gpa, uint64_t old_value, uint64_t new_value),
                        void *opaque);

/* ---- pv-cpu.c -------------------------------------------------------------------------------- */

int pv_op_load_segment(struct gamut_pv_cpu *cpu, uint32_t seg, uint16_t selector);
uint16_t pv_op_selector(struct gamut_pv_cpu *cpu, uint32_t seg);
uint64_t pv_op_base(struct gamut_pv_cpu *cpu, uint32_t seg);
void pv_op_set_base(struct gamut_pv_cpu *cpu, uint32_t seg, uint64_t value);
void pv_op_set_gdt(struct gamut_pv_cpu *cpu, uint64_t base, uint32_t limit);
void pv_op_set_ldt(struct gamut_pv_cpu *cpu, uint64_t base, uint32_t limit);
int pv_op_code64(struct gamut_pv_cpu *cpu);
void pv_op_set_ts(struct gamut_pv_cpu *cpu, int on);
uint64_t pv_op_cr4(struct gamut_pv_cpu *cpu);
int pv_op_set_cr4(struct gamut_pv_cpu *cpu, uint64_t value);
uint64_t pv_op_xcr0(struct gamut_pv_cpu *cpu);
int pv_op_set_xcr0(struct gamut_pv_cpu *cpu, uint64_t value);
uint64_t pv_op_dr(struct gamut_pv_cpu *cpu, uint32_t n);
void pv_op_set_dr(struct gamut_pv_cpu *cpu, uint32_t n, uint64_t value);
void pv_op_cpuid(struct gamut_pv_cpu *cpu, uint32_t leaf, uint32_t subleaf, uint32_t regs[4]);
uint64_t pv_op_tsc(struct gamut_pv_cpu *cpu);
int pv_op_msr_read(struct gamut_pv_cpu *cpu, uint32_t msr, uint64_t *value);
int pv_op_msr_write(struct gamut_pv_cpu *cpu, uint32_t msr, uint64_t value);
const uint64_t *pv_op_hole(const struct gamut_pv_cpu *cpu);

#endif
