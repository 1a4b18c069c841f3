/* SPDX-License-Identifier: MIT */
/* Who gets the frames: an e1000 and a PV front end on one network, through connecting, unplugging and reset. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dm/net/e1000-reg.h"
#include "dm/net/e1000-twin.h"
#include "fake/netdev-fake.h"
#include "fake/pci-fake.h"
#include "gamut/xen.h"

#define RAM     (4u << 20)
#define RX_RING 0x20000u
#define RX_DATA 0x200000u
#define COUNT   8u

static const uint8_t mac[6] = {0x00, 0x16, 0x3e, 0x11, 0x22, 0x33};

struct world {
	struct host_fake *f;
	struct pci_fake pci;
	struct netdev_fake *net;
	struct e1000_twin *t;
	uint32_t pv_frames, pv_room, pv_writable, pv_links;
	gamut_xen_unplug_fn unplug;
	void *unplug_opaque;
	uint32_t kinds;
};

static uint32_t pv_receive(void *opaque, const struct netdev_frame *frames, uint32_t n)
{
	struct world *w = opaque;
	uint32_t take = n < w->pv_room ? n : w->pv_room;

	(void)frames;
	w->pv_frames += take;
	return take;
}

static void pv_writable(void *opaque)
{
	((struct world *)opaque)->pv_writable++;
}

static void pv_link(void *opaque, bool up)
{
	(void)up;
	((struct world *)opaque)->pv_links++;
}

static int add_unplug(void *self, uint32_t kinds, gamut_xen_unplug_fn fn, void *opaque)
{
	struct world *w = self;

	w->kinds = kinds;
	w->unplug = fn;
	w->unplug_opaque = opaque;
	return 0;
}

static const struct gamut_xen_unplug_ops unplug_ops = {.size = sizeof(unplug_ops), .add = add_unplug};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct netdev_front pv = {
	        .receive = pv_receive, .writable = pv_writable, .link = pv_link, .opaque = w};

	memcpy(pv.mac, mac, sizeof(mac));
	w->pv_room = UINT32_MAX;
	w->f = host_fake_create(RAM, 1);
	host_fake_option(w->f, "rom", 0, "");
	w->net = netdev_fake_create();
	w->pci = (struct pci_fake){.host = w->f, .master = true};
	w->t = e1000_twin_create(w->f->host, w->f->inst, &pv);
	e1000_twin_front(w->t, &w->net->front);
	assert_memory_equal(w->net->front.mac, mac, sizeof(mac));
	e1000_twin_connect(w->t, &w->net->netdev);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	e1000_twin_stop(w->t);
	assert_int_equal(w->pci.functions, 0);
	e1000_twin_destroy(w->t);
	netdev_fake_destroy(w->net);
	assert_int_equal(host_fake_destroy(w->f), 0);
	free(w);
	return 0;
}

static void on_a_pc(struct world *w)
{
	host_fake_give(w->f, GAMUT_PCI_BUS, GAMUT_PCI_REVISION, &pci_fake_ops, &w->pci);
	host_fake_give(w->f, GAMUT_XEN_UNPLUG, GAMUT_XEN_REVISION, &unplug_ops, w);
}

static void set(struct world *w, uint32_t offset, uint32_t value)
{
	pci_fake_write(&w->pci, 0, offset, 4, value);
}

static uint32_t head(struct world *w)
{
	return (uint32_t)pci_fake_read(&w->pci, 0, E1000_RDH, 4);
}

/* A driver that takes everything. */
static void drive(struct world *w)
{
	w->pci.master = true;
	for (uint32_t i = 0; i < COUNT; i++) {
		struct e1000_rx_desc rx = {.address = RX_DATA + i * 2048};

		memcpy(w->f->ram + RX_RING + i * 16, &rx, 16);
	}
	set(w, E1000_CTRL, CTRL_SLU);
	set(w, E1000_RDBAL, RX_RING);
	set(w, E1000_RDLEN, COUNT * 16);
	set(w, E1000_RDH, 0);
	set(w, E1000_RDT, COUNT - 1);
	set(w, E1000_RCTL, RCTL_EN | RCTL_BAM | RCTL_UPE);
}

static bool give(struct world *w)
{
	uint8_t frame[100] = {0};

	memcpy(frame, mac, sizeof(mac));
	return netdev_fake_give(w->net, frame, sizeof(frame), 0);
}

