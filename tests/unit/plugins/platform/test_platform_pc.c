/* SPDX-License-Identifier: MIT */
/* The built plugin platform-pc.so as the core loads it, beside interrupt lines that only count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <asm/bootparam.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dm/xen/intr.h"
#include "fake/host-fake.h"
#include "gamut/irq.h"
#include "gamut/pc.h"
#include "gamut/pci.h"
#include "gamut/slots.h"
#include "gamut/plugin.h"
#include "gamut/slots.h"

#define RAM (64ull << 20)
#define BIOS_BYTES (256u << 10)

static struct host_fake *h;
static void *so, *self;
static const struct gamut_descriptor *d;
static uint32_t lines;
static char bios[64], kernel[4096];

static void line_set(void *opaque, uint32_t line, uint32_t level)
{
	(void)opaque;
	lines = level ? lines | 1u << line : lines & ~(1u << line);
}

static uint32_t zero(void *opaque)
{
	(void)opaque;
	return 0;
}

static void nothing(void *opaque, uint32_t level)
{
	(void)opaque;
	(void)level;
}

static uint32_t apic_id(void *opaque, uint32_t vcpu)
{
	(void)opaque;
	return vcpu;
}

static int moved_page(void *opaque, uint64_t gpa, uint32_t width, uint32_t write, uint64_t *value)
{
	(void)opaque;
	(void)width;
	if (gpa != 0xd0000000)
		return -ENOENT;
	if (!write)
		*value = 0x5a;
	return 0;
}

static uint32_t inits;

static void init_pin(void *opaque)
{
	(void)opaque;
	inits++;
}

static const struct gamut_irq_lines_ops lines_ops = {
	.size = sizeof(lines_ops), .set = line_set, .speaker_output = zero, .speaker_gate = nothing, .refresh = zero,
	.apic_id = apic_id, .mmio = moved_page, .init = init_pin,
};

static int setup(void **state)
{
	const struct gamut_plugin *plugin;
	char path[512];
	int fd;

	(void)state;
	h = host_fake_create(RAM, 1);
	host_fake_grow(h, 1ull << 32);
	host_fake_give(h, GAMUT_IRQ_LINES, GAMUT_IRQ_REVISION, &lines_ops, NULL);
	snprintf(path, sizeof(path), "%s/plugins/platform-pc.so", TEST_BUILD_DIR);
	so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!so)
		fail_msg("%s", dlerror());
	plugin = dlsym(so, GAMUT_PLUGIN_SYMBOL);
	d = plugin->descriptors[0];
	strcpy(bios, "/tmp/gamut-bios-XXXXXX");
	fd = mkstemp(bios);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, BIOS_BYTES), 0);
	assert_int_equal(pwrite(fd, "\xea", 1, BIOS_BYTES - 16), 1);
	close(fd);
	host_fake_option(h, "firmware", 0, bios);
	host_fake_option(h, "vgabios", 0, "");
	self = NULL;
	lines = inits = 0;
	h->boot.cmdline = "";
	h->boot.kernel_path = "kernel";
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(bios);
	if (self) {
		d->ops->stop(self);
		d->ops->destroy(self);
	}
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

static uint64_t in(uint64_t port, uint32_t width)
{
	return host_fake_in(h, GAMUT_SPACE_PIO, port, width);
}

static void out(uint64_t port, uint32_t width, uint64_t value)
{
	host_fake_out(h, GAMUT_SPACE_PIO, port, width, value);
}

static uint32_t config(uint32_t devfn, uint32_t reg)
{
	out(0xcf8, 4, 0x80000000u | devfn << 8 | reg);
	return (uint32_t)in(0xcfc, 4);
}

/* A file of the configuration device, by its directory; its size, or -1. Its bytes come next. */
static int64_t find_file(const char *name)
{
	uint8_t count[4], e[64];

	out(0x510, 2, 0x19);
	for (int i = 0; i < 4; i++)
		count[i] = (uint8_t)in(0x511, 1);
	for (int n = count[3]; n; n--) {
		for (int i = 0; i < 64; i++)
			e[i] = (uint8_t)in(0x511, 1);
		if (strcmp((char *)e + 8, name))
			continue;
		out(0x510, 2, (uint32_t)e[4] << 8 | e[5]);
		return e[2] << 8 | e[3];
	}
	return -1;
}

