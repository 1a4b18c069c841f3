/* SPDX-License-Identifier: MIT */
/*
 * One vCPU: its descriptor, the page that it shares with the kernel, entering
 * the guest and getting it out again.
 *
 * Kicks. Another thread sets immediate_exit in the shared page, which makes
 * the next KVM_RUN return at once, and sends a signal, which makes the one
 * under way return. The signal's handler does nothing: if it came before the
 * system call, immediate_exit is still there. The vCPU's thread clears
 * immediate_exit first and looks at what it was kicked for after that, so that
 * nothing between the two is lost; and a kicker who finds it set already knows
 * that the look is still to come.
 */
#include "engine/kvm/kvm.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KICK_SIGNAL SIGRTMIN
/* A string instruction on MMIO is handed out in parts, this many at most before the guest is entered again. */
#define SETTLE_MAX 4096

/* ---- kicks --------------------------------------------------------------------- */

static void on_kick(int sig)
{
	(void)sig;
}

static void install_handler(void)
{
	struct sigaction sa = { .sa_handler = on_kick, .sa_flags = SA_RESTART };

	sigemptyset(&sa.sa_mask);
	sigaction(KICK_SIGNAL, &sa, NULL);
}

static int this_thread(void)
{
	static __thread int tid;
	sigset_t mask;

	if (tid)
		return tid;
	sigemptyset(&mask);
	sigaddset(&mask, KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &mask, NULL);
	tid = (int)syscall(SYS_gettid);
	return tid;
}

void kvm_vcpu_begin(struct engine_vcpu *v)
{
	int tid = this_thread();

	if (atomic_load_explicit(&v->tid, memory_order_relaxed) != tid)
		atomic_store(&v->tid, tid);
	__atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
}

void kvm_kick(struct engine_vcpu *v)
{
	int tid = atomic_load(&v->tid);

	if (!__atomic_exchange_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST) && tid)
		syscall(SYS_tgkill, getpid(), tid, KICK_SIGNAL);
}

/* ---- entering --------------------------------------------------------------------- */

/* With slots as they should be, and v->inside to hold them so. */
static int go_inside(struct engine_vcpu *v)
{
	struct engine_vm *vm = v->vm;

	atomic_store(&v->inside, true);
	while (atomic_load(&vm->slots.dirty)) {
		int r;

		atomic_store(&v->inside, false);
		r = kvm_slots_sync(vm);
		if (r)
			return r;
		atomic_store(&v->inside, true);
	}
	return 0;
}

static int run(struct engine_vcpu *v)
{
	int r = kvm_ioctl(v->fd, KVM_RUN, NULL);

	/* The kernel has taken the registers, or never will. */
	v->run->kvm_dirty_regs = 0;
	return r;
}

int kvm_enter(struct engine_vcpu *v)
{
	int r = go_inside(v);

	if (r)
		return r;
	v->n_entry++;
	r = run(v);
	atomic_store_explicit(&v->inside, false, memory_order_release);
	v->owed = KVM_OWES_NOTHING;
	return r;
}

int kvm_settle(struct engine_vcpu *v)
{
	int r;

	if (v->owed == KVM_OWES_NOTHING)
		return 0;
	v->n_settle++;
	v->vm->touched = true;
	__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	r = run(v);
	v->owed = KVM_OWES_NOTHING;
	v->unseen = r == 0;
	return r == -EINTR ? 0 : r;
}

int kvm_abandon(struct engine_vcpu *v)
{
	int r = 0;

	for (int i = 0; i < SETTLE_MAX && !r && (v->owed != KVM_OWES_NOTHING || v->unseen); i++) {
		v->owed = KVM_OWES_ENTRY;
		r = kvm_settle(v);
	}
	v->unseen = false;
	v->hypercall = false;
	v->skip = 0;
	v->done = 0;
	return r;
}

/* ---- making one ---------------------------------------------------------------------- */

static int map_run(struct engine_vcpu *v)
{
	int size = ioctl(v->vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0ul);
	void *p;

	if (size < (int)sizeof(struct kvm_run))
		return -ENOTSUP;
	p = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	v->run = p;
	v->run_size = (size_t)size;
	v->run->kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
	return 0;
}

/* All that the processor can do, until the core says what the guest may see: control registers depend on it. */
static int set_full_cpuid(struct engine_vcpu *v)
{
	struct cpuid_entry *entries = NULL;
	uint32_t n = 0;
	int r = kvm_cpuid_supported(v->vm, &entries, &n);

	if (!r)
		r = kvm_cpuid_set(v, entries, n);
	free(entries);
	return r;
}

static int remember_power_on(struct engine_vcpu *v)
{
	v->power_on = kvm_state_create(v->vm);
	return v->power_on ? kvm_get_state(v, v->power_on) : -ENOMEM;
}

/* What KVM has of its own beside the processor is there only if CPUID says so. An older kernel goes without. */
static void no_more_than_cpuid(struct engine_vcpu *v)
{
	struct kvm_enable_cap enforce = { .cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID, .args = { 1 } };

	kvm_ioctl(v->fd, KVM_ENABLE_CAP, &enforce);
}

int kvm_vcpu_attach(struct engine_vcpu *v)
{
	int r;

	v->fd = ioctl(v->vm->fd, KVM_CREATE_VCPU, (unsigned long)v->index);
	if (v->fd < 0)
		return -errno;
	no_more_than_cpuid(v);
	r = map_run(v);
	if (!r)
		r = set_full_cpuid(v);
	if (!r)
		r = kvm_ioctl(v->fd, KVM_GET_REGS, kvm_regs(v));
	if (!r)
		r = kvm_ioctl(v->fd, KVM_GET_SREGS, kvm_sregs(v));
	if (!r)
		r = kvm_tsc_init(v);
	return r ? r : remember_power_on(v);
}

int kvm_vcpu_open(struct engine_vm *vm, uint32_t index, const struct engine_vcpu_env *env, struct engine_vcpu **vcpu,
                  char *err, unsigned err_len)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct engine_vcpu *v = index < vm->n_vcpus ? calloc(1, sizeof(*v)) : NULL;
	int r = index < vm->n_vcpus ? -ENOMEM : -EINVAL;

	pthread_once(&once, install_handler);
	if (v) {
		v->vm = vm;
		v->index = index;
		v->env = *env;
		v->fd = -1;
		r = kvm_vcpu_attach(v);
	}
	if (r) {
		snprintf(err, err_len, "/dev/kvm makes no vCPU %u: %s", index, strerror(-r));
		kvm_vcpu_close(v);
		return r;
	}
	vm->vcpu[index] = v;
	*vcpu = v;
	return 0;
}

void kvm_vcpu_detach(struct engine_vcpu *v)
{
	kvm_state_destroy(v->power_on);
	v->power_on = NULL;
	if (v->run)
		munmap(v->run, v->run_size);
	v->run = NULL;
	if (v->fd >= 0)
		close(v->fd);
	v->fd = -1;
}

void kvm_vcpu_close(struct engine_vcpu *v)
{
	if (!v)
		return;
	kvm_vcpu_detach(v);
	v->vm->vcpu[v->index] = NULL;
	free(v);
}
