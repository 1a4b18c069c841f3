/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <time.h>

#define MS 1000000ull

static int64_t vcpu_op(struct world *w, uint32_t cmd, uint32_t vcpu, const void *arg, uint64_t len)
{
	memcpy(w->f->ram + ARG, arg, len);
	return world_call(w, __HYPERVISOR_vcpu_op, cmd, vcpu, ARG);
}

static uint32_t bind_timer(struct world *w, uint32_t vcpu)
{
	struct evtchn_bind_virq bind = { .virq = VIRQ_TIMER, .vcpu = vcpu };

	assert_int_equal(EVTCHN(w, EVTCHNOP_bind_virq, bind), 0);
	return bind.port;
}

static bool take(struct world *w, uint32_t port)
{
	return shinfo_bit_clear(w->x.shinfo.shared + shinfo_layout(&w->x.shinfo)->pending, port);
}

static void singleshot_fires_once(void **state)
{
	struct world *w = *state;
	struct vcpu_set_singleshot_timer set = { .timeout_abs_ns = 5 * MS };
	uint32_t port = bind_timer(w, 0);

	assert_int_equal(vcpu_op(w, VCPUOP_set_singleshot_timer, 0, &set, sizeof(set)), 0);
	host_fake_advance(w->f, 5 * MS - 1);
	assert_false(take(w, port));
	host_fake_advance(w->f, 1);
	assert_true(take(w, port));
	host_fake_advance(w->f, 100 * MS);
	assert_false(take(w, port));
	/* For oneself only. */
	assert_int_equal(vcpu_op(w, VCPUOP_set_singleshot_timer, 1, &set, sizeof(set)), -EINVAL);
	assert_int_equal(vcpu_op(w, VCPUOP_stop_singleshot_timer, 1, &set, sizeof(set)), -EINVAL);
}

static void singleshot_in_the_past(void **state)
{
	struct world *w = *state;
	struct vcpu_set_singleshot_timer set = { .timeout_abs_ns = 1, .flags = VCPU_SSHOTTMR_future };
	uint32_t port = bind_timer(w, 0);

	host_fake_advance(w->f, MS);
	assert_int_equal(vcpu_op(w, VCPUOP_set_singleshot_timer, 0, &set, sizeof(set)), -ETIME);
	host_fake_advance(w->f, MS);
	assert_false(take(w, port));
	/* It takes the place of what was set, and has no need of the I/O thread. */
	set.timeout_abs_ns = 5 * MS;
	set.flags = 0;
	assert_int_equal(vcpu_op(w, VCPUOP_set_singleshot_timer, 0, &set, sizeof(set)), 0);
	set.timeout_abs_ns = 1;
	assert_int_equal(vcpu_op(w, VCPUOP_set_singleshot_timer, 0, &set, sizeof(set)), 0);
	assert_true(take(w, port));
	host_fake_advance(w->f, 10 * MS);
	assert_false(take(w, port));
	assert_int_equal(world_call(w, __HYPERVISOR_set_timer_op, 1, 0, 0), 0);
	assert_true(take(w, port));
}

static void singleshot_of_a_32_bit_caller(void **state)
{
	struct world *w = *state;
	uint32_t set[3] = { 5 * MS, 0, VCPU_SSHOTTMR_future };
	uint32_t port = bind_timer(w, 0);

	w->long_mode = 0;
	assert_int_equal(vcpu_op(w, VCPUOP_set_singleshot_timer, 0, set, sizeof(set)), 0);
	host_fake_advance(w->f, 5 * MS);
	assert_true(take(w, port));
	assert_int_equal(vcpu_op(w, VCPUOP_set_singleshot_timer, 0, set, sizeof(set)), 0);
	host_fake_advance(w->f, 1);
	assert_true(take(w, port));
	assert_int_equal(vcpu_op(w, VCPUOP_set_singleshot_timer, 0, set, sizeof(set)), -ETIME);
}

static void periodic_ticks_and_stops(void **state)
{
	struct world *w = *state;
	struct vcpu_set_periodic_timer set = { .period_ns = 10 * MS };
	uint32_t port = bind_timer(w, 1);

	assert_int_equal(vcpu_op(w, VCPUOP_set_periodic_timer, 1, &set, sizeof(set)), 0);
	for (int i = 0; i < 5; i++) {
		host_fake_advance(w->f, 10 * MS);
		assert_true(take(w, port));
	}
	assert_int_equal(vcpu_op(w, VCPUOP_stop_periodic_timer, 1, &set, sizeof(set)), 0);
	host_fake_advance(w->f, 100 * MS);
	assert_false(take(w, port));
	set.period_ns = MS - 1;
	assert_int_equal(vcpu_op(w, VCPUOP_set_periodic_timer, 1, &set, sizeof(set)), -EINVAL);
	set.period_ns = UINT64_MAX;
	assert_int_equal(vcpu_op(w, VCPUOP_set_periodic_timer, 1, &set, sizeof(set)), -EINVAL);
}

