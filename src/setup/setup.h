/*
 * src/setup/setup.h - makes the objects that a configuration names, all of them or none: users, rules, certificates,
 * logs. listeners.h has the sockets. Mistakes in files are reported in the same list as those in the configuration.
 */
#pragma once

#include "auth/hba.h"
#include "auth/users.h"
#include "base/fail.h"
#include "log/log.h"
#include "config/config.h"
#include "net/tls.h"
#include "pool/pool_target.h"

/* The contents of the files that a configuration names. Each is a counted reference, and may be NULL. */
struct setup_files {
	struct users *users;
	struct tls_context *tls; /* for clients; NULL if TLS is not offered to them */
	struct tls_context *http_tls; /* for [http]; NULL if TLS is not used there */
	struct tls_store *server_tls;
	struct hba *hba; /* NULL unless the method is hba or a module's */
	struct ident *ident;
};

/* --- files.c --- */

/* Loads all files that a configuration names. Returns 0, or -1 if errors were added to problems. */
int setup_load_files(const struct config *config, struct setup_files *out, struct config_problems *problems);
void setup_files_fini(struct setup_files *files);
/* Checks the files that load_config() doesn't open: hba_file, ident_file, certificates and keys. Returns 0, or -1 if
 * errors were added to problems; warnings may be added in either case. */
int setup_check_files(const struct config *config, struct config_problems *problems);

/* --- certificate.c --- */

/* Writes server.crt and server.key into a directory that must have neither: a self-signed certificate for this host's
 * name (ECDSA on P-256, ten years), and its key, which only the owner can read. Returns 0, or -1 with *why set. */
int setup_make_certificate(const char *directory, struct fail *why);

/* --- rules.c --- */

/* Loads hba_file and ident_file, or makes *hba for a module's method. Each result is NULL if it is not configured, or
 * if errors were added to problems. */
void setup_load_rules(const struct config *config, struct hba **hba, struct ident **ident,
		      struct config_problems *problems);

/* files.c: loads the TLS context for clients; *out is NULL if TLS is not offered to them. Returns 0, or -1 with *why
 * set. */
int setup_load_tls(const struct config *config, struct tls_context **out, struct fail *why);
/* loads the TLS context of [http] in the same way */
int setup_load_http_tls(const struct config *config, struct tls_context **out, struct fail *why);

/* --- logs.c --- */

/* Opens the log, and starts all of modules[], with the rights of run_as. Returns 0, or -1 with *why set; results that
 * are not NULL belong to the caller in either case. */
int setup_open_logs(const struct config *config, struct log **log, void **states, struct fail *why);
/* Gives the log and the modules, which have the settings of `before`, those of `config`. Returns 0, or -1 with *why
 * set; the settings of `before` then stay. */
int setup_change_logs(struct log *log, void *const *states, const struct config *before, const struct config *config,
		      struct fail *why);
void setup_reopen_logs(struct log *log, void *const *states); /* called after a rotation */

/* --- secrets.c: warnings about files of secrets that other users may read (users_load() warns about users_file) --- */

void setup_warn_of_secrets(const struct config *config, struct log *log);
/* Adds these warnings to problems; at start they are logged instead. */
void setup_check_secrets(const struct config *config, struct config_problems *problems);

/* --- run_as.c --- */

/* Called as the user of run_as: logs a warning for each file that this user can't read, write or remove later. */
void setup_warn_as_user(const struct config *config, struct log *log);
