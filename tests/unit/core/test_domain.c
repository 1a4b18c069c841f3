/* SPDX-License-Identifier: MIT */
/* Whole domains over the scripted engine, with plugin instances that write down what happens to them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "domain.h"
#include "fake/engine-fake.h"
#include "gamut/power.h"
#include "stats.h"

static char events[512];
static const struct gamut_host *host;

struct fake_inst {
	struct gamut_inst *inst;
	char id;
	const char *fail_at; /* the op that fails */
	uint64_t *counter;
};

static struct fake_inst fakes[2];
static int power; /* how port 0x600 ends the domain */

static int attach_rc[4]; /* of pv_attach, when the test wants it */
static bool attach;
static struct gamut_pv_cpu *pv_cpus[1];

static int pv_slow(void *opaque, struct gamut_pv_cpu *cpu)
{
	struct gamut_hypercall call = { .nr = 3 };
	struct fake_inst *f = opaque;

	(void)cpu;
	assert_int_equal(host->hypercall_call(f->inst, &call), 33);
	call.nr = 4;
	assert_int_equal(host->hypercall_call(f->inst, &call), -ENOSYS);
	call.vcpu = 1;
	assert_int_equal(host->hypercall_call(f->inst, &call), -EINVAL);
	host->domain_end(f->inst, GAMUT_END_POWEROFF);
	return GAMUT_PV_RESUME;
}

static int pv_pending(void *opaque, uint32_t vcpu)
{
	(void)opaque;
	(void)vcpu;
	return 0;
}

static const struct gamut_pv_guest monitor = { .size = sizeof(monitor), .slow = pv_slow, .pending = pv_pending };

static void try_attach(struct fake_inst *f)
{
	static const struct gamut_pv_guest old = { .size = 16, .slow = pv_slow, .pending = pv_pending };
	static const struct gamut_pv_guest none = { .size = sizeof(none), .pending = pv_pending };

	attach_rc[0] = host->pv_attach(f->inst, &old, f, pv_cpus);
	attach_rc[1] = host->pv_attach(f->inst, &none, f, pv_cpus);
	attach_rc[2] = host->pv_attach(f->inst, &monitor, f, pv_cpus);
	attach_rc[3] = host->pv_attach(f->inst, &monitor, f, pv_cpus);
}

static int64_t hypercall(void *opaque, struct gamut_hypercall *call)
{
	(void)opaque;
	return call->nr * 11;
}

static int note(struct fake_inst *f, const char *op)
{
	size_t n = strlen(events);

	snprintf(events + n, sizeof(events) - n, "%s%c.%s", n ? " " : "", f->id, op);
	if (f->fail_at && !strcmp(f->fail_at, op))
		return (host->fail)(f->inst, EIO, "told to fail in %s", op);
	return 0;
}

static uint64_t port_read(void *opaque, uint64_t offset, uint32_t width)
{
	(void)opaque;
	(void)offset;
	(void)width;
	return 0;
}

static void port_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct fake_inst *f = opaque;

	(void)offset;
	(void)width;
	(void)value;
	++*f->counter;
	host->domain_end(f->inst, power);
}

static const struct gamut_io_ops port = { .size = sizeof(port), .read = port_read, .write = port_write };

/* ---- what an emulated PC asks for ---- */

static bool pc;
static uint64_t tpr = 7;
static uint64_t rest_at;
static atomic_bool seen;
static struct {
	int chip, late_chip, line, msi, route, many_pins;
} pc_rc;

static uint64_t rest_read(void *opaque, uint64_t offset, uint32_t width)
{
	(void)opaque;
	(void)width;
	rest_at = offset;
	return 0x1234;
}

static const struct gamut_io_ops rest = { .size = sizeof(rest), .read = rest_read, .write = port_write };

static uint64_t cr8_read(void *opaque, uint32_t vcpu)
{
	(void)opaque;
	return tpr + vcpu;
}

static void cr8_write(void *opaque, uint32_t vcpu, uint64_t value)
{
	(void)opaque;
	(void)vcpu;
	tpr = value;
}

static void told_eoi(void *opaque, uint32_t vector)
{
	(void)opaque;
	(void)vector;
}

