/* SPDX-License-Identifier: MIT */
/*
 * Telling hardware KVM from software KVM by measuring.
 *
 * The interface does not say. Where a cloud offers /dev/kvm without hardware
 * virtualization behind it, ioctls and capabilities look the same, but every
 * instruction in ring 0 is emulated, hundreds of times slower than natively,
 * and a stock kernel does not come up at all. What tells the two apart is
 * time, so a guest of four pages runs this in 64-bit ring 0:
 *
 *	A:   out %al, $0x80
 *	B:   out %al, $0x81
 *	     mov $100, %ecx
 *	1:   dec %ecx
 *	     jnz 1b
 *	     jmp A
 *
 * From A to B is an exit and nothing else; from B to A the same exit and 202
 * instructions more. The difference of the two is the instructions' own time,
 * whatever an exit costs, and an exit may cost more than everything else when
 * virtualization is nested. Each is the minimum of several rounds: a round that
 * was interrupted is longer, never shorter.
 *
 * Hardware runs such instructions in a nanosecond or less, emulation in several
 * hundred: the limit lies far from both.
 *
 * A KVM that never comes back must not hang the command. The guest runs on a
 * thread of its own, which blocks every signal except, inside KVM_RUN, the one
 * that kicks it (KVM_SET_SIGNAL_MASK: the run ends with EINTR, and no handler
 * is needed). A thread that the kick does not bring back is left behind with
 * all it holds. Also in the good case nobody waits for it to close its VM,
 * which may take the kernel longer than the whole measurement.
 */
#include "engine/kvm/probe.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "gamut/abi.h"

#define API_VERSION 12 /* of KVM, since 2007 */
#define KICK        SIGUSR1

#define TURNS      100u
#define INSNS      (2 * TURNS + 2) /* that B to A has more than A to B */
#define LIMIT_NS   50u             /* an instruction: below is hardware */
#define ROUNDS     8u
#define ROUNDS_MIN 3u
#define ENOUGH_NS  20000000u /* then ROUNDS_MIN will do */

#define CPUID_MAX 512u /* entries; a processor has fewer than a hundred */

#define PORT_A 0x80
#define PORT_B 0x81

#define PAGE     4096u
#define PML4     (0 * PAGE)
#define PDPT     (1 * PAGE)
#define PD       (2 * PAGE)
#define CODE     (3 * PAGE)
#define MEM_SIZE (4 * PAGE)

static const uint8_t code[] = {
	0xe6, PORT_A,             /* out */
	0xe6, PORT_B,             /* out */
	0xb9, TURNS, 0x00, 0, 0,  /* mov */
	0xff, 0xc9,               /* dec */
	0x75, 0xfc,               /* jnz */
	0xeb, 0xf1,               /* jmp */
};

/* Shared by the caller and the thread; whoever is last frees it. */
struct probing {
	struct kvm_probe_host host;
	struct kvm_probe result;
	int kvm, vm, vcpu; /* -1: not open */
	uint8_t *memory;   /* guest physical 0 to MEM_SIZE; NULL */
	struct kvm_run *run;
	size_t run_size;
	atomic_bool kicked;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool done;      /* under lock: result is complete */
	unsigned users; /* under lock */
};

/* ---- answers ------------------------------------------------------------------------- */

static int answer(struct probing *p, enum kvm_kind kind, const char *fmt, ...) GAMUT_PRINTF(3, 4);

/* Returns -1, for the steps below: there is nothing more to do. */
static int answer(struct probing *p, enum kvm_kind kind, const char *fmt, ...)
{
	va_list args;

	p->result.kind = kind;
	va_start(args, fmt);
	vsnprintf(p->result.why, sizeof(p->result.why), fmt, args);
	va_end(args);
	return -1;
}

static int failed(struct probing *p, const char *what, int err)
{
	return answer(p, KVM_NONE, "/dev/kvm does not work: %s: %s", what, strerror(-err));
}

static const char *hardware_name(void)
{
	unsigned a, b, c = 0, d;

	if (__get_cpuid(1, &a, &b, &c, &d) && (c & 1u << 5))
		return "kvm on Intel VMX";
	if (__get_cpuid(0x80000001, &a, &b, &c, &d) && (c & 1u << 2))
		return "kvm on AMD SVM";
	return "kvm, which runs ring 0 natively";
}

/* ---- a VM ------------------------------------------------------------------------------ */

static int control(struct probing *p, int fd, unsigned long request, void *arg)
{
	return p->host.ioctl(p->host.opaque, fd, request, arg);
}