static void test_firmware(void **state)
{
	(void)state;
	power_on();
	assert_int_equal(h->over[0xfffff][0xff0], 0xea);
	assert_int_equal(h->over[0xff][0xff0], 0xea);
	assert_int_equal(h->rom[0xff], 1);
	assert_int_equal(config(0, 0), 0x12378086);
	assert_int_equal(config(8, 0), 0x70008086);
	assert_int_equal(config(0xb, 0), 0x71138086);
	assert_int_equal(config(9, 0), UINT32_MAX); /* the disk plugin's */
	assert_true(find_file("etc/acpi/tables") > 0);
	assert_true(find_file("etc/smbios/smbios-anchor") == 0x1f);
	assert_int_equal(find_file("etc/e820"), 20);
	assert_int_equal(find_file("bootorder"), -1);
	assert_int_equal(find_file("vgaroms/vgabios.bin"), -1);
	assert_int_equal(in(0x402, 1), 0xe9);
	assert_int_equal(in(0x3fd, 1), 0x60); /* COM1: its transmitter is empty */
	assert_int_equal(h->vcpu[0].state.rip, 0); /* nobody touched the vCPU */
	/* What is on no bus may be a local APIC that was moved. */
	assert_int_equal(host_fake_in(h, GAMUT_SPACE_MMIO, 0xd0000000, 4), 0x5a);
	assert_int_equal(host_fake_in(h, GAMUT_SPACE_MMIO, 0xd0001000, 4), UINT32_MAX);
}

/* Xen's parts, which nobody needs here; and a word without an interface. */
static bool has_none(const char *id)
{
	return !strcmp(id, GAMUT_VIRTIO_TRANSPORT) || !strcmp(id, GAMUT_GRANTS) || !strcmp(id, GAMUT_XENBUS) || !strcmp(id, GAMUT_XEN_UNPLUG);
}

static void test_interfaces(void **state)
{
	const struct gamut_pci_bus_ops *pci;
	const struct gamut_serial_ops *serial;
	const struct gamut_firmware_config_ops *files;
	const struct gamut_text_screen_ops *screen;
	const struct gamut_pci_desc desc = { .size = sizeof(desc), .devfn = GAMUT_PCI_ANY, .vendor = 7, .device = 8, .pin = 1 };
	struct gamut_text_screen s = { .size = sizeof(s) };
	struct gamut_pci_function *f;

	(void)state;
	power_on();
	for (const char *const *give = d->gives; *give; give++)
		assert_int_equal(!d->ops->interface(self, *give, 1), has_none(*give));
	assert_null(d->ops->interface(self, GAMUT_PCI_BUS, 2));
	pci = d->ops->interface(self, GAMUT_PCI_BUS, 1);
	assert_int_equal(pci->add(self, &desc, NULL, &f), 0);
	assert_int_equal(pci->devfn(self, f), 2 << 3);
	pci->irq(self, f, 1);
	config(8, 0x60);
	out(0xcfd, 1, 10); /* device 2, INTA#: the second input */
	assert_int_equal(lines, 1u << 10);
	pci->remove(self, f);
	assert_int_equal(lines, 0);
	serial = d->ops->interface(self, GAMUT_SERIAL_PORTS, 1);
	assert_int_equal(serial->count, 2);
	assert_int_equal(serial->attach(self, 2, NULL, NULL), -ENOENT);
	files = d->ops->interface(self, GAMUT_FIRMWARE_CONFIG, 1);
	assert_int_equal(files->file(self, "genroms/x.rom", "abc", 3), 0);
	assert_int_equal(find_file("genroms/x.rom"), 3);
	screen = d->ops->interface(self, GAMUT_TEXT_SCREEN, 1);
	screen->look(self, &s, NULL, 0);
}

static void make_kernel(uint16_t xload)
{
	struct setup_header *hdr = (void *)(kernel + offsetof(struct boot_params, hdr));

	memset(kernel, 0, sizeof(kernel));
	kernel[0x201] = 0x6c;
	*hdr = (struct setup_header){ .setup_sects = 1, .boot_flag = 0xaa55, .jump = 0x6ceb, .header = 0x53726448,
		                      .version = 0x20f, .loadflags = LOADED_HIGH, .xloadflags = xload,
		                      .initrd_addr_max = 0x7fffffff, .cmdline_size = 2047 };
	h->boot.image = kernel;
	h->boot.image_size = sizeof(kernel);
}

static void test_direct(void **state)
{
	uint8_t sum = 0;

	(void)state;
	make_kernel(XLF_KERNEL_64);
	host_fake_option(h, "firmware", 0, "/nowhere"); /* not needed */
	power_on();
	assert_int_equal(h->vcpu[0].state.rip, 0x100200);
	/* Tables where a kernel looks, and the ports they speak of. */
	assert_memory_equal(h->over[0xf0] + 0x40, "RSD PTR ", 8);
	assert_memory_equal(h->over[0xf0], "_SM_", 4);
	for (int i = 0; i < 36; i++)
		sum = (uint8_t)(sum + h->over[0xf0][0x40 + i]);
	assert_int_equal(sum, 0);
	assert_int_equal(in(0x608, 4), 0);
	out(0x605, 1, 0x20);
	assert_int_equal(h->ended, GAMUT_END_POWEROFF);
	out(0x64, 1, 0xfe); /* without firmware, INIT is a reset */
	assert_int_equal(h->ended, GAMUT_END_REBOOT);
}

