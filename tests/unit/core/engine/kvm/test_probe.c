/* SPDX-License-Identifier: MIT */
/* What the probe makes of a /dev/kvm: fabricated ones, and the one that is here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/kvm.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/kvm/probe.h"

#define EXIT_NS  8000u
#define INSNS    202u /* of the test guest's loop */
#define RUN_SIZE 12288u

enum { FD_KVM = 100, FD_VM, FD_VCPU };

/* A host with a clock of its own, which only KVM_RUN moves. */
struct fake {
	unsigned long fails; /* this request ... */
	int err;             /* ... with this; or the open when fails is 0 */
	int version;
	unsigned insn_ns;
	unsigned preempt;        /* every run but each n-th takes 1 ms more; 0: none */
	uint32_t exit_reason;    /* 0: the guest's own */
	bool hangs, hangs_hard;  /* until the kick; until `free` */
	sem_t free;
	uint64_t clock;
	unsigned runs;
	atomic_int n_open, n_mapped;
	struct kvm_run *run;
	struct kvm_userspace_memory_region memory;
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	bool cpuid; /* the vCPU has one */
};

#define EFER_LME 0x100u
#define ENTRIES  40u /* of CPUID */

static int fake_open(void *opaque, const char *path)
{
	struct fake *f = opaque;

	assert_string_equal(path, "/dev/kvm");
	if (f->err && !f->fails)
		return f->err;
	f->n_open++;
	return FD_KVM;
}

static void fake_close(void *opaque, int fd)
{
	struct fake *f = opaque;

	assert_in_range(fd, FD_KVM, FD_VCPU);
	f->n_open--;
}

static void *fake_map(void *opaque, int fd, size_t len)
{
	struct fake *f = opaque;

	assert_int_equal(fd, FD_VCPU);
	assert_int_equal(len, RUN_SIZE);
	f->run = calloc(1, len);
	f->n_mapped++;
	return f->run;
}

static void fake_unmap(void *opaque, void *at, size_t len)
{
	struct fake *f = opaque;

	assert_ptr_equal(at, f->run);
	assert_int_equal(len, RUN_SIZE);
	free(at);
	f->n_mapped--;
}

static uint64_t fake_now(void *opaque)
{
	struct fake *f = opaque;

	return f->clock;
}

/* As a run that is interrupted: only the kick ends it, which the thread has blocked otherwise. */
static int hang(struct fake *f)
{
	sigset_t kick;

	if (f->hangs_hard) {
		sem_wait(&f->free);
		return -EINTR;
	}
	sigemptyset(&kick);
	sigaddset(&kick, SIGUSR1);
	sigwaitinfo(&kick, NULL);
	return -EINTR;
}

/* The guest writes to the two ports in turn, the first one first. */
static int fake_run(struct fake *f)
{
	bool loop = f->runs && f->runs % 2 == 0;

	if (f->hangs || f->hangs_hard)
		return hang(f);
	f->clock += EXIT_NS + (loop ? INSNS * f->insn_ns : 0);
	if (f->preempt && f->runs % f->preempt)
		f->clock += 1000000;
	f->run->exit_reason = f->exit_reason ? f->exit_reason : KVM_EXIT_IO;
	f->run->io.port = f->runs % 2 ? 0x81 : 0x80;
	f->runs++;
	return 0;
}

static int fake_ioctl(void *opaque, int fd, unsigned long request, void *arg)
{
	struct fake *f = opaque;

	if (f->err && f->fails == request)
		return f->err;
	switch (request) {
	case KVM_GET_API_VERSION:
		return f->version;
	case KVM_CREATE_VM:
		f->n_open++;
		return FD_VM;
	case KVM_SET_USER_MEMORY_REGION:
		assert_int_equal(fd, FD_VM);
		memcpy(&f->memory, arg, sizeof(f->memory));
		return 0;
	case KVM_GET_VCPU_MMAP_SIZE:
		return RUN_SIZE;
	case KVM_CREATE_VCPU:
		f->n_open++;
		return FD_VCPU;
	case KVM_GET_SUPPORTED_CPUID:
		assert_int_equal(fd, FD_KVM);
		if (((struct kvm_cpuid2 *)arg)->nent < ENTRIES)
			return -E2BIG;
		((struct kvm_cpuid2 *)arg)->nent = ENTRIES;
		return 0;
	case KVM_SET_CPUID2:
		assert_int_equal(fd, FD_VCPU);
		f->cpuid = ((struct kvm_cpuid2 *)arg)->nent == ENTRIES;
		return 0;
	case KVM_GET_SREGS:
		memset(arg, 0, sizeof(f->sregs));
		return 0;
	case KVM_SET_SREGS:
		memcpy(&f->sregs, arg, sizeof(f->sregs));
		/* As Linux 6.12 has it. */
		return f->sregs.efer & EFER_LME && !f->cpuid ? -EINVAL : 0;
	case KVM_SET_REGS:
		memcpy(&f->regs, arg, sizeof(f->regs));
		return 0;
	case KVM_SET_SIGNAL_MASK:
		return 0;
	case KVM_RUN:
		assert_int_equal(fd, FD_VCPU);
		return fake_run(f);
	default:
		return -ENOTTY;
	}
}

