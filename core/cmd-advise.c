/* SPDX-License-Identifier: MIT */
/* gamut advise: the facts, the table, and the recommendation, as text or JSON. */
#include "cmd.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "advise.h"
#include "image/image.h"
#include "json.h"

static const char help[] =
	"Usage: gamut advise [--json] [KERNEL]\n\n"
	"Says what this host, its processor and this build can do, mode by mode, with a\n"
	"kernel (ELF, or a distribution's vmlinuz) or with kernels in general, and which\n"
	"mode to choose, with the reason. /dev/kvm is measured, not believed. Of a Linux\n"
	"kernel, a file config-* beside it is read as well.\n\n"
	"The recommendation: with hardware virtualization, the latest hybrid that kernel\n"
	"and build can do, in the order pvh, pvhvm, kvm, hvm-pv-drivers, hvm, pv; where\n"
	"/dev/kvm emulates ring 0, pv on engine kvm if it can be had; else as with\n"
	"hardware, on engine bt.\n\n"
	"  --json   print everything as JSON\n\n"
	"Exit status: 0 a mode is recommended, 1 none can run or the kernel cannot be\n"
	"read, 2 bad usage.\n";

/* ---- text -------------------------------------------------------------------------- */

#define FACT "  %-16s "
#define ROW  "%-16s %-20s %-8s %s\n"

static const char *yes_no(bool yes)
{
	return yes ? "yes" : "no";
}

static void print_processor(const struct advise_host *h)
{
	printf(FACT "%u x %s%s%s%s%s\n", "processors", h->cpus, h->model[0] ? h->model : "unknown",
	       h->vendor[0] ? " (" : "", h->vendor, h->vendor[0] ? ")" : "", h->virtual_machine ? ", virtual" : "");
	printf(FACT "%s%s%s", "virtualization", h->svm ? "SVM" : h->vmx ? "VMX" : "no SVM or VMX",
	       h->npt ? " with NPT" : "", h->ept ? " with EPT" : "");
	if (h->nested >= 0)
		printf(", nested: %s", yes_no(h->nested));
	printf("\n");
}

static void print_host(const struct advise_facts *f)
{
	const struct advise_host *h = &f->host;

	printf("Host\n");
	print_processor(h);
	printf(FACT "%s: %s\n", "KVM", kvm_kind_name(f->engines.kvm_probe.kind), f->engines.kvm_probe.why);
	printf(FACT "Linux %s\n", "system", h->release);
	printf(FACT "%" PRIu64 " MiB; huge pages of %" PRIu64 " KiB: %" PRIu64 ", %" PRIu64 " of them free\n", "memory",
	       h->memory_mib, h->huge_kib, h->huge_total, h->huge_free);
	printf(FACT "%u\n", "IOMMU groups", h->iommu_groups);
}

static const char *option_text(enum advise_option option)
{
	static const char *const texts[] = { "?", "n", "m", "y" };

	return texts[option];
}

static void print_config(const struct advise_kernel *k)
{
	printf(FACT "%s\n", "configuration", k->config);
	for (int i = 0; i < ADVISE_OPTIONS; i++)
		printf(FACT "%s=%s\n", "", advise_option_names[i], option_text(k->options[i]));
}

static void print_kernel(const struct advise_kernel *k)
{
	char modes[64];

	printf("\nKernel %s\n", k->path);
	printf(FACT "%s, %" PRIu32 "-bit, packing: %s\n", "format", k->format, k->bits, k->packing);
	if (k->version[0])
		printf(FACT "Linux %s\n", "version", k->version);
	printf(FACT "%s\n", "entries", image_mode_names(k->modes, modes, sizeof(modes)));
	if (k->guest_os[0])
		printf(FACT "%s%s%s\n", "guest OS", k->guest_os, k->loader[0] ? ", loader " : "", k->loader);
	if (k->features[0])
		printf(FACT "%s\n", "Xen features", k->features);
	if (k->supported[0])
		printf(FACT "%s\n", "supported", k->supported);
	if (k->config[0])
		print_config(k);
}

