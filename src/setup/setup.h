/*
 * src/setup/setup.h - makes objects from the files that a configuration names: users, rules, certificates, logs. Makes
 * all of them or none. Mistakes in these files are added to the configuration's problems.
 */
#pragma once

#include "auth/hba.h"
#include "auth/users.h"
#include "base/fail.h"
#include "log/log.h"
#include "config/config.h"
#include "net/tls.h"
#include "pool/pool_target.h"

/* The contents of the files that a configuration names. Each is a counted reference, or NULL if not configured. */
struct setup_files {
	struct users *users;
	struct tls_context *tls; /* NULL if clients may not use TLS */
	struct tls_context *http_tls; /* NULL if [http] does not use TLS */
	struct tls_store *server_tls; /* for connections to PostgreSQL */
	struct hba *hba; /* NULL unless the configured method is hba or a module's */
	struct ident *ident;
};

/* --- files.c --- */

/* Loads all files that a configuration names. Returns 0, or -1 if errors were added to problems. */
int setup_load_files(const struct config *config, struct setup_files *out, struct config_problems *problems);
void setup_files_fini(struct setup_files *files); /* drops the references */
/* Checks files that load_config() doesn't open: hba_file, ident_file, certificates and keys. Returns 0, or -1 if errors
 * were added to problems; warnings may be added in both cases. */
int setup_check_files(const struct config *config, struct config_problems *problems);

/* --- certificate.c --- */

/* Writes a self-signed certificate for this host's name (ECDSA on P-256, valid for ten years) to server.crt in the
 * directory, and its key, which only the owner can read, to server.key. Returns 0, or -1 with *why set, for example if
 * one of these files is there already. */
int setup_make_certificate(const char *directory, struct fail *why);

/* --- rules.c --- */

/* Loads hba_file and ident_file. If the configured method is a module's, makes *hba from auth_module.rule in place of
 * hba_file. Sets *hba and *ident to NULL if they are not configured, or if errors were added to problems. */
void setup_load_rules(const struct config *config, struct hba **hba, struct ident **ident,
		      struct config_problems *problems);

/* In files.c. Loads the clients' certificates; *out is NULL if clients get no TLS. Returns 0, or -1 with *why set. */
int setup_load_tls(const struct config *config, struct tls_context **out, struct fail *why);
/* In files.c. Loads the certificate of [http]; *out is NULL if [http] has no TLS. Returns 0, or -1 with *why set. */
int setup_load_http_tls(const struct config *config, struct tls_context **out, struct fail *why);

/* --- logs.c --- */

/* Opens the log, and starts all of modules[], with the rights of the run_as user. Sets *log, and states[i] to the state
 * of modules[i]. Returns 0, or -1 with *why set; in both cases, the caller owns *log and the states. */
int setup_open_logs(const struct config *config, struct log **log, void **states, struct fail *why);
/* Moves the log and modules from the settings `before` to `config`. Returns 0, or -1 with *why set and no change. */
int setup_change_logs(struct log *log, void *const *states, const struct config *before, const struct config *config,
		      struct fail *why);
void setup_reopen_logs(struct log *log, void *const *states); /* called after a log rotation */

/* --- secrets.c: warns if other users may read a file with secrets; for users_file, users_load() does that --- */

void setup_warn_of_secrets(const struct config *config, struct log *log); /* logs the warnings; called at start */
/* Adds the same warnings to problems. */
void setup_check_secrets(const struct config *config, struct config_problems *problems);

/* --- run_as.c --- */

/* Called as the run_as user. Logs a warning for each file that this user will not be able to read, write or remove. */
void setup_warn_as_user(const struct config *config, struct log *log);
