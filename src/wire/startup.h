/*
 * src/wire/startup.h - the first packet of a connection (protocol chapter, "StartupMessage", "SSLRequest",
 * "CancelRequest", "GSSENCRequest", "NegotiateProtocolVersion"), and libpq's "options" words.
 *
 * Pure: bytes in, verdict out. Results point into the caller's bytes. Every byte is hostile.
 */
#ifndef PGWEIR_WIRE_STARTUP_H
#define PGWEIR_WIRE_STARTUP_H

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
	STARTUP_PARTIAL, /* more bytes are needed: total_len says how many in all, 0 if not even that is known */
	STARTUP_SSL,
	STARTUP_GSSENC,
	STARTUP_CANCEL,
	STARTUP_LOGIN
};
enum startup_replication { REPLICATION_NONE, REPLICATION_PHYSICAL, REPLICATION_LOGICAL };

struct startup_setting {
	const char *name, *value; /* terminated, in the caller's bytes or in the packet's own arena for options */
};

struct startup {
	enum startup_kind kind;
	bool is_garbage; /* refused, and PostgreSQL closes without an answer: it may be anything */
	size_t total_len; /* bytes of the packet, the length word included */
	/* STARTUP_CANCEL */
	uint32_t cancel_pid;
	const uint8_t *cancel_key;
	size_t cancel_key_len; /* 4 to 256 */
	/* STARTUP_LOGIN */
	uint16_t major, minor; /* as asked for */
	const char *user, *database; /* database: as sent, or the user's name when missing or empty */
	enum startup_replication replication;
	/* All else, options' -c name=value included, in order of effect: options first, then the packet's own, as
	 * PostgreSQL does; a later one of the same name (whatever its case) wins. Names as they were sent. */
	struct startup_setting settings[STARTUP_SETTINGS_MAX];
	size_t setting_count;
	bool has_bare_reference; /* options held reference=NAME without a dash before it; it is among settings */
	const char *unknown_options[32]; /* names beginning "_pq_.": for NegotiateProtocolVersion */
	size_t unknown_option_count;
	char *arena; /* holds words of options; startup_fini frees it */
};

/*
 * Parses the packet at the front of bytes. 0: out is filled (kind says what is there, or PARTIAL). -1: refuse the
 * connection; why is what to tell it (08P01, 0A000 for protocol 2 or majors other than 3, 28000 for no user, 22023 for
 * a value, 54000 for more settings than we hold). Nothing to fini unless out is a login; its former content is lost.
 * A major-3 packet with any minor is accepted; negotiation is the caller's: see startup_put_negotiate.
 * options: -c name=value, -cname=value, --name=value, with backslash escapes (postgres' pg_split_opts) and dashes in
 * the name read as underscores; any other word is 22023, but for reference=NAME: see login/tenant.h.
 * replication: boolean words and "database", as in PostgreSQL.
 */
int startup_parse(const uint8_t *bytes, size_t len, struct startup *out, struct fail *why);
void startup_fini(struct startup *s);
/* The minor version that is spoken: 3.2 and above get 2, 3.0 gets 0, and so does 3.1, which never existed. */
uint16_t startup_minor(const struct startup *s);
/* NegotiateProtocolVersion: the version spoken and unknown _pq_. options. Needed if another was asked for, or any such.
 */
bool startup_needs_negotiate(const struct startup *s);
void startup_put_negotiate(struct buf *out, const struct startup *s);

#define STARTUP_SSL_REQUEST_LEN 8
extern const uint8_t startup_ssl_request[STARTUP_SSL_REQUEST_LEN]; /* as a client sends it: SSLRequest, whole */

#endif
