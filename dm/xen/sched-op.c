/* SPDX-License-Identifier: MIT */
/* SCHEDOP_*: giving the processor away, waiting, and ending. */
#include "dm/xen/vcpu.h"

#include <errno.h>
#include <sched.h>

#define POLL_PORTS_MAX 128u

static int64_t op_yield(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	(void)self;
	(void)call;
	(void)arg;
	sched_yield();
	return 0;
}

/*
 * Says "block" first and looks for events afterwards: one that comes between
 * the two undoes the block, whoever is first.
 */
static int64_t op_block(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_vcpus *vs = self;

	(void)arg;
	upcall_unmask(vs->upcall, call->vcpu);
	vs->env->host->vcpu_block(vs->env->inst, call->vcpu);
	if (upcall_has(vs->upcall, call->vcpu))
		vs->env->host->vcpu_wake(vs->env->inst, call->vcpu);
	return 0;
}

/* How SHUTDOWN_* becomes how a domain ends; others are crashes. */
static const uint8_t ends[] = {
	[SHUTDOWN_poweroff] = GAMUT_END_POWEROFF, [SHUTDOWN_reboot] = GAMUT_END_REBOOT,
	[SHUTDOWN_suspend] = GAMUT_END_SUSPEND,   [SHUTDOWN_crash] = GAMUT_END_CRASH,
	[SHUTDOWN_watchdog] = GAMUT_END_CRASH,    [SHUTDOWN_soft_reset] = GAMUT_END_REBOOT,
};

static void end(struct xen_vcpus *vs, uint32_t vcpu, uint32_t reason)
{
	const struct xen_env *env = vs->env;

	env->host->domain_end(env->inst, reason < sizeof(ends) ? ends[reason] : GAMUT_END_CRASH);
	/* The caller goes no further, however long the core takes to stop it. */
	env->host->vcpu_block(env->inst, vcpu);
}

static int64_t op_shutdown(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_vcpus *vs = self;
	struct sched_shutdown down;
	uint32_t code;

	if (xen_get_raw(vs->env, call, arg, &down, sizeof(down)))
		return -EFAULT;
	code = __atomic_load_n(&vs->shutdown_code, __ATOMIC_RELAXED);
	end(vs, call->vcpu, code ? code - 1 : (uint8_t)down.reason);
	return 0;
}

static int64_t op_shutdown_code(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_vcpus *vs = self;
	struct sched_shutdown down;
	uint32_t none = 0;

	if (xen_get_raw(vs->env, call, arg, &down, sizeof(down)))
		return -EFAULT;
	/* The first says it; later ones change nothing. */
	__atomic_compare_exchange_n(&vs->shutdown_code, &none, (uint8_t)down.reason + 1u, false, __ATOMIC_RELAXED,
	                            __ATOMIC_RELAXED);
	return 0;
}

/* Which port the vCPU waits for, -1 for several, and whether one is pending already. */
static int poll_any(struct xen_vcpus *vs, const struct gamut_hypercall *call, const struct sched_poll *poll,
                    bool *pending)
{
	uint64_t array = (uintptr_t)poll->ports.p;
	uint32_t port;

	*pending = false;
	for (uint32_t i = 0; i < poll->nr_ports && !*pending; i++) {
		if (xen_get_raw(vs->env, call, array + i * sizeof(port), &port, sizeof(port)))
			return -EFAULT;
		if (!evtchn_valid(vs->evtchn, port))
			return -EINVAL;
		*pending = evtchn_is_pending(vs->evtchn, port);
	}
	return 0;
}

