/* SPDX-License-Identifier: MIT */
/*
 * The probe guest: a guest of our own, of PVH, PV or a PC by the entry that it
 * is started at, that checks every interface its mode has and measures it. It prints TAP
 * and the lines of core/bench/README.md (workload "probe"), then powers off, or
 * reports a crash when a check failed.
 *
 * Words of its command line:
 *   measure        measurements only, no checks: under a second on engine bt
 *   ipi            interrupts between two processors alone, no checks
 *   timer          the timer's interrupts alone, thousands of them, no checks
 *   quick          checks only, no measurements; with those that measure, fewer samples of everything
 *   write          write to the disk as well
 *   peer=ADDRESS   who answers echoes: 10.0.2.2 otherwise
 *   address=ADDRESS  the guest's own: 10.0.2.15 otherwise
 *   trace=NR       pv-hypercalls prints what it calls of this number
 *   tcg            the machine is QEMU's TCG: leave out what it lets pass
 *   lean           the machine is a KVM in software, whose emulator knows few instructions of ring 0: leave out the rest
 *   console=none   the domain has no console
 *   shim           the hypervisor is xen-shim: leave out what it cannot
 *   hostile=NAME   instead of the checks, misbehave so (hostile.c and
 *                  hostile-pv.c have the lists)
 *
 * One vCPU but for what is checked and measured of two, no interrupts but while waiting for one,
 * memory mapped one to one (but for frame numbers, which a PV guest looks up:
 * frame_of).
 * Started by Multiboot it is on a PC, whose parts it checks (pc.h). Without Xen
 * it prints to COM1 and port 0xe9.
 */
#ifndef PROBE_H
#define PROBE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define __XEN_INTERFACE_VERSION__ 0x00040d00
#include <xen/xen.h>
#include <xen/arch-x86/hvm/start_info.h>
#include <xen/event_channel.h>
#include <xen/features.h>
#include <xen/grant_table.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>

#define PAGE_BYTES 4096u
#define PAGE_ALIGNED __attribute__((aligned(4096)))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define NS_PER_MS 1000000ull
#define UPCALL_VECTOR 0xf3
#define USER_VECTOR 0x80

/* A compiler barrier: rings are shared with a processor that is not ours. */
#define barrier() __asm__ volatile("" ::: "memory")

/* What an expected or fatal trap looked like. */
struct caught {
	uint64_t resume; /* nonzero: a trap is expected, and execution goes on here */
	int vector;      /* -1: there was none */
	uint64_t error, rip, cr2;
};

struct frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rdx, rcx, rbx, rax;
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

/* All that the probe remembers. */
struct probe {
	const struct hvm_start_info *start;
	const char *cmdline;
	bool quick, measure, timer, ipi, write, shim, lean, no_console;
	bool pv; /* started at the PV entry */
	bool pc; /* started by Multiboot */

	struct caught trap;
	struct frame frame;        /* of the last trap that was no event */
	struct frame upcall_frame; /* of the last event */
	uint32_t nmis;
	bool shrug;                /* a debug trap that nobody expects is not the end */

	/* TAP */
	unsigned checks, failed;

	/* Xen; xen_base is 0 without it */
	uint32_t xen_base;
	long (*hypercall)(unsigned nr, ...);
	bool amd;
	struct shared_info *shared;
	struct vcpu_info *vcpu;
	bool clock; /* clock_ns is in ns */
	bool xen_clock; /* and is Xen's system time */
	bool by_line; /* on a PC whose Xen has no upcalls by vector, nor PV time: by an interrupt line */
	uint32_t upcalls;
	uint32_t events[64]; /* upcalls seen by port, for the first ports */
	void (*on_event)(uint32_t port);
	void (*on_interrupt)(uint8_t vector); /* of a PC */
	bool (*on_user_trap)(struct frame *f); /* true: go on in user mode */
	void (*on_fatal)(void); /* beside the report of a trap that nobody expects */

	uint32_t console_port, store_port;
	struct xencons_interface *console;
	struct xenstore_domain_interface *store;
	struct grant_entry_v1 *grants;
};

extern struct probe probe;
extern char image_start[], image_end[];
extern uint8_t hypercall_page[PAGE_BYTES];
extern const bool probe_wants_hypercall_page; /* a note of the PV entry */
extern uint64_t gdt[8];

