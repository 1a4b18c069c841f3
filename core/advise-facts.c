/* SPDX-License-Identifier: MIT */
/* What is to be known of the host, the kernel and this build before anything can be advised. */
#include "advise.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xen/elfnote.h>
#include <xen/features.h>

#include "image/image-notes.h"
#include "image/image.h"
#include "preset.h"

#define LINE 8192 /* the flags of a processor are a long one */

/* ---- the host ------------------------------------------------------------------------ */

static FILE *open_below(const char *root, const char *path)
{
	char full[512];

	snprintf(full, sizeof(full), "%s%s", root, path);
	return fopen(full, "re");
}

/* The value of "key : value"; NULL when the line is about something else. */
static const char *value_of(char *line, const char *key)
{
	size_t len = strlen(key);
	char *p = line + len;

	if (strncmp(line, key, len) != 0)
		return NULL;
	p += strspn(p, " \t");
	if (*p != ':')
		return NULL;
	p++;
	p += strspn(p, " \t");
	p[strcspn(p, "\n")] = 0;
	return p;
}

static void copy(char *to, size_t len, const char *from)
{
	snprintf(to, len, "%s", from);
}

static void take_flags(struct advise_host *host, const char *words)
{
	const struct {
		const char *word;
		bool *flag;
	} flags[] = {
		{ "svm", &host->svm },
		{ "vmx", &host->vmx },
		{ "npt", &host->npt },
		{ "ept", &host->ept },
		{ "hypervisor", &host->virtual_machine },
	};

	while (*words) {
		size_t len = strcspn(words, " ");

		for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
			if (strlen(flags[i].word) == len && !memcmp(words, flags[i].word, len))
				*flags[i].flag = true;
		}
		words += len;
		words += strspn(words, " ");
	}
}

static void read_cpuinfo(const char *root, struct advise_host *host)
{
	FILE *f = open_below(root, "/proc/cpuinfo");
	char *line = malloc(LINE);
	const char *value;

	while (f && line && fgets(line, LINE, f)) {
		if ((value = value_of(line, "processor")))
			host->cpus++;
		else if ((value = value_of(line, "vendor_id")))
			copy(host->vendor, sizeof(host->vendor), value);
		else if ((value = value_of(line, "model name")))
			copy(host->model, sizeof(host->model), value);
		else if ((value = value_of(line, "flags")) || (value = value_of(line, "vmx flags")))
			take_flags(host, value);
	}
	free(line);
	if (f)
		fclose(f);
}

static void read_meminfo(const char *root, struct advise_host *host)
{
	FILE *f = open_below(root, "/proc/meminfo");
	char line[256];
	const char *value;

	while (f && fgets(line, sizeof(line), f)) {
		if ((value = value_of(line, "MemTotal")))
			host->memory_mib = strtoull(value, NULL, 10) >> 10;
		else if ((value = value_of(line, "HugePages_Total")))
			host->huge_total = strtoull(value, NULL, 10);
		else if ((value = value_of(line, "HugePages_Free")))
			host->huge_free = strtoull(value, NULL, 10);
		else if ((value = value_of(line, "Hugepagesize")))
			host->huge_kib = strtoull(value, NULL, 10);
	}
	if (f)
		fclose(f);
}

/* The first line of a small file; false when there is none. */
static bool read_word(const char *root, const char *path, char *buf, size_t len)
{
	FILE *f = open_below(root, path);
	bool ok = f && fgets(buf, (int)len, f);

	if (f)
		fclose(f);
	if (ok)
		buf[strcspn(buf, "\n")] = 0;
	return ok;
}

/* "Y" or "1", whichever of the two modules is loaded. */
static int read_nested(const char *root)
{
	char word[8];

	if (!read_word(root, "/sys/module/kvm_amd/parameters/nested", word, sizeof(word)) &&
	    !read_word(root, "/sys/module/kvm_intel/parameters/nested", word, sizeof(word)))
		return -1;
	return word[0] == 'Y' || word[0] == '1';
}

