/* SPDX-License-Identifier: MIT */
/*
 * A Xen domain without core or engine: both halves of the ABI (struct
 * xen_intr, struct xen_platform) on a fake host, wired as the plugins do it,
 * for the tests in this folder.
 *
 * Guest memory: 16 MiB of RAM. ARG is where tests put argument structures;
 * virtual addresses are physical ones.
 */
#ifndef TEST_XEN_WORLD_H
#define TEST_XEN_WORLD_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dm/xen/intr.h"
#include "dm/xen/platform.h"
#include "fake/host-fake.h"

#define ARG 0x10000ull
#define ARRAY 0x20000ull
#define SHARED_GPA 0x30000ull
#define GRANT_GPA 0x40000ull
#define INFO_GPA 0x50000ull

struct world {
	struct host_fake *f;
	struct xen_intr x;
	struct xen_platform p;
	uint64_t params[HVM_NR_PARAMS];
	uint32_t long_mode;
	uint32_t vcpu;
};

static inline int world_param_set(void *self, uint32_t index, uint64_t value)
{
	((struct world *)self)->params[index] = value;
	return 0;
}

static inline int world_param_get(void *self, uint32_t index, uint64_t *value)
{
	*value = ((struct world *)self)->params[index];
	return 0;
}

static const struct gamut_xenbus_ops world_params = {
	.size = sizeof(struct gamut_xenbus_ops),
	.hvm_param_set = world_param_set,
	.hvm_param_get = world_param_get,
};

static inline int world_setup_as(void **state, const struct xen_flavour *flavour)
{
	struct world *w = test_calloc(1, sizeof(*w));

	w->f = host_fake_create(16 << 20, 2);
	w->long_mode = 1;
	assert_int_equal(xen_intr_init(&w->x, w->f->host, w->f->inst), 0);
	assert_int_equal(xen_intr_register(&w->x), 0);
	assert_int_equal(xen_platform_init(&w->p, flavour, w->f->host, w->f->inst, NULL, 0), 0);
	xen_platform_connect(&w->p, &xen_intr_ops, &w->x, &world_params, w);
	assert_int_equal(xen_platform_register(&w->p), 0);
	xen_intr_start(&w->x);
	*state = w;
	return 0;
}

static inline int world_setup(void **state)
{
	return world_setup_as(state, &xen_flavour_hvm);
}

static inline int world_teardown(void **state)
{
	struct world *w = *state;

	xen_platform_finish(&w->p);
	xen_intr_finish(&w->x);
	assert_int_equal(host_fake_destroy(w->f), 0);
	test_free(w);
	return 0;
}

static inline int64_t world_call6(struct world *w, uint32_t nr, const uint64_t args[6])
{
	struct gamut_hypercall call = { .nr = nr, .vcpu = w->vcpu, .long_mode = w->long_mode };

	memcpy(call.args, args, sizeof(call.args));
	return host_fake_hypercall(w->f, &call);
}

static inline int64_t world_call(struct world *w, uint32_t nr, uint64_t a, uint64_t b, uint64_t c)
{
	const uint64_t args[6] = { a, b, c };

	return world_call6(w, nr, args);
}

/* Puts a structure at ARG, makes the call with it, reads it back. */
static inline int64_t world_op(struct world *w, uint32_t nr, uint64_t cmd, void *arg, uint64_t len)
{
	int64_t rc;

	memcpy(w->f->ram + ARG, arg, len);
	rc = world_call(w, nr, cmd, ARG, 1);
	memcpy(arg, w->f->ram + ARG, len);
	return rc;
}

#define EVTCHN(w, cmd, s) world_op(w, __HYPERVISOR_event_channel_op, cmd, &(s), sizeof(s))

/* shared_info mapped where Linux has it, the callback vector set: as after a guest's first steps. */
static inline struct shared_info *world_boot(struct world *w)
{
	struct xen_add_to_physmap add = { .domid = DOMID_SELF, .space = XENMAPSPACE_shared_info,
		                          .gpfn = SHARED_GPA >> 12 };
	struct xen_hvm_param param = { .domid = DOMID_SELF, .index = HVM_PARAM_CALLBACK_IRQ,
		                       .value = (uint64_t)HVM_PARAM_CALLBACK_TYPE_VECTOR << 56 | 0xf3 };

	assert_int_equal(world_op(w, __HYPERVISOR_memory_op, XENMEM_add_to_physmap, &add, sizeof(add)), 0);
	assert_int_equal(world_op(w, __HYPERVISOR_hvm_op, HVMOP_set_param, &param, sizeof(param)), 0);
	return w->f->host->mem_get(w->f->inst, SHARED_GPA, 4096);
}

#endif
