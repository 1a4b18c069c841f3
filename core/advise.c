/* SPDX-License-Identifier: MIT */
/*
 * Which mode to choose.
 *
 * The order of modes is the one that the history of the field has given:
 * without hardware virtualization, PV, for a kernel in ring 3 needs none; with
 * it, the latest hybrid that the kernel knows, because page tables by hardware
 * beat hypercalls and what is not emulated costs nothing. From the latest on:
 *
 *	pvh              nothing emulated, all PV, page tables by hardware
 *	pvhvm            PV disk, network, interrupts and timers on an emulated PC
 *	kvm              virtio and kvmclock on an emulated PC
 *	hvm-pv-drivers   PV disk and network on an emulated PC
 *	hvm              everything emulated
 *	pv               last: page tables by hypercalls, every system call through the monitor
 *
 * Gamut's own translator changes the question for hosts that have nothing: it
 * translates ring 0 as it does ring 3 and walks the page tables of any mode, so
 * it wants what hardware wants, and the order is the same. What is left for PV is
 * a /dev/kvm in software: it emulates ring 0, one instruction at a time, and
 * runs ring 3 on the processor. There PV on engine kvm comes first, provided
 * that the engine has it.
 *
 * A mode can be taken when the kernel has the entry and the options that it
 * takes, when this build has the plugins, and when an engine can run it here;
 * in that order, so that the reason for a "no" is the one furthest from what a
 * later version may bring. An option is held against a kernel only when its
 * configuration was found.
 */
#include "advise.h"

#include <stdio.h>
#include <string.h>

#include "image/image.h"

const char *const advise_option_names[ADVISE_OPTIONS] = {
	[CONFIG_XEN_PV] = "CONFIG_XEN_PV",
	[CONFIG_XEN_PVHVM] = "CONFIG_XEN_PVHVM",
	[CONFIG_XEN_PVH] = "CONFIG_XEN_PVH",
	[CONFIG_XEN_BLKDEV_FRONTEND] = "CONFIG_XEN_BLKDEV_FRONTEND",
	[CONFIG_KVM_GUEST] = "CONFIG_KVM_GUEST",
	[CONFIG_VIRTIO_PCI] = "CONFIG_VIRTIO_PCI",
	[CONFIG_VIRTIO_BLK] = "CONFIG_VIRTIO_BLK",
};

#define END ADVISE_OPTIONS /* ends a list of options */

#define ANY_KERNEL "for any system that boots on a PC", "the kernel boots on a PC", \
	"the kernel is no Linux bzImage with a 64-bit entry"

/* What a mode asks of a kernel. */
static const struct demand {
	const char *mode;
	uint32_t entry; /* IMAGE_MODE_* */
	const char *nobody, *met, *unmet; /* as a reason: no kernel was named; it has the entry; it has not */
	int options[3];
} demands[] = {
	{ "hvm", IMAGE_MODE_DIRECT, ANY_KERNEL, { END } },
	{ "hvm-pv-drivers", IMAGE_MODE_DIRECT, ANY_KERNEL, { CONFIG_XEN_PVHVM, CONFIG_XEN_BLKDEV_FRONTEND, END } },
	{ "pvhvm", IMAGE_MODE_DIRECT, ANY_KERNEL, { CONFIG_XEN_PVHVM, CONFIG_XEN_BLKDEV_FRONTEND, END } },
	{ "pvh", IMAGE_MODE_PVH, "for kernels with a PVH entry", "the kernel has a PVH entry",
	  "the kernel has no PVH entry (ELF note PHYS32_ENTRY)", { END } },
	{ "pv", IMAGE_MODE_PV, "for 64-bit kernels with a Xen PV entry", "the kernel has a PV entry",
	  "the kernel has no 64-bit PV entry (ELF note ENTRY)", { END } },
	{ "kvm", IMAGE_MODE_DIRECT, ANY_KERNEL, { CONFIG_KVM_GUEST, CONFIG_VIRTIO_PCI, END } },
};

/* From the best on. */
static const struct preference {
	const char *mode, *engine; /* NULL: any */
} in_general[] = {
	{ "pvh", NULL }, { "pvhvm", NULL }, { "kvm", NULL }, { "hvm-pv-drivers", NULL }, { "hvm", NULL }, { "pv", NULL },
};

/* Where /dev/kvm emulates ring 0. */
static const struct preference on_software_kvm[] = {
	{ "pv", "kvm" }, { "pvh", NULL }, { "pvhvm", NULL }, { "kvm", NULL }, { "hvm-pv-drivers", NULL },
	{ "hvm", NULL }, { "pv", NULL },
};

const char *advise_state_name(enum advise_state state)
{
	static const char *const names[] = { "yes", "no", "not in this version" };

	return names[state];
}

/* ---- one mode ---------------------------------------------------------------------------- */

static const struct demand *demand_of(const char *mode)
{
	for (size_t i = 0; i < sizeof(demands) / sizeof(demands[0]); i++) {
		if (!strcmp(demands[i].mode, mode))
			return &demands[i];
	}
	return NULL;
}

