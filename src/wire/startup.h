/*
 * src/wire/startup.h - the first packet of a connection (protocol chapter, "StartupMessage", "SSLRequest",
 * "CancelRequest", "GSSENCRequest", "NegotiateProtocolVersion"), and the words of libpq's "options".
 *
 * The functions are pure. Results point into the caller's bytes. Every byte is treated as hostile.
 */
#pragma once

#include "base/buf.h"
#include "base/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STARTUP_MAX 10000 /* bytes; PostgreSQL's MAX_STARTUP_PACKET_LENGTH */
#define STARTUP_DIRECT_TLS 0x16 /* the first byte of a TLS ClientHello; no packet begins with it */
#define STARTUP_SETTINGS_MAX 256
#define CANCEL_KEY_MAX 256 /* bytes, in protocol 3.2 */

enum startup_kind {
	STARTUP_PARTIAL, /* more bytes are needed; total_len is the packet's length, or 0 if that is not known yet */
	STARTUP_SSL,
	STARTUP_GSSENC,
	STARTUP_CANCEL,
	STARTUP_LOGIN
};
enum startup_replication { REPLICATION_NONE, REPLICATION_PHYSICAL, REPLICATION_LOGICAL };

struct startup_setting {
	/* terminated; in the caller's bytes, or in the arena if the setting is from options */
	const char *name, *value;
};

struct startup {
	enum startup_kind kind;
	/* the packet was refused and may belong to another protocol, so the connection is closed without an answer, as
	 * by PostgreSQL */
	bool is_garbage;
	size_t total_len; /* the bytes of the packet, including the length word */
	/* For STARTUP_CANCEL: */
	uint32_t cancel_pid;
	const uint8_t *cancel_key;
	size_t cancel_key_len; /* 4 to 256 */
	/* For STARTUP_LOGIN: */
	uint16_t major, minor; /* the version that the client asked for */
	/* database is the name that was sent, or the user's name if the packet has no database or an empty one */
	const char *user, *database;
	enum startup_replication replication;
	/* All other settings, including "-c name=value" in options, in order of effect. As in PostgreSQL, those from
	 * options come first, then the packet's own. A later setting replaces an earlier one of the same name; case is
	 * ignored. */
	struct startup_setting settings[STARTUP_SETTINGS_MAX];
	size_t setting_count, option_count; /* the first option_count settings are from options */
	/* options had the word reference=NAME without a dash before it; settings has this setting, too */
	bool has_bare_reference;
	const char *unknown_options[32]; /* names that begin with "_pq_.", for NegotiateProtocolVersion */
	size_t unknown_option_count;
	char *arena; /* holds the words of options; startup_fini() frees it */
};

/*
 * Parses the packet at the front of bytes. Returns 0 with *out filled (kind may be STARTUP_PARTIAL), or -1 with *why
 * set for the client: 08P01, 0A000 for any major version but 3, 28000 for a missing user, 22023 for an invalid value of
 * replication, 54000 for too many settings, 42601 for invalid options. The former content of *out is overwritten. Only
 * a login needs startup_fini().
 *
 * A packet of major version 3 with any minor is accepted; the caller negotiates (see startup_put_negotiate). options
 * holds postgres' switches, among them -c name=value and --name=value, with backslash escapes (postgres'
 * pg_split_opts); dashes in a name are read as underscores. Any other word is an error, except reference=NAME (see
 * login/tenant.c). replication takes boolean words and "database", as in PostgreSQL.
 */
int startup_parse(const uint8_t *bytes, size_t len, struct startup *out, struct fail *why);
void startup_fini(struct startup *s);
/*
 * Returns the minor version to use: 2 for 3.2 and above; 0 for 3.0 and for 3.1, which never existed. As in PostgreSQL
 * 18, 3.1 is not negotiated down to 3.0, because the two would differ only in the number.
 */
uint16_t startup_minor(const struct startup *s);
/*
 * Returns true if the client must be sent NegotiateProtocolVersion, because it asked for a newer version than pgweir
 * has, or sent options named _pq_.*, all of which are unknown.
 */
bool startup_needs_negotiate(const struct startup *s);
void startup_put_negotiate(struct buf *out, const struct startup *s);

#define STARTUP_SSL_REQUEST_LEN 8
extern const uint8_t startup_ssl_request[STARTUP_SSL_REQUEST_LEN]; /* a whole SSLRequest, as clients send it */
