/* SPDX-License-Identifier: MIT */
#include "dm/pc/firmware.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOP (1ull << 32)
#define PAGE 4096u

static int no_file(const struct gamut_host *host, struct gamut_inst *inst, const char *path, const char *what,
                   const char *package, int err)
{
	if (package && err == ENOENT)
		return host->fail(inst, err, "there is no %s %s: install the Debian package %s", what, path, package);
	return host->fail(inst, err, "%s %s: %s", what, path, strerror(err));
}

static int read_all(int fd, uint8_t *to, uint32_t len)
{
	while (len) {
		ssize_t n = read(fd, to, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? errno : EIO;
		to += n;
		len -= (uint32_t)n;
	}
	return 0;
}

int firmware_read(const struct gamut_host *host, struct gamut_inst *inst, const char *path, const char *what,
                  const char *package, uint32_t max, uint32_t unit, void **data, uint32_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;
	struct stat st;

	if (fd < 0)
		return no_file(host, inst, path, what, package, errno);
	err = fstat(fd, &st) ? errno : S_ISREG(st.st_mode) ? 0 : EINVAL;
	if (!err && (st.st_size <= 0 || st.st_size > max || st.st_size % unit)) {
		close(fd);
		return host->fail(inst, EINVAL, "%s %s has %lld bytes; at most %u in units of %u can be used", what, path,
		                  (long long)st.st_size, max, unit);
	}
	*data = err ? NULL : malloc((size_t)st.st_size);
	if (!err && !*data)
		err = ENOMEM;
	if (!err)
		err = read_all(fd, *data, *len = (uint32_t)st.st_size);
	close(fd);
	if (!err)
		return 0;
	free(*data);
	*data = NULL;
	return no_file(host, inst, path, what, package, err);
}

int firmware_init(struct firmware *f, const struct gamut_host *host, struct gamut_inst *inst, const char *path,
                  const char *package)
{
	void *data = NULL;
	int rc;

	*f = (struct firmware){ .host = host, .inst = inst };
	rc = firmware_read(host, inst, path, "firmware", package, FIRMWARE_MAX, FIRMWARE_UNIT, &data, &f->bytes);
	if (rc)
		return rc;
	f->pages = host->page_alloc(inst, f->bytes / PAGE, (void **)&f->image);
	if (f->pages)
		memcpy(f->image, data, f->bytes);
	free(data);
	return f->pages ? 0 : host->fail(inst, ENOMEM, "no memory for the firmware");
}

int firmware_register(struct firmware *f, struct i440fx *bridge)
{
	int rc = 0;

	for (uint32_t i = 0; i < f->bytes / PAGE && !rc; i++)
		rc = f->host->page_map_as(f->inst, f->pages, i, TOP - f->bytes + (uint64_t)i * PAGE, GAMUT_PAGE_ROM);
	if (rc)
		return f->host->fail(f->inst, -rc, "cannot put the firmware into place: %s", strerror(-rc));
	i440fx_set_rom(bridge, f->image + f->bytes, f->bytes);
	return 0;
}

void firmware_finish(struct firmware *f)
{
	if (f->pages)
		f->host->page_free(f->inst, f->pages);
	f->pages = NULL;
}