/* Whether the kernel can; the reason either way. */
static bool kernel_can(const struct advise_kernel *kernel, const struct demand *demand, char *why, size_t len)
{
	const char *text = !kernel->path ? demand->nobody : kernel->modes & demand->entry ? demand->met : demand->unmet;

	snprintf(why, len, "%s", text);
	if (!kernel->path)
		return true;
	for (int i = 0; demand->options[i] != END; i++) {
		if (kernel->options[demand->options[i]] != OPTION_NO)
			continue;
		snprintf(why, len, "the kernel is built without %s", advise_option_names[demand->options[i]]);
		return false;
	}
	return kernel->modes & demand->entry;
}

static void add_net(struct advise_row *row, const struct advise_build *build)
{
	size_t used = strlen(row->reason);

	if (build->missing_net[0])
		snprintf(row->reason + used, sizeof(row->reason) - used, "; without a network, for %s is missing",
		         build->missing_net);
}

static void judge(const struct advise_facts *facts, const struct advise_build *build, struct advise_row *row)
{
	const struct engine_needs needs = { .mode = build->mode, .caps = build->needs };
	const struct demand *demand = demand_of(build->mode);
	struct engine_choice choice;

	*row = (struct advise_row){ .mode = build->mode, .state = ADVISE_NO };
	if (demand && !kernel_can(&facts->kernel, demand, row->reason, sizeof(row->reason)))
		return;
	if (build->missing[0]) {
		row->state = ADVISE_NOT_BUILT;
		snprintf(row->reason, sizeof(row->reason), "missing: %s", build->missing);
	} else if (build->broken[0]) {
		snprintf(row->reason, sizeof(row->reason), "%s", build->broken);
	} else if (!engine_decide(&facts->engines, CONF_ENGINE_AUTO, &needs, &choice)) {
		snprintf(row->reason, sizeof(row->reason), "%s", choice.why);
	} else if (choice.lack) {
		snprintf(row->reason, sizeof(row->reason), "%s, which %s", choice.why, choice.lack);
	} else {
		row->state = ADVISE_YES;
		row->engine = choice.ops->name;
		add_net(row, build);
	}
}

/* ---- all of them --------------------------------------------------------------------------- */

static const struct advise_row *find(const struct advice *advice, const struct preference *wanted)
{
	for (size_t i = 0; i < advice->n_rows; i++) {
		const struct advise_row *row = &advice->rows[i];

		if (row->state == ADVISE_YES && !strcmp(row->mode, wanted->mode) &&
		    (!wanted->engine || !strcmp(row->engine, wanted->engine)))
			return row;
	}
	return NULL;
}

static const struct advise_row *choose(const struct advice *advice, enum kvm_kind kind)
{
	const struct preference *list = kind == KVM_SOFTWARE ? on_software_kvm : in_general;
	size_t n = kind == KVM_SOFTWARE ? sizeof(on_software_kvm) / sizeof(on_software_kvm[0])
	                                : sizeof(in_general) / sizeof(in_general[0]);
	const struct advise_row *best = NULL;

	for (size_t i = 0; i < n && !best; i++)
		best = find(advice, &list[i]);
	return best;
}

static void explain(const struct advise_facts *facts, struct advice *advice)
{
	const struct advise_row *best = advice->best;
	const char *found = facts->engines.kvm_probe.why, *of = facts->kernel.path ? "this kernel and build" : "this build";

	if (!best)
		snprintf(advice->why, sizeof(advice->why), "no mode can run here; the table says what is in the way of each");
	else if (!strcmp(best->engine, "kvm") && facts->engines.kvm_probe.kind == KVM_SOFTWARE)
		snprintf(advice->why, sizeof(advice->why),
		         "%s, but it runs ring 3 on the processor, and a PV guest has its kernel there", found);
	else if (!strcmp(best->engine, "kvm"))
		snprintf(advice->why, sizeof(advice->why),
		         "there is hardware virtualization (%s), and %s is the latest hybrid that %s can do", found,
		         best->mode, of);
	else if (facts->engines.kvm_probe.kind == KVM_HARDWARE)
		snprintf(advice->why, sizeof(advice->why),
		         "there is hardware virtualization (%s), but %s; the translator runs %s, the latest hybrid that %s "
		         "can do",
		         found, facts->engines.kvm.works ? "the engine kvm cannot run this mode" : facts->engines.kvm.why,
		         best->mode, of);
	else
		snprintf(advice->why, sizeof(advice->why),
		         "no hardware virtualization (%s), so the translator runs it, and %s is the latest hybrid that %s "
		         "can do",
		         found, best->mode, of);
}

void advise(const struct advise_facts *facts, struct advice *advice)
{
	memset(advice, 0, sizeof(*advice));
	for (size_t i = 0; i < facts->n_builds; i++)
		judge(facts, &facts->builds[i], &advice->rows[advice->n_rows++]);
	advice->best = choose(advice, facts->engines.kvm_probe.kind);
	explain(facts, advice);
}