/* ---- with Xen's interrupts ---- */

static struct xen_intr intr;
static uint32_t unplugged;

static void on_unplug(void *opaque, uint32_t kinds)
{
	(void)opaque;
	unplugged = kinds;
}

static void give_xen(uint32_t can)
{
	assert_int_equal(xen_intr_init_pc(&intr, h->host, h->inst, can), 0);
	host_fake_give(h, GAMUT_XEN_INTERRUPTS, GAMUT_XEN_REVISION, &xen_intr_ops, &intr);
	host_fake_give(h, GAMUT_EVENT_CHANNELS, GAMUT_XEN_REVISION, &xen_intr_evtchn_ops, &intr);
}

static void end_xen(void)
{
	d->ops->stop(self);
	d->ops->destroy(self);
	self = NULL;
	xen_intr_finish(&intr);
}

static uint32_t features(void)
{
	struct xen_feature_info *info = (void *)(h->ram + 0x5000);

	info->submap_idx = 0;
	assert_int_equal(host_fake_call(h, __HYPERVISOR_xen_version, XENVER_get_features, 0x5000, 0), 0);
	return info->submap;
}

static void test_xen(void **state)
{
	const struct gamut_xen_unplug_ops *unplug;
	const struct gamut_xenbus_ops *bus;
	struct { uint64_t addr, size; uint32_t type; } __attribute__((packed)) map[2];

	(void)state;
	give_xen(GAMUT_XEN_INTR_VECTOR | GAMUT_XEN_INTR_TIME);
	power_on();
	assert_int_equal(host_fake_cpuid(h, UINT32_MAX, 0x40000000, 0)->regs[1], 0x566e6558); /* "XenV" */
	assert_true(host_fake_cpuid(h, 0, 0x40000004, 0)->regs[0] & 1u << 6);
	assert_true(features() & 1u << XENFEAT_hvm_callback_vector && features() & 1u << XENFEAT_hvm_safe_pvclock);
	assert_false(features() & 1u << XENFEAT_hvm_pirqs);
	assert_int_equal(config(2 << 3, 0), 0x00015853);
	assert_int_equal(in(0x10, 2), 0x49d2);
	/* Firmware is told to keep its hands off the frames of HVM params. */
	assert_int_equal(find_file("etc/e820"), 40);
	for (size_t i = 0; i < sizeof(map); i++)
		((uint8_t *)map)[i] = (uint8_t)in(0x511, 1);
	assert_int_equal(map[1].addr, 0xfeff8000);
	assert_int_equal(map[1].size, 0x8000);
	assert_int_equal(map[1].type, 2);
	bus = d->ops->interface(self, GAMUT_XENBUS, 1);
	assert_non_null(bus);
	assert_true(bus->special_gfn(self) > 0xfeff8); /* the first is the store's */
	assert_non_null(d->ops->interface(self, GAMUT_GRANTS, 1));
	unplug = d->ops->interface(self, GAMUT_XEN_UNPLUG, 1);
	assert_int_equal(unplug->add(self, GAMUT_XEN_UNPLUG_NICS, on_unplug, NULL), 0);
	out(0x10, 2, 3);
	assert_int_equal(unplugged, 3);
	end_xen();
}

static void test_xen_by_line(void **state)
{
	(void)state;
	give_xen(0);
	power_on();
	assert_false(host_fake_cpuid(h, 0, 0x40000004, 0)->regs[0] & 1u << 6);
	assert_false(features() & (1u << XENFEAT_hvm_callback_vector | 1u << XENFEAT_hvm_safe_pvclock));
	assert_true(features() & 1u << XENFEAT_auto_translated_physmap);
	end_xen();
}

