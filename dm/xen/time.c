/* SPDX-License-Identifier: MIT */
#include "dm/xen/time.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dm/clock/pvclock.h"

#include "gamut/plugin.h"

#define NS 1000000000ull
/* Xen's bounds for a period: 1 ms, and what fits its signed arithmetic. */
#define PERIOD_MIN 1000000ull
#define PERIOD_MAX (INT64_MAX / 2)
/* A timeout this far ahead is the result of an overflow in the guest; Xen then uses 100 ms. */
#define TIMEOUT_FAR (1ull << 50)
#define TIMEOUT_INSTEAD 100000000ull

static uint64_t now(const struct xen_time *t)
{
	return t->env->host->time_now(t->env->inst);
}

/* ---- pvclock ------------------------------------------------------------------ */

_Static_assert(sizeof(struct vcpu_time_info) == sizeof(struct pvclock) &&
                       offsetof(struct vcpu_time_info, flags) == offsetof(struct pvclock, flags) &&
                       XEN_PVCLOCK_TSC_STABLE_BIT == PVCLOCK_STABLE,
               "Xen's pvclock");

static void scale(const struct xen_time *t, uint32_t vcpu, struct pvclock *info)
{
	pvclock_make(t->env->host, t->env->inst, vcpu, info);
}

void xen_time_update_vcpu(struct xen_time *t, uint32_t vcpu)
{
	struct xen_time_vcpu *v = &t->vcpu[vcpu];
	struct pvclock info;
	uint8_t *vi;

	if (t->none)
		return;
	scale(t, vcpu, &info);
	pthread_mutex_lock(&v->lock);
	v->version += 2;
	vi = shinfo_vcpu_info(t->shinfo, vcpu);
	if (vi) {
		pvclock_publish((void *)(vi + shinfo_layout(t->shinfo)->time), &info, v->version);
		shinfo_dirty(t->shinfo, vcpu);
	}
	pthread_mutex_unlock(&v->lock);
}

void xen_time_wallclock(struct xen_time *t)
{
	const struct shinfo_layout *layout = shinfo_layout(t->shinfo);
	uint8_t *shared = t->shinfo->shared;
	uint32_t *version = (void *)(shared + layout->wc_version);
	uint64_t boot = pvclock_boot_time(t->env->host, t->env->inst);

	if (t->none)
		return;
	pthread_mutex_lock(&t->wallclock_lock);
	uint32_t even = (__atomic_load_n(version, __ATOMIC_RELAXED) | 1) + 1;

	__atomic_store_n(version, even - 1, __ATOMIC_SEQ_CST);
	__atomic_store_n((uint32_t *)(void *)(shared + layout->wc_sec), (uint32_t)(boot / NS), __ATOMIC_RELAXED);
	__atomic_store_n((uint32_t *)(void *)(shared + layout->wc_nsec), (uint32_t)(boot % NS), __ATOMIC_RELAXED);
	__atomic_store_n((uint32_t *)(void *)(shared + layout->wc_sec_hi), (uint32_t)(boot / NS >> 32),
	                 __ATOMIC_RELAXED);
	__atomic_store_n(version, even, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&t->wallclock_lock);
}

void xen_time_update(struct xen_time *t)
{
	for (uint32_t i = 0; i < t->env->n_vcpus; i++)
		xen_time_update_vcpu(t, i);
	xen_time_wallclock(t);
}

/* ---- timers --------------------------------------------------------------------- */

static void singleshot_fires(void *opaque)
{
	struct xen_time_vcpu *v = opaque;

	evtchn_virq(v->time->evtchn, v->id, VIRQ_TIMER);
}

/* Missed ticks are not made up for: the next one is the next multiple. */
static void periodic_fires(void *opaque)
{
	struct xen_time_vcpu *v = opaque;
	const struct xen_env *env = v->time->env;
	uint64_t at = now(v->time);
	bool on;

	pthread_mutex_lock(&v->lock);
	on = v->period != 0;
	if (on) {
		v->next += v->period;
		if (v->next <= at)
			v->next += ((at - v->next) / v->period + 1) * v->period;
		env->host->timer_set(env->inst, v->periodic, v->next);
	}
	pthread_mutex_unlock(&v->lock);
	if (on)
		evtchn_virq(v->time->evtchn, v->id, VIRQ_TIMER);
}

