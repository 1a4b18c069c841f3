/* SPDX-License-Identifier: MIT */
/*
 * QEMU beside us: the same kernel and ramdisk, the same disk and a network like
 * ours, by virtio, on a PC or its microvm. Its processor is the one it has most
 * of; nothing else of it is tuned.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/row.h"

#define QEMU "qemu-system-x86_64"

static bool on_path(const char *name)
{
	const char *path = getenv("PATH");
	char file[1024];

	while (path && *path) {
		size_t len = strcspn(path, ":");

		snprintf(file, sizeof(file), "%.*s/%s", (int)len, path, name);
		if (!access(file, X_OK))
			return true;
		path += len + (path[len] == ':');
	}
	return false;
}

void rows_find_qemu(struct rows *rows)
{
	char line[160];
	FILE *f;

	if (rows->qemu || !on_path(QEMU))
		return;
	rows->qemu = QEMU;
	f = popen(QEMU " --version 2>/dev/null", "re");
	if (f && (!fgets(line, sizeof(line), f) || sscanf(line, "%*s %*s version %63s", rows->qemu_version) != 1))
		rows->qemu_version[0] = 0;
	if (f)
		pclose(f);
}

json_t *row_qemu_axes(const struct row *row)
{
	bool kvm = row->peer->kind == PEER_QEMU_KVM, microvm = row->peer->microvm;

	return json_pack("{s:{s:s,s:s}, s:{s:s,s:s}, s:{s:s,s:s}, s:{s:s,s:s}, s:{s:s,s:s}, s:{s:s,s:s}}",
	                 "disk", "choice", "virtio", "colour", "P",
	                 "net", "choice", "virtio", "colour", "P",
	                 "interrupts", "choice", kvm ? "kvmclock" : "apic", "colour", "V",
	                 "platform", "choice", microvm ? "microvm" : "pc", "colour", "V",
	                 "mmu", "choice", kvm ? "hap" : "softmmu", "colour", "VH",
	                 "console", "choice", "serial", "colour", "V");
}

static void add(json_t *argv, const char *fmt, ...)
{
	char word[4096];
	va_list args;

	va_start(args, fmt);
	vsnprintf(word, sizeof(word), fmt, args);
	va_end(args);
	json_array_append_new(argv, json_string(word));
}

json_t *row_qemu_command(const struct rows *rows, const struct row *row, const struct plan *plan,
                         const struct plan_workload *w)
{
	bool microvm = row->peer->microvm, kvm = row->peer->kind == PEER_QEMU_KVM;
	char *cmdline = row_cmdline(rows, row, w, "ttyS0", !w->linux_guest ? NULL : microvm ? "reboot=t" : NULL);
	const char *bus = microvm ? "device" : "pci";
	json_t *argv = json_pack("[s, s, s, s, s, s, s]", rows->qemu, "-accel", kvm ? "kvm" : "tcg", "-M",
	                         microvm ? "microvm" : "pc", "-cpu", kvm ? "host" : "max");

	if (!argv || !cmdline) {
		free(cmdline);
		json_decref(argv);
		return NULL;
	}
	add(argv, "-m");
	add(argv, "%lld", (long long)row_memory(row, plan));
	add(argv, "-smp");
	add(argv, "%lld", (long long)row_vcpus(row, plan, w));
	for (const char *const *word = (const char *const[]){ "-nodefaults", "-no-user-config", "-display", "none",
	                                                      "-serial", "stdio", "-no-reboot", NULL };
	     *word; word++)
		add(argv, "%s", *word);
	add(argv, "-drive");
	add(argv, "file=%s,format=raw,if=none,id=disk,cache=writeback,aio=threads", rows->disk);
	add(argv, "-device");
	add(argv, "virtio-blk-%s,drive=disk", bus);
	add(argv, "-netdev");
	add(argv, "user,id=net");
	add(argv, "-device");
	add(argv, "virtio-net-%s,netdev=net%s", bus, microvm ? "" : ",romfile=");
	add(argv, "-kernel");
	add(argv, "%s", w->kernel);
	if (w->ramdisk) {
		add(argv, "-initrd");
		add(argv, "%s", w->ramdisk);
	}
	add(argv, "-append");
	add(argv, "%s", cmdline);
	free(cmdline);
	return argv;
}