static void pc_create(struct fake_inst *f)
{
	const struct gamut_irqchip_pin pins[25] = { { 0 }, { 0xfee00000, 0x31, 1 } };

	assert_int_equal(host->irqchip_create(f->inst, 2, NULL, NULL), -EINVAL);
	assert_int_equal(host->irqchip_msi(f->inst, 0xfee00000, 0x31), -ENOTSUP);
	assert_int_equal(host->irqchip_line(f->inst, 4, 1), -ENOTSUP);
	assert_int_equal(host->irqchip_route(f->inst, pins, 1), -ENOTSUP);
	pc_rc.chip = host->irqchip_create(f->inst, GAMUT_IRQCHIP_SPLIT, told_eoi, f);
	pc_rc.line = host->irqchip_line(f->inst, 4, 5);
	pc_rc.msi = host->irqchip_msi(f->inst, 0xfee00000, 0x31);
	pc_rc.route = host->irqchip_route(f->inst, pins, 2);
	pc_rc.many_pins = host->irqchip_route(f->inst, pins, 25);
}

static void pc_start(struct fake_inst *f)
{
	struct gamut_vcpu_state state = { .size = sizeof(state) };

	pc_rc.late_chip = host->irqchip_create(f->inst, GAMUT_IRQCHIP_WHOLE, NULL, NULL);
	assert_int_equal(host->cr8_register(f->inst, cr8_read, NULL, f), -EINVAL);
	assert_int_equal(host->cr8_register(f->inst, cr8_read, cr8_write, f), 0);
	assert_int_equal(host->cr8_register(f->inst, cr8_read, cr8_write, f), -EBUSY);
	assert_int_equal(host->cr8_register(f->inst, NULL, NULL, NULL), 0);
	assert_int_equal(host->vcpu_get(f->inst, 0, &state), 0);
	assert_int_equal(state.cr8, 0);
	assert_int_equal(host->cr8_register(f->inst, cr8_read, cr8_write, f), 0);
	assert_int_equal(host->vcpu_get(f->inst, 0, &state), 0);
	assert_int_equal(state.cr8, 7);
	assert_int_equal(host->bus_fallback(f->inst, GAMUT_SPACE_PIO, &rest, f), 0);
	assert_int_equal(host->bus_fallback(f->inst, GAMUT_SPACE_PIO, &rest, f), -EBUSY);
	assert_int_equal(host->bus_fallback(f->inst, 7, &rest, f), -EINVAL);
}

static int inst_create(const struct gamut_host *table, struct gamut_inst *inst, void **self)
{
	struct fake_inst *f = &fakes[inst->index - 1];

	host = table;
	f->inst = inst;
	f->id = (char)('a' + inst->index - 1);
	f->counter = host->counter(inst, "writes");
	*self = f;
	if (attach && f->id == 'a')
		try_attach(f);
	if (pc && f->id == 'a')
		pc_create(f);
	return note(f, "create");
}

static int inst_start(void *self)
{
	struct fake_inst *f = self;
	static const uint32_t leaf[4] = { 0x40000002, 0x566e6558, 0, 0 }, none[4] = { 0 }, bit[4] = { 0, 0, 1u << 31, 0 };
	void *peer = NULL;
	uint8_t byte = 0x77;

	if (pc && f->id == 'a')
		pc_start(f);
	if (f->id == 'a') {
		assert_int_equal(host->pio_register(f->inst, 0x600, 4, &port, f), 0);
		assert_int_equal(host->cpuid_set(f->inst, UINT32_MAX, 0x40000000, 0, leaf), 0);
		assert_int_equal(host->cpuid_mask(f->inst, UINT32_MAX, 1, 0, none, bit), 0);
		assert_non_null(host->lookup(f->inst, "peer", 1, 0, &peer));
		assert_ptr_equal(peer, &fakes[1]);
		assert_null(host->lookup(f->inst, "peer", 1, 1, &peer));
		assert_null(host->lookup(f->inst, "peer", 2, 0, &peer));
		assert_int_equal(host->mem_write(f->inst, 0x1000, &byte, 1), 0);
	} else if (attach) {
		assert_int_equal(host->hypercall_register(f->inst, 3, hypercall, f), 0);
	} else if (fakes[0].fail_at && !strcmp(fakes[0].fail_at, "overlap")) {
		return host->pio_register(f->inst, 0x602, 1, &port, f);
	}
	return note(f, "start");
}

static int inst_pause(void *self)
{
	return note(self, "pause");
}

