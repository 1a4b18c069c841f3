/* SPDX-License-Identifier: MIT */
/* Entries of the host table that are not in host.c; what each does is in gamut/host.h. */
#ifndef HOST_INTERNAL_H
#define HOST_INTERNAL_H

#include "gamut/host.h"

struct vcpu;

/* ---- host-vcpu.c ---- */

/* NULL: the domain has no such vCPU. */
struct vcpu *host_find_vcpu(struct gamut_inst *inst, uint32_t index);

int host_guest_read(struct gamut_inst *inst, uint32_t vcpu, uint64_t va, void *buf, uint64_t len);
int host_guest_write(struct gamut_inst *inst, uint32_t vcpu, uint64_t va, const void *buf, uint64_t len);
int host_vcpu_get(struct gamut_inst *inst, uint32_t vcpu, struct gamut_vcpu_state *state);
int host_vcpu_up(struct gamut_inst *inst, uint32_t vcpu);
int host_vcpu_down(struct gamut_inst *inst, uint32_t vcpu);
int host_vcpu_is_up(struct gamut_inst *inst, uint32_t vcpu);
uint32_t host_vcpu_current(struct gamut_inst *inst);
int host_vcpu_set(struct gamut_inst *inst, uint32_t vcpu, const struct gamut_vcpu_state *state);
void host_vcpu_block(struct gamut_inst *inst, uint32_t vcpu);
void host_vcpu_wake(struct gamut_inst *inst, uint32_t vcpu);
void host_vcpu_unhalt(struct gamut_inst *inst, uint32_t vcpu);
void host_vcpu_times(struct gamut_inst *inst, uint32_t vcpu, uint64_t ns[4]);
int host_irq_source(struct gamut_inst *inst, const struct gamut_irq_source *ops, void *opaque);
int host_cr8_register(struct gamut_inst *inst, uint64_t (*read)(void *opaque, uint32_t vcpu),
                             void (*write)(void *opaque, uint32_t vcpu, uint64_t value), void *opaque);
int host_irqchip_create(struct gamut_inst *inst, uint32_t kind, void (*eoi)(void *opaque, uint32_t vector),
                               void *opaque);
int host_irqchip_line(struct gamut_inst *inst, uint32_t gsi, uint32_t level);
int host_irqchip_msi(struct gamut_inst *inst, uint64_t address, uint32_t data);
int host_irqchip_route(struct gamut_inst *inst, const struct gamut_irqchip_pin *pins, uint32_t n);
void host_irq_raise(struct gamut_inst *inst, uint32_t vcpu);
void host_nmi_raise(struct gamut_inst *inst, uint32_t vcpu);
uint64_t host_time_now(struct gamut_inst *inst);
void host_time_scale(struct gamut_inst *inst, uint32_t vcpu, uint64_t *tsc_base, uint64_t *ns_base,
                            uint32_t *mul, int8_t *shift);
struct gamut_timer *host_timer_create(struct gamut_inst *inst, gamut_timer_fn fn, void *opaque);
void host_timer_set(struct gamut_inst *inst, struct gamut_timer *timer, uint64_t ns);
void host_timer_cancel(struct gamut_inst *inst, struct gamut_timer *timer);
void host_timer_destroy(struct gamut_inst *inst, struct gamut_timer *timer);

#endif
