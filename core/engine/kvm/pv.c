/* SPDX-License-Identifier: MIT */
/*
 * Engine kvm for PV guests: the bt engine, which hands user mode to KVM when
 * that pays (direct.h). Everything but running is bt's.
 *
 * A tick, while the translator runs, tells it how long user code has gone on
 * without an event. It is a timer signal to the vCPU's own thread, armed
 * anew by each run that finds it off, and taken down by the first that comes
 * while nothing runs: an idle guest costs nothing, a busy one no system call.
 */
#include "engine/kvm/pv.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "engine/kvm/direct.h"

#define SIGNAL_TICK (SIGRTMIN + 2)

static struct bt_vcpu *bt_of(struct engine_vcpu *e)
{
	return bt_vcpu_of(e);
}

static struct direct *direct_of_bt(const struct bt_vcpu *v)
{
	return (struct direct *)(void *)((char *)v->handover - offsetof(struct direct, handover));
}

static struct direct *direct_of(struct engine_vcpu *e)
{
	return direct_of_bt(bt_of(e));
}

/* ---- the tick ------------------------------------------------------------------------ */

static void set_timer(struct direct *d, long ns)
{
	struct itimerspec spec = { .it_interval = { .tv_nsec = ns }, .it_value = { .tv_nsec = ns } };

	timer_settime(d->timer, 0, &spec, NULL);
	__atomic_store_n(&d->ticking, ns != 0, __ATOMIC_RELAXED);
}

/* On the vCPU's thread, perhaps in the middle of guest code. */
static void on_tick(int sig, siginfo_t *info, void *context)
{
	struct direct *d = info->si_value.sival_ptr;

	(void)sig;
	(void)context;
	if (info->si_code != SI_TIMER || !d)
		return;
	if (!__atomic_load_n(&d->translating, __ATOMIC_RELAXED)) {
		set_timer(d, 0);
		return;
	}
	__atomic_store_n(&d->handover.tick, 1, __ATOMIC_RELAXED);
	bt_poll_set(d->v);
}

static int tick_init(void)
{
	struct sigaction sa = { .sa_sigaction = on_tick, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART };

	sigemptyset(&sa.sa_mask);
	return sigaction(SIGNAL_TICK, &sa, NULL) ? -errno : 0;
}

static int tick_create(struct direct *d)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGNAL_TICK };
	int tid = (int)syscall(SYS_gettid);

	if (d->timer_tid == tid)
		return 0;
	if (d->timer_tid)
		timer_delete(d->timer);
	d->timer_tid = 0;
	event.sigev_value.sival_ptr = d;
	event._sigev_un._tid = tid;
	if (timer_create(CLOCK_MONOTONIC, &event, &d->timer))
		return -errno;
	d->timer_tid = tid;
	return 0;
}

static void tick_destroy(struct direct *d)
{
	if (d->timer_tid)
		timer_delete(d->timer);
}

/* ---- running ---------------------------------------------------------------------------- */

static void translate(struct direct *d, struct engine_vcpu *e, struct vcpu_exit *exit)
{
	__atomic_store_n(&d->translating, true, __ATOMIC_RELAXED);
	if (!__atomic_load_n(&d->ticking, __ATOMIC_RELAXED))
		set_timer(d, HANDOVER_TICK_NS);
	engine_bt.vcpu_run(e, exit);
	__atomic_store_n(&d->translating, false, __ATOMIC_RELAXED);
}

static void vcpu_run(struct engine_vcpu *e, struct vcpu_exit *exit)
{
	struct direct *d = direct_of(e);
	int rc = tick_create(d);

	if (rc) {
		exit->reason = EXIT_ERROR;
		snprintf(exit->error.text, sizeof(exit->error.text), "a timer for the vCPU: %s", strerror(-rc));
		return;
	}
	for (;;) {
		translate(d, e, exit);
		if (!d->handover.go)
			return;
		set_timer(d, 0);
		if (!direct_run(d, exit))
			return;
	}
}

