/* SPDX-License-Identifier: MIT */
/* What intr-apic.so and intr-xen.so make of themselves, by what others in the domain need. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fake/host-fake.h"
#include "gamut/irq.h"
#include "gamut/plugin.h"
#include "gamut/xen.h"

static struct host_fake *h;
static void *so, *self;
static const struct gamut_descriptor *d;
static uint32_t irqchips;

static int irqchip_create(struct gamut_inst *inst, uint32_t kind, void (*eoi)(void *opaque, uint32_t vector), void *opaque)
{
	(void)inst;
	(void)kind;
	(void)eoi;
	(void)opaque;
	irqchips++;
	return 0;
}

static int load(const char *name)
{
	const struct gamut_plugin *plugin;
	char path[512];

	h = host_fake_create(1 << 20, 2);
	h->table.irqchip_create = irqchip_create;
	irqchips = 0;
	self = NULL;
	snprintf(path, sizeof(path), "%s/plugins/%s.so", TEST_BUILD_DIR, name);
	so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!so)
		fail_msg("%s", dlerror());
	plugin = dlsym(so, GAMUT_PLUGIN_SYMBOL);
	d = plugin->descriptors[0];
	return 0;
}

static int setup_apic(void **state)
{
	(void)state;
	return load("intr-apic");
}

static int setup_xen(void **state)
{
	(void)state;
	return load("intr-xen");
}

static int teardown(void **state)
{
	(void)state;
	if (self)
		d->ops->destroy(self);
	dlclose(so);
	return host_fake_destroy(h) != 0;
}

static void power_on(void)
{
	int rc = d->ops->create(h->host, h->inst, &self);

	if (!rc)
		rc = d->ops->start(self);
	if (rc)
		fail_msg("%s", h->last_fail);
}

static const void *given(const char *id)
{
	return d->ops->interface(self, id, 1);
}

static uint32_t can(void)
{
	const struct gamut_xen_intr_ops *ops = given(GAMUT_XEN_INTERRUPTS);

	return ops->can(self);
}

/* Its life on: nothing here may depend on whether there is Xen. */
static void live_on(void)
{
	assert_int_equal(d->ops->pause ? d->ops->pause(self) : 0, 0);
	assert_int_equal(d->ops->reset(self), 0);
	assert_int_equal(d->ops->resume(self), 0);
}

static void apic_alone(void **state)
{
	(void)state;
	host_fake_option(h, "irqchip", 0, "own");
	power_on();
	assert_non_null(given(GAMUT_IRQ_LINES));
	assert_null(given(GAMUT_EVENT_CHANNELS));
	assert_null(given(GAMUT_XEN_INTERRUPTS));
	for (uint32_t i = 0; i < HOST_FAKE_HYPERCALLS; i++)
		assert_null(h->hypercalls[i].fn);
	live_on();
}

static void apic_of_the_engine(void **state)
{
	(void)state;
	power_on();
	assert_int_equal(irqchips, 1);
	assert_null(h->irq);
	assert_null(given(GAMUT_EVENT_CHANNELS));
	live_on();
}

/* Event channels by a line: the controllers are ours, whatever the engine has. */
static void apic_with_events(void **state)
{
	static const char *const ids[] = { GAMUT_EVENT_CHANNELS, GAMUT_GRANTS, GAMUT_XENBUS };

	host_fake_need(h, ids[(uintptr_t)*state]);
	power_on();
	assert_int_equal(irqchips, 0);
	assert_non_null(h->irq);
	assert_non_null(given(GAMUT_IRQ_LINES));
	assert_non_null(given(GAMUT_EVENT_CHANNELS));
	assert_int_equal(can(), 0);
	live_on();
}

static void apic_of_the_engine_with_events(void **state)
{
	(void)state;
	host_fake_need(h, GAMUT_EVENT_CHANNELS);
	host_fake_option(h, "irqchip", 0, "kernel");
	assert_int_equal(d->ops->create(h->host, h->inst, &self), -EINVAL);
	self = NULL;
	assert_non_null(strstr(h->last_fail, "irqchip = \"kernel\""));
	assert_non_null(strstr(h->last_fail, "\"own\""));
}

static void xen_without_a_board(void **state)
{
	(void)state;
	power_on();
	assert_null(given(GAMUT_IRQ_LINES));
	assert_non_null(given(GAMUT_EVENT_CHANNELS));
	assert_int_equal(can(), GAMUT_XEN_INTR_VECTOR | GAMUT_XEN_INTR_TIME);
	assert_int_equal(h->n_pio, 0);
	live_on();
}

static void xen_on_a_pc(void **state)
{
	const struct gamut_irq_lines_ops *lines;

	(void)state;
	host_fake_need(h, GAMUT_IRQ_LINES);
	power_on();
	lines = given(GAMUT_IRQ_LINES);
	assert_non_null(lines);
	assert_int_equal(lines->apic_id(self, 1), 1);
	assert_int_equal(can(), GAMUT_XEN_INTR_VECTOR | GAMUT_XEN_INTR_TIME);
	assert_true(h->n_pio >= 4); /* 8259s, 8254 */
	live_on();
}

#define APIC(name) cmocka_unit_test_setup_teardown(name, setup_apic, teardown)
#define XEN(name) cmocka_unit_test_setup_teardown(name, setup_xen, teardown)
#define NEED(n) { "apic_with_events " #n, apic_with_events, setup_apic, teardown, (void *)(n) }

int main(void)
{
	const struct CMUnitTest tests[] = {
		APIC(apic_alone), APIC(apic_of_the_engine), NEED(0), NEED(1), NEED(2), APIC(apic_of_the_engine_with_events),
		XEN(xen_without_a_board), XEN(xen_on_a_pc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
