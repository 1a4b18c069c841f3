/* SPDX-License-Identifier: MIT */
#include "image/image-bzimage.h"

#include <asm/bootparam.h>
#include <errno.h>
#include <string.h>

#define HEADER_OFFSET       0x1f1u /* of struct setup_header in the file */
#define BOOT_FLAG           0xaa55u
#define HEADER_MAGIC        0x53726448u /* "HdrS" */
#define PROTOCOL_PAYLOAD    0x0208u     /* first with payload_offset */
#define PROTOCOL_XLOADFLAGS 0x020cu
#define SECTOR              512u
#define HEADER_END(m)                                                                                        \
	(HEADER_OFFSET + offsetof(struct setup_header, m) + sizeof(((struct setup_header *)0)->m))

bool bzimage_is(const uint8_t *data, size_t size)
{
	struct setup_header h;

	if (size < HEADER_END(version))
		return false;
	memcpy(&h, data + HEADER_OFFSET, offsetof(struct setup_header, version));
	return h.boot_flag == BOOT_FLAG && h.header == HEADER_MAGIC;
}

/* The last word of the payload is the unpacked size: gzip's own trailer, or added by the kernel's build. */
static uint32_t claimed_size(const uint8_t *payload, size_t size)
{
	uint32_t value;

	memcpy(&value, payload + size - sizeof(value), sizeof(value));
	return value;
}

int bzimage_parse(struct bzimage *bz, const uint8_t *data, size_t size, const struct image_error *err)
{
	struct setup_header h = {0};
	uint64_t start;
	size_t have = size - HEADER_OFFSET;

	memcpy(&h, data + HEADER_OFFSET, have < sizeof(h) ? have : sizeof(h));
	if (h.version < PROTOCOL_PAYLOAD)
		return image_fail(err, ENOEXEC,
		                  "a bzImage of boot protocol %u.%02u, before 2.08: too old; use a kernel "
		                  "from 2.6.26 on, or its vmlinux",
		                  h.version >> 8, h.version & 0xff);
	if (size < HEADER_END(payload_length))
		return image_fail(err, ENOEXEC, "the bzImage is truncated in its header; copy it again");
	/* All terms are below 2^32 but setup_sects, below 2^8: no overflow in 64 bits. */
	start = ((uint64_t)(h.setup_sects ? h.setup_sects : 4) + 1) * SECTOR + h.payload_offset;
	if (!h.payload_offset || h.payload_length <= sizeof(uint32_t))
		return image_fail(err, ENOEXEC, "the bzImage holds no packed kernel; use its vmlinux");
	if (start > size || h.payload_length > size - start)
		return image_fail(err, ENOEXEC,
		                  "the bzImage is truncated: %llu bytes should be there, %zu are; copy it "
		                  "again",
		                  (unsigned long long)(start + h.payload_length), size);
	*bz = (struct bzimage){
	        .protocol = h.version,
	        .xloadflags = h.version >= PROTOCOL_XLOADFLAGS ? h.xloadflags : 0,
	        .payload = data + start,
	        .payload_size = h.payload_length,
	        .unpacked_size = claimed_size(data + start, h.payload_length),
	};
	return 0;
}
