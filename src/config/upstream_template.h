/*
 * src/config/upstream_template.h - the upstream of a tenant: %{tenant}, %{database} and %{user} in it stand for the
 * client's own, %% is a percent sign.
 *
 * A host, and what is sent with each connection, may be made of the tenant's name only, which holds nothing but
 * letters, digits, _ and -; the names that clients choose freely may stand in dbname and user. A password is taken as
 * it is.
 */
#ifndef PGWEIR_CONFIG_UPSTREAM_TEMPLATE_H
#define PGWEIR_CONFIG_UPSTREAM_TEMPLATE_H

#include "config/upstream.h"

bool is_tenant_name(const char *name, size_t len); /* 1 to 63 letters, digits, _ and - */
/* Of a whole upstream that was read as a tenant's: -1 and why if it could never be filled in. */
int upstream_check_template(const struct upstream *up, struct fail *why);
/* One that is no template: its names are taken as they are. Used by upstream_parse too. */
int upstream_check_host(const char *host, struct fail *why);

#endif