static void set_timer_op_in_both_modes(void **state)
{
	struct world *w = *state;
	uint32_t port = bind_timer(w, 0);

	assert_int_equal(world_call(w, __HYPERVISOR_set_timer_op, 3 * MS, 0, 0), 0);
	host_fake_advance(w->f, 3 * MS);
	assert_true(take(w, port));
	w->long_mode = 0;
	assert_int_equal(world_call(w, __HYPERVISOR_set_timer_op, 0, 1, 0), 0); /* 1 << 32 ns */
	host_fake_advance(w->f, (1ull << 32) - 4 * MS);
	assert_false(take(w, port));
	host_fake_advance(w->f, MS);
	assert_true(take(w, port));
	/* Negative, an overflow in the guest: 100 ms, as Xen. */
	assert_int_equal(world_call(w, __HYPERVISOR_set_timer_op, UINT32_MAX, UINT32_MAX, 0), 0);
	host_fake_advance(w->f, 100 * MS);
	assert_true(take(w, port));
	assert_int_equal(world_call(w, __HYPERVISOR_set_timer_op, 1, 2, 0), 0);
	assert_int_equal(world_call(w, __HYPERVISOR_set_timer_op, 0, 0, 0), 0);
	host_fake_advance(w->f, 1ull << 34);
	assert_false(take(w, port));
}

static void pvclock_follows_the_host(void **state)
{
	struct world *w = *state;
	struct shared_info *si = (void *)w->x.shinfo.shared;
	struct vcpu_time_info *t = &si->vcpu_info[1].time;
	uint32_t version = t->version;

	assert_true(version && version % 2 == 0);
	assert_int_equal(t->tsc_to_system_mul, 0x80000000u);
	assert_int_equal(t->tsc_shift, 1);
	assert_int_equal(t->flags, XEN_PVCLOCK_TSC_STABLE_BIT);
	xen_intr_pause(&w->x);
	w->f->tsc_base = 777;
	w->f->ns_base = 888;
	xen_intr_resume(&w->x);
	assert_int_equal(t->version, version + 2);
	assert_int_equal(t->tsc_timestamp, 777);
	assert_int_equal(t->system_time, 888);
}

static void wallclock_is_that_of_time_zero(void **state)
{
	struct world *w = *state;
	struct shared_info *si = (void *)w->x.shinfo.shared;
	uint32_t version = si->wc_version;
	int64_t off;

	host_fake_advance(w->f, 1000000000000ull);
	xen_time_update(&w->x.time);
	off = (int64_t)time(NULL) - 1000 - (int64_t)((uint64_t)si->wc_sec_hi << 32 | si->wc_sec);
	assert_true(off >= -1 && off <= 2);
	assert_true(si->wc_version > version && si->wc_version % 2 == 0);
}

static void moved_vcpu_info_has_the_time(void **state)
{
	struct world *w = *state;
	struct vcpu_register_vcpu_info reg = { .mfn = INFO_GPA >> 12 };
	struct vcpu_info *vi = (void *)(w->f->ram + INFO_GPA);

	assert_int_equal(vcpu_op(w, VCPUOP_register_vcpu_info, 1, &reg, sizeof(reg)), 0);
	assert_int_equal(vi->time.tsc_to_system_mul, 0x80000000u);
	assert_true(vi->time.version && vi->time.version % 2 == 0);
}

static void registered_areas_are_kept_up(void **state)
{
	struct world *w = *state;
	struct vcpu_register_time_memory_area reg = { .addr.p = ARRAY };
	struct vcpu_time_info *t = (void *)(w->f->ram + ARRAY);
	struct vcpu_register_runstate_memory_area run = { .addr.p = ARRAY + 256 };
	struct vcpu_runstate_info *rs = (void *)(w->f->ram + ARRAY + 256);

	assert_int_equal(vcpu_op(w, VCPUOP_register_vcpu_time_memory_area, 0, &reg, sizeof(reg)), 0);
	assert_int_equal(t->tsc_to_system_mul, 0x80000000u);
	w->f->vcpu[0].times[RUNSTATE_runnable] = 42;
	assert_int_equal(vcpu_op(w, VCPUOP_register_runstate_memory_area, 0, &run, sizeof(run)), 0);
	assert_int_equal(rs->time[RUNSTATE_runnable], 42);
	assert_int_equal(rs->state, RUNSTATE_running);
	w->f->vcpu[0].times[RUNSTATE_runnable] = 43;
	w->f->tsc_base = 99;
	host_fake_advance(w->f, 2 * MS);
	xen_time_update(&w->x.time);
	assert_int_equal(world_call(w, __HYPERVISOR_vm_assist, VMASST_CMD_enable, VMASST_TYPE_runstate_update_flag, 0), 0);
	assert_int_equal(world_call(w, __HYPERVISOR_vcpu_op, VCPUOP_is_up, 0, 0), 1);
	assert_int_equal(t->tsc_timestamp, 99);
	assert_int_equal(t->version % 2, 0);
	assert_int_equal(rs->time[RUNSTATE_runnable], 43);
	assert_int_equal(rs->state_entry_time, 2 * MS);
	reg.addr.p = UINT64_MAX - 4;
	assert_int_equal(vcpu_op(w, VCPUOP_register_vcpu_time_memory_area, 0, &reg, sizeof(reg)), -EFAULT);
}

