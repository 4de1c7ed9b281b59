/*
 * src/server/hosts.h - remembers which hosts do not answer. They are tried last and seldom, so a machine that is gone
 * costs connect_timeout now and then, and not each time a connection is opened.
 *
 * A host that refuses at once costs nothing, so this module does not remember it. While one connection tries a silent
 * host again, no other connection does.
 *
 * Owns: an entry for each silent host. Hosts' names come from the configuration, but may contain a tenant's name, so
 *       their number is bounded: HOSTS_MAX. Other hosts are always due.
 */
#pragma once

#include <stdint.h>

#define HOSTS_MAX 4096

struct hosts; /* opaque: hosts.c */

struct hosts *hosts_new(uint64_t random_seed);
void hosts_free(struct hosts *h); /* h may be NULL */

/* Returns when this host ("db1:5432") may be tried; 0 if it may be tried at any time. */
uint64_t hosts_due(const struct hosts *h, const char *address);
/* Notes that this host is tried now, which takes up to timeout_us. */
void hosts_begin(struct hosts *h, const char *address, uint64_t timeout_us, uint64_t now_us);
/* Notes that this host did not answer in time: it is due again after 1 s, doubled each time up to 15 s, +-20 %. */
void hosts_silent(struct hosts *h, const char *address, uint64_t now_us);
/* Notes that this host has answered, with success or not. */
void hosts_answered(struct hosts *h, const char *address);