/* Of the vCPU that asks. One that is due is not worth the way through the I/O thread. */
static void arm_singleshot(struct xen_time *t, uint32_t vcpu, uint64_t when)
{
	struct xen_time_vcpu *v = &t->vcpu[vcpu];

	xen_count(t->timers);
	if (when > now(t)) {
		t->env->host->timer_set(t->env->inst, v->singleshot, when);
		return;
	}
	t->env->host->timer_cancel(t->env->inst, v->singleshot);
	singleshot_fires(v);
}

int64_t xen_time_set_singleshot(struct xen_time *t, struct gamut_hypercall *call, uint64_t arg)
{
	static const struct xen_layout layout = { 12, 16, 2, { { 0, 8, 0, 8 }, { 8, 4, 8, 4 } } };
	struct vcpu_set_singleshot_timer set;

	if (xen_get(t->env, call, arg, &set, &layout))
		return -EFAULT;
	if ((set.flags & VCPU_SSHOTTMR_future) && set.timeout_abs_ns < now(t))
		return -ETIME;
	arm_singleshot(t, call->vcpu, set.timeout_abs_ns);
	return 0;
}

int64_t xen_time_stop_singleshot(struct xen_time *t, uint32_t vcpu)
{
	t->env->host->timer_cancel(t->env->inst, t->vcpu[vcpu].singleshot);
	return 0;
}

int64_t xen_time_set_periodic(struct xen_time *t, struct gamut_hypercall *call, uint32_t vcpu, uint64_t arg)
{
	struct xen_time_vcpu *v = &t->vcpu[vcpu];
	struct vcpu_set_periodic_timer set;

	if (xen_get_raw(t->env, call, arg, &set, sizeof(set)))
		return -EFAULT;
	if (set.period_ns < PERIOD_MIN || set.period_ns > PERIOD_MAX)
		return -EINVAL;
	xen_count(t->timers);
	pthread_mutex_lock(&v->lock);
	v->period = set.period_ns;
	v->next = now(t) + set.period_ns;
	t->env->host->timer_set(t->env->inst, v->periodic, v->next);
	pthread_mutex_unlock(&v->lock);
	return 0;
}

int64_t xen_time_stop_periodic(struct xen_time *t, uint32_t vcpu)
{
	struct xen_time_vcpu *v = &t->vcpu[vcpu];

	pthread_mutex_lock(&v->lock);
	v->period = 0;
	t->env->host->timer_cancel(t->env->inst, v->periodic);
	pthread_mutex_unlock(&v->lock);
	return 0;
}

int64_t xen_set_timer_op(void *opaque, struct gamut_hypercall *call)
{
	struct xen_time *t = opaque;
	struct gamut_timer *timer = t->vcpu[call->vcpu].singleshot;
	uint64_t timeout = call->args[0], at = now(t);

	if (call->cpl)
		return -EPERM;
	if (!call->long_mode)
		timeout = (uint32_t)timeout | call->args[1] << 32;
	if (timeout == 0) {
		t->env->host->timer_cancel(t->env->inst, timer);
		return 0;
	}
	if ((int64_t)timeout < 0 || (timeout > at && timeout - at > TIMEOUT_FAR))
		timeout = at + TIMEOUT_INSTEAD;
	arm_singleshot(t, call->vcpu, timeout);
	return 0;
}

/* ---- areas by virtual address ------------------------------------------------------ */