static int open_device(struct probing *p)
{
	static const struct {
		int err;
		const char *why;
	} whys[] = {
		{ ENOENT, "there is no /dev/kvm" },
		{ ENODEV, "/dev/kvm has no driver behind it" },
		{ ENXIO, "/dev/kvm has no driver behind it" },
		{ EACCES, "no permission for /dev/kvm" },
		{ EPERM, "no permission for /dev/kvm" },
		{ EBUSY, "/dev/kvm is busy" },
	};

	p->kvm = p->host.open(p->host.opaque, "/dev/kvm");
	if (p->kvm >= 0)
		return 0;
	for (size_t i = 0; i < sizeof(whys) / sizeof(whys[0]); i++) {
		if (whys[i].err == -p->kvm)
			return answer(p, KVM_NONE, "%s", whys[i].why);
	}
	return answer(p, KVM_NONE, "/dev/kvm cannot be opened: %s", strerror(-p->kvm));
}

static int check_version(struct probing *p)
{
	int version = control(p, p->kvm, KVM_GET_API_VERSION, NULL);

	if (version == API_VERSION)
		return 0;
	if (version < 0)
		return answer(p, KVM_NONE, "/dev/kvm is not KVM: %s", strerror(-version));
	return answer(p, KVM_NONE, "/dev/kvm has API version %d, not %d", version, API_VERSION);
}

static int create_vm(struct probing *p)
{
	p->vm = control(p, p->kvm, KVM_CREATE_VM, NULL);
	if (p->vm >= 0)
		return 0;
	if (p->vm == -EBUSY)
		return answer(p, KVM_NONE, "another hypervisor holds the processor's virtualization");
	return failed(p, "no VM", p->vm);
}

/* The first 2 MiB are mapped where they are, by one entry of each of three tables. */
static void fill_memory(uint8_t *memory)
{
	const uint64_t present_write = 3, large = 0x80;
	const struct {
		uint32_t at;
		uint64_t entry;
	} entries[] = { { PML4, PDPT | present_write }, { PDPT, PD | present_write }, { PD, present_write | large } };

	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
		memcpy(memory + entries[i].at, &entries[i].entry, sizeof(entries[i].entry));
	memcpy(memory + CODE, code, sizeof(code));
}

static int give_memory(struct probing *p)
{
	struct kvm_userspace_memory_region region = { .memory_size = MEM_SIZE };
	void *memory = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int err;

	if (memory == MAP_FAILED)
		return failed(p, "no memory", -errno);
	p->memory = memory;
	fill_memory(p->memory);
	region.userspace_addr = (uintptr_t)p->memory;
	err = control(p, p->vm, KVM_SET_USER_MEMORY_REGION, &region);
	return err < 0 ? failed(p, "no memory for a VM", err) : 0;
}

static int create_vcpu(struct probing *p)
{
	int size = control(p, p->kvm, KVM_GET_VCPU_MMAP_SIZE, NULL);

	if (size < 0 || (size_t)size < sizeof(struct kvm_run))
		return failed(p, "no vCPU", size < 0 ? size : -EINVAL);
	p->vcpu = control(p, p->vm, KVM_CREATE_VCPU, NULL);
	if (p->vcpu < 0)
		return failed(p, "no vCPU", p->vcpu);
	p->run = p->host.map(p->host.opaque, p->vcpu, (size_t)size);
	p->run_size = (size_t)size;
	return p->run ? 0 : failed(p, "the vCPU cannot be mapped", -ENOMEM);
}

/* Later kernels take long mode only from a vCPU whose CPUID has it. */
static int give_cpuid(struct probing *p)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + CPUID_MAX * sizeof(cpuid->entries[0]));
	int err;

	if (!cpuid)
		return failed(p, "no CPUID", -ENOMEM);
	cpuid->nent = CPUID_MAX;
	err = control(p, p->kvm, KVM_GET_SUPPORTED_CPUID, cpuid);
	if (err >= 0)
		err = control(p, p->vcpu, KVM_SET_CPUID2, cpuid);
	free(cpuid);
	return err < 0 ? failed(p, "no CPUID", err) : 0;
}

