/* SPDX-License-Identifier: MIT */
/*
 * Disks and network cards as what is measured sees them, whatever their
 * drivers. One of a kind is open at a time, and its state is its driver's.
 *
 * Drivers poll. Each asks its device for no interrupts or events, and looks at
 * its ring (an IDE disk: at the bus master's status port) until the answer is
 * there, in every mode the same: what is measured is the way of a request
 * through the monitor to the host and back. What it costs to be told by an
 * interrupt or an event is measured on its own.
 */
#ifndef PROBE_IO_H
#define PROBE_IO_H

#include "probe.h"

#define SECTOR 512u
#define IO_WAIT (2000 * NS_PER_MS) /* for any answer */

/* What all requests and frames are in. */
#define IO_BYTES (512u << 10)
#define IO_PAGES (IO_BYTES / PAGE_BYTES)
extern uint8_t io_buffer[IO_BYTES]; /* begins a page */

enum io_found { IO_NONE, IO_FAILED, IO_OPEN };

/* ---- disks ---------------------------------------------------------------- */

#define DISK_DEPTH 32u

struct disk_request {
	unsigned tag; /* below the disk's depth; one request at a time has it */
	bool write;
	uint64_t sector;
	uint8_t *data;  /* whole pages of io_buffer */
	uint32_t bytes; /* whole pages */
};

struct disk {
	const char *driver;
	uint64_t sectors;
	bool readonly;
	unsigned depth; /* requests under way, at most DISK_DEPTH */
	uint32_t bytes; /* of one request, at most */
	void (*submit)(const struct disk_request *r);
	/* The device is to look at what was submitted. */
	void (*kick)(void);
	/* Whether one was answered since; an answer to no request at all is *tag = ~0. */
	bool (*reap)(unsigned *tag, bool *ok);
	void (*close)(void);
};

/* The first disk of this kind. IO_FAILED: it is there and does not work. */
enum io_found disk_xen_open(struct disk *d);    /* disk-xen.c */
enum io_found disk_virtio_open(struct disk *d); /* disk-virtio.c */
enum io_found disk_ide_open(struct disk *d);    /* pc-ide.c */
void measure_disk(void);                        /* measure-disk.c */

/* ---- network cards ---------------------------------------------------------- */

#define NIC_SLOTS   64u   /* frames to send, and as many buffers for what comes */
#define FRAME_MAX   1514u /* without its checksum */
#define FRAME_SPACE 2048u

struct nic {
	const char *driver;
	uint8_t mac[6];
	/* Queues the frame in nic_frame(slot). */
	void (*send)(unsigned slot, uint32_t bytes);
	void (*kick)(void);
	/* Whether the device was seen to be done with one; a slot that was not sent is ~0. */
	bool (*sent)(unsigned *slot);
	/* A frame that came, there until the next call; NULL: none. */
	const uint8_t *(*receive)(uint32_t *bytes);
	void (*close)(void);
};

static inline uint8_t *nic_frame(unsigned slot)
{
	return io_buffer + slot * FRAME_SPACE;
}

/* A page each. */
static inline uint8_t *nic_buffer(unsigned i)
{
	return io_buffer + NIC_SLOTS * FRAME_SPACE + i * PAGE_BYTES;
}

enum io_found nic_xen_open(struct nic *n);    /* net-xen.c */
enum io_found nic_virtio_open(struct nic *n); /* net-virtio.c */
enum io_found nic_e1000_open(struct nic *n);  /* net-e1000.c */
void measure_net(void);                       /* measure-net.c */

#endif
