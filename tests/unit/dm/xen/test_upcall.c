/* SPDX-License-Identifier: MIT */
/* Upcalls that a PV guest's monitor delivers. */
#include "world.h"

static int pv_setup(void **state)
{
	struct world *w = test_calloc(1, sizeof(*w));

	w->f = host_fake_create(16 << 20, 34); /* the last two have no place in shared_info */
	w->long_mode = 1;
	assert_int_equal(xen_intr_init(&w->x, w->f->host, w->f->inst), 0);
	xen_intr_ops.upcall_by_monitor(&w->x);
	assert_int_equal(xen_intr_register(&w->x), 0);
	xen_intr_start(&w->x);
	*state = w;
	return 0;
}

static int pv_teardown(void **state)
{
	struct world *w = *state;

	xen_intr_finish(&w->x);
	assert_int_equal(host_fake_destroy(w->f), 0);
	test_free(w);
	return 0;
}

static uint32_t ipi(struct world *w, uint32_t vcpu)
{
	struct evtchn_bind_ipi bind = { .vcpu = vcpu };

	assert_int_equal(EVTCHN(w, EVTCHNOP_bind_ipi, bind), 0);
	return bind.port;
}

static void notify(struct world *w, uint32_t port)
{
	struct evtchn_send send = { .port = port };

	assert_int_equal(EVTCHN(w, EVTCHNOP_send, send), 0);
}

/* vcpu_op as the monitor passes it on. */
static int64_t vcpu_op(struct world *w, uint64_t cmd, uint64_t vcpu, uint64_t arg)
{
	struct gamut_hypercall call = { .nr = __HYPERVISOR_vcpu_op, .long_mode = 1, .args = { cmd, vcpu, arg } };

	return xen_intr_ops.hypercall(&w->x, &call);
}

static void all_begin_masked(void **state)
{
	struct world *w = *state;

	for (uint32_t i = 0; i < 32; i++)
		assert_int_equal(xen_intr_ops.vcpu_info(&w->x, i)[1], 1);
	assert_null(xen_intr_ops.vcpu_info(&w->x, 32));
	assert_null(xen_intr_ops.vcpu_info(&w->x, 34));
}

static void event_raises_and_has_no_vector(void **state)
{
	struct world *w = *state;
	uint8_t *info = xen_intr_ops.vcpu_info(&w->x, 1);
	uint32_t port = ipi(w, 1);

	notify(w, port);
	assert_int_equal(info[0], 1);
	assert_int_equal(w->f->vcpu[1].irq_raises, 1); /* masked or not */
	assert_int_equal(w->f->irq->accept(w->f->irq_opaque, 1), -1);
	assert_false(w->f->irq->pending(w->f->irq_opaque, 1));
	info[1] = 0;
	assert_true(w->f->irq->pending(w->f->irq_opaque, 1));
	assert_int_equal(w->f->irq->accept(w->f->irq_opaque, 1), -1);
}

static void monitor_has_two_hypercalls(void **state)
{
	struct world *w = *state;

	assert_null(w->f->hypercalls[__HYPERVISOR_vcpu_op].fn);
	assert_null(w->f->hypercalls[__HYPERVISOR_vm_assist].fn);
	assert_non_null(w->f->hypercalls[__HYPERVISOR_sched_op].fn);
	assert_int_equal(vcpu_op(w, VCPUOP_initialise, 1, ARG), -ENOSYS); /* HVM's has another structure */
	assert_int_equal(vcpu_op(w, VCPUOP_up, 1, 0), 0);
	assert_true(w->f->vcpu[1].up);
	assert_int_equal(w->f->n_mmio, 0); /* no local APICs */
	assert_null(w->f->dead_halt);
}

static void block_unmasks(void **state)
{
	struct world *w = *state;
	uint8_t *info = xen_intr_ops.vcpu_info(&w->x, 0);

	info[0] = 0;
	assert_int_equal(world_call(w, __HYPERVISOR_sched_op, SCHEDOP_block, 0, 0), 0);
	assert_int_equal(info[1], 0);
	assert_true(w->f->vcpu[0].blocked);
	info[0] = info[1] = 1;
	assert_int_equal(world_call(w, __HYPERVISOR_sched_op, SCHEDOP_block, 0, 0), 0);
	assert_false(w->f->vcpu[0].blocked);
}

static void poll_keeps_the_mask(void **state)
{
	struct world *w = *state;
	struct sched_poll poll = { .nr_ports = 0 };
	uint8_t *info = xen_intr_ops.vcpu_info(&w->x, 0);

	info[0] = info[1] = 1;
	assert_int_equal(world_op(w, __HYPERVISOR_sched_op, SCHEDOP_poll, &poll, sizeof(poll)), 0);
	assert_int_equal(info[1], 1);
	assert_true(w->f->vcpu[0].blocked);
}

static void vcpu_info_moves_with_its_mask(void **state)
{
	struct world *w = *state;
	struct vcpu_register_vcpu_info reg = { .mfn = INFO_GPA >> 12, .offset = 64 };

	memcpy(w->f->ram + ARG, &reg, sizeof(reg));
	assert_int_equal(vcpu_op(w, VCPUOP_register_vcpu_info, 1, ARG), 0);
	assert_ptr_equal(xen_intr_ops.vcpu_info(&w->x, 1), w->f->ram + INFO_GPA + 64);
	assert_int_equal(w->f->ram[INFO_GPA + 65], 1);
	reg.offset = 128;
	memcpy(w->f->ram + ARG, &reg, sizeof(reg));
	assert_int_equal(vcpu_op(w, VCPUOP_register_vcpu_info, 33, ARG), 0); /* the first that it has */
	assert_int_equal(w->f->ram[INFO_GPA + 129], 1);
	assert_int_equal(w->f->ram[INFO_GPA + 128], 1);
}

/* The platform places shared_info before the interrupts' own reset comes. */
static void reset_keeps_the_place(void **state)
{
	struct world *w = *state;

	assert_int_equal(xen_intr_ops.shared_info_place(&w->x, SHARED_GPA), 0);
	xen_intr_ops.vcpu_info(&w->x, 0)[1] = 0;
	xen_intr_pause(&w->x);
	xen_intr_reset(&w->x);
	xen_intr_resume(&w->x);
	assert_int_equal(xen_intr_ops.shared_info_where(&w->x), SHARED_GPA);
	assert_int_equal(xen_intr_ops.vcpu_info(&w->x, 0)[1], 1);
	assert_int_equal(xen_intr_ops.vcpu_info(&w->x, 0)[0], 0);
	notify(w, ipi(w, 0));
	assert_int_equal(w->f->vcpu[0].irq_raises, 1); /* still the monitor's */
	assert_int_equal(xen_intr_ops.shared_info_place(&w->x, GAMUT_GPA_NONE), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, pv_setup, pv_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(all_begin_masked), T(event_raises_and_has_no_vector), T(monitor_has_two_hypercalls), T(block_unmasks),
		T(poll_keeps_the_mask), T(vcpu_info_moves_with_its_mask), T(reset_keeps_the_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