/* 64-bit ring 0 at CODE, interrupts off. */
static int set_state(struct probing *p)
{
	const struct kvm_segment cs = { .limit = ~0u, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1 };
	const struct kvm_segment ds = { .limit = ~0u, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1 };
	struct kvm_regs regs = { .rip = CODE, .rflags = 2 };
	struct kvm_sregs sregs;
	int err = control(p, p->vcpu, KVM_GET_SREGS, &sregs);

	if (err >= 0) {
		sregs.cr0 = 0x80000011; /* PG ET PE */
		sregs.cr3 = PML4;
		sregs.cr4 = 0x20;   /* PAE */
		sregs.efer = 0x500; /* LMA LME */
		sregs.cs = cs;
		sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = ds;
		err = control(p, p->vcpu, KVM_SET_SREGS, &sregs);
	}
	if (err >= 0)
		err = control(p, p->vcpu, KVM_SET_REGS, &regs);
	return err < 0 ? failed(p, "a vCPU does not take 64-bit ring 0", err) : 0;
}

/* While the vCPU runs, only the kick is not blocked. Without it, a run that hangs is left behind. */
static int let_kick_in(struct probing *p)
{
	union {
		struct kvm_signal_mask mask;
		uint8_t bytes[sizeof(struct kvm_signal_mask) + sizeof(uint64_t)];
	} u = { 0 };
	const uint64_t blocked = ~(1ull << (KICK - 1));

	u.mask.len = sizeof(blocked);
	memcpy(u.mask.sigset, &blocked, sizeof(blocked));
	control(p, p->vcpu, KVM_SET_SIGNAL_MASK, &u);
	return 0;
}

/* ---- the measurement ---------------------------------------------------------------------- */

/* Why a run came back, when it did not do so by `port`. */
static int odd_exit(struct probing *p)
{
	switch (p->run->exit_reason) {
	case KVM_EXIT_IO:
		return answer(p, KVM_NONE, "/dev/kvm does not work: the test guest lost its way");
	case KVM_EXIT_INTERNAL_ERROR:
		return answer(p, KVM_SOFTWARE, "/dev/kvm emulates ring 0, and not all of it");
	case KVM_EXIT_FAIL_ENTRY:
		return answer(p, KVM_NONE, "/dev/kvm does not work: the processor refuses to enter a guest");
	default:
		return answer(p, KVM_NONE, "/dev/kvm does not work: the test guest stopped for reason %u",
		              p->run->exit_reason);
	}
}

/* Runs to the next `out`; *ns is how long that took. */
static int run_to(struct probing *p, uint16_t port, uint64_t *ns)
{
	for (;;) {
		uint64_t start = p->host.now(p->host.opaque);
		int err = control(p, p->vcpu, KVM_RUN, NULL);

		*ns = p->host.now(p->host.opaque) - start;
		if (atomic_load(&p->kicked))
			return answer(p, KVM_NONE, "/dev/kvm does not work: its guest did not come back in %u ms",
			              p->host.patience_ms);
		if (err == -EINTR)
			continue; /* stopped and continued by a job control shell or a debugger */
		if (err < 0)
			return failed(p, "a vCPU does not run", err);
		return p->run->exit_reason == KVM_EXIT_IO && p->run->io.port == port ? 0 : odd_exit(p);
	}
}

static void judge(struct probing *p, uint64_t bare, uint64_t loop)
{
	uint64_t ns = loop > bare ? (loop - bare) / INSNS : 0;

	p->result.insn_ns = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
	if (ns < LIMIT_NS)
		answer(p, KVM_HARDWARE, "%s", hardware_name());
	else
		answer(p, KVM_SOFTWARE, "/dev/kvm emulates ring 0: %llu ns an instruction", (unsigned long long)ns);
}

static int measure(struct probing *p)
{
	uint64_t bare = UINT64_MAX, loop = UINT64_MAX, begin = p->host.now(p->host.opaque), ns;

	if (run_to(p, PORT_A, &ns))
		return -1;
	for (unsigned i = 0; i < ROUNDS; i++) {
		if (i >= ROUNDS_MIN && p->host.now(p->host.opaque) - begin > ENOUGH_NS)
			break;
		if (run_to(p, PORT_B, &ns))
			return -1;
		bare = ns < bare ? ns : bare;
		if (run_to(p, PORT_A, &ns))
			return -1;
		loop = ns < loop ? ns : loop;
	}
	judge(p, bare, loop);
	return 0;
}

/* ---- the thread --------------------------------------------------------------------------- */

