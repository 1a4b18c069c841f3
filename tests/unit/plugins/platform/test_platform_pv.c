/* SPDX-License-Identifier: MIT */
/*
 * The built plugin platform-pv.so as the core loads it, beside event channels
 * and a console as they are for every Xen guest, and a monitor that takes the
 * domain over.
 */
#include "../../dm/xen/pv/image.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../dm/xen/pv/monitor-fake.h"
#include "dm/xen/intr.h"

#define RAM (32ull << 20)
#define SHARED_INFO 0xf0000000ull
#define SPACE (SHARED_INFO + (1 << 20))

struct part {
	void *so;
	const struct gamut_descriptor *d;
	void *self;
};

struct fixture {
	struct host_fake *f;
	struct pv_image image;
	struct xen_intr intr;
	struct monitor_fake monitor;
	struct part platform, console;
};

static void load(struct part *p, const char *name)
{
	const struct gamut_plugin *plugin;
	char path[512];

	snprintf(path, sizeof(path), "%s/plugins/%s.so", TEST_BUILD_DIR, name);
	p->so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!p->so)
		fail_msg("%s", dlerror());
	plugin = dlsym(p->so, GAMUT_PLUGIN_SYMBOL);
	assert_non_null(plugin);
	p->d = plugin->descriptors[0];
}

static void unload(struct part *p)
{
	if (p->self)
		p->d->ops->destroy(p->self);
	dlclose(p->so);
}

static int setup(void **state)
{
	struct fixture *t = calloc(1, sizeof(*t));

	t->f = host_fake_create(RAM, 2);
	host_fake_grow(t->f, SPACE);
	image_init(&t->image, t->f, LINUX_BASE);
	image_linux(&t->image);
	monitor_fake_init(&t->monitor, RAM / 4096);
	assert_int_equal(xen_intr_init(&t->intr, t->f->host, t->f->inst), 0);
	assert_int_equal(xen_intr_register(&t->intr), 0);
	load(&t->platform, "platform-pv");
	load(&t->console, "console-xen");
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *t = *state;

	unload(&t->console);
	unload(&t->platform);
	xen_intr_finish(&t->intr);
	assert_int_equal(host_fake_destroy(t->f), 0);
	free(t);
	return 0;
}

static int create(struct fixture *t)
{
	return t->platform.d->ops->create(t->f->host, t->f->inst, &t->platform.self);
}

static void give(struct fixture *t, const char *id)
{
	const void *ops = t->platform.d->ops->interface(t->platform.self, id, GAMUT_XEN_REVISION);

	assert_non_null(ops);
	host_fake_give(t->f, id, GAMUT_XEN_REVISION, ops, t->platform.self);
}

static void give_all(struct fixture *t)
{
	host_fake_give(t->f, GAMUT_PV_MONITOR, GAMUT_XEN_REVISION, &monitor_fake_ops, &t->monitor);
	host_fake_give(t->f, GAMUT_XEN_INTERRUPTS, GAMUT_XEN_REVISION, &xen_intr_ops, &t->intr);
	host_fake_give(t->f, GAMUT_EVENT_CHANNELS, GAMUT_XEN_REVISION, &xen_intr_evtchn_ops, &t->intr);
	give(t, GAMUT_XENBUS);
	give(t, GAMUT_GRANTS);
}

/* Platform and console, in the core's order. */
static void start(struct fixture *t)
{
	assert_int_equal(create(t), 0);
	assert_int_equal(t->console.d->ops->create(t->f->host, t->f->inst, &t->console.self), 0);
	give_all(t);
	if (t->platform.d->ops->start(t->platform.self) || t->console.d->ops->start(t->console.self))
		fail_msg("%s", t->f->last_fail);
}

static void reset(struct fixture *t)
{
	xen_intr_reset(&t->intr);
	memset(t->f->ram, 0, RAM);
	assert_int_equal(t->platform.d->ops->reset(t->platform.self), 0);
	assert_int_equal(t->console.d->ops->reset(t->console.self), 0);
}

static void stop(struct fixture *t)
{
	t->console.d->ops->stop(t->console.self);
	t->platform.d->ops->stop(t->platform.self);
}

/* A guest virtual address, through the tables that the monitor was handed. */
static uint64_t gpa_of(const struct fixture *t, uint64_t va)
{
	uint64_t entry = walk(t->f, t->monitor.boot.root, va);

	assert_int_equal(entry & 5, 5);
	return (entry & 0xffffffffff000ull) + (va & 0xfff);
}

