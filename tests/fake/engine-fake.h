/* SPDX-License-Identifier: MIT */
/*
 * An engine for tests of the core: struct engine_ops over a script. Each
 * vcpu_run takes the next step of the vCPU's script, which either makes up an
 * exit or looks at how the last one was completed. At the end of the script it
 * behaves as a guest in a loop: it waits for attention and reports EXIT_INTR.
 */
#ifndef ENGINE_FAKE_H
#define ENGINE_FAKE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "../../core/engine/engine.h"

#define ENGINE_FAKE_VCPUS 4

struct engine_fake_vcpu;

/* Fills *exit; what the handler did about the exit before is still in it. */
typedef void (*engine_fake_step)(struct engine_fake_vcpu *v, struct vcpu_exit *exit);

struct engine_vcpu {
	int unused;
};

struct engine_fake_vcpu {
	struct engine_vcpu base;
	struct engine_vcpu_env env;
	uint32_t index;
	const engine_fake_step *script; /* ends with NULL */
	_Atomic uint32_t at;            /* steps done */
	_Atomic uint32_t runs, kicks, resets;
	_Atomic uint32_t accepted; /* interrupts taken */
	int last_vector;
	struct gamut_vcpu_state state;
	struct gamut_pv_cpu pv;
	struct cpuid_entry cpuid[64];
	uint32_t n_cpuid;
};

/* Settings before a VM is created, and what can be looked at while it is there. */
struct engine_fake {
	const engine_fake_step *scripts[ENGINE_FAKE_VCPUS];
	bool fail_vm, fail_vcpu, fail_attach;
	bool pv_ring3, irqchip, shadow; /* offered */
	struct engine_config config; /* of the last vm_create */
	struct engine_irqchip chip; /* as created */
	struct engine_msi pins[ENGINE_PINS]; /* as routed */
	uint32_t n_chips, n_pins, last_gsi, last_level, last_msi;
	uint32_t remaps, changes; /* mem_changed with and without remapped */
	struct engine_fake_vcpu *vcpu[ENGINE_FAKE_VCPUS];
	uint32_t n_vms, n_vcpus; /* that exist now */
};

/* The tests' one instance: an engine's table has no context of its own. */
extern struct engine_fake engine_fake;
extern const struct engine_ops engine_fake_ops;

/* Settings back to nothing; call before each test. */
void engine_fake_reset(void);

#endif