static int inst_resume(void *self)
{
	return note(self, "resume");
}

static int inst_reset(void *self)
{
	struct fake_inst *f = self;
	uint8_t byte = 1;

	assert_int_equal(host->mem_read(f->inst, 0x1000, &byte, 1), 0);
	assert_int_equal(byte, 0);
	power = GAMUT_END_POWEROFF;
	return note(f, "reset");
}

static void inst_stop(void *self)
{
	note(self, "stop");
}

static void inst_destroy(void *self)
{
	note(self, "destroy");
}

static int power_rc; /* of power_request; -ENODEV: the platform has no such thing */

static int power_request(void *self, uint32_t what)
{
	note(self, what == GAMUT_POWER_REBOOT ? "ask-reboot" : "ask-off");
	return power_rc;
}

static const struct gamut_power_ops power_ops = { .size = sizeof(power_ops), .request = power_request };

static const void *inst_interface(void *self, const char *id, uint32_t revision)
{
	const struct fake_inst *f = self;

	if (f->id == 'a' && power_rc != -ENODEV && !strcmp(id, GAMUT_POWER) && revision == GAMUT_POWER_REVISION)
		return &power_ops;
	return f->id == 'b' && !strcmp(id, "peer") && revision == 1 ? &port : NULL;
}

static const struct gamut_ops ops = {
	.size = sizeof(ops),
	.create = inst_create,
	.start = inst_start,
	.pause = inst_pause,
	.resume = inst_resume,
	.reset = inst_reset,
	.stop = inst_stop,
	.destroy = inst_destroy,
	.interface = inst_interface,
};

static const struct gamut_descriptor desc[2] = {
	{ .size = sizeof(desc[0]), .axis = GAMUT_AXIS_PLATFORM, .choice = "pvh", .ops = &ops },
	{ .size = sizeof(desc[0]), .axis = GAMUT_AXIS_INTERRUPTS, .choice = "xen", .ops = &ops },
};

static struct instance_config instances[2] = {
	{ .axis = GAMUT_AXIS_PLATFORM, .choice = "pvh", .desc = &desc[0], .line = 7 },
	{ .axis = GAMUT_AXIS_INTERRUPTS, .choice = "xen", .desc = &desc[1], .line = 9 },
};

static unsigned lines[256];
static struct domain_config config;
static struct diag diag;
static char file[] = "web.cfg", name[] = "web", empty[] = "";
static char none_choice[] = "none";

static int setup(void **state)
{
	(void)state;
	engine_fake_reset();
	memset(fakes, 0, sizeof(fakes));
	events[0] = 0;
	attach = pc = false;
	power_rc = -ENODEV;
	tpr = 7;
	rest_at = 0;
	atomic_store(&seen, false);
	power = GAMUT_END_POWEROFF;
	config = (struct domain_config){
		.file = file, .name = name, .memory = 16, .vcpus = 1, .cmdline = empty, .bt_debug = empty,
		.bt_code_cache = 1, .weight = 256, .instances = instances, .n_instances = 2, .lines = lines,
		.on_reboot = CONF_END_RESTART, .on_crash = CONF_END_DESTROY,
	};
	for (int i = 0; i < GAMUT_AXIS_COUNT; i++)
		config.axes.axis[i].choice = none_choice;
	diag_init(&diag);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	diag_finish(&diag);
	return engine_fake.n_vms + engine_fake.n_vcpus;
}

static struct domain *make(void)
{
	const struct domain_options options = { .id = 1, .engine_ops = &engine_fake_ops, .log_level = GAMUT_LOG_ERROR };
	struct domain *d = NULL;

	return domain_create(&d, &config, &options, &diag) ? NULL : d;
}

static void step_port(struct engine_fake_vcpu *v, struct vcpu_exit *e)
{
	(void)v;
	*e = (struct vcpu_exit){ .reason = EXIT_PIO, .pio = { .port = 0x600, .width = 1, .write = true } };
}

static void step_shutdown(struct engine_fake_vcpu *v, struct vcpu_exit *e)
{
	(void)v;
	*e = (struct vcpu_exit){ .reason = EXIT_SHUTDOWN, .rip = 0xdead };
}

/* Must never be reached: the vCPU does not run on after it has ended the domain. */
static void step_never(struct engine_fake_vcpu *v, struct vcpu_exit *e)
{
	(void)e;
	v->last_vector = 999;
}

