/*
 * src/wire/startup.h - the first packet of a connection (protocol chapter, "StartupMessage", "SSLRequest",
 * "CancelRequest", "GSSENCRequest", "NegotiateProtocolVersion"), and the words of libpq's "options".
 *
 * Pure. Results point into the caller's bytes. Every byte is hostile.
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
#define CANCEL_KEY_MAX 256 /* bytes, protocol 3.2 */

enum startup_kind {
	STARTUP_PARTIAL, /* more bytes are needed: total_len in all, or 0 if that is not known yet */
	STARTUP_SSL,
	STARTUP_GSSENC,
	STARTUP_CANCEL,
	STARTUP_LOGIN
};
enum startup_replication { REPLICATION_NONE, REPLICATION_PHYSICAL, REPLICATION_LOGICAL };

struct startup_setting {
	const char *name, *value; /* terminated; in the caller's bytes or, for options, in the arena */
};

struct startup {
	enum startup_kind kind;
	bool is_garbage; /* it was refused and may be anything: PostgreSQL closes without an answer */
	size_t total_len; /* the bytes of the packet, including the length word */
	/* STARTUP_CANCEL */
	uint32_t cancel_pid;
	const uint8_t *cancel_key;
	size_t cancel_key_len; /* 4 to 256 */
	/* STARTUP_LOGIN */
	uint16_t major, minor; /* the version that was asked for */
	const char *user, *database; /* database: as it was sent, or the user's name if it is missing or empty */
	enum startup_replication replication;
	/* All other settings, including options' -c name=value, in order of effect: options first, then the packet's
	 * own, as in PostgreSQL. A later one of the same name, ignoring case, replaces an earlier one. */
	struct startup_setting settings[STARTUP_SETTINGS_MAX];
	size_t setting_count, option_count; /* option_count: the first ones, which are from options */
	bool has_bare_reference; /* options had reference=NAME without a dash before it; it is among settings */
	const char *unknown_options[32]; /* names that begin with "_pq_.", for NegotiateProtocolVersion */
	size_t unknown_option_count;
	char *arena; /* has the words of options; startup_fini frees it */
};

/*
 * Parses the packet at the front of bytes. Returns 0 with *out filled (kind may be PARTIAL), or -1 with *why set for
 * the client (08P01, 0A000 for protocol 2 or majors other than 3, 28000 for no user, 22023 for a value, 54000 for too
 * many settings, 42601 for options). Only a login needs startup_fini; the former content of *out is overwritten. A
 * packet of major version 3 with any minor is accepted; the caller negotiates: see startup_put_negotiate. options:
 * postgres' switches, among them -c name=value and --name=value, with backslash escapes (postgres' pg_split_opts) and
 * dashes in the name read as underscores; any other word is an error, except reference=NAME: see login/tenant.c.
 * replication: boolean words and "database", as in PostgreSQL.
 */
int startup_parse(const uint8_t *bytes, size_t len, struct startup *out, struct fail *why);
void startup_fini(struct startup *s);
/*
 * Returns the minor version to use: 2 for 3.2 and above; 0 for 3.0, and for 3.1, which never existed. As PostgreSQL 18
 * does, 3.1 is not negotiated: nothing but its number would differ from 3.0.
 */
uint16_t startup_minor(const struct startup *s);
/* NegotiateProtocolVersion has the version in use and unknown _pq_. options. It is needed if another version was asked
 * for, or if there are such options. */
bool startup_needs_negotiate(const struct startup *s);
void startup_put_negotiate(struct buf *out, const struct startup *s);

#define STARTUP_SSL_REQUEST_LEN 8
extern const uint8_t startup_ssl_request[STARTUP_SSL_REQUEST_LEN]; /* a whole SSLRequest, as clients send it */
