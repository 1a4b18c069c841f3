/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <pthread.h>
#include <stdlib.h>

struct back {
	_Atomic uint32_t hits;
};

static void on_event(void *opaque)
{
	((struct back *)opaque)->hits++;
}

static bool bit(const xen_ulong_t *array, uint32_t n)
{
	return array[n / 64] >> n % 64 & 1;
}

static uint32_t alloc_unbound(struct world *w, domid_t remote)
{
	struct evtchn_alloc_unbound alloc = { .dom = DOMID_SELF, .remote_dom = remote };

	assert_int_equal(EVTCHN(w, EVTCHNOP_alloc_unbound, alloc), 0);
	return alloc.port;
}

static uint32_t bind_ipi(struct world *w, uint32_t vcpu)
{
	struct evtchn_bind_ipi bind = { .vcpu = vcpu };

	assert_int_equal(EVTCHN(w, EVTCHNOP_bind_ipi, bind), 0);
	return bind.port;
}

static int64_t send_port(struct world *w, uint32_t port)
{
	struct evtchn_send send = { .port = port };

	return EVTCHN(w, EVTCHNOP_send, send);
}

static uint32_t status_of(struct world *w, uint32_t port)
{
	struct evtchn_status st = { .dom = DOMID_SELF, .port = port };

	assert_int_equal(EVTCHN(w, EVTCHNOP_status, st), 0);
	return st.status;
}

static void ipi_reaches_the_guest(void **state)
{
	struct world *w = *state;
	struct shared_info *si = world_boot(w);
	uint32_t port = bind_ipi(w, 0);

	assert_int_equal(send_port(w, port), 0);
	assert_true(bit(si->evtchn_pending, port));
	assert_true(bit(&si->vcpu_info[0].evtchn_pending_sel, port / 64));
	assert_int_equal(si->vcpu_info[0].evtchn_upcall_pending, 1);
	assert_int_equal(w->f->vcpu[0].irq_raises, 1);
	assert_true(w->f->irq->pending(w->f->irq_opaque, 0));
	/* Level triggered: asked again until the guest has cleared it. */
	assert_int_equal(w->f->irq->accept(w->f->irq_opaque, 0), 0xf3);
	assert_int_equal(w->f->irq->accept(w->f->irq_opaque, 0), 0xf3);
	si->vcpu_info[0].evtchn_upcall_pending = 0;
	assert_int_equal(w->f->irq->accept(w->f->irq_opaque, 0), -1);
	w->f->host->mem_put(w->f->inst, si, 4096);
}

static void mask_holds_back_and_unmask_delivers(void **state)
{
	struct world *w = *state;
	struct shared_info *si = world_boot(w);
	uint32_t port = bind_ipi(w, 1);
	struct evtchn_unmask unmask = { .port = port };

	si->evtchn_mask[port / 64] |= 1ul << port % 64;
	assert_int_equal(send_port(w, port), 0);
	assert_true(bit(si->evtchn_pending, port));
	assert_int_equal(si->vcpu_info[1].evtchn_upcall_pending, 0);
	assert_int_equal(EVTCHN(w, EVTCHNOP_unmask, unmask), 0);
	assert_int_equal(si->vcpu_info[1].evtchn_upcall_pending, 1);
	assert_int_equal(w->f->vcpu[1].irq_raises, 1);
	assert_int_equal(w->f->vcpu[0].irq_raises, 0);
	w->f->host->mem_put(w->f->inst, si, 4096);
}