static void step_pv(struct engine_fake_vcpu *v, struct vcpu_exit *e)
{
	*e = (struct vcpu_exit){ .reason = EXIT_PV, .pv = { .cpu = &v->pv } };
}

/* As an engine whose guest reads and writes CR8, and a port that is nobody's. */
static void step_cr8(struct engine_fake_vcpu *v, struct vcpu_exit *e)
{
	assert_true(*v->env.cr8_outside);
	assert_int_equal(v->env.cr8_read(v->env.opaque), 7);
	v->env.cr8_write(v->env.opaque, 3);
	*e = (struct vcpu_exit){ .reason = EXIT_PIO, .pio = { .port = 0xcfc, .width = 2 } };
}

static void step_after_cr8(struct engine_fake_vcpu *v, struct vcpu_exit *e)
{
	(void)v;
	assert_int_equal(e->pio.data, 0x1234);
	e->reason = EXIT_INTR;
	atomic_store(&seen, true);
}

/* Of vCPU 1, which nobody has brought up. */
static void step_second(struct engine_fake_vcpu *v, struct vcpu_exit *e)
{
	while (!atomic_load(&seen))
		usleep(100);
	step_port(v, e);
}

static const engine_fake_step pv[] = { step_pv, step_never, NULL };
static const engine_fake_step cr8[] = { step_cr8, step_after_cr8, NULL }, second[] = { step_second, step_never, NULL };
static const engine_fake_step off[] = { step_port, step_never, NULL };
static const engine_fake_step crash[] = { step_shutdown, step_never, NULL };

static void test_poweroff(void **state)
{
	struct domain *d;

	(void)state;
	engine_fake.scripts[0] = off;
	d = make();
	assert_non_null(d);
	assert_string_equal(events, "a.create b.create a.start b.start");
	assert_int_equal(domain_run(d), GAMUT_END_POWEROFF);
	assert_non_null(strstr(d->why, "platform-pvh.0"));
	assert_int_equal(engine_fake.vcpu[0]->last_vector, -1);
	assert_int_equal(*fakes[0].counter, 1);
	domain_destroy(d);
	assert_string_equal(events, "a.create b.create a.start b.start b.pause a.pause b.stop a.stop b.destroy a.destroy");
	assert_int_equal(diag.n_errors, 0);
}

/* What the MMU's choice needs is asked of the engine, and refused where that has none. */
static void test_shadow(void **state)
{
	static const char *const needs[] = { "engine:shadow", NULL };
	static const struct gamut_descriptor mmu = {
		.size = sizeof(mmu), .axis = GAMUT_AXIS_MMU, .choice = "shadow", .needs = needs, .ops = &ops
	};
	static char shadow[] = "shadow";
	struct domain *d;

	(void)state;
	d = make();
	assert_non_null(d);
	assert_false(engine_fake.config.shadow);
	domain_destroy(d);
	config.axes.axis[GAMUT_AXIS_MMU].choice = shadow;
	config.axes.axis[GAMUT_AXIS_MMU].desc = &mmu;
	assert_null(make());
	assert_non_null(strstr(diag.entries[0].text, "mmu = \"shadow\" needs \"engine:shadow\""));
	engine_fake.shadow = true;
	d = make();
	assert_non_null(d);
	assert_true(engine_fake.config.shadow);
	domain_destroy(d);
}

static const struct cpuid_entry *leaf(uint32_t nr)
{
	const struct engine_fake_vcpu *v = engine_fake.vcpu[0];

	for (uint32_t i = 0; i < v->n_cpuid; i++) {
		if (v->cpuid[i].leaf == nr)
			return &v->cpuid[i];
	}
	return NULL;
}

static void test_cpuid(void **state)
{
	struct domain *d = make();

	(void)state;
	assert_non_null(d);
	assert_int_equal(engine_fake.vcpu[0]->n_cpuid, 3);
	assert_int_equal(leaf(0)->regs[0], 7);
	assert_int_equal(leaf(1)->regs[2], 0x800000ff);
	assert_int_equal(leaf(0x40000000)->regs[1], 0x566e6558);
	domain_destroy(d);
}

