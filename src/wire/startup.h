/*
 * src/wire/startup.h - the first packet of a connection (PostgreSQL's manual, "Message Formats": StartupMessage,
 * SSLRequest, CancelRequest, GSSENCRequest, NegotiateProtocolVersion), and the contents of its parameter "options".
 *
 * The functions are pure. Results point into the caller's bytes.
 */
#pragma once

#include "base/buf.h"
#include "base/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STARTUP_MAX 10000 /* bytes; PostgreSQL's MAX_STARTUP_PACKET_LENGTH */
#define STARTUP_DIRECT_TLS 0x16 /* the first byte of a TLS ClientHello; no PostgreSQL packet begins with this byte */
#define STARTUP_SETTINGS_MAX 256
#define CANCEL_KEY_MAX 256 /* bytes; the limit of protocol 3.2 */

enum startup_kind {
	STARTUP_PARTIAL, /* more bytes are needed; total_len is the packet's length, or 0 if that is not known yet */
	STARTUP_SSL,
	STARTUP_GSSENC,
	STARTUP_CANCEL,
	STARTUP_LOGIN
};
enum startup_replication { REPLICATION_NONE, REPLICATION_PHYSICAL, REPLICATION_LOGICAL };

struct startup_setting {
	const char *name, *value; /* in the caller's bytes; settings from "options" are in the arena */
};

struct startup {
	enum startup_kind kind;
	/* true if startup_parse() has failed on bytes that may be of another protocol; like PostgreSQL, the caller then
	 * closes the connection without an answer */
	bool is_garbage;
	size_t total_len; /* bytes of the packet, with its length */
	/* For STARTUP_CANCEL: */
	uint32_t cancel_pid;
	const uint8_t *cancel_key;
	size_t cancel_key_len; /* 4 to 256 */
	/* For STARTUP_LOGIN: */
	uint16_t major, minor; /* the version that the client asked for */
	const char *user, *database; /* database is the user's name if the packet has no database, or an empty one */
	enum startup_replication replication;
	/* All other settings. As in PostgreSQL, settings from "options" ("-c name=value") come before the packet's own.
	 * Names are equal whatever their case; of equal names, the last one counts. */
	struct startup_setting settings[STARTUP_SETTINGS_MAX];
	size_t setting_count, option_count; /* the first option_count settings are from "options" */
	bool has_bare_reference; /* true if "options" has reference=NAME without a dash; `settings` has it, too */
	const char *unknown_options[32]; /* parameters whose names begin with "_pq_.", for NegotiateProtocolVersion */
	size_t unknown_option_count;
	char *arena; /* memory for the settings from "options" */
};

/*
 * Parses the packet at the front of bytes, and overwrites *out. Returns 0, also for STARTUP_PARTIAL; or -1 with *why
 * set for the client: 0A000 for any major version but 3, 28000 for a missing user, 22023 for an invalid "replication",
 * 54000 for too many settings, 42601 for invalid "options", or 08P01.
 *
 * Any minor version of major version 3 is accepted; see startup_needs_negotiate(). "options" has command-line switches
 * of postgres, such as -c name=value and --name=value, with backslash escapes (pg_split_opts); dashes in a name stand
 * for underscores. Any other word is an error, except reference=NAME (see login/tenant.c). "replication" is a boolean
 * or "database", as in PostgreSQL.
 */
int startup_parse(const uint8_t *bytes, size_t len, struct startup *out, struct fail *why);
void startup_fini(struct startup *s); /* frees the arena, which only a STARTUP_LOGIN has */
/* Returns the minor version that pgweir speaks with the client: 2 for 3.2 and above, otherwise 0. 3.1 never existed; as
 * in PostgreSQL 18, it is treated as 3.0, without a NegotiateProtocolVersion. */
uint16_t startup_minor(const struct startup *s);
/* Returns true if the client must be sent NegotiateProtocolVersion, because it asked for a version after 3.2, or sent
 * parameters named _pq_.*, all of which are unknown to pgweir. */
bool startup_needs_negotiate(const struct startup *s);
void startup_put_negotiate(struct buf *out, const struct startup *s); /* appends a NegotiateProtocolVersion */

#define STARTUP_SSL_REQUEST_LEN 8
extern const uint8_t startup_ssl_request[STARTUP_SSL_REQUEST_LEN]; /* a whole SSLRequest packet */