static void write_time_area(struct xen_time *t, struct xen_time_vcpu *v, const struct gamut_hypercall *call)
{
	struct pvclock info;
	uint32_t odd;

	pthread_mutex_lock(&v->lock);
	info.version = v->version;
	pthread_mutex_unlock(&v->lock);
	if (!v->time_area || v->area_version == info.version)
		return;
	odd = info.version - 1;
	v->area_version = info.version;
	scale(t, v->id, &info);
	info.version = odd;
	/* Failing is the guest's affair: it took the mapping away. */
	if (xen_put_raw(t->env, call, v->time_area, &odd, sizeof(odd)))
		return;
	xen_put_raw(t->env, call, v->time_area, &info, sizeof(info));
	xen_put_raw(t->env, call, v->time_area, &v->area_version, sizeof(v->area_version));
}

static const struct xen_layout runstate_layout = {
	44, 48, 6, { { 0, 4, 0, 4 }, { 4, 8, 8, 8 }, { 12, 8, 16, 8 }, { 20, 8, 24, 8 }, { 28, 8, 32, 8 }, { 36, 8, 40, 8 } }
};

static void get_runstate(const struct xen_time *t, uint32_t vcpu, bool self, struct vcpu_runstate_info *info)
{
	const struct gamut_host *host = t->env->host;

	memset(info, 0, sizeof(*info));
	host->vcpu_times(t->env->inst, vcpu, info->time);
	info->state = RUNSTATE_running;
	if (!self)
		info->state = host->vcpu_is_up(t->env->inst, vcpu) ? RUNSTATE_runnable : RUNSTATE_offline;
	info->state_entry_time = now(t);
}

static void write_runstate_area(struct xen_time *t, struct xen_time_vcpu *v, const struct gamut_hypercall *call)
{
	uint64_t at = now(t), marked, where;
	struct gamut_hypercall as = *call;
	struct vcpu_runstate_info info;

	if (!v->runstate_area || at - v->runstate_at < RUNSTATE_AGE_NS)
		return;
	v->runstate_at = at;
	as.long_mode = v->runstate_long;
	get_runstate(t, v->id, true, &info);
	where = v->runstate_area + (as.long_mode ? 8 : 4);
	if (!__atomic_load_n(&t->runstate_flag, __ATOMIC_RELAXED)) {
		xen_put(t->env, &as, v->runstate_area, &info, &runstate_layout);
		return;
	}
	marked = info.state_entry_time | XEN_RUNSTATE_UPDATE;
	if (xen_put_raw(t->env, &as, where, &marked, sizeof(marked)))
		return;
	info.state_entry_time = marked;
	xen_put(t->env, &as, v->runstate_area, &info, &runstate_layout);
	marked &= ~XEN_RUNSTATE_UPDATE;
	xen_put_raw(t->env, &as, where, &marked, sizeof(marked));
}

void xen_time_refresh(struct xen_time *t, const struct gamut_hypercall *call)
{
	struct xen_time_vcpu *v = &t->vcpu[call->vcpu];

	if (v->time_area)
		write_time_area(t, v, call);
	if (v->runstate_area)
		write_runstate_area(t, v, call);
}

/* A union of a pointer and a uint64_t: eight bytes in both layouts, of which a 32-bit caller means four. */
static int get_area(const struct xen_time *t, const struct gamut_hypercall *call, uint64_t arg, uint64_t *area)
{
	if (xen_get_raw(t->env, call, arg, area, sizeof(*area)))
		return -EFAULT;
	if (!call->long_mode)
		*area = (uint32_t)*area;
	return 0;
}

int64_t xen_time_register_area(struct xen_time *t, struct gamut_hypercall *call, uint32_t vcpu, uint64_t arg)
{
	struct xen_time_vcpu *v = &t->vcpu[vcpu];
	struct pvclock info = { 0 };
	uint64_t area;

	if (get_area(t, call, arg, &area))
		return -EFAULT;
	if (area && xen_put_raw(t->env, call, area, &info, sizeof(info)))
		return -EFAULT;
	xen_count(t->clocks);
	v->time_area = area;
	v->area_version = 0;
	write_time_area(t, v, call);
	return 0;
}

int64_t xen_time_runstate_info(struct xen_time *t, struct gamut_hypercall *call, uint32_t vcpu, uint64_t arg)
{
	struct vcpu_runstate_info info;

	get_runstate(t, vcpu, vcpu == call->vcpu, &info);
	return xen_put(t->env, call, arg, &info, &runstate_layout);
}

