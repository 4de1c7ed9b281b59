/*
 * src/server/hosts.h - remembers which hosts did not answer. Such silent hosts are tried last and seldom, so a machine
 * that is gone costs connect_timeout now and then, and not each time a connection is opened.
 *
 * A host that refuses a connection costs no time, so it is not remembered. While one connection tries a silent host
 * again, other connections that have a choice of hosts try other hosts.
 *
 * Owns: an entry for each silent host, but at most HOSTS_MAX entries, because clients can make up hosts: a host's name
 *       may contain a tenant's name, which clients choose. A host without an entry may always be tried.
 */
#pragma once

#include <stdint.h>

#define HOSTS_MAX 4096

struct hosts; /* opaque: hosts.c */

struct hosts *hosts_new(uint64_t random_seed);
void hosts_free(struct hosts *h); /* h may be NULL */

/* Returns when this host ("db1:5432") may next be tried; 0 if it may be tried now. h may be NULL, here and below. */
uint64_t hosts_due_us(const struct hosts *h, const char *address);
/* Notes that this host is tried now. If the host is silent, it is next due after timeout_us. */
void hosts_note_attempt(struct hosts *h, const char *address, uint64_t timeout_us, uint64_t now_us);
/* Notes that this host did not answer in time. The host may be tried again after 1 s. Each further silence in a row
 * doubles that time, up to 15 s. All times vary at random by 20 %. */
void hosts_note_silent(struct hosts *h, const char *address, uint64_t now_us);
/* Notes that this host has answered, with success or not. */
void hosts_note_answer(struct hosts *h, const char *address);