static void vcpu_kick(struct engine_vcpu *e)
{
	engine_bt.vcpu_kick(e);
	direct_kick(direct_of(e));
}

static void vcpu_reset(struct engine_vcpu *e)
{
	engine_bt.vcpu_reset(e);
	direct_reset(direct_of(e));
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static int vcpu_create(struct engine_vm *vm, uint32_t index, const struct engine_vcpu_env *env,
                       struct engine_vcpu **out, char *err, unsigned err_len)
{
	struct engine_vcpu *e;
	struct direct *d;
	int rc = tick_init();

	if (rc) {
		snprintf(err, err_len, "a signal handler: %s", strerror(-rc));
		return rc;
	}
	rc = engine_bt.vcpu_create(vm, index, env, &e, err, err_len);
	if (rc)
		return rc;
	rc = direct_create(&d, bt_of(e)->mem, bt_of(e), err, err_len);
	if (rc) {
		engine_bt.vcpu_destroy(e);
		return rc;
	}
	bt_of(e)->handover = &d->handover;
	*out = e;
	return 0;
}

static void vcpu_destroy(struct engine_vcpu *e)
{
	struct direct *d;

	if (!e)
		return;
	d = direct_of(e);
	bt_of(e)->handover = NULL;
	engine_bt.vcpu_destroy(e);
	tick_destroy(d);
	direct_destroy(d);
}

/* RAM came or went, or a host page lies over it: what was mapped may be wrong. */
static void mem_changed(struct engine_vm *vm, uint64_t gpa, uint64_t len, bool remapped)
{
	struct bt_vcpu *v = bt_vm_vcpu(vm);

	if (remapped && v && v->handover)
		__atomic_fetch_add(&v->handover->gen, 1, __ATOMIC_SEQ_CST);
	engine_bt.mem_changed(vm, gpa, len, remapped);
	if (v && v->handover)
		direct_kick(direct_of_bt(v));
}

static bool probe(struct engine_caps *caps, char *why, unsigned why_len)
{
	struct engine_caps bt;

	if (!direct_probe(why, why_len) || !engine_bt.probe(&bt, why, why_len))
		return false;
	/* One: what a guest's other vCPUs do to memory, this one's tables would have to follow (bt/handover.h). */
	*caps = (struct engine_caps){ .pv_ring3 = true, .max_vcpus = 1 };
	return true;
}

static uint32_t stats(struct engine_vm *vm, struct engine_stat *out, uint32_t n)
{
	uint32_t used = engine_bt.stats(vm, out, n);
	struct bt_vcpu *v = bt_vm_vcpu(vm);
	const struct direct *d = v && v->handover ? direct_of_bt(v) : NULL;
	const struct engine_stat mine[] = {
		{ "kvm_stays", d ? d->n_runs : 0 },         { "kvm_stay_ns", d ? d->ns : 0 },
		{ "kvm_exits", d ? d->n_exits : 0 },        { "kvm_syscalls", d ? d->n_syscalls : 0 },
		{ "kvm_page_faults", d ? d->n_faults : 0 }, { "kvm_tables_dropped", d ? d->space.n_drop : 0 },
	};
	const uint32_t count = sizeof(mine) / sizeof(mine[0]);

	for (uint32_t i = 0; i < count; i++)
		if (used + i < n)
			out[used + i] = mine[i];
	return used + count;
}

static struct engine_ops table;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_table(void)
{
	table = engine_bt;
	table.name = "kvm";
	table.description = "user mode on KVM, the PV kernel translated";
	table.probe = probe;
	table.vcpu_create = vcpu_create;
	table.vcpu_destroy = vcpu_destroy;
	table.vcpu_run = vcpu_run;
	table.vcpu_kick = vcpu_kick;
	table.vcpu_reset = vcpu_reset;
	table.mem_changed = mem_changed;
	table.stats = stats;
}

const struct engine_ops *engine_kvm_pv(void)
{
	pthread_once(&once, make_table);
	return &table;
}
