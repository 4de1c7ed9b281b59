/* src/modules/ldap/ldap_bind.c - asks an LDAP server whether a password is right. See ldap.h. */
#include "modules/ldap/ldap.h"
#include "base/clock.h"
#include "base/text.h"

#include <errno.h>
#include <ldap.h>
#include <poll.h>

#define ANSWER_MAX ((ber_len_t)1 << 20) /* the most bytes of a message; no answer that pgweir asks for is long */

/* A connection, and the deadline for all operations on it. */
struct session {
	const struct ldap_settings *s;
	LDAP *ld; /* NULL if not made yet */
	uint64_t deadline_us;
	struct fail *why;
	bool has_password; /* true while a password is being sent */
};

static uint64_t
left_us(const struct session *a)
{
	uint64_t now_us = clock_now_us();

	return now_us < a->deadline_us ? a->deadline_us - now_us : 0;
}

/* --- I/O layers that are added to libldap's connection. --- */

static int
layer_setup(Sockbuf_IO_Desc *io, void *session)
{
	io->sbiod_pvt = session;
	return 0;
}

static int
layer_ctrl(Sockbuf_IO_Desc *io, int option, void *arg)
{
	return LBER_SBIOD_CTRL_NEXT(io, option, arg);
}

static ber_slen_t
layer_read(Sockbuf_IO_Desc *io, void *bytes, ber_len_t len)
{
	return LBER_SBIOD_READ_NEXT(io, bytes, len);
}

static ber_slen_t
layer_write(Sockbuf_IO_Desc *io, void *bytes, ber_len_t len)
{
	return LBER_SBIOD_WRITE_NEXT(io, bytes, len);
}

static ber_slen_t
wiper_write(Sockbuf_IO_Desc *io, void *bytes, ber_len_t len)
{
	const struct session *a = io->sbiod_pvt;
	ber_slen_t sent = LBER_SBIOD_WRITE_NEXT(io, bytes, len);

	if (sent > 0 && a->has_password)
		explicit_bzero(bytes, (size_t)sent);
	return sent;
}

/* Wipes a bind after it was sent, because libldap frees the buffer with the password without wiping it. */
static const Sockbuf_IO wiper = { layer_setup, NULL, layer_ctrl, layer_read, wiper_write, NULL };

static ber_slen_t
timer_read(Sockbuf_IO_Desc *io, void *bytes, ber_len_t len)
{
	struct pollfd there = { .fd = -1, .events = POLLIN };

	ber_sockbuf_ctrl(io->sbiod_sb, LBER_SB_OPT_GET_FD, &there.fd);
	if (poll(&there, 1, (int)((left_us(io->sbiod_pvt) + 999) / 1000)) == 0) {
		errno = ETIMEDOUT;
		return -1;
	}
	return LBER_SBIOD_READ_NEXT(io, bytes, len);
}

/* Limits the time of reads below TLS, because libldap's timeouts end neither a handshake nor a message that has begun
 * to arrive. */
static const Sockbuf_IO timer = { layer_setup, NULL, layer_ctrl, timer_read, layer_write, NULL };

static void
add_layers(struct session *a)
{
	ber_len_t most = ANSWER_MAX;
	Sockbuf *socket = NULL;

	if (ldap_get_option(a->ld, LDAP_OPT_SOCKBUF, &socket) != LDAP_OPT_SUCCESS || socket == NULL)
		return;
	ber_sockbuf_ctrl(socket, LBER_SB_OPT_SET_MAX_INCOMING, &most);
	ber_sockbuf_add_io(socket, (Sockbuf_IO *)(uintptr_t)&wiper, LBER_SBIOD_LEVEL_APPLICATION, a);
	ber_sockbuf_add_io(socket, (Sockbuf_IO *)(uintptr_t)&timer, LBER_SBIOD_LEVEL_PROVIDER + 1, a);
}

/* --- Asking. --- */