static void test_reboot(void **state)
{
	struct domain *d;

	(void)state;
	engine_fake.scripts[0] = off;
	power = GAMUT_END_REBOOT; /* and power-off after the reset */
	d = make();
	assert_int_equal(domain_run(d), GAMUT_END_POWEROFF);
	assert_int_equal(d->resets, 1);
	assert_int_equal(engine_fake.vcpu[0]->resets, 2);
	domain_destroy(d);
	assert_string_equal(events, "a.create b.create a.start b.start b.pause a.pause a.reset b.reset a.resume b.resume "
	                            "b.pause a.pause b.stop a.stop b.destroy a.destroy");
}

static void test_reboot_not_wanted(void **state)
{
	struct domain *d;

	(void)state;
	engine_fake.scripts[0] = off;
	power = GAMUT_END_REBOOT;
	config.on_reboot = CONF_END_DESTROY;
	d = make();
	assert_int_equal(domain_run(d), GAMUT_END_REBOOT);
	domain_destroy(d);
	assert_null(strstr(events, "reset"));
}

static void test_crash(void **state)
{
	struct domain *d;

	(void)state;
	engine_fake.scripts[0] = crash;
	/* Crashing at once, it would do so for ever: not started again even if asked. */
	config.on_crash = CONF_END_RESTART;
	d = make();
	assert_int_equal(domain_run(d), GAMUT_END_CRASH);
	assert_non_null(strstr(d->why, "0xdead"));
	domain_destroy(d);
}

static void *destroyer(void *opaque)
{
	usleep(20000);
	domain_end(opaque, DOMAIN_END_DESTROYED, "enough");
	return NULL;
}

static void test_destroyed_from_outside(void **state)
{
	struct domain *d = make();
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, destroyer, d), 0);
	assert_int_equal(domain_run(d), DOMAIN_END_DESTROYED);
	assert_string_equal(d->why, "enough");
	pthread_join(thread, NULL);
	domain_destroy(d);
}

/* Whatever fails, its sentence comes with file and line, and everything made before goes in reverse. */
static void expect_failure(unsigned line, const char *text, const char *trace)
{
	assert_null(make());
	assert_true(diag.n_errors >= 1);
	assert_string_equal(diag.entries[0].file, "web.cfg");
	assert_int_equal(diag.entries[0].line, line);
	assert_non_null(strstr(diag.entries[0].text, text));
	assert_string_equal(events, trace);
}

static void test_create_fails(void **state)
{
	(void)state;
	fakes[1].fail_at = "create";
	expect_failure(9, "interrupts-xen.0: told to fail in create", "a.create b.create a.destroy");
}

static void test_start_fails(void **state)
{
	(void)state;
	fakes[1].fail_at = "start";
	expect_failure(9, "told to fail in start", "a.create b.create a.start b.start a.stop b.destroy a.destroy");
}

static void test_overlap_reaches_user(void **state)
{
	(void)state;
	fakes[0].fail_at = "overlap";
	expect_failure(9, "platform-pvh.0", "a.create b.create a.start a.stop b.destroy a.destroy");
	assert_non_null(strstr(diag.entries[0].text, "0x602"));
}

static void test_engine_fails(void **state)
{
	(void)state;
	engine_fake.fail_vm = true;
	expect_failure(0, "told to fail", "");
}

static void test_too_many_vcpus(void **state)
{
	(void)state;
	config.vcpus = 5;
	expect_failure(0, "vcpus", "");
}

static void test_reset_fails(void **state)
{
	struct domain *d;

	(void)state;
	engine_fake.scripts[0] = off;
	power = GAMUT_END_REBOOT;
	fakes[0].fail_at = "reset";
	d = make();
	assert_int_equal(domain_run(d), GAMUT_END_ERROR);
	assert_non_null(strstr(diag.entries[0].text, "told to fail in reset"));
	domain_destroy(d);
}

static void test_monitor(void **state)
{
	struct domain *d;

	(void)state;
	attach = engine_fake.pv_ring3 = true;
	engine_fake.scripts[0] = pv;
	d = make();
	assert_non_null(d);
	assert_int_equal(attach_rc[0], -EINVAL);
	assert_int_equal(attach_rc[1], -EINVAL);
	assert_int_equal(attach_rc[2], 0);
	assert_int_equal(attach_rc[3], -EBUSY);
	assert_ptr_equal(pv_cpus[0], &engine_fake.vcpu[0]->pv);
	assert_int_equal(domain_run(d), GAMUT_END_POWEROFF);
	assert_int_equal(d->vcpus.vcpu[0]->counters.owner[1], 1);
	assert_int_equal(d->vcpus.vcpu[0]->counters.owner[2], 1);
	assert_int_equal(d->vcpus.vcpu[0]->counters.owner[BUS_UNCLAIMED], 1);
	domain_destroy(d);
}