static void own_vector_is_an_edge(void **state)
{
	struct world *w = *state;
	struct shared_info *si = world_boot(w);
	struct xen_hvm_param gsi = { .domid = DOMID_SELF, .index = HVM_PARAM_CALLBACK_IRQ, .value = 1 };
	struct xen_hvm_evtchn_upcall_vector up = { .vcpu = 0, .vector = 0x31 };
	uint32_t port = bind_ipi(w, 0);
	const struct gamut_io_ops *page = w->f->mmio[0].ops;
	void *apics = w->f->mmio[0].opaque;

	assert_int_equal(world_op(w, __HYPERVISOR_hvm_op, HVMOP_set_param, &gsi, sizeof(gsi)), 0);
	assert_int_equal(world_op(w, __HYPERVISOR_hvm_op, HVMOP_set_evtchn_upcall_vector, &up, sizeof(up)), 0);
	assert_int_equal(w->f->irq->accept(w->f->irq_opaque, 0), -1);
	page->write(apics, 0xf0, 4, 0x1ff); /* the local APIC, through which they come, is enabled */
	assert_int_equal(w->f->irq->accept(w->f->irq_opaque, 0), 0x31); /* the one that Xen sends at once */
	assert_int_equal(w->f->irq->accept(w->f->irq_opaque, 0), -1);
	assert_int_equal(send_port(w, port), 0);
	assert_int_equal(w->f->irq->accept(w->f->irq_opaque, 0), -1); /* the first is in service */
	page->write(apics, 0xb0, 4, 0);
	assert_int_equal(w->f->irq->accept(w->f->irq_opaque, 0), 0x31);
	assert_int_equal(w->f->irq->accept(w->f->irq_opaque, 0), -1);
	up.vector = 0xf;
	assert_int_equal(world_op(w, __HYPERVISOR_hvm_op, HVMOP_set_evtchn_upcall_vector, &up, sizeof(up)), -EINVAL);
	up.vcpu = 2, up.vector = 0x31;
	assert_int_equal(world_op(w, __HYPERVISOR_hvm_op, HVMOP_set_evtchn_upcall_vector, &up, sizeof(up)), -ENOENT);
	w->f->host->mem_put(w->f->inst, si, 4096);
}

static void back_end_binds_a_published_port(void **state)
{
	struct world *w = *state;
	struct shared_info *si = world_boot(w);
	struct back back = { 0 }, other = { 0 };
	uint32_t port = alloc_unbound(w, 0), foreign = alloc_unbound(w, 7);
	struct evtchn *ec = &w->x.evtchn;

	assert_int_equal(send_port(w, port), 0); /* nobody there: dropped */
	assert_int_equal(evtchn_ops.bind(ec, port, on_event, &back), 0);
	assert_int_equal(evtchn_ops.bind(ec, port, on_event, &other), -EBUSY);
	assert_int_equal(evtchn_ops.bind(ec, foreign, on_event, &other), -EINVAL);
	assert_int_equal(evtchn_ops.bind(ec, 4095, on_event, &other), -EINVAL);
	assert_int_equal(evtchn_ops.bind(ec, UINT32_MAX, on_event, &other), -EINVAL);
	assert_int_equal(send_port(w, port), 0);
	assert_int_equal(back.hits, 1);
	si->evtchn_pending[0] = 0;
	evtchn_ops.notify(ec, port);
	assert_true(bit(si->evtchn_pending, port));
	evtchn_ops.unbind(ec, port);
	assert_int_equal(status_of(w, port), EVTCHNSTAT_unbound);
	assert_int_equal(send_port(w, port), 0);
	assert_int_equal(back.hits, 1);
	w->f->host->mem_put(w->f->inst, si, 4096);
}

static void close_lets_the_back_end_go(void **state)
{
	struct world *w = *state;
	struct back back = { 0 };
	uint32_t port = alloc_unbound(w, 0);
	struct evtchn_close close = { .port = port };

	assert_int_equal(evtchn_ops.bind(&w->x.evtchn, port, on_event, &back), 0);
	assert_int_equal(EVTCHN(w, EVTCHNOP_close, close), 0);
	assert_int_equal(status_of(w, port), EVTCHNSTAT_closed);
	assert_int_equal(EVTCHN(w, EVTCHNOP_close, close), -EINVAL);
	assert_int_equal(send_port(w, port), -EINVAL);
	/* The number is used anew; the back end's late calls do it no harm. */
	assert_int_equal(bind_ipi(w, 0), port);
	evtchn_ops.unbind(&w->x.evtchn, port);
	assert_int_equal(status_of(w, port), EVTCHNSTAT_ipi);
	assert_int_equal(back.hits, 0);
}