/* The guest has put frames where the machine wants something; a reset finds everything in its place. */
static void test_xen_reset(void **state)
{
	struct xen_add_to_physmap *add = (void *)(h->ram + 0x5000);

	(void)state;
	give_xen(GAMUT_XEN_INTR_VECTOR | GAMUT_XEN_INTR_TIME);
	make_kernel(XLF_KERNEL_64);
	power_on();
	*add = (struct xen_add_to_physmap){ .domid = DOMID_SELF, .space = XENMAPSPACE_grant_table, .gpfn = 0x100 };
	assert_int_equal(host_fake_call(h, __HYPERVISOR_memory_op, XENMEM_add_to_physmap, 0x5000, 0), 0);
	assert_non_null(h->over[0x100]);
	*add = (struct xen_add_to_physmap){ .domid = DOMID_SELF, .space = XENMAPSPACE_shared_info, .gpfn = 0xa0 };
	assert_int_equal(host_fake_call(h, __HYPERVISOR_memory_op, XENMEM_add_to_physmap, 0x5000, 0), 0);
	memset(h->hole + 0xa0, 0, 0x60);
	memset(h->ram, 0, RAM);
	assert_int_equal(d->ops->pause(self), 0);
	assert_int_equal(d->ops->reset(self), 0);
	assert_int_equal(d->ops->resume(self), 0);
	assert_null(h->over[0x100]);
	assert_null(h->over[0xa0]);
	assert_non_null(h->over[0xfeff8]);
	assert_int_equal(h->vcpu[0].state.rip, 0x100200);
	end_xen();
}

static void test_no_trace_of_xen(void **state)
{
	(void)state;
	power_on();
	assert_null(host_fake_cpuid(h, UINT32_MAX, 0x40000000, 0));
	assert_int_equal(config(2 << 3, 0), UINT32_MAX);
	assert_int_equal((uint16_t)in(0x10, 2), 0xffff);
	assert_int_equal((uint8_t)in(0xe9, 1), 0xff);
	assert_int_equal(find_file("etc/e820"), 20);
	for (uint32_t i = 0; i < HOST_FAKE_HYPERCALLS; i++)
		assert_null(h->hypercalls[i].fn);
}

static void test_through_bios(void **state)
{
	(void)state;
	make_kernel(0);
	power_on();
	assert_int_equal(h->vcpu[0].state.rip, 0);
	assert_true(find_file("genroms/linuxboot.bin") > 0);
	assert_true(find_file("bootorder") > 0);
}

static void test_reset(void **state)
{
	(void)state;
	make_kernel(XLF_KERNEL_64);
	power_on();
	out(0xcf9, 1, 6);
	assert_int_equal(h->ended, GAMUT_END_REBOOT);
	memset(&h->vcpu[0].state, 0, sizeof(h->vcpu[0].state));
	h->over[0xf0][0x40] = 0;
	memset(h->hole + 0xa0, 0, 0x60); /* the core makes RAM anew */
	memset(h->ram, 0, RAM);
	assert_int_equal(d->ops->pause(self), 0);
	assert_int_equal(d->ops->reset(self), 0);
	assert_int_equal(d->ops->resume(self), 0);
	assert_int_equal(h->vcpu[0].state.rip, 0x100200);
	assert_memory_equal(h->over[0xf0] + 0x40, "RSD PTR ", 8);
	assert_int_equal(h->ram[0x100000 + 0x200], 0);
	assert_int_equal(in(0x604, 2), 0);
}

/* INIT with firmware is the processors' affair, whose pin is the interrupt controllers'. */
static void test_init(void **state)
{
	(void)state;
	power_on();
	out(0x92, 1, 3);
	assert_int_equal(h->ended, -1);
	assert_int_equal(inits, 1);
	out(0x64, 1, 0xfe);
	assert_int_equal(inits, 2);
	assert_int_equal(h->ended, -1);
	assert_int_equal(host_fake_counter(h, "processor-resets"), 2);
}

static void refuse(const char *with)
{
	assert_int_not_equal(d->ops->create(h->host, h->inst, &self), 0);
	self = NULL;
	if (!strstr(h->last_fail, with))
		fail_msg("\"%s\" says nothing of \"%s\"", h->last_fail, with);
}

static void test_refused(void **state)
{
	(void)state;
	h->boot.image = "rubbish";
	h->boot.image_size = 8;
	refuse("neither a Linux image nor Multiboot");
	h->boot.image = NULL;
	host_fake_option(h, "boot", 0, "direct");
	refuse("boot.kernel");
}

static void test_order(void **state)
{
	(void)state;
	host_fake_option(h, "order", 0, "network,cdrom");
	power_on();
	out(0x70, 1, 0x3d);
	assert_int_equal(in(0x71, 1), 0x34);
}

static void test_bad_order(void **state)
{
	(void)state;
	host_fake_option(h, "order", 0, "disk,tape");
	refuse("disk,tape");
}

static void test_testdev(void **state)
{
	(void)state;
	host_fake_option(h, "testdev", 1, NULL);
	power_on();
	out(0xf4, 1, 1);
	assert_int_equal(h->ended, GAMUT_END_CRASH);
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(firmware), T(interfaces), T(direct), T(through_bios), T(reset), T(init), T(refused), T(order), T(bad_order),
		T(testdev), T(xen), T(xen_by_line), T(xen_reset), T(no_trace_of_xen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