static enum proof_verdict
fail_session(const struct session *a, const char *doing, int result)
{
	char *diagnosis = NULL;

	fail_set(a->why, "57P03", "LDAP: could not %s at %.100s: %s", doing, a->s->uris, ldap_err2string(result));
	if (a->ld != NULL && ldap_get_option(a->ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &diagnosis) == LDAP_OPT_SUCCESS &&
	    diagnosis != NULL && *diagnosis != '\0')
		fail_detail(a->why, "%.200s", diagnosis);
	ldap_memfree(diagnosis);
	return PROOF_FAILED;
}

static bool
set_timeout(const struct session *a, int option, uint64_t us)
{
	const struct timeval time = { (time_t)(us / US_PER_S), (suseconds_t)(us % US_PER_S) };

	return ldap_set_option(a->ld, option, &time) == LDAP_OPT_SUCCESS;
}

/* Gives the next operation the time that is left, and each server an equal share of that time to connect. Returns false
 * if no time is left. */
static bool
apply_deadline(const struct session *a)
{
	uint64_t us = left_us(a), servers = 1;
	char *uris = NULL;

	if (ldap_get_option(a->ld, LDAP_OPT_URI, &uris) == LDAP_OPT_SUCCESS)
		for (const char *c = uris; c != NULL && *c != '\0'; c++)
			servers += *c == ' ';
	ldap_memfree(uris);
	return us > 0 && set_timeout(a, LDAP_OPT_NETWORK_TIMEOUT, us / servers) && set_timeout(a, LDAP_OPT_TIMEOUT, us);
}

/* Makes a->ld. Without ldapserver, DNS names the servers of base_dn's domain. Returns a result code of libldap. */
static int
initialize(struct session *a)
{
	char *domain = NULL, *hosts = NULL;
	struct buf uris = { 0 };
	int r;

	if (a->s->server != NULL)
		return ldap_initialize(&a->ld, a->s->uris);
	r = ldap_dn2domain(a->s->base_dn, &domain);
	if (r == LDAP_SUCCESS)
		r = ldap_domain2hostlist(domain, &hosts);
	if (r == LDAP_SUCCESS) {
		for (char *rest = hosts, *host; (host = strsep(&rest, " ")) != NULL;)
			buf_printf(&uris, "%s%.*s://%s", uris.len > 0 ? " " : "", (int)strcspn(a->s->uris, ":"),
				   a->s->uris, host);
		buf_put_u8(&uris, '\0');
		r = buf_ok(&uris) ? ldap_initialize(&a->ld, (const char *)uris.bytes) : LDAP_NO_MEMORY;
	}
	buf_fini(&uris);
	ldap_memfree(domain);
	ldap_memfree(hosts);
	return r;
}

/* Prepares a->ld, which connects to the server when something is first sent: now, to start TLS, or later. Referrals are
 * not followed, because libldap would ask other servers anonymously, in the clear, and could not bind there. */
static enum proof_verdict
begin(struct session *a)
{
	const int version = LDAP_VERSION3;
	int r = initialize(a);

	if (r == LDAP_SUCCESS)
		r = ldap_set_option(a->ld, LDAP_OPT_PROTOCOL_VERSION, &version);
	if (r == LDAP_SUCCESS)
		r = ldap_set_option(a->ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF);
	if (r != LDAP_SUCCESS)
		return fail_session(a, "begin", r);
	add_layers(a);
	if (a->s->starts_tls) {
		if (!apply_deadline(a))
			return fail_session(a, "start TLS", LDAP_TIMEOUT);
		r = ldap_start_tls_s(a->ld, NULL, NULL);
		if (r != LDAP_SUCCESS)
			return fail_session(a, "start TLS", r);
	}
	return PROOF_RIGHT;
}

/* Returns the result code of the bind. */
static int
bind_as(struct session *a, const char *name, const char *password)
{
	struct berval credentials = { strlen(password), (char *)(uintptr_t)password };
	int r;

	if (!apply_deadline(a))
		return LDAP_TIMEOUT;
	a->has_password = true;
	r = ldap_sasl_bind_s(a->ld, name, LDAP_SASL_SIMPLE, &credentials, NULL, NULL, NULL);
	a->has_password = false;
	return r;
}

