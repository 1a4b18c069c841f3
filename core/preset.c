/* SPDX-License-Identifier: MIT */
/*
 * The table of presets, and the table of what cannot go together.
 *
 * A rule speaks of words that this project has given a meaning; a plugin from
 * elsewhere brings words of its own, and what those cannot go with follows
 * from its needs (preset-resolve.c). So a rule lists the words it is about,
 * and never forbids "anything but".
 */
#include "preset.h"

#include <stdio.h>
#include <string.h>

#define D GAMUT_AXIS_DISK
#define N GAMUT_AXIS_NET
#define I GAMUT_AXIS_INTERRUPTS
#define P GAMUT_AXIS_PLATFORM
#define M GAMUT_AXIS_MMU
#define C GAMUT_AXIS_CONSOLE

/* clang-format off */
const struct preset presets[] = {
	{ "hvm", "full virtualization: an unmodified guest on an emulated PC",
	  { [D] = "ide", [N] = "e1000", [I] = "apic", [P] = "pc", [M] = "hap", [C] = "serial" } },
	{ "hvm-pv-drivers", "an emulated PC with Xen disk and network",
	  { [D] = "xen", [N] = "xen", [I] = "apic", [P] = "pc", [M] = "hap", [C] = "serial" } },
	{ "pvhvm", "an emulated PC with Xen disk, network, interrupts and timers",
	  { [D] = "xen", [N] = "xen", [I] = "xen", [P] = "pc", [M] = "hap", [C] = "serial" } },
	{ "pvh", "no emulated devices at all, page tables by hardware or engine",
	  { [D] = "xen", [N] = "xen", [I] = "xen", [P] = "pvh", [M] = "hap", [C] = "xen" } },
	{ "pv", "full paravirtualization: a guest kernel in ring 3 with direct paging",
	  { [D] = "xen", [N] = "xen", [I] = "xen", [P] = "pv", [M] = "pv", [C] = "xen" } },
	{ "kvm", "an emulated PC with virtio disk and network and kvmclock",
	  { [D] = "virtio", [N] = "virtio", [I] = "kvmclock", [P] = "pc", [M] = "hap", [C] = "serial" } },
};
const size_t n_presets = sizeof(presets) / sizeof(presets[0]);

/*
 * All of `when` hold: the domain cannot work. What is wrong is between the first
 * two; the third only chooses the remedy. The first remedy of each rule that a
 * domain breaks, all taken together, make a domain that works.
 */
struct rule {
	struct {
		enum gamut_axis axis;
		const char *words[5];
	} when[3]; /* the third may be left out */
	const char *why;
	const char *instead;
};