/* ---- lib.c ---- */
void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
bool has_prefix(const char *s, const char *prefix);
/* The rest of the word of the command line that starts with `name`; NULL when there is none. */
const char *cmdline_word(const char *name);
uint64_t parse_uint(const char *s);
/* %s %c %d %u %x with l or ll, and a width, zero-filled when it begins with 0. Always terminates. */
size_t format_to(char *buf, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void vprint(const char *fmt, va_list ap);
/* Whether n sectors have what make-disk wrote: "sector NNNNNNNN\n" all over, their own numbers. */
bool names_sectors(const void *data, uint64_t first, unsigned n);
/* A fixed sequence: a failure must repeat itself. */
uint64_t random_next(uint64_t *state);
void sort(uint64_t *v, unsigned n); /* ascending */

/* ---- main.c ---- */
/* One TAP line; returns ok. */
bool check(bool ok, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void skip(const char *name, const char *why);
_Noreturn void probe_start(const void *info, uint32_t magic);
_Noreturn void probe_main_pv(const struct start_info *start);
_Noreturn void probe_end(unsigned reason); /* SHUTDOWN_* */

/* ---- cpu.c ---- */
void cpu_init(void);
void idt_load(void); /* on another vCPU */
void trap(struct frame *f);
/* Runs code in ring 3, rbx = arg; ends with int $0x80, whose rax is the result, or a trap (~0). */
uint64_t user_run(void (*code)(void), uint64_t arg);
uint64_t user_run_native(void (*code)(void), uint64_t arg);
_Noreturn void user_leave(uint64_t result);
void user_syscalls(void); /* rbx of them */
void user_faults(void); /* rbx of them, each an instruction of USER_FAULT_BYTES; the result is how many are left */
#define USER_FAULT_BYTES 3
void user_vmcall(void);
void user_cli(void);
void user_vectors(void); /* rbx: four numbers, which are doubled behind them */
void check_cpu(void);
/* That the last TRAPS, which returned trapped, was of this kind. */
void check_trap(const char *name, bool trapped, int vector, uint64_t error);

/*
 * Runs one instruction (operands as for asm; rax is used) and says whether it
 * trapped; probe.trap holds how.
 */
#define TRAPS(instruction, ...)                                                                          \
	({                                                                                               \
		probe.trap.vector = -1;                                                                  \
		__asm__ volatile("leaq 1f(%%rip), %%rax\n\tmovq %%rax, %[resume]\n\t" instruction        \
		                 "\n1:\tmovq $0, %[resume]"                                              \
		                 : [resume] "=m"(probe.trap.resume)                                      \
		                 : __VA_ARGS__                                                           \
		                 : "rax", "rcx", "rdx", "memory");                                       \
		probe.trap.vector >= 0;                                                                  \
	})

static inline void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
	if (probe.pv)
		__asm__ volatile(XEN_CPUID : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(subleaf));
	else
		__asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(subleaf));
}

static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi)::"memory");
	return (uint64_t)hi << 32 | lo;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static inline void outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
	return (uint64_t)hi << 32 | lo;
}

/* ---- xen.c ---- */
long hypercall_vmcall(unsigned nr, ...);
long hypercall_vmmcall(unsigned nr, ...);
long hypercall_by_page(unsigned nr, ...);
/* Arguments are widened here, so that no call passes garbage in an upper half. */
#define HYPERCALL2(nr, a, b) probe.hypercall(nr, (uint64_t)(a), (uint64_t)(b), 0ull, 0ull, 0ull)
#define HYPERCALL3(nr, a, b, c) probe.hypercall(nr, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), 0ull, 0ull)

bool xen_init(void);
bool vendor_is_amd(void);
bool hvm_param_get(uint32_t index, uint64_t *value);
/* Puts a page of the hypervisor's at a page of ours. */
long physmap_add(unsigned space, unsigned long index, const void *page);
void check_xen(void);

/* The number by which the hypervisor knows the frame of a page of the image. (pv.c) */
uint64_t frame_of(const void *p);

/* ---- events.c ---- */
/* Interrupts, or the event mask of a PV guest, of this vCPU. Taken when they go on: what is pending. */
void irq_on(void);
void irq_off(void);
void irq_wait(void); /* on, until one came, and off */
bool events_init(void);
/* Routes events to this processor by an interrupt line: what a guest does that has no upcalls by vector. */
bool events_by_line(void);
void event_upcall(void);
long event_op(int op, void *arg);
void event_send(uint32_t port);
/* Allocates a port for the back end (domain 0) to bind, masked; 0 on failure. */
uint32_t event_alloc(void);
void event_mask(uint32_t port, bool masked);
/* Waits until a masked port is pending, and clears it; false at the deadline (system time, ns). */
bool event_wait(uint32_t port, uint64_t deadline);
/* Takes upcalls until probe.events[port] is at least count; false at the deadline. */
bool event_take(uint32_t port, uint32_t count, uint64_t deadline);
void check_events(void);

