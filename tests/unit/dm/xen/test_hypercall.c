/* SPDX-License-Identifier: MIT */
/*
 * The hypercalls as a guest may abuse them, and what the well-meant ones give.
 */
#include "world.h"

#include <xen/arch-x86/cpuid.h>

static const uint32_t numbers[] = {
	__HYPERVISOR_memory_op,     __HYPERVISOR_multicall,        __HYPERVISOR_set_timer_op, __HYPERVISOR_xen_version,
	__HYPERVISOR_console_io,    __HYPERVISOR_grant_table_op,   __HYPERVISOR_vm_assist,    __HYPERVISOR_vcpu_op,
	__HYPERVISOR_sched_op,      __HYPERVISOR_event_channel_op, __HYPERVISOR_physdev_op,   __HYPERVISOR_hvm_op,
};

#define N_NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

/* Where a hostile guest points: nowhere, the end of RAM, across it, past everything, an odd place, a good one. */
static const uint64_t places[] = { 0, ARG, ARG + 1, (16 << 20) - 3, 16 << 20, UINT64_MAX, UINT64_MAX - 7, 1ull << 63 };

#define N_PLACES (sizeof(places) / sizeof(places[0]))

enum fill { ZERO, ONES, MIXED, FILLS };

static void fill(struct world *w, enum fill how)
{
	uint32_t x = 0x9e3779b9;

	memset(w->f->hole, 0, (16 << 20) / 4096);
	memset(w->f->ram, how == ONES ? 0xff : 0, 1 << 20);
	for (uint32_t i = 0; how == MIXED && i < 1 << 20; i += 4) {
		x = x * 1664525 + 1013904223;
		memcpy(w->f->ram + i, &(uint32_t){ x >> (x >> 27) }, 4);
	}
}

/* Anything may be answered but nonsense: an errno, or a small number. */
static void attack(struct world *w, uint32_t nr, const uint64_t args[6])
{
	int64_t rc = world_call6(w, nr, args);

	if (rc < -4095 || rc > INT32_MAX)
		fail_msg("hypercall %u (%llx, %llx, %llx): %lld", nr, (unsigned long long)args[0],
		         (unsigned long long)args[1], (unsigned long long)args[2], (long long)rc);
}

/* Every sub-operation, each argument in turn at every place. */
static void attack_all(struct world *w, uint32_t nr)
{
	for (uint64_t cmd = 0; cmd < 72; cmd++)
		for (uint32_t a = 0; a < N_PLACES; a++)
			for (uint32_t b = 0; b < N_PLACES; b++) {
				const uint64_t args[6] = { cmd < 70 ? cmd : 0 - cmd, places[a], places[b], places[b], 0, 0 };

				attack(w, nr, args);
			}
}

static void no_argument_does_harm(void **state)
{
	struct world *w = *state;

	for (uint32_t i = 0; i < N_NUMBERS; i++) {
		/* Lists of garbage are long work with nothing new in them; a list has its own test. */
		if (numbers[i] == __HYPERVISOR_multicall)
			continue;
		for (int how = 0; how < FILLS; how++)
			for (w->long_mode = 0; w->long_mode < 2; w->long_mode++) {
				fill(w, how);
				attack_all(w, numbers[i]);
			}
	}
	/* And afterwards the domain still works. */
	xen_platform_reset(&w->p);
	xen_intr_reset(&w->x);
	fill(w, ZERO);
	w->long_mode = 1;
	assert_int_equal(world_call(w, __HYPERVISOR_xen_version, XENVER_version, 0, 0), 4 << 16 | 17);
	struct evtchn_bind_ipi bind = { .vcpu = 0 };
	assert_int_equal(EVTCHN(w, EVTCHNOP_bind_ipi, bind), 0);
}

static void lists_of_garbage_end(void **state)
{
	struct world *w = *state;

	for (int how = 0; how < FILLS; how++) {
		fill(w, how);
		assert_int_equal(world_call(w, __HYPERVISOR_multicall, (16 << 20) - 64 * 100, UINT32_MAX, 0), -EFAULT);
		w->long_mode = !w->long_mode;
	}
}

static void only_the_kernel_may_call(void **state)
{
	struct world *w = *state;

	for (uint32_t i = 0; i < N_NUMBERS; i++) {
		struct gamut_hypercall call = { .nr = numbers[i], .cpl = 3, .long_mode = 1 };

		assert_int_equal(host_fake_hypercall(w->f, &call), -EPERM);
	}
}

