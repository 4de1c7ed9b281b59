/*
 * tests/sim/kernel.h - the part of an operating system that the simulation needs, in memory: stream sockets, epoll and
 * connecting, under the names of the C library, so that pgweir, libevent and the model of PostgreSQL use it unchanged.
 *
 * What is written is in flight until it arrives. Whether it arrives at once, how much the peer's buffer takes, in which
 * order epoll reports, and what becomes of a connect() is drawn from the seed. There may be several loops, on one
 * thread: a descriptor is in one of them, and what they wake each other with (eventfd) may arrive late, too.
 * Descriptors that were not made here go to the real kernel.
 *
 * Always: nothing blocks; what happens depends on the seed and on the calls alone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How the network behaves from now on. In 256ths of all cases, unless it says otherwise. */
struct kernel_weather {
	unsigned late; /* what is written arrives when kernel_arrive() says so */
	unsigned narrow; /* a new connection takes few bytes at a time */
	unsigned slow_connect; /* connect() has no result before kernel_arrive() */
	unsigned one_event; /* epoll_wait() reports one event, though there are more */
	bool is_refusing; /* connect() finds nobody */
	bool is_mute; /* connect() finds one who takes what is sent, and never answers */
	bool is_nameless, is_misnamed; /* the name server is silent, or answers with an error */
};

void kernel_reset(uint64_t seed); /* the weather is calm */
void kernel_set_weather(const struct kernel_weather *weather);
/* Something that is in flight arrives, a piece of it (or all: the whole), or a name server's answer; false: nothing is.
 */
bool kernel_arrive(bool is_all);
/* The connection breaks, for both ends; what is in flight is lost. */
void kernel_break(int fd);
/* Sockets that are made from now on are this one's, as are the ends that they are connected to; 0 at first. */
void kernel_own(unsigned by);
unsigned kernel_owner(int fd); /* 0: nobody's, or it is not open */
/* As if the process whose these are had ended: nothing that they send any more arrives. They are still to be closed. */
void kernel_kill(unsigned by);
bool kernel_is_connected(int fd); /* its peer has not closed */
bool kernel_has_lost_one(void); /* of those that connect() made: its peer has closed or broken it, and it is open */
size_t kernel_unread(int fd); /* bytes that its peer has written, in flight or arrived */
unsigned kernel_open_count(void); /* descriptors that are open */
uint64_t kernel_bytes(void); /* read by anybody since kernel_reset() */

/* resolver.c, in place of c-ares: every name is PostgreSQL's. */
bool resolver_answer(bool is_failing); /* the oldest lookup; false: there is none */
unsigned resolver_count(void); /* of lookups that have not called back */