static const struct rule rules[] = {
	{ { { M, { "pv" } }, { P, { "pc", "pvh" } } },
	  "the PV MMU runs the guest's kernel in ring 3 with direct paging, which only a kernel entered as PV expects",
	  "use mmu = \"hap\", or platform = \"pv\" (mode = \"pv\")" },
	{ { { P, { "pv" } }, { M, { "hap", "shadow" } } },
	  "a kernel entered as PV runs in ring 3 and changes its page tables by hypercalls alone",
	  "use mmu = \"pv\", or platform = \"pvh\" (mode = \"pvh\")" },
	{ { { I, { "apic", "kvmclock" } }, { P, { "pv" } } },
	  "a kernel in ring 3 reaches no APIC; interrupts and time come as event channels",
	  "use interrupts = \"xen\", or platform = \"pc\"" },
	{ { { D, { "xen" } }, { I, { "apic" } }, { P, { "pvh" } } },
	  "without a PC a guest takes Xen's events by a vector alone, which an APIC's lines do not have",
	  "use interrupts = \"xen\", or disk = \"virtio\"" },
	{ { { N, { "xen" } }, { I, { "apic" } }, { P, { "pvh" } } },
	  "without a PC a guest takes Xen's events by a vector alone, which an APIC's lines do not have",
	  "use interrupts = \"xen\", or net = \"virtio\"" },
	{ { { C, { "xen" } }, { I, { "apic" } }, { P, { "pvh" } } },
	  "without a PC a guest takes Xen's events by a vector alone, which an APIC's lines do not have",
	  "use interrupts = \"xen\", or console = \"serial\"" },
	{ { { D, { "ide" } }, { P, { "pv" } } },
	  "an IDE disk is part of a PC's chip set, and this platform has none",
	  "use disk = \"xen\", or platform = \"pc\" (mode = \"hvm\")" },
	{ { { D, { "ide" } }, { P, { "pvh" } }, { I, { "xen" } } },
	  "an IDE disk is part of a PC's chip set, and this platform has none",
	  "use disk = \"xen\", or platform = \"pc\" (mode = \"hvm\")" },
	{ { { D, { "ide" } }, { P, { "pvh" } }, { I, { "apic", "kvmclock" } } },
	  "an IDE disk is part of a PC's chip set, and this platform has none",
	  "use disk = \"virtio\", or platform = \"pc\" (mode = \"hvm\")" },
	{ { { D, { "virtio" } }, { P, { "pv" } } },
	  "a virtio disk needs a PCI bus or a place in memory, and this platform has neither",
	  "use disk = \"xen\", or platform = \"pc\" (mode = \"kvm\")" },
	{ { { N, { "e1000", "rtl8139" } }, { P, { "pv" } } },
	  "an emulated network card is a PCI function, and this platform has no PCI bus",
	  "use net = \"xen\", or platform = \"pc\" (mode = \"hvm\")" },
	{ { { N, { "e1000", "rtl8139" } }, { P, { "pvh" } }, { I, { "xen" } } },
	  "an emulated network card is a PCI function, and this platform has no PCI bus",
	  "use net = \"xen\", or platform = \"pc\" (mode = \"hvm\")" },
	{ { { N, { "e1000", "rtl8139" } }, { P, { "pvh" } }, { I, { "apic", "kvmclock" } } },
	  "an emulated network card is a PCI function, and this platform has no PCI bus",
	  "use net = \"virtio\", or platform = \"pc\" (mode = \"hvm\")" },
	{ { { N, { "virtio" } }, { P, { "pv" } } },
	  "a virtio network card needs a PCI bus or a place in memory, and this platform has neither",
	  "use net = \"xen\", or platform = \"pc\" (mode = \"kvm\")" },
	{ { { C, { "serial" } }, { P, { "pv" } } },
	  "a serial port needs an interrupt controller, and this platform has none",
	  "use console = \"xen\", or platform = \"pc\" (mode = \"hvm\")" },
	{ { { C, { "vga" } }, { P, { "pv" } } },
	  "screen and keyboard are a PC's, and this platform has none",
	  "use console = \"xen\", or platform = \"pc\" (mode = \"hvm\")" },
	{ { { C, { "vga" } }, { P, { "pvh" } } },
	  "screen and keyboard are a PC's, and this platform has none",
	  "use console = \"serial\", or platform = \"pc\" (mode = \"hvm\")" },
	{ { { D, { "xen" } }, { I, { "kvmclock" } }, { P, { "pc", "pvh" } } },
	  "a guest takes its machine for KVM's or for Xen's, never for both, and so finds only one of the two",
	  "use disk = \"virtio\", or interrupts = \"xen\" or \"apic\"" },
	{ { { N, { "xen" } }, { I, { "kvmclock" } }, { P, { "pc", "pvh" } } },
	  "a guest takes its machine for KVM's or for Xen's, never for both, and so finds only one of the two",
	  "use net = \"virtio\", or interrupts = \"xen\" or \"apic\"" },
	{ { { C, { "xen" } }, { I, { "kvmclock" } }, { P, { "pc", "pvh" } } },
	  "a guest takes its machine for KVM's or for Xen's, never for both, and so finds only one of the two",
	  "use console = \"serial\", or interrupts = \"xen\" or \"apic\"" },
};
/* clang-format on */

const struct preset *preset_find(const char *name)
{
	for (size_t i = 0; i < n_presets; i++)
		if (strcmp(presets[i].name, name) == 0)
			return &presets[i];
	return NULL;
}

void preset_apply(const struct preset *preset, const struct preset_wish *wish, struct axis_choices *choices)
{
	*choices = (struct axis_choices){
	        .preset = preset, .devices = wish->devices, .n_devices = wish->n_devices};
	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++) {
		struct axis_choice *a = &choices->axis[axis];

		a->overridden = wish->override[axis] != NULL;
		a->choice = a->overridden ? wish->override[axis] : preset->choice[axis];
		a->line = a->overridden ? wish->line[axis] : wish->mode_line;
	}
	if (!wish->has_disk && !choices->axis[D].overridden)
		choices->axis[D].choice = CHOICE_NONE;
	if (!wish->has_net && !choices->axis[N].overridden)
		choices->axis[N].choice = CHOICE_NONE;
}

const struct axis_choice *preset_choice(const struct axis_choices *choices, size_t i, enum gamut_axis *axis)
{
	enum gamut_axis ignored;

	if (!axis)
		axis = &ignored;
	*axis = (enum gamut_axis)i;
	if (i < GAMUT_AXIS_COUNT)
		return &choices->axis[i];
	i -= GAMUT_AXIS_COUNT;
	if (i >= choices->n_devices)
		return NULL;
	*axis = choices->devices[i].axis;
	return &choices->devices[i].choice;
}