static void features(void **state)
{
	struct world *w = *state;
	struct xen_feature_info info = { 0 };

	assert_int_equal(world_op(w, __HYPERVISOR_xen_version, XENVER_get_features, &info, sizeof(info)), 0);
	assert_int_equal(info.submap, 1u << XENFEAT_writable_page_tables | 1u << XENFEAT_auto_translated_physmap |
	                                      1u << XENFEAT_hvm_callback_vector | 1u << XENFEAT_hvm_safe_pvclock);
	info.submap_idx = 1;
	assert_int_equal(world_op(w, __HYPERVISOR_xen_version, XENVER_get_features, &info, sizeof(info)), -EINVAL);
	assert_int_equal(world_call(w, __HYPERVISOR_xen_version, XENVER_pagesize, 0, 0), 4096);
	assert_int_equal(world_call(w, __HYPERVISOR_xen_version, XENVER_guest_handle, ARG, 0), 0);
	assert_memory_equal(w->f->ram + ARG, w->f->uuid, 16);
}

static void params_have_rights(void **state)
{
	struct world *w = *state;
	struct xen_hvm_param param = { .domid = DOMID_SELF, .index = HVM_PARAM_STORE_PFN };

	w->params[HVM_PARAM_STORE_PFN] = 0xfeff8;
	assert_int_equal(world_op(w, __HYPERVISOR_hvm_op, HVMOP_get_param, &param, sizeof(param)), 0);
	assert_int_equal(param.value, 0xfeff8);
	param.value = 5;
	assert_int_equal(world_op(w, __HYPERVISOR_hvm_op, HVMOP_set_param, &param, sizeof(param)), -EPERM);
	assert_int_equal(w->params[HVM_PARAM_STORE_PFN], 0xfeff8);
	param.index = HVM_PARAM_PAGING_RING_PFN;
	assert_int_equal(world_op(w, __HYPERVISOR_hvm_op, HVMOP_get_param, &param, sizeof(param)), -EPERM);
	param.index = 3; /* never was one */
	assert_int_equal(world_op(w, __HYPERVISOR_hvm_op, HVMOP_get_param, &param, sizeof(param)), -EINVAL);
	param.index = HVM_NR_PARAMS;
	assert_int_equal(world_op(w, __HYPERVISOR_hvm_op, HVMOP_get_param, &param, sizeof(param)), -EINVAL);
	param.index = HVM_PARAM_STORE_PFN, param.domid = 0;
	assert_int_equal(world_op(w, __HYPERVISOR_hvm_op, HVMOP_get_param, &param, sizeof(param)), -EPERM);
	param.domid = 99;
	assert_int_equal(world_op(w, __HYPERVISOR_hvm_op, HVMOP_get_param, &param, sizeof(param)), -ESRCH);
}

static void memory_map_in_both_layouts(void **state)
{
	struct world *w = *state;
	struct xen_memory_map map = { .nr_entries = 8, .buffer.p = (void *)ARRAY };
	uint32_t map32[2] = { 8, ARRAY };
	struct xen_e820 *e = (void *)(w->f->ram + ARRAY);

	assert_int_equal(world_op(w, __HYPERVISOR_memory_op, XENMEM_memory_map, &map, sizeof(map)), 0);
	assert_int_equal(map.nr_entries, 1);
	assert_int_equal(e->size, 16 << 20);
	e->size = 0;
	w->long_mode = 0;
	assert_int_equal(world_op(w, __HYPERVISOR_memory_op, XENMEM_memory_map, map32, sizeof(map32)), 0);
	assert_int_equal(map32[0], 1);
	assert_int_equal(e->size, 16 << 20);
	assert_int_equal(e->type, 1);
}

static void balloon_down_and_up(void **state)
{
	struct world *w = *state;
	struct xen_memory_reservation res = { .extent_start.p = (void *)ARRAY, .nr_extents = 600, .domid = DOMID_SELF };
	uint64_t *list = (void *)(w->f->ram + ARRAY);
	domid_t self = DOMID_SELF;

	for (uint32_t i = 0; i < 600; i++)
		list[i] = 0x400 + i;
	/* More than a batch: restarted inside, and complete. */
	assert_int_equal(world_op(w, __HYPERVISOR_memory_op, XENMEM_decrease_reservation, &res, sizeof(res)), 600);
	assert_int_equal(world_op(w, __HYPERVISOR_memory_op, XENMEM_current_reservation, &self, sizeof(self)),
	                 4096 - 600);
	assert_int_equal(w->f->hole[0x400 + 599], 1);
	assert_int_equal(world_op(w, __HYPERVISOR_memory_op, XENMEM_populate_physmap, &res, sizeof(res)), 600);
	assert_int_equal(world_op(w, __HYPERVISOR_memory_op, XENMEM_current_reservation, &self, sizeof(self)), 4096);
	assert_int_equal(w->f->hole[0x400], 0);
	/* Nothing was given back, so nothing can be had. */
	assert_int_equal(world_op(w, __HYPERVISOR_memory_op, XENMEM_populate_physmap, &res, sizeof(res)), 0);
	list[1] = UINT64_MAX;
	assert_int_equal(world_op(w, __HYPERVISOR_memory_op, XENMEM_decrease_reservation, &res, sizeof(res)), 1);
	res.extent_order = 10;
	assert_int_equal(world_op(w, __HYPERVISOR_memory_op, XENMEM_decrease_reservation, &res, sizeof(res)), 0);
}

