/* SPDX-License-Identifier: MIT */
/*
 * vCPUs: one thread each. The thread enters the guest, dispatches the exit and
 * obeys the verdict; everything that somebody else wants of it arrives as a
 * bit in its attention word.
 *
 * Asking for attention: OR the bit in, then see what the vCPU is doing. In the
 * guest: the engine is asked to come out. Asleep: the attention word is also
 * the futex that it sleeps on. Otherwise it looks by itself before it enters
 * or sleeps. Both sides are sequentially consistent (bit, then mode; mode, then
 * bit), so that one of them always sees the other.
 *
 * Pausing is a rendezvous: every vCPU thread parks until it is let go. An
 * ended domain is a paused one, too, until the control thread has decided what
 * becomes of it.
 *
 * State for a vCPU that is down (INIT and start-up messages, VCPUOP_initialise)
 * comes from another vCPU's thread, which may hold a lock that a handler of
 * this one wants. So nobody waits: once the thread has seen that it is down, or
 * has not run yet (offline), the other one sets the state itself; else it leaves
 * it in `pending`, and the thread takes it before it enters the guest again.
 */
#ifndef VCPU_H
#define VCPU_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "bus.h"
#include "clock.h"
#include "engine/engine.h"
#include "exit.h"
#include "log.h"

#define CACHE_LINE 64

enum vcpu_mode { VCPU_OUTSIDE, VCPU_IN_GUEST, VCPU_ASLEEP };

/* Order of host->vcpu_times. */
enum vcpu_time { VCPU_RUNNING, VCPU_RUNNABLE, VCPU_BLOCKED, VCPU_OFFLINE, VCPU_TIMES };

struct vcpus;

struct vcpu {
	_Alignas(CACHE_LINE) _Atomic uint32_t attention;
	_Atomic uint32_t mode; /* enum vcpu_mode */
	atomic_bool up;
	atomic_bool unhalt; /* the HLT that is under way, or the next, ends at once */

	/* The thread's own from here on. */
	_Alignas(CACHE_LINE) struct vcpus *set;
	struct engine_vcpu_env env; /* lives as long as the engine's half: it may keep the pointer */
	struct engine_vcpu *engine;
	struct bus_cache cache;
	uint32_t index;
	uint32_t idle_mask; /* ATTN_* that end the sleep a handler asked for */
	pthread_mutex_t state_lock; /* offline, pending */
	bool offline;
	bool has_pending;
	struct gamut_vcpu_state pending;
	bool block;         /* vcpu_block was called in a handler */
	struct vcpu_exit exit;
	struct exit_counters counters;

	pthread_t thread;
	bool started;
	_Atomic int tid;

	pthread_mutex_t times_lock;
	enum vcpu_time state; /* what its time goes to now */
	uint64_t since;       /* domain time */
	uint64_t ns[VCPU_TIMES];
};

/* The vCPUs of a domain, and what they share. */
struct vcpus {
	const struct engine_ops *ops;
	struct engine_vm *vm;
	const struct bus *bus;
	const struct clock *clock;
	struct log *log; /* may be NULL */
	struct log_limit unclaimed;
	const struct gamut_irq_source *irq; /* NULL: none */
	void *irq_opaque;
	bool irqchip; /* the engine has the interrupt controllers: it starts, halts and wakes vCPUs by itself */
	bool cr8_outside; /* CR8 is the controller's, by these */
	uint64_t (*cr8_read)(void *opaque, uint32_t vcpu);
	void (*cr8_write)(void *opaque, uint32_t vcpu, uint64_t value);
	void *cr8_opaque;
	const struct gamut_pv_guest *pv; /* the monitor of a guest in ring 3; NULL: none */
	void *pv_opaque;
	uint32_t pv_owner; /* bus_owner.index of its instance */
	gamut_halt_fn dead_halt; /* NULL: only an NMI ends such a halt */
	void *dead_halt_opaque;
	gamut_halt_fn shutdown; /* NULL: a triple fault is a crash */
	void *shutdown_opaque;

	/* Called once per ending, from any thread, with the vCPUs asked to pause. */
	void (*on_end)(void *opaque, int how, const char *why);
	void *on_end_opaque;

	struct vcpu **vcpu;
	uint32_t n;
	uint32_t n_owners; /* of the bus, for the counters */

	atomic_bool throttled; /* over its cap: nobody enters the guest */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool paused;       /* under lock */
	uint32_t n_parked; /* under lock */
};

/*
 * Makes n vCPUs with their engine halves, vCPU 0 up; no thread yet, paused.
 * ops, vm, bus, clock and the callbacks are set before. 0 or -errno with a line
 * in err, and then nothing is left to finish. [control]
 */
int vcpus_init(struct vcpus *set, uint32_t n, char *err, unsigned err_len);
void vcpus_finish(struct vcpus *set);
/* Room for counters of n owners; before the threads start. 0 or -ENOMEM. [control] */
int vcpus_set_owners(struct vcpus *set, uint32_t n);

/* The engine has interrupt controllers from now on: all vCPUs are up, and wait in it. Before they start. [control] */
void vcpus_irqchip(struct vcpus *set);
/* Starts the threads, parked. 0 or -errno, and then none runs. [control] */
int vcpus_start(struct vcpus *set);
/* Ends and joins the threads. [control] */
void vcpus_stop(struct vcpus *set);
/* Asks all to park, without waiting. [any] */
void vcpus_pause_request(struct vcpus *set);
/* On return every thread is parked. [control] */
void vcpus_pause(struct vcpus *set);
void vcpus_resume(struct vcpus *set);
/* Guest reset: power-on state, vCPU 0 up, attention cleared. While paused. [control] */
void vcpus_reset(struct vcpus *set);
/* Stops or lets go all vCPUs for a cap. [io] */
void vcpus_throttle(struct vcpus *set, bool on);
/* The domain has ended: asks all to park and calls on_end with the text. [any] */
void vcpus_ended(struct vcpus *set, int how, const char *fmt, ...) GAMUT_PRINTF(3, 4);

/* ORs attention bits in and sees to it that they are noticed. [any] */
void vcpu_attend(struct vcpu *v, uint32_t bits);
/* Another NMI for it. [any] */
void vcpu_nmi(struct vcpu *v);
/* Ends the HLT that is under way, or the next. [any] */
void vcpu_unhalt(struct vcpu *v);
/* See host.h. */
void vcpu_set_up(struct vcpu *v, bool up);
/* For a vCPU whose thread is another: -EBUSY while it is up. [vcpu] */
int vcpu_set_state(struct vcpu *v, const struct gamut_vcpu_state *state);
void vcpu_times(struct vcpu *v, uint64_t ns[VCPU_TIMES]);

#endif