static void print_text(const struct advise_facts *facts, const struct advice *a)
{
	print_host(facts);
	if (facts->kernel.path)
		print_kernel(&facts->kernel);
	printf("\n" ROW, "MODE", "CAN RUN", "ENGINE", "REASON");
	for (size_t i = 0; i < a->n_rows; i++)
		printf(ROW, a->rows[i].mode, advise_state_name(a->rows[i].state),
		       a->rows[i].engine ? a->rows[i].engine : "-", a->rows[i].reason);
	if (a->best)
		printf("\nRecommended: mode = \"%s\" on engine %s: %s.\n", a->best->mode, a->best->engine, a->why);
	else
		printf("\nRecommended: none: %s.\n", a->why);
}

/* ---- JSON ---------------------------------------------------------------------------- */

/* Null for what is not known. */
static json_t *json_known(const char *text)
{
	return json_text(text && text[0] ? text : NULL);
}

static json_t *json_processor(const struct advise_host *h)
{
	json_t *o = json_object();

	json_object_set_new(o, "vendor", json_known(h->vendor));
	json_object_set_new(o, "model", json_known(h->model));
	json_object_set_new(o, "count", json_integer(h->cpus));
	json_object_set_new(o, "svm", json_boolean(h->svm));
	json_object_set_new(o, "vmx", json_boolean(h->vmx));
	json_object_set_new(o, "npt", json_boolean(h->npt));
	json_object_set_new(o, "ept", json_boolean(h->ept));
	json_object_set_new(o, "virtual", json_boolean(h->virtual_machine));
	json_object_set_new(o, "nested", h->nested < 0 ? json_null() : json_boolean(h->nested));
	return o;
}

static json_t *json_kvm(const struct advise_facts *f)
{
	const struct kvm_probe *probe = &f->engines.kvm_probe;
	json_t *o = json_object();

	json_object_set_new(o, "kind", json_text(kvm_kind_name(probe->kind)));
	json_object_set_new(o, "reason", json_text(probe->why));
	json_object_set_new(o, "instruction_ns", json_integer(probe->insn_ns));
	json_object_set_new(o, "device", json_boolean(f->host.kvm_device));
	json_object_set_new(o, "permission", json_boolean(f->host.kvm_allowed));
	return o;
}

static json_t *json_host(const struct advise_facts *f)
{
	const struct advise_host *h = &f->host;
	json_t *o = json_object(), *huge = json_object();

	json_object_set_new(o, "processor", json_processor(h));
	json_object_set_new(o, "kvm", json_kvm(f));
	json_object_set_new(o, "linux", json_known(h->release));
	json_object_set_new(o, "memory_mib", json_integer((json_int_t)h->memory_mib));
	json_object_set_new(huge, "size_kib", json_integer((json_int_t)h->huge_kib));
	json_object_set_new(huge, "total", json_integer((json_int_t)h->huge_total));
	json_object_set_new(huge, "free", json_integer((json_int_t)h->huge_free));
	json_object_set_new(o, "huge_pages", huge);
	json_object_set_new(o, "iommu_groups", json_integer(h->iommu_groups));
	return o;
}

static json_t *json_entries(uint32_t modes)
{
	json_t *list = json_array();
	char name[64];

	for (uint32_t bit = 1; bit <= IMAGE_MODE_DIRECT; bit <<= 1) {
		if (modes & bit)
			json_array_append_new(list, json_text(image_mode_names(bit, name, sizeof(name))));
	}
	return list;
}

static json_t *json_config(const struct advise_kernel *k)
{
	json_t *o, *options;

	if (!k->config[0])
		return json_null();
	o = json_object();
	options = json_object();
	for (int i = 0; i < ADVISE_OPTIONS; i++)
		json_object_set_new(options, advise_option_names[i], json_text(option_text(k->options[i])));
	json_object_set_new(o, "file", json_text(k->config));
	json_object_set_new(o, "options", options);
	return o;
}

