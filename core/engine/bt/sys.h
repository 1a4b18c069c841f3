/* SPDX-License-Identifier: MIT */
/*
 * System state: control and debug registers, MSRs, segments, far transfers,
 * fast system calls. Called by the interpreter (and some directly by thunks)
 * on synced state. `len` is the instruction's length; functions that change
 * rip say so, all others leave it to the caller.
 *
 * Sources: Intel SDM vol. 2 (operation sections) and vol. 3 chapters 2, 3, 5, 6; AMD APM vol. 2.
 */
#ifndef BT_SYS_H
#define BT_SYS_H

#include "engine/bt/bt.h"

/* mov to and from CRn, with every check (reserved bits, PE/PG rules, PAE PDPTEs, LMA switching). */
enum bt_step sys_read_cr(struct bt_vcpu *v, unsigned cr, uint64_t *value);
enum bt_step sys_write_cr(struct bt_vcpu *v, unsigned cr, uint64_t value);
enum bt_step sys_read_dr(struct bt_vcpu *v, unsigned dr, uint64_t *value);
enum bt_step sys_write_dr(struct bt_vcpu *v, unsigned dr, uint64_t value);

/* rdmsr, wrmsr: MSRs of the engine here; others go to the core through the replay record (STEP_EXIT). */
enum bt_step sys_rdmsr(struct bt_vcpu *v, uint32_t index, uint64_t *value);
enum bt_step sys_wrmsr(struct bt_vcpu *v, uint32_t index, uint64_t value);
/* Those of the engine, whoever asks; false: another's, or a #GP. */
bool sys_msr_read(struct bt_vcpu *v, uint32_t index, uint64_t *value);
bool sys_msr_write(struct bt_vcpu *v, uint32_t index, uint64_t value);
bool sys_xcr0_valid(const struct bt_vcpu *v, uint64_t value);
enum bt_step sys_xsetbv(struct bt_vcpu *v, uint32_t index, uint64_t value);
void sys_cpuid(struct bt_vcpu *v, uint32_t leaf, uint32_t subleaf, uint32_t regs[4]); /* with OSXSAVE, OSPKE, APIC id as now */
uint64_t sys_tsc(const struct bt_vcpu *v);
/* IA32_MISC_ENABLE: fast strings; no branch trace store, no precise event sampling. */
#define MISC_ENABLE_RESET 0x1801ull
/* wrpkru, xrstor: the new rights of protection keys. */
void sys_set_pkru(struct bt_vcpu *v, uint32_t value);

/* Loads a segment register (not CS) with the checks of mov/pop/lds: any mode. */
enum bt_step sys_load_seg(struct bt_vcpu *v, enum gamut_seg seg, uint16_t selector);
enum bt_step sys_lldt(struct bt_vcpu *v, uint16_t selector);
enum bt_step sys_ltr(struct bt_vcpu *v, uint16_t selector);
/* lar, lsl, verr, verw: *ok is the new ZF. */
enum bt_step sys_lar(struct bt_vcpu *v, uint16_t selector, uint32_t *value, bool *ok);
enum bt_step sys_lsl(struct bt_vcpu *v, uint16_t selector, uint32_t *value, bool *ok);
enum bt_step sys_verify(struct bt_vcpu *v, uint16_t selector, bool write, bool *ok);

/* Far transfers; these set CS, rip, rsp, CPL, and all that follows. opsize 2, 4, 8. next is the return address. */
enum bt_step sys_jmp_far(struct bt_vcpu *v, uint16_t selector, uint64_t offset, unsigned opsize);
enum bt_step sys_call_far(struct bt_vcpu *v, uint16_t selector, uint64_t offset, unsigned opsize, uint64_t next);
enum bt_step sys_ret_far(struct bt_vcpu *v, unsigned opsize, unsigned imm);
enum bt_step sys_iret(struct bt_vcpu *v, unsigned opsize);
enum bt_step sys_syscall(struct bt_vcpu *v, uint64_t next);
enum bt_step sys_sysret(struct bt_vcpu *v, unsigned opsize);
enum bt_step sys_sysenter(struct bt_vcpu *v);
enum bt_step sys_sysexit(struct bt_vcpu *v, unsigned opsize);
/* popf with all the CPL, IOPL, VM rules: value is what was popped. */
enum bt_step sys_popf(struct bt_vcpu *v, uint64_t value, unsigned opsize);
enum bt_step sys_cli(struct bt_vcpu *v);
enum bt_step sys_sti(struct bt_vcpu *v);
enum bt_step sys_swapgs(struct bt_vcpu *v);
enum bt_step sys_invlpg(struct bt_vcpu *v, uint64_t va);
enum bt_step sys_invpcid(struct bt_vcpu *v, uint64_t type, const uint64_t desc[2]);
/* Whether ports [port, port+width) may be used (IOPL, TSS bitmap). */
enum bt_step sys_io_check(struct bt_vcpu *v, uint16_t port, unsigned width);

/*
 * Linear address of an access through a segment: base added, limit, type and
 * canonical form checked (#GP, #SS). Fast for flat segments and 64-bit mode.
 */
enum bt_step sys_linear(struct bt_vcpu *v, enum gamut_seg seg, uint64_t offset, unsigned len, bool write, uint64_t *va);

/* Checks an address that rip is about to become (canonical form or CS limit). */
enum bt_step sys_check_rip(struct bt_vcpu *v, uint64_t rip);

/*
 * Takes over what v->cpuid says: valid bits of CR4, EFER, XCR0, the physical
 * width. After every change of v->cpuid; sys_reset and sys_set_state do it too.
 */
void sys_features(struct bt_vcpu *v);
/* The guest's CPUID names AMD (or Hygon). */
bool sys_vendor_amd(const struct bt_vcpu *v);
/* The entry for leaf and subleaf, NULL when there is none. */
const struct cpuid_entry *cpuid_find(const struct bt_vcpu *v, uint32_t leaf, uint32_t subleaf);

/* Power-on state, and the whole state at once (validated: -EINVAL for what cannot be). */
void sys_reset(struct bt_vcpu *v);
int sys_set_state(struct bt_vcpu *v, const struct gamut_vcpu_state *state);
void sys_get_state(const struct bt_vcpu *v, struct gamut_vcpu_state *state);

/* What the engine offers, from the host's own CPUID (cpuid.c). */
int cpuid_build(struct cpuid_entry **entries, uint32_t *n);

#endif
