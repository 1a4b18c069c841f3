/* SPDX-License-Identifier: MIT */
/*
 * Between the files of the IDE controller.
 *
 *   controller.c   the PCI function, ports, bus master registers
 *   channel.c      task file, selection, reset, interrupt
 *   transfer.c     data through the data register
 *   dma.c          data through the bus master, and its registers
 *   hostio.c       requests to the host's block back end
 *   ata.c          the ATA command table; ata-data.c reads and writes, ata-identify.c
 *   atapi.c        the PACKET protocol; atapi-mmc.c, atapi-disc.c the commands behind it
 *
 * A channel carries out one command at a time (there is no overlap), so what a
 * command needs while it runs is in the channel, and nothing is allocated.
 */
#ifndef DM_IDE_INTERNAL_H
#define DM_IDE_INTERNAL_H

#include <pthread.h>

#include "dm/ide/ide.h"

#define IDE_SECTOR     512u
#define IDE_CD_SECTOR  2048u
#define IDE_BUFFER     (64u << 10) /* data on its way through the data register */
#define IDE_MAX_SPANS  512u        /* pieces of guest memory in one request: a sector in regions of two bytes fits */
#define IDE_CHUNK      (1u << 20)  /* bytes in one request to the host */
#define IDE_MAX_MULTI  16u         /* sectors in one block of READ MULTIPLE */
#define IDE_TRIM_UNITS 8u          /* 512-byte units of ranges in one DATA SET MANAGEMENT */

/* Status register. */
enum { ST_ERR = 0x01, ST_DRQ = 0x08, ST_DSC = 0x10, ST_DF = 0x20, ST_DRDY = 0x40, ST_BSY = 0x80 };
/* Error register. */
enum { ER_ABRT = 0x04, ER_IDNF = 0x10, ER_UNC = 0x40 };
/* Device control register. */
enum { CTL_NIEN = 0x02, CTL_SRST = 0x04, CTL_HOB = 0x80 };
/* Device register. */
enum { DEV_DEV1 = 0x10, DEV_LBA = 0x40 };
/* Interrupt reason: the sector count register of PACKET devices. */
enum { IR_CD = 0x01, IR_IO = 0x02 };
/* Bus master command and status. */
enum { BM_START = 0x01, BM_TO_MEMORY = 0x08 };
enum { BM_ACTIVE = 0x01, BM_ERROR = 0x02, BM_INT = 0x04, BM_CAPABLE = 0x60 };

/* Command block registers by port. */
enum { REG_DATA, REG_ERROR, REG_COUNT, REG_LBAL, REG_LBAM, REG_LBAH, REG_DEVICE, REG_STATUS };

/* What the running command waits for. */
enum ide_phase {
	PHASE_IDLE = 0,
	PHASE_PIO_IN,  /* the host reads the data register */
	PHASE_PIO_OUT, /* the host writes the data register */
	PHASE_DMA,     /* the bus master */
	PHASE_IO,      /* the host's block back end */
};

struct ide_drive;
struct ide_channel;

typedef void (*ide_next_fn)(struct ide_channel *ch);
typedef void (*ide_io_fn)(struct ide_channel *ch, int result);

/* A piece of guest memory that a request works on. */
struct ide_span {
	void *host;
	uint64_t gpa;
	uint32_t len;
};

/* The bus master of a channel. */
struct ide_bm {
	uint8_t command, status;
	uint32_t table;      /* the pointer register */
	uint32_t next;       /* the descriptor to fetch */
	uint32_t base, left; /* of the region at hand */
	bool last;           /* its descriptor had EOT */
};

struct ide_counters {
	uint64_t *reads, *writes, *flushes, *discards, *bytes;
	uint64_t *io_errors;   /* the host's */
	uint64_t *aborted;     /* commands that the drive lacks or refuses */
	uint64_t *dma_errors;  /* descriptors or regions that are no RAM */
	uint64_t *at_once;     /* requests that needed no other thread */
};

/* State of a CD-ROM drive. */
struct ide_cd {
	bool tray_open, locked;
	uint8_t sense;      /* key and code of the last command, for REQUEST SENSE */
	uint16_t code;
	uint16_t attention; /* code of the unit attention that is pending, or 0 */
	uint8_t event;      /* media event to tell once, GET EVENT STATUS NOTIFICATION */
};

