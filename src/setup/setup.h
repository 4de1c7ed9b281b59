/*
 * src/setup/setup.h - makes the objects that a configuration names, all of them or none: users, rules, certificates,
 * logs. Sockets are listeners.h's. Mistakes in files are told in the same list as those in the
 * configuration.
 */
#pragma once

#include "auth/hba.h"
#include "auth/users.h"
#include "base/fail.h"
#include "log/log.h"
#include "config/config.h"
#include "net/tls.h"
#include "pool/pool_target.h"

/* The files that a configuration names, as read. Each is a reference, and may be NULL. */
struct setup_files {
	struct users *users;
	struct tls_context *tls; /* for clients; NULL: they get no TLS */
	struct tls_context *http_tls; /* of [http]; NULL: none is spoken there */
	struct tls_store *server_tls;
	struct hba *hba; /* NULL unless method = hba */
	struct ident *ident;
};

/* --- files.c --- */

/* Loads all files that a configuration names. Returns 0, or -1 if errors were added to problems. */
int setup_load_files(const struct config *config, struct setup_files *out, struct config_problems *problems);
void setup_files_fini(struct setup_files *files);
/*
 * Checks the files that config_load doesn't open: hba_file, ident_file, certificates and keys. Returns 0, or -1 if
 * errors were added to problems; warnings may be added in either case.
 */
int setup_check_files(const struct config *config, struct config_problems *problems);

/* --- certificate.c --- */

/*
 * Writes server.crt and server.key into directory, which must have neither: a self-signed certificate for this host's
 * name (ECDSA on P-256, ten years), and its key, for the owner alone. Returns 0, or -1 with *why set.
 */
int setup_make_certificate(const char *directory, struct fail *why);

/* --- rules.c --- */

/* Loads hba_file and ident_file: NULL if they are not configured, or if errors were added to problems. */
void setup_load_rules(const struct config *config, struct hba **hba, struct ident **ident,
		      struct config_problems *problems);

/* files.c: loads what clients' TLS needs; *out is NULL if they get none. Returns 0, or -1 with *why set. */
int setup_load_tls(const struct config *config, struct tls_context **out, struct fail *why);
int setup_load_http_tls(const struct config *config, struct tls_context **out,
			struct fail *why); /* the same of [http] */

/* --- logs.c --- */

/* Opens the log, and starts all of modules[], with the rights of run_as. 0, or -1 with *why set; what is not NULL is
 * the caller's in any case. */
int setup_open_logs(const struct config *config, struct log **log, void **states, struct fail *why);
/* Changes all to what config says instead of before. Returns 0, or -1 with *why set: they stay as they were. */
int setup_change_logs(struct log *log, void *const *states, const struct config *before, const struct config *config,
		      struct fail *why);
void setup_reopen_logs(struct log *log, void *const *states); /* after a rotation */

/* --- secrets.c: warnings about files of secrets that others may read (users_load() warns about users_file) --- */

void setup_warn_of_secrets(const struct config *config, struct log *log);
void setup_check_secrets(const struct config *config, struct config_problems *problems); /* at start they are logged */

/* --- run_as.c --- */

/* Call it as the user of run_as: logs a warning for each file that this user can't read, write or remove later. */
void setup_warn_as_user(const struct config *config, struct log *log);
