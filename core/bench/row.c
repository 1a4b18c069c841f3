/* SPDX-License-Identifier: MIT */
#include "bench/row.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>


const char *row_kind_name(enum row_kind kind)
{
	static const char *const names[] = { "gamut", "qemu", "imported" };

	return names[kind];
}

int64_t row_memory(const struct row *row, const struct plan *plan)
{
	return row->mode && row->mode->memory ? row->mode->memory : plan->memory;
}

struct row *rows_add(struct rows *rows, enum row_kind kind, const char *id)
{
	struct row *row = realloc(rows->row, (rows->n + 1) * sizeof(*row));

	if (!row)
		return NULL;
	rows->row = row;
	row += rows->n++;
	*row = (struct row){ .kind = kind };
	snprintf(row->id, sizeof(row->id), "%s", id);
	return row;
}

/* ---- the domain file ------------------------------------------------------------------------ */

const char *row_choice(const struct plan_mode *m, enum gamut_axis axis)
{
	return m->axis[axis] ? m->axis[axis] : m->preset->choice[axis];
}

static void set_string(config_setting_t *group, const char *key, const char *value)
{
	config_setting_t *s = config_setting_add(group, key, CONFIG_TYPE_STRING);

	if (s && value)
		config_setting_set_string(s, value);
}

static void set_int(config_setting_t *group, const char *key, int64_t value)
{
	config_setting_t *s = config_setting_add(group, key, CONFIG_TYPE_INT);

	if (s)
		config_setting_set_int(s, (int)value);
}

/* A setting of the plan with all that is in it. */
static void copy(config_setting_t *to, const char *key, const config_setting_t *from)
{
	config_setting_t *s = config_setting_add(to, key, config_setting_type(from));

	if (!s)
		return;
	switch (config_setting_type(from)) {
	case CONFIG_TYPE_INT: config_setting_set_int(s, config_setting_get_int(from)); break;
	case CONFIG_TYPE_INT64: config_setting_set_int64(s, config_setting_get_int64(from)); break;
	case CONFIG_TYPE_FLOAT: config_setting_set_float(s, config_setting_get_float(from)); break;
	case CONFIG_TYPE_BOOL: config_setting_set_bool(s, config_setting_get_bool(from)); break;
	case CONFIG_TYPE_STRING: config_setting_set_string(s, config_setting_get_string(from)); break;
	default:
		for (int i = 0; i < config_setting_length(from); i++) {
			const config_setting_t *e = config_setting_get_elem(from, (unsigned)i);

			copy(s, config_setting_name(e), e);
		}
	}
}

static void add_devices(config_setting_t *root, const struct plan_mode *m, const char *disk)
{
	static const struct {
		const char *choice, *dev;
	} devs[] = { { "ide", "hda" }, { "virtio", "vda" } };
	config_setting_t *g;
	const char *dev = "xvda";

	for (size_t i = 0; i < sizeof(devs) / sizeof(devs[0]); i++) {
		if (!strcmp(devs[i].choice, row_choice(m, GAMUT_AXIS_DISK)))
			dev = devs[i].dev;
	}
	if (strcmp(row_choice(m, GAMUT_AXIS_DISK), CHOICE_NONE) != 0) {
		g = config_setting_add(config_setting_add(root, "disks", CONFIG_TYPE_LIST), NULL, CONFIG_TYPE_GROUP);
		set_string(g, "dev", dev);
		set_string(g, "path", disk);
	}
	if (strcmp(row_choice(m, GAMUT_AXIS_NET), CHOICE_NONE) != 0) {
		g = config_setting_add(config_setting_add(root, "nics", CONFIG_TYPE_LIST), NULL, CONFIG_TYPE_GROUP);
		set_string(g, "backend", "user");
	}
}

static void add_boot(config_setting_t *root, const struct rows *rows, const struct row *row,
                     const struct plan_workload *w)
{
	config_setting_t *boot = config_setting_add(root, "boot", CONFIG_TYPE_GROUP);
	const char *console = strcmp(row_choice(row->mode, GAMUT_AXIS_CONSOLE), "xen") ? "ttyS0" : "hvc0";
	char *cmdline = row_cmdline(rows, row, w, console, row->mode->cmdline);

	set_string(boot, "kernel", w->kernel);
	if (w->ramdisk)
		set_string(boot, "ramdisk", w->ramdisk);
	set_string(boot, "cmdline", cmdline ? cmdline : "");
	free(cmdline);
}

