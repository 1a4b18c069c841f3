/* SPDX-License-Identifier: MIT */
/* Exits made up, with no engine and no thread. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "fake/engine-fake.h"
#include "vcpu.h"

static struct bus bus;
static struct clock clk;
static struct vcpus set;
static struct vcpu *v;
static int ended_how;
static char ended_why[320];
static uint32_t restarts_left;

static uint64_t io_read(void *opaque, uint64_t offset, uint32_t width)
{
	(void)opaque;
	(void)width;
	return 0x40 + offset;
}

static void io_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	(void)offset;
	(void)width;
	*(uint64_t *)opaque = value;
}

static int msr_read(void *opaque, uint32_t vcpu, uint32_t msr, uint64_t *value)
{
	(void)opaque;
	(void)vcpu;
	*value = msr;
	return 0;
}

static int msr_write(void *opaque, uint32_t vcpu, uint32_t msr, uint64_t value)
{
	(void)opaque;
	(void)vcpu;
	(void)msr;
	return value ? -EPERM : 0;
}

/* Works off one unit a time and asks to be run again. */
static int64_t preemptible(void *opaque, struct gamut_hypercall *call)
{
	(void)opaque;
	call->args[1]++;
	call->restart = restarts_left-- > 0;
	return (int64_t)call->args[1];
}

static int64_t blocking(void *opaque, struct gamut_hypercall *call)
{
	(void)opaque;
	(void)call;
	v->block = true;
	return 0;
}

static struct gamut_pv_cpu pv_cpu;

/* A monitor that blocks the vCPU, ends the domain or makes a hypercall, as the guest's rip says. */
static int pv_slow(void *opaque, struct gamut_pv_cpu *cpu)
{
	struct gamut_hypercall call = { .nr = 5, .args = { 0, 41 } };

	assert_ptr_equal(opaque, &pv_cpu);
	assert_ptr_equal(cpu, &pv_cpu);
	v->block = cpu->rip == 1;
	if (cpu->rip == 2)
		vcpus_ended(&set, GAMUT_END_CRASH, "the monitor says so");
	if (cpu->rip == 3)
		assert_int_equal(exit_hypercall(v, &call, 0), 42);
	cpu->rip = 0x1000;
	return GAMUT_PV_RESUME;
}

static int pv_pending(void *opaque, uint32_t vcpu)
{
	(void)opaque;
	return vcpu != 0;
}

static const struct gamut_pv_guest monitor = { .size = sizeof(monitor), .slow = pv_slow, .pending = pv_pending };

static void on_end(void *opaque, int how, const char *why)
{
	(void)opaque;
	ended_how = how;
	snprintf(ended_why, sizeof(ended_why), "%s", why);
}

static const struct gamut_io_ops io = { .size = sizeof(io), .read = io_read, .write = io_write };
static const struct gamut_msr_ops msrs = { sizeof(msrs), msr_read, msr_write };
static uint64_t written;

static int setup(void **state)
{
	const struct bus_owner owner = { 1, "device" };
	char err[128];

	(void)state;
	engine_fake_reset();
	memset(&set, 0, sizeof(set));
	ended_how = -1;
	clock_init(&clk);
	if (bus_init(&bus) || bus_add_pio(&bus, 0x70, 2, &io, &written, owner, err, sizeof(err)) ||
	    bus_add_mmio(&bus, 0xe0000000, 16, &io, &written, owner, err, sizeof(err)) ||
	    bus_add_msr(&bus, 0x11, 1, &msrs, NULL, owner, err, sizeof(err)) ||
	    bus_add_hypercall(&bus, 5, preemptible, NULL, owner, err, sizeof(err)) ||
	    bus_add_hypercall(&bus, 6, blocking, NULL, owner, err, sizeof(err)) || bus_seal(&bus))
		return -1;
	set.ops = &engine_fake_ops;
	set.bus = &bus;
	set.clock = &clk;
	set.on_end = on_end;
	if (vcpus_init(&set, 1, err, sizeof(err)) || vcpus_set_owners(&set, 2))
		return -1;
	v = set.vcpu[0];
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vcpus_finish(&set);
	bus_finish(&bus);
	return 0;
}

static void test_pio(void **state)
{
	struct vcpu_exit e = { .reason = EXIT_PIO, .pio = { .port = 0x71, .width = 1 } };

	(void)state;
	assert_int_equal(exit_dispatch(v, &e), VERDICT_RESUME);
	assert_int_equal(e.pio.data, 0x41);
	e.pio.write = true;
	e.pio.data = 0x99;
	assert_int_equal(exit_dispatch(v, &e), VERDICT_RESUME);
	assert_int_equal(written, 0x99);
	e.pio.port = 0x72;
	e.pio.write = false;
	assert_int_equal(exit_dispatch(v, &e), VERDICT_RESUME);
	assert_int_equal(e.pio.data, 0xff);
	assert_int_equal(v->counters.reason[EXIT_PIO], 3);
	assert_int_equal(v->counters.owner[1], 2);
	assert_int_equal(v->counters.owner[BUS_UNCLAIMED], 1);
}