static struct fake fake;

static enum kvm_kind probe_with(struct kvm_probe *result)
{
	const struct kvm_probe_host host = {
		.open = fake_open,
		.close = fake_close,
		.ioctl = fake_ioctl,
		.map = fake_map,
		.unmap = fake_unmap,
		.now = fake_now,
		.opaque = &fake,
		.patience_ms = fake.hangs || fake.hangs_hard ? 50 : 10000,
	};

	return kvm_probe_kind_on(&host, result);
}

/* The probe's thread cleans up after it has answered. */
static void assert_all_closed(void)
{
	const struct timespec ms = { .tv_nsec = 1000000 };

	for (int i = 0; i < 10000 && (fake.n_open || fake.n_mapped); i++)
		nanosleep(&ms, NULL);
	assert_int_equal(fake.n_open, 0);
	assert_int_equal(fake.n_mapped, 0);
}

static int setup(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof(fake));
	fake.version = 12;
	sem_init(&fake.free, 0, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_all_closed();
	sem_destroy(&fake.free);
	return 0;
}

static void kinds_by_speed(void **state)
{
	static const struct {
		unsigned insn_ns, preempt;
		enum kvm_kind kind;
	} cases[] = {
		{ 0, 0, KVM_HARDWARE },  { 1, 0, KVM_HARDWARE },   { 49, 0, KVM_HARDWARE }, { 50, 0, KVM_SOFTWARE },
		{ 640, 0, KVM_SOFTWARE }, { 20000, 0, KVM_SOFTWARE },
		/* Most rounds of both kinds are interrupted for a millisecond. */
		{ 0, 5, KVM_HARDWARE },  { 640, 5, KVM_SOFTWARE },
	};
	struct kvm_probe result;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fake.insn_ns = cases[i].insn_ns;
		fake.preempt = cases[i].preempt;
		fake.runs = 0;
		assert_int_equal(probe_with(&result), cases[i].kind);
		assert_int_equal(result.kind, cases[i].kind);
		assert_int_equal(result.insn_ns, cases[i].insn_ns);
		assert_all_closed();
	}
	fake.insn_ns = 640;
	fake.preempt = fake.runs = 0;
	probe_with(&result);
	assert_string_equal(result.why, "/dev/kvm emulates ring 0: 640 ns an instruction");
}

static void a_slow_one_is_not_measured_for_long(void **state)
{
	struct kvm_probe result;

	(void)state;
	fake.insn_ns = 20000;
	assert_int_equal(probe_with(&result), KVM_SOFTWARE);
	assert_true(fake.clock < 30000000);
}

static void the_guest_is_in_64_bit_ring_0(void **state)
{
	struct kvm_probe result;

	(void)state;
	probe_with(&result);
	assert_int_equal(fake.memory.guest_phys_addr, 0);
	assert_true(fake.regs.rip < fake.memory.memory_size);
	assert_int_equal(fake.regs.rflags, 2);
	assert_int_equal(fake.sregs.cr0, 0x80000011);
	assert_int_equal(fake.sregs.efer, 0x500);
	assert_true(fake.sregs.cr3 < fake.memory.memory_size);
	assert_int_equal(fake.sregs.cs.dpl, 0);
	assert_int_equal(fake.sregs.cs.l, 1);
}

