/*
 * src/console/console_portal.h - prepared statements and portals of one console client, for the extended protocol.
 *
 * Both are kept by name, the unnamed one too, each in a list of its own. A prepared statement is the command that was
 * read from its text; a portal is that and the rows that were made but not all fetched.
 *
 * Owns:   names, commands, rows.
 * Always: at most PORTALS_MAX in a list; rows of all portals together at most PORTAL_ROWS_MAX bytes.
 */
#pragma once

#include "admin/console_command.h"
#include "base/buf.h"

#include <sys/queue.h>

#define PORTALS_MAX 100
#define PORTAL_ROWS_MAX ((size_t)64 << 20)

struct portal {
	struct command command;
	uint64_t binary; /* as in struct rows */
	struct buf rows; /* whole DataRow messages */
	size_t rows_at; /* where the next Execute goes on */
	bool is_begun, is_done;
	TAILQ_ENTRY(portal) all;
	char name[];
};

struct portals {
	TAILQ_HEAD(, portal) list;
	size_t count;
	const char *what, *taken; /* "portals"; the SQLSTATE of a name that is taken */
};

void portals_init(struct portals *p, const char *what, const char *taken);
struct portal *portal_find(const struct portals *p, const char *name);
/* The unnamed one replaces its predecessor. NULL and why: the name is taken, or 53400. */
struct portal *portal_add(struct portals *p, const char *name, const struct command *command, uint64_t binary,
			  struct fail *why);
void portal_drop(struct portals *p, struct portal *portal); /* NULL is fine */
void portal_drop_all(struct portals *p);
/* How many bytes of rows one more portal may hold. */
size_t portal_room(const struct portals *p);
/* How many bytes the next max rows are (0: all that are left). */
size_t portal_next(const struct portal *portal, uint32_t max);
