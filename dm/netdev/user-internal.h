/* SPDX-License-Identifier: MIT */
/*
 * The back end "user", between its files: what libslirp calls and what the
 * front end calls (user.c), libslirp's sockets (user-poll.c), and what is done
 * to frames on their way out of the guest (user-out.c) and into it (user-in.c).
 */
#ifndef NETDEV_USER_INTERNAL_H
#define NETDEV_USER_INTERNAL_H

#include <sys/epoll.h>

#include "dm/netdev/packet.h"
#include "dm/netdev/queue.h"
#include "dm/netdev/user.h"

#define USER_BATCH 64
#define USER_PORTS 65536u /* of TCP */
/* TCP's and IP's, without options. */
#define USER_HEADERS4 40u
#define USER_HEADERS6 60u
/* RFC 791's 68 bytes of MTU, less headers and a full set of TCP options, and then some. */
#define USER_MSS_MIN 64u

/* By descriptor number. */
struct socket_state {
	uint32_t events;  /* in the epoll set; 0: not in it */
	uint32_t revents; /* what epoll_wait said, during slirp_pollfds_poll */
	uint32_t round;   /* of the last fill that named it */
	uint32_t at;      /* place in `polled` */
};

struct user {
	struct netdev netdev;
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct netdev_front front;
	Slirp *slirp;
	struct netdev_queue queue;
	uint32_t can; /* NETDEV_CAN_*: what the front end takes */
	bool blocked; /* the front end took less than it was offered */
	bool gated;   /* the set is not watched */

	int epoll;
	struct gamut_watch *watch;
	struct gamut_defer *service;
	struct gamut_timer *timer; /* for what slirp_pollfds_fill said */
	struct socket_state *sockets;
	int *polled; /* the descriptors in the set */
	uint32_t n_sockets, n_polled, round;
	uint32_t open, limit; /* sockets of libslirp's */

	uint32_t slirp_mtu;   /* longest IP packet that libslirp makes, and takes by IPv6 */
	uint32_t fragments;   /* identification of IPv6's */
	uint8_t *out, *piece; /* the guest's frame, twice NETDEV_GSO_MAX, and a segment of it */
	struct netdev_packet held; /* at `out`, for the next to be put behind; while `holds` */
	struct netdev_offload held_offload;
	uint32_t held_length;  /* of the frame that was there first */
	bool holds, merged;    /* merged: it is more than one */
	bool held_sum;         /* its checksum is still to be made */
	uint16_t *mss;        /* by the guest's TCP port: payload of a segment, as its last SYN said; 0: it did not */
	bool small_mss;       /* some of them are less than fits a frame */
	struct netdev_offload offload; /* of the frame that is put into the queue */
	uint64_t *dropped, *unsupported, *refused, *bad;
};

static inline void user_count(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

/* ---- user-poll.c ---- */

/* Tells libslirp of what epoll_wait found, lets it send what is due, and asks what it waits for now. */
void user_poll(struct user *u, const struct epoll_event *events, int n);
/* The descriptor is libslirp's no more, or newly so. */
void user_poll_forget(struct user *u, int fd);
/* The set, u->epoll. 0 or -errno. */
int user_poll_open(struct user *u);
void user_poll_close(struct user *u);

/* ---- user-out.c ---- */

/* TCP's payload in the segments that libslirp makes and is sent; a multiple of what goes into a frame of IPv4. */
uint32_t user_big_segment(uint32_t mtu);
/* One of a batch, after the last of which comes the flush. */
void user_send_frame(struct user *u, const struct netdev_frame *frame);
void user_send_flush(struct user *u);

/* ---- user-merge.c ---- */

/* Whether a packet is one of those that can be put behind one another. */
bool user_may_hold(const uint8_t *frame, const struct netdev_packet *p);
/* Puts the packet behind the one that is held, if it belongs there. sum: its checksum is still to be made. */
bool user_merge(struct user *u, const uint8_t *frame, const struct netdev_packet *p, bool sum);

/* ---- user-in.c ---- */

/* A frame from libslirp, as one or several, into the queue. */
void user_give_frame(struct user *u, const uint8_t *data, uint32_t length);

#endif