int64_t xen_time_register_runstate(struct xen_time *t, struct gamut_hypercall *call, uint32_t vcpu, uint64_t arg)
{
	struct xen_time_vcpu *v = &t->vcpu[vcpu];
	struct vcpu_runstate_info info;
	uint64_t area;

	if (get_area(t, call, arg, &area))
		return -EFAULT;
	if (area) {
		get_runstate(t, v->id, vcpu == call->vcpu, &info);
		if (xen_put(t->env, call, area, &info, &runstate_layout))
			return -EFAULT;
	}
	v->runstate_area = area;
	v->runstate_long = call->long_mode;
	v->runstate_at = now(t);
	return 0;
}

int64_t xen_vm_assist(void *opaque, struct gamut_hypercall *call)
{
	struct xen_time *t = opaque;
	uint32_t cmd = (uint32_t)call->args[0];

	if (call->cpl)
		return -EPERM;
	if ((uint32_t)call->args[1] != VMASST_TYPE_runstate_update_flag)
		return -EINVAL;
	if (cmd != VMASST_CMD_enable && cmd != VMASST_CMD_disable)
		return xen_unimplemented(t->env);
	__atomic_store_n(&t->runstate_flag, cmd == VMASST_CMD_enable, __ATOMIC_RELAXED);
	return 0;
}

/* ---- life cycle ---------------------------------------------------------------------- */

static void vcpu_finish(struct xen_time_vcpu *v)
{
	const struct xen_env *env = v->time->env;

	if (v->singleshot)
		env->host->timer_destroy(env->inst, v->singleshot);
	if (v->periodic)
		env->host->timer_destroy(env->inst, v->periodic);
	pthread_mutex_destroy(&v->lock);
}

static int vcpu_init(struct xen_time *t, uint32_t id)
{
	const struct xen_env *env = t->env;
	struct xen_time_vcpu *v = &t->vcpu[id];

	v->time = t;
	v->id = id;
	pthread_mutex_init(&v->lock, NULL);
	v->singleshot = env->host->timer_create(env->inst, singleshot_fires, v);
	v->periodic = env->host->timer_create(env->inst, periodic_fires, v);
	if (v->singleshot && v->periodic)
		return 0;
	vcpu_finish(v);
	return -ENOMEM;
}

int xen_time_init(struct xen_time *t, const struct xen_env *env, struct shinfo *shinfo, struct evtchn *evtchn)
{
	*t = (struct xen_time){ .env = env, .shinfo = shinfo, .evtchn = evtchn };
	t->vcpu = calloc(env->n_vcpus, sizeof(*t->vcpu));
	if (!t->vcpu)
		return -ENOMEM;
	for (uint32_t i = 0; i < env->n_vcpus; i++) {
		if (vcpu_init(t, i)) {
			while (i--)
				vcpu_finish(&t->vcpu[i]);
			free(t->vcpu);
			return -ENOMEM;
		}
	}
	pthread_mutex_init(&t->wallclock_lock, NULL);
	t->timers = env->host->sign(env->inst, GAMUT_AXIS_INTERRUPTS, GAMUT_COLOUR_P, "PV timers");
	t->clocks = env->host->sign(env->inst, GAMUT_AXIS_INTERRUPTS, GAMUT_COLOUR_P, "PV clocks");
	return 0;
}

void xen_time_finish(struct xen_time *t)
{
	for (uint32_t i = 0; i < t->env->n_vcpus; i++)
		vcpu_finish(&t->vcpu[i]);
	pthread_mutex_destroy(&t->wallclock_lock);
	free(t->vcpu);
}

void xen_time_reset(struct xen_time *t)
{
	for (uint32_t i = 0; i < t->env->n_vcpus; i++) {
		struct xen_time_vcpu *v = &t->vcpu[i];

		xen_time_stop_singleshot(t, i);
		xen_time_stop_periodic(t, i);
		v->time_area = 0;
		v->runstate_area = 0;
	}
	t->runstate_flag = 0;
	xen_time_update(t);
}
