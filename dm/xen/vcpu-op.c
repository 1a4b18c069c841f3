/* SPDX-License-Identifier: MIT */
/*
 * VCPUOP_*. args: the sub-operation, the vCPU it is about, its structure. The
 * handlers below take the vCPU from call->args[1], already checked.
 */
#include "dm/xen/vcpu.h"

#include <errno.h>
#include <stdlib.h>

static uint32_t target(const struct gamut_hypercall *call)
{
	return (uint32_t)call->args[1];
}

static bool is_self(const struct gamut_hypercall *call)
{
	return target(call) == call->vcpu;
}

static int64_t op_initialise(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_vcpus *vs = self;
	struct xen_vcpu *v = &vs->vcpu[target(call)];
	struct vcpu_hvm_context ctx;
	struct gamut_vcpu_state state;
	int64_t rc;

	if (vs->upcall->by_monitor)
		return xen_unimplemented(vs->env);
	if (xen_get_raw(vs->env, call, arg, &ctx, sizeof(ctx)))
		return -EFAULT;
	rc = xen_vcpu_context(&ctx, &state);
	if (rc)
		return rc;
	pthread_mutex_lock(&vs->lock);
	if (v->initialised)
		rc = -EEXIST;
	else
		rc = vs->env->host->vcpu_set(vs->env->inst, v->id, &state) ? -EINVAL : 0;
	if (!rc)
		v->initialised = true;
	pthread_mutex_unlock(&vs->lock);
	return rc;
}

static int64_t op_up(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_vcpus *vs = self;
	bool ready;

	(void)arg;
	pthread_mutex_lock(&vs->lock);
	/* What a PV guest's monitor has not initialised does not come here. */
	ready = vs->upcall->by_monitor || vs->vcpu[target(call)].initialised;
	pthread_mutex_unlock(&vs->lock);
	if (!ready)
		return -EINVAL;
	xen_time_update_vcpu(vs->time, target(call));
	return vs->env->host->vcpu_up(vs->env->inst, target(call));
}

static uint32_t count_up(struct xen_vcpus *vs)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < vs->env->n_vcpus; i++)
		n += vs->env->host->vcpu_is_up(vs->env->inst, i) != 0;
	return n;
}

/* The last vCPU to go down takes the domain with it, as on Xen. */
static int take_down(struct xen_vcpus *vs, uint32_t vcpu)
{
	int rc;

	pthread_mutex_lock(&vs->lock);
	rc = vs->env->host->vcpu_down(vs->env->inst, vcpu);
	if (!rc && count_up(vs) == 0)
		vs->env->host->domain_end(vs->env->inst, GAMUT_END_POWEROFF);
	pthread_mutex_unlock(&vs->lock);
	return rc;
}

void xen_vcpu_halted(void *opaque, uint32_t vcpu)
{
	take_down(opaque, vcpu);
}

static int64_t op_down(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	(void)arg;
	return take_down(self, target(call));
}

static int64_t op_is_up(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_vcpus *vs = self;

	(void)arg;
	return vs->env->host->vcpu_is_up(vs->env->inst, target(call)) != 0;
}

static int64_t op_register_vcpu_info(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_vcpus *vs = self;
	struct vcpu_register_vcpu_info reg;
	int64_t rc;

	if (xen_get_raw(vs->env, call, arg, &reg, sizeof(reg)))
		return -EFAULT;
	if (!is_self(call) && vs->env->host->vcpu_is_up(vs->env->inst, target(call)))
		return -EINVAL;
	/* Aligned, because its words are changed atomically from both sides. */
	if (reg.offset > XEN_PAGE_SIZE - sizeof(struct vcpu_info) || reg.offset % 8 ||
	    reg.mfn > UINT64_MAX >> XEN_PAGE_SHIFT)
		return -EINVAL;
	rc = shinfo_register(vs->shinfo, target(call), (reg.mfn << XEN_PAGE_SHIFT) + reg.offset);
	if (rc)
		return rc;
	xen_time_update_vcpu(vs->time, target(call));
	upcall_spurious(vs->upcall, target(call));
	return 0;
}

static int64_t op_runstate_info(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_vcpus *vs = self;

	return xen_time_runstate_info(vs->time, call, target(call), arg);
}

/*
 * An address means something in its own vCPU's page tables. A kernel that
 * registers one for a vCPU which it is about to start has it mapped in both.
 * Xen takes these for vCPUs that run as well; no known guest does that.
 */
static bool may_register(struct xen_vcpus *vs, const struct gamut_hypercall *call)
{
	return is_self(call) || !vs->env->host->vcpu_is_up(vs->env->inst, target(call));
}

static int64_t op_register_runstate(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_vcpus *vs = self;

	return may_register(vs, call) ? xen_time_register_runstate(vs->time, call, target(call), arg)
	                              : xen_unimplemented(vs->env);
}

static int64_t op_register_time(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_vcpus *vs = self;

	return may_register(vs, call) ? xen_time_register_area(vs->time, call, target(call), arg)
	                              : xen_unimplemented(vs->env);
}

static int64_t op_set_periodic(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_vcpus *vs = self;

	return xen_time_set_periodic(vs->time, call, target(call), arg);
}

static int64_t op_stop_periodic(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_vcpus *vs = self;

	(void)arg;
	return xen_time_stop_periodic(vs->time, target(call));
}

static int64_t op_set_singleshot(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_vcpus *vs = self;

	return is_self(call) ? xen_time_set_singleshot(vs->time, call, arg) : -EINVAL;
}

static int64_t op_stop_singleshot(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_vcpus *vs = self;

	(void)arg;
	return is_self(call) ? xen_time_stop_singleshot(vs->time, target(call)) : -EINVAL;
}

