/* SPDX-License-Identifier: MIT */
#include "vcpu.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ATTN_OURS (ATTN_PAUSE | ATTN_STOP | ATTN_WAKE) /* what the run loop itself serves */

static void futex_wait(_Atomic uint32_t *word, uint32_t seen)
{
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* ---- where its time goes --------------------------------------------------------- */

static void spend(struct vcpu *v, enum vcpu_time state)
{
	uint64_t now = clock_now(v->set->clock);

	pthread_mutex_lock(&v->times_lock);
	if (now > v->since)
		v->ns[v->state] += now - v->since;
	v->since = now;
	v->state = state;
	pthread_mutex_unlock(&v->times_lock);
}

static uint64_t thread_cpu_ns(struct vcpu *v)
{
	struct timespec ts;
	clockid_t id;

	if (!v->started || pthread_getcpuclockid(v->thread, &id) || clock_gettime(id, &ts))
		return 0;
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

/*
 * Of the time that the thread wanted to run, what the host gave it is its CPU
 * time, and the rest was spent runnable: the guest's steal time.
 */
void vcpu_times(struct vcpu *v, uint64_t ns[VCPU_TIMES])
{
	uint64_t cpu = thread_cpu_ns(v), now = clock_now(v->set->clock), wanted;

	pthread_mutex_lock(&v->times_lock);
	memcpy(ns, v->ns, sizeof(v->ns));
	if (now > v->since)
		ns[v->state] += now - v->since;
	pthread_mutex_unlock(&v->times_lock);
	wanted = ns[VCPU_RUNNING];
	if (cpu < wanted) {
		/* One that halts within the engine cannot be told from one that waits for a processor; most halt. */
		ns[VCPU_RUNNING] = cpu;
		ns[v->set->irqchip ? VCPU_BLOCKED : VCPU_RUNNABLE] += wanted - cpu;
	}
}

/* ---- attention --------------------------------------------------------------------- */

static void call(struct vcpu *v)
{
	uint32_t mode = atomic_load(&v->mode);

	if (mode == VCPU_IN_GUEST)
		v->set->ops->vcpu_kick(v->engine);
	else if (mode == VCPU_ASLEEP)
		futex_wake(&v->attention);
}

void vcpu_attend(struct vcpu *v, uint32_t bits)
{
	atomic_fetch_or(&v->attention, bits);
	call(v);
}

void vcpu_nmi(struct vcpu *v)
{
	attn_nmi_raise(&v->attention);
	call(v);
}

/* Under a monitor, interrupts are events of its guest, and it knows which of them are masked. */
static bool irq_is_pending(const struct vcpu *v)
{
	const struct vcpus *set = v->set;

	if (set->pv)
		return set->pv->pending(set->pv_opaque, v->index);
	return set->irq && set->irq->pending(set->irq_opaque, v->index);
}

/*
 * Whether a sleep must end; if not, *seen is what to wait for a change of. An
 * IRQ bit may be left from an interrupt that was taken or masked since; it
 * counts only when the source says so.
 */
static bool must_wake(struct vcpu *v, uint32_t mask, uint32_t *seen)
{
	if (*seen & (mask | ATTN_PAUSE | ATTN_STOP) & ~ATTN_IRQ)
		return true;
	if (!(*seen & mask & ATTN_IRQ))
		return false;
	if (irq_is_pending(v))
		return true;
	/* From here on the bit means a new one: *seen must not match a word that has it again. */
	*seen &= ~ATTN_IRQ;
	atomic_fetch_and(&v->attention, ~ATTN_IRQ);
	/* One that came between the question and the clearing must not be lost. */
	if (!irq_is_pending(v))
		return false;
	atomic_fetch_or(&v->attention, ATTN_IRQ);
	return true;
}

/* Sleeps until one of mask, a pause or a stop. */
static void sleep_until(struct vcpu *v, uint32_t mask, enum vcpu_time state)
{
	uint32_t seen;

	spend(v, state);
	atomic_store(&v->mode, VCPU_ASLEEP);
	for (;;) {
		seen = atomic_load(&v->attention);
		if (must_wake(v, mask, &seen))
			break;
		futex_wait(&v->attention, seen);
	}
	atomic_store(&v->mode, VCPU_OUTSIDE);
	spend(v, VCPU_RUNNING);
}

/*
 * An idle guest that is paused or stopped meanwhile, or whose vCPU goes down,
 * goes on being idle: the sleep is taken up again. So does one that is woken
 * for another reason than its own (ATTN_WAKE), such as to find `unhalt` set.
 */
static void idle(struct vcpu *v)
{
	uint32_t mask = v->idle_mask;

	if (v->exit.reason == EXIT_HLT && atomic_exchange(&v->unhalt, false)) {
		v->exit.hlt.over = true;
		v->idle_mask = 0;
		return;
	}
	sleep_until(v, mask | ATTN_WAKE, VCPU_BLOCKED);
	if (atomic_load(&v->attention) & (mask & ~ATTN_IRQ))
		v->idle_mask = 0;
	else if (mask & ATTN_IRQ && irq_is_pending(v))
		v->idle_mask = 0;
	if (!v->idle_mask)
		atomic_fetch_and(&v->attention, ~(mask & ATTN_WAKE));
}

static void park(struct vcpu *v)
{
	struct vcpus *set = v->set;

	pthread_mutex_lock(&set->lock);
	set->n_parked++;
	pthread_cond_broadcast(&set->changed);
	while (set->paused)
		pthread_cond_wait(&set->changed, &set->lock);
	set->n_parked--;
	atomic_fetch_and(&v->attention, ~ATTN_PAUSE);
	pthread_mutex_unlock(&set->lock);
}

/* A new life: what the old one slept for is over. */
static void take_state(struct vcpu *v)
{
	int rc = 0;

	pthread_mutex_lock(&v->state_lock);
	if (v->has_pending)
		rc = v->set->ops->vcpu_set(v->engine, &v->pending);
	if (v->has_pending)
		v->idle_mask = 0;
	v->has_pending = false;
	pthread_mutex_unlock(&v->state_lock);
	if (rc)
		vcpus_ended(v->set, GAMUT_END_ERROR, "vcpu %u: it cannot have the state that it was given: %s", v->index,
		            strerror(-rc));
}

/* From here on, until it is looked at again, this thread leaves the engine's state alone if the vCPU is down. */
static bool is_down(struct vcpu *v)
{
	bool down;

	pthread_mutex_lock(&v->state_lock);
	down = v->offline = !atomic_load(&v->up);
	pthread_mutex_unlock(&v->state_lock);
	return down;
}

int vcpu_set_state(struct vcpu *v, const struct gamut_vcpu_state *state)
{
	int rc = 0;

	if (state->size > sizeof(v->pending))
		return -EINVAL;
	pthread_mutex_lock(&v->state_lock);
	if (atomic_load(&v->up)) {
		rc = -EBUSY;
	} else if (v->offline) {
		rc = v->set->ops->vcpu_set(v->engine, state);
		v->has_pending = false;
		if (!rc)
			v->idle_mask = 0;
	} else {
		memcpy(&v->pending, state, state->size);
		v->has_pending = true;
	}
	pthread_mutex_unlock(&v->state_lock);
	return rc;
}

/* Serves what others want until the guest may be entered. False: the thread is to end. */
static bool serve(struct vcpu *v)
{
	for (;;) {
		uint32_t seen = atomic_load(&v->attention);

		if (seen & ATTN_STOP)
			return false;
		if (seen & ATTN_PAUSE) {
			park(v);
			continue;
		}
		if (seen & ATTN_WAKE) {
			/* Before `up` and the rest are looked at. */
			atomic_fetch_and(&v->attention, ~ATTN_WAKE);
			if (v->idle_mask & ATTN_WAKE)
				v->idle_mask = 0;
		}
		take_state(v);
		if (is_down(v))
			sleep_until(v, ATTN_WAKE, VCPU_OFFLINE);
		else if (v->idle_mask)
			idle(v);
		else if (atomic_load(&v->set->throttled))
			sleep_until(v, ATTN_WAKE, VCPU_RUNNABLE);
		else
			return true;
	}
}

static inline bool ready(struct vcpu *v)
{
	uint32_t seen = atomic_load_explicit(&v->attention, memory_order_acquire);

	return (seen & ATTN_OURS || v->idle_mask) ? serve(v) : true;
}

/* ---- the run loop --------------------------------------------------------------------- */

static void *vcpu_main(void *opaque)
{
	struct vcpu *v = opaque;
	const struct engine_ops *ops = v->set->ops;
	char name[16];

	snprintf(name, sizeof(name), "gamut-vcpu%u", v->index);
	pthread_setname_np(pthread_self(), name);
	atomic_store(&v->tid, (int)syscall(SYS_gettid));
	while (ready(v)) {
		atomic_store(&v->mode, VCPU_IN_GUEST);
		ops->vcpu_run(v->engine, &v->exit);
		atomic_store_explicit(&v->mode, VCPU_OUTSIDE, memory_order_release);
		if (exit_dispatch(v, &v->exit) != VERDICT_IDLE)
			v->idle_mask = 0;
	}
	return NULL;
}

/* ---- one vCPU ---------------------------------------------------------------------------- */

static int env_irq_accept(void *opaque)
{
	struct vcpu *v = opaque;
	const struct vcpus *set = v->set;

	return set->irq ? set->irq->accept(set->irq_opaque, v->index) : -1;
}

static int env_irq_pending(void *opaque)
{
	return irq_is_pending(opaque);
}

static uint64_t env_cr8_read(void *opaque)
{
	const struct vcpu *v = opaque;

	return v->set->cr8_read(v->set->cr8_opaque, v->index) & 15;
}

static void env_cr8_write(void *opaque, uint64_t value)
{
	const struct vcpu *v = opaque;

	v->set->cr8_write(v->set->cr8_opaque, v->index, value);
}

static void vcpu_power_on(struct vcpu *v)
{
	v->set->ops->vcpu_reset(v->engine);
	v->exit = (struct vcpu_exit){ .reason = EXIT_INTR };
	v->idle_mask = 0;
	v->block = v->has_pending = false;
	atomic_store(&v->unhalt, false);
	atomic_store(&v->up, v->index == 0 || v->set->irqchip);
	v->offline = !atomic_load(&v->up); /* before its thread runs, or all are parked */
}

static void vcpu_destroy(struct vcpu *v)
{
	if (!v)
		return;
	if (v->engine)
		v->set->ops->vcpu_destroy(v->engine);
	pthread_mutex_destroy(&v->times_lock);
	pthread_mutex_destroy(&v->state_lock);
	free((void *)v->counters.owner);
	free((void *)v->counters.ticks);
	free(v);
}

static struct vcpu *vcpu_create(struct vcpus *set, uint32_t index, char *err, unsigned err_len)
{
	struct vcpu *v = aligned_alloc(CACHE_LINE, sizeof(*v));

	if (!v) {
		snprintf(err, err_len, "out of memory");
		return NULL;
	}
	memset(v, 0, sizeof(*v));
	v->set = set;
	v->index = index;
	v->state = VCPU_OFFLINE;
	v->since = clock_now(set->clock);
	pthread_mutex_init(&v->times_lock, NULL);
	pthread_mutex_init(&v->state_lock, NULL);
	v->env = (struct engine_vcpu_env){
		.opaque = v,
		.attention = &v->attention,
		.irq_accept = env_irq_accept,
		.irq_pending = env_irq_pending,
		.cr8_outside = &set->cr8_outside,
		.cr8_read = env_cr8_read,
		.cr8_write = env_cr8_write,
	};
	if (set->ops->vcpu_create(set->vm, index, &v->env, &v->engine, err, err_len)) {
		v->engine = NULL;
		vcpu_destroy(v);
		return NULL;
	}
	vcpu_power_on(v);
	return v;
}

void vcpu_set_up(struct vcpu *v, bool up)
{
	atomic_store(&v->up, up);
	vcpu_attend(v, ATTN_WAKE);
}

/* The flag first: who is woken looks for it before he sleeps again. */
void vcpu_unhalt(struct vcpu *v)
{
	atomic_store(&v->unhalt, true);
	vcpu_attend(v, ATTN_WAKE);
}

/* ---- all of them ------------------------------------------------------------------------------ */

int vcpus_init(struct vcpus *set, uint32_t n, char *err, unsigned err_len)
{
	pthread_mutex_init(&set->lock, NULL);
	pthread_cond_init(&set->changed, NULL);
	set->paused = true;
	set->n_parked = 0;
	set->n = 0;
	set->vcpu = calloc(n, sizeof(*set->vcpu));
	if (!set->vcpu) {
		snprintf(err, err_len, "out of memory");
		vcpus_finish(set);
		return -ENOMEM;
	}
	for (; set->n < n; set->n++) {
		set->vcpu[set->n] = vcpu_create(set, set->n, err, err_len);
		if (!set->vcpu[set->n]) {
			vcpus_finish(set);
			return -EIO;
		}
	}
	return vcpus_set_owners(set, 1);
}

void vcpus_finish(struct vcpus *set)
{
	for (uint32_t i = 0; i < set->n; i++)
		vcpu_destroy(set->vcpu[i]);
	free(set->vcpu);
	set->vcpu = NULL;
	set->n = 0;
	pthread_cond_destroy(&set->changed);
	pthread_mutex_destroy(&set->lock);
}

void vcpus_irqchip(struct vcpus *set)
{
	set->irqchip = true;
	for (uint32_t i = 0; i < set->n; i++)
		atomic_store(&set->vcpu[i]->up, true);
}

/* Whole cache lines for each vCPU, so that counting touches nobody else's. */
int vcpus_set_owners(struct vcpus *set, uint32_t n)
{
	size_t bytes = (n * sizeof(uint64_t) + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);

	for (uint32_t i = 0; i < set->n; i++) {
		struct exit_counters *c = &set->vcpu[i]->counters;
		void *owner = aligned_alloc(CACHE_LINE, bytes), *ticks = aligned_alloc(CACHE_LINE, bytes);

		if (!owner || !ticks) {
			free(owner);
			free(ticks);
			return -ENOMEM;
		}
		memset(owner, 0, bytes);
		memset(ticks, 0, bytes);
		free((void *)c->owner);
		free((void *)c->ticks);
		c->owner = owner;
		c->ticks = ticks;
		c->n_owners = n;
	}
	set->n_owners = n;
	return 0;
}

int vcpus_start(struct vcpus *set)
{
	set->paused = true;
	for (uint32_t i = 0; i < set->n; i++) {
		struct vcpu *v = set->vcpu[i];
		int err;

		atomic_fetch_or(&v->attention, ATTN_PAUSE);
		spend(v, VCPU_RUNNING);
		err = pthread_create(&v->thread, NULL, vcpu_main, v);
		v->started = !err;
		if (err) {
			vcpus_stop(set);
			return -err;
		}
	}
	vcpus_pause(set);
	return 0;
}

static void release_all(struct vcpus *set)
{
	pthread_mutex_lock(&set->lock);
	set->paused = false;
	pthread_cond_broadcast(&set->changed);
	pthread_mutex_unlock(&set->lock);
}

void vcpus_stop(struct vcpus *set)
{
	for (uint32_t i = 0; i < set->n; i++)
		vcpu_attend(set->vcpu[i], ATTN_STOP);
	release_all(set);
	for (uint32_t i = 0; i < set->n; i++) {
		struct vcpu *v = set->vcpu[i];

		if (!v->started)
			continue;
		pthread_join(v->thread, NULL);
		v->started = false;
	}
}

void vcpus_pause_request(struct vcpus *set)
{
	pthread_mutex_lock(&set->lock);
	set->paused = true;
	pthread_mutex_unlock(&set->lock);
	for (uint32_t i = 0; i < set->n; i++)
		vcpu_attend(set->vcpu[i], ATTN_PAUSE);
}

static uint32_t count_started(const struct vcpus *set)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < set->n; i++)
		n += set->vcpu[i]->started;
	return n;
}