static void poll_waits_for_port_or_timeout(void **state)
{
	struct world *w = *state;
	struct evtchn_bind_ipi bind = { .vcpu = 0 };
	struct sched_poll poll = { .nr_ports = 1, .timeout = 7 * MS, .ports.p = (void *)ARRAY };
	struct host_fake_vcpu *v = &w->f->vcpu[0];

	assert_int_equal(EVTCHN(w, EVTCHNOP_bind_ipi, bind), 0);
	memcpy(w->f->ram + ARRAY, &bind.port, 4);
	assert_int_equal(world_op(w, __HYPERVISOR_sched_op, SCHEDOP_poll, &poll, sizeof(poll)), 0);
	assert_true(v->blocked);
	host_fake_advance(w->f, 7 * MS);
	assert_false(v->blocked);
	poll.timeout = 0;
	assert_int_equal(world_op(w, __HYPERVISOR_sched_op, SCHEDOP_poll, &poll, sizeof(poll)), 0);
	assert_true(v->blocked);
	evtchn_set_pending(&w->x.evtchn, bind.port, evtchn_find(&w->x.evtchn, bind.port));
	assert_false(v->blocked);
	/* Still pending: no wait at all. */
	assert_int_equal(world_op(w, __HYPERVISOR_sched_op, SCHEDOP_poll, &poll, sizeof(poll)), 0);
	assert_false(v->blocked);
	assert_int_equal(w->x.evtchn.pollers, 0);
	poll.nr_ports = 129;
	assert_int_equal(world_op(w, __HYPERVISOR_sched_op, SCHEDOP_poll, &poll, sizeof(poll)), -EINVAL);
}

static void watchdog_ends_the_domain(void **state)
{
	struct world *w = *state;
	struct sched_watchdog dog = { .id = 0, .timeout = 3 };

	assert_int_equal(world_op(w, __HYPERVISOR_sched_op, SCHEDOP_watchdog, &dog, sizeof(dog)), 1);
	assert_int_equal(world_op(w, __HYPERVISOR_sched_op, SCHEDOP_watchdog, &dog, sizeof(dog)), 2);
	assert_int_equal(world_op(w, __HYPERVISOR_sched_op, SCHEDOP_watchdog, &dog, sizeof(dog)), -ENOSPC);
	dog.id = 2, dog.timeout = 0;
	assert_int_equal(world_op(w, __HYPERVISOR_sched_op, SCHEDOP_watchdog, &dog, sizeof(dog)), 0);
	dog.id = 1, dog.timeout = 10;
	host_fake_advance(w->f, 2000 * MS);
	assert_int_equal(world_op(w, __HYPERVISOR_sched_op, SCHEDOP_watchdog, &dog, sizeof(dog)), 0);
	host_fake_advance(w->f, 9999 * MS);
	assert_int_equal(w->f->ended, -1);
	host_fake_advance(w->f, MS);
	assert_int_equal(w->f->ended, GAMUT_END_CRASH);
}

static void shutdown_reasons(void **state)
{
	struct world *w = *state;
	static const struct {
		uint32_t reason;
		int end;
	} cases[] = { { SHUTDOWN_poweroff, GAMUT_END_POWEROFF }, { SHUTDOWN_reboot, GAMUT_END_REBOOT },
		      { SHUTDOWN_suspend, GAMUT_END_SUSPEND },   { SHUTDOWN_crash, GAMUT_END_CRASH },
		      { SHUTDOWN_watchdog, GAMUT_END_CRASH },    { SHUTDOWN_soft_reset, GAMUT_END_REBOOT },
		      { 200, GAMUT_END_CRASH } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sched_shutdown down = { .reason = cases[i].reason };

		assert_int_equal(world_op(w, __HYPERVISOR_sched_op, SCHEDOP_shutdown, &down, sizeof(down)), 0);
		assert_int_equal(w->f->ended, cases[i].end);
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(singleshot_fires_once), T(singleshot_in_the_past), T(singleshot_of_a_32_bit_caller),
		T(periodic_ticks_and_stops), T(set_timer_op_in_both_modes), T(pvclock_follows_the_host),
		T(wallclock_is_that_of_time_zero), T(moved_vcpu_info_has_the_time), T(registered_areas_are_kept_up),
		T(poll_waits_for_port_or_timeout), T(watchdog_ends_the_domain), T(shutdown_reasons),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