struct ide_drive {
	struct ide_channel *ch;
	uint8_t unit; /* 0 or 1 on its channel */
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct block *block; /* NULL: an empty CD-ROM drive */
	bool cdrom;
	char serial[21], model[41];
	uint64_t sectors; /* of 512 bytes */
	struct ide_counters n;

	/* Task file: [0] as last written, [1] before that (LBA48). */
	uint8_t feature[2], count[2], lbal[2], lbam[2], lbah[2];
	uint8_t device; /* low bits as the running command leaves them */
	uint8_t error, status;
	bool irq; /* INTRQ asked for; on the line while selected and enabled */

	/* Settings that commands change. */
	uint16_t cylinders, heads, spt;  /* the current translation */
	uint8_t multi;                   /* READ MULTIPLE's block, 0: off */
	uint8_t mwdma, udma;             /* the selected mode's bit, or 0 */
	bool write_cache, look_ahead, keep_settings;
	uint8_t apm;    /* level, 0: off */
	uint8_t power;  /* ATA_POWER_* */
	struct ide_cd cd;
};

/* The running command and its data. */
struct ide_command {
	struct ide_drive *drive;
	uint8_t phase;  /* enum ide_phase */
	bool ext, chs;  /* the form of its address */
	bool verify;    /* reads, and gives nothing to the host */
	bool writing;   /* to the medium */
	bool fua;       /* durable before it ends */
	bool packet_data; /* DRQ blocks have a byte count and a reason */
	bool bad;       /* the medium has an error at bad_at, after what is in the buffer */
	uint32_t block; /* bytes in one DRQ block */
	uint64_t at;    /* byte offset on the medium of what comes next */
	uint64_t left;  /* bytes of the command from there */
	uint64_t bad_at;
	uint32_t limit; /* bytes in one request to the host; halved to find a bad sector */
	uint32_t chunk; /* bytes in the request that runs */
	uint32_t want;  /* bytes that the buffer is to hold */
	uint32_t fill;  /* bytes that it does */
	uint32_t pos;   /* bytes moved between buffer and host or memory */
	uint32_t end;   /* of the DRQ block */
	ide_next_fn next; /* what is in the buffer has been moved */
	ide_next_fn done; /* the command's data has been moved */

	/* Bus master */
	bool to_memory; /* the direction that the command wants */
	bool by_buffer; /* data is in the buffer, not on the medium */
	uint8_t stop;        /* why the walk over the regions ended, enum ide_stop */
	uint8_t edge_side;   /* which half of ch->edge is in use */
	uint32_t edge;       /* bytes of the sector at `at` that were moved before regions ran out */
	uint32_t n_spans;
	struct ide_bm before; /* to go back to when the request fails */

	uint32_t trim;       /* DATA SET MANAGEMENT: the next range */
	uint8_t then_power;  /* STANDBY and SLEEP: after the flush */
	uint8_t packet[12];
	uint32_t byte_limit; /* PACKET: of one DRQ block, as the host gave it */
	bool packet_dma;
};

enum ide_reset { RESET_NONE = 0, RESET_SOFT, RESET_DEVICE };

struct ide_channel {
	struct ide *ide;
	uint8_t n;
	pthread_mutex_t lock;
	pthread_cond_t calm; /* no request is in flight any more */
	struct ide_drive *drive[2];
	uint8_t device, control;
	uint8_t reset; /* enum ide_reset: under way, or waiting for a request to come back */
	bool decoded;  /* the ports answer: I/O space and this channel are enabled */
	bool line;     /* INTRQ at the controller */
	struct ide_bm bm;
	struct ide_command c;
	uint8_t *buffer; /* IDE_BUFFER, and a word to round up to */

	/* hostio.c */
	struct block_req req;
	struct block *block; /* the request's */
	ide_io_fn io_done;
	struct gamut_defer *defer;
	bool io_queued; /* waits for [io] */
	bool io_flying; /* the back end has it */
	bool io_kick, on_io, settling, ready, paused;
	int result;
	int64_t budget; /* bytes that this thread may still move at once */
	struct iovec iov[IDE_MAX_SPANS + 2];
	struct ide_span span[IDE_MAX_SPANS];
	uint8_t edge[2][IDE_SECTOR]; /* of a sector that the regions did not hold whole */
	uint8_t sink[IDE_SECTOR];
};

