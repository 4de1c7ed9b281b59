#include "server/versions.h"
#include "session/gucs.h"

#include <stdlib.h>

/* The major version that each is true of first. */
static const unsigned char since[VERSION_FACTS] = {
	[VERSION_IGNORES_TRANSACTION_AT_START] = 18,
};

bool
version_has(const struct gucs *welcome, enum version_fact fact)
{
	const char *version = gucs_get(welcome, "server_version"); /* "18.6 (Debian 18.6-1)", "19rc1" */

	return version != NULL && strtoul(version, NULL, 10) >= since[fact];
}
