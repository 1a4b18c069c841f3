/* SPDX-License-Identifier: MIT */
#include "dm/pci/rom.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROM_MIN 512
#define ROM_MAX (1 << 20)

static int read_all(int fd, uint8_t *to, uint32_t size)
{
	uint32_t at = 0;

	while (at < size) {
		ssize_t got = read(fd, to + at, size - at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got ? -errno : -EIO;
		at += (uint32_t)got;
	}
	return 0;
}

static int load(const struct gamut_host *host, struct gamut_inst *inst, int fd, const char *path, void **rom,
                uint32_t *size)
{
	struct stat st;
	int err;

	if (fstat(fd, &st))
		return host->fail(inst, errno, "rom: %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size < ROM_MIN || st.st_size > ROM_MAX)
		return host->fail(inst, EINVAL, "rom: %s is no expansion ROM: those are files of 512 bytes to 1 MiB",
		                  path);
	*size = (uint32_t)st.st_size;
	*rom = malloc(*size);
	if (!*rom)
		return host->fail(inst, ENOMEM, "out of memory");
	err = read_all(fd, *rom, *size);
	if (err)
		return host->fail(inst, -err, "rom: %s: %s", path, strerror(-err));
	if (memcmp(*rom, "\x55\xaa", 2))
		return host->fail(inst, EINVAL, "rom: %s is no expansion ROM: it does not begin with 55 aa", path);
	return 0;
}

int pci_rom_read(const struct gamut_host *host, struct gamut_inst *inst, const char *fallback, void **rom,
                 uint32_t *size)
{
	const char *path = fallback;
	int given = host->option_string(inst, "rom", &path), fd, err;

	*rom = NULL;
	*size = 0;
	if (!*path)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return given ? host->fail(inst, errno, "rom: %s: %s", path, strerror(errno)) : 0;
	err = load(host, inst, fd, path, rom, size);
	close(fd);
	if (err) {
		free(*rom);
		*rom = NULL;
	}
	return err;
}