static void every_failure_has_its_reason(void **state)
{
	static const struct {
		unsigned long fails;
		int err;
		const char *why;
	} cases[] = {
		{ 0, -ENOENT, "there is no /dev/kvm" },
		{ 0, -ENODEV, "no driver" },
		{ 0, -EACCES, "no permission" },
		{ 0, -EPERM, "no permission" },
		{ 0, -EBUSY, "/dev/kvm is busy" },
		{ 0, -EMFILE, "cannot be opened" },
		{ KVM_GET_API_VERSION, -ENOTTY, "is not KVM" },
		{ KVM_CREATE_VM, -EBUSY, "another hypervisor" },
		{ KVM_CREATE_VM, -ENOMEM, "no VM" },
		{ KVM_SET_USER_MEMORY_REGION, -EINVAL, "no memory for a VM" },
		{ KVM_GET_VCPU_MMAP_SIZE, -ENOTTY, "no vCPU" },
		{ KVM_CREATE_VCPU, -EEXIST, "no vCPU" },
		{ KVM_GET_SUPPORTED_CPUID, -E2BIG, "no CPUID" },
		{ KVM_SET_CPUID2, -EINVAL, "no CPUID" },
		{ KVM_GET_SREGS, -ENOTTY, "64-bit ring 0" },
		{ KVM_SET_SREGS, -EINVAL, "64-bit ring 0" },
		{ KVM_SET_REGS, -EINVAL, "64-bit ring 0" },
		{ KVM_RUN, -EFAULT, "a vCPU does not run" },
	};
	struct kvm_probe result;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fake.fails = cases[i].fails;
		fake.err = cases[i].err;
		assert_int_equal(probe_with(&result), KVM_NONE);
		assert_non_null(strstr(result.why, cases[i].why));
		assert_all_closed();
	}
	fake.err = 0;
	fake.version = 11;
	assert_int_equal(probe_with(&result), KVM_NONE);
	assert_non_null(strstr(result.why, "API version 11, not 12"));
}

static void odd_exits(void **state)
{
	static const struct {
		uint32_t reason;
		enum kvm_kind kind;
		const char *why;
	} cases[] = {
		{ KVM_EXIT_INTERNAL_ERROR, KVM_SOFTWARE, "emulates ring 0" },
		{ KVM_EXIT_FAIL_ENTRY, KVM_NONE, "refuses to enter" },
		{ KVM_EXIT_SHUTDOWN, KVM_NONE, "reason 8" },
	};
	struct kvm_probe result;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fake.exit_reason = cases[i].reason;
		assert_int_equal(probe_with(&result), cases[i].kind);
		assert_non_null(strstr(result.why, cases[i].why));
		assert_all_closed();
	}
	/* The right kind of exit from the wrong place. */
	fake.exit_reason = 0;
	fake.runs = 1;
	assert_int_equal(probe_with(&result), KVM_NONE);
	assert_non_null(strstr(result.why, "lost its way"));
}

static void without_the_signal_mask_it_works_too(void **state)
{
	struct kvm_probe result;

	(void)state;
	fake.fails = KVM_SET_SIGNAL_MASK;
	fake.err = -ENOTTY;
	assert_int_equal(probe_with(&result), KVM_HARDWARE);
}

static void a_guest_that_does_not_come_back_is_kicked(void **state)
{
	struct kvm_probe result;

	(void)state;
	fake.hangs = true;
	assert_int_equal(probe_with(&result), KVM_NONE);
	assert_non_null(strstr(result.why, "did not come back in 50 ms"));
}

static void what_the_kick_does_not_bring_back_is_left_behind(void **state)
{
	struct kvm_probe result;

	(void)state;
	fake.hangs_hard = true;
	assert_int_equal(probe_with(&result), KVM_NONE);
	assert_non_null(strstr(result.why, "did not come back in 100 ms"));
	assert_int_equal(fake.n_open, 3);
	/* If it does come back one day, it cleans up. */
	sem_post(&fake.free);
	assert_all_closed();
}

static void the_kvm_that_is_here(void **state)
{
	struct timespec start, end;
	struct kvm_probe result;
	sigset_t before, after;

	(void)state;
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	clock_gettime(CLOCK_MONOTONIC, &start);
	assert_in_range(kvm_probe_kind(&result), KVM_NONE, KVM_HARDWARE);
	clock_gettime(CLOCK_MONOTONIC, &end);
	assert_true((end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1000000 < 1000);
	assert_string_not_equal(result.why, "");
	assert_null(strchr(result.why, '\n'));
	print_message("%s: %s\n", kvm_kind_name(result.kind), result.why);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	for (int sig = 1; sig < NSIG; sig++)
		assert_int_equal(sigismember(&before, sig), sigismember(&after, sig));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(kinds_by_speed),
		TEST(a_slow_one_is_not_measured_for_long),
		TEST(the_guest_is_in_64_bit_ring_0),
		TEST(every_failure_has_its_reason),
		TEST(odd_exits),
		TEST(without_the_signal_mask_it_works_too),
		TEST(a_guest_that_does_not_come_back_is_kicked),
		TEST(what_the_kick_does_not_bring_back_is_left_behind),
		TEST(the_kvm_that_is_here),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