static json_t *json_kernel(const struct advise_kernel *k)
{
	json_t *o;

	if (!k->path)
		return json_null();
	o = json_object();
	json_object_set_new(o, "file", json_text(k->path));
	json_object_set_new(o, "format", json_text(k->format));
	json_object_set_new(o, "packing", json_text(k->packing));
	json_object_set_new(o, "bits", json_integer(k->bits));
	json_object_set_new(o, "version", json_known(k->version));
	json_object_set_new(o, "entries", json_entries(k->modes));
	json_object_set_new(o, "guest_os", json_known(k->guest_os));
	json_object_set_new(o, "loader", json_known(k->loader));
	json_object_set_new(o, "features", json_known(k->features));
	json_object_set_new(o, "supported_features", json_known(k->supported));
	json_object_set_new(o, "configuration", json_config(k));
	return o;
}

static json_t *json_rows(const struct advice *a)
{
	json_t *list = json_array();

	for (size_t i = 0; i < a->n_rows; i++) {
		json_t *o = json_object();

		json_object_set_new(o, "mode", json_text(a->rows[i].mode));
		json_object_set_new(o, "can_run", json_text(advise_state_name(a->rows[i].state)));
		json_object_set_new(o, "engine", json_text(a->rows[i].engine));
		json_object_set_new(o, "reason", json_text(a->rows[i].reason));
		json_array_append_new(list, o);
	}
	return list;
}

static void print_json(const struct advise_facts *facts, const struct advice *a)
{
	json_t *o = json_object(), *best = json_object();

	json_object_set_new(best, "mode", json_text(a->best ? a->best->mode : NULL));
	json_object_set_new(best, "engine", json_text(a->best ? a->best->engine : NULL));
	json_object_set_new(best, "reason", json_text(a->why));
	json_object_set_new(o, "host", json_host(facts));
	json_object_set_new(o, "kernel", json_kernel(&facts->kernel));
	json_object_set_new(o, "modes", json_rows(a));
	json_object_set_new(o, "recommended", best);
	json_print(o);
}

/* ---- the command ------------------------------------------------------------------------ */

static int gather(const char *kernel, struct plugin_set *plugins, struct advise_facts *facts)
{
	char err[512];

	if (kernel && advise_kernel_facts(kernel, &facts->kernel, err, sizeof(err))) {
		fprintf(stderr, "gamut advise: %s\n", err);
		return CMD_PROBLEM;
	}
	advise_host_facts("", &facts->host);
	engine_survey(&facts->engines);
	advise_build_facts(plugins, facts);
	return CMD_OK;
}

static int give_advice(const char *kernel, struct plugin_set *plugins, bool json)
{
	struct advise_facts facts = { .n_builds = 0 };
	struct advice advice;
	int rc = gather(kernel, plugins, &facts);

	if (rc)
		return rc;
	advise(&facts, &advice);
	if (json)
		print_json(&facts, &advice);
	else
		print_text(&facts, &advice);
	return advice.best ? CMD_OK : CMD_PROBLEM;
}

int cmd_advise(int argc, char **argv)
{
	struct plugin_set plugins;
	bool json = false;
	int i = 1, rc;

	if (cmd_help(argc, argv, help))
		return CMD_OK;
	for (; i < argc && argv[i][0] == '-' && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--json") != 0)
			return cmd_usage("advise", "there is no option %s", argv[i]);
		json = true;
	}
	i += i < argc && strcmp(argv[i], "--") == 0;
	if (argc - i > 1)
		return cmd_usage("advise", "one kernel at a time");
	if (plugin_set_init(&plugins)) {
		fprintf(stderr, "gamut advise: out of memory\n");
		return CMD_PROBLEM;
	}
	rc = give_advice(argv[i], &plugins, json);
	plugin_set_finish(&plugins);
	return rc;
}
