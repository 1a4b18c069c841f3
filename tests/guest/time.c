/* SPDX-License-Identifier: MIT */
/* The paravirtual clock and timers. */
#include "pc.h"

#include <xen/errno.h>

uint64_t pvclock_scale(uint64_t ticks, const struct vcpu_time_info *t)
{
	ticks = t->tsc_shift < 0 ? ticks >> -t->tsc_shift : ticks << t->tsc_shift;
	return (uint64_t)((unsigned __int128)ticks * t->tsc_to_system_mul >> 32);
}

/* An odd version is an update in progress; a changed one, a torn read. */
uint64_t pvclock_ns(const volatile struct vcpu_time_info *shared)
{
	struct vcpu_time_info t;
	uint32_t version;
	uint64_t tsc;

	do {
		version = shared->version & ~1u;
		barrier();
		memcpy(&t, (const void *)shared, sizeof(t));
		tsc = rdtsc();
		barrier();
	} while (shared->version != version);
	return t.system_time + pvclock_scale(tsc - t.tsc_timestamp, &t);
}

static bool by_tsc(void)
{
	return pc.ns_per_tsc_32 && !probe.xen_clock;
}

uint64_t clock_ns(void)
{
	if (by_tsc())
		return pc_clock_ns();
	return probe.clock ? pvclock_ns(&probe.vcpu->time) : rdtsc();
}

uint64_t clock_ns_per_tsc_32(void)
{
	if (by_tsc())
		return pc.ns_per_tsc_32;
	return probe.clock ? pvclock_scale(1ull << 32, (const struct vcpu_time_info *)&probe.vcpu->time) : 0;
}

static uint32_t timer_port;

static bool timer_bind(void)
{
	struct evtchn_bind_virq bind = { .virq = VIRQ_TIMER, .vcpu = 0 };

	if (!timer_port && event_op(EVTCHNOP_bind_virq, &bind) == 0)
		timer_port = bind.port;
	if (timer_port)
		event_mask(timer_port, false);
	return timer_port != 0;
}

static long vcpu_op(unsigned op, void *arg)
{
	return HYPERCALL3(__HYPERVISOR_vcpu_op, op, 0, arg);
}

/* Takes one shot `delay` from now; how late it came, or ~0 when it did not. */
static uint64_t singleshot(uint64_t delay)
{
	uint64_t due = clock_ns() + delay;
	struct vcpu_set_singleshot_timer arg = { .timeout_abs_ns = due };
	volatile uint32_t *seen = &probe.events[timer_port];
	uint32_t before = *seen;

	if (vcpu_op(VCPUOP_set_singleshot_timer, &arg) != 0)
		return ~0ull;
	while (*seen == before && clock_ns() < due + 1000 * NS_PER_MS)
		irq_wait();
	return *seen == before ? ~0ull : clock_ns() - due;
}

/* ---- checks ----------------------------------------------------------- */

static void check_clock(void)
{
	uint64_t last = clock_ns(), now;
	bool forward = true;

	for (unsigned i = 0; i < 10000; i++) {
		now = clock_ns();
		forward &= now >= last;
		last = now;
	}
	check(forward, "clock: never goes back");
	check(probe.shared->wc_sec > 1600000000 && (probe.shared->wc_version & 1) == 0, "clock: wall clock is set");
}

static void check_singleshot(void)
{
	uint64_t late = singleshot(5 * NS_PER_MS);
	struct vcpu_set_singleshot_timer past = { .timeout_abs_ns = 1 };

	check(late != ~0ull, "timer: one shot comes");
	check((int64_t)late >= 0, "timer: not before its time");
	/* More than once, as the processor may be taken away for longer. */
	for (unsigned i = 0; i < 10 && late >= 100 * NS_PER_MS; i++)
		late = singleshot(5 * NS_PER_MS);
	check(late < 100 * NS_PER_MS, "timer: and within 100 ms of it");
	probe.events[timer_port] = 0;
	check(vcpu_op(VCPUOP_set_singleshot_timer, &past) == 0 &&
	              event_take(timer_port, 1, clock_ns() + 500 * NS_PER_MS),
	      "timer: a deadline gone by comes at once");
	if (probe.shim) { /* Xen 4.17 knows the flag no more */
		skip("timer: unless only the future will do", "xen-shim");
		return;
	}
	past.flags = VCPU_SSHOTTMR_future;
	check(vcpu_op(VCPUOP_set_singleshot_timer, &past) == -XEN_ETIME, "timer: unless only the future will do");
}