static void a_list_of_calls(void **state)
{
	struct world *w = *state;
	struct multicall_entry *list = (void *)(w->f->ram + ARRAY);

	for (int i = 0; i < 100; i++)
		list[i] = (struct multicall_entry){ .op = __HYPERVISOR_vcpu_op, .args = { VCPUOP_is_up, 0 } };
	list[1].op = __HYPERVISOR_multicall;
	list[2].op = UINT64_MAX;
	list[99] = (struct multicall_entry){ .op = __HYPERVISOR_xen_version, .args = { XENVER_version } };
	assert_int_equal(world_call(w, __HYPERVISOR_multicall, ARRAY, 100, 0), 0);
	assert_int_equal(list[0].result, 1);
	assert_true(list[1].result == (xen_ulong_t)-EINVAL);
	assert_true(list[2].result == (xen_ulong_t)-ENOSYS);
	assert_int_equal(list[99].result, 4 << 16 | 17);
}

static void console_lines_are_bounded(void **state)
{
	struct world *w = *state;

	memcpy(w->f->ram + ARG, "he\x1bllo\n", 7);
	assert_int_equal(world_call(w, __HYPERVISOR_console_io, CONSOLEIO_write, 7, ARG), 0);
	assert_string_equal(w->f->last_log, "guest: hello");
	memset(w->f->ram + ARG, '\n', 10000);
	assert_int_equal(world_call(w, __HYPERVISOR_console_io, CONSOLEIO_write, 10000, ARG), 0);
	assert_int_equal(w->f->logs[GAMUT_LOG_DEBUG], 64);
	assert_int_equal(host_fake_counter(w->f, "console-io-lines-dropped"), 10000 - 63);
	assert_int_equal(world_call(w, __HYPERVISOR_console_io, CONSOLEIO_read, 7, ARG), -EPERM);
}

static void the_console_has_a_port(void **state)
{
	struct world *w = *state;
	const struct gamut_io_ops *ops;

	assert_int_equal(xen_console_port_register(&w->p), 0);
	assert_int_equal(w->f->n_pio, 1);
	assert_int_equal(w->f->pio[0].base, XEN_HVM_DEBUGCONS_IOPORT);
	assert_int_equal(w->f->pio[0].len, 1);
	ops = w->f->pio[0].ops;
	for (const char *c = "by\tte\n"; *c; c++)
		ops->write(w->f->pio[0].opaque, 0, 1, (uint8_t)*c);
	assert_string_equal(w->f->last_log, "guest: byte");
	assert_int_equal((uint8_t)ops->read(w->f->pio[0].opaque, 0, 1), 0xff);
}

static void hypercall_page_and_msr(void **state)
{
	struct world *w = *state;
	const struct host_fake_range *range = w->f->msr;
	const struct gamut_msr_ops *ops;
	void *self;
	static const uint8_t intel[] = { 0xb8, 17, 0, 0, 0, 0x0f, 0x01, 0xc1, 0xc3 }, out[3] = { 0xe7, 0x12, 0x90 };
	uint8_t page[4096];

	while (range < w->f->msr + w->f->n_msr && range->base != XEN_MSR_HYPERCALL)
		range++;
	assert_true(range < w->f->msr + w->f->n_msr);
	ops = range->ops;
	self = range->opaque;
	xen_hypercall_page(page, intel + 5);
	assert_memory_equal(page + 17 * 32, intel, sizeof(intel));
	xen_hypercall_page(page, out);
	assert_memory_equal(page + 17 * 32 + 5, out, sizeof(out));
	assert_int_equal(ops->write(self, 0, XEN_MSR_HYPERCALL, ARG), 0);
	assert_memory_equal(w->f->ram + ARG + 17 * 32, intel, sizeof(intel)); /* as the host says */
	assert_int_equal(ops->write(self, 0, XEN_MSR_HYPERCALL, ARG + 1), -EPERM);
	assert_int_equal(ops->write(self, 0, XEN_MSR_HYPERCALL, UINT64_MAX & ~0xfffull), -EPERM);
}

static const struct host_fake_cpuid *mask_of(const struct world *w, uint32_t leaf)
{
	for (uint32_t i = 0; i < w->f->n_cpuid; i++)
		if (w->f->cpuid[i].mask && w->f->cpuid[i].leaf == leaf)
			return &w->f->cpuid[i];
	fail_msg("no mask for leaf %#x", leaf);
	return NULL;
}