static int64_t op_poll(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	static const struct xen_layout layout = { 16, 24, 3, { { 0, 4, 0, 8 }, { 4, 4, 8, 4 }, { 8, 8, 16, 8 } } };
	struct xen_vcpus *vs = self;
	const struct gamut_host *host = vs->env->host;
	struct gamut_timer *timer = vs->vcpu[call->vcpu].poll;
	struct sched_poll poll;
	uint32_t port = 0;
	bool pending;
	int rc;

	if (xen_get(vs->env, call, arg, &poll, &layout))
		return -EFAULT;
	if (poll.nr_ports > POLL_PORTS_MAX)
		return -EINVAL;
	if (poll.nr_ports == 1 && xen_get_raw(vs->env, call, (uintptr_t)poll.ports.p, &port, sizeof(port)))
		return -EFAULT;
	/* The same order as in op_block, for the same reason. */
	host->timer_cancel(vs->env->inst, timer);
	evtchn_poll_begin(vs->evtchn, call->vcpu, poll.nr_ports == 1 && port ? (int32_t)(port & INT32_MAX) : -1);
	host->vcpu_block(vs->env->inst, call->vcpu);
	rc = poll_any(vs, call, &poll, &pending);
	if (rc || pending || upcall_has(vs->upcall, call->vcpu)) {
		evtchn_poll_end(vs->evtchn, call->vcpu);
		host->vcpu_wake(vs->env->inst, call->vcpu);
	} else if (poll.timeout) {
		host->timer_set(vs->env->inst, timer, poll.timeout);
	}
	return rc;
}

static int64_t op_remote_shutdown(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_vcpus *vs = self;
	struct sched_remote_shutdown down;

	if (xen_get_raw(vs->env, call, arg, &down, sizeof(down)))
		return -EFAULT;
	return xen_env_self(vs->env, down.domain_id) || down.domain_id == 0 ? -EPERM : -ESRCH;
}

/* Under vs->lock. id 0 asks for a free one; timeout 0 disarms. */
static int64_t set_watchdog(struct xen_vcpus *vs, uint32_t id, uint32_t timeout)
{
	const struct gamut_host *host = vs->env->host;
	struct gamut_inst *inst = vs->env->inst;
	bool fresh = id == 0;

	if (id > XEN_WATCHDOGS || (fresh && !timeout))
		return -EINVAL;
	if (fresh)
		for (id = 1; id <= XEN_WATCHDOGS && vs->watchdog[id - 1].armed; id++)
			;
	if (id > XEN_WATCHDOGS)
		return -ENOSPC;
	if (!fresh && !vs->watchdog[id - 1].armed)
		return -EINVAL;
	vs->watchdog[id - 1].armed = timeout != 0;
	if (timeout)
		host->timer_set(inst, vs->watchdog[id - 1].timer, host->time_now(inst) + timeout * 1000000000ull);
	else
		host->timer_cancel(inst, vs->watchdog[id - 1].timer);
	return fresh ? (int64_t)id : 0;
}

static int64_t op_watchdog(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_vcpus *vs = self;
	struct sched_watchdog dog;
	int64_t rc;

	if (xen_get_raw(vs->env, call, arg, &dog, sizeof(dog)))
		return -EFAULT;
	pthread_mutex_lock(&vs->lock);
	rc = set_watchdog(vs, dog.id, dog.timeout);
	pthread_mutex_unlock(&vs->lock);
	return rc;
}

/* For the hardware domain alone. */
static int64_t op_pin_override(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	(void)self;
	(void)call;
	(void)arg;
	return -EPERM;
}

static const xen_subop_fn ops[] = {
	[SCHEDOP_yield] = op_yield,
	[SCHEDOP_block] = op_block,
	[SCHEDOP_shutdown] = op_shutdown,
	[SCHEDOP_poll] = op_poll,
	[SCHEDOP_remote_shutdown] = op_remote_shutdown,
	[SCHEDOP_shutdown_code] = op_shutdown_code,
	[SCHEDOP_watchdog] = op_watchdog,
	[SCHEDOP_pin_override] = op_pin_override,
};

int64_t xen_sched_op(void *opaque, struct gamut_hypercall *call)
{
	struct xen_vcpus *vs = opaque;

	if (!call->cpl)
		xen_time_refresh(vs->time, call);
	return xen_dispatch(vs->env, ops, sizeof(ops) / sizeof(ops[0]), vs, call, (uint32_t)call->args[0],
	                    call->args[1]);
}