static void check_stop(void)
{
	struct vcpu_set_singleshot_timer soon = { .timeout_abs_ns = clock_ns() + 20 * NS_PER_MS };

	probe.events[timer_port] = 0;
	vcpu_op(VCPUOP_set_singleshot_timer, &soon);
	check(vcpu_op(VCPUOP_stop_singleshot_timer, NULL) == 0 &&
	              !event_take(timer_port, 1, clock_ns() + 50 * NS_PER_MS),
	      "timer: a shot that was stopped does not come");
}

static void check_periodic(void)
{
	struct vcpu_set_periodic_timer period = { .period_ns = 10 * NS_PER_MS };
	uint32_t seen;

	probe.events[timer_port] = 0;
	if (!check(vcpu_op(VCPUOP_set_periodic_timer, &period) == 0, "timer: periodic, 10 ms"))
		return;
	check(event_take(timer_port, 5, clock_ns() + 500 * NS_PER_MS), "timer: five periods come");
	check(vcpu_op(VCPUOP_stop_periodic_timer, NULL) == 0, "timer: periodic stops");
	event_take(timer_port, ~0u >> 1, clock_ns() + 15 * NS_PER_MS);
	seen = probe.events[timer_port];
	check(!event_take(timer_port, seen + 1, clock_ns() + 30 * NS_PER_MS), "timer: and stays stopped");
	period.period_ns = 1;
	check(vcpu_op(VCPUOP_set_periodic_timer, &period) == -XEN_EINVAL, "timer: a period of 1 ns is refused");
}

static void check_poll(void)
{
	uint32_t port = event_alloc();
	uint64_t due = clock_ns() + 10 * NS_PER_MS;

	check(port && !event_wait(port, due) && clock_ns() >= due, "poll: ends at its timeout");
}

static void check_runstate(void)
{
	static struct vcpu_runstate_info state;

	check(vcpu_op(VCPUOP_get_runstate_info, &state) == 0 && state.state == RUNSTATE_running,
	      "runstate: this vCPU is running");
	check(HYPERCALL3(__HYPERVISOR_vcpu_op, VCPUOP_is_up, 0, 0) == 1, "vCPU 0 is up");
	check(HYPERCALL3(__HYPERVISOR_vcpu_op, VCPUOP_is_up, 8191, 0) == -XEN_ENOENT, "vCPU 8191 is not there");
}

/* As one that has never heard of it. */
static void check_no_time(void)
{
	struct vcpu_set_singleshot_timer soon = { .timeout_abs_ns = 1 };

	check(!probe.xen_clock, "clock: no time info");
	check(vcpu_op(VCPUOP_set_singleshot_timer, &soon) == -XEN_ENOSYS, "timer: none");
	check(HYPERCALL2(__HYPERVISOR_set_timer_op, 1, 0) == -XEN_ENOSYS, "timer: nor by set_timer_op");
}

void check_time(void)
{
	if (probe.by_line) {
		check_no_time();
		check_runstate();
		check_poll();
		return;
	}
	if (!check(probe.clock, "clock: time info is filled"))
		return;
	check_clock();
	check_runstate();
	check_poll();
	if (!check(timer_bind(), "timer: bind its VIRQ"))
		return;
	check_singleshot();
	check_stop();
	check_periodic();
}

uint64_t timer_lateness(void)
{
	return timer_bind() ? singleshot(NS_PER_MS) : ~0ull;
}

uint32_t timer_port_get(void)
{
	return timer_bind() ? timer_port : 0;
}

long timer_shot(uint64_t due)
{
	struct vcpu_set_singleshot_timer arg = { .timeout_abs_ns = due };

	return vcpu_op(VCPUOP_set_singleshot_timer, &arg);
}