static void cpuid_says_xen(void **state)
{
	struct world *w = *state;
	const struct host_fake_cpuid *c;

	assert_int_equal(xen_cpuid_set(&w->p), 0);
	c = host_fake_cpuid(w->f, 0, 0x40000000, 0);
	assert_int_equal(c->regs[0], 0x40000004);
	assert_int_equal(c->regs[1], XEN_CPUID_SIGNATURE_EBX);
	assert_int_equal(host_fake_cpuid(w->f, 0, 0x40000003, 0)->regs[2], 1000000); /* the fake's TSC: 1 GHz */
	c = host_fake_cpuid(w->f, 1, 0x40000004, 0);
	assert_int_equal(c->regs[0], XEN_HVM_CPUID_VCPU_ID_PRESENT | XEN_HVM_CPUID_DOMID_PRESENT |
	                                     XEN_HVM_CPUID_UPCALL_VECTOR);
	assert_int_equal(c->regs[1], 1);
	assert_int_equal(c->regs[2], w->f->domid);
	c = mask_of(w, 1);
	assert_int_equal(c->regs[2] & ~c->clear[2] & 1u << 31, 1u << 31);
}

static void cpuid_has_mtrrs(void **state)
{
	struct world *w = *state;
	const struct host_fake_cpuid *c;

	assert_int_equal(xen_cpuid_set_mtrr(&w->p), 0);
	c = mask_of(w, 1);
	assert_int_equal(c->regs[3] & ~c->clear[3] & 1u << 12, 1u << 12);
}

static void vcpus_come_up_as_asked(void **state)
{
	struct world *w = *state;
	struct vcpu_hvm_context ctx = { .mode = VCPU_HVM_MODE_32B };
	struct vcpu_hvm_x86_32 *r = &ctx.cpu_regs.x86_32;

	assert_int_equal(world_call(w, __HYPERVISOR_vcpu_op, VCPUOP_up, 1, 0), -EINVAL);
	r->eip = 0x1234;
	r->cr0 = 1;
	r->cs_limit = r->ds_limit = r->ss_limit = 0xfffff;
	r->cs_ar = 0xc9b;
	r->ds_ar = r->ss_ar = r->es_ar = 0xc93;
	r->tr_limit = 0x67;
	memcpy(w->f->ram + ARG, &ctx, sizeof(ctx));
	assert_int_equal(world_call(w, __HYPERVISOR_vcpu_op, VCPUOP_initialise, 1, ARG), -EINVAL); /* no TR */
	r->tr_ar = 0x8b;
	memcpy(w->f->ram + ARG, &ctx, sizeof(ctx));
	assert_int_equal(world_call(w, __HYPERVISOR_vcpu_op, VCPUOP_initialise, 1, ARG), 0);
	assert_int_equal(world_call(w, __HYPERVISOR_vcpu_op, VCPUOP_initialise, 1, ARG), -EEXIST);
	assert_int_equal(w->f->vcpu[1].state.rip, 0x1234);
	assert_int_equal(w->f->vcpu[1].state.seg[GAMUT_CS].attr, 0xc09b);
	assert_int_equal(w->f->vcpu[1].state.seg[GAMUT_CS].limit, UINT32_MAX);
	assert_int_equal(world_call(w, __HYPERVISOR_vcpu_op, VCPUOP_is_up, 1, 0), 0);
	assert_int_equal(world_call(w, __HYPERVISOR_vcpu_op, VCPUOP_up, 1, 0), 0);
	assert_int_equal(world_call(w, __HYPERVISOR_vcpu_op, VCPUOP_is_up, 1, 0), 1);
	assert_int_equal(world_call(w, __HYPERVISOR_vcpu_op, VCPUOP_is_up, 2, 0), -ENOENT);
}

/* As in hvm_hlt: one halted with interrupts off is down, and the last one ends the domain. */
static void halted_for_good(void **state)
{
	struct world *w = *state;

	assert_ptr_equal(w->f->dead_halt, xen_vcpu_halted);
	w->f->host->vcpu_up(w->f->inst, 1);
	w->f->dead_halt(w->f->dead_halt_opaque, 0);
	assert_false(w->f->vcpu[0].up);
	assert_true(w->f->vcpu[1].up);
	assert_int_equal(w->f->end_calls, 0);
	w->f->dead_halt(w->f->dead_halt_opaque, 1);
	assert_int_equal(w->f->end_calls, 1);
	assert_int_equal(w->f->ended, GAMUT_END_POWEROFF);
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(no_argument_does_harm), T(lists_of_garbage_end), T(only_the_kernel_may_call), T(features),
		T(params_have_rights), T(memory_map_in_both_layouts), T(balloon_down_and_up), T(a_list_of_calls),
		T(console_lines_are_bounded), T(the_console_has_a_port), T(hypercall_page_and_msr), T(cpuid_says_xen),
		T(cpuid_has_mtrrs), T(vcpus_come_up_as_asked),
		T(halted_for_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