static unsigned count_entries(const char *root, const char *path)
{
	struct dirent *entry;
	char full[512];
	unsigned n = 0;
	DIR *dir;

	snprintf(full, sizeof(full), "%s%s", root, path);
	dir = opendir(full);
	while (dir && (entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return n;
}

void advise_host_facts(const char *root, struct advise_host *host)
{
	char device[512];

	*host = (struct advise_host){ .nested = read_nested(root) };
	read_cpuinfo(root, host);
	read_meminfo(root, host);
	if (!read_word(root, "/proc/sys/kernel/osrelease", host->release, sizeof(host->release)))
		host->release[0] = 0;
	host->iommu_groups = count_entries(root, "/sys/kernel/iommu_groups");
	snprintf(device, sizeof(device), "%s/dev/kvm", root);
	host->kvm_device = access(device, F_OK) == 0;
	host->kvm_allowed = access(device, R_OK | W_OK) == 0;
}

/* ---- the kernel ------------------------------------------------------------------------ */

/* Every Linux carries its banner, "Linux version 6.1.0-43-amd64 (...", in its data. */
static void find_version(const struct gamut_boot *boot, char *version, size_t len)
{
	static const char banner[] = "Linux version ";
	const size_t skip = sizeof(banner) - 1;

	for (uint32_t i = 0; i < boot->n_segments; i++) {
		const char *p = boot->segments[i].data, *end = p + boot->segments[i].filesz;

		while ((p = memmem(p, (size_t)(end - p), banner, skip))) {
			size_t n = 0;

			p += skip;
			while (n < len - 1 && p + n < end && p[n] > ' ' && p[n] < 0x7f)
				n++;
			if (!n || p[0] < '0' || p[0] > '9')
				continue;
			memcpy(version, p, n);
			version[n] = 0;
			return;
		}
	}
}

/* A note's text as it can be shown: what is not plain ASCII becomes a question mark. Linux leaves out some NULs. */
static void take_note(const struct gamut_boot *boot, uint32_t type, char *buf, size_t len)
{
	const struct gamut_elf_note *note = image_note(boot, type);
	size_t n = note ? strnlen(note->desc, note->desc_size) : 0;

	n = n < len ? n : len - 1;
	if (n)
		memcpy(buf, note->desc, n);
	buf[n] = 0;
	for (char *p = buf; *p; p++) {
		if (*p < ' ' || *p > '~')
			*p = '?';
	}
}

/* The bits of SUPPORTED_FEATURES in words. */
static void take_supported(const struct gamut_boot *boot, char *buf, size_t len)
{
#define NAME(n) [XENFEAT_##n] = #n
	static const char *const names[] = {
		NAME(writable_page_tables), NAME(writable_descriptor_tables), NAME(auto_translated_physmap),
		NAME(supervisor_mode_kernel), NAME(pae_pgdir_above_4gb), NAME(mmu_pt_update_preserve_ad),
		NAME(hvm_callback_vector), NAME(hvm_safe_pvclock), NAME(hvm_pirqs), NAME(dom0),
		NAME(memory_op_vnode_supported), NAME(linux_rsdp_unrestricted),
	};
#undef NAME
	uint64_t bits;

	buf[0] = 0;
	if (!image_note_int(boot, XEN_ELFNOTE_SUPPORTED_FEATURES, &bits))
		return;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t used = strlen(buf);

		if (names[i] && (bits & 1ull << i))
			snprintf(buf + used, len - used, "%s%s", used ? "|" : "", names[i]);
	}
}

static void take_image(const struct image *image, struct advise_kernel *kernel)
{
	kernel->format = image->format == IMAGE_BZIMAGE ? "Linux bzImage" : "ELF";
	kernel->packing = image->packing;
	kernel->bits = image->boot.elf_class;
	kernel->modes = image_modes(image);
	find_version(&image->boot, kernel->version, sizeof(kernel->version));
	take_note(&image->boot, XEN_ELFNOTE_GUEST_OS, kernel->guest_os, sizeof(kernel->guest_os));
	take_note(&image->boot, XEN_ELFNOTE_LOADER, kernel->loader, sizeof(kernel->loader));
	take_note(&image->boot, XEN_ELFNOTE_FEATURES, kernel->features, sizeof(kernel->features));
	take_supported(&image->boot, kernel->supported, sizeof(kernel->supported));
}

/* ---- its configuration -------------------------------------------------------------------- */

/* "CONFIG_A=y" and "# CONFIG_A is not set"; what is not mentioned does not exist there, so it is off. */
static void read_options(FILE *f, struct advise_kernel *kernel)
{
	char line[1024];

	for (int i = 0; i < ADVISE_OPTIONS; i++)
		kernel->options[i] = OPTION_NO;
	while (fgets(line, sizeof(line), f)) {
		for (int i = 0; i < ADVISE_OPTIONS; i++) {
			size_t len = strlen(advise_option_names[i]);

			if (strncmp(line, advise_option_names[i], len) != 0 || line[len] != '=')
				continue;
			kernel->options[i] = line[len + 1] == 'y'   ? OPTION_YES
			                     : line[len + 1] == 'm' ? OPTION_MODULE
			                                            : OPTION_NO;
		}
	}
}

/* The header that the kernel's build gives the file tells it from any other file of that name. */
static bool is_configuration(FILE *f)
{
	char line[1024];

	for (int i = 0; i < 5 && fgets(line, sizeof(line), f); i++) {
		if (strstr(line, "Kernel Configuration"))
			return true;
	}
	return false;
}

static bool try_config(struct advise_kernel *kernel, const char *path)
{
	struct stat st;
	FILE *f = stat(path, &st) == 0 && S_ISREG(st.st_mode) ? fopen(path, "re") : NULL;
	bool ok = f && is_configuration(f);

	if (ok) {
		copy(kernel->config, sizeof(kernel->config), path);
		read_options(f, kernel);
	}
	if (f)
		fclose(f);
	return ok;
}

/* Beside vmlinuz-6.1.0-43-amd64 lies config-6.1.0-43-amd64; beside a file without a release, config. */
static void find_config(struct advise_kernel *kernel)
{
	const char *slash = strrchr(kernel->path, '/'), *name = slash ? slash + 1 : kernel->path;
	const char *dash = strchr(name, '-');
	int folder = (int)(name - kernel->path);
	char path[512];

	if (!kernel->version[0])
		return;
	snprintf(path, sizeof(path), "%.*sconfig%s", folder, kernel->path, dash ? dash : "");
	if (try_config(kernel, path))
		return;
	snprintf(path, sizeof(path), "%.*sconfig-%s", folder, kernel->path, kernel->version);
	try_config(kernel, path);
}

int advise_kernel_facts(const char *path, struct advise_kernel *kernel, char *err, size_t err_len)
{
	const struct image_options options = { .kernel = path, .no_cache = true };
	struct image *image = image_load(&options, err, err_len);

	*kernel = (struct advise_kernel){ .path = path };
	if (!image)
		return -1;
	if (image->unfit) {
		copy(err, err_len, image->unfit);
		image_destroy(image);
		return -1;
	}
	take_image(image, kernel);
	image_destroy(image);
	find_config(kernel);
	return 0;
}

/* ---- the build ---------------------------------------------------------------------------------- */

/* The axes that the mode cannot do without, loaded and matched. */
static void load_build(const struct axis_choices *wanted, const struct preset_wish *wish, struct plugin_set *plugins,
                       struct advise_build *build)
{
	struct axis_choices choices = *wanted;
	struct diag diag = { 0 };

	if (preset_check_rules(&choices, NULL, &diag) || preset_load(&choices, wish, plugins, NULL, &diag) ||
	    preset_check_needs(&choices, plugins, NULL, &diag))
		copy(build->broken, sizeof(build->broken), diag.n ? diag.entries[0].text : "out of memory");
	preset_engine_needs(&choices, &build->needs);
	diag_finish(&diag);
}

static void build_facts(const struct preset *preset, struct plugin_set *plugins, struct advise_build *build)
{
	const struct preset_wish no_net = { .has_kernel = true, .has_disk = true };
	struct axis_choices choices;

	*build = (struct advise_build){ .mode = preset->name, .needs.max_vcpus = 1 };
	preset_apply(preset, &no_net, &choices);
	if (!plugin_exists(plugins, GAMUT_AXIS_NET, preset->choice[GAMUT_AXIS_NET]))
		snprintf(build->missing_net, sizeof(build->missing_net), "%s-%s.so", axis_prefix(GAMUT_AXIS_NET),
		         preset->choice[GAMUT_AXIS_NET]);
	if (!preset_missing(&choices, plugins, build->missing, sizeof(build->missing)))
		load_build(&choices, &no_net, plugins, build);
}

void advise_build_facts(struct plugin_set *plugins, struct advise_facts *facts)
{
	facts->n_builds = 0;
	for (size_t i = 0; i < n_presets && i < ADVISE_MODES; i++)
		build_facts(&presets[i], plugins, &facts->builds[facts->n_builds++]);
}
