/* SPDX-License-Identifier: MIT */
#include "bench/noise.h"

#include <cpuid.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "advise.h"
#include "clock.h"
#include "json.h"

#define SPINS 2000000u /* some milliseconds */

/* A chain of multiplications: what is beside it on the processor makes it longer. */
static uint64_t spin(void)
{
	uint64_t begun = mono_now(), x = begun | 1;

	for (unsigned i = 0; i < SPINS; i++) {
		x *= 6364136223846793005u;
		__asm__ volatile("" : "+r"(x));
	}
	return mono_now() - begun;
}

/* Ticks that the processors were somebody else's. */
static uint64_t steal(void)
{
	unsigned long long ticks = 0;
	FILE *f = fopen("/proc/stat", "re");

	if (f && fscanf(f, "cpu %*u %*u %*u %*u %*u %*u %*u %llu", &ticks) != 1)
		ticks = 0;
	if (f)
		fclose(f);
	return ticks;
}

void noise_begin(struct noise *n)
{
	*n = (struct noise){ .load = 0 };
	if (getloadavg(&n->load, 1) != 1)
		n->load = -1;
	n->steal = steal();
	n->spin_ns = spin();
}

json_t *noise_end(const struct noise *n)
{
	uint64_t after = spin(), now = steal(), stolen = now > n->steal ? now - n->steal : 0;
	uint64_t ns = stolen * (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));

	return json_pack("{s:f, s:I, s:I}", "load", n->load, "spin_ns",
	                 (json_int_t)(after > n->spin_ns ? after : n->spin_ns), "steal_ns", (json_int_t)ns);
}

/* ---- the host ---------------------------------------------------------------------------------- */

/* The first line of a file under /sys. */
static void put_line(json_t *object, const char *key, const char *path)
{
	FILE *f = fopen(path, "re");
	char line[64];

	if (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		json_object_set_new(object, key, json_text(line));
	}
	if (f)
		fclose(f);
}

static double mhz(void)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[256];
	double value = 0;

	while (f && !value && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "cpu MHz : %lf", &value) != 1)
			value = 0;
	}
	if (f)
		fclose(f);
	return value;
}

static void put_hypervisor(json_t *object)
{
	unsigned a, b, c, d;
	char name[13] = "";

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & 1u << 31))
		return;
	__cpuid(0x40000000, a, b, c, d);
	memcpy(name, &b, 4);
	memcpy(name + 4, &c, 4);
	memcpy(name + 8, &d, 4);
	json_object_set_new(object, "hypervisor", json_text(name));
}

json_t *noise_host(void)
{
	json_t *object = json_object();
	struct advise_host host;
	struct utsname uts;

	if (!object)
		return NULL;
	advise_host_facts("", &host);
	json_object_set_new(object, "cpu", json_text(host.model));
	json_object_set_new(object, "cores", json_integer(host.cpus));
	json_object_set_new(object, "mhz", json_real(mhz()));
	json_object_set_new(object, "memory_mib", json_integer((json_int_t)host.memory_mib));
	json_object_set_new(object, "kernel", json_text(uname(&uts) ? NULL : uts.release));
	put_hypervisor(object);
	put_line(object, "governor", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
	put_line(object, "clocksource", "/sys/devices/system/clocksource/clocksource0/current_clocksource");
	return object;
}
