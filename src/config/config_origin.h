/*
 * src/config/config_origin.h - which line each value of a configuration came from, and how it was written there.
 *
 * Kept beside the values for SHOW CONFIG, --dump-config and the warnings that need a place to point at.
 */
#pragma once

#include "config/config_keys.h"
#include "config/config_source.h"

struct scope_origin {
	unsigned line; /* of the section's head */
	unsigned upstream_line;
	unsigned lines[CONFIG_SCOPE_MAX]; /* by the bits of config_scope.set */
	char *upstream_raw; /* as written, if it holds no password; else NULL */
};

struct config_origin {
	char *file; /* as it was named to load_config(); empty: none */
	struct config_source *source; /* of a pgbouncer.ini; else NULL */
	unsigned lines[CONFIG_KEYS_MAX];
	bool is_bad[CONFIG_KEYS_MAX]; /* its value was refused: what follows from it is not a mistake of its own */
	char *pendings[CONFIG_KEYS_MAX]; /* what a restart will put in force; NULL: nothing else */
	char *raws[CONFIG_KEYS_MAX]; /* as written, for values a line of a file could not hold; may be NULL */
	unsigned listen_lines[CONFIG_LISTENS_MAX];
	struct scope_origin *databases, *tenants, *users; /* beside the scopes of config */
};

/* config.c: returns a configuration of nothing but defaults, with its origins. path: empty for no file. */
struct config *config_new(const char *path);