static int64_t op_send_nmi(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_vcpus *vs = self;

	if (arg)
		return -EINVAL;
	vs->env->host->nmi_raise(vs->env->inst, target(call));
	return 0;
}

/* Only vCPUs that are pinned to a processor have one, and none is. */
static int64_t op_get_physid(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	(void)self;
	(void)call;
	(void)arg;
	return -EINVAL;
}

static const xen_subop_fn ops[] = {
	[VCPUOP_initialise] = op_initialise,
	[VCPUOP_up] = op_up,
	[VCPUOP_down] = op_down,
	[VCPUOP_is_up] = op_is_up,
	[VCPUOP_get_runstate_info] = op_runstate_info,
	[VCPUOP_register_runstate_memory_area] = op_register_runstate,
	[VCPUOP_set_periodic_timer] = op_set_periodic,
	[VCPUOP_stop_periodic_timer] = op_stop_periodic,
	[VCPUOP_set_singleshot_timer] = op_set_singleshot,
	[VCPUOP_stop_singleshot_timer] = op_stop_singleshot,
	[VCPUOP_register_vcpu_info] = op_register_vcpu_info,
	[VCPUOP_send_nmi] = op_send_nmi,
	[VCPUOP_get_physid] = op_get_physid,
	[VCPUOP_register_vcpu_time_memory_area] = op_register_time,
};

/* What is of PV time, by sub-operation. */
#define TIMED                                                                                              \
	(1u << VCPUOP_set_periodic_timer | 1u << VCPUOP_stop_periodic_timer | 1u << VCPUOP_set_singleshot_timer | \
	 1u << VCPUOP_stop_singleshot_timer | 1u << VCPUOP_register_vcpu_time_memory_area)

static bool offered(const struct xen_vcpus *vs, uint32_t cmd)
{
	return !vs->time->none || cmd > 31 || !(TIMED >> cmd & 1);
}

int64_t xen_vcpu_op(void *opaque, struct gamut_hypercall *call)
{
	struct xen_vcpus *vs = opaque;

	if (call->cpl)
		return -EPERM;
	if (target(call) >= vs->env->n_vcpus)
		return -ENOENT;
	if (!offered(vs, (uint32_t)call->args[0]))
		return xen_unimplemented(vs->env);
	xen_time_refresh(vs->time, call);
	return xen_dispatch(vs->env, ops, sizeof(ops) / sizeof(ops[0]), vs, call, (uint32_t)call->args[0],
	                    call->args[2]);
}

/* ---- life cycle ---------------------------------------------------------------------- */

static void poll_timeout(void *opaque)
{
	struct xen_vcpu *v = opaque;

	if (evtchn_poll_end(v->vcpus->evtchn, v->id))
		v->vcpus->env->host->vcpu_wake(v->vcpus->env->inst, v->id);
}

static void watchdog_fires(void *opaque)
{
	struct xen_watchdog *w = opaque;
	const struct xen_env *env = w->vcpus->env;

	env->host->log(env->inst, GAMUT_LOG_ERROR, "the guest's watchdog has expired");
	env->host->domain_end(env->inst, GAMUT_END_CRASH);
}

static int make_timers(struct xen_vcpus *vs)
{
	const struct xen_env *env = vs->env;

	for (uint32_t i = 0; i < env->n_vcpus; i++) {
		struct xen_vcpu *v = &vs->vcpu[i];

		*v = (struct xen_vcpu){ .vcpus = vs, .id = i, .initialised = i == 0 };
		v->poll = env->host->timer_create(env->inst, poll_timeout, v);
		if (!v->poll)
			return -ENOMEM;
	}
	for (uint32_t i = 0; i < XEN_WATCHDOGS; i++) {
		struct xen_watchdog *w = &vs->watchdog[i];

		w->vcpus = vs;
		w->timer = env->host->timer_create(env->inst, watchdog_fires, w);
		if (!w->timer)
			return -ENOMEM;
	}
	return 0;
}

int xen_vcpus_init(struct xen_vcpus *vs, const struct xen_env *env, struct shinfo *shinfo, struct upcall *upcall,
                   struct evtchn *evtchn, struct xen_time *time)
{
	*vs = (struct xen_vcpus){ .env = env, .shinfo = shinfo, .upcall = upcall, .evtchn = evtchn, .time = time };
	vs->vcpu = calloc(env->n_vcpus, sizeof(*vs->vcpu));
	if (!vs->vcpu)
		return -ENOMEM;
	pthread_mutex_init(&vs->lock, NULL);
	if (!make_timers(vs))
		return 0;
	xen_vcpus_finish(vs);
	return -ENOMEM;
}

void xen_vcpus_finish(struct xen_vcpus *vs)
{
	const struct xen_env *env = vs->env;

	for (uint32_t i = 0; i < env->n_vcpus; i++)
		if (vs->vcpu[i].poll)
			env->host->timer_destroy(env->inst, vs->vcpu[i].poll);
	for (uint32_t i = 0; i < XEN_WATCHDOGS; i++)
		if (vs->watchdog[i].timer)
			env->host->timer_destroy(env->inst, vs->watchdog[i].timer);
	pthread_mutex_destroy(&vs->lock);
	free(vs->vcpu);
}

void xen_vcpus_reset(struct xen_vcpus *vs)
{
	const struct xen_env *env = vs->env;

	for (uint32_t i = 0; i < env->n_vcpus; i++) {
		env->host->timer_cancel(env->inst, vs->vcpu[i].poll);
		vs->vcpu[i].initialised = i == 0;
	}
	for (uint32_t i = 0; i < XEN_WATCHDOGS; i++) {
		env->host->timer_cancel(env->inst, vs->watchdog[i].timer);
		vs->watchdog[i].armed = false;
	}
	vs->shutdown_code = 0;
}