static void test_mmio(void **state)
{
	struct vcpu_exit e = { .reason = EXIT_MMIO, .mmio = { .gpa = 0xe0000008, .width = 8 } };

	(void)state;
	assert_int_equal(exit_dispatch(v, &e), VERDICT_RESUME);
	assert_int_equal(e.mmio.data, 0x48);
	e.mmio.gpa = 0x1000;
	assert_int_equal(exit_dispatch(v, &e), VERDICT_RESUME);
	assert_int_equal(e.mmio.data, UINT64_MAX);
}

static void test_msr(void **state)
{
	struct vcpu_exit e = { .reason = EXIT_RDMSR, .msr = { .index = 0x11, .value = 99 } };

	(void)state;
	assert_int_equal(exit_dispatch(v, &e), VERDICT_RESUME);
	assert_int_equal(e.msr.value, 0x11);
	assert_false(e.msr.fault);
	e.msr.index = 0x12;
	assert_int_equal(exit_dispatch(v, &e), VERDICT_FAULT);
	assert_true(e.msr.fault);
	e = (struct vcpu_exit){ .reason = EXIT_WRMSR, .msr = { .index = 0x11, .value = 1 } };
	assert_int_equal(exit_dispatch(v, &e), VERDICT_FAULT);
	assert_true(e.msr.fault);
	e.msr.value = 0;
	assert_int_equal(exit_dispatch(v, &e), VERDICT_RESUME);
	assert_false(e.msr.fault);
	assert_int_equal(v->counters.faults, 2);
}

static void test_hypercall_restart(void **state)
{
	struct vcpu_exit e = { .reason = EXIT_HYPERCALL, .hypercall = { .nr = 5, .args = { 7, 0 } } };

	(void)state;
	restarts_left = 3;
	for (int i = 1; i <= 3; i++) {
		assert_int_equal(exit_dispatch(v, &e), VERDICT_RESUME);
		assert_true(e.hypercall.restart);
		assert_int_equal(e.hypercall.args[1], i);
	}
	assert_int_equal(exit_dispatch(v, &e), VERDICT_RESUME);
	assert_false(e.hypercall.restart);
	assert_int_equal(e.hypercall.result, 4);
	assert_int_equal(e.hypercall.args[0], 7);
	assert_int_equal(v->counters.restarts, 3);
}

static void test_hypercall_unknown(void **state)
{
	struct vcpu_exit e = { .reason = EXIT_HYPERCALL, .hypercall = { .nr = 7 } };

	(void)state;
	assert_int_equal(exit_dispatch(v, &e), VERDICT_RESUME);
	assert_int_equal(e.hypercall.result, (uint64_t)-ENOSYS);
	/* Must not be taken for number 5. */
	e.hypercall.nr = 5 | 1ull << 32;
	assert_int_equal(exit_dispatch(v, &e), VERDICT_RESUME);
	assert_int_equal(e.hypercall.result, (uint64_t)-ENOSYS);
	assert_false(e.hypercall.undefined);
	/* A domain with no hypercalls at all has no such instruction. */
	bus.n_hypercalls = 0;
	assert_int_equal(exit_dispatch(v, &e), VERDICT_FAULT);
	assert_true(e.hypercall.undefined);
}

static void test_hypercall_blocks(void **state)
{
	struct vcpu_exit e = { .reason = EXIT_HYPERCALL, .hypercall = { .nr = 6 } };

	(void)state;
	assert_int_equal(exit_dispatch(v, &e), VERDICT_IDLE);
	assert_true(v->idle_mask & ATTN_WAKE);
	assert_true(v->idle_mask & ATTN_IRQ);
	assert_false(v->block);
}

static void test_hlt(void **state)
{
	struct vcpu_exit e = { .reason = EXIT_HLT };

	(void)state;
	assert_int_equal(exit_dispatch(v, &e), VERDICT_IDLE);
	assert_int_equal(v->idle_mask, ATTN_IRQ | ATTN_NMI);
	engine_fake.vcpu[0]->state.rflags = 2;
	assert_int_equal(exit_dispatch(v, &e), VERDICT_IDLE);
	assert_int_equal(v->idle_mask, ATTN_NMI);
}

struct halts {
	uint32_t calls, vcpu;
	bool down;
};

static void dead_halt(void *opaque, uint32_t vcpu)
{
	struct halts *h = opaque;

	h->calls++;
	h->vcpu = vcpu;
	if (h->down)
		vcpu_set_up(set.vcpu[vcpu], false);
}