static void loopback_channel(void **state)
{
	struct world *w = *state;
	struct shared_info *si = world_boot(w);
	uint32_t a = alloc_unbound(w, DOMID_SELF);
	struct evtchn_bind_interdomain bind = { .remote_dom = DOMID_SELF, .remote_port = a };
	struct evtchn_close close = { .port = a };

	assert_int_equal(EVTCHN(w, EVTCHNOP_bind_interdomain, bind), 0);
	memset(si->evtchn_pending, 0, sizeof(si->evtchn_pending));
	assert_int_equal(send_port(w, bind.local_port), 0);
	assert_true(bit(si->evtchn_pending, a));
	assert_false(bit(si->evtchn_pending, bind.local_port));
	assert_int_equal(EVTCHN(w, EVTCHNOP_close, close), 0);
	assert_int_equal(status_of(w, bind.local_port), EVTCHNSTAT_unbound);
	bind.remote_dom = 0;
	assert_int_equal(EVTCHN(w, EVTCHNOP_bind_interdomain, bind), -EINVAL);
	w->f->host->mem_put(w->f->inst, si, 4096);
}

static void virq_binds_once(void **state)
{
	struct world *w = *state;
	struct evtchn_bind_virq bind = { .virq = VIRQ_TIMER, .vcpu = 1 };

	assert_int_equal(EVTCHN(w, EVTCHNOP_bind_virq, bind), 0);
	assert_int_equal(EVTCHN(w, EVTCHNOP_bind_virq, bind), -EEXIST);
	bind.virq = VIRQ_CONSOLE;
	assert_int_equal(EVTCHN(w, EVTCHNOP_bind_virq, bind), -EINVAL);
	bind.virq = NR_VIRQS;
	assert_int_equal(EVTCHN(w, EVTCHNOP_bind_virq, bind), -EINVAL);
	bind.virq = VIRQ_TIMER, bind.vcpu = 2;
	assert_int_equal(EVTCHN(w, EVTCHNOP_bind_virq, bind), -ENOENT);
}

static void ports_run_out_with_an_error(void **state)
{
	struct world *w = *state;
	struct evtchn_bind_ipi bind = { .vcpu = 0 };
	uint32_t n = 0;

	while (!EVTCHN(w, EVTCHNOP_bind_ipi, bind))
		n++;
	assert_int_equal(n, 4095);
	assert_int_equal(EVTCHN(w, EVTCHNOP_bind_ipi, bind), -ENOSPC);
}

static void made_ports_outlive_a_reset(void **state)
{
	struct world *w = *state;
	struct back back = { 0 };
	int port = evtchn_ops.alloc(&w->x.evtchn, on_event, &back);
	struct evtchn_close close = { .port = (uint32_t)port };
	struct evtchn_reset reset = { .dom = DOMID_SELF };
	uint32_t other = alloc_unbound(w, 0);

	assert_int_equal(status_of(w, (uint32_t)port), EVTCHNSTAT_interdomain);
	assert_int_equal(send_port(w, (uint32_t)port), 0);
	assert_int_equal(EVTCHN(w, EVTCHNOP_close, close), 0);
	assert_int_equal(EVTCHN(w, EVTCHNOP_reset, reset), 0);
	assert_int_equal(send_port(w, (uint32_t)port), -EINVAL);
	xen_platform_reset(&w->p);
	xen_intr_reset(&w->x);
	assert_int_equal(status_of(w, other), EVTCHNSTAT_closed);
	assert_int_equal(send_port(w, (uint32_t)port), 0);
	assert_int_equal(back.hits, 2);
	evtchn_ops.unbind(&w->x.evtchn, (uint32_t)port);
	xen_intr_reset(&w->x);
	assert_int_equal(status_of(w, (uint32_t)port), EVTCHNSTAT_closed);
}

static void registered_vcpu_info_survives_a_pause(void **state)
{
	struct world *w = *state;
	struct vcpu_register_vcpu_info reg = { .mfn = INFO_GPA >> 12, .offset = 64 };
	struct vcpu_info *vi = (void *)(w->f->ram + INFO_GPA + 64);
	uint32_t port = bind_ipi(w, 0);

	memcpy(w->f->ram + ARG, &reg, sizeof(reg));
	assert_int_equal(world_call(w, __HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 0, ARG), 0);
	assert_int_equal(vi->evtchn_upcall_pending, 1); /* spurious, as Xen */
	assert_int_equal(world_call(w, __HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 0, ARG), -EINVAL);
	memset(vi, 0, 16);
	xen_intr_pause(&w->x);
	assert_int_equal(w->f->gets, 0);
	evtchn_set_pending(&w->x.evtchn, port, evtchn_find(&w->x.evtchn, port));
	assert_int_equal(vi->evtchn_upcall_pending, 0);
	xen_intr_resume(&w->x);
	assert_int_equal(vi->evtchn_upcall_pending, 1);
	assert_int_equal(vi->evtchn_pending_sel, ~0ul);
}