static void test_monitor_refused(void **state)
{
	struct domain *d;

	(void)state;
	attach = true;
	d = make();
	assert_int_equal(attach_rc[2], -ENOTSUP);
	domain_destroy(d);
	engine_fake.pv_ring3 = engine_fake.fail_attach = true;
	d = make();
	assert_int_equal(attach_rc[2], -EINVAL);
	assert_int_equal(attach_rc[3], -EINVAL);
	domain_destroy(d);
}

static void test_stats(void **state)
{
	char path[] = "/tmp/gamut-stats-XXXXXX";
	int fd = mkstemp(path);
	struct domain *d;
	json_t *stats, *read;
	json_int_t pio = 0, total = 0, axis = 0, exits = 0, writes = 0, cache = 0, touched = 0;
	const char *domain = NULL;

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	engine_fake.scripts[0] = off;
	d = make();
	assert_int_equal(domain_run(d), GAMUT_END_POWEROFF);
	stats = stats_collect(d);
	assert_non_null(stats);
	assert_int_equal(stats_write(stats, path), 0);
	read = json_load_file(path, 0, NULL);
	assert_non_null(read);
	assert_int_equal(json_unpack(read, "{s:s, s:{s:I, s:{s:I}, s:{s:I}}, s:[{s:I, s:{s:I}}], s:{s:I}, s:{s:I}}", "domain",
	                             &domain, "exits", "total", &total, "by_reason", "pio", &pio, "by_axis", "platform",
	                             &axis, "plugins", "exits", &exits, "counters", "writes", &writes, "engine",
	                             "code_cache_bytes", &cache, "memory", "guest_touched", &touched),
	                 0);
	assert_string_equal(domain, "web");
	assert_int_equal(pio, 1);
	assert_true(total >= 1);
	assert_int_equal(axis, 1);
	assert_int_equal(exits, 1);
	assert_int_equal(writes, 1);
	assert_int_equal(cache, 4096);
	assert_in_range(touched, 4096, 2 << 20); /* a page, of whatever size the host has */
	assert_true(stats_write(stats, "/nonexistent/x") < 0);
	json_decref(read);
	json_decref(stats);
	domain_destroy(d);
	unlink(path);
}

/* ---- commands ---- */

struct asked {
	struct domain_command c;
	pthread_mutex_t lock;
	pthread_cond_t answered;
	bool done;
	int rc;
	char text[128];
};

static void answered(struct domain_command *c, int rc, const char *text)
{
	struct asked *a = (struct asked *)c;

	pthread_mutex_lock(&a->lock);
	a->done = true;
	a->rc = rc;
	snprintf(a->text, sizeof(a->text), "%s", text);
	pthread_cond_broadcast(&a->answered);
	pthread_mutex_unlock(&a->lock);
}

static void submit(struct domain *d, struct asked *a, enum domain_request request)
{
	*a = (struct asked){ .c = { .request = request, .done = answered }, .lock = PTHREAD_MUTEX_INITIALIZER,
		             .answered = PTHREAD_COND_INITIALIZER };
	domain_submit(d, &a->c);
}

static int wait_for(struct asked *a)
{
	pthread_mutex_lock(&a->lock);
	while (!a->done)
		pthread_cond_wait(&a->answered, &a->lock);
	pthread_mutex_unlock(&a->lock);
	return a->rc;
}

static int ask(struct domain *d, enum domain_request request, const char *text)
{
	struct asked a;
	int rc;

	submit(d, &a, request);
	rc = wait_for(&a);
	if (!strstr(a.text, text))
		fail_msg("%s", a.text);
	return rc;
}

static void *run_thread(void *d)
{
	return (void *)(intptr_t)domain_run(d);
}

static int join(pthread_t thread)
{
	void *how;

	pthread_join(thread, &how);
	return (int)(intptr_t)how;
}

