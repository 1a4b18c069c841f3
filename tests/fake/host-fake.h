/* SPDX-License-Identifier: MIT */
/*
 * A host for unit tests of device models and plugins: struct gamut_host over
 * plain buffers, with everything that was asked of it recorded in fields that
 * a test reads. Nothing runs by itself: time moves with host_fake_advance,
 * deferred work and descriptors with host_fake_run. Safe to call from several
 * threads where struct gamut_host says [any].
 *
 *     struct host_fake *f = host_fake_create(16 << 20, 1);
 *     thing_init(&thing, f->host, f->inst);
 *     ...
 *     host_fake_destroy(f);     fails the test's ASan run when things leak
 *
 * Guest virtual addresses are guest physical addresses.
 */
#ifndef HOST_FAKE_H
#define HOST_FAKE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "gamut/host.h"
#include "gamut/plugin.h"

#define HOST_FAKE_VCPUS 64
#define HOST_FAKE_HYPERCALLS 64
#define HOST_FAKE_ITEMS 128
/* Guest physical space goes on this far beyond RAM, as a hole. */
#define HOST_FAKE_SPARE (64ull << 20)

struct host_fake_vcpu {
	struct gamut_vcpu_state state;
	bool up;
	_Atomic bool blocked; /* vcpu_block, until vcpu_wake or irq_raise */
	_Atomic uint32_t wakes, irq_raises, nmis, unhalts;
	uint64_t times[4];
};

/* A leaf as set, or the two masks. */
struct host_fake_cpuid {
	uint32_t vcpu, leaf, subleaf;
	bool mask;
	uint32_t regs[4]; /* set: the values; mask: bits set */
	uint32_t clear[4];
};

struct host_fake_range {
	uint64_t base, len;
	const void *ops; /* struct gamut_io_ops or gamut_msr_ops */
	void *opaque;
};

struct host_fake_option {
	const char *name;
	int64_t number;
	const char *string; /* NULL: a number or bool */
};

struct host_fake_peer {
	const char *id;
	uint32_t revision, unit;
	const void *ops;
	void *self;
};

struct host_fake {
	const struct gamut_host *host; /* hand these two to the code under test */
	struct gamut_inst *inst;
	struct gamut_host table; /* a test may replace entries to make them fail */
	pthread_mutex_t lock;

	/* memory */
	uint8_t *ram;      /* gpa 0; ram_size bytes, then a hole */
	uint64_t ram_size, space;
	uint8_t *hole;     /* per page: nonzero when not RAM */
	uint8_t **over;    /* per page: host page mapped over it */
	uint8_t *rom;      /* per page: nonzero when that is ROM */
	uint32_t gets;     /* mem_get without mem_put */
	uint64_t dirtied;  /* bytes named to mem_dirty */
	struct gamut_page *pages; /* list of what page_alloc gave */

	/* identity */
	uint32_t domid, vcpus, unit;
	const char *name;
	uint8_t uuid[16];
	struct gamut_boot boot;
	struct host_fake_option options[HOST_FAKE_ITEMS];
	struct host_fake_peer peers[HOST_FAKE_ITEMS];
	uint32_t n_options, n_peers;

	/* what was registered */
	struct {
		gamut_hypercall_fn fn;
		void *opaque;
	} hypercalls[HOST_FAKE_HYPERCALLS];
	gamut_hypercall_fn hypercall_rest; /* hypercall_fallback */
	void *hypercall_rest_opaque;
	struct host_fake_range pio[HOST_FAKE_ITEMS], mmio[HOST_FAKE_ITEMS], msr[HOST_FAKE_ITEMS];
	struct host_fake_range rest[2]; /* bus_fallback, by enum gamut_space */
	struct host_fake_cpuid cpuid[HOST_FAKE_ITEMS];
	uint32_t n_pio, n_mmio, n_msr, n_cpuid;
	const struct gamut_irq_source *irq;
	void *irq_opaque;
	uint64_t (*cr8_read)(void *opaque, uint32_t vcpu);
	void (*cr8_write)(void *opaque, uint32_t vcpu, uint64_t value);
	void *cr8_opaque;
	gamut_halt_fn dead_halt;
	void *dead_halt_opaque;
	gamut_halt_fn shutdown;
	void *shutdown_opaque;