static void test_no_pc(void **state)
{
	struct world *w = *state;

	assert_int_equal(e1000_twin_start(w->t), 0);
	assert_int_equal(w->pci.functions, 0);
	assert_true(give(w));
	assert_int_equal(w->pv_frames, 1);
	w->net->front.writable(w->net->front.opaque);
	w->net->front.link(w->net->front.opaque, false);
	assert_int_equal(w->pv_writable, 1);
	assert_int_equal(w->pv_links, 1);
	e1000_twin_reset(w->t);
}

static void test_wanted_but_no_pc(void **state)
{
	struct world *w = *state;

	host_fake_option(w->f, "emulated", 0, "true");
	assert_int_equal(e1000_twin_start(w->t), -ENODEV);
}

static void test_not_wanted(void **state)
{
	struct world *w = *state;

	on_a_pc(w);
	host_fake_option(w->f, "emulated", 0, "false");
	assert_int_equal(e1000_twin_start(w->t), 0);
	assert_int_equal(w->pci.functions, 0);
}

static void test_who_gets_the_frames(void **state)
{
	struct world *w = *state;

	on_a_pc(w);
	assert_int_equal(e1000_twin_start(w->t), 0);
	assert_int_equal(w->kinds, GAMUT_XEN_UNPLUG_NICS);
	drive(w);
	assert_true(give(w));
	assert_int_equal(head(w), 1);
	assert_int_equal(w->pv_frames, 0);
	/* Both are there, and the PV one is used. */
	e1000_twin_pv(w->t, true);
	assert_true(give(w));
	assert_int_equal(head(w), 1);
	assert_int_equal(w->pv_frames, 1);
	e1000_twin_pv(w->t, false);
	assert_true(give(w));
	assert_int_equal(head(w), 2);
}

static void test_unplug(void **state)
{
	struct world *w = *state;

	on_a_pc(w);
	assert_int_equal(e1000_twin_start(w->t), 0);
	drive(w);
	/* Descriptors run out: frames wait in the back end, */
	while (give(w))
		;
	assert_int_equal(head(w), COUNT - 1);
	w->unplug(w->unplug_opaque, GAMUT_XEN_UNPLUG_NICS);
	assert_true(w->pci.absent);
	assert_int_equal(w->pci.level, 0);
	/* and are offered again. */
	w->net->readies = 0;
	host_fake_run(w->f);
	assert_int_equal(w->net->readies, 1);
	assert_true(give(w));
	assert_int_equal(w->pv_frames, 1);
	w->unplug(w->unplug_opaque, GAMUT_XEN_UNPLUG_NICS);
	w->net->front.link(w->net->front.opaque, false);
	w->net->front.link(w->net->front.opaque, true);
	host_fake_run(w->f);
	assert_int_equal(w->pci.level, 0);
	/* A reset brings it back, whatever the PV front end was. */
	e1000_twin_pv(w->t, true);
	e1000_twin_reset(w->t);
	assert_false(w->pci.absent);
	drive(w);
	assert_true(give(w));
	assert_int_equal(head(w), 1);
	assert_int_equal(w->pv_frames, 1);
}

/* A frame that another vCPU was sending: no memory is read for it any more. */
static void test_unplug_while_sending(void **state)
{
	struct world *w = *state;

	on_a_pc(w);
	assert_int_equal(e1000_twin_start(w->t), 0);
	drive(w);
	set(w, E1000_TDBAL, 0x10000);
	set(w, E1000_TDLEN, 128);
	set(w, E1000_TCTL, TCTL_EN);
	set(w, E1000_TDT, 4);
	w->unplug(w->unplug_opaque, GAMUT_XEN_UNPLUG_NICS);
	w->pci.reads = w->pci.writes = 0;
	host_fake_run(w->f);
	assert_int_equal(w->net->n_sent, 0);
	/* An access that was under way still arrives. */
	set(w, E1000_TCTL, TCTL_EN);
	set(w, E1000_TDT, 4);
	host_fake_run(w->f);
	assert_int_equal(w->pci.reads + w->pci.writes, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        T(no_pc),  T(wanted_but_no_pc),     T(not_wanted), T(who_gets_the_frames),
	        T(unplug), T(unplug_while_sending),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
