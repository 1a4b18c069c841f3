/* SPDX-License-Identifier: MIT */
/*
 * Vector and x87 state of the guest, and the brackets around C code that may
 * use vector registers while a guest is live.
 */
#ifndef BT_FPU_H
#define BT_FPU_H

#include "engine/bt/bt.h"

/* Bytes of v->fpu_area: the XSAVE area's standard format up to AVX. */
#define FPU_AREA_MAX 832u
/* PKRU is behind it in the guest's areas, as on AMD. It is the engine's own (v->pkru), never the processor's. */
#define FPU_COMP_PKRU 0x200ull
#define FPU_PKRU_SIZE 8u

/* Once per process: which XSAVE components the host has; the size of an area. */
bool fpu_probe(uint64_t *components, uint32_t *area_size, bool *avx);
int fpu_init(struct bt_vcpu *v);    /* allocates v->fpu_area with power-on state */
void fpu_finish(struct bt_vcpu *v);
void fpu_reset(struct bt_vcpu *v);  /* power-on state (FCW 0x37f, MXCSR 0x1f80) into the area */

/*
 * Live state to the area, then a host default (MXCSR, x87 control) so that
 * compiled C may run; and back. Idempotent through v->fpu_live.
 */
void fpu_save(struct bt_vcpu *v);
void fpu_restore(struct bt_vcpu *v);

/*
 * The guest's own fxsave, xsave family: area is a host buffer of at least size
 * bytes, 64-byte aligned for xsave; op is enum insn_op. FPU instruction and
 * data pointers never show host addresses. mask is edx:eax. STEP_OK or a
 * fault (#GP for reserved bits). Live guest state throughout.
 */
enum bt_step fpu_guest_save(struct bt_vcpu *v, unsigned op, bool wide, uint64_t mask, void *area, uint32_t size);
enum bt_step fpu_guest_load(struct bt_vcpu *v, unsigned op, bool wide, uint64_t mask, const void *area, uint32_t size);
/* Bytes of an area in standard, and in compact, format with these components. */
uint32_t fpu_standard_size(uint64_t components);
uint32_t fpu_compact_size(uint64_t components);
/* Bytes that the op touches at mask. */
uint32_t fpu_guest_size(const struct bt_vcpu *v, unsigned op, uint64_t mask);

#endif