static void probing_put(struct probing *p)
{
	unsigned left;

	pthread_mutex_lock(&p->lock);
	left = --p->users;
	pthread_mutex_unlock(&p->lock);
	if (left)
		return;
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static void clean_up(struct probing *p)
{
	if (p->run)
		p->host.unmap(p->host.opaque, p->run, p->run_size);
	if (p->vcpu >= 0)
		p->host.close(p->host.opaque, p->vcpu);
	if (p->vm >= 0)
		p->host.close(p->host.opaque, p->vm);
	if (p->kvm >= 0)
		p->host.close(p->host.opaque, p->kvm);
	if (p->memory)
		munmap(p->memory, MEM_SIZE);
}

static void *probing_main(void *opaque)
{
	static int (*const steps[])(struct probing *p) = {
		open_device, check_version, create_vm, give_memory, create_vcpu, give_cpuid, set_state, let_kick_in, measure,
	};
	struct probing *p = opaque;

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		if (steps[i](p))
			break;
	}
	pthread_mutex_lock(&p->lock);
	p->done = true;
	pthread_cond_signal(&p->changed);
	pthread_mutex_unlock(&p->lock);
	clean_up(p);
	probing_put(p);
	return NULL;
}

/* ---- the caller ------------------------------------------------------------------------------ */

static struct probing *probing_create(const struct kvm_probe_host *host)
{
	struct probing *p = calloc(1, sizeof(*p));
	pthread_condattr_t attr;

	if (!p)
		return NULL;
	p->host = *host;
	p->kvm = p->vm = p->vcpu = -1;
	p->users = 2;
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->changed, &attr);
	pthread_condattr_destroy(&attr);
	return p;
}

/* With every signal blocked in it: they are for the command's own threads. */
static int start(struct probing *p, pthread_t *thread)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(thread, NULL, probing_main, p);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return err;
}

/* Whether it was done in time. Under p->lock. */
static bool wait_done(struct probing *p)
{
	struct timespec end;
	int err = 0;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += p->host.patience_ms / 1000;
	end.tv_nsec += (long)(p->host.patience_ms % 1000) * 1000000;
	if (end.tv_nsec >= 1000000000) {
		end.tv_sec++;
		end.tv_nsec -= 1000000000;
	}
	while (!p->done && !err)
		err = pthread_cond_timedwait(&p->changed, &p->lock, &end);
	return p->done;
}

/* The result, from the thread or, when that one is lost, in its stead. */
static void await(struct probing *p, pthread_t thread, struct kvm_probe *result)
{
	bool done;

	pthread_mutex_lock(&p->lock);
	done = wait_done(p);
	if (!done) {
		/* Not done, so it holds its share of p and has not ended: the id is good. */
		atomic_store(&p->kicked, true);
		pthread_kill(thread, KICK);
		done = wait_done(p);
	}
	if (done)
		*result = p->result;
	else
		snprintf(result->why, sizeof(result->why), "/dev/kvm does not work: it did not come back in %u ms",
		         2 * p->host.patience_ms);
	pthread_mutex_unlock(&p->lock);
	pthread_detach(thread);
}

enum kvm_kind kvm_probe_kind_on(const struct kvm_probe_host *host, struct kvm_probe *result)
{
	struct probing *p = probing_create(host);
	pthread_t thread;

	*result = (struct kvm_probe){ .kind = KVM_NONE, .why = "no memory or thread to try /dev/kvm with" };
	if (!p)
		return KVM_NONE;
	if (start(p, &thread))
		probing_put(p); /* the thread's share */
	else
		await(p, thread, result);
	probing_put(p);
	return result->kind;
}

/* ---- the real host ------------------------------------------------------------------------------ */

static int real_open(void *opaque, const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	(void)opaque;
	return fd < 0 ? -errno : fd;
}

static void real_close(void *opaque, int fd)
{
	(void)opaque;
	close(fd);
}

static int real_ioctl(void *opaque, int fd, unsigned long request, void *arg)
{
	int rc = ioctl(fd, request, arg);

	(void)opaque;
	return rc < 0 ? -errno : rc;
}

static void *real_map(void *opaque, int fd, size_t len)
{
	void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	(void)opaque;
	return at == MAP_FAILED ? NULL : at;
}

static void real_unmap(void *opaque, void *at, size_t len)
{
	(void)opaque;
	munmap(at, len);
}

static uint64_t real_now(void *opaque)
{
	struct timespec ts;

	(void)opaque;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

enum kvm_kind kvm_probe_kind(struct kvm_probe *result)
{
	static const struct kvm_probe_host host = {
		.open = real_open,
		.close = real_close,
		.ioctl = real_ioctl,
		.map = real_map,
		.unmap = real_unmap,
		.now = real_now,
		.patience_ms = 2000, /* a busy host may not get to it sooner */
	};

	return kvm_probe_kind_on(&host, result);
}

const char *kvm_kind_name(enum kvm_kind kind)
{
	static const char *const names[] = { "none", "software", "hardware" };

	return names[kind];
}