bool preset_needs_kernel(const struct axis_choices *choices)
{
	const char *platform = choices->axis[P].choice;

	return strcmp(platform, "pvh") == 0 || strcmp(platform, "pv") == 0;
}

static bool word_in(const char *word, const char *const words[5])
{
	for (int i = 0; i < 5 && words[i]; i++)
		if (strcmp(words[i], word) == 0)
			return true;
	return false;
}

static bool rule_broken(const struct rule *rule, const struct axis_choices *choices)
{
	for (int i = 0; i < 3 && rule->when[i].words[0]; i++)
		if (!word_in(choices->axis[rule->when[i].axis].choice, rule->when[i].words))
			return false;
	return true;
}

static bool rule_is_about(const struct rule *rule, enum gamut_axis axis)
{
	for (int i = 0; i < 3 && rule->when[i].words[0]; i++)
		if (rule->when[i].axis == axis)
			return true;
	return false;
}

/* The choices as they are to a device: its own in the place of its axis'. */
static struct axis_choices seen_by(const struct axis_choices *choices, const struct device_choice *device)
{
	struct axis_choices seen = *choices;

	seen.axis[device->axis] = device->choice;
	return seen;
}

static bool device_rules_hold(const struct axis_choices *choices, const struct device_choice *device)
{
	const struct axis_choices seen = seen_by(choices, device);

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (rule_broken(&rules[i], &seen))
			return false;
	return true;
}

bool preset_rules_hold(const struct axis_choices *choices)
{
	static const enum gamut_axis needed[] = {P, M, I};

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (strcmp(choices->axis[needed[i]].choice, CHOICE_NONE) == 0)
			return false;
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (rule_broken(&rules[i], choices))
			return false;
	for (size_t i = 0; i < choices->n_devices; i++)
		if (!device_rules_hold(choices, &choices->devices[i]))
			return false;
	return true;
}

/* `disk = "ide"` and whose word that is. */
static void setting_text(const struct axis_choices *choices, enum gamut_axis axis, char *buf, size_t len)
{
	const struct axis_choice *a = &choices->axis[axis];

	snprintf(buf, len, "%s = \"%s\"%s%s%s", axis_name(axis), a->choice,
	         a->overridden ? "" : " (of mode \"", a->overridden ? "" : choices->preset->name,
	         a->overridden ? "" : "\")");
}

/* The line of the setting that the user wrote rather than the preset. */
static unsigned rule_line(const struct rule *rule, const struct axis_choices *choices)
{
	const struct axis_choice *a = &choices->axis[rule->when[0].axis];
	const struct axis_choice *b = &choices->axis[rule->when[1].axis];

	return b->overridden && !a->overridden ? b->line : a->line;
}

/* Axes that must have something. */
static int check_not_none(const struct axis_choices *choices, const char *file, struct diag *diag)
{
	static const enum gamut_axis needed[] = {P, M, I};
	int rc = 0;

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (strcmp(choices->axis[needed[i]].choice, CHOICE_NONE) == 0)
			rc = diag_error(
			        diag, file, choices->axis[needed[i]].line,
			        "axes.%s: no domain runs without one; use \"%s\", as mode \"%s\" does",
			        axis_name(needed[i]), choices->preset->choice[needed[i]],
			        choices->preset->name);
	return rc;
}

static int report_broken(const struct rule *rule, const struct axis_choices *choices, const char *where, unsigned line,
                         const char *file, struct diag *diag)
{
	char a[128], b[128];

	setting_text(choices, rule->when[0].axis, a, sizeof(a));
	setting_text(choices, rule->when[1].axis, b, sizeof(b));
	return diag_error(diag, file, line, "%s: %s cannot work with %s: %s; %s", where, a, b, rule->why, rule->instead);
}

/* Rules about other axes have been checked with those. */
static int check_device_rules(const struct axis_choices *choices, const struct device_choice *device, const char *file,
                              struct diag *diag)
{
	const struct axis_choices seen = seen_by(choices, device);
	int rc = 0;

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (rule_is_about(&rules[i], device->axis) && rule_broken(&rules[i], &seen))
			rc = report_broken(&rules[i], &seen, device->choice.where, device->choice.line, file, diag);
	return rc;
}

int preset_check_rules(const struct axis_choices *choices, const char *file, struct diag *diag)
{
	int rc = check_not_none(choices, file, diag);

	if (rc)
		return rc;
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (rule_broken(&rules[i], choices))
			rc = report_broken(&rules[i], choices, "axes", rule_line(&rules[i], choices), file, diag);
	for (size_t i = 0; i < choices->n_devices; i++)
		if (check_device_rules(choices, &choices->devices[i], file, diag))
			rc = -1;
	return rc;
}