static void layout_of_a_32_bit_guest(void **state)
{
	struct world *w = *state;
	struct shared_info_x86_32 *si;
	uint32_t port;

	w->long_mode = 0;
	struct {
		uint16_t domid, size;
		uint32_t space, idx, gpfn;
	} add = { DOMID_SELF, 0, XENMAPSPACE_shared_info, 0, SHARED_GPA >> 12 };
	struct xen_hvm_param param = { .domid = DOMID_SELF, .index = HVM_PARAM_CALLBACK_IRQ, .value = 2ull << 56 | 0x40 };

	assert_int_equal(world_op(w, __HYPERVISOR_memory_op, XENMEM_add_to_physmap, &add, sizeof(add)), 0);
	assert_int_equal(world_op(w, __HYPERVISOR_hvm_op, HVMOP_set_param, &param, sizeof(param)), 0);
	si = w->f->host->mem_get(w->f->inst, SHARED_GPA, 4096);
	for (int i = 0; i < 40; i++)
		port = bind_ipi(w, 0);
	assert_int_equal(send_port(w, port), 0);
	assert_int_equal(si->evtchn_pending[port / 32], 1u << port % 32);
	assert_int_equal(si->vcpu_info[0].evtchn_pending_sel, 1u << port / 32);
	assert_int_equal(w->f->irq->accept(w->f->irq_opaque, 0), 0x40);
	assert_int_equal(send_port(w, 1024), -EINVAL);
	w->f->host->mem_put(w->f->inst, si, 4096);
}

static void fifo_is_refused_and_counted(void **state)
{
	struct world *w = *state;
	struct evtchn_init_control init = { .control_gfn = 5 };

	assert_int_equal(EVTCHN(w, EVTCHNOP_init_control, init), -ENOSYS);
	assert_int_equal(host_fake_counter(w->f, "hypercalls-not-implemented"), 1);
}

/* A back end that binds and lets go while the guest sends: the callback is never run after unbind. */
struct race {
	struct world *w;
	uint32_t port;
	_Atomic bool stop;
};

static void *sender(void *opaque)
{
	struct race *r = opaque;

	while (!r->stop) {
		struct gamut_hypercall call = { .nr = __HYPERVISOR_event_channel_op, .long_mode = 1,
			                        .args = { EVTCHNOP_send, ARG } };

		evtchn_op(&r->w->x.evtchn, &call);
	}
	return NULL;
}

static void unbind_waits_for_the_callback(void **state)
{
	struct world *w = *state;
	struct race r = { .w = w, .port = alloc_unbound(w, 0) };
	struct evtchn_send send = { .port = r.port };
	pthread_t thread;

	memcpy(w->f->ram + ARG, &send, sizeof(send));
	assert_int_equal(pthread_create(&thread, NULL, sender, &r), 0);
	for (int i = 0; i < 200; i++) {
		struct back *back = calloc(1, sizeof(*back));

		assert_int_equal(evtchn_ops.bind(&w->x.evtchn, r.port, on_event, back), 0);
		evtchn_ops.unbind(&w->x.evtchn, r.port);
		free(back); /* ASan sees a late callback */
	}
	r.stop = true;
	pthread_join(thread, NULL);
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(ipi_reaches_the_guest), T(mask_holds_back_and_unmask_delivers), T(own_vector_is_an_edge),
		T(back_end_binds_a_published_port), T(close_lets_the_back_end_go), T(loopback_channel), T(virq_binds_once),
		T(ports_run_out_with_an_error), T(made_ports_outlive_a_reset), T(registered_vcpu_info_survives_a_pause),
		T(layout_of_a_32_bit_guest), T(fifo_is_refused_and_counted), T(unbind_waits_for_the_callback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