char *row_cmdline(const struct rows *rows, const struct row *row, const struct plan_workload *w, const char *console,
                  const char *more)
{
	char *out = NULL, peer[64] = "";

	(void)row;
	if (w->peer && rows->peer_port)
		snprintf(peer, sizeof(peer), " bench_peer=10.0.2.2:%u", rows->peer_port);
	if (asprintf(&out, "%s%s%s%s%s%s%s", w->linux_guest ? "console=" : "", w->linux_guest ? console : "",
	             w->linux_guest ? " quiet " : "", w->cmdline, peer, more ? " " : "", more ? more : "") < 0)
		return NULL;
	return out;
}

int64_t row_vcpus(const struct row *row, const struct plan *plan, const struct plan_workload *w)
{
	int64_t vcpus = row->mode && row->mode->vcpus ? row->mode->vcpus : plan->vcpus;

	return vcpus > w->vcpus ? vcpus : w->vcpus;
}

int row_write_domain(const struct rows *rows, const struct row *row, const struct plan *plan,
                     const struct plan_workload *w, FILE *out)
{
	const struct plan_mode *m = row->mode;
	config_setting_t *root, *axes;
	config_t cfg;

	config_init(&cfg);
	root = config_root_setting(&cfg);
	set_string(root, "name", "bench");
	set_string(root, "mode", m->preset->name);
	set_string(root, "engine", row->engine);
	set_int(root, "memory", row_memory(row, plan));
	set_int(root, "vcpus", row_vcpus(row, plan, w));
	add_boot(root, rows, row, w);
	axes = config_setting_add(root, "axes", CONFIG_TYPE_GROUP);
	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++) {
		if (m->axis[axis])
			set_string(axes, axis_name((enum gamut_axis)axis), m->axis[axis]);
	}
	add_devices(root, m, rows->disk);
	if (m->options)
		copy(root, "options", m->options);
	if (m->bt)
		copy(root, "bt", m->bt);
	if (m->sched)
		copy(root, "sched", m->sched);
	set_string(root, "on_reboot", "destroy");
	config_write(&cfg, out);
	config_destroy(&cfg);
	return ferror(out) ? -1 : 0;
}

int row_write_file(const struct rows *rows, const struct row *row, const struct plan *plan,
                   const struct plan_workload *w, const char *path)
{
	FILE *out = fopen(path, "we");
	int rc;

	if (!out)
		return -1;
	rc = row_write_domain(rows, row, plan, w, out);
	return fclose(out) ? -1 : rc;
}

/* ---- commands ---------------------------------------------------------------------------------- */

static json_t *gamut_command(const struct rows *rows, const struct row *row, const struct plan *plan,
                             const struct plan_workload *w, char *stats, size_t stats_len)
{
	char path[256], burn[64];
	json_t *argv;

	snprintf(path, sizeof(path), "%s/bench.cfg", rows->dir);
	snprintf(stats, stats_len, "%s/stats.json", rows->dir);
	if (row_write_file(rows, row, plan, w, path))
		return NULL;
	argv = json_pack("[s, s, s, s, s]", "/proc/self/exe", "run", "-q", "--stats-json", stats);
	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++) {
		if (!plan->burn_ns[axis])
			continue;
		snprintf(burn, sizeof(burn), "%s=%llu", axis_name((enum gamut_axis)axis),
		         (unsigned long long)plan->burn_ns[axis]);
		json_array_append_new(argv, json_string("--burn"));
		json_array_append_new(argv, json_string(burn));
	}
	json_array_append_new(argv, json_string(path));
	return argv;
}

json_t *row_command(const struct rows *rows, const struct row *row, const struct plan *plan,
                    const struct plan_workload *w, char *stats, size_t stats_len)
{
	*stats = 0;
	if (row->kind == ROW_GAMUT)
		return gamut_command(rows, row, plan, w, stats, stats_len);
	return row->kind == ROW_QEMU ? row_qemu_command(rows, row, plan, w) : NULL;
}