void vcpus_pause(struct vcpus *set)
{
	uint32_t n = count_started(set);

	vcpus_pause_request(set);
	pthread_mutex_lock(&set->lock);
	while (set->n_parked < n)
		pthread_cond_wait(&set->changed, &set->lock);
	pthread_mutex_unlock(&set->lock);
}

void vcpus_resume(struct vcpus *set)
{
	release_all(set);
}

void vcpus_reset(struct vcpus *set)
{
	for (uint32_t i = 0; i < set->n; i++) {
		struct vcpu *v = set->vcpu[i];

		/* What the engine wants to be told of memory is not the guest's old life. */
		atomic_fetch_and(&v->attention, ATTN_PAUSE | ATTN_STOP | ATTN_INVAL);
		vcpu_power_on(v);
		v->cache = (struct bus_cache){ 0 };
	}
}

void vcpus_throttle(struct vcpus *set, bool on)
{
	if (atomic_exchange(&set->throttled, on) == on)
		return;
	for (uint32_t i = 0; i < set->n; i++)
		vcpu_attend(set->vcpu[i], ATTN_WAKE);
}

void vcpus_ended(struct vcpus *set, int how, const char *fmt, ...)
{
	char why[320];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	vcpus_pause_request(set);
	if (set->on_end)
		set->on_end(set->on_end_opaque, how, why);
}