/* Writes the found entry's name. Returns PROOF_WRONG unless the search has found exactly one entry. */
static enum proof_verdict
take_entry(const struct session *a, LDAPMessage *found, bool has_more, struct buf *name)
{
	int count = ldap_count_entries(a->ld, found);
	char *dn;

	if (count != 1 || has_more) {
		fail_set(a->why, "28000", "LDAP: the search at %.100s found %s", a->s->uris,
			 count < 1 ? "no entry" : "more than one entry");
		return PROOF_WRONG;
	}
	dn = ldap_get_dn(a->ld, ldap_first_entry(a->ld, found));
	if (dn == NULL)
		return fail_session(a, "read the entry", LDAP_DECODING_ERROR);
	buf_printf(name, "%s", dn);
	ldap_memfree(dn);
	return PROOF_RIGHT;
}

/* Searches for the user's entry, and writes the entry's name. */
static enum proof_verdict
search(struct session *a, const char *user, struct buf *name)
{
	char *attributes[] = { (char *)(uintptr_t)LDAP_NO_ATTRS, NULL };
	const struct ldap_settings *s = a->s;
	LDAPMessage *found = NULL;
	struct buf filter = { 0 };
	enum proof_verdict proof;
	int r = bind_as(a, s->bind_dn != NULL ? s->bind_dn : "", s->bind_password != NULL ? s->bind_password : "");

	if (r != LDAP_SUCCESS)
		return fail_session(a, "bind for a search", r);
	ldap_put_filter(s, user, &filter);
	buf_put_u8(&filter, '\0');
	r = !buf_ok(&filter)	 ? LDAP_NO_MEMORY
	    : !apply_deadline(a) ? LDAP_TIMEOUT
				 : ldap_search_ext_s(a->ld, s->base_dn, s->scope, (const char *)filter.bytes,
						     attributes, 0, NULL, NULL, NULL, 2, &found);
	buf_fini(&filter);
	proof = r == LDAP_SUCCESS || r == LDAP_SIZELIMIT_EXCEEDED
		    ? take_entry(a, found, r == LDAP_SIZELIMIT_EXCEEDED, name)
		    : fail_session(a, "search", r);
	ldap_msgfree(found);
	return proof;
}

/* Returns true if the server has not judged the password at all. */
static bool
is_unjudged(int result)
{
	return result < 0 || result == LDAP_OPERATIONS_ERROR || result == LDAP_PROTOCOL_ERROR ||
	       result == LDAP_STRONG_AUTH_REQUIRED || result == LDAP_CONFIDENTIALITY_REQUIRED ||
	       result == LDAP_AUTH_METHOD_NOT_SUPPORTED || result == LDAP_BUSY || result == LDAP_UNAVAILABLE;
}

/* Finds the user's name, and binds with it. */
static enum proof_verdict
ask(struct session *a, const char *user, const char *password, struct buf *name)
{
	enum proof_verdict proof = PROOF_RIGHT;
	int r;

	if (a->s->base_dn != NULL)
		proof = search(a, user, name);
	else
		ldap_put_name(a->s, user, name);
	if (proof != PROOF_RIGHT)
		return proof;
	buf_put_u8(name, '\0');
	r = buf_ok(name) ? bind_as(a, (const char *)name->bytes, password) : LDAP_NO_MEMORY;
	if (is_unjudged(r))
		return fail_session(a, "bind", r);
	if (r == LDAP_SUCCESS)
		return PROOF_RIGHT;
	fail_set(a->why, "28000", "LDAP: bind refused at %.100s: %s", a->s->uris, ldap_err2string(r));
	return PROOF_WRONG;
}

enum proof_verdict
ldap_judge(const struct auth_question *q, struct fail *why)
{
	struct session a = { .s = q->options, .deadline_us = q->deadline_us, .why = why };
	struct buf name = { 0 };
	enum proof_verdict proof = begin(&a);

	if (proof == PROOF_RIGHT)
		proof = ask(&a, q->user, q->password, &name);
	if (a.ld != NULL)
		ldap_unbind_ext_s(a.ld, NULL, NULL);
	buf_fini(&name);
	return proof;
}