/* ---- time.c ---- */
uint64_t pvclock_ns(const volatile struct vcpu_time_info *shared);
uint64_t pvclock_scale(uint64_t ticks, const struct vcpu_time_info *t); /* to ns */
uint64_t clock_ns(void); /* system time; TSC ticks without a clock */
uint64_t clock_ns_per_tsc_32(void); /* 2^32 times the ns in a tick of the TSC; 0 without a clock */
/* How late, in ns, a timer set 1 ms ahead is seen after hlt; ~0 when it did not come. */
uint64_t timer_lateness(void);
uint32_t timer_port_get(void); /* bound and unmasked; 0 on failure */
long timer_shot(uint64_t due);
void check_time(void);

/* ---- console.c ---- */
void console_init(void);
void console_write(const char *s, size_t n);
void check_console(void);

/* ---- store.c ---- */
void store_init(void);
/* The payload in buf, NUL-terminated; its length, or -errno as the store names it. */
int store_request(uint32_t type, const void *payload, uint32_t len, char *buf, uint32_t size);
int store_read(const char *path, char *buf, uint32_t size);
int store_write(const char *path, const char *value);
uint64_t store_read_uint(const char *path, uint64_t otherwise);
void check_store(void);

/* ---- grant.c ---- */
bool grant_init(void);
/* Grants a page to domain 0; 0 when none is left. */
uint32_t grant_page(const void *page, bool readonly);
void grant_end(uint32_t ref);
void check_grants(void);

/* ---- xenbus.c ---- */
struct xenbus_front {
	char front[64], back[128]; /* directories in the store */
};
/* The first device of a class, "device/vbd"; false when there is none. */
bool xenbus_find(struct xenbus_front *x, const char *class);
/* Waits for a state of the back end's, XenbusState*; false after 2 s. */
bool xenbus_wait(const struct xenbus_front *x, unsigned state);
bool xenbus_put(const struct xenbus_front *x, const char *key, const char *value);
bool xenbus_put_uint(const struct xenbus_front *x, const char *key, uint32_t value);
/* A number that the back end wrote; 0 without it. */
uint64_t xenbus_back_uint(const struct xenbus_front *x, const char *key);
/* To where both wait for what the front end offers; and to the end. False when the back end does not follow. */
bool xenbus_begin(const struct xenbus_front *x);
bool xenbus_end(const struct xenbus_front *x);

/* ---- blk.c, check-blk.c ---- */
struct blk {
	struct xenbus_front x;
	bool persistent; /* before blk_open: pages stay granted, and the back end may keep them mapped */
	struct blkif_front_ring *ring;
	uint32_t port, ring_ref;
	uint64_t sectors;
	uint32_t sector_size, info;
};
/* Connects to the first disk; false when there is none. */
bool blk_open(struct blk *b);
void blk_close(struct blk *b);
/* One request of one page from sector on; the response's status. */
int blk_page_io(struct blk *b, unsigned op, uint64_t sector, void *page);
/* A request as it stands; the response's status, or -1000 when none came. */
struct blkif_request;
int blk_raw(struct blk *b, const struct blkif_request *req);
void check_blk(void);

/* ---- smp.c ---- */
void check_smp(void);

/* ---- measure.c ---- */
void measure_all(void);
void measure_timer(void);
void measure_ipi(void);
/*
 * Lines of core/bench/README.md. NAME has no unit in it, and is the same in every mode; what a mode lacks is skipped by name.
 * Samples are differences of clock_ns, each of `divisor` operations: printed in ns (if the clock is) and in TSC cycles.
 * Sorts them; prints nothing when n is 0.
 */
void measure_values(const char *name, uint64_t *samples_ns, unsigned n, uint64_t divisor);
/* unit is "MB/s", "ops/s", "packets/s" or another of the list. Sorts the values. */
void measure_rate(const char *name, const char *unit, uint64_t *values, unsigned n);
/* The same of values that are each to be divided: fractions are printed. */
void measure_rate_per(const char *name, const char *unit, uint64_t *values, unsigned n, uint64_t divisor);
void measure_skip(const char *name, const char *reason);

/* ---- measure-io.c ---- */
void measure_io(void); /* disk and network, or their skips */

/* ---- hostile.c, hostile-pv.c ---- */
struct hostile_mode {
	const char *name;
	void (*run)(void);
};
extern const struct hostile_mode hostile_pv_modes[]; /* ends with NULL */
void hostile_run(const char *name);

#endif
