/*
 * src/load/load_set.h - which setting the console's SET means: config_load_with() wants its whole name.
 */
#ifndef PGWEIR_LOAD_LOAD_SET_H
#define PGWEIR_LOAD_LOAD_SET_H

#include "config/config.h"

#define CONFIG_SET_NAME_MAX 127

/* What a SET amounts to. */
struct config_setting {
	char name[CONFIG_SET_NAME_MAX + 1]; /* for config_load_with: "pool.pool_size" or PgBouncer's */
	const char *reason; /* why it is known, but has no effect; NULL: it has */
	bool is_secret; /* its value is not to be shown */
	bool is_of_tls; /* it may need another one to be set as well before both are of use */
};

/*
 * name: "pool.pool_size", a name that only one of our settings has, or PgBouncer's, whose units value is in then; in a
 * PgBouncer file, PgBouncer's or one of ours with its section. value NULL: the file's. -1 and why: it is not known
 * (42704), or can't be changed while pgweir runs (55P02).
 */
int config_set_resolve(const struct config *config, const char *name, const char *value, struct config_setting *out,
		       struct fail *why);

#endif
