/*
 * src/server/versions.h - what differs between the versions of PostgreSQL that pgweir supports, and matters to pgweir.
 *
 * All other SQL of pgweir's own, and all that is followed, is the same from 15 to 19: nothing else asks for a version.
 * tests/integration/state/test_versions.py runs that SQL before each of them.
 */
#pragma once

#include <stdbool.h>

struct gucs;

enum version_fact {
	/* Settings of the transaction (transaction_isolation ...) in a startup packet are ignored, and not refused. */
	VERSION_IGNORES_TRANSACTION_AT_START,
	VERSION_FACTS
};

/* Returns true if the fact holds for the server with this welcome: a GUC set with server_version. */
bool version_has(const struct gucs *welcome, enum version_fact fact);