struct ide {
	struct ide_config c;
	struct gamut_pci_function *function;
	struct ide_channel channel[IDE_CHANNELS];
};

/* ---- channel.c; all but the last four are called with the channel's lock held ---- */

static inline struct ide_drive *ide_selected(const struct ide_channel *ch)
{
	return ch->drive[ch->device & DEV_DEV1 ? 1 : 0];
}

static inline void ide_count(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

uint8_t ide_reg_read(struct ide_channel *ch, uint32_t reg);
void ide_reg_write(struct ide_channel *ch, uint32_t reg, uint8_t value);
uint8_t ide_alt_status(const struct ide_channel *ch);
void ide_control_write(struct ide_channel *ch, uint8_t value);
/* What the drive asks of INTRQ, and the line by it. */
void ide_irq(struct ide_drive *d, bool on);
void ide_irq_update(struct ide_channel *ch);
/* The command is over: its status, and an interrupt. */
void ide_end(struct ide_channel *ch, uint8_t status, uint8_t error);
void ide_end_ok(struct ide_channel *ch);
/* The same for a command that the drive lacks or refuses. */
void ide_abort(struct ide_channel *ch);
/* One or the other. */
void ide_end_if(struct ide_channel *ch, bool ok);
/* What a drive shows after reset: ATA-7 volume 1, "Signature and persistence". */
void ide_signature(struct ide_drive *d);
/* The request that a reset waited for has come back. */
void ide_reset_go_on(struct ide_channel *ch);
int ide_channel_init(struct ide_channel *ch);
void ide_channel_finish(struct ide_channel *ch);
void ide_channel_power_on(struct ide_channel *ch);
void ide_drive_power_on(struct ide_drive *d);

/* ---- transfer.c ---- */

/*
 * `bytes` of the buffer to the host through the data register, in blocks of
 * c->block; then `next`.
 */
void ide_pio_in(struct ide_channel *ch, uint32_t bytes, ide_next_fn next);
/* The host fills the buffer; no interrupt announces the first block of a command. */
void ide_pio_out(struct ide_channel *ch, uint32_t bytes, bool first, ide_next_fn next);
/* The data register: bytes in, out. Without a transfer, reads give ones. */
void ide_data_read(struct ide_channel *ch, uint8_t *buf, uint32_t bytes);
void ide_data_write(struct ide_channel *ch, const uint8_t *buf, uint32_t bytes);
/* Bytes that it can move before the next DRQ block, 0 outside of a transfer. */
uint32_t ide_data_room(const struct ide_channel *ch, bool in);
/* From the medium (c->at, c->left) through the buffer to the host; then `next`. */
void ide_pio_read(struct ide_channel *ch, ide_next_fn next);
/* The error at that byte of the medium ends the command. */
void ide_medium_error(struct ide_channel *ch, uint64_t at);

/* ---- dma.c ---- */

/* `bytes` of the buffer to or from memory; then `next`. */
void ide_dma_buffer(struct ide_channel *ch, uint32_t bytes, bool to_memory, ide_next_fn next);
/* From the medium (c->at, c->left) to memory, or the other way; then `next`. */
void ide_dma_medium(struct ide_channel *ch, bool to_memory, ide_next_fn next);
/* Bus master registers. */
uint8_t ide_bm_read(struct ide_channel *ch, uint32_t reg);
void ide_bm_write(struct ide_channel *ch, uint32_t reg, uint8_t value);
/* Goes on where it can: bus mastering was enabled, or the domain resumes. */
void ide_dma_go(struct ide_channel *ch);
/* Lets go of guest memory. */
void ide_spans_put(struct ide_channel *ch);

/* ---- hostio.c ---- */

int ide_io_init(struct ide_channel *ch);
void ide_io_finish(struct ide_channel *ch);
/*
 * One request of the running command, on the memory in ch->iov; the drive is
 * busy while it lasts. done is called with the lock held: at once, or on [io].
 * To be the last thing that its caller does.
 */
void ide_io(struct ide_channel *ch, uint8_t op, uint64_t offset, uint64_t bytes, uint32_t n_iov, ide_io_fn done);
/* The same on the buffer from byte `from`. */
void ide_io_buffer(struct ide_channel *ch, uint8_t op, uint64_t offset, uint32_t from, uint32_t bytes,
                   ide_io_fn done);

static inline bool ide_io_busy(const struct ide_channel *ch)
{
	return ch->io_queued || ch->io_flying;
}

/* Waits until nothing is in flight, without the lock meanwhile. [vcpu] */
void ide_io_wait(struct ide_channel *ch);
/* Nothing is in flight on return, nor starts before ide_io_go. Without the lock. [control] */
void ide_io_drain(struct ide_channel *ch);
void ide_io_go(struct ide_channel *ch);

/* ---- ata.c, ata-data.c, ata-identify.c ---- */

void ata_power_on(struct ide_drive *d);
void ata_soft_reset(struct ide_drive *d);
void ata_command(struct ide_channel *ch, uint8_t command);
void ata_identify(const struct ide_drive *d, uint16_t words[256]);
void ata_pio_read(struct ide_channel *ch, uint8_t command);
void ata_pio_write(struct ide_channel *ch, uint8_t command);
void ata_dma(struct ide_channel *ch, uint8_t command);
void ata_verify(struct ide_channel *ch, uint8_t command);
void ata_seek(struct ide_channel *ch, uint8_t command);
void ata_trim(struct ide_channel *ch, uint8_t command);
/* Durable, then over; power: the drive's power mode from then on. */
void ata_flush(struct ide_channel *ch, uint8_t power);
/* Puts the address of a sector into the registers, in the form of the running command. */
void ata_put_address(struct ide_channel *ch, uint64_t sector);

/* For both kinds of drives. */
#define ATA_POWER_ACTIVE  0xffu
#define ATA_POWER_STANDBY 0x00u
#define ATA_POWER_SLEEP   0x01u
/* SET FEATURES that disks and CD drives share; false when it is none of them, or not with its argument. */
bool ata_set_common_feature(struct ide_drive *d);
/* A string of IDENTIFY, padded with blanks to n words. */
void ata_string(uint16_t *words, uint32_t n, const char *text);
/* The words on transfer modes, and the checksum. */
void ata_identify_modes(const struct ide_drive *d, uint16_t words[256]);
void ata_identify_end(uint16_t words[256]);

/* ---- atapi.c, atapi-mmc.c, atapi-disc.c ---- */

/* Sense keys. */
enum { SENSE_NOT_READY = 2, SENSE_MEDIUM = 3, SENSE_ILLEGAL = 5, SENSE_ATTENTION = 6 };

void atapi_power_on(struct ide_drive *d);
void atapi_command(struct ide_channel *ch, uint8_t command);
/* Answers with `bytes` of the buffer, at most `allocation` of them. */
void atapi_reply(struct ide_channel *ch, uint32_t bytes, uint32_t allocation);
/* `n` sectors of 2048 bytes from `sector` on. */
void atapi_read(struct ide_channel *ch, uint64_t sector, uint64_t n);
void atapi_good(struct ide_channel *ch);
/* CHECK CONDITION. code: additional sense code << 8 | its qualifier */
void atapi_fail(struct ide_channel *ch, uint8_t sense, uint16_t code);
bool atapi_has_medium(const struct ide_drive *d);
/* Sectors of 2048 bytes. */
uint32_t atapi_capacity(const struct ide_drive *d);
void mmc_command(struct ide_channel *ch);
bool mmc_is_dvd(const struct ide_drive *d);
/* Commands on what is on the disc. */
void mmc_read_toc(struct ide_channel *ch);
void mmc_read_disc_information(struct ide_channel *ch);
void mmc_read_sub_channel(struct ide_channel *ch);
void mmc_read_disc_structure(struct ide_channel *ch);

static inline uint32_t get_be16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static inline uint32_t get_be32(const uint8_t *p)
{
	return get_be16(p) << 16 | get_be16(p + 2);
}

static inline void put_be16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void put_be32(uint8_t *p, uint32_t v)
{
	put_be16(p, v >> 16);
	put_be16(p + 2, v);
}

#endif
