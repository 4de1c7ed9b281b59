/*
 * src/log/log_recent.h - the last lines of the log, for SHOW EVENTS: warnings and errors apart from the rest, so that
 * connections that come and go do not push them out.
 *
 * Owns: copies of the messages. Zeroed is empty. The caller sees to it that one thread at a time is in here.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define LOG_RECENT_KEPT 100 /* of each kind */
#define LOG_RECENT_KINDS 2

struct log_event {
	uint64_t wall_us;
	int level; /* enum log_level */
	char *message;
};

struct log_recent {
	struct log_event events[LOG_RECENT_KINDS][LOG_RECENT_KEPT];
	size_t next[LOG_RECENT_KINDS]; /* the oldest, which is overwritten next */
};

void log_recent_add(struct log_recent *r, int level, const char *message, uint64_t wall_us);
void log_recent_fini(struct log_recent *r);
/* Calls row for each, the newest first. row must not log. */
void log_recent_each(const struct log_recent *r, void (*row)(const struct log_event *event, void *arg), void *arg);