/* ---- which rows there are --------------------------------------------------------------------------- */

static void add_modes(struct rows *rows, const struct plan *plan, const char *only)
{
	for (size_t i = 0; i < plan->n_modes; i++) {
		const struct plan_mode *m = &plan->modes[i];
		size_t n = m->n_engines ? m->n_engines : plan->n_engines;
		const char *const *engines = m->n_engines ? m->engines : plan->engines;

		for (size_t j = 0; j < n; j++) {
			char id[128];
			struct row *row;

			snprintf(id, sizeof(id), "%s/%s", m->name, engines[j]);
			if (!plan_listed(only, id) && !plan_listed(only, m->name))
				continue;
			row = rows_add(rows, ROW_GAMUT, id);
			if (!row)
				return;
			row->mode = m;
			row->engine = engines[j];
		}
	}
}

static void add_peers(struct rows *rows, const struct plan *plan, const char *only, struct diag *diag)
{
	for (size_t i = 0; i < plan->n_peers; i++) {
		const struct plan_peer *p = &plan->peers[i];
		struct row *row;

		if (p->kind == PEER_CSV) {
			import_rows(rows, p, only, diag);
			continue;
		}
		row = plan_listed(only, p->name) ? rows_add(rows, ROW_QEMU, p->name) : NULL;
		if (!row)
			continue;
		row->peer = p;
		row->engine = p->kind == PEER_QEMU_KVM ? "kvm" : "tcg";
		rows_find_qemu(rows);
	}
}

static int make_dir(struct rows *rows)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(rows->dir, sizeof(rows->dir), "%s/gamut-matrix-XXXXXX", tmp && strlen(tmp) < 64 && *tmp ? tmp : "/tmp");
	if (mkdtemp(rows->dir))
		return 0;
	rows->dir[0] = 0;
	return -errno;
}

int rows_init(struct rows *rows, const struct plan *plan, const char *only, struct diag *diag)
{
	size_t before = diag->n_errors;
	int fd;

	*rows = (struct rows){ .n = 0 };
	if (make_dir(rows) || asprintf(&rows->disk, "%s/gamut-matrix-%d.img", plan->scratch, (int)getpid()) < 0) {
		rows->disk = NULL;
		return plan_error(plan, diag, 0, "a temporary folder cannot be made: %s", strerror(errno));
	}
	/* Checking a row looks at its disk. */
	fd = open(rows->disk, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)plan->disk << 20))
		plan_error(plan, diag, 0, "scratch: %s: %s; name another folder", rows->disk, strerror(errno));
	if (fd >= 0)
		close(fd);
	add_modes(rows, plan, only);
	add_peers(rows, plan, only, diag);
	if (diag->n_errors != before)
		return -1;
	rows_check(rows, plan, diag);
	return diag->n_errors == before ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void rows_finish(struct rows *rows)
{
	for (size_t i = 0; i < rows->n; i++) {
		json_decref(rows->row[i].axes);
		free(rows->row[i].left_out);
		for (size_t j = 0; j < PLAN_MAX; j++)
			free(rows->row[i].refused[j]);
	}
	free(rows->row);
	if (rows->disk)
		unlink(rows->disk);
	free(rows->disk);
	if (rows->dir[0])
		nftw(rows->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	*rows = (struct rows){ .n = 0 };
}

/* Data without a pattern, or a file system that packs would have less to do than others. */
int rows_make_disk(struct rows *rows, const struct plan *plan)
{
	int fd = open(rows->disk, O_WRONLY | O_CLOEXEC), err = 0;
	uint64_t x = 88172645463325252u, *block = malloc(1 << 20);

	for (int64_t i = 0; i < plan->disk && fd >= 0 && block && !err; i++) {
		for (size_t j = 0; j < (1 << 20) / sizeof(*block); j++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			block[j] = x;
		}
		if (pwrite(fd, block, 1 << 20, i << 20) != 1 << 20)
			err = errno ? -errno : -ENOSPC;
	}
	if (fd >= 0 && !err && fdatasync(fd))
		err = -errno;
	if (fd < 0 || !block)
		err = fd < 0 ? -errno : -ENOMEM;
	if (fd >= 0)
		close(fd);
	free(block);
	return err;
}