static void test_commands(void **state)
{
	struct domain *d = make();
	struct asked queue[4];
	pthread_t thread;

	(void)state;
	assert_non_null(d);
	/* Before it runs they wait. */
	submit(d, &queue[0], DOMAIN_PAUSE);
	assert_false(queue[0].done);
	pthread_create(&thread, NULL, run_thread, d);
	assert_int_equal(wait_for(&queue[0]), 0);
	assert_true(atomic_load(&d->paused));
	events[0] = 0;
	assert_int_equal(ask(d, DOMAIN_PAUSE, "already"), 0);
	assert_int_equal(ask(d, DOMAIN_SHUTDOWN, "resume it first"), -EBUSY);
	assert_int_equal(ask(d, DOMAIN_RESET, "paused still"), 0);
	assert_true(atomic_load(&d->paused));
	assert_int_equal(ask(d, DOMAIN_RESUME, "resumed"), 0);
	assert_int_equal(ask(d, DOMAIN_RESUME, "not paused"), 0);
	assert_int_equal(ask(d, DOMAIN_RESET, "reset"), 0);
	assert_int_equal(d->resets, 2);
	assert_string_equal(events, "a.reset b.reset a.resume b.resume b.pause a.pause a.reset b.reset a.resume b.resume");
	/* In their order. */
	submit(d, &queue[0], DOMAIN_PAUSE);
	submit(d, &queue[1], DOMAIN_RESET);
	submit(d, &queue[2], DOMAIN_PAUSE);
	submit(d, &queue[3], DOMAIN_RESUME);
	assert_int_equal(wait_for(&queue[3]), 0);
	assert_string_equal(queue[1].text, "reset; it is paused still");
	assert_string_equal(queue[2].text, "it was paused already");
	domain_end(d, DOMAIN_END_DESTROYED, "enough");
	assert_int_equal(join(thread), DOMAIN_END_DESTROYED);
	assert_string_equal(d->why, "enough");
	/* Afterwards they are answered at once. */
	assert_int_equal(ask(d, DOMAIN_RESET, "has ended"), -ESHUTDOWN);
	domain_destroy(d);
	assert_int_equal(diag.n_errors, 0);
}

static void test_ask_guest(void **state)
{
	struct domain *d = make();
	pthread_t thread;

	(void)state;
	pthread_create(&thread, NULL, run_thread, d);
	assert_int_equal(ask(d, DOMAIN_SHUTDOWN, "no way to ask"), -ENOTSUP);
	events[0] = 0;
	power_rc = 0;
	assert_int_equal(ask(d, DOMAIN_SHUTDOWN, "was asked"), 0);
	power_rc = -EAGAIN;
	assert_int_equal(ask(d, DOMAIN_REBOOT, "nothing in it listens"), -EAGAIN);
	power_rc = -ENOTSUP;
	assert_int_equal(ask(d, DOMAIN_REBOOT, "no way to ask this guest"), -ENOTSUP);
	power_rc = -EIO;
	assert_int_equal(ask(d, DOMAIN_SHUTDOWN, "Input/output error"), -EIO);
	assert_string_equal(events, "a.ask-off a.ask-reboot a.ask-reboot a.ask-off");
	domain_end(d, DOMAIN_END_DESTROYED, "enough");
	assert_int_equal(join(thread), DOMAIN_END_DESTROYED);
	domain_destroy(d);
}

/* Destroyed while paused; and what waits behind the end is answered. */
static void test_end_paused(void **state)
{
	struct asked waiting[3];
	struct domain *d = make();
	pthread_t thread;

	(void)state;
	pthread_create(&thread, NULL, run_thread, d);
	assert_int_equal(ask(d, DOMAIN_PAUSE, "paused"), 0);
	events[0] = 0;
	domain_end(d, DOMAIN_END_DESTROYED, "enough");
	for (int i = 0; i < 3; i++)
		submit(d, &waiting[i], DOMAIN_RESUME);
	assert_int_equal(join(thread), DOMAIN_END_DESTROYED);
	for (int i = 0; i < 3; i++)
		assert_int_equal(wait_for(&waiting[i]), -ESHUTDOWN);
	assert_string_equal(events, "");
	domain_destroy(d);
}