	struct host_fake_vcpu vcpu[HOST_FAKE_VCPUS];
	uint32_t current; /* what vcpu_current says */
	uint8_t hypercall_insn[3]; /* vmcall at first */

	/* time */
	_Atomic uint64_t now; /* ns; the guest's TSC ticks at 1 GHz */
	uint64_t tsc_base, ns_base;
	struct gamut_timer *timers;
	struct gamut_watch *watches;
	struct gamut_defer *defers;

	/* results */
	char last_log[256], last_fail[256];
	uint32_t logs[4], fails;
	struct {
		char name[64];
		uint64_t value;
	} counters[HOST_FAKE_ITEMS];
	uint32_t n_counters; /* signs among them */
	const char *needed[HOST_FAKE_ITEMS];
	uint32_t n_needed;
	int ended;           /* how, or -1 */
	uint32_t end_calls;
	gamut_defer_fn before_work; /* called before each piece of deferred work; may be NULL */
	void *before_work_opaque;

	/* console */
	char out[65536];
	uint32_t out_len, out_room; /* console_write takes out_room bytes at most; UINT32_MAX at first */
	char in[4096];
	uint32_t in_len;
	gamut_defer_fn on_input;
	void *on_input_opaque;
};

/* RAM of ram_size bytes (page multiple) at 0; vcpus up to HOST_FAKE_VCPUS. Ends the program when out of memory. */
struct host_fake *host_fake_create(uint64_t ram_size, uint32_t vcpus);
/* Frees it; returns how many timers, watches, defers, host pages and gotten pointers were left behind. */
uint32_t host_fake_destroy(struct host_fake *f);
/* Guest physical space goes on up to there, at least. */
void host_fake_grow(struct host_fake *f, uint64_t space);

/* A value for option_int, option_bool or, with string not NULL, option_string; given more than once, option_list. */
void host_fake_option(struct host_fake *f, const char *name, int64_t number, const char *string);
/* What lookup will find. */
void host_fake_give(struct host_fake *f, const char *id, uint32_t revision, const void *ops, void *self);
/* What needed says yes to; id must last. */
void host_fake_need(struct host_fake *f, const char *id);
/* The value of a counter or sign, 0 when there is none. */
uint64_t host_fake_counter(const struct host_fake *f, const char *name);
/* The leaf that was set for the vCPU (or for all), NULL when none. */
const struct host_fake_cpuid *host_fake_cpuid(const struct host_fake *f, uint32_t vcpu, uint32_t leaf,
                                              uint32_t subleaf);

/*
 * An access to a port or an address as the guest makes it: to the range that
 * holds it, else to the fallback, else all ones. Not split; widths are 1 to 8.
 */
uint64_t host_fake_in(struct host_fake *f, uint32_t space, uint64_t at, uint32_t width);
void host_fake_out(struct host_fake *f, uint32_t space, uint64_t at, uint32_t width, uint64_t value);
/* A register access; -EPERM where nobody has it. */
int host_fake_rdmsr(struct host_fake *f, uint32_t vcpu, uint32_t msr, uint64_t *value);
int host_fake_wrmsr(struct host_fake *f, uint32_t vcpu, uint32_t msr, uint64_t value);

/* Makes a hypercall as the guest kernel would; restarts are followed. -ENOSYS when nothing is registered. */
int64_t host_fake_hypercall(struct host_fake *f, struct gamut_hypercall *call);
/* The same in long mode on vCPU 0 with up to three arguments. */
int64_t host_fake_call(struct host_fake *f, uint32_t nr, uint64_t a, uint64_t b, uint64_t c);

/* Moves time on, running timers in order as it passes them. */
void host_fake_advance(struct host_fake *f, uint64_t ns);
/* Runs deferred work and descriptors that are ready until nothing is left to do. */
void host_fake_run(struct host_fake *f);
/* Types text at the console. */
void host_fake_type(struct host_fake *f, const void *buf, uint32_t len);

#endif
