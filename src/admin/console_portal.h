/*
 * src/admin/console_portal.h - prepared statements and portals of one console client, for the extended protocol.
 *
 * Both are kept by name, the unnamed one too. A prepared statement is the command that was read from it, not its text.
 *
 * Owns:   names, commands, and rows that were made but not all fetched.
 * Always: at most PORTALS_MAX of each; rows of all portals together at most PORTAL_ROWS_MAX bytes.
 */
#ifndef PGWEIR_ADMIN_CONSOLE_PORTAL_H
#define PGWEIR_ADMIN_CONSOLE_PORTAL_H

#include "admin/console_command.h"
#include "base/buf.h"

#include <sys/queue.h>

#define PORTALS_MAX 100
#define PORTAL_ROWS_MAX ((size_t)64 << 20)

struct prepared {
	struct command command;
	TAILQ_ENTRY(prepared) all;
	char name[];
};

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
	TAILQ_HEAD(prepared_list, prepared) prepared;
	TAILQ_HEAD(portal_list, portal) portals;
	size_t prepared_count, portal_count;
};

void portals_init(struct portals *p);
void portals_fini(struct portals *p);

struct prepared *prepared_find(struct portals *p, const char *name);
/* The unnamed one replaces its predecessor. -1 and why: 42P05 (the name is taken), 53400, 53200. */
int prepared_add(struct portals *p, const char *name, const struct command *command, struct fail *why);
void prepared_drop(struct portals *p, struct prepared *prepared);
void prepared_drop_all(struct portals *p);

struct portal *portal_find(struct portals *p, const char *name);
/* NULL and why: 42P03 (the name is taken), 53400, 53200. */
struct portal *portal_add(struct portals *p, const char *name, const struct command *command, uint64_t binary,
			  struct fail *why);
void portal_drop(struct portals *p, struct portal *portal);
void portal_drop_all(struct portals *p); /* they end with their transaction */
/* How many bytes of rows one more portal may hold. */
size_t portal_room(const struct portals *p);
/* How many bytes the next max rows are (0: all that are left). */
size_t portal_next(const struct portal *portal, uint32_t max);

#endif