static struct start_info info_of(const struct fixture *t)
{
	uint64_t gpa = gpa_of(t, t->monitor.boot.start_info);
	struct start_info info;

	assert_int_equal(t->f->host->mem_read(t->f->inst, gpa, &info, sizeof(info)), 0);
	return info;
}

/* What a guest looks for when it starts. */
static void check_guest(const struct fixture *t)
{
	const uint64_t rings[] = { info_of(t).store_mfn, info_of(t).console.domU.mfn };
	struct start_info info = info_of(t);
	const struct shared_info *shared = t->f->host->mem_get(t->f->inst, info.shared_info, 4096);

	assert_string_equal(info.magic, "xen-3.0-x86_64");
	assert_non_null(shared);
	for (int i = 0; i < XEN_LEGACY_MAX_VCPUS; i++)
		assert_int_equal(shared->vcpu_info[i].evtchn_upcall_mask, 1);
	t->f->host->mem_put(t->f->inst, (void *)(uintptr_t)shared, 4096);
	assert_int_equal(info.store_evtchn, 1);
	assert_int_equal(info.console.domU.evtchn, 2);
	/* Both rings are the pages behind start_info, mapped, and empty. */
	for (uint64_t i = 0; i < 2; i++) {
		assert_int_equal(gpa_of(t, t->monitor.boot.start_info + 4096 * (i + 1)), rings[i] << 12);
		assert_int_equal(word_at(t->f, rings[i] << 12), 0);
	}
}

static void a_guest_finds_all_of_it(void **state)
{
	struct fixture *t = *state;
	const struct gamut_xenbus_ops *bus;
	char *ref, expected[24];
	void *self;

	start(t);
	assert_int_equal(t->monitor.boots, 1);
	check_guest(t);
	bus = t->f->host->lookup(t->f->inst, GAMUT_XENBUS, GAMUT_XEN_REVISION, 0, &self);
	ref = bus->read(self, "/local/domain/1/console/ring-ref", NULL);
	snprintf(expected, sizeof(expected), "%lu", (unsigned long)info_of(t).console.domU.mfn);
	assert_string_equal(ref, expected);
	free(ref);
	stop(t);
}

/* The ring lies in the guest's RAM: what it writes there is on the terminal. */
static void console_works(void **state)
{
	struct fixture *t = *state;
	struct evtchn_send send = { .port = 2 };
	uint64_t ring, arg = 0x5000;
	uint32_t prod = 5;

	start(t);
	ring = info_of(t).console.domU.mfn << 12;
	assert_int_equal(t->f->host->mem_write(t->f->inst, ring + 1024, "hello", 5), 0);
	assert_int_equal(t->f->host->mem_write(t->f->inst, ring + 1024 + 2048 + 12, &prod, 4), 0);
	t->f->host->mem_write(t->f->inst, arg, &send, sizeof(send));
	assert_int_equal(host_fake_call(t->f, __HYPERVISOR_event_channel_op, EVTCHNOP_send, arg, 0), 0);
	host_fake_run(t->f);
	assert_int_equal(t->f->out_len, 5);
	assert_memory_equal(t->f->out, "hello", 5);
	stop(t);
}

static void reset_boots_anew(void **state)
{
	struct fixture *t = *state;
	uint64_t first;

	start(t);
	first = info_of(t).console.domU.mfn;
	reset(t);
	assert_int_equal(t->monitor.boots, 2);
	check_guest(t);
	assert_int_equal(info_of(t).console.domU.mfn, first);
	stop(t);
}

static void without_a_monitor(void **state)
{
	struct fixture *t = *state;

	assert_int_equal(create(t), 0);
	assert_int_equal(t->platform.d->ops->start(t->platform.self), -ENODEV);
	assert_non_null(strstr(t->f->last_fail, "mmu = \"pv\""));
}

static void a_monitor_that_refuses(void **state)
{
	struct fixture *t = *state;

	t->monitor.boot_error = -EINVAL;
	assert_int_equal(create(t), 0);
	give_all(t);
	assert_int_equal(t->platform.d->ops->start(t->platform.self), -EINVAL);
	assert_non_null(strstr(t->f->last_fail, "cannot take the domain over"));
}

static void a_bad_image_is_found_at_once(void **state)
{
	struct fixture *t = *state;

	t->f->boot.elf_class = 32;
	assert_int_equal(create(t), -ENOEXEC);
	assert_non_null(strstr(t->f->last_fail, "32-bit PV kernel"));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_guest_finds_all_of_it), T(console_works), T(reset_boots_anew), T(without_a_monitor),
		T(a_monitor_that_refuses), T(a_bad_image_is_found_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