/* A device that cannot pause: the command says so, and the domain ends. */
static void test_command_fails(void **state)
{
	struct domain *d = make();
	pthread_t thread;

	(void)state;
	fakes[1].fail_at = "pause";
	pthread_create(&thread, NULL, run_thread, d);
	assert_int_equal(ask(d, DOMAIN_PAUSE, "cannot go on"), -EIO);
	assert_int_equal(join(thread), GAMUT_END_ERROR);
	assert_int_equal(diag.n_errors, 1);
	fakes[1].fail_at = NULL;
	domain_destroy(d);
}

static void test_many_cycles(void **state)
{
	struct domain *d = make();
	pthread_t thread;

	(void)state;
	pthread_create(&thread, NULL, run_thread, d);
	for (int i = 0; i < 1000; i++) {
		events[0] = 0;
		assert_int_equal(ask(d, DOMAIN_PAUSE, "paused"), 0);
		assert_int_equal(ask(d, DOMAIN_RESUME, "resumed"), 0);
		if (i % 5 == 0)
			assert_int_equal(ask(d, DOMAIN_RESET, "reset"), 0);
	}
	assert_int_equal(d->resets, 200);
	domain_end(d, DOMAIN_END_DESTROYED, "enough");
	assert_int_equal(join(thread), DOMAIN_END_DESTROYED);
	domain_destroy(d);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static void test_pc_services(void **state)
{
	struct domain *d;
	uint64_t accounted;

	(void)state;
	pc = true;
	config.vcpus = 2;
	engine_fake.irqchip = true;
	engine_fake.scripts[0] = cr8;
	engine_fake.scripts[1] = second;
	d = make();
	assert_non_null(d);
	assert_int_equal(pc_rc.chip | pc_rc.line | pc_rc.msi | pc_rc.route, 0);
	assert_int_equal(pc_rc.many_pins, -EINVAL);
	assert_int_equal(pc_rc.late_chip, -EBUSY);
	assert_true(engine_fake.chip.split);
	assert_ptr_equal(engine_fake.chip.eoi, told_eoi);
	assert_ptr_equal(engine_fake.chip.opaque, &fakes[0]);
	assert_int_equal(engine_fake.last_gsi, 4);
	assert_int_equal(engine_fake.last_level, 1);
	assert_int_equal(engine_fake.last_msi, 0x31);
	assert_int_equal(engine_fake.n_pins, 2);
	assert_false(engine_fake.pins[0].set);
	assert_true(engine_fake.pins[1].set);
	assert_int_equal(engine_fake.pins[1].data, 0x31);
	/* The second one waits in the engine. */
	assert_true(host->vcpu_is_up(fakes[0].inst, 1));
	assert_int_equal(domain_run(d), GAMUT_END_POWEROFF);
	assert_int_equal(tpr, 3);
	assert_int_equal(rest_at, 0xcfc);
	accounted = d->vcpus.vcpu[0]->counters.owner[fakes[0].inst->index];
	assert_int_equal(accounted, 1); /* the fallback's is its */
	vcpus_reset(&d->vcpus);
	assert_true(host->vcpu_is_up(fakes[0].inst, 1));
	domain_destroy(d);
}

/* An engine without them says so, and the plugin goes on with its own. */
static void test_no_irqchip(void **state)
{
	struct domain *d;

	(void)state;
	pc = true;
	config.vcpus = 2;
	engine_fake.scripts[0] = off;
	d = make();
	assert_non_null(d);
	assert_int_equal(pc_rc.chip, -ENOTSUP);
	assert_int_equal(pc_rc.line, -ENOTSUP);
	assert_false(host->vcpu_is_up(fakes[0].inst, 1));
	assert_int_equal(domain_run(d), GAMUT_END_POWEROFF);
	domain_destroy(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_commands), TEST(test_ask_guest), TEST(test_end_paused), TEST(test_command_fails),
		TEST(test_many_cycles),
		TEST(test_poweroff),
		TEST(test_shadow),
		TEST(test_cpuid),
		TEST(test_reboot),
		TEST(test_reboot_not_wanted),
		TEST(test_crash),
		TEST(test_destroyed_from_outside),
		TEST(test_create_fails),
		TEST(test_start_fails),
		TEST(test_overlap_reaches_user),
		TEST(test_engine_fails),
		TEST(test_too_many_vcpus),
		TEST(test_reset_fails),
		TEST(test_monitor),
		TEST(test_monitor_refused),
		TEST(test_stats),
		TEST(test_pc_services),
		TEST(test_no_irqchip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