static void test_dead_hlt(void **state)
{
	struct vcpu_exit e = { .reason = EXIT_HLT };
	struct halts h = { 0 };

	(void)state;
	set.dead_halt = dead_halt;
	set.dead_halt_opaque = &h;
	assert_int_equal(exit_dispatch(v, &e), VERDICT_IDLE);
	assert_int_equal(h.calls, 0);
	engine_fake.vcpu[0]->state.rflags = 2;
	assert_int_equal(exit_dispatch(v, &e), VERDICT_IDLE);
	assert_int_equal(h.calls, 1);
	assert_int_equal(h.vcpu, 0);
	assert_int_equal(v->idle_mask, ATTN_NMI);
	/* An NMI that is there already will end the halt. */
	vcpu_attend(v, ATTN_NMI);
	assert_int_equal(exit_dispatch(v, &e), VERDICT_IDLE);
	assert_int_equal(h.calls, 1);
	atomic_fetch_and(&v->attention, ~ATTN_NMI);
	/* One that is down now is not halted when it comes up again. */
	h.down = true;
	assert_int_equal(exit_dispatch(v, &e), VERDICT_RESUME);
	assert_int_equal(h.calls, 2);
	set.dead_halt = NULL;
}

static void shut_down(void *opaque, uint32_t vcpu)
{
	struct halts *h = opaque;

	h->calls++;
	assert_int_equal(vcpu, 0);
}

/* The platform is asked first; what it says of the end is kept by the domain. */
static void test_shutdown(void **state)
{
	struct vcpu_exit e = { .reason = EXIT_SHUTDOWN, .rip = 0x1234 };
	struct halts h = { 0 };

	(void)state;
	set.shutdown = shut_down;
	set.shutdown_opaque = &h;
	assert_int_equal(exit_dispatch(v, &e), VERDICT_STOP);
	assert_int_equal(h.calls, 1);
	assert_int_equal(ended_how, GAMUT_END_CRASH);
	set.shutdown = NULL;
}

static void test_ends(void **state)
{
	struct vcpu_exit e = { .reason = EXIT_SHUTDOWN, .rip = 0x1234 };

	(void)state;
	assert_int_equal(exit_dispatch(v, &e), VERDICT_STOP);
	assert_int_equal(ended_how, GAMUT_END_CRASH);
	assert_non_null(strstr(ended_why, "triple fault"));
	assert_non_null(strstr(ended_why, "0x1234"));
	e.reason = EXIT_ERROR;
	memset(e.error.text, 'x', sizeof(e.error.text)); /* without an end */
	assert_int_equal(exit_dispatch(v, &e), VERDICT_STOP);
	assert_int_equal(ended_how, GAMUT_END_ERROR);
	assert_non_null(strstr(ended_why, "xxx"));
	e.reason = (enum exit_reason)99;
	assert_int_equal(exit_dispatch(v, &e), VERDICT_STOP);
	assert_non_null(strstr(ended_why, "99"));
}

static void test_pv_event(void **state)
{
	struct vcpu_exit e = { .reason = EXIT_PV, .pv = { .cpu = &pv_cpu } };

	(void)state;
	set.pv = &monitor;
	set.pv_opaque = &pv_cpu;
	set.pv_owner = 1;
	pv_cpu.rip = 0;
	assert_int_equal(exit_dispatch(v, &e), VERDICT_RESUME);
	assert_int_equal(pv_cpu.rip, 0x1000);
	assert_int_equal(v->counters.owner[1], 1);
	pv_cpu.rip = 1;
	atomic_store(&v->attention, 0);
	assert_int_equal(exit_dispatch(v, &e), VERDICT_IDLE);
	assert_int_equal(v->idle_mask, ATTN_NMI | ATTN_IRQ | ATTN_WAKE);
	/* An event may be pending whose raise has been served long since. */
	assert_int_equal(v->attention, ATTN_IRQ);
	pv_cpu.rip = 2;
	assert_int_equal(exit_dispatch(v, &e), VERDICT_RESUME);
	assert_int_equal(ended_how, GAMUT_END_CRASH);
	assert_true(v->attention & ATTN_PAUSE);
	/* A hypercall counts to its owner, too. */
	restarts_left = 0;
	pv_cpu.rip = 3;
	assert_int_equal(exit_dispatch(v, &e), VERDICT_RESUME);
	assert_int_equal(v->counters.owner[1], 5);
	assert_int_equal(v->counters.reason[EXIT_PV], 4);
}

static void test_pv_event_without_monitor(void **state)
{
	struct vcpu_exit e = { .reason = EXIT_PV };

	(void)state;
	assert_int_equal(exit_dispatch(v, &e), VERDICT_STOP);
	assert_int_equal(ended_how, GAMUT_END_ERROR);
}

static void test_every_reason_has_a_handler(void **state)
{
	(void)state;
	for (int r = 0; r < EXIT_COUNT; r++)
		assert_non_null(exit_name((enum exit_reason)r));
	assert_null(exit_name(EXIT_COUNT));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pio),
		TEST(test_mmio),
		TEST(test_msr),
		TEST(test_hypercall_restart),
		TEST(test_hypercall_unknown),
		TEST(test_hypercall_blocks),
		TEST(test_hlt),
		TEST(test_dead_hlt),
		TEST(test_shutdown),
		TEST(test_ends),
		TEST(test_pv_event),
		TEST(test_pv_event_without_monitor),
		TEST(test_every_reason_has_a_handler),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
